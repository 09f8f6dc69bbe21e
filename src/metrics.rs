//! Every metric: name, unit, help text and labels. No other file names one.
//!
//! Labels hold only words of this program and of its configuration (table roles, kinds, phases, feeds), never a customer value (P14), so
//! the number of series is bounded. Without [`install`] all functions do nothing.

mod names;
mod quality;
mod servers;
mod start;
mod work;

use std::time::Duration;

use jiff::Timestamp;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::error::{Error, Result};
use crate::facts::Note;
use crate::lsn::Lsn;
use crate::status::{Phase, Rollout, SlotLog};

use names::*;
use quality::note_kind;
pub use quality::set_conflicts;
pub(crate) use quality::{set_conflicts_open, set_left_out};
pub use servers::{count_error, count_reload};
pub(crate) use servers::{
    set_backfill_stage, set_certificate_expiry, set_checkpoint_at, set_oldest_review,
    set_password_expiry, set_pool, set_quarantined, set_slot_active,
};
pub use start::feeds as start_feeds;
pub(crate) use work::set_progress_at;
pub use work::{Batch, Stage, count_batch_content, count_rows_unchanged, set_queue, time};

/// Collects metrics from here on. Once a process; fails when something else collects already.
pub fn install() -> Result<PrometheusHandle> {
    let handle = builder()?
        .install_recorder()
        .map_err(|error| Error::failed("collecting metrics", error))?;
    describe();
    collect_process();
    Ok(handle)
}

/// Reads the metrics of the process (`process_*`) again.
pub fn collect_process() {
    metrics_process::Collector::default().collect();
}

fn builder() -> Result<PrometheusBuilder> {
    let buckets: [(&str, &[f64]); 5] = [
        (BATCH_SECONDS, &BATCH_BUCKETS),
        (STAGE_SECONDS, &STAGE_BUCKETS),
        (COMMIT_DELAY, &BATCH_BUCKETS),
        (BATCH_ROWS, &ROWS_BUCKETS),
        (BATCH_BYTES, &BYTES_BUCKETS),
    ];
    buckets.into_iter().try_fold(PrometheusBuilder::new(), |builder, (name, buckets)| {
        builder
            .set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets)
            .map_err(|error| Error::failed("collecting metrics", error))
    })
}

/// Sets the help texts, and starts every series.
fn describe() {
    for Metric(name, kind, unit, help) in METRICS {
        match kind {
            Kind::Counter => metrics::describe_counter!(*name, *unit, *help),
            Kind::Gauge => metrics::describe_gauge!(*name, *unit, *help),
            Kind::Histogram => metrics::describe_histogram!(*name, *unit, *help),
        }
    }
    metrics_process::Collector::default().describe();
    start::everything();
}

/// Rows written to a target table. `table` is its role, such as `profiles`; `op` is `insert`, `update` or
/// `delete`.
pub fn count_rows_applied(table: &'static str, op: &'static str, rows: u64) {
    metrics::counter!(ROWS_APPLIED, "table" => table, "op" => op).increment(rows);
}

/// One target transaction, with the source transactions it holds. `elapsed` runs from its first change to
/// its commit, at `committed_at`.
pub fn count_batch(source_transactions: u64, elapsed: Duration, committed_at: Timestamp) {
    metrics::counter!(BATCHES).increment(1);
    metrics::counter!(TRANSACTIONS).increment(source_transactions);
    metrics::histogram!(BATCH_SECONDS).record(elapsed.as_secs_f64());
    metrics::gauge!(LAST_COMMIT).set(committed_at.as_duration().as_secs_f64());
}

/// Row changes that arrived. `op` is `upsert`, `rekey` or `delete`.
pub fn count_changes(feed: &str, op: &'static str, changes: u64) {
    metrics::counter!(CHANGES, "source" => feed.to_owned(), "op" => op).increment(changes);
}

/// Source rows read for a backfill.
pub fn count_backfill_rows(rows: u64) {
    metrics::counter!(BACKFILL_READ).increment(rows);
}

/// The notes of facts that were read, also those that are not stored (SPEC §6).
pub fn count_notes<'a>(notes: impl Iterator<Item = &'a Note>) {
    for note in notes {
        metrics::counter!(NOTES, "kind" => note_kind(note.kind)).increment(1);
    }
}

/// A connection had to be re-established. `server` is `source` or `target`.
pub fn count_reconnect(server: &'static str) {
    metrics::counter!(RECONNECTS, "server" => server).increment(1);
}

