//! What tests, benchmarks and the demonstration stand on: throwaway PostgreSQL servers, made-up customers
//! with the dirt of real life, and live changes to their rows.
//!
//! | module | does |
//! |---|---|
//! | [`cluster`] | starts a PostgreSQL server that is gone when the process ends, however it ends |
//! | [`process`] | child processes that never outlive this one |
//! | [`people`] | contact and payment rows as a pure function of a seed and a number |
//! | [`dirt`] | damages values the way production data is damaged (SPEC §3) |
//! | [`source_schema`] | the source tables in both layouts (SPEC §1) |
//! | [`exports`] | exports for the shipped import plans, with every kind of damage |
//! | [`load`] | made-up rows into the source tables by COPY |
//! | [`more_feeds`] | the further feeds beside the canonical ones: tables, rows, changes |
//! | [`traffic`] | random transactions on several connections at once |
//! | [`random`] | repeatable random numbers |
//!
//! Must not know the product: `tributary` depends on this crate, for its command `demo`. Positions of the
//! log are therefore texts here, and the crate has an [`error`] type of its own.

pub mod cluster;
pub mod dirt;
pub mod error;
pub mod exports;
mod installation;
pub mod load;
pub mod more_feeds;
pub mod people;
pub mod process;
pub mod random;
pub mod source_schema;
pub mod traffic;

pub use error::{Error, Result};
