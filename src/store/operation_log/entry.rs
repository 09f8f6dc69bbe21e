//! Entries: begun, completed, or written at once.

use jiff::Timestamp;
use serde_json::Value;

use super::{Finish, Operation, Operator, WHAT};
use crate::error::{Context as _, Error, Result};
use crate::pg::{Client, Db, Param};

/// Begins an entry, which is under way until [`finish`], or until this session ends.
///
/// # Errors
/// Those of the target.
pub async fn begin(
    client: &Client,
    operator: &Operator,
    operation: Operation,
    detail: &Value,
) -> Result<i64> {
    let sql = "insert into tributary.operation_log \
               (operation, os_user, asked_by, version, config_hash, detail) \
               select $1, $2, $3, $4, $5, $6 \
               where set_config('synchronous_commit', 'on', true) is not null returning id";
    let Operator { os_user, asked_by, config_hash } = operator;
    let params: [Param<'_>; 6] =
        [&operation.as_str(), os_user, asked_by, &version(), config_hash, detail];
    let rows = client.query(sql, &params).await.context(WHAT)?;
    let id = rows.first().map(|row| row.get(0));
    let id = id.ok_or_else(|| Error::failed(WHAT, "no row"))?;
    hold(client, id).await?;
    Ok(id)
}

/// Whether there is a log: before the schema is migrated there is none.
///
/// # Errors
/// Those of the target.
pub async fn is_there(client: &Client) -> Result<bool> {
    let sql = "select to_regclass('tributary.operation_log') is not null";
    Ok(client.query_one(sql, &[]).await.context(WHAT)?.get(0))
}

/// Completes an entry.
///
/// # Errors
/// Those of the target.
pub async fn finish(client: &Client, id: i64, finish: &Finish) -> Result<()> {
    let Finish { outcome, processed, succeeded, failed, errors, detail } = finish;
    let sql = include_str!("../sql/log_finish.sql");
    let params: [Param<'_>; 7] =
        [&id, &outcome.as_str(), processed, succeeded, failed, errors, detail];
    client.execute(sql, &params).await.context(WHAT)?;
    release(client, id).await
}

/// Writes an entry of what began at `started_at` and has just ended. Inside a transaction it commits with it.
///
/// # Errors
/// Those of the target.
pub async fn record(
    client: &Client,
    operator: &Operator,
    operation: Operation,
    started_at: Timestamp,
    finish: &Finish,
) -> Result<i64> {
    let sql = "insert into tributary.operation_log (operation, started_at, finished_at, outcome, os_user, \
               asked_by, version, config_hash, processed, succeeded, failed, errors, detail) \
               values ($1, $2, clock_timestamp(), $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) returning id";
    let Finish { outcome, processed, succeeded, failed, errors, detail } = finish;
    let Operator { os_user, asked_by, config_hash } = operator;
    let params: [Param<'_>; 12] = [
        &operation.as_str(),
        &started_at,
        &outcome.as_str(),
        os_user,
        asked_by,
        &version(),
        config_hash,
        processed,
        succeeded,
        failed,
        errors,
        detail,
    ];
    let rows = client.query(sql, &params).await.context(WHAT)?;
    Ok(rows.first().map_or(0, |row| row.get(0)))
}

/// Writes the entry of a command that was answered: who asked is in the command.
///
/// # Errors
/// Those of the target.
pub async fn record_command(
    db: &Db,
    operator: &Operator,
    operation: Operation,
    command: i64,
    finish: &Finish,
) -> Result<()> {
    let sql = "insert into tributary.operation_log (operation, started_at, finished_at, outcome, os_user, \
               database_user, asked_by, version, config_hash, processed, succeeded, failed, errors, detail) \
               select $2, c.created_at, clock_timestamp(), $3, c.os_user, coalesce(c.database_user, session_user), \
                   c.actor, $4, $5, $6, $7, $8, $9, $10 from tributary.command c where c.id = $1";
    let Finish { outcome, processed, succeeded, failed, errors, detail } = finish;
    let params: [Param<'_>; 10] = [
        &command,
        &operation.as_str(),
        &outcome.as_str(),
        &version(),
        &operator.config_hash,
        processed,
        succeeded,
        failed,
        errors,
        detail,
    ];
    db.execute(WHAT, sql, &params).await?;
    Ok(())
}

/// Begins the entry of the backfill or rebuild that is scheduled, or goes on with that of an attempt that was interrupted.
/// Another one that is still open was: its backfill is scheduled no more.
///
/// # Errors
/// Those of the target.
pub async fn begin_backfill(db: &Db, operator: &Operator) -> Result<Option<i64>> {
    let Operator { os_user, asked_by, config_hash } = operator;
    let sql = include_str!("../sql/log_backfill.sql");
    let params: [Param<'_>; 4] = [os_user, asked_by, &version(), config_hash];
    let rows = db.query(WHAT, sql, &params).await?;
    let id: Option<i64> = rows.first().map(|row| row.get(0));
    if let Some(id) = id {
        hold(db.client(), id).await?;
    }
    Ok(id)
}

/// Completes the entry of the backfill that is done, in the transaction that says so.
///
/// # Errors
/// Those of the target.
pub async fn backfill_done(db: &Db) -> Result<()> {
    let sql = include_str!("../sql/log_backfill_done.sql");
    for row in db.query(WHAT, sql, &[]).await? {
        release(db.client(), row.get(0)).await?;
    }
    Ok(())
}

/// Shows an entry to be under way, once for each session.
async fn hold(client: &Client, id: i64) -> Result<()> {
    release(client, id).await?;
    let sql = "select pg_advisory_lock(hashtext('tributary.operation_log'), $1::bigint::int)";
    client.query(sql, &[&id]).await.context(WHAT).map(drop)
}

async fn release(client: &Client, id: i64) -> Result<()> {
    let sql = "select pg_advisory_unlock(hashtext('tributary.operation_log'), $1::bigint::int) from pg_locks l \
               where l.pid = pg_backend_pid() and l.locktype = 'advisory' and l.objsubid = 2 \
               and l.classid = hashtext('tributary.operation_log')::oid and l.objid = $1::bigint::oid";
    client.query(sql, &[&id]).await.context(WHAT).map(drop)
}

fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
