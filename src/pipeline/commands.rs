//! Commands of operators: decisions at once, a rebuild in rounds between batches.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::Show;
use crate::apply::Db;
use crate::backfill::{self, Backfill};
use crate::config::Config;
use crate::decisions::queue;
use crate::error::{Error, Result};
use crate::session::Session;

/// A rebuild that was asked for and is under way.
pub(super) struct Rebuild {
    /// The command to answer.
    command: i64,
    /// A session to read what is decided about.
    reader: Arc<Db>,
}

impl Rebuild {
    /// Takes the rebuild that waits, if any. Its cursor is in the target: one that was interrupted goes on
    /// there, and one that is finished is only answered.
    ///
    /// # Errors
    /// Those of the target.
    pub(super) async fn take(config: &Config, session: &mut Session) -> Result<Option<Self>> {
        let Some(command) = queue::waiting_rebuild(&session.writer.db).await? else {
            return Ok(None);
        };
        let begun = if command.has_begun { Ok(()) } else { begin(config, session).await };
        if let Err(error) = begun {
            queue::answer(&session.writer.db, command.id, Err(error)).await?;
            return Ok(None);
        }
        Ok(Some(Self { command: command.id, reader: super::read_only(config).await? }))
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
        let shutdown = CancellationToken::new();
        let (source, reader) = (Arc::clone(&session.source), Arc::clone(&self.reader));
        let work = Backfill { config, source, reader, shutdown: &shutdown, progress: show };
        let answer = match work.round(&mut session.writer).await {
            Ok(false) => return Ok(false),
            Ok(true) => Ok("everybody is recomputed from the stored facts".to_owned()),
            Err(error) => {
                // The round that failed is still open.
                session.writer.rollback().await?;
                Err(error)
            }
        };
        queue::answer(&session.writer.db, self.command, answer).await?;
        Ok(true)
    }
}

/// A rebuild takes the place of the backfill: one that still has to read or sweep must not be forgotten.
async fn begin(config: &Config, session: &Session) -> Result<()> {
    let at = backfill::progress(&session.writer.db).await?;
    if at.is_none_or(|at| ["people", "groups", "done"].contains(&at.phase.as_str())) {
        return backfill::schedule(&session.writer, config, "people").await;
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
        queue::serve(&mut session.writer).await?;
        let Some(rebuild) = Rebuild::take(config, session).await? else { return Ok(()) };
        while !rebuild.round(config, session, show).await? {
            queue::serve(&mut session.writer).await?;
        }
    }
}
