//! `tributary.decision`: what was decided, and what was taken back.

use super::{By, Effect, alias, rows};
use crate::apply::Applier;
use crate::error::{Error, Result};
use crate::pg::Tx;

/// A conflict that closed by a decision was resolved by the person, not by the source.
pub(super) async fn credit(tx: &Tx, conflict: i64, by: &By<'_>) -> Result<()> {
    let sql = "update tributary.conflict set resolved_by = $2, note = coalesce($3, note) \
               where id = $1 and status = 'resolved' and resolved_by = 'source' \
               and resolved_at = now()";
    tx.execute("target: closing a conflict", sql, &[&conflict, &by.actor, &by.note]).await?;
    Ok(())
}

/// Records a decision and returns its id.
pub(super) async fn record(tx: &Tx, kind: &str, a: &str, b: &str, by: &By<'_>) -> Result<i64> {
    let sql = "insert into tributary.decision (kind, a, b, actor, note, conflict_id) \
               values ($1, $2, $3, $4, $5, $6) returning id";
    let rows = tx
        .query(
            "target: recording a decision",
            sql,
            &[&kind, &a, &b, &by.actor, &by.note, &by.conflict],
        )
        .await?;
    Ok(rows.first().map_or(0, |row| row.get(0)))
}

/// A decision as stored.
pub(super) struct Decision {
    pub(super) id: i64,
    pub(super) kind: String,
    pub(super) a: String,
    pub(super) b: String,
    pub(super) undo: Option<serde_json::Value>,
}

pub(super) async fn revert(
    applier: &mut Applier,
    tx: &Tx,
    id: i64,
    by: &By<'_>,
) -> Result<(String, Effect)> {
    let sql =
        "select kind, a, b, undo, reverted_at is not null from tributary.decision where id = $1";
    let rows = tx.query("target: reading a decision", sql, &[&id]).await?;
    let Some(row) = rows.first() else {
        return Err(Error::refused(
            format!("there is no decision {id}"),
            "`tributary decisions list` shows them",
        ));
    };
    if row.get(4) {
        return Err(Error::refused(
            format!("decision {id} was reverted already"),
            "`tributary decisions list --all` shows when and by whom",
        ));
    }
    let (kind, a, b) = (row.get(0), row.get(1), row.get(2));
    let decision = Decision { id, kind, a, b, undo: row.get(3) };
    mark_reverted(tx, id, by).await?;
    let effect = match decision.kind.as_str() {
        "alias" => alias::unmerge(applier, tx, &decision).await?.into(),
        "separate" => alias::people_touched(&decision.a, &decision.b).into(),
        "dismiss" => rows::reopen(applier, tx, &decision).await?.into(),
        _ => rows::place_again(applier, tx, &decision.a).await?,
    };
    Ok((
        format!("reverted decision {id} ({} {} → {})", decision.kind, decision.a, decision.b),
        effect,
    ))
}

async fn mark_reverted(tx: &Tx, id: i64, by: &By<'_>) -> Result<()> {
    let sql = "update tributary.decision \
               set reverted_at = now(), reverted_by = $2, reverted_note = $3 where id = $1";
    tx.execute("target: reverting a decision", sql, &[&id, &by.actor, &by.note]).await?;
    Ok(())
}
