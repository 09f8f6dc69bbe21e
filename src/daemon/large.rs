//! Source transactions that wait for an operator, and those too large for memory (P9, P13).

use jiff::Timestamp;
use tokio::time::Instant;

use super::follow::Follow;
use super::write::{self, Applied};
use crate::connect::connect;
use crate::error::{Error, Result};
use crate::facts::Feed;
use crate::halt::{Deletes, Halt, HaltCause};
use crate::lsn::Lsn;
use crate::pg::Db;
use crate::store::{backfill, halt};

impl Follow<'_> {
    /// The open transaction is too large for memory: what has come is applied in the target transaction
    /// that its commit will end.
    pub(super) async fn apply_part(&mut self) -> Result<()> {
        self.flush().await?;
        self.read_first().await?;
        let Some(open) = self.open.as_mut() else { return Ok(()) };
        if !open.in_parts {
            self.session.applier.begin().await?;
            open.in_parts = true;
        }
        open.bytes_before += std::mem::take(&mut open.bytes);
        let changes = std::mem::take(&mut open.changes);
        write::apply_part(&mut self.session.applier, &changes).await?;
        self.note_changes(&changes, None);
        self.health.step();
        Ok(())
    }

    /// A TRUNCATE waits for an operator; an accepted one is a delete of every row.
    pub(super) async fn truncate(&mut self, tables: Vec<Feed>) -> Result<()> {
        if tables.is_empty() {
            return Ok(());
        }
        if self.reading.is_some() {
            backfill::note_truncated(&self.session.applier.db, &tables).await?;
        }
        self.flush().await?;
        self.read_first().await?;
        let of_open = self.open.as_ref().map(|open| (open.commit_lsn, open.xid));
        let Some((lsn, xid)) = of_open else { return Ok(()) };
        let mut deletes = Vec::new();
        for &table in &tables {
            let of = self.rows_before(table).await?;
            let rows = self.rows_truncated(table, xid).await?.min(of);
            if rows > 0 {
                deletes.push(Deletes { table: self.name(table), rows, of });
            }
        }
        if !deletes.is_empty() {
            let cause = HaltCause::Truncate { commit_lsn: lsn.to_string() };
            self.guard(Halt::new(cause, deletes)).await?;
        }
        self.apply_part().await?;
        for table in tables {
            write::delete_all(&mut self.session.applier, table, xid, self.health).await?;
            if let Some(open) = self.open.as_mut() {
                open.truncated.push(table);
            }
        }
        Ok(())
    }

    pub(super) async fn complete_parts(
        &mut self,
        end_lsn: Lsn,
        commit_time: Timestamp,
    ) -> Result<()> {
        self.apply_part().await?;
        let truncated = self.open.as_ref().map(|open| open.truncated.clone()).unwrap_or_default();
        let mut deleted = Vec::new();
        let feeds = std::sync::Arc::clone(&self.session.applier.env.feeds);
        for table in feeds.configured().filter(|table| !truncated.contains(table)) {
            deleted.push((table, write::deleted_so_far(&self.session.applier, table).await?));
        }
        self.guard_deleted(deleted).await?;
        if !truncated.is_empty() {
            // In the transaction that is open: what it answers must not outlive it.
            halt::clear_truncate(&self.session.applier.db).await?;
        }
        let started = Instant::now();
        let (slot, span) = (&self.config.source.slot, (self.session.checkpoint, end_lsn));
        let stages = write::commit_large(self.session, slot, span, self.health).await?;
        let open = self.open.take().unwrap_or_default();
        let (rows, bytes) = (open.received, open.bytes_before + open.bytes);
        self.committed(end_lsn, Some(commit_time));
        let source_commit = Some(commit_time);
        Applied { rows, bytes, source_commit, transactions: 1, stages, started }
            .report(&self.config.source.slot, self.health.phase());
        Ok(())
    }

    /// Halts in front of a transaction that deletes too much, with all its tables. The limit is a share of
    /// the rows before the transaction: those that it adds itself must not hide what it deletes.
    pub(super) async fn guard_deleted(&mut self, deleted: Vec<(Feed, u64)>) -> Result<()> {
        let Some(commit_lsn) = self.open.as_ref().map(|open| open.commit_lsn) else {
            return Ok(());
        };
        let mut deletes = Vec::new();
        for (table, rows) in deleted {
            if rows <= self.config.guard.delete_rows {
                continue;
            }
            let of = self.rows_before(table).await?;
            // It cannot delete more than there was: what is above it added itself.
            let rows = rows.min(of);
            if self.config.guard.stops(rows, of) {
                deletes.push(Deletes { table: self.name(table), rows, of });
            }
        }
        if deletes.is_empty() {
            return Ok(());
        }
        deletes.sort_by(|a, b| a.table.cmp(&b.table));
        let cause = HaltCause::MassDelete { commit_lsn: commit_lsn.to_string() };
        self.guard(Halt::new(cause, deletes)).await
    }

    /// Rows of a feed before the open transaction. Where parts of it are applied, another session still sees them.
    async fn rows_before(&mut self, feed: Feed) -> Result<u64> {
        let Some(open) = self.open.as_mut() else { return Ok(0) };
        if let Some(rows) = open.rows_before.get(&feed) {
            return Ok(*rows);
        }
        let rows = if open.in_parts {
            let target = connect(&self.config.target.server, "tributary", "target").await?;
            write::count_rows(&Db::new(target), feed).await?
        } else {
            write::count_rows(&self.session.applier.db, feed).await?
        };
        open.rows_before.insert(feed, rows);
        Ok(rows)
    }

    /// Rows of a feed that a TRUNCATE takes, those included that the open transaction has deleted already.
    async fn rows_truncated(&self, feed: Feed, xid: u32) -> Result<u64> {
        let applier = &self.session.applier;
        if !self.open.as_ref().is_some_and(|open| open.in_parts) {
            return write::count_truncated(applier, &applier.db, feed, xid).await;
        }
        let target = connect(&self.config.target.server, "tributary", "target").await?;
        write::count_truncated(applier, &Db::new(target), feed, xid).await
    }

    fn name(&self, feed: Feed) -> String {
        self.session.applier.env.feeds.name(feed).to_owned()
    }

    async fn guard(&self, halt: Halt) -> Result<()> {
        if halt::is_accepted(&self.session.applier.db, &halt).await? {
            tracing::warn!(reason = halt.reason(), "accepted by an operator");
            return Ok(());
        }
        Err(Error::Halted(Box::new(halt)))
    }
}
