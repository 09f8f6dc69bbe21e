//! The backfill that is due: run as far as asked, shown, and recorded in the operation log.

use std::future::Future;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::Show;
use super::notice::Notice;
use super::reading::{self, Waits};
use crate::backfill::{Backfill, UNKNOWN_POSITION, Until};
use crate::config::Config;
use crate::connect::connect;
use crate::decisions::queue;
use crate::error::{Error, Result};
use crate::http::Health;
use crate::metrics;
use crate::session::Session;
use crate::source::Writers;
use crate::source::position::Position;
use crate::status::Phase;
use crate::store::backfill::Progress;
use crate::store::operation_log::{self, Finish, Outcome};

pub(super) async fn due_backfill(session: &Session) -> Result<Option<Progress>> {
    let at = crate::store::backfill::progress(&session.applier.db).await?;
    Ok(at.filter(|at| !at.is_done()))
}

/// What a backfill tells while it works, and what it is told.
#[derive(Clone, Copy)]
pub struct Tell<'a> {
    /// Shows its progress.
    pub show: Show<'a>,
    /// See [`Backfill::position`].
    pub position: &'a (dyn Fn() -> Option<Position> + Sync),
}

impl<'a> Tell<'a> {
    /// Where nobody looks how far the source is.
    #[must_use]
    pub fn by(show: Show<'a>) -> Self {
        Self { show, position: UNKNOWN_POSITION }
    }
}

/// How far a backfill is, for status and metrics.
pub(super) fn report_backfill(health: &Health, at: &Progress) {
    metrics::set_backfill_stage(Some(at.stage));
    health.set_backfill(at.rows_done.unsigned_abs(), at.rows_estimated.unsigned_abs());
}

/// What is called after each commit of a backfill.
pub(super) fn shown<'a>(health: &'a Health, show: Show<'a>) -> impl Fn(&Progress) + Sync + 'a {
    move |at| {
        report_backfill(health, at);
        health.recovered();
        show(at);
    }
}

/// Awaits a backfill until something is altered under it. It is cut off then, as by a crash: the next session resumes it.
pub(super) async fn watched(
    backfill: impl Future<Output = Result<bool>>,
    notice: &mut Notice,
) -> Result<bool> {
    tokio::select! {
        done = backfill => done,
        altered = notice.altered() => Err(altered),
    }
}

/// Records that a backfill begins, unless it began before.
pub(super) async fn log_backfill(config: &Config, session: &Session) -> Result<Option<i64>> {
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
    tell: Tell<'_>,
    until: Until,
) -> Result<bool> {
    let pending = crate::store::backfill::progress(&session.applier.db).await?;
    match &pending {
        Some(at) => report_backfill(health, at),
        None => metrics::set_backfill_stage(None),
    }
    let Some(at) = pending.filter(|at| !at.is_done()) else { return Ok(true) };
    if !wait_for_writers(config, session, health, shutdown, &at).await? {
        return Ok(false);
    }
    let logged = log_backfill(config, session).await?;
    run_backfill(config, session, health, shutdown, tell, until, logged).await
}

/// Waits until whoever writes to the feeds now has ended, where they are still to be read; `false` when shutdown came first.
async fn wait_for_writers(
    config: &Config,
    session: &mut Session,
    health: &Health,
    shutdown: &CancellationToken,
    at: &Progress,
) -> Result<bool> {
    if at.stage.has_read() {
        return Ok(true);
    }
    let mut writers = Writers::to(reading::tables_read(config, &session.applier.env.feeds, at));
    let mut waits = Waits::default();
    while !writers.have_ended(&session.source).await? {
        if shutdown.is_cancelled() {
            return Ok(false);
        }
        waits.warn(&writers);
        health.tick();
        queue::serve(&mut session.applier).await?;
        tokio::time::sleep(reading::PAUSE).await;
    }
    Ok(true)
}

/// Runs a backfill that is recorded as this entry of the operation log.
pub(super) async fn run_backfill(
    config: &Config,
    session: &mut Session,
    health: &Arc<Health>,
    shutdown: &CancellationToken,
    tell: Tell<'_>,
    until: Until,
    logged: Option<i64>,
) -> Result<bool> {
    health.set_phase(Phase::Backfilling);
    let source = Arc::new(connect(&config.source.server, "tributary", "source").await?);
    let (progress, position) = (shown(health, tell.show), tell.position);
    let db = Arc::clone(&session.applier.db);
    let work = Backfill { config, source, shutdown, progress: &progress, position };
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
