//! Typed, mapped, checked loads from exports: `tributary import PLAN FILE…`.
//!
//! ```text
//!  PLAN ─▶ plan ─┐
//!                ├▶ check ─▶ order ─▶ for each load: read ─▶ row (convert) ─▶ batch: ids, existing, duplicates, write ─▶ cursor
//!  FILE ─▶ survey┘                    (a thread of its own, two batches ahead)   (one transaction with the cursor)
//! ```
//!
//! The files are read twice and more, and never held: once as a whole before anything is written, so that a file that
//! ends in its middle or a field that nobody mapped is reported first, and once for each load. A record that cannot be a
//! row never stops the others. Ids are derived, so that a repeated run finds what it wrote; only what differs is written.

pub mod audit;
mod batch;
mod begin;
mod catalog;
mod check;
pub mod column;
pub mod convert;
mod feed;
mod ids;
pub mod input;
mod keys;
mod numbers;
mod order;
pub mod plan;
mod read;
pub mod record;
mod rejects;
mod report;
mod row;
mod run;
mod statements;
mod store;
mod summary;
mod survey;
mod write;

pub use run::{Doing, Options, Progress, run};
pub use summary::{
    Counts, Difference, KeyCheck, LoadReport, Refusal, Refused, Report, Sum, TableReport,
    without_zeros,
};
