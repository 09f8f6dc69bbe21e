//! The logical replication slot: what keeps the log until it is applied.
//!
//! <https://www.postgresql.org/docs/current/logicaldecoding-explanation.html#LOGICALDECODING-REPLICATION-SLOTS>

use std::time::Duration;

use tokio_postgres::error::SqlState;

use crate::config::Server;
use crate::connect::connect;
use crate::error::{Context, Error, Result};
use crate::lsn::Lsn;
use crate::pg::Client;

/// How often a slot that is in use is looked at again.
const POLL: Duration = Duration::from_millis(250);
/// How long a reader that ends is waited for.
const FREE_WAIT: Duration = Duration::from_secs(3);
/// How often watchers are notified that making a slot goes on.
const ALIVE_INTERVAL: Duration = Duration::from_secs(1);
/// When the log says for the first time what making a slot waits for, and how often after that.
const EXPLAIN_AFTER: Duration = Duration::from_secs(3);
const EXPLAIN_EVERY: Duration = Duration::from_secs(30);

/// What the server says of a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotState {
    /// Its output plugin; `None` for a physical slot.
    pub plugin: Option<String>,
    /// The database it decodes; `None` for a physical slot.
    pub database: Option<String>,
    /// The server process that reads it now.
    pub active_pid: Option<i32>,
    /// From where the server keeps its log for it.
    pub restart_lsn: Option<Lsn>,
    /// What was confirmed last.
    pub confirmed_flush_lsn: Option<Lsn>,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub wal_status: Option<String>,
    /// The log it needs is gone, or the server gave it up: it can only be dropped.
    pub invalidated: bool,
}

/// The slot of this name, if there is one.
///
/// # Errors
///
/// The source is away.
pub async fn state(client: &Client, name: &str) -> Result<Option<SlotState>> {
    let sql = include_str!("sql/slot_state.sql");
    let row = client.query_opt(sql, &[&name]).await.context("source: reading the slot")?;
    let lsn = |text: Option<String>| text.as_deref().and_then(Lsn::parse);
    Ok(row.map(|row| SlotState {
        plugin: row.get(0),
        database: row.get(1),
        active_pid: row.get(2),
        restart_lsn: lsn(row.get(3)),
        confirmed_flush_lsn: lsn(row.get(4)),
        wal_status: row.get(5),
        invalidated: row.get(6),
    }))
}

/// How to wait for a slot that takes long to make.
pub struct Waits<'a> {
    /// The source, for a look at what it waits for.
    pub server: &'a Server,
    /// Told every second that it goes on (P17).
    pub alive: &'a (dyn Fn() + Sync),
}

/// Makes a slot and returns the position from which it streams: every transaction that commits after
/// it is sent, every one before is in the tables. Waits for transactions that run now to end, and says in the
/// log which.
///
/// # Errors
///
/// [`Error::Config`] for a name that PostgreSQL does not take; [`Error::Refused`] with the remedy where
/// wal_level, a limit or a privilege stands against it.
pub async fn create(client: &Client, name: &str, waits: &Waits<'_>) -> Result<Lsn> {
    check_name(name)?;
    let sql = "select pg_backend_pid()";
    let row = client.query_one(sql, &[]).await.context("source: making the slot")?;
    let pid: i32 = row.get(0);
    let sql = creation(client).await?;
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&name];
    let created = client.query_one(sql, &parameters);
    tokio::pin!(created);
    let started = tokio::time::Instant::now();
    let mut explain_at = started + EXPLAIN_AFTER;
    let row = loop {
        tokio::select! {
            row = &mut created => break row.map_err(|error| refusal(name, &error))?,
            () = tokio::time::sleep(ALIVE_INTERVAL) => (waits.alive)(),
        }
        if tokio::time::Instant::now() >= explain_at {
            let blockers = blockers(waits.server, pid).await;
            let seconds = started.elapsed().as_secs();
            tracing::warn!(
                slot = name,
                seconds,
                blockers,
                "making the slot waits for transactions of the source to end"
            );
            explain_at = tokio::time::Instant::now() + EXPLAIN_EVERY;
        }
    };
    let text: String = row.get(0);
    Lsn::parse(&text).ok_or_else(|| Error::failed("source: making the slot", "no consistent point"))
}

