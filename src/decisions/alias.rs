//! Who is one person, and who is not.

use uuid::Uuid;

use super::{By, Decision, Effect, parse_email, record};
use crate::apply::Applier;
use crate::engine::rows::Touched;
use crate::error::{Error, Result};
use crate::facts::EmailKey;
use crate::pg::{Group, Tx};
use crate::store;
use crate::targets::{Merge, Merger};

/// The facts of `from` belong to person `to`.
pub(super) async fn alias(
    applier: &Applier,
    tx: &Tx,
    from: &str,
    to: &str,
    by: &By<'_>,
) -> Result<(String, Effect)> {
    let (from, to) = (parse_email(from)?, parse_email(to)?);
    let roots = store::alias::roots(tx.db(), &[from.to_string(), to.to_string()]).await?;
    if roots.contains_key(&from) {
        return Err(Error::refused(
            "the first address belongs to another one already",
            "`tributary decisions list` shows the decision; revert it first",
        ));
    }
    let person = roots.get(&to).unwrap_or(&to).clone();
    if person == from {
        return Err(Error::refused(
            "the second address belongs to the first one already: that would be a circle",
            "revert the decision that joined them first, or decide nothing",
        ));
    }
    refuse_if_separate(tx, &from, &person).await?;
    if !store::alias::is_known(tx, &from).await? {
        return Err(Error::refused(
            "no contact, payment or profile has the first address",
            "check the spelling; `tributary explain <email>` shows what is known of an address",
        ));
    }
    let id = record(tx, "alias", from.as_str(), to.as_str(), by).await?;
    let survivor = Merger { tx, tables: &applier.tables, came_in: &applier.came_in }
        .join_people(&from, &person, Merge::KeepElder, id)
        .await?;
    let mut touched = people_touched(from.as_str(), person.as_str());
    let (handed, person) = ([from.as_str()], [person.as_str()]);
    let moved = (&handed[..], &person[..]);
    store::alias::hand_over(tx, Group::default(), moved, &[], &mut touched).await?;
    let kept = survivor.map(|id| format!(", profile {id} stays")).unwrap_or_default();
    Ok((format!("decision {id}: {from} belongs to {}{kept}", person[0]), touched.into()))
}

/// Never suggest this pair again.
pub(super) async fn separate(tx: &Tx, a: &str, b: &str, by: &By<'_>) -> Result<(String, Effect)> {
    let (a, b) = (parse_email(a)?, parse_email(b)?);
    let (a, b) = if a <= b { (a, b) } else { (b, a) };
    if a == b {
        return Err(Error::refused("the two addresses are one", "name two"));
    }
    let roots = store::alias::roots(tx.db(), &[a.to_string(), b.to_string()]).await?;
    if roots.get(&a).unwrap_or(&a) == roots.get(&b).unwrap_or(&b) {
        return Err(Error::refused(
            "the two addresses are one person by a decision",
            "`tributary decisions list` shows it; revert it first",
        ));
    }
    if separated(tx, &a, &b).await?.is_some() {
        return Err(Error::refused("the two addresses are separated already", "nothing to do"));
    }
    let id = record(tx, "separate", a.as_str(), b.as_str(), by).await?;
    let touched = people_touched(a.as_str(), b.as_str());
    Ok((format!("decision {id}: {a} and {b} are different people"), touched.into()))
}

async fn separated(tx: &Tx, a: &EmailKey, b: &EmailKey) -> Result<Option<i64>> {
    let (a, b) = if a <= b { (a, b) } else { (b, a) };
    let sql = "select id from tributary.decision \
               where kind = 'separate' and reverted_at is null and a = $1 and b = $2";
    let rows = tx.query("target: reading decisions", sql, &[&a.as_str(), &b.as_str()]).await?;
    Ok(rows.first().map(|row| row.get(0)))
}

async fn refuse_if_separate(tx: &Tx, a: &EmailKey, b: &EmailKey) -> Result<()> {
    match separated(tx, a, b).await? {
        None => Ok(()),
        Some(id) => Err(Error::refused(
            format!("the two addresses are different people by decision {id}"),
            format!("run `tributary decisions revert {id}` first"),
        )),
    }
}

/// Everything about these two people is judged again.
pub(super) fn people_touched(a: &str, b: &str) -> Touched {
    let both = || [a.to_owned(), b.to_owned()].into_iter().collect();
    Touched { owners: both(), people: both(), ..Touched::default() }
}

