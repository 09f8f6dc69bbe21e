//! The loop: receive, batch, apply, confirm.
//!
//! ```text
//!           receive (a task)              follow                          write
//! source ─▶ decode, assemble ─▶ queue ─▶ batch: what has arrived ─▶ rows, people, checkpoint: one COMMIT
//!    ▲                                                                │
//!    └─────────── durability (a task): what the target flushed ◀──────┘
//! ```
//!
//! # Durability without waiting (P7)
//!
//! The target commits with `synchronous_commit = off`. The loop reports each committed position to
//! `durability`, which confirms it to the source once the target's flush position has passed it. A crash
//! of the target then costs a replay from the older checkpoint, nothing else.
//!
//! # Shutdown
//!
//! The batch in hand is finished and committed durably, its position confirmed, the stream stopped.

mod backfill;
mod batch;
mod between;
mod commands;
mod control;
mod due;
mod durability;
mod expiry;
mod follow;
mod large;
mod look;
mod maintenance;
mod notice;
mod progress;
mod reading;
mod receive;
mod reports;
mod retention;
mod retries;
mod spare;
pub mod watchdog;
mod work;
mod write;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::error::{Error, ErrorKind, Next, Result, Server};
use crate::halt::Halt;
use crate::http::Health;
use crate::lsn::Lsn;
use crate::metrics;
use crate::retry::Backoff;
use crate::session;
use crate::status::{Phase, Status};
use crate::store::backfill::Progress;

pub use backfill::{Tell, backfill};
pub use commands::serve_commands;
pub use progress::Progress as ProgressWatch;

/// Shows progress of long work to a person or the log.
pub type Show<'a> = &'a (dyn Fn(&Progress) + Sync);

/// A session that lasted this long was a success, also where nothing was to be committed.
const LASTED: std::time::Duration = std::time::Duration::from_secs(60);

/// How soon it is looked again whether what is missing is back: each time twice as long, up to a minute, as looking may take the disk of
/// the target (a backup).
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_secs(5);
const LOOK_AT_LEAST: std::time::Duration = std::time::Duration::from_secs(60);

/// Sessions in a row that may end, without any progress, by an error that a new session may heal but need not
/// ([`Next::ReconnectThenHalt`]). With the pauses of [`Backoff`] that is half a minute.
const ATTEMPTS: u32 = 8;

/// What one session leaves to the next.
struct History {
    /// How long the next one waits.
    backoff: Backoff,
    /// That of the last one that led.
    epoch: Option<i64>,
    /// Whether any has followed the stream: what is refused from then on was granted before.
    has_worked: bool,
}

/// Runs until shutdown. What may heal is retried for ever, with backoff and jitter; what a new session need
/// not heal is tried `ATTEMPTS` times, then the daemon halts.
///
/// # Errors
/// What no retry heals: a wrong configuration, a refusal with its remedy.
pub async fn run(
    config: &Config,
    health: &Arc<Health>,
    shutdown: &CancellationToken,
    show: Show<'_>,
) -> Result<()> {
    let mut history = History { backoff: Backoff::new(), epoch: None, has_worked: false };
    let mut attempts = Attempts::default();
    let mut looks = 0;
    loop {
        health.tick();
        let started = tokio::time::Instant::now();
        let worked = work::one_session(config, health, shutdown, show, &mut history).await;
        // The lock ended with the session.
        health.set_leading(false);
        let error = match worked {
            Ok(()) if shutdown.is_cancelled() => return Ok(()),
            // The operator accepted a halt, or asked for something that starts over.
            Ok(()) => continue,
            Err(error) => error,
        };
        metrics::count_error(error.kind(), error.server());
        let lasted = started.elapsed() >= LASTED;
        match error.policy().next {
            Next::Reconnect => {}
            Next::ReconnectThenHalt if attempts.count(&health.status()) < ATTEMPTS => {}
            Next::ReconnectThenHalt => {
                halt_on(config, history.epoch, &error, health, shutdown).await;
                return Ok(());
            }
            Next::Stop if !history.has_worked || error.kind() == ErrorKind::Config => {
                return Err(error);
            }
            // What it has worked with may come back: a privilege, a login.
            Next::HaltUntilHealed | Next::Stop => {
                spare_the_source(config, &history).await;
                looks = if lasted { 0 } else { looks };
                halt_for_now(&error, health, shutdown, looks).await;
                looks += 1;
                if shutdown.is_cancelled() {
                    return Ok(());
                }
                continue;
            }
            Next::Halt => return Err(error),
        }
        if lasted {
            history.backoff.reset();
        }
        spare_the_source(config, &history).await;
        let delay = history.backoff.next_delay();
        tracing::warn!(%error, retry_in_ms = delay.as_millis() as u64, "trying again");
        metrics::count_reconnect(error.server().unwrap_or(Server::Source).as_str());
        health.set_failure(error.to_string());
        // Nothing works until another session is open.
        if matches!(health.phase(), Phase::Streaming | Phase::Backfilling) {
            health.set_phase(Phase::Starting);
        }
        wait(delay, health, shutdown).await;
        if shutdown.is_cancelled() {
            return Ok(());
        }
    }
}

