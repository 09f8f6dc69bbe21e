//! Slot and checkpoint: where to go on from (P12).

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Watcher;
use super::installation::{self, Leadership};
use crate::config::Config;
use crate::error::{Context, Error, Result};
use crate::failpoint;
use crate::lsn::Lsn;
use crate::pg::Client;
use crate::source::{position, slot};
use crate::status::Stage;
use crate::store::backfill;

/// How long a slot that is still held by a dead reader is waited for.
const SLOT_WAIT: Duration = Duration::from_secs(10);

/// What is needed to find out where to go on from.
pub(super) struct Resume<'a> {
    pub(super) source: &'a Client,
    pub(super) target: &'a Client,
    pub(super) config: &'a Config,
    pub(super) leadership: Leadership,
    pub(super) watcher: &'a Watcher<'a>,
    pub(super) shutdown: &'a CancellationToken,
}

/// Where to go on from.
pub(super) struct Found {
    pub(super) lsn: Lsn,
    /// Whether the slot was made just now.
    pub(super) is_new: bool,
}

impl Resume<'_> {
    /// Where to go on from, with a new slot where there is none to go on with. `None`: shutdown came first.
    pub(super) async fn checkpoint(&self) -> Result<Option<Found>> {
        let name = &self.config.source.slot;
        let checkpoint = checkpoint(self.target, name).await?;
        let state = slot::state(self.source, name).await?;
        let interrupted = intended(self.target, name).await?;
        let lost = match (state, checkpoint) {
            (None, None) => None,
            (None, Some(_)) => Some("it is missing"),
            // Whatever it was made for, the checkpoint is not of this slot.
            (Some(_), _) if interrupted => Some("its creation was interrupted"),
            (Some(_), None) => return Err(unknown_slot(name)),
            (Some(state), Some(checkpoint)) => {
                let (source, target) = (self.source, self.target);
                let relocated = self.leadership.relocated;
                let foreign = Foreign { source, target, config: self.config, relocated };
                foreign.refuse(&state, checkpoint).await?;
                let problem = match slot_problem(&state, checkpoint) {
                    None => self.set_back(checkpoint).await?,
                    problem => problem,
                };
                match problem {
                    None => {
                        self.record_source().await?;
                        return Ok(Some(Found { lsn: checkpoint, is_new: false }));
                    }
                    problem => problem,
                }
            }
        };
        if let Some(problem) = lost {
            tracing::warn!(
                slot = name,
                problem,
                "the slot is lost; reading the source with a new one"
            );
            let dropped = slot::drop_when_free(self.source, name, SLOT_WAIT);
            self.watcher.during(dropped).await?;
            failpoint::hit("lost-slot-dropped");
        }
        Ok(self.make_slot().await?.map(|lsn| Found { lsn, is_new: true }))
    }

    /// How the source shows to be in an older state than it was (P18): what is in the stream from here on is not all that
    /// changed.
    async fn set_back(&self, checkpoint: Lsn) -> Result<Option<&'static str>> {
        let before = installation::source_position(self.target).await?;
        let read = "select backfilled_until::text from tributary.state";
        let read = self.target.query_opt(read, &[]).await.context("target: reading the state")?;
        let read = read.and_then(|row| Lsn::parse(row.get::<_, Option<&str>>(0)?));
        let known = read.map_or(checkpoint, |read| read.max(checkpoint));
        let now = position::look(self.source, &self.config.source.slot).await?.position;
        Ok(now.is_behind(&before, known))
    }

    /// Records the source that this target goes on with.
    async fn record_source(&self) -> Result<()> {
        let system = installation::system(self.source).await;
        let sql = "update tributary.installation \
                   set source_system = coalesce($1::text, source_system), source_database = $2::text \
                   where (source_system, source_database) \
                   is distinct from (coalesce($1::text, source_system), $2::text)";
        let row = self.source.query_one("select current_database()::text", &[]).await;
        let database: String = row.context("source: asking for the database")?.get(0);
        let params: [crate::pg::Param<'_>; 2] = [&system, &database];
        self.target.execute(sql, &params).await.context("target: recording the source")?;
        Ok(())
    }

    /// Makes the slot. The intent is on disk first: a crash before the checkpoint leaves no riddle.
    async fn make_slot(&self) -> Result<Option<Lsn>> {
        let name = &self.config.source.slot;
        intend(self.target, name).await?;
        failpoint::hit("slot-intended");
        let waits = slot::Waits { server: &self.config.source.server, alive: self.watcher.alive };
        let made = tokio::select! {
            () = self.shutdown.cancelled() => return Ok(None),
            made = slot::create(self.source, name, &waits) => made,
        };
        // A server that shuts down may have made it all the same.
        let has_answered = |error: &Error| match error.code() {
            Some(code) => !code.code().starts_with("57"),
            None => matches!(error, Error::Refused { .. }),
        };
        if made.as_ref().is_err_and(has_answered) {
            // The server has answered that there is none: one of this name that comes later is somebody else's.
            forget_intent(self.target).await?;
        }
        let lsn = made?;
        failpoint::hit("slot-made");
        self.record_source().await?;
        first_checkpoint(self.target, self.config, lsn).await?;
        failpoint::hit("first-checkpoint-committed");
        tracing::info!(slot = name, %lsn, "made the replication slot");
        Ok(Some(lsn))
    }
}

