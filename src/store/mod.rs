//! Schema `tributary`: what the daemon keeps for itself, one file a table, SQL beside it.
//!
//! Everything takes the open transaction, so that "inside it" is a type, and nothing here decides anything.

pub mod adopted;
pub mod alias;
pub mod backfill;
pub mod checkpoint;
pub mod conflict;
pub mod email_before;
pub mod epoch;
pub mod feed;
pub mod halt;
pub mod operation_log;
pub mod outside;
pub mod person;
pub mod quarantine;
pub mod row;
pub mod shared;
