//! What the loop does beside the stream, in rounds of bounded size between batches: commands of operators,
//! the change of date, what waits, numbers for those who watch.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::backfill::report_backfill;
use super::commands::{self, Rebuild, Recomputed};
use super::control::{COMMAND_POLL, Control};
use super::look::{self, Look};
use super::reports::Reports;
use super::retention::Retention;
use super::retries::Retries;
use super::spare;
use crate::apply::{Absent, Applier, Mode, OWNERS_PER_ROUND};
use crate::config::Config;
use crate::decisions::queue;
use crate::engine::RowId;
use crate::engine::rows::Touched;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::halt::{Halt, HaltCause};
use crate::http::Health;
use crate::session::Session;
use crate::source::slot;
use crate::source::slot_log::{self, LogRate};
use crate::status::Phase;
use crate::store::backfill;
use crate::store::halt;

/// How often the source is asked for the end of its log.
const SOURCE_INTERVAL: Duration = Duration::from_secs(5);
/// How often deletes that were blocked and incomplete rows are looked for. Which of them are tried is another matter
/// ([`Retries`]).
const WAITING_INTERVAL: Duration = Duration::from_secs(60);
/// How often users are looked for that people wait for, at most.
const PEOPLE_INTERVAL: Duration = Duration::from_secs(10);

/// What is to be done, and when each thing was last done.
pub(super) struct Maintenance {
    /// Set when a command was asked for.
    pub(super) commands_wait: bool,
    /// Set when everything is due to be read again, which the next session begins with.
    pub(super) starts_over: bool,
    served_at: Option<Instant>,
    source_asked_at: Option<Instant>,
    waiting_at: Option<Instant>,
    /// New profiles.
    profiles: Look,
    /// When people who wait for a user are tried next.
    people_at: Option<Instant>,
    /// The date for which expiries were last looked for.
    judged_on: Option<Date>,
    /// People whose enrollments the change of date concerns (SPEC §5.4), not yet recomputed.
    expiring: BTreeSet<String>,
    blocked: Retries<RowId>,
    waiting: Retries<String>,
    /// Incomplete rows that the source did not have (P6).
    absent: Absent,
    rebuild: Option<Rebuild>,
    /// Whether a reconcile has read everything and still recomputes.
    pub(super) recomputes: bool,
    /// Whether the source did not answer when last asked.
    source_is_silent: bool,
    /// How fast its log grows.
    rate: LogRate,
    retention: Retention,
    reports: Reports,
}

impl Maintenance {
    /// Everything is due.
    pub(super) fn new() -> Self {
        Self {
            commands_wait: true,
            starts_over: false,
            served_at: None,
            source_asked_at: None,
            waiting_at: None,
            profiles: Look::at_all_times(),
            people_at: None,
            judged_on: None,
            expiring: BTreeSet::new(),
            blocked: Retries::new(),
            waiting: Retries::new(),
            absent: Absent::new(),
            rebuild: None,
            recomputes: false,
            source_is_silent: false,
            rate: LogRate::default(),
            retention: Retention::default(),
            reports: Reports::default(),
        }
    }

    /// What may go on in front of a configuration that is not accepted yet: nothing that would apply its rules (P9). Beside a
    /// reconcile that still reads, nothing that would decide people from rows that are not read again yet. Returns whether commands
    /// were looked for.
    pub(super) async fn serve_alone(
        &mut self,
        config: &Config,
        session: &mut Session,
        health: &Arc<Health>,
    ) -> Result<bool> {
        let served = self.serve_commands(session).await?;
        if due(&mut self.source_asked_at, SOURCE_INTERVAL) {
            self.ask_the_source(config, session, health).await?;
        }
        Ok(served)
    }

    /// Carries out what operators asked for, where it is time to look; whether it was.
    async fn serve_commands(&mut self, session: &mut Session) -> Result<bool> {
        if !due(&mut self.served_at, COMMAND_POLL) && !self.commands_wait {
            return Ok(false);
        }
        self.commands_wait = false;
        // Decisions and a rebuild judge by the present date, however long the daemon waits.
        session.applier.keep_today().await?;
        self.starts_over |= queue::serve(&mut session.applier).await?;
        Ok(true)
    }

