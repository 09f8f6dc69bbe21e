//! Commands of operators: decisions at once, a rebuild in rounds between batches.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::Show;
use crate::backfill::{Backfill, UNKNOWN_POSITION};
use crate::config::Config;
use crate::decisions::{Request, queue};
use crate::error::{Error, Result};
use crate::pg::Tx;
use crate::session::Session;
use crate::status::Stage;
use crate::store::backfill;
use crate::store::operation_log::{self, Operator};

/// A rebuild that was asked for and is under way.
pub(super) struct Rebuild {
    /// The command to answer.
    command: i64,
}

impl Rebuild {
    /// Takes the rebuild that waits, if any. Its cursor is in the target: one that was interrupted goes on
    /// there, and one that is finished is only answered.
    ///
    /// # Errors
    /// Those of the target.
    pub(super) async fn take(config: &Config, session: &mut Session) -> Result<Option<Self>> {
        let Some(command) = queue::waiting_rebuild(&session.applier.db).await? else {
            return Ok(None);
        };
        let begun =
            if command.has_begun { Ok(()) } else { begin(config, session, command.id).await };
        if let Err(error) = begun {
            let request = Some(&Request::Rebuild);
            queue::answer(&session.applier, command.id, request, Err(error)).await?;
            return Ok(None);
        }
        Ok(Some(Self { command: command.id }))
    }

    /// Recomputes the next people, in a transaction of their own; `true`: it was the last round, and the
    /// command is answered.
    ///
    /// # Errors
    /// Those of the target that no answer ends.
    pub(super) async fn round(
        &self,
        config: &Config,
        session: &mut Session,
        show: Show<'_>,
    ) -> Result<bool> {
        let answer = match recompute(config, session, show).await {
            Ok(Recomputed::More | Recomputed::ReadsFirst) => return Ok(false),
            Ok(Recomputed::Everybody) => {
                Ok("everybody is recomputed from the stored rows".to_owned())
            }
            Err(error) => {
                // The round that failed is still open.
                Tx::on(&session.applier.db).rollback().await?;
                Err(error)
            }
        };
        let request = Some(&Request::Rebuild);
        queue::answer(&session.applier, self.command, request, answer).await?;
        Ok(true)
    }
}

/// How far a backfill or rebuild is that recomputes people.
pub(super) enum Recomputed {
    /// There are more.
    More,
    /// All of them.
    Everybody,
    /// A reconcile was scheduled meanwhile: the next session reads first.
    ReadsFirst,
}

/// Recomputes the next people of the backfill or rebuild under way, in a transaction of their own.
///
/// # Errors
/// Those of the target.
pub(super) async fn recompute(
    config: &Config,
    session: &mut Session,
    show: Show<'_>,
) -> Result<Recomputed> {
    let Some(mut at) = backfill::progress(&session.applier.db).await? else {
        return Ok(Recomputed::Everybody);
    };
    if !at.stage.has_read() {
        return Ok(Recomputed::ReadsFirst);
    }
    if !at.is_done() {
        let shutdown = CancellationToken::new();
        let source = Arc::clone(&session.source);
        let work = Backfill {
            config,
            source,
            shutdown: &shutdown,
            progress: show,
            position: UNKNOWN_POSITION,
        };
        work.round(&mut session.applier, &mut at).await?;
        show(&at);
    }
    Ok(if at.is_done() { Recomputed::Everybody } else { Recomputed::More })
}

/// A rebuild takes the place of the backfill: one that still has to read or sweep must not be forgotten.
async fn begin(config: &Config, session: &Session, command: i64) -> Result<()> {
    let at = backfill::progress(&session.applier.db).await?;
    if at.is_none_or(|at| at.stage.has_read()) {
        backfill::schedule(&session.applier.db, config, Stage::Place).await?;
        let asked = queue::asked_by(&session.applier.db, command).await?;
        let operator = Operator { asked_by: asked, ..session.applier.operator.clone() };
        return operation_log::begin_backfill(&session.applier.db, &operator).await.map(drop);
    }
    Err(Error::refused(
        "a backfill has not read everything yet, and it ends by recomputing everybody",
        "let `tributary run` finish it: `tributary status` shows how far it is, and whether it is halted",
    ))
}

/// Carries out everything that operators asked for, rebuilds included: where no daemon runs.
///
/// # Errors
/// Those of the target. A rebuild that is cut short is gone on with by whoever serves commands next.
pub async fn serve_commands(config: &Config, session: &mut Session, show: Show<'_>) -> Result<()> {
    loop {
        queue::serve(&mut session.applier).await?;
        let Some(rebuild) = Rebuild::take(config, session).await? else { return Ok(()) };
        while !rebuild.round(config, session, show).await? {
            queue::serve(&mut session.applier).await?;
        }
    }
}
