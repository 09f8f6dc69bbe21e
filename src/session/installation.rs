//! Whom the schema belongs to, and the epoch of its leader (P11).
//!
//! # One leader, whatever hangs
//!
//! The leader's lock is bound to one session, and what that session writes ends with it. Its other connections may
//! outlive it: a process that hung for a minute may wake up with transactions open. So every writing transaction
//! begins with [`crate::store::epoch::fence`], which compares the leader's epoch under a shared lock; a take-over waits for that lock,
//! ends what still holds it, and raises the epoch. Nothing of the former leader is committed after that.
//!
//! # One installation
//!
//! The schema records the slot and source of its installation. A daemon with another slot is refused with the
//! remedy; it does not wait for a lock that it must never get.

use serde_json::json;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use crate::config::Config;
use crate::connect::connect;
use crate::error::{Context, Error, Result};
use crate::halt::Halt;
use crate::lsn::Lsn;
use crate::migrate::WRITERS_LOCK;
use crate::pg::{Client, Db};
use crate::source::position::Position;
use crate::store::backfill;
use crate::store::epoch::begin_fenced;

/// How often a take-over asks for that lock, a second each time, before it gives up for now.
const ATTEMPTS: u32 = 5;

/// The leadership of one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leadership {
    /// Names the installation.
    pub id: Uuid,
    /// Whose turn it is.
    pub epoch: i64,
    /// The schema is on another server or database than before, and has not gone on with its slot here yet.
    pub relocated: bool,
}

/// What the schema records of its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recorded {
    /// The slot; `None` before the first start, and once it was retired.
    pub slot: Option<String>,
    /// The system identifier of the source's server, where it is known.
    pub source_system: Option<String>,
    /// The source's database.
    pub source_database: Option<String>,
    /// The rules of the leader.
    pub rules: Option<String>,
}

/// How far the source was known to be, durably, when it was last followed.
///
/// # Errors
/// Those of the target, which must be migrated.
pub(super) async fn source_position(target: &Client) -> Result<Position> {
    let sql = "select source_timeline, source_flushed::text, source_next_xid, slot_restart::text \
               from tributary.installation";
    let row = target.query_opt(sql, &[]).await.context("target: reading the installation")?;
    let Some(row) = row else { return Ok(Position::default()) };
    let lsn = |index: usize| row.get::<_, Option<String>>(index).as_deref().and_then(Lsn::parse);
    Ok(Position {
        timeline: row.get(0),
        flushed: lsn(1),
        next_xid: row.get(2),
        slot_restart: lsn(3),
    })
}

