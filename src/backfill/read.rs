//! Reading a feed in chunks, each committed with its cursor.

use tokio_postgres::error::SqlState;

use super::{Backfill, Progress};
use crate::apply::Applier;
use crate::decisions::queue;
use crate::engine::{Arrival, Feeds, RowChange};
use crate::error::{Error, Result, Server};
use crate::facts::{Feed, RawRow};
use crate::failpoint;
use crate::pg::Tx;
use crate::source::snapshot::{self, Place};

/// Chunks read in one go beside the stream: two, so that one is read while the other is stored, and batches wait for a
/// fraction of a second.
const CHUNKS_PER_ROUND: Option<usize> = Some(2);

/// What came of reading beside the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Round {
    /// Chunks were stored, or the feed is at its end.
    Done,
    /// Nothing can be read at the moment.
    Waits,
}

impl Backfill<'_> {
    /// Reads the feed at the cursor to its end, or until shutdown, and serves commands after each chunk.
    pub(super) async fn read_feed(&self, applier: &mut Applier, at: &mut Progress) -> Result<()> {
        self.read_chunks(applier, at, None, &mut Pace::default()).await
    }

    /// Reads the next chunks of the feed at the cursor, beside the stream: no batch may be applied meanwhile, and the source must
    /// show everything that was applied. Where its table is locked nothing is read, and it is tried again later.
    ///
    /// # Errors
    /// Those of both servers.
    pub async fn read_round(
        &self,
        applier: &mut Applier,
        at: &mut Progress,
        pace: &mut Pace,
    ) -> Result<Round> {
        let is_locked = |error: &Error| {
            error.server() == Some(Server::Source)
                && error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE)
        };
        match self.read_chunks(applier, at, CHUNKS_PER_ROUND, pace).await {
            Err(error) if is_locked(&error) => {
                snapshot::close(&self.source).await?;
                Ok(Round::Waits)
            }
            other => other.map(|()| Round::Done),
        }
    }

    /// While one chunk is stored, the next one is read. Up to `most` chunks are read; `None`: all of them, and commands are served
    /// in between.
    async fn read_chunks(
        &self,
        applier: &mut Applier,
        at: &mut Progress,
        most: Option<usize>,
        pace: &mut Pace,
    ) -> Result<()> {
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
        let most_blocks = self.blocks_per_chunk(&plan);
        let mut range = Range {
            from: Place::start_of(at.next_block.unsigned_abs()),
            end: at.end_block.unsigned_abs(),
            blocks: pace.blocks(most_blocks),
        };
        let mut read = self.read(&feeds, feed, range).await?;
        let mut chunks = 0;
        while let Some(chunk) = read.take() {
            let next = chunk.next;
            chunks += 1;
            pace.note(range.blocks, next.block - range.from.block);
            range.blocks = pace.blocks(most_blocks);
            range.from = next;
            // The last one of a round must not be read before the batches that come after it are applied; a block that is read in
            // parts is read to its end.
            let is_last = most.is_some_and(|most| chunks >= most) && next.is_start();
            let end = if is_last { next.block } else { range.end };
            let ahead = self.read(&feeds, feed, Range { end, ..range });
            // Disjoint sessions: the source reads on while the target writes.
            let changes = changes_of(feed, &feeds, chunk.rows);
            let (ahead, written) = {
                let store = self.store_chunk(applier, at, changes, next, &chunk.snapshot);
                tokio::join!(ahead, store)
            };
            written?;
            (self.progress)(at);
            self.note_position(applier).await?;
            if most.is_none() {
                queue::serve(applier).await?;
            }
            if self.shutdown.is_cancelled() {
                return Ok(());
            }
            read = ahead?;
        }
        if at.next_block < at.end_block {
            return Ok(());
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

    fn blocks_per_chunk(&self, plan: &snapshot::TablePlan) -> u64 {
        let rows_per_block = (plan.rows_estimated / plan.blocks.max(1)).max(1);
        (self.config.run.chunk_rows as u64 / rows_per_block).max(1)
    }

    async fn read(
        &self,
        feeds: &Feeds,
        feed: Feed,
        Range { from, end, blocks }: Range,
    ) -> Result<Option<ReadChunk>> {
        if from.block >= end {
            return Ok(None);
        }
        let to = (from.block + blocks).min(end);
        let snapshot = snapshot::open(&self.source).await?;
        let (name, columns) = (self.table(feeds, feed)?, feeds.get(feed).columns());
        let chunk = snapshot::read_chunk(&self.source, name, columns, from, to).await?;
        snapshot::close(&self.source).await?;
        Ok(Some(ReadChunk { rows: chunk.rows, next: chunk.next, snapshot }))
    }

    async fn store_chunk(
        &self,
        applier: &mut Applier,
        at: &mut Progress,
        changes: Vec<RowChange>,
        next: Place,
        snapshot: &str,
    ) -> Result<()> {
        // A crash within a block that is read in parts repeats it: what is stored already is seen again.
        let next_block = i64::try_from(next.block).unwrap_or(i64::MAX);
        let rows = changes.len() as i64;
        let tx = applier.begin().await?;
        let chunk = note_chunk(&tx, at.generation, snapshot).await?;
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

/// Notes the snapshot that rows are read in; returns its number.
pub(super) async fn note_chunk(tx: &Tx, generation: i64, snapshot: &str) -> Result<i64> {
    let sql =
        "insert into tributary.backfill_chunk (generation, snapshot) values ($1, $2) returning id";
    let row = tx.query("target: noting a chunk", sql, &[&generation, &snapshot]).await?;
    Ok(row.first().map_or(0, |row| row.get(0)))
}

struct ReadChunk {
    rows: Vec<RawRow>,
    next: Place,
    snapshot: String,
}

/// How many blocks a chunk has, as far as its rows turned out to be large.
#[derive(Debug, Default)]
pub struct Pace {
    blocks: Option<u64>,
}

impl Pace {
    /// Blocks of the next chunk, of which there are `most`.
    fn blocks(&self, most: u64) -> u64 {
        self.blocks.map_or(most, |blocks| blocks.min(most))
    }

    /// Notes how many blocks were asked for and how many could be read at once. What is asked for grows slowly again: what is
    /// above the limit is sent for nothing.
    fn note(&mut self, asked: u64, read: u64) {
        self.blocks = match self.blocks {
            _ if read < asked => Some(read.max(1)),
            known => known.map(|_| asked + (asked / 8).max(1)),
        };
    }
}

/// What is read next of a table.
#[derive(Debug, Clone, Copy)]
struct Range {
    from: Place,
    /// The block before which the reading ends.
    end: u64,
    /// Blocks of one chunk.
    blocks: u64,
}

fn changes_of(feed: Feed, feeds: &Feeds, rows: Vec<RawRow>) -> Vec<RowChange> {
    let change = |row: RawRow| RowChange::read(feed, feeds.source_key(feed, &row), Some(row));
    rows.into_iter().map(change).collect()
}
