//! The names of all metrics, with kind, unit and help text, and the buckets of histograms.

use metrics::Unit;

pub(super) const ROWS_APPLIED: &str = "tributary_rows_applied_total";
pub(super) const TRANSACTIONS: &str = "tributary_transactions_total";
pub(super) const BATCHES: &str = "tributary_batches_total";
pub(super) const BATCH_SECONDS: &str = "tributary_batch_seconds";
pub(super) const CHANGES: &str = "tributary_changes_total";
pub(super) const NOTES: &str = "tributary_notes_total";
pub(super) const RECONNECTS: &str = "tributary_reconnects_total";
pub(super) const CHECKPOINT_LSN: &str = "tributary_checkpoint_lsn";
pub(super) const SOURCE_LSN: &str = "tributary_source_lsn";
pub(super) const LAG_BYTES: &str = "tributary_lag_bytes";
pub(super) const LAG_SECONDS: &str = "tributary_lag_seconds";
pub(super) const BACKFILL_READ: &str = "tributary_backfill_rows_read_total";
pub(super) const BACKFILL_DONE: &str = "tributary_backfill_rows_done";
pub(super) const BACKFILL_ESTIMATED: &str = "tributary_backfill_rows_estimated";
pub(super) const CONFLICTS: &str = "tributary_conflicts";
pub(super) const CONFLICTS_OPEN: &str = "tributary_conflicts_open";
pub(super) const LEFT_OUT: &str = "tributary_rows_left_out";
pub(super) const ROLLOUT: &str = "tributary_rollout_percent";
pub(super) const OUTSIDE: &str = "tributary_rollout_outside_rows";
pub(super) const HALTED: &str = "tributary_halted";
pub(super) const FROZEN: &str = "tributary_frozen";
pub(super) const PHASE: &str = "tributary_phase";
pub(super) const IS_LEADER: &str = "tributary_is_leader";
pub(super) const LAST_COMMIT: &str = "tributary_last_commit_timestamp_seconds";
pub(super) const VERIFIED_SHARE: &str = "tributary_verified_share";
pub(super) const VERIFY_DIFFERENCES: &str = "tributary_verify_differences";
pub(super) const VERIFY_UNSETTLED: &str = "tributary_verify_unsettled";
pub(super) const VERIFY_LAST: &str = "tributary_verify_last_timestamp_seconds";
pub(super) const WAL_RETAINED: &str = "tributary_slot_retained_bytes";
pub(super) const WAL_SAFE: &str = "tributary_slot_safe_bytes";
/// Every wal_status of a slot.
pub(super) const WAL_STATUSES: [&str; 4] = ["reserved", "extended", "unreserved", "lost"];
/// What a verification compares.
pub(super) const VERIFIED_TABLES: [&str; 5] =
    ["source_rows", "profiles", "transactions", "enrollments", "conflicts"];
pub(super) const WAL_STATUS: &str = "tributary_slot_wal_status";
pub(super) const WAL_SECONDS: &str = "tributary_slot_loss_seconds";
pub(super) const BUILD_INFO: &str = "tributary_build_info";
pub(super) const RELOADS: &str = "tributary_reloads_total";
pub(super) const STAGE_SECONDS: &str = "tributary_stage_seconds";
pub(super) const BATCH_ROWS: &str = "tributary_batch_rows";
pub(super) const BATCH_BYTES: &str = "tributary_batch_bytes";
pub(super) const BATCHES_REFUSED: &str = "tributary_batches_refused_total";
pub(super) const COMMIT_DELAY: &str = "tributary_commit_delay_seconds";
pub(super) const ROWS_UNCHANGED: &str = "tributary_rows_unchanged_total";
pub(super) const SOURCE_COMMIT_AT: &str = "tributary_source_commit_timestamp_seconds";
pub(super) const CHECKPOINT_AT: &str = "tributary_checkpoint_timestamp_seconds";
pub(super) const PROGRESS_AT: &str = "tributary_progress_timestamp_seconds";
pub(super) const SLOT_ACTIVE: &str = "tributary_slot_active";
pub(super) const OLDEST_REVIEW_AT: &str = "tributary_conflict_oldest_review_timestamp_seconds";
pub(super) const QUARANTINED: &str = "tributary_quarantined_owners";
pub(super) const ERRORS: &str = "tributary_errors_total";
pub(super) const QUEUE_BYTES: &str = "tributary_queue_bytes";
pub(super) const QUEUE_EVENTS: &str = "tributary_queue_events";
pub(super) const POOL: &str = "tributary_pool_connections";
pub(super) const BACKFILL_STAGE: &str = "tributary_backfill_stage";
pub(super) const PASSWORD_EXPIRY: &str = "tributary_password_expiry_timestamp_seconds";
pub(super) const CERTIFICATE_EXPIRY: &str = "tributary_certificate_expiry_timestamp_seconds";

pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

pub(super) struct Metric(
    pub(super) &'static str,
    pub(super) Kind,
    pub(super) Unit,
    pub(super) &'static str,
);

const fn counter(name: &'static str, help: &'static str) -> Metric {
    Metric(name, Kind::Counter, Unit::Count, help)
}

const fn gauge(name: &'static str, unit: Unit, help: &'static str) -> Metric {
    Metric(name, Kind::Gauge, unit, help)
}

const fn histogram(name: &'static str, unit: Unit, help: &'static str) -> Metric {
    Metric(name, Kind::Histogram, unit, help)
}

pub(super) const METRICS: &[Metric] = &[
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
pub(super) const BATCH_BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0, 600.0];

/// Stages of a single change take a millisecond or less.
pub(super) const STAGE_BUCKETS: [f64; 12] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10.0, 60.0];
/// Up to `run.batch_rows`; beyond it is a large transaction.
pub(super) const ROWS_BUCKETS: [f64; 8] =
    [1.0, 10.0, 100.0, 500.0, 1_000.0, 5_000.0, 50_000.0, 500_000.0];
/// A batch ends at 1 MiB.
pub(super) const BYTES_BUCKETS: [f64; 8] = [
    1_024.0,
    8_192.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    8_388_608.0,
    67_108_864.0,
    1_073_741_824.0,
];