/// Records how far the source is. What is unknown stays as it was.
///
/// # Errors
/// Those of the target.
pub async fn note_position(db: &Db, position: &Position) -> Result<()> {
    let sql = "update tributary.installation set source_timeline = coalesce($1, source_timeline), \
               source_flushed = coalesce($2::text::pg_lsn, source_flushed), \
               source_next_xid = coalesce($3, source_next_xid), \
               slot_restart = coalesce($4::text::pg_lsn, slot_restart)";
    let text = |lsn: Option<Lsn>| lsn.map(|lsn| lsn.to_string());
    let (flushed, restart) = (text(position.flushed), text(position.slot_restart));
    let params: [crate::pg::Param<'_>; 4] =
        [&position.timeline, &flushed, &position.next_xid, &restart];
    db.execute("target: recording the source", sql, &params).await?;
    Ok(())
}

impl Leadership {
    /// The name of this leader's walsender. 63 bytes is all a server keeps of a name.
    #[must_use]
    pub fn application_name(&self) -> String {
        format!("tributary {} {}", self.id.simple(), self.epoch)
    }

    /// Whether a walsender of this name belongs to an earlier leader of this installation.
    #[must_use]
    pub fn succeeds(&self, application_name: &str) -> bool {
        let mut words = application_name.split(' ');
        let (daemon, id, epoch) = (words.next(), words.next(), words.next());
        let earlier =
            epoch.and_then(|epoch| epoch.parse().ok()).is_some_and(|e: i64| e < self.epoch);
        daemon == Some("tributary") && id == Some(&self.id.simple().to_string()) && earlier
    }
}

/// What the schema records; `None` before it was migrated, and for a role that may not read it: what it lacks is
/// reported by whoever needs it.
///
/// # Errors
/// Those of the target.
pub(super) async fn recorded(target: &Client) -> Result<Option<Recorded>> {
    const WHAT: &str = "target: reading the installation";
    let there = include_str!("sql/installation_is_there.sql");
    if !target.query_one(there, &[]).await.context(WHAT)?.get::<_, bool>(0) {
        return Ok(None);
    }
    let sql = "select slot, source_system, source_database, rules from tributary.installation";
    let row = target.query_opt(sql, &[]).await.context(WHAT)?;
    Ok(row.map(|row| Recorded {
        slot: row.get(0),
        source_system: row.get(1),
        source_database: row.get(2),
        rules: row.get(3),
    }))
}

/// Refuses a daemon whose slot is not that of the schema.
///
/// # Errors
/// The refusal with its remedy; those of the target.
pub async fn refuse_another_slot(target: &Client, config: &Config) -> Result<()> {
    let slot = &config.source.slot;
    let recorded = recorded(target).await?.and_then(|recorded| recorded.slot);
    match recorded.filter(|recorded| recorded != slot) {
        Some(other) => Err(Error::refused(
            format!(
                "the target's schema {} belongs to the installation with the slot {other}",
                config.target.schema.name()
            ),
            format!(
                "for a second installation, configure another target.schema; if this is the same one, set \
                 source.slot = \"{other}\"; if that one is retired, run `tributary slot drop` with its \
                 configuration"
            ),
        )),
        None => Ok(()),
    }
}

/// Becomes the leader of a migrated schema: whoever holds the leader's lock calls this before it writes. Returns
/// once nothing of a former leader can commit any more.
///
/// # Errors
/// [`Error::Unavailable`] where a session that is not a daemon's holds the writers' lock; those of the target.
pub async fn take_over(target: &Client, config: &Config) -> Result<Leadership> {
    const WHAT: &str = "target: taking over";
    let lock = config.target.schema.lock(WRITERS_LOCK);
    for attempt in 1..=ATTEMPTS {
        let begin = "begin; set local synchronous_commit = on; set local lock_timeout = '1s'";
        target.batch_execute(begin).await.context(WHAT)?;
        match target.execute("select pg_advisory_xact_lock($1)", &[&lock]).await {
            Ok(_) => {
                let leadership = raise_epoch(target, config).await?;
                target.batch_execute("commit").await.context(WHAT)?;
                return Ok(leadership);
            }
            Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {}
            Err(error) => return Err(error).context(WHAT),
        }
        target.batch_execute("rollback").await.context(WHAT)?;
        let sql = include_str!("sql/end_writers.sql");
        let ended = target.query_one(sql, &[&lock]).await.context(WHAT)?;
        let sessions: i64 = ended.get(0);
        tracing::warn!(attempt, sessions, "ended what still wrote for the former daemon");
    }
    Err(Error::unavailable(
        WHAT,
        "a session that is not this daemon's holds the lock of its writers (an advisory lock); end that session",
    ))
}

async fn raise_epoch(target: &Client, config: &Config) -> Result<Leadership> {
    const WHAT: &str = "target: taking over";
    let (here, slot) = (place(target).await, &config.source.slot);
    let params: [crate::pg::Param<'_>; 3] = [&here, slot, &backfill::rules(config)];
    let row = target.query_one(include_str!("sql/take_over.sql"), &params).await.context(WHAT)?;
    let leadership = Leadership { id: row.get(0), epoch: row.get(1), relocated: row.get(2) };
    if leadership.relocated {
        tracing::warn!(
            schema = config.target.schema.name(),
            "the daemon's schema is on another server or in another database than before: it was moved, or it is a copy"
        );
    }
    Ok(leadership)
}

/// Whether the schema is on another server or in another database than when it was last worked with, as [`take_over`] would
/// find it.
pub(super) async fn is_relocated(target: &Client) -> Result<bool> {
    let here = place(target).await;
    let sql = "select relocated or coalesce(target <> $1, false) from tributary.installation";
    let row = target.query_opt(sql, &[&here]).await.context("target: reading the installation")?;
    Ok(row.is_some_and(|row| row.get(0)))
}

/// Server and database of a session; `None` where the role may not ask.
async fn place(client: &Client) -> Option<String> {
    let sql = "select oid::text from pg_database where datname = current_database()";
    let database: String = client.query_one(sql, &[]).await.ok()?.try_get(0).ok()?;
    Some(format!("{}/{database}", system(client).await?))
}

/// The system identifier of a server; `None` where the role may not ask.
pub(super) async fn system(client: &Client) -> Option<String> {
    let may = "select has_function_privilege('pg_control_system()', 'execute')";
    if !client.query_one(may, &[]).await.ok()?.try_get::<_, bool>(0).ok()? {
        return None;
    }
    let sql = "select system_identifier::text from pg_control_system()";
    client.query_one(sql, &[]).await.ok()?.try_get(0).ok()
}

/// Notes that a schema which was moved reads its slot here: it is no copy of one that does so elsewhere.
///
/// # Errors
/// Those of the target.
pub async fn settle(db: &Db, leadership: Leadership) -> Result<()> {
    if leadership.relocated {
        let sql = "update tributary.installation set relocated = false where epoch = $1";
        db.execute("target: recording the installation", sql, &[&leadership.epoch]).await?;
    }
    Ok(())
}

/// Gives the schema up when its slot is dropped: another installation may take it.
///
/// # Errors
/// Those of the target.
pub async fn retire(target: &Client, slot: &str) -> Result<()> {
    if recorded(target).await?.is_some() {
        let sql = "update tributary.installation set slot = null, source_system = null, \
                   source_database = null, source_timeline = null, source_flushed = null, source_next_xid = null, \
                   slot_restart = null, relocated = false where slot = $1";
        target.execute(sql, &[&slot]).await.context("target: retiring the installation")?;
    }
    Ok(())
}

/// Records failures on a session of its own, as the leader of this epoch: the one that failed is gone.
///
/// # Errors
/// Those of the target; [`Error::Superseded`] where another daemon took over.
pub async fn record_failure(config: &Config, epoch: i64, halt: &Halt) -> Result<()> {
    const WHAT: &str = "target: recording the halt";
    let target = connect(&config.target.server, "tributary", "target").await?;
    begin_fenced(&target, epoch).await?;
    target.batch_execute("set local synchronous_commit = on").await.context(WHAT)?;
    let sql = "update tributary.state set halted = $1";
    target.execute(sql, &[&json!(halt)]).await.context(WHAT)?;
    target.batch_execute("commit").await.context(WHAT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_succeeds_earlier_ones_of_its_installation_only() {
        let id = Uuid::from_u128(7);
        let leader = Leadership { id, epoch: 5, relocated: false };
        let name = leader.application_name();
        assert!(name.len() <= 63, "{name}");
        let check =
            |name: &str, expected: bool| assert_eq!(leader.succeeds(name), expected, "{name}");
        check(&Leadership { epoch: 4, ..leader }.application_name(), true);
        check(&name, false);
        check(&Leadership { epoch: 6, ..leader }.application_name(), false);
        let other = Leadership { id: Uuid::from_u128(8), epoch: 4, relocated: false };
        check(&other.application_name(), false);
        for stranger in ["", "tributary", "pg_recvlogical", "tributary 7", "subscriber x 1"] {
            check(stranger, false);
        }
    }
}
