//! One JSON object for each event: when, level, slot, phase, message, its own fields, the module.

use std::fmt::{self, Debug};
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::status::Phase;

/// What every line of this process says: there is one daemon in it.
#[derive(Debug, Clone, Default)]
struct About {
    slot: Option<String>,
    phase: Option<Phase>,
}

static ABOUT: Mutex<About> = Mutex::new(About { slot: None, phase: None });

/// The slot of the installation that the lines from here on are about.
pub fn set_slot(slot: &str) {
    let mut about = ABOUT.lock().unwrap_or_else(PoisonError::into_inner);
    if about.slot.as_deref() != Some(slot) {
        about.slot = Some(slot.to_owned());
    }
}

/// The phase of the daemon that the lines from here on are about; commands have none.
pub(crate) fn set_phase(phase: Phase) {
    ABOUT.lock().unwrap_or_else(PoisonError::into_inner).phase = Some(phase);
}

/// Writes events as JSON. Spans are left out: what they would add is in each line already.
pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let about = ABOUT.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut fields = Fields(Map::new());
        event.record(&mut fields);
        let level = event.metadata().level().as_str();
        let forwarded = fields.take_origin();
        let target = forwarded.as_deref().unwrap_or(event.metadata().target());
        let line = line(jiff::Timestamp::now(), level, &about, fields.0, target);
        writeln!(writer, "{line}")
    }
}

/// The object, in an order in which a person reads it.
fn line(
    now: jiff::Timestamp,
    level: &str,
    about: &About,
    mut fields: Map<String, Value>,
    target: &str,
) -> String {
    let mut first = vec![("timestamp", Value::from(format!("{now:.6}"))), ("level", level.into())];
    // An event that names a slot of its own is about that one.
    let slot = fields.remove("slot").or_else(|| about.slot.clone().map(Value::from));
    first.extend(slot.map(|slot| ("slot", slot)));
    first.extend(about.phase.map(|phase| ("phase", phase.as_str().into())));
    first.extend(fields.remove("feed").map(|feed| ("feed", feed)));
    first.extend(fields.remove("message").map(|message| ("message", message)));
    let own = fields.iter().map(|(name, value)| (name.as_str(), value.clone()));
    let all = first.into_iter().chain(own).chain([("target", target.into())]);
    // A value is always JSON.
    let pairs = all.map(|(name, value)| format!("{}:{value}", Value::from(name)));
    format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
}

/// The fields of an event.
struct Fields(Map<String, Value>);

impl Fields {
    /// The module of an event that a library logged by the `log` crate, which comes as fields.
    fn take_origin(&mut self) -> Option<String> {
        let origin = self.0.get("log.target").and_then(Value::as_str).map(str::to_owned);
        self.0.retain(|name, _| !name.starts_with("log."));
        origin
    }

    fn add(&mut self, field: &Field, value: impl Into<Value>) {
        // `r#type` is a name that Rust keeps to itself.
        self.0.insert(field.name().trim_start_matches("r#").to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_the_log_crate_has_its_own_module() {
        let fields = [("log.target", "refinery_core"), ("log.file", "/x.rs"), ("message", "done")];
        let fields = fields.map(|(name, value)| (name.to_owned(), Value::from(value)));
        let mut fields = Fields(fields.into_iter().collect());
        assert_eq!(fields.take_origin().as_deref(), Some("refinery_core"));
        assert_eq!(fields.0.keys().collect::<Vec<_>>(), ["message"]);
        assert_eq!(fields.take_origin(), None);
    }

    #[test]
    fn a_line_is_one_object_with_slot_phase_and_feed() {
        let about = About { slot: Some("shop".into()), phase: Some(Phase::Streaming) };
        let now = "2025-06-30T04:00:00.5Z".parse().unwrap();
        let text = |about: &About, fields: &[(&str, Value)]| {
            let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
            line(now, "INFO", about, fields.collect(), "tributary::x")
        };
        let fields = [
            ("message", "one\n\"two\"".into()),
            ("rows", 3.into()),
            ("feed", "xendit".into()),
            ("ms", 1.5.into()),
        ];
        assert_eq!(
            text(&about, &fields),
            r#"{"timestamp":"2025-06-30T04:00:00.500000Z","level":"INFO","slot":"shop","phase":"streaming","feed":"xendit","message":"one\n\"two\"","ms":1.5,"rows":3,"target":"tributary::x"}"#
        );
        let other = text(&about, &[("slot", "old".into())]);
        assert!(other.contains(r#""slot":"old""#) && !other.contains("shop"), "{other}");
        let command = text(&About::default(), &[("message", "done".into())]);
        assert!(!command.contains("slot") && !command.contains("phase"), "{command}");
    }
}