/// A slot that may be somebody else's, and what it is compared with.
pub(super) struct Foreign<'a> {
    pub(super) source: &'a Client,
    pub(super) target: &'a Client,
    pub(super) config: &'a Config,
    /// Whether the schema is on another server or in another database than before.
    pub(super) relocated: bool,
}

impl Foreign<'_> {
    /// Refuses a slot that is there but, as far as it shows, belongs to somebody else: it is never dropped.
    pub(super) async fn refuse(&self, state: &slot::SlotState, checkpoint: Lsn) -> Result<()> {
        let name = &self.config.source.slot;
        let sql = "select current_database()::text";
        let row = self.source.query_one(sql, &[]).await;
        let here: String = row.context("source: asking for the database")?.get(0);
        if state.plugin.as_deref() != Some("pgoutput") {
            return Err(Error::refused(
                format!(
                    "the slot {name} of the source is none of the output plugin pgoutput: it is somebody else's"
                ),
                "configure another source.slot, or drop that one if nobody needs it: the tables are then read again with a \
                 new one",
            ));
        }
        if state.database.as_ref() != Some(&here) {
            return Err(Error::refused(
                format!("the slot {name} of the source is not of its database {here}"),
                "configure another source.slot, or the database that the slot is of",
            ));
        }
        let recorded = installation::recorded(self.target).await?.and_then(|r| r.source_system);
        let system = installation::system(self.source).await;
        if recorded.is_some() && system.is_some() && recorded != system {
            return Err(Error::refused(
                format!(
                    "the source is not the server that this target was filled from, and has a slot {name}"
                ),
                format!(
                    "if nobody uses that slot, run on the source: select pg_drop_replication_slot('{name}'); \
                     the tables are then read again with a new one"
                ),
            ));
        }
        if is_read_further(state, checkpoint) {
            return Err(slot::read_by_another(name, state.active_pid));
        }
        if is_ahead(state, checkpoint) && self.relocated {
            return Err(Error::refused(
                format!(
                    "the schema {} of this target is a copy, and the slot {name} is ahead of it: \
                     it serves what was copied",
                    self.config.target.schema.name()
                ),
                format!(
                    "where the original is in use: drop schema {} here and configure another source.slot; where \
                     it is retired: run `tributary slot drop` and start again, which reads the tables with a new slot",
                    self.config.target.schema.quoted()
                ),
            ));
        }
        Ok(())
    }
}

/// Whether somebody who is ahead of this target reads the slot.
pub(super) fn is_read_further(state: &slot::SlotState, checkpoint: Lsn) -> bool {
    is_ahead(state, checkpoint) && state.active_pid.is_some()
}

fn is_ahead(state: &slot::SlotState, checkpoint: Lsn) -> bool {
    state.confirmed_flush_lsn.is_some_and(|confirmed| confirmed > checkpoint)
}

