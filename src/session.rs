//! Opening a writing session: the lock on the target, the schema, the slot and where to go on from.
//!
//! # One writer (P11)
//!
//! The writer holds a session advisory lock on the target for as long as its connection lives. A second
//! daemon asks for it every `LOCK_INTERVAL`; when the first one's session ends, however it ends, the
//! lock is free. TCP keepalives of the target are set so short that a host that vanished is noticed within
//! the 15 s of P11 too.
//!
//! # Slot and checkpoint (P12)
//!
//! | slot    | checkpoint | then |
//! |---------|------------|------|
//! | there   | there      | go on from the checkpoint |
//! | missing | missing    | make the slot, backfill |
//! | missing | there      | it was lost: make a new one, reconcile |
//! | there   | missing    | refuse: it is another target's, or this target was emptied |
//! | invalid | any        | drop it, make a new one, reconcile |
//!
//! A publication that was altered since the stream was last followed may have left changes out: reconcile too.
//!
//! The backfill that a new slot makes necessary is scheduled in the commit of its first checkpoint (P1): there is
//! no moment at which a process may die and leave a checkpoint whose tables nobody reads. A checkpoint without
//! any backfill, as earlier versions could leave it, is due for one.
//!
//! See <https://www.postgresql.org/docs/current/logicaldecoding-explanation.html>.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::apply::Applier;
use crate::backfill::Stage;
use crate::config::Config;
use crate::connect::connect;
use crate::engine::Layouts;
use crate::error::{Context, Error, Result};
use crate::lsn::Lsn;
use crate::pg::Db;
use crate::source::{self, RowReader, publication, slot};
use crate::{backfill, failpoint, migrate};

/// The advisory lock of the one writer of a target.
const WRITER_LOCK: i64 = 0x7472_6962_7772_6974;
/// How often a waiting daemon asks for the lock.
const LOCK_INTERVAL: Duration = Duration::from_secs(2);
/// How long a command waits for the lock before it says that a daemon works.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);
/// How long a slot that is still held by a dead reader is waited for.
const SLOT_WAIT: Duration = Duration::from_secs(10);

/// A session that may write.
pub struct Session {
    /// Applies changes.
    pub applier: Applier,
    /// A session on the source.
    pub source: Arc<Client>,
    /// Everything the source committed up to here is applied.
    pub checkpoint: Lsn,
    /// The publication as it was at the start.
    pub publication: publication::Watch,
}

/// What to do when another daemon holds the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnLock {
    /// Wait until it is free, or shutdown.
    Wait,
    /// Give up at once.
    Refuse,
}

/// Opens a session. `None`: shutdown came while waiting for the lock.
///
/// # Errors
/// Those of both servers; refusals with their remedy.
pub async fn open(
    config: &Config,
    on_lock: OnLock,
    shutdown: &CancellationToken,
    waiting: &(dyn Fn(bool) + Sync),
) -> Result<Option<Session>> {
    let mut target = connect(&config.target.server, "tributary", "target").await?;
    if !lock(&target, on_lock, shutdown, waiting).await? {
        return Ok(None);
    }
    if config.run.migrate {
        for line in migrate::migrate(&mut target, config).await? {
            tracing::info!("{line}");
        }
    } else {
        require_schema(&target).await?;
    }
    failpoint::hit("schema-migrated");
    let source = Arc::new(connect(&config.source.server, "tributary", "source").await?);
    let layouts = Layouts {
        xendit: source::layout(&source, &config.source.xendit).await?,
        systemeio: source::layout(&source, &config.source.systemeio).await?,
    };
    publication::ensure(&source, &config.source).await?;
    let publication = publication::Watch::begin(Arc::clone(&source), &config.source).await?;
    let checkpoint = hand_over_slot(&source, &target, config).await?;
    let reader = RowReader::new(Arc::clone(&source), &config.source, layouts.clone());
    let applier = Applier::open(target, config, layouts, reader).await?;
    schedule_what_is_due(&applier.db, config, publication.print.as_ref()).await?;
    recompute_after_new_rules(&applier.db, config).await?;
    failpoint::hit("session-opened");
    Ok(Some(Session { applier, source, checkpoint, publication }))
}

