//! One session of the daemon: the writer's lock, the backfill that is due, then the stream.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};

use super::backfill::{Tell, backfill, due_backfill, log_backfill, report_backfill, watched};
use super::control::Control;
use super::follow::{self, Beside};
use super::notice::Notice;
use super::reading::{self, Reading};
use super::{History, Show, maintenance};
use crate::apply::{Applier, Mode, OWNERS_PER_ROUND};
use crate::backup;
use crate::config::Config;
use crate::engine::rows::Touched;
use crate::error::{Error, Result};
use crate::http::Health;
use crate::session::{self, OnLock, Session, Watcher};
use crate::source::Writers;
use crate::status::Phase;
use crate::store::backfill::MadeBy;
use crate::store::halt;

/// Opens a session and works in it until it ends. A halt is waited out in it.
pub(super) async fn one_session(
    config: &Config,
    health: &Arc<Health>,
    shutdown: &CancellationToken,
    show: Show<'_>,
    history: &mut History,
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
    history.epoch = Some(session.leadership.epoch);
    health.set_leading(true);
    health.set_checkpoint(session.checkpoint);
    let unresolved = halt::failure(&session.applier.db).await?.map(|halt| halt.reason());
    if let Some(reason) = &unresolved {
        tracing::warn!(reason, "halted before it was restarted; trying again");
    }
    health.set_unresolved(unresolved);
    let control = Arc::new(Control::open(config, &session.applier.db).await?);
    let mut result = work(config, &mut session, &control, health, shutdown, show, history).await;
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
    history: &mut History,
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
        if health.status().halted.is_none() {
            health.set_phase(Phase::Backfilling);
        }
        let applier = &session.applier;
        if let Err(error) = backup::take_if_due(config, applier, session.leadership.epoch).await {
            return Err(until_it_can_be_taken(error, applier).await?);
        }
        health.set_halted(None);
        health.set_phase(Phase::Backfilling);
    }
    let beside = due.as_ref().filter(|at| reading::is_read_beside(until, at));
    let reading = if let Some(at) = beside {
        let tables = reading::tables_read(config, &session.applier.env.feeds, at);
        let writers = Writers::to(tables);
        let logged = log_backfill(config, session).await?;
        Some(Reading::begin(config, writers, logged, show).await?)
    } else {
        let position = notice.positions();
        let tell = Tell { show, position: &position };
        let backfilled = backfill(config, session, health, shutdown, tell, until);
        let backfilled = watched(backfilled, &mut notice);
        if !backfilled.instrument(span(config, Phase::Backfilling)).await? {
            return Ok(());
        }
        None
    };
    halt::record(&session.applier.db, None).await?;
    judge_days_passed(session, health).await?;
    history.has_worked = true;
    let beside = Beside { notice, reading };
    follow::follow(config, session, health, shutdown, &mut history.backoff, control, beside)
        .instrument(span(config, Phase::Streaming))
        .await
}

/// A daemon that ended because there is no room or no right for a backup would end again at each start. It waits: nothing is written before.
/// A first start is refused, as `check` says.
async fn until_it_can_be_taken(error: Error, applier: &Applier) -> Result<Error> {
    Ok(match error {
        Error::Refused { problem, remedy } if MadeBy::read(&applier.db).await?.was_finished() => {
            Error::Gone { problem, remedy }
        }
        other => other,
    })
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

/// What every log line of a phase carries beside its own fields.
fn span(config: &Config, phase: Phase) -> Span {
    tracing::info_span!("daemon", slot = config.source.slot, phase = phase.as_str())
}
