//! Decisions about single source rows and conflicts.

use uuid::Uuid;

use super::{By, Decision, parse_email, record};
use crate::apply::{Applier, Moves, parse_source_row};
use crate::engine::rows::{RowPlan, Touched};
use crate::pg::{Db, Tx};
use crate::store;
use crate::error::{Error, Result};
use crate::facts::Feed;

/// Use this address for that row.
pub(super) async fn email(
    writer: &mut Writer,
    row: &str,
    address: &str,
    by: &By<'_>,
) -> Result<(String, Touched)> {
    let key = parse_email(address)?;
    require_row(writer, row).await?;
    supersede(writer, "email", row, by).await?;
    let id = record(writer, "email", row, key.as_str(), by).await?;
    let touched = place_again(writer, row).await?;
    Ok((format!("decision {id}: {row} belongs to {key}"), touched))
}

/// This payment is for that product.
pub(super) async fn product(
    writer: &mut Writer,
    row: &str,
    code: &str,
    by: &By<'_>,
) -> Result<(String, Touched)> {
    if writer.rules.product(code).is_none() {
        let known: Vec<&str> = writer.rules.products.iter().map(|p| p.code.as_str()).collect();
        return Err(Error::refused(
            format!("there is no product '{code}'"),
            format!("the configured products are: {}", known.join(", ")),
        ));
    }
    if parse_source_row(row)?.0 != Feed::Xendit {
        return Err(Error::refused(
            format!("{row} is not a payment"),
            "write xendit:<key>, as `tributary conflicts show` prints it",
        ));
    }
    require_row(writer, row).await?;
    supersede(writer, "product", row, by).await?;
    let id = record(writer, "product", row, code, by).await?;
    let touched = place_again(writer, row).await?;
    Ok((format!("decision {id}: {row} is for {code}"), touched))
}

async fn require_row(writer: &Writer, row: &str) -> Result<()> {
    let id = parse_source_row(row)?;
    if writer.has_fact(&id).await? {
        return Ok(());
    }
    Err(Error::refused(
        format!("the source has no row {row}"),
        "write xendit:<key> or systemeio:<key>, as `tributary conflicts show` prints it",
    ))
}

/// The same question decided again: the last answer counts, the earlier one stays on record.
async fn supersede(writer: &Writer, kind: &str, a: &str, by: &By<'_>) -> Result<()> {
    let sql = "update tributary.decision set reverted_at = now(), reverted_by = $3, \
               reverted_note = 'decided anew' where kind = $1 and a = $2 and reverted_at is null";
    writer.db.execute("target: reverting a decision", sql, &[&kind, &a, &by.actor]).await?;
    Ok(())
}

/// The facts of a row after a decision about it came or went.
pub(super) async fn place_again(writer: &mut Writer, row: &str) -> Result<Touched> {
    writer.load_decisions().await?;
    writer.place_again(&[parse_source_row(row)?]).await
}

/// These conflicts need nothing.
pub(super) async fn dismiss(db: &Db, conflicts: &[i64], by: &By<'_>) -> Result<String> {
    if by.note.is_none_or(|note| note.trim().is_empty()) {
        return Err(Error::refused("a dismissal needs a reason", "give one with --note"));
    }
    let sql = "select id, fingerprint, evidence_digest, status from tributary.conflict \
               where id = any($1) order by id";
    let rows = db.query("target: reading conflicts", sql, &[&conflicts]).await?;
    let missing = conflicts.iter().find(|id| !rows.iter().any(|row| row.get::<_, i64>(0) == **id));
    if let Some(id) = missing {
        return Err(Error::refused(
            format!("there is no conflict {id}"),
            "`tributary conflicts list` shows them",
        ));
    }
    let mut names = Vec::new();
    let mut digests = Vec::new();
    for row in &rows {
        let (id, status): (i64, &str) = (row.get(0), row.get(3));
        if status != "open" {
            return Err(Error::refused(
                format!("conflict {id} is {status}"),
                "only open conflicts can be dismissed",
            ));
        }
        names.push(row.get::<_, Uuid>(1).to_string());
        digests.push(row.get::<_, Uuid>(2).to_string());
    }
    let record = "insert into tributary.decision (kind, a, b, actor, note) \
                  select 'dismiss', n.a, n.b, $3, $4 from unnest($1::text[], $2::text[]) as n (a, b)";
    let clear = "update tributary.decision set reverted_at = now(), reverted_by = $2, \
                 reverted_note = 'the evidence changed' \
                 where kind = 'dismiss' and reverted_at is null and a = any($1)";
    db.execute("target: recording decisions", clear, &[&names, &by.actor]).await?;
    db.execute("target: recording decisions", record, &[&names, &digests, &by.actor, &by.note])
        .await?;
    let close = "update tributary.conflict set status = 'dismissed', resolved_at = now(), \
                 resolved_by = $2, note = $3 where id = any($1)";
    db.execute("target: dismissing", close, &[&conflicts, &by.actor, &by.note]).await?;
    Ok(format!("dismissed {}", rows.len()))
}

/// A dismissal taken back.
pub(super) async fn reopen(writer: &Writer, decision: &Decision) -> Result<Touched> {
    let sql = "update tributary.conflict \
               set status = 'open', resolved_at = null, resolved_by = null \
               where fingerprint = $1::text::uuid and status = 'dismissed'";
    writer.db.execute("target: opening a conflict", sql, &[&decision.a]).await?;
    Ok(Touched::default())
}
