//! Commands that wait in `tributary.command`, as the writer of the target takes them.

use super::{Command, Request, execute};
use crate::apply::{Db, Writer};
use crate::error::{Error, Result};

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
pub async fn serve(writer: &mut Writer) -> Result<bool> {
    let mut any = false;
    while let Some(Waiting { id, actor, command }) = next(&writer.db, Kind::Short).await? {
        let answered = match command {
            Ok(command) => execute(writer, &command, &actor).await,
            Err(error) => Err(error),
        };
        answer(&writer.db, id, answered).await?;
        any = true;
    }
    Ok(any)
}

/// Carries out `rebuild` if one was asked for; `false`: none was.
///
/// # Errors
/// As [`serve`].
pub async fn serve_rebuild(
    writer: &mut Writer,
    rebuild: impl AsyncFnOnce(&mut Writer) -> Result<String>,
) -> Result<bool> {
    let Some(waiting) = next(&writer.db, Kind::Rebuild).await? else { return Ok(false) };
    let answered = rebuild(writer).await;
    if answered.is_err() {
        // The round that failed is still open.
        writer.rollback().await?;
    }
    answer(&writer.db, waiting.id, answered).await?;
    Ok(true)
}

async fn next(db: &Db, kind: Kind) -> Result<Option<Waiting>> {
    let sql = "select id, request, actor from tributary.command \
               where finished_at is null and coalesce(request -> 'request' = $1, false) = $2 \
               order by id limit 1";
    let rebuild = serde_json::to_value(Request::Rebuild)
        .map_err(|error| Error::failed("writing a request", error))?;
    let params: [crate::apply::Param<'_>; 2] = [&rebuild, &(kind == Kind::Rebuild)];
    let rows = db.query("target: looking for commands", sql, &params).await?;
    let waiting = |row: &tokio_postgres::Row| Waiting {
        id: row.get(0),
        actor: row.get(2),
        command: serde_json::from_value(row.get(1))
            .map_err(|error| Error::failed("reading a command", error)),
    };
    Ok(rows.first().map(waiting))
}

async fn answer(db: &Db, id: i64, answered: Result<String>) -> Result<()> {
    let (ok, answer) = match answered {
        Ok(answer) => (true, answer),
        Err(error) if error.policy().answers => (false, error.to_string()),
        Err(error) => return Err(error),
    };
    tracing::info!(command = id, ok, "carried out a command");
    let sql =
        "update tributary.command set finished_at = now(), ok = $2, answer = $3 where id = $1";
    let answer = serde_json::Value::String(answer);
    db.execute("target: answering a command", sql, &[&id, &ok, &answer]).await?;
    Ok(())
}
