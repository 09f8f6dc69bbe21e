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
mod commands;
mod control;
mod due;
mod durability;
mod expiry;
mod follow;
mod large;
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
mod write;

use std::future::Future;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};

use self::control::Control;
use self::follow::Beside;
use self::notice::Notice;
use self::reading::Reading;
use crate::apply::{Mode, OWNERS_PER_ROUND};
use crate::backfill::{Backfill, Until};
use crate::backup;
use crate::config::Config;
use crate::connect::connect;
use crate::engine::rows::Touched;
use crate::error::{Error, Next, Result, Server};
use crate::halt::Halt;
use crate::http::Health;
use crate::lsn::Lsn;
use crate::metrics;
use crate::retry::Backoff;
use crate::session::{self, OnLock, Session, Watcher};
use crate::status::{Phase, Status};
use crate::store::backfill::Progress;
use crate::store::halt;
use crate::store::operation_log::{self, Finish, Outcome};

pub use commands::serve_commands;
pub use progress::Progress as ProgressWatch;

/// Shows progress of long work to a person or the log.
pub type Show<'a> = &'a (dyn Fn(&Progress) + Sync);

/// A session that lasted this long was a success, also where nothing was to be committed.
const LASTED: std::time::Duration = std::time::Duration::from_secs(60);

/// How often it is looked whether what is missing is back.
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_secs(5);

