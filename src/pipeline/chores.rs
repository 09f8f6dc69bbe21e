//! What the loop does beside the stream: commands of operators, the date, numbers for those who watch.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::apply::{Applier, Mode};
use crate::backfill::{self, Stage};
use crate::config::Config;
use crate::decisions::queue;
use crate::engine::rows::Touched;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::halt::{self, Halt};
use crate::http::Health;
use crate::pg::Db;
use crate::pipeline::Show;
use crate::session::Session;
use crate::source::slot;
use crate::status::Phase;
use crate::unify::{ConflictKind, Severity};

/// How often the numbers for `/status` and metrics are read.
const WATCH_INTERVAL: Duration = Duration::from_secs(5);
/// How often the date is looked at.
const CLOCK_INTERVAL: Duration = Duration::from_secs(15);
/// How often people who wait for their auth user, deletes that were blocked and new profiles of the
/// application are looked for.
const WAITING_INTERVAL: Duration = Duration::from_secs(10);
/// How often commands are looked for while halted.
const HALT_POLL: Duration = Duration::from_millis(500);

/// When each chore was last done.
pub(super) struct Chores {
    watched_at: Option<Instant>,
    clock_at: Option<Instant>,
    waiting_at: Option<Instant>,
    /// Whether the source did not answer when last asked.
    source_is_silent: bool,
}

impl Chores {
    /// All are due.
    pub(super) fn new() -> Self {
        Self { watched_at: None, clock_at: None, waiting_at: None, source_is_silent: false }
    }

    /// Does what is due. Between source transactions only.
    pub(super) async fn run(
        &mut self,
        config: &Config,
        session: &mut Session,
        health: &Arc<Health>,
        shutdown: &CancellationToken,
    ) -> Result<()> {
        let show = |at: &backfill::Progress| {
            health.tick();
            health.set_backfill(at.rows_done.unsigned_abs(), at.rows_estimated.unsigned_abs());
        };
        serve_commands(config, session, shutdown, &show).await?;
        let mut touched = Touched::default();
        if due(&mut self.clock_at, CLOCK_INTERVAL) {
            session.applier.set_today(Timestamp::now());
            touched.merge(session.applier.people_due().await?);
        }
        if due(&mut self.waiting_at, WAITING_INTERVAL) {
            touched.merge(session.applier.people_waiting().await?);
            session.applier.retry_blocked_deletes().await?;
            session.applier.scan_profiles(&|| health.tick()).await?;
        }
        session.applier.recompute_alone(touched, Mode::STREAM).await?;
        while session.applier.retry_quarantined().await? {
            health.tick();
        }
        if due(&mut self.watched_at, WATCH_INTERVAL) {
            self.ask_the_source(session, health).await?;
            watch(session, health).await?;
        }
        Ok(())
    }

    /// A source that shuts down ends this session first, and then waits until what it streamed is confirmed:
    /// only its second silence ends the stream too.
    async fn ask_the_source(&mut self, session: &Session, health: &Arc<Health>) -> Result<()> {
        match slot::current_lsn(&session.source).await {
            Ok(lsn) => health.set_source_lsn(lsn),
            Err(Error::Unavailable { .. }) if !self.source_is_silent => {
                self.source_is_silent = true;
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        self.source_is_silent = false;
        Ok(())
    }
}

fn due(last: &mut Option<Instant>, every: Duration) -> bool {
    let is_due = last.is_none_or(|last| last.elapsed() >= every);
    if is_due {
        *last = Some(Instant::now());
    }
    is_due
}

/// Carries out what operators asked for. `show` is told of the progress of a rebuild, after every commit.
///
/// # Errors
/// Those of the target. A rebuild that shutdown cuts short is gone on with at the next start.
pub async fn serve_commands(
    config: &Config,
    session: &mut Session,
    shutdown: &CancellationToken,
    show: Show<'_>,
) -> Result<()> {
    let source = &session.source;
    loop {
        queue::serve(&mut session.applier).await?;
        let rebuild = async |applier: &mut Applier| {
            refuse_unfinished(&applier.db).await?;
            backfill::schedule(&applier.db, config, Stage::Place).await?;
            let source = Arc::clone(source);
            let work = backfill::Backfill { config, source, shutdown, progress: show };
            if work.run(applier).await? {
                return Ok("everybody is recomputed from the stored facts".to_owned());
            }
            Err(Error::unavailable("target: recomputing everybody", "the daemon is stopping"))
        };
        if !queue::serve_rebuild(&mut session.applier, rebuild).await? {
            return Ok(());
        }
    }
}

/// A rebuild takes the place of the backfill: one that still has to read or sweep must not be forgotten.
async fn refuse_unfinished(db: &Db) -> Result<()> {
    let at = backfill::progress(db).await?;
    if at.is_none_or(|at| at.stage.has_read()) {
        return Ok(());
    }
    Err(Error::refused(
        "a backfill has not read everything yet, and it ends by recomputing everybody",
        "let `tributary run` finish it: `tributary status` shows how far it is, and whether it is halted",
    ))
}

async fn watch(session: &Session, health: &Arc<Health>) -> Result<()> {
    let sql = "select kind, severity, count(*) from tributary.conflict \
               where status = 'open' group by kind, severity";
    let rows = session.applier.db.query("target: counting conflicts", sql, &[]).await?;
    let counts: Vec<(ConflictKind, Severity, u64)> = rows
        .iter()
        .filter_map(|row| {
            let kind = ConflictKind::parse(row.get(0))?;
            let severity =
                if row.get::<_, &str>(1) == "review" { Severity::Review } else { Severity::Info };
            Some((kind, severity, row.get::<_, i64>(2).unsigned_abs()))
        })
        .collect();
    let of = |severity: Severity| -> u64 {
        counts.iter().filter(|(_, s, _)| *s == severity).map(|(_, _, n)| n).sum()
    };
    health.set_conflicts(of(Severity::Review), of(Severity::Info));
    crate::metrics::set_conflicts(&counts);
    Ok(())
}

/// Stays up in front of a guarded delete until an operator accepts it, or shutdown.
pub(super) async fn wait_until_accepted(
    config: &Config,
    session: &mut Session,
    halt: &Halt,
    health: &Arc<Health>,
    shutdown: &CancellationToken,
) -> Result<()> {
    tracing::error!(reason = halt.reason(), "halted");
    halt::record(&session.applier.db, Some(halt)).await?;
    failpoint::hit("halt-recorded");
    health.set_phase(Phase::Halted);
    health.set_halted(Some(halt.reason()));
    crate::systemd::ready();
    let mut chores = Chores::new();
    loop {
        health.tick();
        chores.run(config, session, health, shutdown).await?;
        if halt::is_accepted(&session.applier.db, halt).await? {
            health.set_halted(None);
            health.set_phase(Phase::Starting);
            return Ok(());
        }
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(HALT_POLL) => {}
        }
    }
}
