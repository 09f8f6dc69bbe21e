//! Every metric: name, unit, help text and labels. No other file names one.
//!
//! Labels hold only words of this program and of its configuration (table roles, kinds, phases, feeds), never a customer value (P14), so
//! the number of series is bounded. Without [`install`] all functions do nothing.

mod quality;
mod servers;
mod start;
mod work;

use std::time::Duration;

use jiff::Timestamp;
use metrics::Unit;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::error::{Error, Result};
use crate::facts::Note;
use crate::lsn::Lsn;
use crate::status::{Phase, Rollout, SlotLog};

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

const ROWS_APPLIED: &str = "tributary_rows_applied_total";
const TRANSACTIONS: &str = "tributary_transactions_total";
const BATCHES: &str = "tributary_batches_total";
const BATCH_SECONDS: &str = "tributary_batch_seconds";
const CHANGES: &str = "tributary_changes_total";
const NOTES: &str = "tributary_notes_total";
const RECONNECTS: &str = "tributary_reconnects_total";
const CHECKPOINT_LSN: &str = "tributary_checkpoint_lsn";
const SOURCE_LSN: &str = "tributary_source_lsn";
const LAG_BYTES: &str = "tributary_lag_bytes";
const LAG_SECONDS: &str = "tributary_lag_seconds";
const BACKFILL_READ: &str = "tributary_backfill_rows_read_total";
const BACKFILL_DONE: &str = "tributary_backfill_rows_done";
const BACKFILL_ESTIMATED: &str = "tributary_backfill_rows_estimated";
const CONFLICTS: &str = "tributary_conflicts";
const CONFLICTS_OPEN: &str = "tributary_conflicts_open";
const LEFT_OUT: &str = "tributary_rows_left_out";
const ROLLOUT: &str = "tributary_rollout_percent";
const OUTSIDE: &str = "tributary_rollout_outside_rows";
const HALTED: &str = "tributary_halted";
const FROZEN: &str = "tributary_frozen";
const PHASE: &str = "tributary_phase";
const IS_LEADER: &str = "tributary_is_leader";
const LAST_COMMIT: &str = "tributary_last_commit_timestamp_seconds";
const VERIFIED_SHARE: &str = "tributary_verified_share";
const VERIFY_DIFFERENCES: &str = "tributary_verify_differences";
const VERIFY_UNSETTLED: &str = "tributary_verify_unsettled";
const VERIFY_LAST: &str = "tributary_verify_last_timestamp_seconds";
const WAL_RETAINED: &str = "tributary_slot_retained_bytes";
const WAL_SAFE: &str = "tributary_slot_safe_bytes";
/// Every wal_status of a slot.
const WAL_STATUSES: [&str; 4] = ["reserved", "extended", "unreserved", "lost"];
/// What a verification compares.
const VERIFIED_TABLES: [&str; 5] =
    ["source_rows", "profiles", "transactions", "enrollments", "conflicts"];
const WAL_STATUS: &str = "tributary_slot_wal_status";
const WAL_SECONDS: &str = "tributary_slot_loss_seconds";
const BUILD_INFO: &str = "tributary_build_info";
const RELOADS: &str = "tributary_reloads_total";
const STAGE_SECONDS: &str = "tributary_stage_seconds";
const BATCH_ROWS: &str = "tributary_batch_rows";
const BATCH_BYTES: &str = "tributary_batch_bytes";
const BATCHES_REFUSED: &str = "tributary_batches_refused_total";
const COMMIT_DELAY: &str = "tributary_commit_delay_seconds";
const ROWS_UNCHANGED: &str = "tributary_rows_unchanged_total";
const SOURCE_COMMIT_AT: &str = "tributary_source_commit_timestamp_seconds";
const CHECKPOINT_AT: &str = "tributary_checkpoint_timestamp_seconds";
const PROGRESS_AT: &str = "tributary_progress_timestamp_seconds";
const SLOT_ACTIVE: &str = "tributary_slot_active";
const OLDEST_REVIEW_AT: &str = "tributary_conflict_oldest_review_timestamp_seconds";
const QUARANTINED: &str = "tributary_quarantined_owners";
const ERRORS: &str = "tributary_errors_total";
const QUEUE_BYTES: &str = "tributary_queue_bytes";
const QUEUE_EVENTS: &str = "tributary_queue_events";
const POOL: &str = "tributary_pool_connections";
const BACKFILL_STAGE: &str = "tributary_backfill_stage";
const PASSWORD_EXPIRY: &str = "tributary_password_expiry_timestamp_seconds";
const CERTIFICATE_EXPIRY: &str = "tributary_certificate_expiry_timestamp_seconds";

