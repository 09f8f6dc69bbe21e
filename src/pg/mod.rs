//! The target's session: cached statements, pipelined round trips, the open transaction as a type.

mod db;
mod group;
mod text;
mod tx;

pub use db::{Db, Param};
pub use group::{Group, Owned, Reached};
pub use text::{TextColumns, text_params};
pub use tx::Tx;