/// An alias as it was decided.
struct Alias {
    id: i64,
    from: EmailKey,
    to: EmailKey,
    automatic: bool,
    undo: Option<serde_json::Value>,
}

/// Two people again, with the profiles and enrollments that each had. What was joined to the same person
/// later is parted first, newest first, and joined again afterwards: each knows only what was right before it.
pub(super) async fn unmerge(applier: &Applier, tx: &Tx, decision: &Decision) -> Result<Touched> {
    let merger = Merger { tx, tables: &applier.tables, came_in: &applier.came_in };
    let from = EmailKey::trusted(decision.a.clone());
    let to = EmailKey::trusted(decision.b.clone());
    let person = store::alias::roots(tx.db(), &[from.to_string()])
        .await?
        .remove(&from)
        .unwrap_or(to.clone());
    let mut touched = everybody_of(tx, &person).await?;
    let later = joined_later(tx, &person, decision.id).await?;
    // Until then it is what the later ones rest on.
    set_active(tx, decision.id, true).await?;
    for alias in later.iter().rev() {
        set_active(tx, alias.id, false).await?;
        part(merger, alias).await?;
    }
    set_active(tx, decision.id, false).await?;
    let undo = decision.undo.clone();
    part(merger, &Alias { id: decision.id, from, to, automatic: false, undo }).await?;
    for alias in &later {
        let to = store::alias::roots(tx.db(), &[alias.to.to_string()]).await?.remove(&alias.to);
        let to = to.unwrap_or_else(|| alias.to.clone());
        let keep = if alias.automatic { Merge::KeepFrom } else { Merge::KeepElder };
        merger.join_people(&alias.from, &to, keep, alias.id).await?;
        set_active(tx, alias.id, true).await?;
        store::alias::derive(tx.db()).await?;
    }
    store::alias::take_back(tx, &person, &mut touched).await?;
    Ok(touched)
}

/// The person and all addresses that are aliases of it.
async fn everybody_of(tx: &Tx, person: &EmailKey) -> Result<Touched> {
    let sql = "select from_key from tributary.alias where root_key = $1";
    let rows = tx.query("target: reading aliases", sql, &[&person.as_str()]).await?;
    let mut touched = Touched::default();
    let names = rows.iter().map(|row| row.get(0)).chain([person.to_string()]);
    touched.owners.extend(names);
    touched.people = touched.owners.clone();
    Ok(touched)
}

/// Active aliases of this person that were decided after `id`, in their order.
async fn joined_later(tx: &Tx, person: &EmailKey, id: i64) -> Result<Vec<Alias>> {
    let sql = "select d.id, d.a, d.b, d.automatic, d.undo \
               from tributary.alias a \
               join tributary.decision d on d.kind = 'alias' and d.a = a.from_key \
                   and d.reverted_at is null \
               where a.root_key = $1 and d.id > $2 order by d.id";
    let rows = tx.query("target: reading decisions", sql, &[&person.as_str(), &id]).await?;
    let alias = |row: &tokio_postgres::Row| Alias {
        id: row.get(0),
        from: EmailKey::trusted(row.get(1)),
        to: EmailKey::trusted(row.get(2)),
        automatic: row.get(3),
        undo: row.get(4),
    };
    Ok(rows.iter().map(alias).collect())
}

async fn set_active(tx: &Tx, id: i64, active: bool) -> Result<()> {
    let sql = "update tributary.decision set reverted_at = case when $2 then null else now() end \
               where id = $1";
    tx.execute("target: undoing a decision", sql, &[&id, &active]).await?;
    Ok(())
}

/// After this alias is no longer active: its two people get back what they had before it.
async fn part(merger: Merger<'_>, alias: &Alias) -> Result<()> {
    store::alias::derive(merger.tx.db()).await?;
    let to = store::alias::roots(merger.tx.db(), &[alias.to.to_string()]).await?.remove(&alias.to);
    let to = to.unwrap_or_else(|| alias.to.clone());
    let undo = alias.undo.as_ref();
    let profile =
        |side: &str| -> Option<Uuid> { undo?.get(side)?.as_str().and_then(|id| id.parse().ok()) };
    let enrollments: Vec<(Uuid, Uuid)> = undo
        .and_then(|undo| serde_json::from_value(undo.get("enrollments")?.clone()).ok())
        .unwrap_or_default();
    merger.part_people(&alias.from, &to, profile("from"), profile("to"), &enrollments).await
}
