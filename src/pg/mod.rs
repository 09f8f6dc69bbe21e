//! The target's session: cached statements, pipelined round trips, the open transaction as a type.

mod client;
mod copy;
mod db;
mod group;
mod plans;
pub(crate) mod settings;
mod text;
mod tx;

pub use client::{Client, Sql};
pub use copy::{BinaryRow, COPY_FROM, copy_binary, copy_text, copy_values};
pub use db::{Db, Param};
pub use group::{Group, Owned, Reached};
pub use text::{TextColumns, text_params};
pub use tx::Tx;