/// From version 17 on a slot can be kept on standbys too, so that it outlives a fail-over. A standby itself makes none of
/// these.
async fn creation(client: &Client) -> Result<&'static str> {
    let sql =
        "select current_setting('server_version_num')::int >= 170000 and not pg_is_in_recovery()";
    let row = client.query_one(sql, &[]).await.context("source: making the slot")?;
    Ok(if row.get(0) {
        "select lsn::text from pg_create_logical_replication_slot($1::text::name, 'pgoutput', failover => true)"
    } else {
        "select lsn::text from pg_create_logical_replication_slot($1::text::name, 'pgoutput')"
    })
}

/// Checks the slot that a stream has just opened: since it was looked at, somebody may have advanced it, or made another
/// of its name, and the server would silently begin there. Nobody else can while it is read.
///
/// # Errors
/// [`Error::Unavailable`]: the next session finds out what that means.
pub async fn require_not_beyond(client: &Client, name: &str, checkpoint: Lsn) -> Result<()> {
    let confirmed = state(client, name).await?.and_then(|state| state.confirmed_flush_lsn);
    match confirmed {
        Some(confirmed) if confirmed <= checkpoint => Ok(()),
        _ => Err(Error::unavailable(
            "source: opening the stream",
            format!("the slot {name} was advanced or replaced meanwhile"),
        )),
    }
}

/// The transactions that a session waits for, in words; empty where the source does not show them.
async fn blockers(server: &Server, pid: i32) -> String {
    let sql = include_str!("sql/blockers.sql");
    let Ok(client) = connect(server, "tributary", "source").await else { return String::new() };
    let row = client.query_one(sql, &[&pid]).await;
    row.ok().and_then(|row| row.try_get(0).ok()).unwrap_or_default()
}

/// The error of a slot that somebody else reads: it is waited for, and nobody is ended.
#[must_use]
pub fn read_by_another(name: &str, pid: Option<i32>) -> Error {
    let reader = pid.map_or_else(String::new, |pid| format!(" (process {pid} of the source)"));
    Error::unavailable(
        "source: freeing the slot",
        format!(
            "another reader has the slot {name}{reader}\n  remedy: end it if it is not needed; if this target is a \
             copy of one that is in use, give it a slot of its own"
        ),
    )
}

/// Waits until nobody reads the slot. A walsender whose client vanished may hold it still: one that is known to be
/// a former leader of this installation (`is_own`, by its application_name) and has confirmed nothing that this
/// target lacks is ended, nobody else is.
///
/// # Errors
///
/// [`Error::Unavailable`] while somebody else reads it.
pub async fn free(
    client: &Client,
    name: &str,
    checkpoint: Lsn,
    is_own: impl Fn(&str) -> bool,
) -> Result<()> {
    let deadline = tokio::time::Instant::now() + FREE_WAIT;
    loop {
        let row = client.query_opt(include_str!("sql/slot_reader.sql"), &[&name]).await;
        let Some(row) = row.context("source: reading the slot")? else { return Ok(()) };
        let (pid, reader): (i32, Option<String>) = (row.get(0), row.get(1));
        let confirmed: Option<String> = row.get(2);
        let confirmed = confirmed.as_deref().and_then(Lsn::parse);
        let is_own = reader.as_deref().is_some_and(&is_own)
            && confirmed.is_none_or(|confirmed| confirmed <= checkpoint);
        if is_own {
            // Asked again with its name: the process number may be another session's by now.
            let sql = "select count(pg_terminate_backend(pid)) from pg_stat_replication \
                       where pid = $1 and application_name = $2";
            let ended = client.query_one(sql, &[&pid, &reader]).await;
            ended.context("source: freeing the slot")?;
            tracing::warn!(
                slot = name,
                pid,
                "ended a reader of a former daemon that still held the slot"
            );
        }
        if tokio::time::Instant::now() >= deadline {
            return Err(read_by_another(name, Some(pid)));
        }
        tokio::time::sleep(POLL).await;
    }
}

