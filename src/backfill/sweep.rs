//! The sweep at the end of a reconcile: what the source no longer has goes, under the guard (P9).

use std::collections::HashMap;

use super::{Backfill, Progress, stage};
use crate::apply::{Applier, Mode};
use crate::engine::{Feeds, RowChange, raw};
use crate::error::{Error, Result};
use crate::facts::{Feed, RawRow, SourceKey};
use crate::failpoint;
use crate::halt::{Deletes, Halt, HaltCause};
use crate::pg::Tx;
use crate::source::publication;
use crate::store;

/// Rows looked at in one target transaction.
const ROWS_PER_COMMIT: i64 = 2_000;

impl Backfill<'_> {
    /// Deletes a page of what the source no longer has, under the guard. A row that moved between blocks while its
    /// table was read was not seen either, so the source is asked again by key.
    pub(super) async fn sweep_round(
        &self,
        applier: &mut Applier,
        at: &mut Progress,
        mode: Mode,
    ) -> Result<()> {
        if at.cursor.is_none() {
            self.guard_left_out(applier, at).await?;
            self.guard_sweep(applier, at).await?;
        }
        let feeds = std::sync::Arc::clone(&applier.env.feeds);
        let to_sweep = Self::to_sweep(&feeds, at);
        let cursor = at.cursor.as_deref().and_then(stage::parse_shared);
        let first = to_sweep.first().map(|feed| (*feed, String::new()));
        let tx = applier.begin().await?;
        let Some((feed, key)) = cursor.or(first) else {
            self.advance(&tx, at, None).await?;
            return tx.commit().await;
        };
        let unseen = unseen(&tx, feed, at.generation, &key).await?;
        let next = match unseen.last() {
            Some(last) => {
                let cursor = stage::shared(&(feed, last.0.clone()));
                let changes = self.ask_again(applier, &tx, feed, unseen).await?;
                applier.apply_reread(&tx, &changes, mode).await?.count();
                failpoint::hit("sweep-applied");
                Some(cursor)
            }
            None => stage::after(&to_sweep, feed).map(|feed| stage::shared(&(feed, String::new()))),
        };
        let is_last = next.is_none();
        let removed = if is_last {
            self.tables_of_removed(&tx, &to_sweep, &feeds).await?
        } else {
            Vec::new()
        };
        self.advance(&tx, at, next).await?;
        tx.commit().await?;
        failpoint::hit("sweep-committed");
        publication::withdraw(&self.source, &self.config.source, &removed).await;
        if is_last {
            failpoint::hit("phase-advanced");
        }
        Ok(())
    }

    /// The published tables of the feeds that are configured no more and of which no row is left now.
    async fn tables_of_removed(
        &self,
        tx: &Tx,
        swept: &[Feed],
        feeds: &Feeds,
    ) -> Result<Vec<String>> {
        let removed = swept.iter().copied().filter(|feed| !feeds.get(*feed).is_configured());
        let tables = store::feed::withdraw(tx, &removed.collect::<Vec<_>>()).await?;
        // Another feed may read the same table now.
        let configured = &self.config.source.feeds;
        let is_free = |table: &String| configured.iter().all(|feed| feed.table.quoted() != *table);
        Ok(tables.into_iter().filter(is_free).collect())
    }

    async fn ask_again(
        &self,
        applier: &Applier,
        tx: &Tx,
        feed: Feed,
        keys: Vec<SourceKey>,
    ) -> Result<Vec<RowChange>> {
        let ids: Vec<_> = keys.iter().map(|key| (feed, key.clone())).collect();
        let width = applier.env.feeds.width(feed);
        let stored = store::row::values(tx, &ids).await?;
        let rows: Vec<RawRow> =
            stored.values().filter_map(|bytes| raw::decode(bytes, width)).map(|v| v.row).collect();
        let found: HashMap<SourceKey, RawRow> =
            applier.reader.rows_by_key(feed, &rows).await?.into_iter().collect();
        let change = |key: SourceKey| {
            let row = found.get(&key).cloned();
            RowChange::read(feed, key, row)
        };
        Ok(keys.into_iter().map(change).collect())
    }

    async fn guard_sweep(&self, applier: &Applier, at: &Progress) -> Result<()> {
        let mut deletes = Vec::new();
        let feeds = &applier.env.feeds;
        // Those of feeds that are configured no more were judged before.
        for feed in Self::to_sweep(feeds, at) {
            let (of, rows) = store::row::count(&applier.db, feed, at.generation).await?;
            if feeds.get(feed).is_configured() && self.config.guard.stops(rows, of) {
                deletes.push(Deletes { table: feeds.name(feed).to_owned(), rows, of });
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

/// A page of the rows that this reconcile has not seen, after a key.
async fn unseen(tx: &Tx, feed: Feed, generation: i64, after: &str) -> Result<Vec<SourceKey>> {
    let sql = "select key from tributary.source_row \
               where feed = $1 and key > $2 and generation < $3 order by feed, key limit $4";
    let params: [crate::pg::Param<'_>; 4] = [&feed.number(), &after, &generation, &ROWS_PER_COMMIT];
    let rows = tx.query("target: reading unseen rows", sql, &params).await?;
    Ok(rows.iter().map(|row| SourceKey(row.get(0))).collect())
}