/// Schedules a full reconcile where changes may have been missed, and records the publication afterwards.
async fn schedule_what_is_due(
    db: &Db,
    config: &Config,
    publication: Option<&String>,
) -> Result<()> {
    let never_filled = backfill::progress(db).await?.is_none();
    if never_filled {
        tracing::warn!("the checkpoint has no backfill; reading the source");
    }
    if never_filled || publication_was_altered(db, publication).await? {
        backfill::schedule(db, config, Stage::Rows).await?;
    }
    let sql = "update tributary.state set publication = $1 where publication is distinct from $1";
    db.execute("target: noting the publication", sql, &[&publication]).await?;
    Ok(())
}

async fn publication_was_altered(db: &Db, now: Option<&String>) -> Result<bool> {
    let sql = "select publication from tributary.state where publication is distinct from $1 \
               and publication is not null";
    let altered = !db.query("target: reading the state", sql, &[&now]).await?.is_empty();
    if altered {
        tracing::warn!("the publication was altered, which may have hidden changes; reconciling");
    }
    Ok(altered)
}

/// Opens a session on the target alone, for commands that need no source. Another daemon that works on the
/// target is `Ok(None)`.
///
/// # Errors
/// Those of the target.
pub async fn lock_target(config: &Config) -> Result<Option<Client>> {
    let target = connect(&config.target.server, "tributary", "target").await?;
    Ok(try_lock(&target).await?.then_some(target))
}

/// Whether a daemon, or a command that writes, works on this target. Takes nothing.
///
/// # Errors
/// Those of the target.
pub async fn is_locked(db: &Db) -> Result<bool> {
    // A lock of one bigint is listed by its two halves.
    let sql = "select exists (select from pg_locks where locktype = 'advisory' and granted \
               and objsubid = 1 and ((classid::bigint << 32) | objid::bigint) = $1 \
               and database = (select oid from pg_database where datname = current_database()))";
    let rows = db.query("target: looking at the writer's lock", sql, &[&WRITER_LOCK]).await?;
    Ok(rows.first().is_some_and(|row| row.get(0)))
}

async fn lock(
    target: &Client,
    on_lock: OnLock,
    shutdown: &CancellationToken,
    waiting: &(dyn Fn(bool) + Sync),
) -> Result<bool> {
    let keepalives = "set tcp_keepalives_idle = 5; set tcp_keepalives_interval = 2; \
                      set tcp_keepalives_count = 3; set idle_in_transaction_session_timeout = 0; \
                      set statement_timeout = 0; set synchronous_commit = off";
    target.batch_execute(keepalives).await.context("target: session settings")?;
    notice_dead_clients(target).await;
    let asked_at = tokio::time::Instant::now();
    let mut told = false;
    loop {
        if try_lock(target).await? {
            waiting(false);
            return Ok(true);
        }
        if on_lock == OnLock::Refuse {
            // The session of a daemon that has just ended may take the server a moment to end.
            if asked_at.elapsed() < LOCK_PATIENCE {
                tokio::time::sleep(LOCK_PATIENCE / 20).await;
                continue;
            }
            return Err(Error::refused(
                "a tributary daemon works on this target",
                "stop it first, or ask it: `tributary status`",
            ));
        }
        if !told {
            tracing::info!("another tributary daemon works on this target; waiting for it to end");
            told = true;
        }
        waiting(true);
        tokio::select! {
            () = shutdown.cancelled() => return Ok(false),
            () = tokio::time::sleep(LOCK_INTERVAL) => {}
        }
    }
}

/// Has the server end this session soon after this process died, also while a statement waits for a lock of
/// the application: the next daemon takes over within the 15 s of P11.
async fn notice_dead_clients(target: &Client) {
    let sql = "set client_connection_check_interval = '2s'";
    if let Err(error) = target.batch_execute(sql).await {
        let error = Error::postgres("target: session settings", &error);
        tracing::warn!(%error, "the server cannot watch over its clients; a take-over may take longer");
    }
}

async fn try_lock(target: &Client) -> Result<bool> {
    let row = target
        .query_one("select pg_try_advisory_lock($1)", &[&WRITER_LOCK])
        .await
        .context("target: asking for the writer's lock")?;
    Ok(row.get(0))
}

async fn require_schema(target: &Client) -> Result<()> {
    let row = target
        .query_one(include_str!("sql/is_migrated.sql"), &[])
        .await
        .context("target: looking for schema tributary")?;
    if row.get(0) {
        return Ok(());
    }
    Err(Error::refused(
        "the target's schema tributary is missing or older than this version, and run.migrate is false",
        "run `tributary migrate` once",
    ))
}