/// Gives the slot up where it keeps too much. Only the one that this daemon has followed is its own to give up.
async fn spare_the_source(config: &Config, history: &History) {
    if history.epoch.is_some()
        && let Err(error) = spare::give_up(config).await
    {
        tracing::warn!(%error, "what the slot keeps is not known");
    }
}

/// Failures at one place of the source's log, or of the backfill.
#[derive(Debug, Default)]
struct Attempts {
    at: Option<(Option<Lsn>, u64)>,
    failures: u32,
}

impl Attempts {
    /// One more failure; returns how many there were since the last progress.
    fn count(&mut self, status: &Status) -> u32 {
        let at = Some((status.checkpoint_lsn, status.backfill.rows_done));
        self.failures = if self.at == at { self.failures + 1 } else { 1 };
        self.at = at;
        self.failures
    }
}

/// Stays up, so that everybody sees why, until it is restarted. The target records it, as far as this daemon ever led.
async fn halt_on(
    config: &Config,
    epoch: Option<i64>,
    error: &Error,
    health: &Health,
    shutdown: &CancellationToken,
) {
    let halt = Halt::failed(error.to_string(), ATTEMPTS);
    tracing::error!(reason = halt.reason(), "halted");
    let mut unrecorded = epoch;
    loop {
        if let Some(epoch) = unrecorded {
            match session::record_failure(config, epoch, &halt).await {
                // Whoever took over reports what becomes of it.
                Ok(()) | Err(Error::Superseded(_)) => unrecorded = None,
                Err(error) => tracing::warn!(%error, "the halt is not recorded yet"),
            }
        }
        if health.phase() != Phase::Halted {
            health.set_phase(Phase::Halted);
            health.set_halted(Some(halt.reason()));
        }
        wait(LASTED, health, shutdown).await;
        if shutdown.is_cancelled() {
            return;
        }
    }
}

/// Stays up, so that everybody sees why, and returns when it is time to look again.
async fn halt_for_now(error: &Error, health: &Health, shutdown: &CancellationToken, looks: u32) {
    let reason = error.to_string();
    if health.status().halted.as_ref() != Some(&reason) {
        tracing::error!(reason, "halted");
    }
    health.set_phase(Phase::Halted);
    health.set_halted(Some(reason));
    let pause = LOOK_AGAIN.saturating_mul(1 << looks.min(4)).min(LOOK_AT_LEAST);
    wait(pause, health, shutdown).await;
}

/// Waits while the health endpoint stays alive.
async fn wait(delay: std::time::Duration, health: &Health, shutdown: &CancellationToken) {
    let deadline = tokio::time::Instant::now() + delay;
    while tokio::time::Instant::now() < deadline && !shutdown.is_cancelled() {
        health.tick();
        let step = deadline.min(tokio::time::Instant::now() + std::time::Duration::from_secs(1));
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep_until(step) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Backfill as Rows;

    #[test]
    fn only_failures_without_progress_add_up() {
        let mut attempts = Attempts::default();
        let at = |lsn: u64, rows_done: u64| Status {
            checkpoint_lsn: Some(Lsn(lsn)),
            backfill: Rows { rows_done, rows_estimated: 9 },
            ..Status::default()
        };
        let table = [(1, 0, 1), (1, 0, 2), (2, 0, 1), (2, 5, 1), (2, 5, 2), (2, 5, 3)];
        for (lsn, rows, expected) in table {
            assert_eq!(attempts.count(&at(lsn, rows)), expected, "{lsn} {rows}");
        }
    }
}
