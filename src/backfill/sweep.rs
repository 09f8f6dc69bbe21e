//! The sweep at the end of a reconcile: what the source no longer has goes, under the guard (P9).

use std::collections::HashMap;

use super::{Backfill, Progress, change};
use crate::apply::{Arrival, RowChange, Writer};
use crate::error::{Error, Result};
use crate::facts::{Feed, RawRow, SourceKey};
use crate::failpoint;
use crate::halt::{Deletes, Halt, HaltCause};

/// Facts swept in one target transaction.
const SWEPT_PER_COMMIT: i64 = 2_000;

impl Backfill<'_> {
    /// Deletes what the source no longer has, under the guard. A row that moved between blocks while its
    /// table was read was not seen either, so the source is asked again by key.
    pub(super) async fn sweep(&self, writer: &mut Writer, at: &Progress) -> Result<bool> {
        self.guard_sweep(writer, at).await?;
        for table in Feed::ALL {
            loop {
                let rows = writer.unseen(table, at.generation, SWEPT_PER_COMMIT).await?;
                if rows.is_empty() {
                    break;
                }
                writer.begin().await?;
                let changes = self.ask_again(writer, table, rows).await?;
                let touched = writer.apply_changes(changes.0, Arrival::Whole).await?;
                writer.mark_checked(table, &changes.1, at.generation).await?;
                writer.recompute(&touched).await?;
                failpoint::hit("sweep-applied");
                writer.commit_data().await?;
                failpoint::hit("sweep-committed");
                (self.progress)(at);
                if self.shutdown.is_cancelled() {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    async fn ask_again(
        &self,
        writer: &Writer,
        table: Feed,
        rows: Vec<(SourceKey, RawRow)>,
    ) -> Result<(Vec<RowChange>, Vec<String>)> {
        let raw: Vec<RawRow> = rows.iter().map(|(_, row)| row.clone()).collect();
        let found = writer.reader.rows_by_key(table, &raw).await?;
        let there: HashMap<_, _> = found.into_iter().collect();
        let mut changes = Vec::new();
        let mut kept = Vec::new();
        for (key, _) in rows {
            let row = there.get(&key).cloned();
            if row.is_some() {
                kept.push(key.0.clone());
            }
            changes.push(change(table, key, row));
        }
        Ok((changes, kept))
    }

    async fn guard_sweep(&self, writer: &Writer, at: &Progress) -> Result<()> {
        let mut deletes = Vec::new();
        for table in Feed::ALL {
            let (rows, of) = writer.count_unseen(table, at.generation).await?;
            if self.config.guard.stops(rows, of) {
                deletes.push(Deletes { table, rows, of });
            }
        }
        if deletes.is_empty() {
            return Ok(());
        }
        let halt = Halt::new(HaltCause::Sweep { generation: at.generation }, deletes);
        if crate::halt::is_accepted(&writer.db, &halt).await? {
            return Ok(());
        }
        Err(Error::Halted(Box::new(halt)))
    }
}
