//! Every metric: name, unit, help text and labels. No other file names one.
//!
//! Labels hold only words of this program and of its configuration (table roles, kinds, phases, feeds), never a customer value (P14), so
//! the number of series is bounded. Without [`install`] all functions do nothing.

use std::time::Duration;

use jiff::Timestamp;
use metrics::Unit;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::error::{Error, Result};
use crate::facts::{Note, NoteKind};
use crate::lsn::Lsn;
use crate::status::{LeftOutRows, Phase, SlotLog};
use crate::unify::{ConflictKind, Severity};

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
const WAL_STATUS: &str = "tributary_slot_wal_status";
const WAL_SECONDS: &str = "tributary_slot_loss_seconds";
const BUILD_INFO: &str = "tributary_build_info";

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

const METRICS: &[Metric] = &[
    counter(
        ROWS_APPLIED,
        "Rows written to the target, by table role (table) and insert, update or delete (op).",
    ),
    counter(TRANSACTIONS, "Source transactions applied."),
    counter(BATCHES, "Target transactions committed by the apply loop."),
    Metric(
        BATCH_SECONDS,
        Kind::Histogram,
        Unit::Seconds,
        "Time from the first change of a target transaction to its commit.",
    ),
    counter(
        CHANGES,
        "Row changes received, by feed (source) and insert, update, delete or truncate (op).",
    ),
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
        "1 while this daemon holds the lock of its target; 0 while it waits.",
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
];

/// Buckets of [`BATCH_SECONDS`]: from a single change on a local server to a transaction of millions of
/// rows.
const BATCH_BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0, 600.0];

/// Collects metrics from here on. Once a process; fails when something else collects already.
pub fn install() -> Result<PrometheusHandle> {
    let handle = builder()?
        .install_recorder()
        .map_err(|error| Error::failed("collecting metrics", error))?;
    describe();
    Ok(handle)
}

fn builder() -> Result<PrometheusBuilder> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full(BATCH_SECONDS.to_owned()), &BATCH_BUCKETS)
        .map_err(|error| Error::failed("collecting metrics", error))
}

/// Tells the help texts, and starts at zero what an alert would otherwise find missing.
fn describe() {
    for Metric(name, kind, unit, help) in METRICS {
        match kind {
            Kind::Counter => metrics::describe_counter!(*name, *unit, *help),
            Kind::Gauge => metrics::describe_gauge!(*name, *unit, *help),
            Kind::Histogram => metrics::describe_histogram!(*name, *unit, *help),
        }
    }
    metrics::gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    for name in [TRANSACTIONS, BATCHES, BACKFILL_READ] {
        metrics::counter!(name).absolute(0);
    }
    for server in ["source", "target"] {
        metrics::counter!(RECONNECTS, "server" => server).absolute(0);
    }
    set_halted(false);
    set_frozen(false);
    set_phase(Phase::Starting);
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

/// Row changes that arrived. `op` is `insert`, `update`, `delete` or `truncate`.
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

/// All open conflicts: a kind that is not among `counts` has none.
pub fn set_conflicts(counts: &[(ConflictKind, Severity, u64)]) {
    for kind in ConflictKind::ALL {
        for severity in [Severity::Review, Severity::Info] {
            let open = |(k, s, _): &&(ConflictKind, Severity, u64)| *k == kind && *s == severity;
            let count: u64 = counts.iter().filter(open).map(|(_, _, count)| count).sum();
            metrics::gauge!(CONFLICTS, "kind" => kind.as_str(), "severity" => severity.as_str())
                .set(count as f64);
        }
    }
}

/// Open conflicts by severity.
pub(crate) fn set_conflicts_open(review: u64, info: u64) {
    metrics::gauge!(CONFLICTS_OPEN, "severity" => "review").set(review as f64);
    metrics::gauge!(CONFLICTS_OPEN, "severity" => "info").set(info as f64);
}

/// Rows that the configuration leaves out, by feed.
pub(crate) fn set_left_out(left_out: &LeftOutRows) {
    for (feed, rows) in left_out {
        for (reason, rows) in [("skipped", rows.skipped), ("excluded", rows.excluded)] {
            metrics::gauge!(LEFT_OUT, "source" => feed.clone(), "reason" => reason)
                .set(rows as f64);
        }
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

/// The phase, and with it whether this daemon is the writer.
pub(crate) fn set_phase(now: Phase) {
    for phase in Phase::ALL {
        metrics::gauge!(PHASE, "phase" => phase.as_str()).set(f64::from(u8::from(phase == now)));
    }
    metrics::gauge!(IS_LEADER).set(f64::from(u8::from(now.holds_lock())));
}

/// Share of everything that was verified within `verify.every`.
pub(crate) fn set_verified_share(share: f64) {
    metrics::gauge!(VERIFIED_SHARE).set(share);
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

/// The log that the source keeps for the slot.
pub(crate) fn set_slot_log(log: &SlotLog) {
    metrics::gauge!(WAL_RETAINED).set(log.retained_bytes as f64);
    metrics::gauge!(WAL_SAFE).set(log.safe_bytes.map_or(f64::INFINITY, |bytes| bytes as f64));
    for status in ["reserved", "extended", "unreserved", "lost"] {
        let is_now = log.wal_status.as_deref() == Some(status);
        metrics::gauge!(WAL_STATUS, "status" => status).set(f64::from(u8::from(is_now)));
    }
    metrics::gauge!(WAL_SECONDS).set(log.seconds_to_loss.unwrap_or(f64::INFINITY));
}

fn note_kind(kind: NoteKind) -> &'static str {
    match kind {
        NoteKind::InvisibleCharacter => "invisible_character",
        NoteKind::Mojibake => "mojibake",
        NoteKind::InvalidPhone => "invalid_phone",
        NoteKind::TimezoneAbbreviation => "timezone_abbreviation",
        NoteKind::TimezoneAssumed => "timezone_assumed",
        NoteKind::DateOnly => "date_only",
        NoteKind::SpreadsheetDate => "spreadsheet_date",
        NoteKind::AmbiguousDate => "ambiguous_date",
        NoteKind::UnparsableTimestamp => "unparsable_timestamp",
        NoteKind::CurrencyAssumed => "currency_assumed",
        NoteKind::UnreadableTags => "unreadable_tags",
    }
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
