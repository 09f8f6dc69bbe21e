//! Tributary.

pub mod config;
pub mod demo;
pub mod error;
pub mod facts;
pub mod lsn;
pub mod rules;
pub mod unify;
