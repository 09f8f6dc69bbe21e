//! Tributary.

pub mod config;
pub mod decode;
pub mod error;
pub mod facts;
pub mod lsn;
pub mod rules;
pub mod source;
pub mod unify;
