//! Traces: one for each target transaction of the stream, from the commit in the source to the commit in the target, with a child
//! for each stage. Exported over OTLP in builds with the feature `otlp`, where the environment names a collector; `docs/logs.md`
//! has the variables. Without the feature nothing of this is compiled in.
//!
//! Spans are made when a batch is done, of the times that the metrics measure anyway: the applying code knows nothing of them.

use std::time::{Duration, SystemTime};

use crate::metrics::Stage;

/// What a trace says of a target transaction.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(feature = "otlp"), allow(dead_code, reason = "read by the exporter alone"))]
pub(crate) struct Batch<'a> {
    pub(crate) slot: &'a str,
    pub(crate) phase: &'static str,
    /// When the newest of its source transactions committed.
    pub(crate) source_commit: SystemTime,
    /// When this daemon began to apply it.
    pub(crate) started: SystemTime,
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
    pub(crate) transactions: u32,
    pub(crate) was_refused: bool,
}

/// A stage that has ended now took this long.
pub(crate) fn stage(stage: Stage, elapsed: Duration) {
    #[cfg(feature = "otlp")]
    otlp::stage(stage, elapsed);
    #[cfg(not(feature = "otlp"))]
    let _ = (stage, elapsed);
}

/// A target transaction of the stream has committed now.
pub(crate) fn batch(batch: &Batch<'_>) {
    #[cfg(feature = "otlp")]
    otlp::batch(batch);
    #[cfg(not(feature = "otlp"))]
    let _ = batch;
}

#[cfg(feature = "otlp")]
pub use self::otlp::Exporter;

#[cfg(feature = "otlp")]
mod otlp;
