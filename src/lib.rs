//! Tributary.

pub mod apply;
pub mod backfill;
pub mod config;
pub mod decode;
pub mod error;
pub mod facts;
pub mod halt;
pub mod lsn;
pub mod migrate;
pub mod rules;
pub mod source;
pub mod unify;
