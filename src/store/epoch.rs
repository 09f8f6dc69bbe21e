//! The epoch of the leader, which every writing transaction compares (P11).

use crate::error::{Context, Result};
use crate::pg::Client;

/// The statement with which every writing transaction begins, on every connection. It needs no parameter, so
/// that it can go out together with `begin`, without a round trip of its own.
#[must_use]
pub fn fence(epoch: i64) -> String {
    format!("select tributary.fence({epoch})")
}

/// Opens a writing transaction of this epoch on any connection.
///
/// # Errors
/// [`crate::error::Error::Superseded`] where another daemon took over; those of the target.
pub async fn begin_fenced(client: &Client, epoch: i64) -> Result<()> {
    let sql = format!("begin; {}", fence(epoch));
    client.batch_execute(&sql).await.context("target: opening a transaction")
}
