//! Rows with a value that the stream left out and that could be had nowhere (P6), and stored rows that cannot be read:
//! they are read again from the source.

use std::collections::HashMap;

use super::Applier;
use super::settle::Mode;
use crate::engine::{Env, RowChange, RowId, raw};
use crate::error::Result;
use crate::facts::{RawRow, SourceKey};
use crate::lsn::Lsn;
use crate::store;
use crate::store::row::FullRow;

/// Rows read again at one time. The rest waits for the next one.
const ROWS_PER_READING: i64 = 1_000;
/// Of these in one transaction: what was unknown of each may be large (P13).
const ROWS_AT_ONCE: usize = 16;

/// Incomplete rows that the source did not have, with the end of its log right after it was asked.
pub type Absent = HashMap<RowId, Lsn>;

impl Applier {
    /// Reads incomplete rows again. A row that the source has is completed; one that it did not have is deleted once the
    /// stream has passed that reading: `checkpoint` is how far it is, `source_lsn` gives the end of the source's log.
    ///
    /// # Errors
    /// Those of both servers.
    pub async fn reread_incomplete(
        &mut self,
        absent: &mut Absent,
        checkpoint: Lsn,
        source_lsn: impl AsyncFn() -> Result<Lsn>,
    ) -> Result<()> {
        let ids = store::row::incomplete(&self.db, ROWS_PER_READING).await?;
        absent.retain(|id, _| ids.contains(id));
        for some in ids.chunks(ROWS_AT_ONCE) {
            self.reread_some(some, absent, checkpoint, &source_lsn).await?;
        }
        Ok(())
    }

    async fn reread_some(
        &mut self,
        ids: &[RowId],
        absent: &mut Absent,
        checkpoint: Lsn,
        source_lsn: &impl AsyncFn() -> Result<Lsn>,
    ) -> Result<()> {
        let tx = self.begin().await?;
        let rows = store::row::full_by_key(&tx, ids).await?;
        let mut changes = Vec::new();
        for feed in self.env.feeds.configured() {
            let of_feed: Vec<(&RowId, RawRow)> = rows
                .iter()
                .filter(|row| row.id.0 == feed)
                .filter_map(|row| Some((&row.id, asked_for(row, &self.env)?)))
                .collect();
            let asked: Vec<RawRow> = of_feed.iter().map(|(_, row)| row.clone()).collect();
            let mut found: HashMap<SourceKey, RawRow> =
                self.reader.rows_by_any_key(feed, &asked).await?.into_iter().collect();
            let now = if asked.is_empty() { checkpoint } else { source_lsn().await? };
            for (id, _) in of_feed {
                let row = found.remove(&id.1);
                let is_over = absent.get(id).is_some_and(|asked_at| checkpoint >= *asked_at);
                if row.is_some() || is_over {
                    absent.remove(id);
                    changes.push(RowChange::read(feed, id.1.clone(), row));
                } else {
                    absent.entry(id.clone()).or_insert(now);
                }
            }
        }
        if changes.is_empty() {
            return tx.rollback().await;
        }
        tracing::info!(rows = changes.len(), "incomplete rows were read again from the source");
        let report = self.apply_reread(&tx, &changes, Mode::CAREFUL).await?;
        tx.commit().await?;
        report.count();
        Ok(())
    }
}

/// A row with the key to ask for. One that cannot be read has its key as text; where the feed was not read since, that
/// may be the key of other columns, and the reconcile will replace it.
fn asked_for(row: &FullRow, env: &Env) -> Option<RawRow> {
    let readable = raw::decode(&row.raw, env.feeds.shape(row.id.0)).map(|stored| stored.row);
    let is_of_now = row.row.generation == env.generation;
    readable.or_else(|| env.feeds.row_of_key(row.id.0, &row.id.1).filter(|_| is_of_now))
}
