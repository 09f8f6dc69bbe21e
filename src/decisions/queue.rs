//! Commands that wait in `tributary.command`, as the writer of the target takes them.

use super::{Command, Request, execute};
use crate::apply::Applier;
use crate::error::{Error, Result};
use crate::pg::Db;

/// A command with its place in the queue.
struct Waiting {
    id: i64,
    actor: String,
    command: Result<Command>,
}

/// Which commands are taken: a rebuild is long work of its own, between batches only.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Decisions and acceptances.
    Short,
    /// Rebuilds.
    Rebuild,
}

/// Carries out what operators asked for, but for rebuilds, and returns whether there was anything. A refusal is
/// answered, not fatal.
///
/// # Errors
/// Those of the target: a command then stays without an answer, and is served again.
pub async fn serve(applier: &mut Applier) -> Result<bool> {
    let mut any = false;
    while let Some(Waiting { id, actor, command }) = next(&applier.db, Kind::Short).await? {
        let executed = match command {
            Ok(command) => execute(applier, id, &command, &actor).await,
            Err(error) => Err(error),
        };
        match executed {
            Ok(()) => tracing::info!(command = id, ok = true, "carried out a command"),
            Err(error) => answer_with(&applier.db, id, Err(error)).await?,
        }
        any = true;
    }
    Ok(any)
}

/// Carries out `rebuild` if one was asked for; `false`: none was.
///
/// # Errors
/// As [`serve`].
pub async fn serve_rebuild(
    applier: &mut Applier,
    rebuild: impl AsyncFnOnce(&mut Applier) -> Result<String>,
) -> Result<bool> {
    let Some(waiting) = next(&applier.db, Kind::Rebuild).await? else { return Ok(false) };
    let answered = rebuild(applier).await;
    if answered.is_err() {
        // The round that failed is still open.
        crate::pg::Tx::on(&applier.db).rollback().await?;
    }
    answer_with(&applier.db, waiting.id, answered).await?;
    Ok(true)
}

async fn next(db: &Db, kind: Kind) -> Result<Option<Waiting>> {
    let sql = "select id, request, actor from tributary.command \
               where finished_at is null and coalesce(request -> 'request' = $1, false) = $2 \
               order by id limit 1";
    let rebuild = serde_json::to_value(Request::Rebuild)
        .map_err(|error| Error::failed("writing a request", error))?;
    let params: [crate::pg::Param<'_>; 2] = [&rebuild, &(kind == Kind::Rebuild)];
    let rows = db.query("target: looking for commands", sql, &params).await?;
    let waiting = |row: &tokio_postgres::Row| Waiting {
        id: row.get(0),
        actor: row.get(2),
        command: serde_json::from_value(row.get(1))
            .map_err(|error| Error::failed("reading a command", error)),
    };
    Ok(rows.first().map(waiting))
}

async fn answer_with(db: &Db, id: i64, answered: Result<String>) -> Result<()> {
    let (ok, text) = match answered {
        Ok(text) => (true, text),
        Err(error) if error.policy().answers => (false, error.to_string()),
        Err(error) => return Err(error),
    };
    answer(db, id, ok, text).await?;
    tracing::info!(command = id, ok, "carried out a command");
    Ok(())
}

/// Answers a command, on disk with the commit (P7).
pub(super) async fn answer(db: &Db, id: i64, ok: bool, text: String) -> Result<()> {
    let sql = "update tributary.command set finished_at = now(), ok = $2, answer = $3 \
               where id = $1 and set_config('synchronous_commit', 'on', true) is not null";
    let answer = serde_json::Value::String(text);
    db.execute("target: answering a command", sql, &[&id, &ok, &answer]).await?;
    Ok(())
}
