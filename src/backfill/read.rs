//! Reading a source table in chunks, each committed with its cursor.

use super::{Backfill, Progress, change};
use crate::apply::{Arrival, Layouts, RowChange, Writer};
use crate::decisions::queue;
use crate::error::{Context, Error, Result};
use crate::facts::{Feed, RawRow, source_key};
use crate::failpoint;
use crate::source::snapshot;

impl Backfill<'_> {
    /// Reads a table from the cursor on. While one chunk is applied, the next one is read.
    pub(super) async fn read_table(
        &self,
        writer: &mut Writer,
        at: &mut Progress,
        table: Feed,
    ) -> Result<bool> {
        let plan = snapshot::plan(&self.source, self.table(table)).await?;
        let filenode = plan.filenode.to_string();
        if at.filenode.as_ref() != Some(&filenode) {
            self.start_table(writer, at, table, &filenode, &plan).await?;
        }
        let blocks = self.blocks_per_chunk(&plan);
        let layouts = writer.layouts.clone();
        let mut read = self.read(&layouts, table, at.next_block, at.end_block, blocks).await?;
        while let Some(chunk) = read.take() {
            let next = chunk.next_block;
            let ahead = self.read(&layouts, table, next, at.end_block, blocks);
            // Disjoint sessions: the source reads on while the target writes.
            let changes = changes_of(table, &layouts, chunk.rows);
            let (ahead, written) = {
                let apply = self.apply_chunk(writer, at, changes, next, &chunk.snapshot);
                tokio::join!(ahead, apply)
            };
            written?;
            (self.progress)(at);
            queue::serve(writer).await?;
            if self.shutdown.is_cancelled() {
                return Ok(false);
            }
            read = ahead?;
        }
        // A rewrite of the table (VACUUM FULL, CLUSTER) numbers its blocks anew: read it again.
        let now = snapshot::filenode(&self.source, self.table(table)).await?.to_string();
        if now == filenode {
            return Ok(true);
        }
        tracing::warn!(%table, "the table was rewritten while it was read; reading it again");
        Ok(false)
    }

    async fn start_table(
        &self,
        writer: &Writer,
        at: &mut Progress,
        table: Feed,
        filenode: &str,
        plan: &snapshot::TablePlan,
    ) -> Result<()> {
        let mut estimated = i64::try_from(plan.rows_estimated).unwrap_or(i64::MAX);
        estimated += match table {
            Feed::Systemeio => {
                let other = snapshot::plan(&self.source, self.table(Feed::Xendit)).await?;
                i64::try_from(other.rows_estimated).unwrap_or(0)
            }
            Feed::Xendit => at.rows_done,
        };
        at.filenode = Some(filenode.to_owned());
        at.next_block = 0;
        at.end_block = i64::try_from(plan.blocks).unwrap_or(i64::MAX);
        at.rows_estimated = estimated;
        let sql = "update tributary.backfill set filenode = $1, next_block = 0, end_block = $2, \
                   rows_estimated = $3";
        writer
            .db
            .execute("target: starting a table", sql, &[&filenode, &at.end_block, &estimated])
            .await?;
        failpoint::hit("table-started");
        tracing::info!(%table, rows_estimated = plan.rows_estimated, "reading a source table");
        Ok(())
    }

    fn blocks_per_chunk(&self, plan: &snapshot::TablePlan) -> i64 {
        let rows_per_block = (plan.rows_estimated / plan.blocks.max(1)).max(1);
        let blocks = (self.config.run.chunk_rows as u64 / rows_per_block).max(1);
        i64::try_from(blocks).unwrap_or(1)
    }

    async fn read(
        &self,
        layouts: &Layouts,
        table: Feed,
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
        let name = self.table(table);
        let chunk = match table {
            Feed::Xendit => {
                snapshot::read_chunk(&self.source, name, &layouts.xendit, from, to).await?
            }
            Feed::Systemeio => {
                snapshot::read_chunk(&self.source, name, &layouts.systemeio, from, to).await?
            }
        };
        self.source.batch_execute("commit").await.context("source: closing a snapshot")?;
        let next_block = i64::try_from(chunk.next_block).unwrap_or(end);
        Ok(Some(ReadChunk { rows: chunk.rows, next_block, snapshot: row.get(0) }))
    }

    async fn apply_chunk(
        &self,
        writer: &mut Writer,
        at: &mut Progress,
        changes: Vec<RowChange>,
        next_block: i64,
        snapshot: &str,
    ) -> Result<()> {
        let rows = changes.len() as i64;
        writer.begin().await?;
        let sql = "insert into tributary.backfill_chunk (generation, snapshot) values ($1, $2) \
                   returning id";
        let row =
            writer.db.query("target: noting a chunk", sql, &[&at.generation, &snapshot]).await?;
        let chunk: i64 = row.first().map_or(0, |row| row.get(0));
        writer.apply_changes(changes, Arrival::Chunk(chunk)).await?;
        failpoint::hit("chunk-applied");
        let sql = "update tributary.backfill set next_block = $1, rows_done = rows_done + $2 \
                   where next_block = $3 and generation = $4";
        let advanced = writer
            .db
            .execute(
                "target: advancing the backfill",
                sql,
                &[&next_block, &rows, &at.next_block, &at.generation],
            )
            .await?;
        if advanced != 1 {
            return Err(Error::Superseded("the backfill moved on without this daemon".into()));
        }
        writer.commit_data().await?;
        failpoint::hit("chunk-committed");
        writer.chunks.add(chunk, snapshot)?;
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

fn changes_of(table: Feed, layouts: &Layouts, rows: Vec<RawRow>) -> Vec<RowChange> {
    rows.into_iter()
        .map(|row| {
            let key = match table {
                Feed::Xendit => source_key(&row, &layouts.xendit),
                Feed::Systemeio => source_key(&row, &layouts.systemeio),
            };
            change(table, key, Some(row))
        })
        .collect()
}
