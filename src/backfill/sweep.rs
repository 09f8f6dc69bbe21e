//! The end of a reconcile: what the source no longer has goes, under the guard (P9).
//!
//! A row that moved between blocks while its table was read was not seen either, so rows that no chunk saw are asked
//! for again by key first. Then the e-mail changes of the whole reconcile are judged, those that it deletes counting as
//! gone (SPEC §4.3), and the rows are deleted.

use std::collections::HashMap;

use super::{Backfill, Progress, stage};
use crate::apply::{Applier, Mode};
use crate::engine::{Arrival, RowChange, raw};
use crate::error::{Error, Result};
use crate::facts::{Feed, RawRow, SourceKey};
use crate::failpoint;
use crate::halt::{Deletes, Halt, HaltCause};
use crate::pg::Tx;
use crate::store;

/// Rows looked at in one target transaction.
const ROWS_PER_COMMIT: i64 = 2_000;

impl Backfill<'_> {
    /// Asks the source again for a page of the rows that no chunk saw, and stores those that it has.
    pub(super) async fn recheck(
        &self,
        applier: &mut Applier,
        tx: &Tx,
        at: &Progress,
    ) -> Result<Option<String>> {
        let (feed, key) = cursor(at);
        let unseen = unseen(tx, feed, at.generation, &key).await?;
        let Some(last) = unseen.last() else { return Ok(next_feed(feed)) };
        let next = stage::shared(&(feed, last.0.clone()));
        let found = self.ask_again(applier, tx, feed, &unseen).await?;
        applier.store_rows(tx, &found, Arrival::Reread).await?;
        failpoint::hit("recheck-applied");
        Ok(Some(next))
    }

    /// Judges the e-mail changes of the reconcile, unless the guard stops the sweep that follows.
    pub(super) async fn judge_emails(
        &self,
        applier: &mut Applier,
        tx: &Tx,
        at: &Progress,
    ) -> Result<Option<String>> {
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
    ) -> Result<Option<String>> {
        let (feed, key) = cursor(at);
        let unseen = unseen(tx, feed, at.generation, &key).await?;
        let Some(last) = unseen.last() else { return Ok(next_feed(feed)) };
        let next = stage::shared(&(feed, last.0.clone()));
        let gone: Vec<RowChange> =
            unseen.into_iter().map(|key| RowChange::read(feed, key, None)).collect();
        applier.apply_reread(tx, &gone, mode).await?.count();
        failpoint::hit("sweep-applied");
        Ok(Some(next))
    }

    /// Those of these rows that the source has.
    async fn ask_again(
        &self,
        applier: &Applier,
        tx: &Tx,
        feed: Feed,
        keys: &[SourceKey],
    ) -> Result<Vec<RowChange>> {
        let ids: Vec<_> = keys.iter().map(|key| (feed, key.clone())).collect();
        let shape = applier.env.layouts.shape(feed);
        let stored = store::row::values(tx, &ids).await?;
        let rows: Vec<RawRow> =
            stored.values().filter_map(|bytes| raw::decode(bytes, shape)).map(|v| v.row).collect();
        let mut found: HashMap<SourceKey, RawRow> =
            applier.reader.rows_by_key(feed, &rows).await?.into_iter().collect();
        let change = |key: &SourceKey| {
            let row = found.remove(key)?;
            Some(RowChange::read(feed, key.clone(), Some(row)))
        };
        Ok(keys.iter().filter_map(change).collect())
    }

    async fn guard_sweep(&self, applier: &Applier, at: &Progress) -> Result<()> {
        let mut deletes = Vec::new();
        for feed in Feed::ALL {
            let (of, rows) = store::row::count(&applier.db, feed, at.generation).await?;
            if self.config.guard.stops(rows, of) {
                deletes.push(Deletes { table: feed, rows, of });
            }
        }
        if deletes.is_empty() {
            return Ok(());
        }
        let halt = Halt::new(HaltCause::Sweep { generation: at.generation }, deletes);
        if crate::halt::is_accepted(&applier.db, &halt).await? {
            return Ok(());
        }
        Err(Error::Halted(Box::new(halt)))
    }
}

/// The feed under way and the last key that was done.
fn cursor(at: &Progress) -> (Feed, String) {
    let cursor = at.cursor.as_deref().and_then(stage::parse_shared);
    cursor.unwrap_or((Feed::ALL[0], String::new()))
}

/// The cursor of the feed after this.
fn next_feed(feed: Feed) -> Option<String> {
    let next = Feed::ALL.iter().copied().skip_while(|other| *other != feed).nth(1);
    next.map(|feed| stage::shared(&(feed, String::new())))
}

/// A page of the rows that this reconcile has not seen, after a key.
async fn unseen(tx: &Tx, feed: Feed, generation: i64, after: &str) -> Result<Vec<SourceKey>> {
    let sql = "select key from tributary.source_row \
               where feed = $1 and key > $2 and generation < $3 order by feed, key limit $4";
    let params: [crate::pg::Param<'_>; 4] = [&feed.number(), &after, &generation, &ROWS_PER_COMMIT];
    let rows = tx.query("target: reading unseen rows", sql, &params).await?;
    Ok(rows.iter().map(|row| SourceKey(row.get(0))).collect())
}
