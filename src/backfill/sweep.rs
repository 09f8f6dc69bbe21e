//! The end of a reconcile: what the source no longer has goes, under the guard (P9).
//!
//! A row that moved between blocks while its table was read was not seen either, so rows that no chunk saw are asked
//! for again by key first. Then the e-mail changes of the whole reconcile are judged, those that it deletes counting as
//! gone (SPEC §4.3), and the rows are deleted.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Backfill, Progress, cursor, read};
use crate::apply::{Applier, Mode};
use crate::engine::{Arrival, Feeds, RowChange, raw};
use crate::error::{Error, Result};
use crate::facts::{Feed, RawRow, SourceKey};
use crate::failpoint;
use crate::halt::{Deletes, Halt, HaltCause};
use crate::pg::Tx;
use crate::source::{RowReader, is_no_such_key, snapshot};
use crate::store;
use crate::targets::Report;

/// Rows looked at in one target transaction.
const ROWS_PER_COMMIT: i64 = 2_000;

impl Backfill<'_> {
    /// Asks the source again for a page of the rows that no chunk saw, and stores those that it has.
    pub(super) async fn recheck(
        &self,
        applier: &mut Applier,
        tx: &Tx,
        at: &mut Progress,
    ) -> Result<Option<String>> {
        let page = unseen(tx, at, &Self::to_sweep(&applier.env.feeds, at)).await?;
        let Unseen { feed: Some(feed), keys, next } = page else { return Ok(page.next) };
        let (found, snapshot) = self.ask_again(applier, tx, feed, &keys).await?;
        if !found.is_empty() {
            // As of a chunk: what the stream has still to repeat must not take the rows back in time.
            let chunk = read::note_chunk(tx, at.generation, &snapshot).await?;
            let balance = applier.store_rows(tx, &found, Arrival::Chunk(chunk)).await?;
            applier.add_chunk(chunk, &snapshot)?;
            at.left_out.add(&balance);
            at.left_out.save(tx).await?;
        }
        failpoint::hit("recheck-applied");
        Ok(next)
    }

    /// Judges the e-mail changes of the reconcile, unless the guard stops the sweep that follows.
    pub(super) async fn judge_emails(
        &self,
        applier: &mut Applier,
        tx: &Tx,
        at: &Progress,
    ) -> Result<Option<String>> {
        self.guard_left_out(applier, at).await?;
        self.guard_sweep(applier, at).await?;
        applier.judge_reconcile(tx, &|| (self.progress)(at)).await?;
        failpoint::hit("emails-judged");
        Ok(None)
    }

    /// Deletes a page of what the source no longer has.
    pub(super) async fn sweep(
        &self,
        applier: &mut Applier,
        tx: &Tx,
        at: &Progress,
        mode: Mode,
    ) -> Result<(Option<String>, Report)> {
        let page = unseen(tx, at, &Self::to_sweep(&applier.env.feeds, at)).await?;
        let Unseen { feed: Some(feed), keys, next } = page else {
            return Ok((page.next, Report::default()));
        };
        let gone: Vec<RowChange> =
            keys.into_iter().map(|key| RowChange::read(feed, key, None)).collect();
        let written = applier.apply_reread(tx, &gone, mode).await?;
        failpoint::hit("sweep-applied");
        Ok((next, written))
    }

    /// The published tables of the feeds that are configured no more and of which no row is left now.
    pub(super) async fn tables_of_removed(
        &self,
        tx: &Tx,
        at: &Progress,
        feeds: &Feeds,
    ) -> Result<Vec<String>> {
        let swept = Self::to_sweep(feeds, at).into_iter();
        let removed: Vec<Feed> = swept.filter(|feed| !feeds.get(*feed).is_configured()).collect();
        let tables = store::feed::withdraw(tx, &removed).await?;
        // Another feed may read the same table now.
        let configured = &self.config.source.feeds;
        let is_free = |table: &String| configured.iter().all(|feed| feed.table.quoted() != *table);
        Ok(tables.into_iter().filter(is_free).collect())
    }

    /// Those of these rows that the source has, and the snapshot that says so.
    async fn ask_again(
        &self,
        applier: &Applier,
        tx: &Tx,
        feed: Feed,
        keys: &[SourceKey],
    ) -> Result<(Vec<RowChange>, String)> {
        let feeds = Arc::clone(&applier.env.feeds);
        let ids: Vec<_> = keys.iter().map(|key| (feed, key.clone())).collect();
        let stored = store::row::values(tx, &ids).await?;
        let shape = feeds.shape(feed);
        let (mut rows, mut unreadable) = (Vec::new(), Vec::new());
        for ((_, key), bytes) in &stored {
            match raw::decode(bytes, shape) {
                Some(values) => rows.push(values.row),
                // Stored with other columns, which is no reason to be gone: it is asked for by its key.
                None => unreadable.extend(feeds.row_of_key(feed, key)),
            }
        }
        drop(stored);
        let reader = RowReader::new(Arc::clone(&self.source), &self.config.source, feeds);
        let readable = rows.len();
        rows.append(&mut unreadable);
        let mut snapshot = snapshot::open(&self.source).await?;
        let mut asked = reader.rows_by_key(feed, &rows).await;
        if rows.len() > readable && asked.as_ref().is_err_and(is_no_such_key) {
            snapshot::give_up(&self.source).await?;
            rows.truncate(readable);
            snapshot = snapshot::open(&self.source).await?;
            asked = reader.rows_by_key(feed, &rows).await;
        }
        let mut found: HashMap<SourceKey, RawRow> = asked?.into_iter().collect();
        snapshot::close(&self.source).await?;
        let change = |key: &SourceKey| {
            let row = found.remove(key)?;
            Some(RowChange::read(feed, key.clone(), Some(row)))
        };
        Ok((keys.iter().filter_map(change).collect(), snapshot))
    }

    async fn guard_sweep(&self, applier: &Applier, at: &Progress) -> Result<()> {
        let mut deletes = Vec::new();
        let feeds = &applier.env.feeds;
        // Those of feeds that are configured no more were judged before.
        for feed in Self::to_read(feeds, at) {
            let (of, rows) = store::row::count(&applier.db, feed, at.generation).await?;
            let is_truncated = rows > 0 && at.truncated.contains(&feed);
            if is_truncated || self.config.guard.stops(rows, of) {
                deletes.push(Deletes { table: feeds.name(feed).to_owned(), rows, of });
            }
        }
        if deletes.is_empty() {
            return Ok(());
        }
        let halt = Halt::new(HaltCause::Sweep { generation: at.generation }, deletes);
        if crate::store::halt::is_accepted(&applier.db, &halt).await? {
            return Ok(());
        }
        Err(Error::Halted(Box::new(halt)))
    }
}