fn refusal(name: &str, error: &tokio_postgres::Error) -> Error {
    let problem =
        |what: &str| format!("source: the replication slot {name} cannot be made: {what}");
    match error.code() {
        Some(code) if *code == SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE => Error::refused(
            problem("wal_level is not logical"),
            "run on the source: ALTER SYSTEM SET wal_level = 'logical'; and restart it",
        ),
        Some(code) if *code == SqlState::CONFIGURATION_LIMIT_EXCEEDED => Error::refused(
            problem("all replication slots are in use"),
            "drop one that nobody needs, or raise max_replication_slots on the source and restart it",
        ),
        Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => Error::refused(
            problem("the role may not replicate"),
            "run on the source: ALTER ROLE … REPLICATION (or grant the provider's replication role)",
        ),
        _ => Error::postgres(format!("source: making the replication slot {name}"), error),
    }
}

/// Removes a slot once nobody reads it; true if there was one. Waits up to `wait`.
///
/// # Errors
///
/// [`Error::Unavailable`] where it is still being read after that time.
pub async fn drop_when_free(client: &Client, name: &str, wait: Duration) -> Result<bool> {
    let deadline = tokio::time::Instant::now() + wait;
    loop {
        let Some(slot) = state(client, name).await? else { return Ok(false) };
        if slot.active_pid.is_none() {
            let sql = "select pg_drop_replication_slot($1::text::name)";
            match client.execute(sql, &[&name]).await {
                Ok(_) => return Ok(true),
                Err(error) if error.code() == Some(&SqlState::UNDEFINED_OBJECT) => {
                    return Ok(false);
                }
                Err(error) if error.code() == Some(&SqlState::OBJECT_IN_USE) => {}
                Err(error) => return Err(error).context("source: dropping the slot"),
            }
        }
        if tokio::time::Instant::now() >= deadline {
            let reader =
                slot.active_pid.map_or_else(String::new, |pid| format!(" by process {pid}"));
            return Err(Error::unavailable(
                "source: dropping the slot",
                format!("the replication slot {name} is in use{reader}"),
            ));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The end of the source's log on disk; on a standby, of what it has replayed.
///
/// # Errors
///
/// The source is away.
pub async fn current_lsn(client: &Client) -> Result<Lsn> {
    let sql = "select (case when pg_is_in_recovery() then pg_last_wal_replay_lsn()
                       else pg_current_wal_flush_lsn() end)::text";
    let row = client.query_one(sql, &[]).await.context("source: reading the log position")?;
    let text: Option<String> = row.get(0);
    let lsn = text.as_deref().and_then(Lsn::parse);
    lsn.ok_or_else(|| Error::unavailable("source: reading the log position", "there is none yet"))
}

/// Refuses a slot name that PostgreSQL would refuse, or that could not go unquoted into a replication
/// command.
///
/// # Errors
///
/// [`Error::Config`].
pub fn check_name(name: &str) -> Result<()> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if (1..=63).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(());
    }
    let rule = "a slot name has 1 to 63 lowercase letters, digits and underscores";
    Err(Error::Config(format!("the slot name {name:?} is not allowed: {rule}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slot_names_are_what_postgresql_takes() {
        let check =
            |name: &str, expected: bool| assert_eq!(check_name(name).is_ok(), expected, "{name}");
        check("tributary", true);
        check("t_1", true);
        check(&"a".repeat(63), true);
        check(&"a".repeat(64), false);
        for bad in ["", "Tributary", "a-b", "a b", "a;drop", "é", "a\"b"] {
            check(bad, false);
        }
    }
}