enum Kind {
    Counter,
    Gauge,
    Histogram,
}

struct Metric(&'static str, Kind, Unit, &'static str);

const fn counter(name: &'static str, help: &'static str) -> Metric {
    Metric(name, Kind::Counter, Unit::Count, help)
}

const fn gauge(name: &'static str, unit: Unit, help: &'static str) -> Metric {
    Metric(name, Kind::Gauge, unit, help)
}

const fn histogram(name: &'static str, unit: Unit, help: &'static str) -> Metric {
    Metric(name, Kind::Histogram, unit, help)
}

const METRICS: &[Metric] = &[
    counter(
        ROWS_APPLIED,
        "Rows written to the target, by table role (table) and insert, update or delete (op).",
    ),
    counter(TRANSACTIONS, "Source transactions applied."),
    counter(BATCHES, "Target transactions committed by the apply loop."),
    histogram(
        BATCH_SECONDS,
        Unit::Seconds,
        "Time from the first change of a target transaction to its commit.",
    ),
    counter(CHANGES, "Row changes received, by feed (source) and upsert, rekey or delete (op)."),
    counter(
        NOTES,
        "Data-quality notes of the rows read, by kind; timezone_assumed and currency_assumed are only here.",
    ),
    counter(
        RECONNECTS,
        "Times a connection was re-established after a failure, by server (source, target).",
    ),
    gauge(
        CHECKPOINT_LSN,
        Unit::Bytes,
        "Position in the source's log up to which everything is applied.",
    ),
    gauge(SOURCE_LSN, Unit::Bytes, "End of the source's log when last asked."),
    gauge(LAG_BYTES, Unit::Bytes, "Source log that is not applied yet."),
    gauge(
        LAG_SECONDS,
        Unit::Seconds,
        "Age of the newest applied change when it was committed, 0 when nothing waits.",
    ),
    counter(BACKFILL_READ, "Source rows that this process read for backfills."),
    gauge(BACKFILL_DONE, Unit::Count, "Source rows read by the current backfill."),
    gauge(
        BACKFILL_ESTIMATED,
        Unit::Count,
        "Source rows there are for the current backfill, by the planner's statistics.",
    ),
    gauge(CONFLICTS, Unit::Count, "Open conflicts and notes, by kind and severity."),
    gauge(CONFLICTS_OPEN, Unit::Count, "Open conflicts and notes, by severity."),
    gauge(
        LEFT_OUT,
        Unit::Count,
        "Source rows that the configuration leaves out, by feed (source) and reason (skipped, excluded).",
    ),
    gauge(ROLLOUT, Unit::Count, "Percent of the people whose target rows are written."),
    gauge(
        OUTSIDE,
        Unit::Count,
        "Rows that are not written as their people are outside of the rollout, by table.",
    ),
    gauge(
        HALTED,
        Unit::Count,
        "1 while the daemon waits for an operator, see tributary status; else 0.",
    ),
    gauge(
        FROZEN,
        Unit::Count,
        "1 while progress stands still although the source writes on; else 0.",
    ),
    gauge(PHASE, Unit::Count, "1 for the phase the daemon is in, 0 for the others."),
    gauge(
        IS_LEADER,
        Unit::Count,
        "1 while this daemon holds the lock of its target with an open session; else 0.",
    ),
    gauge(LAST_COMMIT, Unit::Seconds, "Unix time of the last commit in the target."),
    gauge(
        VERIFIED_SHARE,
        Unit::Percent,
        "Share of all rows and people, 0 to 1, that was verified within verify.every.",
    ),
    gauge(
        VERIFY_DIFFERENCES,
        Unit::Count,
        "Rows that the last complete verification beside the stream found to differ, by table.",
    ),
    gauge(VERIFY_UNSETTLED, Unit::Count, "Rows that it could not compare, as they kept changing."),
    gauge(VERIFY_LAST, Unit::Seconds, "Unix time at which it ended."),
    gauge(WAL_RETAINED, Unit::Bytes, "Log that the source keeps for the slot."),
    gauge(
        WAL_SAFE,
        Unit::Bytes,
        "Log that the source can still write before the slot may be lost; +Inf without a limit there.",
    ),
    gauge(
        WAL_STATUS,
        Unit::Count,
        "1 for the slot's wal_status (status: reserved, extended, unreserved, lost), 0 for the others.",
    ),
    gauge(
        WAL_SECONDS,
        Unit::Seconds,
        "Time until the slot may be lost at the present rate of log; +Inf where that is not in sight.",
    ),
    gauge(BUILD_INFO, Unit::Count, "1, with the version as a label."),
    counter(
        RELOADS,
        "Reloads of the configuration, by result (changed, unchanged, refused, invalid).",
    ),
    histogram(
        STAGE_SECONDS,
        Unit::Seconds,
        "Time of each stage (decode, fetch, decide, write, commit) of a batch or a round; decode: of a source transaction.",
    ),
    histogram(BATCH_ROWS, Unit::Count, "Row changes of a target transaction of the stream."),
    histogram(
        BATCH_BYTES,
        Unit::Bytes,
        "Memory that the row changes of a target transaction take.",
    ),
    counter(BATCHES_REFUSED, "Batches that the target refused at first and that were taken apart."),
    histogram(
        COMMIT_DELAY,
        Unit::Seconds,
        "From the commit in the source to the commit in the target, of the newest transaction of each batch.",
    ),
    counter(
        ROWS_UNCHANGED,
        "Rows that were decided and left alone, as they are equal, by table role (table).",
    ),
    gauge(
        SOURCE_COMMIT_AT,
        Unit::Seconds,
        "Unix time at which the source committed the newest change that is applied.",
    ),
    gauge(CHECKPOINT_AT, Unit::Seconds, "Unix time at which the checkpoint last advanced."),
    gauge(
        PROGRESS_AT,
        Unit::Seconds,
        "Unix time at which the work was last brought forward: a commit, a part of a transaction, a round.",
    ),
    gauge(SLOT_ACTIVE, Unit::Count, "1 while a walsender reads from the slot; else 0."),
    gauge(
        OLDEST_REVIEW_AT,
        Unit::Seconds,
        "Unix time at which the oldest open conflict that needs a review was first seen; 0 without one.",
    ),
    gauge(QUARANTINED, Unit::Count, "Owners whose rows the target refuses, with retries."),
    counter(
        ERRORS,
        "Errors that ended a session of the daemon, by kind and server (source, target, none).",
    ),
    gauge(QUEUE_BYTES, Unit::Bytes, "What was read from the stream and waits to be applied."),
    gauge(
        QUEUE_EVENTS,
        Unit::Count,
        "Events that were read from the stream and wait to be applied.",
    ),
    gauge(
        POOL,
        Unit::Count,
        "Connections of the HTTP endpoint to the target, by state: open, idle; waiting: requests for one.",
    ),
    gauge(
        BACKFILL_STAGE,
        Unit::Count,
        "1 for the stage of the backfill or rebuild, 0 for the others; done: none is under way.",
    ),
    gauge(
        PASSWORD_EXPIRY,
        Unit::Seconds,
        "Unix time at which the password of the role ends, by server; infinite where it does not.",
    ),
    gauge(
        CERTIFICATE_EXPIRY,
        Unit::Seconds,
        "Unix time at which the certificate of the server ends, by server; infinite without TLS.",
    ),
];

/// Buckets of [`BATCH_SECONDS`]: from a single change on a local server to a transaction of millions of
/// rows.
const BATCH_BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0, 600.0];

/// Stages of a single change take a millisecond or less.
const STAGE_BUCKETS: [f64; 12] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10.0, 60.0];
/// Up to `run.batch_rows`; beyond it is a large transaction.
const ROWS_BUCKETS: [f64; 8] = [1.0, 10.0, 100.0, 500.0, 1_000.0, 5_000.0, 50_000.0, 500_000.0];
/// A batch ends at 1 MiB.
const BYTES_BUCKETS: [f64; 8] = [
    1_024.0,
    8_192.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    8_388_608.0,
    67_108_864.0,
    1_073_741_824.0,
];

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
