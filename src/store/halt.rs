//! What the daemon is halted for, and what operators accepted, in `tributary.state`.

use serde_json::{Value, json};

use crate::error::{Context as _, Error, Result};
use crate::halt::{Halt, HaltCause};
use crate::pg::{Client, Db, Tx};

/// Whether an operator accepted this halt, at once or table by table.
///
/// # Errors
/// Those of the target.
pub async fn is_accepted(db: &Db, halt: &Halt) -> Result<bool> {
    if matches!(halt.cause, HaltCause::RolledBack { .. }) {
        return Ok(!is_rolled_back(db).await?);
    }
    if matches!(halt.cause, HaltCause::Paused { .. }) {
        return Ok(!is_paused(db).await?);
    }
    let accepted = accepted(db).await?;
    Ok(halt.keys().iter().all(|key| accepted.contains(key)))
}

async fn accepted(db: &Db) -> Result<Vec<Value>> {
    let rows =
        db.query("target: reading the state", "select accepted from tributary.state", &[]).await?;
    let accepted: Option<Value> = rows.first().and_then(|row| row.get(0));
    Ok(match accepted {
        Some(Value::Array(keys)) => keys,
        Some(key) => vec![key],
        None => Vec::new(),
    })
}

/// Records what the daemon halted in front of, on disk when this returns (P7); `None`: it goes on. That it failed is
/// known to be over only once it has come further ([`clear_failure`]), and a TRUNCATE waits until it is met again ([`clear_truncate`]): where
/// its slot is lost before, a reconcile must know of it.
///
/// # Errors
/// Those of the target.
pub async fn record(db: &Db, halt: Option<&Halt>) -> Result<()> {
    let value = halt.map(|halt| json!(halt));
    let sql = "update tributary.state set halted = $1 where halted is distinct from $1 \
               and ($1::jsonb is not null or not halted -> 'cause' ?| array['failures', 'truncate']) \
               and not (coalesce(halted -> 'cause' ? 'truncate', false) \
                   and coalesce($1::jsonb -> 'cause' ?| array['paused', 'rolled_back'], false)) \
               and set_config('synchronous_commit', 'on', true) is not null";
    db.execute("target: recording the halt", sql, &[&value]).await?;
    Ok(())
}

/// A TRUNCATE was applied.
///
/// # Errors
/// Those of the target.
pub async fn clear_truncate(db: &Db) -> Result<()> {
    let sql = "update tributary.state set halted = null where halted -> 'cause' ? 'truncate'";
    db.execute("target: recording the halt", sql, &[]).await.map(drop)
}

/// What the daemon failed at before it was restarted, as long as it has not come further.
///
/// # Errors
/// Those of the target.
pub async fn failure(db: &Db) -> Result<Option<Halt>> {
    Ok(met(db.client()).await?.filter(Halt::is_failure))
}

/// The halt that stands until somebody ends it by a command of its own: that of a rollback before that of a pause.
///
/// # Errors
/// Those of the target.
pub async fn standing(target: &Client) -> Result<Option<Halt>> {
    // As JSON: `check` also reads a schema that is to be migrated and has not all columns.
    let sql = "select s ->> 'rolled_back', s ->> 'paused' from (select to_jsonb(state) s from tributary.state) one";
    let row = target.query_opt(sql, &[]).await.context("target: reading the state")?;
    let Some(row) = row else { return Ok(None) };
    let rolled_back: Option<String> = row.get(0);
    let paused: Option<String> = row.get(1);
    let cause = rolled_back.map(|run| HaltCause::RolledBack { run });
    let cause = cause.or_else(|| paused.map(|by| HaltCause::Paused { by }));
    Ok(cause.map(|cause| Halt::new(cause, Vec::new())))
}

/// Whether the tables are those of a backup, until a backfill is asked for. It is recorded for itself: whatever else the daemon halts
/// for meanwhile does not end it.
///
/// # Errors
/// Those of the target.
pub async fn is_rolled_back(db: &Db) -> Result<bool> {
    Ok(rolled_back(db).await?.is_some())
}

async fn rolled_back(db: &Db) -> Result<Option<Halt>> {
    let standing = standing(db.client()).await?;
    Ok(standing.filter(|halt| matches!(halt.cause, HaltCause::RolledBack { .. })))
}

/// Whether an operator paused the stream and nobody has resumed it. It is recorded for itself, as a rollback is.
///
/// # Errors
/// Those of the target.
pub async fn is_paused(db: &Db) -> Result<bool> {
    let sql = "select paused is not null from tributary.state";
    let rows = db.query("target: reading the state", sql, &[]).await?;
    Ok(rows.first().is_some_and(|row| row.get(0)))
}

