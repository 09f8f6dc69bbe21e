//! Progress of a backfill: a bar on a terminal, log lines otherwise.

use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::store::backfill::Progress;

/// How often progress is logged where there is no terminal.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Shows progress.
pub(super) struct Bar {
    bar: Option<ProgressBar>,
    logged: Mutex<Option<Instant>>,
}

impl Bar {
    /// A bar where standard error is a terminal.
    #[must_use]
    pub(super) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::no_length();
            let style = "{msg:10} {wide_bar} {human_pos}/{human_len} rows  {per_sec}  {eta} left";
            bar.set_style(
                ProgressStyle::with_template(style)
                    .unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar
        });
        Self { bar, logged: Mutex::new(None) }
    }

    /// Shows where the backfill is.
    pub(super) fn show(&self, at: &Progress) {
        if let Some(bar) = &self.bar {
            bar.set_length(at.rows_estimated.max(at.rows_done).unsigned_abs());
            bar.set_position(at.rows_done.unsigned_abs());
            bar.set_message(at.stage.as_str());
            if at.is_done() {
                bar.finish_and_clear();
            }
            return;
        }
        let Ok(mut logged) = self.logged.lock() else { return };
        if logged.is_some_and(|logged| logged.elapsed() < LOG_INTERVAL) {
            return;
        }
        *logged = Some(Instant::now());
        tracing::info!(
            stage = at.stage.as_str(),
            rows_done = at.rows_done,
            rows_estimated = at.rows_estimated,
            "backfill"
        );
    }
}
