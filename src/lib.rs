//! Tributary.

pub mod config;
pub mod decode;
pub mod error;
pub mod facts;
pub mod http;
pub mod logging;
pub mod lsn;
pub mod metrics;
pub mod rules;
pub mod source;
pub mod status;
pub mod unify;
