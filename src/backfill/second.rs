//! A second writer of the people of an installation's first backfill.
//!
//! The owners of a round are divided: the session that holds the lock writes the first half, another one the second half
//! meanwhile, in a transaction of its own that compares the leader's epoch (P11) and commits first. The cursor moves past both in
//! the transaction of the first half. Where the process dies between the two commits, the second half is recomputed and found
//! equal.
//!
//! The halves have no owner in common, and what is judged across people has stages of its own before and after. What they can
//! both ask for is a unique value or a row of the application: the second writer waits for a lock for a moment only, as the
//! first one may be waiting for it, and then gives its half back. Only the first backfill is divided: in a later one both could
//! change the money of one `possible_duplicate`.

use crate::apply::{Applier, Mode};
use crate::engine::rows::Touched;
use crate::error::{Context, Error, Result};
use crate::failpoint;
use crate::pg::{Client, Tx};
use crate::store::backfill::Progress;
use crate::targets::Report;

/// How long it waits for a lock. Less than the `deadlock_timeout` of a server (1 s), so that the first writer is never the one
/// that a deadlock ends.
const LOCK_TIMEOUT: &str = "set lock_timeout = '500ms'";

/// The second writer.
pub struct Second {
    applier: Applier,
    /// After a half that was given back.
    pause: Option<Pause>,
}

#[derive(Clone, Copy)]
enum Pause {
    /// The first writer writes that half alone.
    OneRound,
    /// The session is gone.
    ForGood,
}

impl Second {
    /// On a session of its own, which must have the settings of a writing one.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn open(client: Client, first: &Applier) -> Result<Self> {
        client.batch_execute(LOCK_TIMEOUT).await.context("target: preparing the session")?;
        Ok(Self { applier: first.beside(client).await?, pause: None })
    }

    /// Whether it takes half of the next round; it then decides by what the first writer knows.
    pub(super) fn takes_half(&mut self, first: &Applier, at: &Progress) -> bool {
        match self.pause {
            None if at.is_first() && first.is_divisible() => {
                self.applier.take_state_of(first);
                true
            }
            Some(Pause::OneRound) => {
                self.pause = None;
                false
            }
            _ => false,
        }
    }

    /// What the first writer must know of what this one wrote.
    pub(super) fn applier(&self) -> &Applier {
        &self.applier
    }

    /// Writes its half and commits it. `None`: it gave the half back.
    ///
    /// # Errors
    /// Those of the commit, whose outcome is then unknown.
    pub(super) async fn write(
        &mut self,
        half: Touched,
        mode: Mode,
        at: &Progress,
    ) -> Result<Option<Report>> {
        match self.attempt(half, mode, at).await {
            Ok((tx, report)) => {
                tx.commit().await?;
                failpoint::hit("half-committed");
                Ok(Some(report))
            }
            Err(error) => {
                tracing::debug!(%error, "the second writer gives its half of a round back");
                let undone = Tx::on(&self.applier.db).rollback().await;
                self.pause = Some(if undone.is_ok() { Pause::OneRound } else { Pause::ForGood });
                Ok(None)
            }
        }
    }

    async fn attempt(&mut self, half: Touched, mode: Mode, at: &Progress) -> Result<(Tx, Report)> {
        let tx = self.applier.begin().await?;
        let report = self.applier.recompute(&tx, half, mode).await?;
        let sql = "update tributary.backfill set written = $1 \
                   where generation = $2 and phase = $3 and next_owner is not distinct from $4";
        let (written, stage) = (super::sum(&at.written, report), at.stage.as_str());
        let params: [crate::pg::Param<'_>; 4] = [&written, &at.generation, &stage, &at.cursor];
        match tx.execute("target: advancing the backfill", sql, &params).await? {
            1 => Ok((tx, report)),
            _ => Err(Error::Superseded("the backfill moved on without this daemon".into())),
        }
    }
}
