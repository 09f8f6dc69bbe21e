//! Every series from the start on, so that no alert waits for a first event and the first increase of a counter shows.

use super::work::Stage;
use super::{
    BACKFILL_DONE, BACKFILL_ESTIMATED, BACKFILL_READ, BATCH_BYTES, BATCH_ROWS, BATCH_SECONDS,
    BATCHES, BATCHES_REFUSED, BUILD_INFO, CERTIFICATE_EXPIRY, CHANGES, CHECKPOINT_AT,
    CHECKPOINT_LSN, COMMIT_DELAY, CONFLICTS, CONFLICTS_OPEN, ERRORS, LAG_BYTES, LAG_SECONDS,
    LAST_COMMIT, LEFT_OUT, NOTES, OLDEST_REVIEW_AT, OUTSIDE, PASSWORD_EXPIRY, PROGRESS_AT,
    QUARANTINED, RECONNECTS, RELOADS, ROLLOUT, ROWS_APPLIED, ROWS_UNCHANGED, SLOT_ACTIVE,
    SOURCE_COMMIT_AT, SOURCE_LSN, STAGE_SECONDS, TRANSACTIONS, forget_verified, note_kind, servers,
    set_frozen, set_halted, set_leading, set_phase, set_slot_log, work,
};
use crate::error::ErrorKind;
use crate::facts::NoteKind;
use crate::status::Phase;
use crate::unify::{ConflictKind, Severity};

const TABLES: [&str; 3] = ["profiles", "transactions", "enrollments"];

/// Starts the series that depend on nothing. Counters are 0; a gauge that is not known yet is not a number, which no comparison of
/// a rule holds for.
pub(super) fn everything() {
    metrics::gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    counters();
    for name in [BATCH_SECONDS, BATCH_ROWS, BATCH_BYTES, COMMIT_DELAY] {
        drop(metrics::histogram!(name));
    }
    for stage in Stage::ALL {
        drop(metrics::histogram!(STAGE_SECONDS, "stage" => stage.as_str()));
    }
    for name in [
        CHECKPOINT_LSN,
        SOURCE_LSN,
        LAG_BYTES,
        LAG_SECONDS,
        LAST_COMMIT,
        SOURCE_COMMIT_AT,
        CHECKPOINT_AT,
        PROGRESS_AT,
        OLDEST_REVIEW_AT,
        QUARANTINED,
        BACKFILL_DONE,
        BACKFILL_ESTIMATED,
        SLOT_ACTIVE,
        ROLLOUT,
    ] {
        metrics::gauge!(name).set(f64::NAN);
    }
    for table in TABLES {
        metrics::gauge!(OUTSIDE, "table" => table).set(f64::NAN);
    }
    forget_verified();
    set_slot_log(None);
    for server in ["source", "target"] {
        for name in [PASSWORD_EXPIRY, CERTIFICATE_EXPIRY] {
            metrics::gauge!(name, "server" => server).set(f64::NAN);
        }
    }
    for severity in [Severity::Review, Severity::Info] {
        metrics::gauge!(CONFLICTS_OPEN, "severity" => severity.as_str()).set(f64::NAN);
        for kind in ConflictKind::ALL {
            let severity = severity.as_str();
            metrics::gauge!(CONFLICTS, "kind" => kind.as_str(), "severity" => severity)
                .set(f64::NAN);
        }
    }
    servers::set_backfill_stage(None);
    servers::set_pool(0, 0, 0);
    work::set_queue(0, 0);
    set_halted(false);
    set_frozen(false);
    set_leading(false);
    set_phase(Phase::Starting);
}

fn counters() {
    for name in [TRANSACTIONS, BATCHES, BATCHES_REFUSED, BACKFILL_READ] {
        metrics::counter!(name).absolute(0);
    }
    for server in ["source", "target"] {
        metrics::counter!(RECONNECTS, "server" => server).absolute(0);
    }
    for kind in ErrorKind::ALL {
        for server in ["source", "target", "none"] {
            metrics::counter!(ERRORS, "kind" => kind.as_str(), "server" => server).absolute(0);
        }
    }
    for result in ["changed", "unchanged", "refused", "invalid"] {
        metrics::counter!(RELOADS, "result" => result).absolute(0);
    }
    for table in TABLES {
        metrics::counter!(ROWS_UNCHANGED, "table" => table).absolute(0);
        for op in ["insert", "update"] {
            metrics::counter!(ROWS_APPLIED, "table" => table, "op" => op).absolute(0);
        }
    }
    metrics::counter!(ROWS_APPLIED, "table" => "transactions", "op" => "delete").absolute(0);
    for kind in NoteKind::ALL {
        metrics::counter!(NOTES, "kind" => note_kind(kind)).absolute(0);
    }
}

/// Starts the series of the configured feeds.
pub fn feeds<'f>(feeds: impl Iterator<Item = &'f str>) {
    for feed in feeds {
        for op in ["upsert", "rekey", "delete"] {
            metrics::counter!(CHANGES, "source" => feed.to_owned(), "op" => op).absolute(0);
        }
        for reason in ["skipped", "excluded"] {
            metrics::gauge!(LEFT_OUT, "source" => feed.to_owned(), "reason" => reason)
                .set(f64::NAN);
        }
    }
}