/// Sessions in a row that may end, without any progress, by an error that a new session may heal but need not
/// ([`Next::ReconnectThenHalt`]). With the pauses of [`Backoff`] that is half a minute.
const ATTEMPTS: u32 = 8;

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
    let mut backoff = Backoff::new();
    let mut attempts = Attempts::default();
    let mut epoch = None;
    loop {
        health.tick();
        let started = tokio::time::Instant::now();
        let worked = one_session(config, health, shutdown, show, &mut backoff, &mut epoch).await;
        // The lock ended with the session.
        health.set_leading(false);
        let error = match worked {
            Ok(()) if shutdown.is_cancelled() => return Ok(()),
            // The operator accepted a halt, or asked for something that starts over.
            Ok(()) => continue,
            Err(error) => error,
        };
        metrics::count_error(error.kind(), error.server());
        match error.policy().next {
            Next::Reconnect => {}
            Next::ReconnectThenHalt if attempts.count(&health.status()) < ATTEMPTS => {}
            Next::ReconnectThenHalt => {
                halt_on(config, epoch, &error, health, shutdown).await;
                return Ok(());
            }
            Next::HaltUntilHealed => {
                halt_for_now(&error, health, shutdown).await;
                continue;
            }
            Next::Halt | Next::Stop => return Err(error),
        }
        if started.elapsed() >= LASTED {
            backoff.reset();
        }
        // Only the slot that this daemon has followed is its own to give up.
        if epoch.is_some()
            && let Err(error) = spare::give_up(config).await
        {
            tracing::warn!(%error, "what the slot keeps is not known");
        }
        let delay = backoff.next_delay();
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
async fn halt_for_now(error: &Error, health: &Health, shutdown: &CancellationToken) {
    let reason = error.to_string();
    if health.status().halted.as_ref() != Some(&reason) {
        tracing::error!(reason, "halted");
    }
    health.set_phase(Phase::Halted);
    health.set_halted(Some(reason));
    wait(LOOK_AGAIN, health, shutdown).await;
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
    epoch: &mut Option<i64>,
) -> Result<()> {
    let waiting = |waiting: bool| {
        // One that is halted stays so until it is seen to be healed.
        if waiting {
            health.set_phase(Phase::WaitingForLock);
            // Whoever works knows it: what was true of this one's time would stay so for who watches.
            health.set_slot_log(None);
        } else if health.phase() != Phase::Halted {
            health.set_phase(Phase::Starting);
        }
        health.tick();
    };
    let watcher = Watcher { waiting: &waiting, alive: &|| health.tick() };
    let opened = session::open(config, OnLock::Wait, shutdown, &watcher);
    let opened = opened.instrument(span(config, Phase::Starting)).await?;
    let Some(mut session) = opened else { return Ok(()) };
    if health.phase() == Phase::Halted {
        health.set_phase(Phase::Starting);
    }
    *epoch = Some(session.leadership.epoch);
    health.set_leading(true);
    health.set_checkpoint(session.checkpoint);
    let unresolved = halt::failure(&session.applier.db).await?.map(|halt| halt.reason());
    if let Some(reason) = &unresolved {
        tracing::warn!(reason, "halted before it was restarted; trying again");
    }
    health.set_unresolved(unresolved);
    let control = Arc::new(Control::open(config, &session.applier.db).await?);
    let mut result = work(config, &mut session, &control, health, shutdown, show, backoff).await;
    // A pause or a rollback that is asked for in front of a halt is a halt of its own.
    while let Err(Error::Halted(halt)) = result {
        // The open transaction of the halted work, if any, must not hold what the operator changes.
        crate::pg::Tx::on(&session.applier.db).rollback().await?;
        let session = &mut session;
        result =
            maintenance::wait_until_accepted(config, session, &control, &halt, health, shutdown)
                .await;
    }
    result
}

async fn work(
    config: &Config,
    session: &mut Session,
    control: &Arc<Control>,
    health: &Arc<Health>,
    shutdown: &CancellationToken,
    show: Show<'_>,
    backoff: &mut Backoff,
) -> Result<()> {
    if let Some(halt) = halt::standing(session.applier.db.client()).await? {
        return Err(Error::Halted(Box::new(halt)));
    }
    session.applier.keep_today().await?;
    session.applier.scan_profiles(&|| health.tick()).await?;
    let mut notice = Notice::start(config, session.publication.print.clone());
    let until = reading::before_the_stream(&session.applier.db).await?;
    let due = due_backfill(session).await?;
    if let Some(at) = &due {
        // Before the phase: whoever sees it sees the rows of an earlier run too.
        report_backfill(health, at);
        health.set_phase(Phase::Backfilling);
        backup::take_if_due(config, &session.applier, session.leadership.epoch).await?;
    }
    let reading = if reading::is_read_beside(until, due.as_ref()) {
        let logged = log_backfill(config, session).await?;
        Some(Reading::begin(config, logged, show).await?)
    } else {
        let backfilled = backfill(config, session, health, shutdown, show, until);
        let backfilled = watched(backfilled, &mut notice);
        if !backfilled.instrument(span(config, Phase::Backfilling)).await? {
            return Ok(());
        }
        None
    };
    halt::record(&session.applier.db, None).await?;
    judge_days_passed(session, health).await?;
    let beside = Beside { notice, reading };
    follow::follow(config, session, health, shutdown, backoff, control, beside)
        .instrument(span(config, Phase::Streaming))
        .await
}

/// Days that passed while no daemon worked are judged before anything is streamed (SPEC §5.4), unless everybody is to be
/// judged anyway.
async fn judge_days_passed(session: &mut Session, health: &Arc<Health>) -> Result<()> {
    if due_backfill(session).await?.is_some() {
        return Ok(());
    }
    let applier = &mut session.applier;
    applier.keep_today().await?;
    let people: Vec<String> = applier.people_due().await?.owners.into_iter().collect();
    for round in people.chunks(OWNERS_PER_ROUND) {
        let touched = Touched::owners(round.iter().cloned());
        // The row is compared itself: the application may have set the status.
        applier.recompute_alone(touched, Mode::COMPARED).await?;
        health.tick();
    }
    Ok(())
}

async fn due_backfill(session: &Session) -> Result<Option<Progress>> {
    let at = crate::store::backfill::progress(&session.applier.db).await?;
    Ok(at.filter(|at| !at.is_done()))
}

/// How far a backfill is, for status and metrics.
fn report_backfill(health: &Health, at: &Progress) {
    metrics::set_backfill_stage(Some(at.stage));
    health.set_backfill(at.rows_done.unsigned_abs(), at.rows_estimated.unsigned_abs());
}

/// What is called after each commit of a backfill.
fn shown<'a>(health: &'a Health, show: Show<'a>) -> impl Fn(&Progress) + Sync + 'a {
    move |at| {
        report_backfill(health, at);
        health.recovered();
        show(at);
    }
}

/// Awaits a backfill until something is altered under it. It is cut off then, as by a crash: the next session resumes it.
async fn watched(
    backfill: impl Future<Output = Result<bool>>,
    notice: &mut Notice,
) -> Result<bool> {
    tokio::select! {
        done = backfill => done,
        altered = notice.altered() => Err(altered),
    }
}

/// What every log line of a phase carries beside its own fields.
fn span(config: &Config, phase: Phase) -> Span {
    tracing::info_span!("daemon", slot = config.source.slot, phase = phase.as_str())
}

/// Records that a backfill begins, unless it began before.
async fn log_backfill(config: &Config, session: &Session) -> Result<Option<i64>> {
    let applier = &session.applier;
    let logged = operation_log::begin_backfill(&applier.db, &applier.operator).await?;
    if let Some(entry) = logged {
        crate::report::store::begin(config, entry).await;
    }
    Ok(logged)
}

/// Runs the scheduled backfill, if any, as far as asked; `false` when shutdown came first.
///
/// # Errors
/// As [`Backfill::run`].
pub async fn backfill(
    config: &Config,
    session: &mut Session,
    health: &Arc<Health>,
    shutdown: &CancellationToken,
    show: Show<'_>,
    until: Until,
) -> Result<bool> {
    let pending = crate::store::backfill::progress(&session.applier.db).await?;
    match &pending {
        Some(at) => report_backfill(health, at),
        None => metrics::set_backfill_stage(None),
    }
    if pending.is_none_or(|at| at.is_done()) {
        return Ok(true);
    }
    let logged = log_backfill(config, session).await?;
    run_backfill(config, session, health, shutdown, show, until, logged).await
}

/// Runs a backfill that is recorded as this entry of the operation log.
async fn run_backfill(
    config: &Config,
    session: &mut Session,
    health: &Arc<Health>,
    shutdown: &CancellationToken,
    show: Show<'_>,
    until: Until,
    logged: Option<i64>,
) -> Result<bool> {
    health.set_phase(Phase::Backfilling);
    let source = Arc::new(connect(&config.source.server, "tributary", "source").await?);
    let progress = shown(health, show);
    let db = Arc::clone(&session.applier.db);
    let work = Backfill { config, source, shutdown, progress: &progress };
    let worked = work.run(&mut session.applier, until).await;
    let end = match &worked {
        Ok(true) => None,
        Ok(false) => Some(Finish::new(Outcome::Stopped)),
        // The next session goes on with it.
        Err(Error::Unavailable { .. } | Error::Superseded(_)) => None,
        Err(error) => Some(Finish::failed(error)),
    };
    if let (Some(id), Some(end)) = (logged, end) {
        // What failed may have left a transaction open.
        crate::pg::Tx::on(&db).rollback().await?;
        operation_log::finish(db.client(), id, &end).await?;
    }
    worked
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
