//! The backfill: both source tables in chunks, then the people in key ranges (SPEC §8, DESIGN "backfill
//! without a long snapshot").
//!
//! The slot exists before the first chunk is read, so whatever changes meanwhile is in the stream. Each
//! chunk commits with its cursor: a crash resumes at the last chunk. Facts come first and people
//! afterwards, so that each person is unified once. A later backfill is a reconcile: facts carry the
//! generation of the backfill that saw them, and what the source no longer has is swept at the end, under
//! the guard of P9. A rebuild is the second half alone.

mod read;
mod sweep;

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::apply::{Db, Param, Report, Round, RowChange, Writer};
use crate::config::{Config, TableName};
use crate::decisions::queue;
use crate::error::{Error, Result};
use crate::facts::{Feed, RawRow};
use crate::source::slot;

/// Owners unified in one target transaction of the people phase.
const OWNERS_PER_COMMIT: i64 = 2_000;

/// Where a backfill is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Which reconcile this is.
    pub generation: i64,
    /// `contacts`, `payments`, `sweep`, `people`, `groups` or `done`.
    pub phase: String,
    /// Rows read so far, over restarts.
    pub rows_done: i64,
    /// Rows of both tables, as the source's planner estimates them.
    pub rows_estimated: i64,
    /// The rules it began under.
    pub rules: Option<String>,
    filenode: Option<String>,
    next_block: i64,
    end_block: i64,
    next_owner: Option<String>,
}

/// What a backfill needs beside the writer.
pub struct Backfill<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// A session on the source of its own.
    pub source: Arc<Client>,
    /// A session on the target of its own, to read facts.
    pub reader: Arc<Db>,
    /// Ends the backfill after the current chunk.
    pub shutdown: &'a CancellationToken,
    /// Told after every commit.
    pub progress: &'a (dyn Fn(&Progress) + Sync),
}

/// The backfill under way or the last one, if any.
///
/// # Errors
/// Those of the target.
pub async fn progress(db: &Db) -> Result<Option<Progress>> {
    let sql = "select generation, phase, rows_done, rows_estimated, filenode, next_block, end_block, \
               next_owner, rules from tributary.backfill";
    let rows = db.query("target: reading the backfill", sql, &[]).await?;
    Ok(rows.first().map(|row| Progress {
        generation: row.get(0),
        phase: row.get(1),
        rows_done: row.get(2),
        rows_estimated: row.get(3),
        filenode: row.get(4),
        next_block: row.get(5),
        end_block: row.get(6),
        next_owner: row.get(7),
        rules: row.get(8),
    }))
}

/// Schedules a full reconcile (`contacts`) or a rebuild from the stored facts (`people`). One that is under
/// way starts over.
///
/// # Errors
/// Those of the target.
pub async fn schedule(writer: &Writer, config: &Config, phase: &str) -> Result<()> {
    let sql = "insert into tributary.backfill (generation, phase, rules) values (1, $1, $2) \
               on conflict (only_row) do update set phase = excluded.phase, rules = excluded.rules, \
               generation = backfill.generation + case when $1 = 'people' then 0 else 1 end, \
               filenode = null, next_block = 0, end_block = 0, next_owner = null, rows_done = 0, \
               rows_estimated = 0, started_at = now(), finished_at = null";
    writer.db.execute("target: scheduling a backfill", sql, &[&phase, &rules(config)]).await?;
    Ok(())
}

/// All rules in one text, to tell whether they changed.
#[must_use]
pub fn rules(config: &Config) -> String {
    format!("{} {}", config.facts_hash(), config.people_hash())
}