/// Decides where to go on from.
async fn hand_over_slot(source: &Client, target: &Client, config: &Config) -> Result<Lsn> {
    let name = &config.source.slot;
    let checkpoint = checkpoint(target, name).await?;
    let state = slot::state(source, name).await?;
    let interrupted = intended(target, name).await?;
    let lost = match (state, checkpoint) {
        (None, None) => None,
        (None, Some(_)) => Some("it is missing"),
        // Whatever it was made for, the checkpoint is not of this slot.
        (Some(_), _) if interrupted => Some("its creation was interrupted"),
        (Some(_), None) => return Err(unknown_slot(name)),
        (Some(state), Some(checkpoint)) => match slot_problem(&state, checkpoint) {
            None => return Ok(checkpoint),
            problem => problem,
        },
    };
    if let Some(problem) = lost {
        tracing::warn!(slot = name, problem, "the slot is lost; reading the source with a new one");
        slot::drop_when_free(source, name, SLOT_WAIT).await?;
        failpoint::hit("lost-slot-dropped");
    }
    make_slot(source, target, config).await
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
    if state.confirmed_flush_lsn.is_some_and(|confirmed| confirmed > checkpoint) {
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

/// Makes the slot. The intent is on disk first: a crash before the checkpoint leaves no riddle.
async fn make_slot(source: &Client, target: &Client, config: &Config) -> Result<Lsn> {
    let name = &config.source.slot;
    intend(target, name).await?;
    failpoint::hit("slot-intended");
    let lsn = slot::create(source, name).await?;
    failpoint::hit("slot-made");
    first_checkpoint(target, config, lsn).await?;
    failpoint::hit("first-checkpoint-committed");
    tracing::info!(slot = name, %lsn, "made the replication slot");
    Ok(lsn)
}

async fn intend(target: &Client, name: &str) -> Result<()> {
    let sql = "update tributary.state set slot_intent = $1 \
               where set_config('synchronous_commit', 'on', true) is not null";
    target.execute(sql, &[&name]).await.context("target: noting the slot")?;
    Ok(())
}

/// The first checkpoint of a slot and the obligation to read the tables, in one commit (P1) that is on disk
/// when this returns (P7).
async fn first_checkpoint(target: &Client, config: &Config, lsn: Lsn) -> Result<()> {
    const WHAT: &str = "target: first checkpoint";
    let keep = "insert into tributary.checkpoint (slot, lsn) values ($1, $2::text::pg_lsn) \
                on conflict (slot) do update set lsn = excluded.lsn, updated_at = now()";
    let clear = "update tributary.state set slot_intent = null; \
                 delete from tributary.backfill_chunk";
    target.batch_execute("begin; set local synchronous_commit = on").await.context(WHAT)?;
    target.execute(keep, &[&config.source.slot, &lsn.to_string()]).await.context(WHAT)?;
    target.batch_execute(clear).await.context(WHAT)?;
    let due: [crate::pg::Param<'_>; 2] = [&Stage::Rows.as_str(), &backfill::rules(config)];
    target.execute(backfill::SCHEDULE, &due).await.context(WHAT)?;
    failpoint::hit("first-checkpoint");
    target.batch_execute("commit").await.context(WHAT)
}

/// A changed rule is noticed by its hash: facts are derived anew from the source, or people from facts. A
/// backfill that began under other rules starts over.
async fn recompute_after_new_rules(db: &Db, config: &Config) -> Result<()> {
    let sql = "select facts_hash, people_hash from tributary.state";
    let rows = db.query("target: reading the state", sql, &[]).await?;
    let Some(row) = rows.first() else { return Ok(()) };
    let (facts, people): (Option<String>, Option<String>) = (row.get(0), row.get(1));
    let now = (config.facts_hash(), config.people_hash());
    let under_way = backfill::progress(db).await?.filter(|at| !at.is_done());
    if let Some(at) = under_way {
        if at.rules.as_deref() != Some(backfill::rules(config).as_str()) {
            tracing::info!("the rules changed during a backfill; it starts over");
            backfill::schedule(db, config, Stage::Rows).await?;
        }
    } else if facts.is_some_and(|hash| hash != now.0) {
        tracing::info!("the rules of rows changed; reading the source again");
        backfill::schedule(db, config, Stage::Rows).await?;
    } else if people.is_some_and(|hash| hash != now.1) {
        tracing::info!("the rules of people changed; recomputing everybody");
        backfill::schedule(db, config, Stage::Place).await?;
    }
    Ok(())
}
