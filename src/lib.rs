//! Tributary.

pub mod apply;
pub mod ask;
pub mod backfill;
pub mod cli;
pub mod config;
pub mod connect;
pub mod decisions;
pub mod decode;
pub mod demo;
pub mod error;
pub mod facts;
pub mod halt;
pub mod http;
pub mod logging;
pub mod lsn;
pub mod metrics;
pub mod migrate;
pub mod pipeline;
pub mod retry;
pub mod rules;
pub mod session;
pub mod source;
pub mod status;
pub mod systemd;
pub mod unify;
