//! The loop's whole interface to the applier: one batch in one call, a large transaction in parts.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use tokio::time::Instant;

use crate::apply::Applier;
use crate::engine::RowChange;
use crate::error::Result;
use crate::facts::Feed;
use crate::failpoint;
use crate::http::Health;
use crate::lsn::Lsn;
use crate::pg::{Db, Group, Tx};
use crate::session::Session;
use crate::status::Phase;
use crate::store::checkpoint::{self, Advance};
use crate::store::row;
use crate::traces;

/// Rows of one part of an accepted TRUNCATE.
const TRUNCATE_PART_ROWS: i64 = 4_000;

/// How long the stages of a batch took.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Stages {
    /// Row changes to stored rows, people decided and written.
    pub apply: Duration,
    /// Whether the target refused it at first.
    pub was_refused: bool,
}

fn advance(slot: &str, (from, to): (Lsn, Lsn)) -> Advance {
    Advance { slot: slot.to_owned(), from, to }
}

/// Applies changes and advances the checkpoint, in one target transaction. The publication is looked at meanwhile: the
/// changes have arrived, so the answer covers them. Where it was altered the caller starts over, and a reconcile
/// follows.
///
/// # Errors
/// Those of both servers.
pub(super) async fn apply_batch(
    session: &mut Session,
    slot: &str,
    changes: &[RowChange],
    span: (Lsn, Lsn),
) -> Result<Stages> {
    let started = Instant::now();
    let advance = advance(slot, span);
    let Session { applier, publication, .. } = session;
    let unaltered = publication.is_unaltered();
    if changes.is_empty() {
        unaltered.await?;
        applier.advance(&advance, false).await?;
        return Ok(Stages { apply: started.elapsed(), was_refused: false });
    }
    let applied = applier.apply_batch(changes, &advance, unaltered).await?;
    applied.report.count();
    failpoint::hit("batch-committed");
    Ok(Stages { apply: started.elapsed(), was_refused: applied.was_refused })
}

/// Advances the checkpoint over log without changes of ours. It is on disk when this returns.
///
/// # Errors
/// As [`apply_batch`].
pub(super) async fn advance_durably(session: &Session, slot: &str, span: (Lsn, Lsn)) -> Result<()> {
    session.publication.is_unaltered().await?;
    session.applier.advance(&advance(slot, span), true).await?;
    failpoint::hit("idle-committed");
    Ok(())
}

/// How many rows of a feed are stored.
///
/// # Errors
/// Those of the target.
pub(super) async fn count_rows(target: &Db, feed: Feed) -> Result<u64> {
    Ok(row::count(target, feed, 0).await?.0)
}

/// Applies a part of a large transaction.
///
/// # Errors
/// Those of both servers.
pub(super) async fn apply_part(applier: &mut Applier, changes: &[RowChange]) -> Result<()> {
    let tx = Tx::on(&applier.db);
    applier.apply_part(&tx, changes).await?;
    failpoint::hit("part-applied");
    Ok(())
}

/// Rows of a feed that the open large transaction deleted.
///
/// # Errors
/// Those of the target.
pub(super) async fn deleted_so_far(applier: &Applier, feed: Feed) -> Result<u64> {
    applier.deleted_so_far(&Tx::on(&applier.db), feed).await
}

/// How many rows of a feed there are that a TRUNCATE takes: what was read after it stays.
///
/// # Errors
/// Those of the target.
pub(super) async fn count_truncated(
    applier: &Applier,
    target: &Db,
    feed: Feed,
    xid: u32,
) -> Result<u64> {
    row::count_of_others(target, feed, &applier.env.chunks.containing(xid)).await
}

/// Deletes every row of a feed that a TRUNCATE takes, as parts of a large transaction.
///
/// # Errors
/// Those of the target.
pub(super) async fn delete_all(
    applier: &mut Applier,
    feed: Feed,
    xid: u32,
    health: &Health,
) -> Result<()> {
    let tx = Tx::on(&applier.db);
    let mut after = String::new();
    loop {
        let keys = applier.keys_after(&tx, feed, &after, TRUNCATE_PART_ROWS).await?;
        let Some(last) = keys.last() else { return Ok(()) };
        after.clone_from(&last.0);
        let gone = |key| RowChange { xid: Some(xid), ..RowChange::read(feed, key, None) };
        let changes: Vec<RowChange> = keys.into_iter().map(gone).collect();
        applier.apply_part(&tx, &changes).await?;
        health.step();
    }
}

/// Decides the people of a large transaction and commits it with the checkpoint.
///
/// # Errors
/// As [`apply_batch`].
pub(super) async fn commit_large(
    session: &mut Session,
    slot: &str,
    span: (Lsn, Lsn),
    health: &Arc<Health>,
) -> Result<Stages> {
    session.publication.is_unaltered().await?;
    let started = Instant::now();
    let tx = Tx::on(&session.applier.db);
    let report = session.applier.finish_large(&tx, &|| health.step()).await?;
    failpoint::hit("parts-recomputed");
    let mut group = Group::default();
    checkpoint::advance(&mut group, &advance(slot, span));
    group.send(&tx).await?;
    tx.commit().await?;
    report.count();
    failpoint::hit("batch-committed");
    Ok(Stages { apply: started.elapsed(), was_refused: false })
}

/// What was applied in one target transaction, for metrics and the log.
pub(super) struct Applied {
    pub(super) rows: usize,
    pub(super) bytes: usize,
    pub(super) source_commit: Option<Timestamp>,
    pub(super) transactions: u32,
    pub(super) stages: Stages,
    pub(super) started: Instant,
}

impl Applied {
    pub(super) fn report(&self, slot: &str, phase: Phase) {
        let elapsed = self.started.elapsed();
        let now = Timestamp::now();
        crate::metrics::count_batch(u64::from(self.transactions), elapsed, now);
        let &Self { rows, bytes, source_commit, stages, .. } = self;
        let was_refused = stages.was_refused;
        let batch = crate::metrics::Batch { rows, bytes, source_commit, was_refused };
        crate::metrics::count_batch_content(&batch, now);
        self.trace(slot, phase, elapsed);
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        tracing::debug!(
            rows = self.rows,
            transactions = self.transactions,
            ms = ms(elapsed),
            apply_ms = ms(self.stages.apply),
            was_refused = self.stages.was_refused,
            "applied a batch"
        );
    }

    /// Transactions without a change of ours leave no trace.
    fn trace(&self, slot: &str, phase: Phase, elapsed: Duration) {
        let Some(source_commit) = self.source_commit.map(SystemTime::from) else { return };
        let now = SystemTime::now();
        traces::batch(&traces::Batch {
            slot,
            phase: phase.as_str(),
            source_commit,
            started: now.checked_sub(elapsed).unwrap_or(now),
            rows: self.rows,
            bytes: self.bytes,
            transactions: self.transactions,
            was_refused: self.stages.was_refused,
        });
    }
}
