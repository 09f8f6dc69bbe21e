//! Reload at SIGHUP: the file is validated, what may change is swapped, what needs a restart is refused as a whole.

use std::path::{Path, PathBuf};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::{Changes, Config};
use crate::error::{Error, Result};
use crate::{logging, metrics, systemd};

/// Waits for SIGHUP, and knows the text that is in force.
pub(super) struct Reload {
    hangups: Signal,
    file: PathBuf,
    text: String,
}

/// What became of a reload, as the metric names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Changed,
    Unchanged,
    Refused,
    Invalid,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
            Self::Invalid => "invalid",
        }
    }
}

impl Reload {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the signal cannot be listened to.
    pub(super) fn of(file: PathBuf) -> Result<Self> {
        let hangups = signal(SignalKind::hangup());
        let hangups = hangups.map_err(|error| Error::failed("listening for signals", error))?;
        let text = read(&file);
        Ok(Self { hangups, file, text })
    }

    /// The configuration of the next reload that changes something. Cancellation-safe: a reload is decided at once.
    pub(super) async fn next(&mut self, now: &Config) -> Config {
        loop {
            if self.hangups.recv().await.is_none() {
                return std::future::pending().await;
            }
            systemd::reloading();
            let (outcome, config) = self.decide(now);
            metrics::count_reload(outcome.as_str());
            systemd::reloaded();
            if let Some(config) = config {
                return config;
            }
        }
    }

    fn decide(&mut self, now: &Config) -> (Outcome, Option<Config>) {
        let env = |name: &str| std::env::var(name).ok();
        let config = match Config::load(Some(&self.file), &env) {
            Ok(config) => config,
            Err(error) => {
                tracing::error!(%error, "reload: the configuration is not valid; nothing was changed");
                return (Outcome::Invalid, None);
            }
        };
        let text = read(&self.file);
        let changes = Changes::between(&self.text, &text);
        if !changes.fixed.is_empty() {
            let values = changes.fixed.join(", ");
            tracing::error!(values, "reload: these values need a restart; nothing was changed");
            return (Outcome::Refused, None);
        }
        let has_other_secrets = config.source.server.postgres != now.source.server.postgres
            || config.target.server.postgres != now.target.server.postgres
            || config.admin != now.admin;
        if changes.live.is_empty() && !has_other_secrets {
            tracing::info!("reload: nothing has changed");
            return (Outcome::Unchanged, None);
        }
        if let Err(error) = logging::set_level(config.log_level.as_deref()) {
            tracing::error!(%error, "reload: the log level cannot be set");
        }
        self.text = text;
        let values = changes.live.join(", ");
        tracing::info!(values, passwords = has_other_secrets, "reload: in force from here on");
        (Outcome::Changed, Some(config))
    }
}

/// Empty where the built-in configuration is in force.
fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_default()
}