/// Whether this target has a checkpoint for a slot, or was about to make it.
///
/// # Errors
/// Those of the target, which must be migrated.
pub async fn knows_slot(target: &Client, name: &str) -> Result<bool> {
    Ok(checkpoint(target, name).await?.is_some() || intended(target, name).await?)
}

/// The refusal of a slot that the target knows nothing of.
#[must_use]
pub fn unknown_slot(name: &str) -> Error {
    Error::refused(
        format!("the source has a slot {name}, but this target has no checkpoint for it"),
        "if another target uses it, set another source.slot here; if this target was emptied, run \
         `tributary slot drop` and start again",
    )
}

/// Why a slot cannot be gone on with.
fn slot_problem(state: &slot::SlotState, checkpoint: Lsn) -> Option<&'static str> {
    if state.invalidated || state.wal_status.as_deref() == Some("lost") {
        return Some("the server gave up the log it needs");
    }
    if is_ahead(state, checkpoint) {
        return Some("it was confirmed past the checkpoint: the target was set back");
    }
    None
}

/// The checkpoint of a slot in this target.
///
/// # Errors
/// Those of the target.
pub async fn checkpoint(target: &Client, slot: &str) -> Result<Option<Lsn>> {
    let sql = "select lsn::text from tributary.checkpoint where slot = $1";
    let row = target.query_opt(sql, &[&slot]).await.context("target: reading the checkpoint")?;
    Ok(row.and_then(|row| Lsn::parse(row.get(0))))
}

async fn intended(target: &Client, name: &str) -> Result<bool> {
    let sql = "select slot_intent is not distinct from $1 from tributary.state";
    let row = target.query_opt(sql, &[&name]).await.context("target: reading the state")?;
    Ok(row.is_some_and(|row| row.get(0)))
}

async fn intend(target: &Client, name: &str) -> Result<()> {
    let sql = "update tributary.state set slot_intent = $1 \
               where set_config('synchronous_commit', 'on', true) is not null";
    target.execute(sql, &[&name]).await.context("target: noting the slot")?;
    Ok(())
}

async fn forget_intent(target: &Client) -> Result<()> {
    let sql = "update tributary.state set slot_intent = null";
    target.execute(sql, &[]).await.context("target: noting the slot").map(drop)
}

/// The first checkpoint of a slot and the obligation to read the tables, in one commit (P1) that is on disk
/// when this returns (P7).
async fn first_checkpoint(target: &Client, config: &Config, lsn: Lsn) -> Result<()> {
    const WHAT: &str = "target: first checkpoint";
    let keep = "insert into tributary.checkpoint (slot, lsn) values ($1, $2::text::pg_lsn) \
                on conflict (slot) do update set lsn = excluded.lsn, updated_at = now()";
    let clear = "update tributary.state set slot_intent = null; \
                 update tributary.installation set source_timeline = null, source_flushed = null, \
                     source_next_xid = null, slot_restart = null; \
                 update tributary.state set backfilled_until = null; \
                 delete from tributary.backfill_chunk";
    target.batch_execute("begin; set local synchronous_commit = on").await.context(WHAT)?;
    target.execute(keep, &[&config.source.slot, &lsn.to_string()]).await.context(WHAT)?;
    target.batch_execute(clear).await.context(WHAT)?;
    let due: [crate::pg::Param<'_>; 2] = [&Stage::Rows.as_str(), &backfill::rules(config)];
    target.execute(backfill::SCHEDULE, &due).await.context(WHAT)?;
    // A TRUNCATE that waited for an operator comes no more: the reconcile waits in its place (P9).
    let waited = "update tributary.backfill set truncated = truncated || array( \
                      select f.number from tributary.state s \
                      cross join lateral jsonb_array_elements(s.halted -> 'deletes') d \
                      join tributary.feed f on f.name = d ->> 'table' \
                      where s.halted -> 'cause' ? 'truncate'); \
                  update tributary.state set halted = null where halted -> 'cause' ? 'truncate'";
    target.batch_execute(waited).await.context(WHAT)?;
    failpoint::hit("first-checkpoint");
    target.batch_execute("commit").await.context(WHAT)
}