    /// What may go on while the stream is paused: what operators ask for, a rebuild included. One that is asked for while a
    /// backfill has still to read waits until it may.
    async fn serve_paused(
        &mut self,
        config: &Config,
        session: &mut Session,
        health: &Arc<Health>,
    ) -> Result<()> {
        if self.serve_alone(config, session, health).await? && !is_still_read(session).await? {
            self.take_rebuild(config, session).await?;
        }
        self.round(config, session, health).await
    }

    /// What may go on in front of a sweep, as not all people are read again: what operators ask for. A rebuild is refused.
    async fn serve_before_a_sweep(
        &mut self,
        config: &Config,
        session: &mut Session,
        health: &Arc<Health>,
    ) -> Result<()> {
        if self.serve_alone(config, session, health).await? {
            self.take_rebuild(config, session).await?;
        }
        Ok(())
    }

    /// Takes the rebuild that waits, unless one is under way.
    async fn take_rebuild(&mut self, config: &Config, session: &mut Session) -> Result<()> {
        if self.rebuild.is_none() {
            self.rebuild = Rebuild::take(config, session).await?;
        }
        Ok(())
    }

    /// Whether long work is under way, so that another round is due as soon as nothing else is.
    pub(super) fn has_rounds(&self) -> bool {
        self.rebuild.is_some() || self.recomputes || !self.expiring.is_empty()
    }

    /// Does what is due. Between source transactions only.
    pub(super) async fn run(
        &mut self,
        config: &Config,
        session: &mut Session,
        health: &Arc<Health>,
    ) -> Result<()> {
        if self.serve_commands(session).await? {
            if self.starts_over {
                return Ok(());
            }
            self.take_rebuild(config, session).await?;
        }
        self.look_at_the_date(&mut session.applier).await?;
        self.round(config, session, health).await?;
        if due(&mut self.waiting_at, WAITING_INTERVAL) {
            self.retry_deletes(&mut session.applier).await?;
            let Session { applier, source, checkpoint, .. } = &mut *session;
            let end_of_log = async || slot::current_lsn(source).await;
            applier.reread_incomplete(&mut self.absent, *checkpoint, end_of_log).await?;
        }
        while session.applier.retry_quarantined().await? {
            health.step();
        }
        self.profiles.next_page(&mut session.applier).await?;
        if self.people_at.is_none_or(|at| at <= Instant::now()) {
            let started = Instant::now();
            self.retry_people(&mut session.applier).await?;
            let pause = PEOPLE_INTERVAL.max(started.elapsed() * look::SHARE);
            self.people_at = Some(Instant::now() + pause);
        }
        self.retention.run(&session.applier, config.retention_days).await?;
        self.reports.run(config, &session.applier).await?;
        if due(&mut self.source_asked_at, SOURCE_INTERVAL) {
            self.ask_the_source(config, session, health).await?;
        }
        Ok(())
    }

    /// One round of long work.
    pub(super) async fn round(
        &mut self,
        config: &Config,
        session: &mut Session,
        health: &Arc<Health>,
    ) -> Result<()> {
        if !self.expiring.is_empty() {
            let owners: BTreeSet<String> =
                self.expiring.iter().take(OWNERS_PER_ROUND).cloned().collect();
            self.expiring.retain(|owner| !owners.contains(owner));
            // The row is compared itself: the application may have set the status.
            session.applier.recompute_alone(Touched::owners(owners), Mode::COMPARED).await?;
            health.step();
            health.recovered();
        }
        let show = |at: &backfill::Progress| report_backfill(health, at);
        if let Some(rebuild) = &self.rebuild {
            if rebuild.round(config, session, &show).await? {
                self.rebuild = None;
                self.commands_wait = true;
                // One that failed is answered, and gone on with: people must not stay as they were before it.
                let at = backfill::progress(&session.applier.db).await?;
                self.recomputes |= at.is_some_and(|at| at.stage.has_read() && !at.is_done());
            }
            health.recovered();
        } else if self.recomputes {
            match commands::recompute(config, session, &show).await? {
                Recomputed::More => {}
                Recomputed::Everybody => {
                    self.recomputes = false;
                    tracing::info!("everything is reconciled");
                    if session.due.is_none() {
                        health.set_phase(Phase::Streaming);
                    }
                }
                Recomputed::ReadsFirst => (self.recomputes, self.starts_over) = (false, true),
            }
            health.recovered();
        }
        Ok(())
    }

