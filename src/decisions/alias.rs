//! Who is one person, and who is not.

use serde_json::json;
use uuid::Uuid;

use super::{By, Decision, parse_email, record};
use crate::apply::{Merge, Touched, Writer};
use crate::error::{Error, Result};
use crate::facts::EmailKey;

/// The facts of `from` belong to person `to`.
pub(super) async fn alias(
    writer: &mut Writer,
    from: &str,
    to: &str,
    by: &By<'_>,
) -> Result<(String, Touched)> {
    let (from, to) = (parse_email(from)?, parse_email(to)?);
    let roots = writer.roots(&[from.to_string(), to.to_string()]).await?;
    if let Some(root) = roots.get(&from) {
        return Err(Error::refused(
            format!("{from} belongs to {root} already"),
            "`tributary decisions list` shows the decision; revert it first",
        ));
    }
    let person = roots.get(&to).unwrap_or(&to).clone();
    if person == from {
        return Err(Error::refused(
            format!("{to} belongs to {from} already: that would be a circle"),
            "revert the decision that joined them first, or decide nothing",
        ));
    }
    refuse_if_separate(writer, &from, &person).await?;
    if !writer.is_known(&from).await? {
        return Err(Error::refused(
            format!("no contact, payment or profile has the address {from}"),
            "check the spelling; `tributary explain <email>` shows what is known of an address",
        ));
    }
    let id = record(writer, "alias", from.as_str(), to.as_str(), by).await?;
    let survivor = writer.join_people(&from, &person, Merge::KeepElder, id).await?;
    let mut touched = people_touched(from.as_str(), person.as_str());
    writer.hand_over_facts(&[from.as_str()], &[person.as_str()], &mut touched).await?;
    let kept = survivor.map(|id| format!(", profile {id} stays")).unwrap_or_default();
    Ok((format!("decision {id}: {from} belongs to {person}{kept}"), touched))
}

/// Never suggest this pair again.
pub(super) async fn separate(
    writer: &mut Writer,
    a: &str,
    b: &str,
    by: &By<'_>,
) -> Result<(String, Touched)> {
    let (a, b) = (parse_email(a)?, parse_email(b)?);
    let (a, b) = if a <= b { (a, b) } else { (b, a) };
    if a == b {
        return Err(Error::refused(format!("{a} is one address"), "name two"));
    }
    let roots = writer.roots(&[a.to_string(), b.to_string()]).await?;
    if roots.get(&a).unwrap_or(&a) == roots.get(&b).unwrap_or(&b) {
        return Err(Error::refused(
            format!("{a} and {b} are one person by a decision"),
            "`tributary decisions list` shows it; revert it first",
        ));
    }
    if separated(writer, &a, &b).await?.is_some() {
        return Err(Error::refused(format!("{a} and {b} are separated already"), "nothing to do"));
    }
    let id = record(writer, "separate", a.as_str(), b.as_str(), by).await?;
    let touched = people_touched(a.as_str(), b.as_str());
    Ok((format!("decision {id}: {a} and {b} are different people"), touched))
}

async fn separated(writer: &Writer, a: &EmailKey, b: &EmailKey) -> Result<Option<i64>> {
    let (a, b) = if a <= b { (a, b) } else { (b, a) };
    let sql = "select id from tributary.decision \
               where kind = 'separate' and reverted_at is null and a = $1 and b = $2";
    let rows =
        writer.db.query("target: reading decisions", sql, &[&a.as_str(), &b.as_str()]).await?;
    Ok(rows.first().map(|row| row.get(0)))
}

async fn refuse_if_separate(writer: &Writer, a: &EmailKey, b: &EmailKey) -> Result<()> {
    match separated(writer, a, b).await? {
        None => Ok(()),
        Some(id) => Err(Error::refused(
            format!("{a} and {b} are different people by decision {id}"),
            format!("run `tributary decisions revert {id}` first"),
        )),
    }
}

/// Everything about these two people is judged anew.
pub(super) fn people_touched(a: &str, b: &str) -> Touched {
    let both = || [a.to_owned(), b.to_owned()].into_iter().collect();
    Touched { owners: both(), people: both(), ..Touched::default() }
}

/// A later alias that starts where this one ends rests on it.
pub(super) async fn refuse_if_built_upon(writer: &Writer, decision: &Decision) -> Result<()> {
    let sql = "select id from tributary.decision where kind = 'alias' and reverted_at is null \
               and a = $1 and id > $2 limit 1";
    let rows =
        writer.db.query("target: reading decisions", sql, &[&decision.b, &decision.id]).await?;
    match rows.first().map(|row| row.get::<_, i64>(0)) {
        None => Ok(()),
        Some(later) => Err(Error::refused(
            format!("decision {later} was made upon decision {}", decision.id),
            format!("run `tributary decisions revert {later}` first"),
        )),
    }
}

/// Two people again, with the profiles and enrollments that each had.
pub(super) async fn unmerge(writer: &mut Writer, decision: &Decision) -> Result<Touched> {
    let from = EmailKey::trusted(decision.a.clone());
    let to = EmailKey::trusted(decision.b.clone());
    let person = writer.roots(&[from.to_string()]).await?.remove(&from).unwrap_or(to);
    let mut touched = people_touched(from.as_str(), person.as_str());
    writer.take_back_facts(&person, &mut touched).await?;
    let undo = decision.undo.as_ref();
    let profile =
        |side: &str| -> Option<Uuid> { undo?.get(side)?.as_str().and_then(|id| id.parse().ok()) };
    let enrollments: Vec<(Uuid, Uuid)> = undo
        .and_then(|undo| serde_json::from_value(undo.get("enrollments")?.clone()).ok())
        .unwrap_or_default();
    writer.part_people(&from, &person, profile("from"), profile("to"), &enrollments).await?;
    Ok(touched)
}

/// What must be known to part two people again.
pub(crate) fn undo(
    from: Option<Uuid>,
    to: Option<Uuid>,
    enrollments: &[(Uuid, Uuid)],
) -> serde_json::Value {
    json!({ "from": from, "to": to, "enrollments": enrollments })
}
