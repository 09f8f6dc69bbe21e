//! `tributary.checkpoint`: how far the source is applied, in the same transaction as the data (P2).

use crate::error::Result;
use crate::lsn::Lsn;
use crate::pg::{Db, Group};

/// An advance of the checkpoint.
#[derive(Debug, Clone)]
pub struct Advance {
    /// The slot.
    pub slot: String,
    /// Where it must be now.
    pub from: Lsn,
    /// Where it will be.
    pub to: Lsn,
}

/// Adds the advance to a group. Where it is no longer at `from`, another writer advanced it (P11).
pub fn advance(group: &mut Group, advance: &Advance) {
    let sql = "update tributary.checkpoint set lsn = $3::text::pg_lsn, updated_at = now() \
               where slot = $1 and lsn = $2::text::pg_lsn";
    let params: Vec<crate::pg::Owned> = vec![
        Box::new(advance.slot.clone()),
        Box::new(advance.from.to_string()),
        Box::new(advance.to.to_string()),
    ];
    group.unless_superseded("target: advancing the checkpoint", sql, params);
}

/// Up to where backfilled rows may be newer than the stream.
///
/// # Errors
/// Those of the target.
pub async fn backfilled_until(db: &Db) -> Result<Option<Lsn>> {
    let sql = "select backfilled_until::text from tributary.state";
    let rows = db.query("target: reading the state", sql, &[]).await?;
    let text: Option<String> = rows.first().and_then(|row| row.get(0));
    Ok(text.as_deref().and_then(Lsn::parse))
}

/// Waits until everything committed is on the target's disk.
///
/// # Errors
/// Those of the target.
pub async fn flush(db: &Db) -> Result<()> {
    let sql = "begin; set local synchronous_commit = on; \
               update tributary.checkpoint set updated_at = now(); commit";
    db.batch("target: waiting for the disk", sql).await
}
