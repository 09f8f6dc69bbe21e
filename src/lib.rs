//! Tributary.

pub mod config;
pub mod connect;
pub mod decode;
pub mod error;
pub mod facts;
pub mod lsn;
pub mod retry;
pub mod rules;
pub mod source;
pub mod unify;