/// A page of rows that a reconcile has not seen.
struct Unseen {
    /// Whose they are; `None`: there are none on this page.
    feed: Option<Feed>,
    keys: Vec<SourceKey>,
    /// Where the page after this begins; `None`: this is the last.
    next: Option<String>,
}

/// The page of these feeds at the cursor.
async fn unseen(tx: &Tx, at: &Progress, feeds: &[Feed]) -> Result<Unseen> {
    let cursor = at.cursor.as_deref().and_then(cursor::parse_shared);
    let Some((feed, after)) = cursor.or_else(|| Some((*feeds.first()?, String::new()))) else {
        return Ok(Unseen { feed: None, keys: Vec::new(), next: None });
    };
    let sql = include_str!("../store/sql/unseen_rows.sql");
    let params: [crate::pg::Param<'_>; 5] =
        [&feed.number(), &after, &at.generation, &ROWS_PER_COMMIT, &store::row::READ_BYTES];
    let rows = tx.query("target: reading unseen rows", sql, &params).await?;
    let keys: Vec<SourceKey> = rows.iter().map(|row| SourceKey(row.get(0))).collect();
    let (feed, next) = match keys.last() {
        Some(last) => (Some(feed), Some((feed, last.0.clone()))),
        None => (None, cursor::after(feeds, feed).map(|feed| (feed, String::new()))),
    };
    Ok(Unseen { feed, keys, next: next.as_ref().map(cursor::shared) })
}
