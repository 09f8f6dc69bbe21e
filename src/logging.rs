//! Log lines: to standard error, level by `RUST_LOG` (default info), JSON when that is not a terminal
//! (SPEC §9). Standard output belongs to the results of commands.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::error::{Error, Result};

/// What is logged without `RUST_LOG`. These libraries log, at info, every statement they migrate with and
/// what rustls negotiates.
const DEFAULT: &str = "info,refinery_core=warn,rustls=warn,tokio_postgres=warn";

/// No log line of these libraries passes, whatever `RUST_LOG` says, since they hold what the databases
/// sent: statements with their parameters, notices, packets (P14).
const SILENCED: [&str; 2] = ["tokio_postgres=warn", "postgres_protocol=warn"];

/// Starts logging. `directives` is `RUST_LOG`, `None` or empty where it is not set.
///
/// # Errors
/// [`Error::Config`] for a `RUST_LOG` that cannot be read.
pub fn init(directives: Option<&str>) -> Result<()> {
    let registry = tracing_subscriber::registry().with(filter(directives)?);
    let terminal = io::stderr().is_terminal();
    let started: std::result::Result<(), TryInitError> = if terminal {
        let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_target(false);
        registry.with(lines).try_init()
    } else {
        let lines = tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .with_writer(io::stderr);
        registry.with(lines).try_init()
    };
    started.map_err(|error| Error::failed("starting the log", error))
}

fn filter(directives: Option<&str>) -> Result<EnvFilter> {
    let chosen = directives.map(str::trim).filter(|text| !text.is_empty()).unwrap_or(DEFAULT);
    let unreadable =
        |error: &dyn std::fmt::Display| Error::Config(format!("RUST_LOG cannot be read: {error}"));
    let mut filter = EnvFilter::builder().parse(chosen).map_err(|error| unreadable(&error))?;
    for directive in SILENCED {
        filter = filter.add_directive(directive.parse().map_err(|error| unreadable(&error))?);
    }
    Ok(filter)
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

    /// P14: the drivers' own debug lines quote rows.
    #[test]
    fn no_level_lets_the_drivers_speak() {
        for asked in ["trace", "tokio_postgres=trace", "info,tokio_postgres=debug"] {
            let shown = filter(Some(asked)).unwrap().to_string();
            assert!(shown.contains("tokio_postgres=warn"), "{asked} gives {shown}");
            assert!(!shown.contains("tokio_postgres=trace"), "{asked} gives {shown}");
            assert!(!shown.contains("tokio_postgres=debug"), "{asked} gives {shown}");
        }
    }
}