/// Everything up to here is applied.
pub(crate) fn set_checkpoint_lsn(lsn: Lsn) {
    metrics::gauge!(CHECKPOINT_LSN).set(lsn.0 as f64);
}

/// The end of the source's log.
pub(crate) fn set_source_lsn(lsn: Lsn) {
    metrics::gauge!(SOURCE_LSN).set(lsn.0 as f64);
}

/// Log between the two.
pub(crate) fn set_lag_bytes(bytes: u64) {
    metrics::gauge!(LAG_BYTES).set(bytes as f64);
}

/// See [`crate::status::Status::lag_seconds`].
pub(crate) fn set_lag_seconds(seconds: f64) {
    metrics::gauge!(LAG_SECONDS).set(seconds);
}

/// See [`crate::status::Backfill`].
pub(crate) fn set_backfill(rows_done: u64, rows_estimated: u64) {
    metrics::gauge!(BACKFILL_DONE).set(rows_done as f64);
    metrics::gauge!(BACKFILL_ESTIMATED).set(rows_estimated as f64);
}

/// How far the rollout is.
pub(crate) fn set_rollout(rollout: &Rollout) {
    metrics::gauge!(ROLLOUT).set(f64::from(rollout.percent));
    let outside = rollout.outside;
    for (table, rows) in [
        ("profiles", outside.profiles),
        ("transactions", outside.transactions),
        ("enrollments", outside.enrollments),
    ] {
        metrics::gauge!(OUTSIDE, "table" => table).set(rows as f64);
    }
}

/// Whether an operator must act (P9).
pub(crate) fn set_halted(halted: bool) {
    metrics::gauge!(HALTED).set(f64::from(u8::from(halted)));
}

/// Whether progress stands still.
pub(crate) fn set_frozen(frozen: bool) {
    metrics::gauge!(FROZEN).set(f64::from(u8::from(frozen)));
}

/// The phase.
pub(crate) fn set_phase(now: Phase) {
    for phase in Phase::ALL {
        metrics::gauge!(PHASE, "phase" => phase.as_str()).set(f64::from(u8::from(phase == now)));
    }
}

/// Share of everything that was verified within `verify.every`.
pub(crate) fn set_verified_share(share: f64) {
    metrics::gauge!(VERIFIED_SHARE).set(share);
}

/// Nothing is known of verifications: another daemon works on the target, and records its own.
pub(crate) fn forget_verified() {
    for name in [VERIFIED_SHARE, VERIFY_UNSETTLED, VERIFY_LAST] {
        metrics::gauge!(name).set(f64::NAN);
    }
    for table in VERIFIED_TABLES {
        metrics::gauge!(VERIFY_DIFFERENCES, "table" => table).set(f64::NAN);
    }
}

/// What the last complete verification beside the stream found, by table, and when it ended.
pub(crate) fn set_verified<'a>(
    tables: impl Iterator<Item = (&'a str, u64)>,
    unsettled: u64,
    ended_at: Timestamp,
) {
    for (table, rows) in tables {
        metrics::gauge!(VERIFY_DIFFERENCES, "table" => table.to_owned()).set(rows as f64);
    }
    metrics::gauge!(VERIFY_UNSETTLED).set(unsettled as f64);
    metrics::gauge!(VERIFY_LAST).set(ended_at.as_duration().as_secs_f64());
}

/// The log that the source keeps for the slot; `None`: it is not known, as of a daemon that does not work any more.
pub(crate) fn set_slot_log(log: Option<&SlotLog>) {
    let set = |name, value: fn(&SlotLog) -> f64| {
        metrics::gauge!(name).set(log.map_or(f64::NAN, value));
    };
    set(WAL_RETAINED, |log| log.retained_bytes as f64);
    set(WAL_SAFE, |log| log.safe_bytes.map_or(f64::INFINITY, |bytes| bytes as f64));
    set(WAL_SECONDS, |log| log.seconds_to_loss.unwrap_or(f64::INFINITY));
    for status in WAL_STATUSES {
        let is_now = |log: &SlotLog| f64::from(u8::from(log.wal_status.as_deref() == Some(status)));
        metrics::gauge!(WAL_STATUS, "status" => status).set(log.map_or(f64::NAN, is_now));
    }
}

/// Whether this daemon is the one writer of its target.
pub(crate) fn set_leading(leads: bool) {
    metrics::gauge!(IS_LEADER).set(f64::from(u8::from(leads)));
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