/// Pauses the stream in somebody's name, or with `None` ends the pause.
///
/// # Errors
/// A refusal where it is so already.
pub async fn set_paused(db: &Db, by: Option<&str>) -> Result<()> {
    let sql = "update tributary.state set paused = $1, \
               halted = case when $1::text is null and halted -> 'cause' ? 'paused' then null else halted end \
               where (paused is null) <> ($1::text is null)";
    match (db.execute("target: pausing", sql, &[&by]).await?, by) {
        (0, Some(_)) => {
            Err(Error::refused("the stream is paused already", "`tributary resume` goes on"))
        }
        (0, None) => Err(Error::refused("the stream is not paused", "look at `tributary status`")),
        _ => Ok(()),
    }
}

/// Refuses what would write people while the target is rolled back.
///
/// # Errors
/// The refusal.
pub async fn refuse_rolled_back(db: &Db) -> Result<()> {
    match rolled_back(db).await? {
        None => Ok(()),
        Some(halt) => Err(Error::refused(
            halt.what(),
            "run `tributary backfill` (or `tributary cutover`) first; what you ask for needs rows that are up to date",
        )),
    }
}

/// It has come further than what it failed at.
///
/// # Errors
/// Those of the target.
pub async fn clear_failure(db: &Db) -> Result<()> {
    let sql = "update tributary.state set halted = null where halted -> 'cause' ? 'failures'";
    db.execute("target: recording the halt", sql, &[]).await?;
    Ok(())
}

/// What the daemon halts for: the halt that stands before the one that it comes to afterwards.
///
/// # Errors
/// Those of the target.
pub async fn recorded(target: &Client) -> Result<Option<Halt>> {
    Ok(standing(target).await?.or(met(target).await?))
}

/// What the daemon met last.
async fn met(target: &Client) -> Result<Option<Halt>> {
    let sql = "select halted from tributary.state";
    let row = target.query_opt(sql, &[]).await.context("target: reading the state")?;
    let halted: Option<Value> = row.and_then(|row| row.get(0));
    Ok(halted.and_then(|value| serde_json::from_value(value).ok()))
}

/// The pending halt.
///
/// # Errors
/// A refusal when nothing is halted.
pub async fn pending(db: &Db) -> Result<Halt> {
    match recorded(db.client()).await? {
        Some(Halt { cause: HaltCause::RolledBack { .. }, .. }) => Err(Error::refused(
            "the daemon halted because the target was rolled back, so there is nothing to accept",
            "`tributary backfill` or `tributary cutover` goes on",
        )),
        Some(Halt { cause: HaltCause::Paused { .. }, .. }) => Err(Error::refused(
            "the stream is paused, so there is nothing to accept",
            "`tributary resume` goes on",
        )),
        Some(halt) if !halt.is_failure() => Ok(halt),
        Some(_) => Err(Error::refused(
            "the daemon halted because its attempts failed, so there is nothing to accept",
            "`tributary status` shows what failed: remove the cause, then restart the daemon",
        )),
        None => Err(Error::refused(
            "nothing is halted, so there is nothing to accept",
            "look at `tributary status`",
        )),
    }
}

/// What was accepted of a configuration is in effect from this commit on: the same one at a later time is another halt.
///
/// # Errors
/// Those of the target.
pub async fn forget_accepted_configuration(tx: &Tx) -> Result<()> {
    let sql = "update tributary.state set accepted = null \
               where jsonb_path_exists(accepted, '$[*].cause.configuration')";
    tx.execute("target: recording the halt", sql, &[]).await?;
    Ok(())
}

/// Accepts exactly the pending halt and returns it. `seen` is the identity of the one that somebody was shown: another one
/// that has come since is not what they meant.
///
/// # Errors
/// A refusal when nothing is halted, and where it is not for what was shown.
pub async fn accept(db: &Db, seen: Option<&str>) -> Result<Halt> {
    let halt = pending(db).await?;
    if seen.is_some_and(|seen| seen != halt.identity()) {
        return Err(Error::refused(
            "the daemon has halted for something else since that was shown",
            "look at what it would delete now, and accept that",
        ));
    }
    let sql = "update tributary.state set accepted = $1, halted = null \
               where set_config('synchronous_commit', 'on', true) is not null";
    let mut keys = accepted(db).await?;
    // One transaction may halt twice, as a TRUNCATE is met before the deletes that follow it; and a reconcile in front of the
    // configuration and of its sweep.
    keys.retain(|key| {
        let cause = serde_json::from_value::<HaltCause>(key["cause"].clone());
        cause.is_ok_and(|cause| cause.goes_with(&halt.cause))
    });
    keys.extend(halt.keys());
    db.execute("target: accepting", sql, &[&Value::Array(keys)]).await?;
    Ok(halt)
}