impl Backfill<'_> {
    /// Runs the scheduled backfill to its end, or until shutdown (`false`).
    ///
    /// # Errors
    /// Those of both servers; [`Error::Halted`] in front of a sweep that the guard stops.
    pub async fn run(&self, writer: &mut Writer) -> Result<bool> {
        let Some(mut at) = progress(&writer.db).await? else { return Ok(true) };
        writer.generation = at.generation;
        while at.phase != "done" {
            if self.shutdown.is_cancelled() {
                return Ok(false);
            }
            let finished = match at.phase.as_str() {
                "contacts" => self.read_table(writer, &mut at, Feed::Systemeio).await?,
                "payments" => self.read_table(writer, &mut at, Feed::Xendit).await?,
                "sweep" => self.sweep(writer, &at).await?,
                "people" => self.people(writer, &mut at).await?,
                _ => self.groups(writer).await?,
            };
            if finished {
                self.next_phase(writer, &mut at).await?;
            }
            (self.progress)(&at);
        }
        Ok(true)
    }

    /// Runs one bounded round of a rebuild, from the cursor on; `true`: it is finished.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn round(&self, writer: &mut Writer) -> Result<bool> {
        let Some(mut at) = progress(&writer.db).await? else { return Ok(true) };
        match at.phase.as_str() {
            "people" => {
                let after = at.next_owner.clone().unwrap_or_default();
                let round = joined(self.load_round(writer, after)).await?;
                match round.as_ref().and_then(|round| Some((round, round.last()?.clone()))) {
                    Some((round, last)) => self.write_round(writer, &mut at, round, last).await?,
                    None => self.next_phase(writer, &mut at).await?,
                }
            }
            "groups" => {
                self.groups(writer).await?;
                self.next_phase(writer, &mut at).await?;
            }
            _ => return Ok(true),
        }
        (self.progress)(&at);
        Ok(at.phase == "done")
    }

    async fn next_phase(&self, writer: &Writer, at: &mut Progress) -> Result<()> {
        let next = match at.phase.as_str() {
            "contacts" => "payments",
            "payments" => "sweep",
            "sweep" => "people",
            "people" => "groups",
            _ => "done",
        };
        tracing::info!(finished = at.phase, rows = at.rows_done, next, "backfill phase finished");
        at.phase = next.to_owned();
        (at.filenode, at.next_block, at.end_block) = (None, 0, 0);
        if next == "sweep" {
            // What was read may be as new as this; the stream repeats everything up to here.
            let until = slot::current_lsn(&self.source).await?.to_string();
            let sql = "update tributary.state set backfilled_until = $1::text::pg_lsn";
            writer.db.execute("target: noting the end of reading", sql, &[&until]).await?;
        }
        if next == "done" {
            let sql = "update tributary.state set facts_hash = $1, people_hash = $2";
            let hashes = (self.config.facts_hash(), self.config.people_hash());
            writer.db.execute("target: noting the rules", sql, &[&hashes.0, &hashes.1]).await?;
        }
        let sql = "update tributary.backfill set phase = $1, filenode = null, next_block = 0, \
                   end_block = 0, finished_at = case when $1 = 'done' then now() end";
        writer.db.execute("target: advancing the backfill", sql, &[&next]).await?;
        Ok(())
    }

    fn table(&self, table: Feed) -> &TableName {
        match table {
            Feed::Xendit => &self.config.source.xendit.table,
            Feed::Systemeio => &self.config.source.systemeio.table,
        }
    }

    /// Unifies everybody from the cursor on. While one round is written, the next one is loaded and unified
    /// on another session: facts do not change meanwhile.
    async fn people(&self, writer: &mut Writer, at: &mut Progress) -> Result<bool> {
        let mut next = self.load_round(writer, at.next_owner.clone().unwrap_or_default());
        while let Some(round) = joined(next).await? {
            let Some(last) = round.last().cloned() else { break };
            next = self.load_round(writer, last.clone());
            self.write_round(writer, at, &round, last.clone()).await?;
            (self.progress)(at);
            if queue::serve(writer).await? {
                // What was loaded ahead does not know what was decided.
                next.abort();
                next = self.load_round(writer, last);
            }
            if self.shutdown.is_cancelled() {
                next.abort();
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn load_round(&self, writer: &Writer, after: String) -> JoinHandle<Result<Option<Round>>> {
        let (reader, rules, today) =
            (Arc::clone(&self.reader), Arc::clone(&writer.rules), writer.today);
        tokio::spawn(
            async move { Round::next(&reader, &after, OWNERS_PER_COMMIT, &rules, today).await },
        )
    }

    async fn write_round(
        &self,
        writer: &mut Writer,
        at: &mut Progress,
        round: &Round,
        last: String,
    ) -> Result<()> {
        writer.begin().await?;
        let mut people = BTreeSet::new();
        let report: Report = writer.apply_round(round, &mut people).await?;
        report.count();
        let sql = "update tributary.backfill set next_owner = $1 \
                   where generation = $2 and phase = 'people' \
                   and next_owner is not distinct from $3";
        let params: [Param<'_>; 3] = [&last, &at.generation, &at.next_owner];
        let advanced = writer.db.execute("target: advancing the backfill", sql, &params).await?;
        if advanced != 1 {
            return Err(Error::Superseded("the backfill moved on without this daemon".into()));
        }
        writer.commit_data().await?;
        at.next_owner = Some(last);
        Ok(())
    }

    async fn groups(&self, writer: &mut Writer) -> Result<bool> {
        writer.begin().await?;
        writer.judge_everything().await?;
        writer.commit_data().await?;
        Ok(true)
    }
}

async fn joined<T>(task: JoinHandle<Result<T>>) -> Result<T> {
    task.await.map_err(|error| Error::failed("loading people", error))?
}

fn change(table: Feed, key: crate::facts::SourceKey, row: Option<RawRow>) -> RowChange {
    RowChange { tx: 0, xid: None, table, key, previous: None, row, unchanged: Vec::new() }
}
