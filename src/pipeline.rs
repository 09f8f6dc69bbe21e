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

mod batch;
mod chores;
mod durability;
mod follow;
mod large;
mod receive;
mod write;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::backfill::{Backfill, Progress};
use crate::config::Config;
use crate::connect::connect;
use crate::error::{Error, Result, Server};
use crate::halt;
use crate::http::Health;
use crate::retry::Backoff;
use crate::session::{self, OnLock, Session, Watcher};
use crate::status::Phase;

pub use chores::serve_commands;

/// Shows progress of long work to a person or the log.
pub type Show<'a> = &'a (dyn Fn(&Progress) + Sync);

/// A session that lasted this long was a success, also where nothing was to be committed.
const LASTED: std::time::Duration = std::time::Duration::from_secs(60);

/// Runs until shutdown. What may heal is retried for ever, with backoff and jitter.
///
/// # Errors
/// What no retry mends: a wrong configuration, a refusal with its remedy.
pub async fn run(
    config: &Config,
    health: &Arc<Health>,
    shutdown: &CancellationToken,
    show: Show<'_>,
) -> Result<()> {
    let mut backoff = Backoff::new();
    loop {
        health.tick();
        let started = tokio::time::Instant::now();
        let worked = one_session(config, health, shutdown, show, &mut backoff).await;
        match worked {
            Ok(()) if shutdown.is_cancelled() => return Ok(()),
            // The operator accepted a halt, or asked for something that starts over.
            Ok(()) => continue,
            Err(error) if error.is_retryable() => {
                if started.elapsed() >= LASTED {
                    backoff.reset();
                }
                let delay = backoff.next_delay();
                tracing::warn!(%error, retry_in_ms = delay.as_millis() as u64, "trying again");
                crate::metrics::count_reconnect(error.server().unwrap_or(Server::Source).as_str());
                if health.status().phase == Phase::Streaming {
                    health.set_phase(Phase::Starting);
                }
                wait(delay, health, shutdown).await;
                if shutdown.is_cancelled() {
                    return Ok(());
                }
            }
            Err(error) => return Err(error),
        }
    }
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

async fn one_session(
    config: &Config,
    health: &Arc<Health>,
    shutdown: &CancellationToken,
    show: Show<'_>,
    backoff: &mut Backoff,
) -> Result<()> {
    let waiting = |waiting: bool| {
        health.set_phase(if waiting { Phase::WaitingForLock } else { Phase::Starting });
        health.tick();
    };
    let watcher = Watcher { waiting: &waiting, alive: &|| health.tick() };
    let opened = session::open(config, OnLock::Wait, shutdown, &watcher).await?;
    let Some(mut session) = opened else { return Ok(()) };
    health.set_checkpoint(session.checkpoint);
    let result = work(config, &mut session, health, shutdown, show, backoff).await;
    match result {
        Err(Error::Halted(halt)) => {
            // The open transaction of the halted work, if any, must not hold what the operator changes.
            crate::pg::Tx::on(&session.applier.db).rollback().await?;
            chores::wait_until_accepted(config, &mut session, &halt, health, shutdown).await
        }
        other => other,
    }
}

async fn work(
    config: &Config,
    session: &mut Session,
    health: &Arc<Health>,
    shutdown: &CancellationToken,
    show: Show<'_>,
    backoff: &mut Backoff,
) -> Result<()> {
    session.applier.set_today(jiff::Timestamp::now());
    session.applier.scan_profiles(&|| health.tick()).await?;
    if !backfill(config, session, health, shutdown, show).await? {
        return Ok(());
    }
    halt::record(&session.applier.db, None).await?;
    follow::follow(config, session, health, shutdown, backoff).await
}

/// Runs the scheduled backfill, if any; `false` when shutdown came first.
///
/// # Errors
/// As [`Backfill::run`].
pub async fn backfill(
    config: &Config,
    session: &mut Session,
    health: &Arc<Health>,
    shutdown: &CancellationToken,
    show: Show<'_>,
) -> Result<bool> {
    let pending = crate::backfill::progress(&session.applier.db).await?;
    if let Some(at) = &pending {
        health.set_backfill(at.rows_done.unsigned_abs(), at.rows_estimated.unsigned_abs());
    }
    if pending.is_none_or(|at| at.is_done()) {
        return Ok(true);
    }
    health.set_phase(Phase::Backfilling);
    let source = Arc::new(connect(&config.source.server, "tributary", "source").await?);
    let progress = |at: &Progress| {
        health.tick();
        health.set_backfill(at.rows_done.unsigned_abs(), at.rows_estimated.unsigned_abs());
        show(at);
    };
    let work = Backfill { config, source, shutdown, progress: &progress };
    work.run(&mut session.applier).await
}
