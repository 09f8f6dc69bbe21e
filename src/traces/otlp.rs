//! The exporter. Sampling, batching, retries and the variables are the SDK's.

use std::collections::VecDeque;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanKind, TraceContextExt as _, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{
    OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, SpanExporter,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

use super::Batch;
use crate::error::{Error, Result};
use crate::metrics::Stage;

/// Stages that are kept for the next trace. A batch has five; those of backfills are kept for none and are pushed out.
const KEPT: usize = 64;

/// Longest time for the last spans to be sent when the daemon stops: it ends within 5 s.
const LAST_WORDS: Duration = Duration::from_millis(400);

static TRACER: OnceLock<SdkTracer> = OnceLock::new();
static STAGES: Mutex<VecDeque<Timed>> = Mutex::new(VecDeque::new());

/// A stage, and when it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Timed {
    stage: Stage,
    from: SystemTime,
    to: SystemTime,
}

/// Exports until it is shut down.
pub struct Exporter {
    provider: SdkTracerProvider,
}

impl Exporter {
    /// Begins to export where the environment names a collector.
    ///
    /// # Errors
    /// [`Error::Config`] for variables that cannot be used.
    pub fn start() -> Result<Option<Self>> {
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        if !is_set(OTEL_EXPORTER_OTLP_ENDPOINT) && !is_set(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT) {
            return Ok(None);
        }
        let exporter = SpanExporter::builder().with_http().build();
        let exporter = exporter
            .map_err(|error| Error::Config(format!("exporting traces over OTLP: {error}")))?;
        let mut resource = Resource::builder();
        if !is_set("OTEL_SERVICE_NAME") {
            resource = resource.with_service_name("tributary");
        }
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource.with_attribute(version).build())
            .build();
        let _ = TRACER.set(provider.tracer("tributary"));
        Ok(Some(Self { provider }))
    }

    /// Sends what waits, and ends. A collector that is away loses it.
    pub async fn shut_down(self) {
        let end = move || self.provider.shutdown_with_timeout(LAST_WORDS);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(end).await {
            tracing::debug!(%error, "the last traces were not exported");
        }
    }
}

pub(super) fn stage(stage: Stage, elapsed: Duration) {
    if TRACER.get().is_none() {
        return;
    }
    let to = SystemTime::now();
    let from = to.checked_sub(elapsed).unwrap_or(to);
    let mut stages = STAGES.lock().unwrap_or_else(PoisonError::into_inner);
    if stages.len() == KEPT {
        stages.pop_front();
    }
    stages.push_back(Timed { stage, from, to });
}

pub(super) fn batch(batch: &Batch<'_>) {
    let Some(tracer) = TRACER.get() else { return };
    let now = SystemTime::now();
    let stages = {
        let mut stages = STAGES.lock().unwrap_or_else(PoisonError::into_inner);
        let (own, later) = split(std::mem::take(&mut *stages), batch.started);
        *stages = later;
        own
    };
    let count = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
    let attributes = [
        KeyValue::new("tributary.slot", batch.slot.to_owned()),
        KeyValue::new("tributary.phase", batch.phase),
        KeyValue::new("tributary.rows", count(batch.rows)),
        KeyValue::new("tributary.bytes", count(batch.bytes)),
        KeyValue::new("tributary.transactions", i64::from(batch.transactions)),
        KeyValue::new("tributary.refused", batch.was_refused),
    ];
    // The clocks of two servers differ: no span ends before it begins.
    let from = batch.source_commit.min(now);
    let whole = SpanBuilder::from_name("batch")
        .with_kind(SpanKind::Consumer)
        .with_start_time(from)
        .with_attributes(attributes);
    let whole = tracer.build_with_context(whole, &Context::new());
    let context = Context::new().with_span(whole);
    for Timed { stage, from, to } in stages {
        let part = SpanBuilder::from_name(stage.as_str()).with_start_time(from);
        tracer.build_with_context(part, &context).end_with_timestamp(to);
    }
    context.span().end_with_timestamp(now);
}

/// The stages of a batch that was begun then, and those that the next one may have. Decoding runs ahead: what ended later is of a
/// later batch. What else is earlier belongs to work beside the stream, such as a reconcile.
fn split(stages: VecDeque<Timed>, started: SystemTime) -> (Vec<Timed>, VecDeque<Timed>) {
    let (mut own, mut later) = (Vec::new(), VecDeque::new());
    for timed in stages {
        match (timed.stage, timed.to > started) {
            (Stage::Decode, true) => later.push_back(timed),
            (Stage::Decode, false) => own.push(timed),
            (_, true) => own.push(timed),
            (_, false) => {}
        }
    }
    (own, later)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_its_own_stages() {
        let at = |ms: u64| SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
        let timed = |stage, from, to| Timed { stage, from: at(from), to: at(to) };
        let of_a_round = timed(Stage::Write, 1, 2);
        let own =
            [timed(Stage::Decode, 3, 4), timed(Stage::Fetch, 10, 12), timed(Stage::Commit, 13, 14)];
        let ahead = timed(Stage::Decode, 11, 12);
        let all = [of_a_round, own[0], own[1], ahead, own[2]];
        assert_eq!(split(all.into(), at(10)), (own.to_vec(), [ahead].into()));
    }
}