    /// Enrollments expire when the local date changes, at no other time (SPEC §5.4).
    async fn look_at_the_date(&mut self, applier: &mut Applier) -> Result<()> {
        applier.keep_today().await?;
        if self.judged_on != Some(applier.env.today) {
            self.expiring.extend(applier.people_due().await?.owners);
            self.judged_on = Some(applier.env.today);
        }
        Ok(())
    }

    /// People who wait for a user that is there now, as far as they are to be tried now.
    async fn retry_people(&mut self, applier: &mut Applier) -> Result<()> {
        let people = applier.people_waiting().await?.owners;
        let owners = self.waiting.due(&people, Instant::now());
        applier.recompute_alone(Touched::owners(owners), Mode::STREAM).await
    }

    /// Deletes that were blocked, as far as they are to be tried now.
    async fn retry_deletes(&mut self, applier: &mut Applier) -> Result<()> {
        let now = Instant::now();
        let rows = applier.blocked_deletes().await?;
        let rows = self.blocked.due(&rows, now);
        applier.retry_blocked_deletes(rows).await
    }

    /// A source that shuts down ends this session first, and then waits until what it streamed is confirmed:
    /// only its second silence ends the stream too.
    async fn ask_the_source(
        &mut self,
        config: &Config,
        session: &Session,
        health: &Arc<Health>,
    ) -> Result<()> {
        let asked = async {
            let lsn = slot::current_lsn(&session.source).await?;
            Ok((lsn, slot_log::look(&session.source, &config.source.slot).await?))
        };
        let log = match asked.await {
            Ok((lsn, log)) => {
                health.set_source_lsn(lsn);
                log
            }
            Err(Error::Unavailable { .. }) if !self.source_is_silent => {
                self.source_is_silent = true;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.source_is_silent = false;
        let log = log.map(|(end, mut log)| {
            self.rate.project(Instant::now(), end, &mut log);
            log
        });
        let over_limit = log.as_ref().and_then(|log| spare::over_limit(config, log));
        health.set_slot_log(log);
        over_limit.map_or(Ok(()), Err)
    }
}

/// Whether a backfill or reconcile has not read everything yet.
async fn is_still_read(session: &Session) -> Result<bool> {
    let at = backfill::progress(&session.applier.db).await?;
    Ok(at.is_some_and(|at| !at.stage.has_read()))
}

fn due(last: &mut Option<Instant>, every: Duration) -> bool {
    let is_due = last.is_none_or(|last| last.elapsed() >= every);
    if is_due {
        *last = Some(Instant::now());
    }
    is_due
}

/// Stays up in front of a guarded delete until an operator accepts it, or shutdown.
pub(super) async fn wait_until_accepted(
    config: &Config,
    session: &mut Session,
    control: &Control,
    halt: &Halt,
    health: &Arc<Health>,
    shutdown: &CancellationToken,
) -> Result<()> {
    tracing::error!(reason = halt.reason(), "halted");
    halt::record(&session.applier.db, Some(halt)).await?;
    failpoint::hit("halt-recorded");
    health.set_phase(Phase::Halted);
    health.set_halted(Some(halt.reason()));
    let mut maintenance = Maintenance::new();
    loop {
        health.tick();
        match halt.cause {
            HaltCause::Paused { .. } => {
                maintenance.serve_paused(config, session, health).await?;
            }
            HaltCause::Sweep { .. } => {
                maintenance.serve_before_a_sweep(config, session, health).await?;
            }
            HaltCause::Configuration { .. } | HaltCause::RolledBack { .. } => {
                maintenance.serve_alone(config, session, health).await?;
            }
            _ => maintenance.run(config, session, health).await?,
        }
        if halt::is_accepted(&session.applier.db, halt).await? {
            health.set_halted(None);
            health.set_phase(Phase::Starting);
            return Ok(());
        }
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(()),
            () = control.notified() => maintenance.commands_wait = true,
            () = std::future::ready(()), if maintenance.has_rounds() => {}
            () = tokio::time::sleep(COMMAND_POLL) => {}
        }
    }
}
