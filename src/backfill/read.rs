//! Reading a feed in chunks, each committed with its cursor.

use super::{Backfill, Progress};
use crate::apply::Applier;
use crate::decisions::queue;
use crate::engine::{Arrival, Feeds, RowChange};
use crate::error::{Context, Error, Result};
use crate::facts::{Feed, RawRow};
use crate::failpoint;
use crate::source::snapshot;

impl Backfill<'_> {
    /// Reads the feed at the cursor to its end, or until shutdown. While one chunk is stored, the next one is read.
    pub(super) async fn read_feed(&self, applier: &mut Applier, at: &mut Progress) -> Result<()> {
        let feeds = std::sync::Arc::clone(&applier.env.feeds);
        let first = Self::to_read(&feeds, at).first().copied();
        let Some(feed) = at.feed.or(first) else { return self.next_feed(applier, at, None).await };
        if !feeds.get(feed).is_configured() {
            return self.next_feed(applier, at, Some(feed)).await;
        }
        let table = self.table(&feeds, feed)?;
        let plan = snapshot::plan(&self.source, table).await?;
        let filenode = plan.filenode.to_string();
        if at.filenode.as_ref() != Some(&filenode) {
            self.start_feed(applier, at, feed, &filenode, &plan).await?;
        }
        let blocks = self.blocks_per_chunk(&plan);
        let mut read = self.read(&feeds, feed, at.next_block, at.end_block, blocks).await?;
        while let Some(chunk) = read.take() {
            let next = chunk.next_block;
            let ahead = self.read(&feeds, feed, next, at.end_block, blocks);
            // Disjoint sessions: the source reads on while the target writes.
            let changes = changes_of(feed, &feeds, chunk.rows);
            let (ahead, written) = {
                let store = self.store_chunk(applier, at, changes, next, &chunk.snapshot);
                tokio::join!(ahead, store)
            };
            written?;
            (self.progress)(at);
            queue::serve(applier).await?;
            if self.shutdown.is_cancelled() {
                return Ok(());
            }
            read = ahead?;
        }
        // A rewrite of the table (VACUUM FULL, CLUSTER) renumbers its blocks: read it again.
        let now = snapshot::filenode(&self.source, table).await?.to_string();
        if now != filenode {
            let feed = feeds.name(feed);
            tracing::warn!(feed, "the table was rewritten while it was read; reading it again");
            return Ok(());
        }
        self.next_feed(applier, at, Some(feed)).await
    }

    /// On to the next feed, or to the next stage.
    async fn next_feed(
        &self,
        applier: &mut Applier,
        at: &mut Progress,
        feed: Option<Feed>,
    ) -> Result<()> {
        let to_read = Self::to_read(&applier.env.feeds, at);
        let next = feed.and_then(|feed| super::cursor::after(&to_read, feed));
        let Some(next) = next else {
            let tx = applier.begin().await?;
            self.advance(&tx, at, None).await?;
            tx.commit().await?;
            failpoint::hit("phase-advanced");
            return Ok(());
        };
        at.feed = Some(next);
        at.filenode = None;
        let sql = "update tributary.backfill set feed = $1, filenode = null, next_block = 0";
        applier.db.execute("target: advancing the backfill", sql, &[&next.number()]).await?;
        failpoint::hit("phase-advanced");
        Ok(())
    }

    async fn start_feed(
        &self,
        applier: &Applier,
        at: &mut Progress,
        feed: Feed,
        filenode: &str,
        plan: &snapshot::TablePlan,
    ) -> Result<()> {
        let mut estimated = at.rows_done + i64::try_from(plan.rows_estimated).unwrap_or(i64::MAX);
        let feeds = &applier.env.feeds;
        for later in Self::to_read(feeds, at).into_iter().skip_while(|other| *other != feed).skip(1)
        {
            let plan = snapshot::plan(&self.source, self.table(feeds, later)?).await?;
            estimated += i64::try_from(plan.rows_estimated).unwrap_or(0);
        }
        at.feed = Some(feed);
        at.filenode = Some(filenode.to_owned());
        at.next_block = 0;
        at.end_block = i64::try_from(plan.blocks).unwrap_or(i64::MAX);
        at.rows_estimated = estimated;
        let sql = "update tributary.backfill set feed = $1, filenode = $2, next_block = 0, end_block = $3, \
                   rows_estimated = $4";
        let params: [crate::pg::Param<'_>; 4] =
            [&feed.number(), &filenode, &at.end_block, &estimated];
        applier.db.execute("target: starting a feed", sql, &params).await?;
        failpoint::hit("table-started");
        let feed = feeds.name(feed);
        tracing::info!(feed, rows_estimated = plan.rows_estimated, "reading a feed");
        Ok(())
    }

    fn blocks_per_chunk(&self, plan: &snapshot::TablePlan) -> i64 {
        let rows_per_block = (plan.rows_estimated / plan.blocks.max(1)).max(1);
        let blocks = (self.config.run.chunk_rows as u64 / rows_per_block).max(1);
        i64::try_from(blocks).unwrap_or(1)
    }

    async fn read(
        &self,
        feeds: &Feeds,
        feed: Feed,
        from: i64,
        end: i64,
        blocks: i64,
    ) -> Result<Option<ReadChunk>> {
        if from >= end {
            return Ok(None);
        }
        let to = (from + blocks).min(end);
        let (from, to) = (from.unsigned_abs(), to.unsigned_abs());
        let begin = "begin isolation level repeatable read read only";
        self.source.batch_execute(begin).await.context("source: opening a snapshot")?;
        let row = self
            .source
            .query_one("select pg_current_snapshot()::text", &[])
            .await
            .context("source: reading the snapshot")?;
        let (name, columns) = (self.table(feeds, feed)?, feeds.get(feed).columns());
        let chunk = snapshot::read_chunk(&self.source, name, columns, from, to).await?;
        self.source.batch_execute("commit").await.context("source: closing a snapshot")?;
        let next_block = i64::try_from(chunk.next_block).unwrap_or(end);
        Ok(Some(ReadChunk { rows: chunk.rows, next_block, snapshot: row.get(0) }))
    }

    async fn store_chunk(
        &self,
        applier: &mut Applier,
        at: &mut Progress,
        changes: Vec<RowChange>,
        next_block: i64,
        snapshot: &str,
    ) -> Result<()> {
        let rows = changes.len() as i64;
        let tx = applier.begin().await?;
        let sql = "insert into tributary.backfill_chunk (generation, snapshot) values ($1, $2) \
                   returning id";
        let row = tx.query("target: noting a chunk", sql, &[&at.generation, &snapshot]).await?;
        let chunk: i64 = row.first().map_or(0, |row| row.get(0));
        let balance = applier.store_rows(&tx, &changes, Arrival::Chunk(chunk)).await?;
        let mut left_out = at.left_out.clone();
        left_out.add(&balance);
        left_out.save(&tx).await?;
        failpoint::hit("chunk-applied");
        let sql = "update tributary.backfill set next_block = $1, rows_done = rows_done + $2 \
                   where next_block = $3 and generation = $4 and phase = 'rows'";
        let params: [crate::pg::Param<'_>; 4] =
            [&next_block, &rows, &at.next_block, &at.generation];
        let advanced = tx.execute("target: advancing the backfill", sql, &params).await?;
        if advanced != 1 {
            return Err(Error::Superseded("the backfill moved on without this daemon".into()));
        }
        tx.commit().await?;
        failpoint::hit("chunk-committed");
        applier.add_chunk(chunk, snapshot)?;
        at.left_out = left_out;
        at.next_block = next_block;
        at.rows_done += rows;
        crate::metrics::count_backfill_rows(rows.unsigned_abs());
        Ok(())
    }
}

struct ReadChunk {
    rows: Vec<RawRow>,
    next_block: i64,
    snapshot: String,
}

fn changes_of(feed: Feed, feeds: &Feeds, rows: Vec<RawRow>) -> Vec<RowChange> {
    let change = |row: RawRow| RowChange::read(feed, feeds.source_key(feed, &row), Some(row));
    rows.into_iter().map(change).collect()
}
