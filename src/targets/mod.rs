//! The application's tables: profiles, transactions, enrollments. Which columns they have, and how rows of them are
//! written, deleted, joined and quarantined. SQL beside it; nothing here decides what a row should say.

pub mod adopt;
pub mod auth_users;
pub mod catalog;
pub mod changes;
mod column_types;
pub mod compare;
pub mod copy;
pub mod delete;
pub mod erase;
pub mod foreign_key;
mod join;
pub mod merge;
mod money;
pub mod profile_ids;
pub mod reach;
pub mod replace;
pub mod statements;
pub mod write;

pub use catalog::Tables;
pub use merge::{CameIn, Merge, Merger, forget_waiting};
pub use write::{Fresh, Report, Written};
