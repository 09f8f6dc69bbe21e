//! The cost of the work on a batch: rows, bytes, the time of each stage.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    BATCH_BYTES, BATCH_ROWS, BATCHES_REFUSED, COMMIT_DELAY, PROGRESS_AT, QUEUE_BYTES, QUEUE_EVENTS,
    ROWS_UNCHANGED, SOURCE_COMMIT_AT, STAGE_SECONDS,
};

/// A stage of a batch, or of a round of a backfill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Messages of the stream to changes, of one source transaction.
    Decode,
    /// What decisions need is read from the target.
    Fetch,
    /// Owners are decided and compared.
    Decide,
    /// What differs is written.
    Write,
    /// The target commits.
    Commit,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 5] = [Self::Decode, Self::Fetch, Self::Decide, Self::Write, Self::Commit];

    /// The word of the label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Fetch => "fetch",
            Self::Decide => "decide",
            Self::Write => "write",
            Self::Commit => "commit",
        }
    }
}

/// A stage has taken this long.
pub fn time(stage: Stage, elapsed: Duration) {
    metrics::histogram!(STAGE_SECONDS, "stage" => stage.as_str()).record(elapsed.as_secs_f64());
}

/// What one target transaction held.
#[derive(Debug, Clone, Copy)]
pub struct Batch {
    /// Row changes.
    pub rows: usize,
    /// What they take in memory.
    pub bytes: usize,
    /// When the newest of its source transactions committed.
    pub source_commit: Option<Timestamp>,
    /// Whether the target refused it at first.
    pub was_refused: bool,
}

/// A target transaction was committed at `now`.
pub fn count_batch_content(batch: &Batch, now: Timestamp) {
    metrics::histogram!(BATCH_ROWS).record(batch.rows as f64);
    metrics::histogram!(BATCH_BYTES).record(batch.bytes as f64);
    if batch.was_refused {
        metrics::counter!(BATCHES_REFUSED).increment(1);
    }
    if let Some(at) = batch.source_commit {
        let delay = now.duration_since(at).as_secs_f64().max(0.0);
        metrics::histogram!(COMMIT_DELAY).record(delay);
        metrics::gauge!(SOURCE_COMMIT_AT).set(at.as_duration().as_secs_f64());
    }
}

/// Rows that were decided and not written, as they are equal. `table` is a role, such as `profiles`.
pub fn count_rows_unchanged(table: &'static str, rows: u64) {
    metrics::counter!(ROWS_UNCHANGED, "table" => table).increment(rows);
}

/// What was read from the stream and waits to be applied.
pub fn set_queue(events: usize, bytes: usize) {
    metrics::gauge!(QUEUE_EVENTS).set(events as f64);
    metrics::gauge!(QUEUE_BYTES).set(bytes as f64);
}

/// Something was done that brings the work forward.
pub(crate) fn set_progress_at(now: Timestamp) {
    metrics::gauge!(PROGRESS_AT).set(now.as_duration().as_secs_f64());
}
