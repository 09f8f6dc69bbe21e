//! Commands that wait in `tributary.command`, as the writer of the target takes them.

use super::{Command, Request, execute, refused};
use crate::apply::Applier;
use crate::error::{Error, Result};
use crate::pg::Db;
use crate::status::Stage;
use crate::store::operation_log;
use crate::store::{backfill, email_before};

/// A command with its place in the queue.
struct Waiting {
    id: i64,
    actor: String,
    command: Result<Command>,
}

/// Carries out what operators asked for, but for rebuilds, and returns whether the session must end, as everything is due to be
/// read again. A refusal is answered, not fatal. While new rules wait for the guard, what would apply them to people waits
/// too (P9), and so does what would decide people whose changed addresses a reconcile has yet to judge (SPEC §4.3).
///
/// # Errors
/// Those of the target: a command then stays without an answer, and is served again.
pub async fn serve(applier: &mut Applier) -> Result<bool> {
    let mut starts_over = false;
    while let Some(Waiting { id, actor, command }) = next(&applier.db).await? {
        let executed = match &command {
            Ok(command) => execute(applier, id, command, &actor).await,
            Err(_) => Err(Error::failed("reading a command", "it is of another version")),
        };
        match executed {
            Ok(()) => {
                tracing::info!(command = id, ok = true, "carried out a command");
                starts_over |= matches!(&command, Ok(Command { request: Request::Reconcile, .. }));
                let halts = |request: &Request| {
                    matches!(request, Request::Rollback { .. } | Request::Pause)
                };
                if command.as_ref().is_ok_and(|command| halts(&command.request)) {
                    return halted(applier).await;
                }
            }
            Err(error) => {
                let request = command.as_ref().ok().map(|command| &command.request);
                answer(applier, id, request, Err(error)).await?;
            }
        }
    }
    Ok(starts_over)
}

/// Nothing more is applied after a rollback, and during a pause.
async fn halted(applier: &Applier) -> Result<bool> {
    match crate::store::halt::standing(applier.db.client()).await? {
        Some(halt) => Err(Error::Halted(Box::new(halt))),
        None => Ok(false),
    }
}

/// A rebuild that was asked for.
#[derive(Debug, Clone, Copy)]
pub struct WaitingRebuild {
    /// The command.
    pub id: i64,
    /// Whether everybody is being recomputed, or was, since it was asked for.
    pub has_begun: bool,
}

/// The rebuild that waits longest, if any.
///
/// # Errors
/// Those of the target.
pub async fn waiting_rebuild(db: &Db) -> Result<Option<WaitingRebuild>> {
    if backfill::rules_wait(db).await? {
        return Ok(None);
    }
    let recomputes: Vec<&str> =
        Stage::ALL.into_iter().filter(|stage| stage.has_read()).map(Stage::as_str).collect();
    let sql = "select c.id, exists (select from tributary.backfill b \
                   where b.started_at >= c.created_at and b.phase = any($2)) \
               from tributary.command c \
               where c.finished_at is null and c.request -> 'request' = $1 order by c.id limit 1";
    let rows = db.query("target: looking for a rebuild", sql, &[&rebuild()?, &recomputes]).await?;
    Ok(rows.first().map(|row| WaitingRebuild { id: row.get(0), has_begun: row.get(1) }))
}

/// Who asked for a command.
///
/// # Errors
/// Those of the target.
pub async fn asked_by(db: &Db, id: i64) -> Result<Option<String>> {
    let sql = "select actor from tributary.command where id = $1";
    let rows = db.query("target: reading a command", sql, &[&id]).await?;
    Ok(rows.first().map(|row| row.get(0)))
}

fn rebuild() -> Result<serde_json::Value> {
    serde_json::to_value(Request::Rebuild)
        .map_err(|error| Error::failed("writing a request", error))
}

/// Queues a rebuild, unless one waits.
pub(super) async fn ask_for_rebuild(db: &Db, actor: &str) -> Result<()> {
    let command =
        serde_json::to_value(Command { request: Request::Rebuild, note: None, conflict: None })
            .map_err(|error| Error::failed("writing a request", error))?;
    let sql = "insert into tributary.command (request, actor) values ($1, $2)";
    db.execute("target: asking for a rebuild", sql, &[&command, &actor]).await?;
    Ok(())
}

/// Whether a rebuild that was asked for is not finished.
///
/// # Errors
/// Those of the target.
pub async fn waits_for_rebuild(db: &Db) -> Result<bool> {
    let sql = "select exists (select from tributary.command \
               where finished_at is null and request -> 'request' = $1)";
    let rows = db.query("target: looking for a rebuild", sql, &[&rebuild()?]).await?;
    Ok(rows.first().is_some_and(|row| row.get(0)))
}

/// A rebuild is long work of its own, which goes on between batches.
async fn next(db: &Db) -> Result<Option<Waiting>> {
    let sql = format!(
        "select id, request, actor from tributary.command \
         where finished_at is null and request ? 'request' and request -> 'request' <> $1 \
         and (request -> 'request' ->> 'do' in ('accept', 'dismiss', 'rollback', 'backfill', 'reconcile', 'pause', 'resume') or not ({} or {})) \
         order by id limit 1",
        backfill::RULES_WAIT,
        email_before::IS_KEPT
    );
    let rows = db.query("target: looking for commands", &sql, &[&rebuild()?]).await?;
    let waiting = |row: &tokio_postgres::Row| Waiting {
        id: row.get(0),
        actor: row.get(2),
        command: serde_json::from_value(row.get(1))
            .map_err(|error| Error::failed("reading a command", error)),
    };
    Ok(rows.first().map(waiting))
}

/// Answers a command with what was done, or with why not.
///
/// # Errors
/// Those of the target, and those in `answered` that say nothing about the command
/// ([`Error::answers_commands`]): it then stays without an answer.
pub async fn answer(
    applier: &Applier,
    id: i64,
    request: Option<&Request>,
    answered: Result<String>,
) -> Result<()> {
    let (ok, answer) = match answered {
        Ok(answer) => (true, answer),
        Err(error) if error.answers_commands() => {
            if let Some(request) = request.filter(|request| request.changes_something()) {
                let (operation, end) = (request.operation(), refused(&error, request));
                let (db, operator) = (&applier.db, &applier.operator);
                operation_log::record_command(db, operator, operation, id, &end).await?;
            }
            (false, error.to_string())
        }
        Err(error) => return Err(error),
    };
    record(&applier.db, id, ok, answer).await?;
    tracing::info!(command = id, ok, "carried out a command");
    Ok(())
}

/// Records the answer, on disk with the commit (P7).
pub(super) async fn record(db: &Db, id: i64, ok: bool, text: String) -> Result<()> {
    let sql = "update tributary.command set finished_at = now(), ok = $2, answer = $3 \
               where id = $1 and set_config('synchronous_commit', 'on', true) is not null";
    let answer = serde_json::Value::String(text);
    db.execute("target: answering a command", sql, &[&id, &ok, &answer]).await?;
    Ok(())
}
