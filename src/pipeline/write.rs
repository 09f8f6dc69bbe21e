//! The loop's whole interface to the writer: one batch in one call, a large transaction in parts.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::apply::{Arrival, RowChange, Writer};
use crate::error::Result;
use crate::facts::{Feed, SourceKey};
use crate::http::Health;
use crate::lsn::Lsn;
use crate::session::Session;

/// Rows of one part of an accepted TRUNCATE.
const TRUNCATE_PART_ROWS: i64 = 4_000;

/// How long the stages of a batch took.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Stages {
    /// Row changes to stored rows.
    pub rows: Duration,
    /// People decided and written.
    pub people: Duration,
    /// Checkpoint and COMMIT.
    pub commit: Duration,
}

/// Applies changes and advances the checkpoint `from` → `to`, in one target transaction. The publication is
/// looked at meanwhile: the changes have arrived, so the answer covers them, and nothing is committed before
/// it is there.
///
/// # Errors
/// Those of both servers. The target transaction is then still open.
pub(super) async fn apply_batch(
    session: &mut Session,
    slot: &str,
    changes: Vec<RowChange>,
    (from, to): (Lsn, Lsn),
) -> Result<Stages> {
    let Session { writer, publication, .. } = session;
    let mut stages = Stages::default();
    let mut clock = Instant::now();
    let apply = async {
        writer.begin().await?;
        if changes.is_empty() {
            return Ok(None);
        }
        let touched = writer.apply_changes(changes, Arrival::Whole).await?;
        stages.rows = lap(&mut clock);
        let report = writer.recompute(&touched).await?;
        stages.people = lap(&mut clock);
        Ok(Some(report))
    };
    let (report, ()) = tokio::try_join!(apply, publication.is_unaltered())?;
    if let Some(report) = report {
        report.count();
    }
    clock = Instant::now();
    writer.commit(slot, from, to).await?;
    stages.commit = lap(&mut clock);
    Ok(stages)
}

/// Advances the checkpoint over log without changes of ours. It is on disk when this returns.
///
/// # Errors
/// As [`apply_batch`].
pub(super) async fn advance_durably(
    session: &Session,
    slot: &str,
    (from, to): (Lsn, Lsn),
) -> Result<()> {
    session.publication.is_unaltered().await?;
    let writer = &session.writer;
    writer.begin().await?;
    writer.db.batch("target: durable commit", "set local synchronous_commit = on").await?;
    writer.commit(slot, from, to).await
}

/// Opens the target transaction of a large source transaction; returns the rows of each feed before it.
///
/// # Errors
/// Those of the target.
pub(super) async fn begin_large(writer: &Writer) -> Result<HashMap<Feed, u64>> {
    let mut rows = HashMap::new();
    for table in Feed::ALL {
        rows.insert(table, writer.count_facts(table).await?);
    }
    writer.begin().await?;
    Ok(rows)
}

/// Applies a part of a large transaction.
///
/// # Errors
/// Those of both servers.
pub(super) async fn apply_part(writer: &mut Writer, changes: Vec<RowChange>) -> Result<()> {
    writer.apply_part(changes).await
}

/// Deletes every row of a feed as parts of a large transaction.
///
/// # Errors
/// Those of the target.
pub(super) async fn delete_all(writer: &mut Writer, table: Feed, health: &Health) -> Result<()> {
    loop {
        let keys = writer.some_keys(table, TRUNCATE_PART_ROWS).await?;
        if keys.is_empty() {
            return Ok(());
        }
        let changes = keys.into_iter().map(|key| deletion(table, key)).collect();
        writer.apply_part(changes).await?;
        health.tick();
    }
}

fn deletion(table: Feed, key: SourceKey) -> RowChange {
    RowChange { tx: 0, xid: None, table, key, previous: None, row: None, unchanged: Vec::new() }
}

/// Decides the people of a large transaction and commits it with the checkpoint.
///
/// # Errors
/// As [`apply_batch`].
pub(super) async fn commit_large(
    session: &mut Session,
    slot: &str,
    (from, to): (Lsn, Lsn),
    health: &Arc<Health>,
) -> Result<Stages> {
    session.publication.is_unaltered().await?;
    let mut clock = Instant::now();
    let report = session.writer.recompute_remembered(&|| health.tick()).await?;
    report.count();
    let people = lap(&mut clock);
    session.writer.commit(slot, from, to).await?;
    Ok(Stages { rows: Duration::ZERO, people, commit: lap(&mut clock) })
}

fn lap(clock: &mut Instant) -> Duration {
    let lap = clock.elapsed();
    *clock = Instant::now();
    lap
}

/// What was applied in one target transaction, for metrics and the log.
pub(super) struct Applied {
    pub(super) rows: usize,
    pub(super) transactions: u32,
    pub(super) stages: Stages,
    pub(super) started: Instant,
}

impl Applied {
    pub(super) fn report(&self) {
        let elapsed = self.started.elapsed();
        crate::metrics::count_batch(u64::from(self.transactions), elapsed, Timestamp::now());
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        tracing::debug!(
            rows = self.rows,
            transactions = self.transactions,
            ms = ms(elapsed),
            rows_ms = ms(self.stages.rows),
            people_ms = ms(self.stages.people),
            commit_ms = ms(self.stages.commit),
            "applied a batch"
        );
    }
}
