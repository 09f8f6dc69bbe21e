//! Decisions about single source rows and conflicts.

use uuid::Uuid;

use super::{By, Decision, Effect, parse_email, record};
use crate::apply::{Applier, parse_source_row};
use crate::engine::Feeds;
use crate::engine::rows::Touched;
use crate::error::{Error, Result};
use crate::facts::FeedKind;
use crate::pg::{Db, Tx};
use crate::store;

/// Use this address for that row.
pub(super) async fn email(
    applier: &mut Applier,
    tx: &Tx,
    row: &str,
    address: &str,
    by: &By<'_>,
) -> Result<(String, Effect)> {
    let key = parse_email(address)?;
    require_row(&applier.env.feeds, tx, row).await?;
    supersede(tx, "email", row, by).await?;
    let id = record(tx, "email", row, key.as_str(), by).await?;
    let effect = place_again(applier, tx, row).await?;
    Ok((format!("decision {id}: {row} belongs to {key}"), effect))
}

/// This payment is for that product.
pub(super) async fn product(
    applier: &mut Applier,
    tx: &Tx,
    row: &str,
    code: &str,
    by: &By<'_>,
) -> Result<(String, Effect)> {
    if applier.env.rules.product(code).is_none() {
        let known: Vec<&str> = applier.env.rules.products.iter().map(|p| p.code.as_str()).collect();
        return Err(Error::refused(
            format!("there is no product '{code}'"),
            format!("the configured products are: {}", known.join(", ")),
        ));
    }
    let id = parse_source_row(&applier.env.feeds, row)?;
    if applier.env.feeds.kind(id.0) != FeedKind::Payment {
        return Err(Error::refused(
            format!("{} is not a payment", applier.env.feeds.discreet_row(&id)),
            "write <feed>:<key> of a payment, as `tributary conflicts show` prints it",
        ));
    }
    require_row(&applier.env.feeds, tx, row).await?;
    supersede(tx, "product", row, by).await?;
    let id = record(tx, "product", row, code, by).await?;
    let effect = place_again(applier, tx, row).await?;
    Ok((format!("decision {id}: {row} is for {code}"), effect))
}

async fn require_row(feeds: &Feeds, tx: &Tx, row: &str) -> Result<()> {
    let id = parse_source_row(feeds, row)?;
    if !store::row::by_key(tx, &[id.clone()].into_iter().collect()).await?.is_empty() {
        return Ok(());
    }
    Err(Error::refused(
        format!("the source has no row {}", feeds.discreet_row(&id)),
        "write <feed>:<key>, as `tributary conflicts show` prints it",
    ))
}

/// The same question decided again: the last answer counts, the earlier one stays on record.
async fn supersede(tx: &Tx, kind: &'static str, a: &str, by: &By<'_>) -> Result<()> {
    // The index is of some kinds, so the statement names the kind.
    let sql = format!(
        "update tributary.decision set reverted_at = now(), reverted_by = $2, \
         reverted_note = 'decided anew' where kind = '{kind}' and a = $1 and reverted_at is null"
    );
    tx.execute("target: reverting a decision", &sql, &[&a, &by.actor]).await?;
    Ok(())
}

/// A row after a decision about it came or went.
pub(super) async fn place_again(applier: &mut Applier, tx: &Tx, row: &str) -> Result<Effect> {
    applier.load_decisions().await?;
    let mut touched = Touched::default();
    let ids = [parse_source_row(&applier.env.feeds, row)?];
    let plan = applier.place_again(tx, &ids, &mut touched).await?;
    Ok(Effect { plan, touched })
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
pub(super) async fn reopen(applier: &Applier, tx: &Tx, decision: &Decision) -> Result<Touched> {
    let reached = decision.a.parse::<Uuid>().ok();
    applier.watch.note(|noted| noted.conflicts.extend(reached));
    let sql = "update tributary.conflict \
               set status = 'open', resolved_at = null, resolved_by = null \
               where fingerprint = $1::text::uuid and status = 'dismissed'";
    tx.execute("target: opening a conflict", sql, &[&decision.a]).await?;
    Ok(Touched::default())
}
