//! Log lines: to standard error, level by `RUST_LOG` (default info), JSON when that is not a terminal
//! (SPEC §9). Standard output belongs to the results of commands. `docs/logs.md` lists all events.

mod line;

use std::io::{self, IsTerminal};
use std::sync::OnceLock;

use tracing::Level;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Registry, reload};

use crate::error::{Error, Result};

pub(crate) use self::line::set_phase;
pub use self::line::set_slot;

/// What is logged without `RUST_LOG`. refinery logs, at info, every statement that it migrates with; of other libraries
/// nothing below a warning is logged anyway.
const DEFAULT: &str = "info,refinery_core=warn";

/// What may be logged at any level: this crate, which is tested for it, and the migrations, which are its own files.
const DISCREET: [&str; 2] = ["tributary", "refinery_core"];

/// The lines of all other libraries never pass below this level, whatever `RUST_LOG` says: they hold what goes over the
/// wire, such as statements with their parameters, notices of the server, and the numbers they parse (P14). A library
/// that is new is among them.
const LIBRARIES_LOG_FROM: Level = Level::WARN;

/// Never logged: its one error repeats the message of a server, which comes back as an error and is logged without values.
const SILENT: [&str; 1] = ["pgwire_replication"];

/// The filter in force.
struct Chosen {
    handle: reload::Handle<EnvFilter, Registry>,
    /// Whether `RUST_LOG` says what is logged.
    by_environment: bool,
}

static CHOSEN: OnceLock<Chosen> = OnceLock::new();

/// Starts logging. `directives` is `RUST_LOG`, `None` or empty where it is not set.
///
/// # Errors
/// [`Error::Config`] for a `RUST_LOG` that cannot be read.
pub fn init(directives: Option<&str>) -> Result<()> {
    let discreet = filter_fn(|line| is_discreet(line.target(), *line.level()));
    let (filter, handle) = reload::Layer::new(filter(directives)?);
    let is_set = directives.is_some_and(|text| !text.trim().is_empty());
    let _ = CHOSEN.set(Chosen { handle, by_environment: is_set });
    let registry = tracing_subscriber::registry().with(filter).with(discreet);
    let terminal = io::stderr().is_terminal();
    let started: std::result::Result<(), TryInitError> = if terminal {
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(io::stderr)
            .with_target(false)
            .log_internal_errors(false);
        registry.with(lines).try_init()
    } else {
        let lines = tracing_subscriber::fmt::layer()
            .event_format(line::Json)
            .with_writer(io::stderr)
            // Where nobody reads standard error, the complaint about that would panic.
            .log_internal_errors(false);
        registry.with(lines).try_init()
    };
    started.map_err(|error| Error::failed("starting the log", error))?;
    log_panics_without_their_message();
    Ok(())
}

/// Sets what is logged from here on, as `[log] level` has it; `None` is the default. `RUST_LOG` stays in force where it is set.
///
/// # Errors
/// [`Error::Config`] for directives that cannot be read.
pub fn set_level(directives: Option<&str>) -> Result<()> {
    let filter = filter(directives)?;
    match CHOSEN.get() {
        Some(chosen) if !chosen.by_environment => chosen
            .handle
            .reload(filter)
            .map_err(|error| Error::failed("setting the log level", error)),
        _ => Ok(()),
    }
}

/// What is wrong with the directives of `[log] level`.
pub(crate) fn problem(directives: &str) -> Option<String> {
    EnvFilter::builder().parse(directives).err().map(|error| error.to_string())
}

fn filter(directives: Option<&str>) -> Result<EnvFilter> {
    let chosen = directives.map(str::trim).filter(|text| !text.is_empty()).unwrap_or(DEFAULT);
    EnvFilter::builder()
        .parse(chosen)
        .map_err(|error| Error::Config(format!("RUST_LOG cannot be read: {error}")))
}

fn is_discreet(target: &str, level: Level) -> bool {
    let root = target.split("::").next().unwrap_or(target);
    DISCREET.contains(&root) || level <= LIBRARIES_LOG_FROM && !SILENT.contains(&root)
}

/// A panic is a bug; its message may quote the text that it was about, so only the place is logged (P14).
fn log_panics_without_their_message() {
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string).unwrap_or_default();
        let backtrace = std::backtrace::Backtrace::capture();
        let backtrace = match backtrace.status() {
            std::backtrace::BacktraceStatus::Captured => backtrace.to_string(),
            _ => "set RUST_BACKTRACE=1 for one".to_owned(),
        };
        tracing::error!(at, backtrace, "panicked, which is a bug");
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_info_and_nonsense_is_an_error() {
        for unset in [None, Some(""), Some("  ")] {
            assert!(filter(unset).unwrap().to_string().contains("info"), "{unset:?}");
        }
        assert!(filter(Some("debug,tributary=trace")).unwrap().to_string().contains("debug"));
        assert_eq!(filter(Some("tributary=loud")).unwrap_err().exit_code(), 78);
    }

    /// P14: the libraries' own debug lines quote rows.
    #[test]
    fn libraries_only_warn() {
        for (target, level, expected) in [
            ("tokio_postgres::query", Level::DEBUG, false),
            ("tokio_postgres::connection", Level::INFO, false),
            ("tokio_postgres::connection", Level::WARN, true),
            ("pgwire_replication::client", Level::TRACE, false),
            ("pgwire_replication::client", Level::ERROR, false),
            ("rustls::client::hs", Level::DEBUG, false),
            ("one_that_is_new", Level::INFO, false),
            ("one_that_is_new", Level::ERROR, true),
            ("refinery_core::runner", Level::INFO, true),
            ("rlibphonenumber::phonenumberutil", Level::TRACE, false),
            ("tributary::source", Level::TRACE, true),
            ("tributary", Level::TRACE, true),
        ] {
            assert_eq!(is_discreet(target, level), expected, "{target} {level}");
        }
    }
}
