//! `tributary.decision` and `tributary.alias`: which addresses are one person (SPEC §4.3, §7).

use std::collections::{BTreeSet, HashMap};

use uuid::Uuid;

use crate::engine::RowDecisions;
use crate::engine::rows::Touched;
use crate::error::Result;
use crate::facts::{EmailKey, Feed};
use crate::pg::{Db, Group, Owned, Param, Tx};

/// The person at which the alias of each key ends; keys without an alias are left out.
pub type Roots = HashMap<EmailKey, EmailKey>;

/// The persons of these keys.
///
/// # Errors
/// Those of the target.
pub async fn roots(db: &Db, emails: &[String]) -> Result<Roots> {
    if emails.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = "select from_key, root_key from tributary.alias where from_key = any($1)";
    let rows = db.query("target: looking up aliases", sql, &[&emails]).await?;
    Ok(rows.iter().map(|row| (key(row, 0), key(row, 1))).collect())
}

fn key(row: &tokio_postgres::Row, at: usize) -> EmailKey {
    EmailKey::trusted(row.get::<_, String>(at))
}

/// The active decisions about single rows.
///
/// # Errors
/// Those of the target.
pub async fn row_decisions(db: &Db) -> Result<RowDecisions> {
    let sql = "select kind, a, b from tributary.decision \
               where reverted_at is null and kind in ('email', 'product')";
    let rows = db.query("target: reading decisions", sql, &[]).await?;
    let mut decisions = RowDecisions::default();
    for row in &rows {
        let (kind, a, b): (&str, String, String) = (row.get(0), row.get(1), row.get(2));
        if kind == "email" {
            decisions.emails.insert(a, EmailKey::trusted(b));
        } else {
            decisions.products.insert(a, b);
        }
    }
    Ok(decisions)
}

/// Derives the aliases from the decisions: they are the inputs, also when they were copied here.
///
/// # Errors
/// Those of the target.
pub async fn derive(db: &Db) -> Result<()> {
    db.batch("target: deriving aliases", include_str!("sql/derive_aliases.sql")).await
}

/// The rows of each person `from` become those of `to`, and so do the aliases that end there, after what `group` holds.
/// Nobody is looked up by `from` any more, and what they share with others is touched. Returns the [`roots`] of `emails` from then on.
///
/// # Errors
/// Those of the target.
pub async fn hand_over(
    tx: &Tx,
    mut group: Group,
    (from, to): (&[&str], &[&str]),
    emails: &[String],
    touched: &mut Touched,
) -> Result<Roots> {
    for sql in [
        // An alias that goes may have led to the person that moves.
        "with forgotten as (delete from tributary.person_search where email_key = any($1)), \
            ended as (delete from tributary.alias where from_key = any($2)) \
         update tributary.alias a set root_key = n.t \
         from unnest($1::text[], $2::text[]) as n (f, t) \
         where a.root_key = n.f and a.from_key <> all ($2)",
        "insert into tributary.alias (from_key, root_key) \
         select * from unnest($1::text[], $2::text[])",
        "update tributary.source_row r \
         set owner = n.t, email_key = nullif(coalesce(r.email_key, n.f), n.t), outcome = null \
         from unnest($1::text[], $2::text[]) as n (f, t) where r.owner = n.f",
    ] {
        group.any("target: handing rows over", sql, vec![owned(from), owned(to)]);
    }
    group.prepare(tx).await?;
    let shared = touch_shared_ids(tx, to, touched);
    // The first error of what is sent together is the cause of the others.
    let (handed, shared, roots) = tokio::join!(group.send(tx), shared, roots(tx.db(), emails));
    handed?;
    shared?;
    roots
}

/// After an alias is gone: the rows of `person` go back to whom they belong.
///
/// # Errors
/// Those of the target.
pub async fn take_back(tx: &Tx, person: &EmailKey, touched: &mut Touched) -> Result<()> {
    touch_shared_ids(tx, &[person.as_str()], touched).await?;
    let sql = include_str!("sql/take_back_rows.sql");
    tx.execute("target: taking rows back", sql, &[&person.as_str()]).await?;
    Ok(())
}

/// The shared ids of these persons' rows: who they belong to is part of what is judged of them.
async fn touch_shared_ids(tx: &Tx, people: &[&str], touched: &mut Touched) -> Result<()> {
    let sql = "select distinct feed, shared_id from tributary.source_row \
               where owner = any($1) and shared_id is not null";
    let rows = tx.query("target: looking up shared ids", sql, &[&people]).await?;
    let ids = rows.iter().filter_map(|row| Some((Feed::from_number(row.get(0))?, row.get(1))));
    touched.shared.extend(ids);
    Ok(())
}

/// Whether any row or person has this address.
///
/// # Errors
/// Those of the target.
pub async fn is_known(tx: &Tx, key: &EmailKey) -> Result<bool> {
    let sql = "select exists (select from tributary.source_row where owner = $1) \
               or exists (select from tributary.person where email_key = $1)";
    let rows = tx.query("target: looking up an address", sql, &[&key.as_str()]).await?;
    Ok(rows.first().is_some_and(|row| row.get(0)))
}

/// Adds to a group that automatic aliases whose address came back are reverted.
pub fn revert_automatic(group: &mut Group, addresses: &[&str], actor: &str) {
    if !addresses.is_empty() {
        let sql = include_str!("sql/revert_automatic_aliases.sql");
        let params = vec![owned(addresses), Box::new(actor.to_owned())];
        group.any("target: reverting aliases", sql, params);
    }
}

/// Sends what `group` holds, and records one automatic alias a move. Returns the moves where both sides have a profile,
/// with the decision that records each.
///
/// # Errors
/// Those of the target.
pub async fn record_moves(
    tx: &Tx,
    mut group: Group,
    from: &[&str],
    to: &[&str],
    actor: &str,
) -> Result<Vec<(i64, EmailKey, EmailKey)>> {
    let sql = include_str!("sql/record_moves.sql");
    let params = vec![owned(from), owned(to), Box::new(actor.to_owned())];
    group.exactly(from.len(), "target: recording moves", sql, params);
    group.prepare(tx).await?;
    let sql = include_str!("sql/moves_onto_people.sql");
    let params: [Param<'_>; 2] = [&from, &to];
    let onto = tx.query("target: looking up persons", sql, &params);
    let (recorded, rows) = tokio::join!(group.send(tx), onto);
    recorded?;
    let rows = rows?;
    Ok(rows.iter().map(|row| (row.get(0), key(row, 1), key(row, 2))).collect())
}

/// Adds to a group that persons get their new addresses, where nobody has them.
pub fn rename_persons(group: &mut Group, from: &[&str], to: &[&str], canonical: Vec<String>) {
    let sql = include_str!("sql/rename_persons.sql");
    let params = vec![owned(from), owned(to), Box::new(canonical)];
    group.any("target: renaming persons", sql, params);
}

fn owned(keys: &[&str]) -> Owned {
    Box::new(keys.iter().map(|key| (*key).to_owned()).collect::<Vec<String>>())
}

/// Persons whose pairing may change when these come or leave (SPEC §6, `possible_duplicate`).
///
/// # Errors
/// Those of the target.
pub async fn pairs_touched(
    tx: &Tx,
    people: &[String],
    canonical: &[String],
) -> Result<BTreeSet<String>> {
    let sql = include_str!("sql/pairs_touched.sql");
    let rows = tx.query("target: looking up canonical keys", sql, &[&people, &canonical]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Each of these persons with the nearest earlier one of its canonical key, and that key.
///
/// # Errors
/// Those of the target.
pub async fn pairs(tx: &Tx, members: &[String]) -> Result<Vec<(String, String, String)>> {
    let sql = include_str!("sql/pairs.sql");
    let rows = tx.query("target: judging canonical keys", sql, &[&members]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect())
}

/// Collisions and splits of these persons whose cause is gone.
///
/// # Errors
/// Those of the target.
pub async fn settled_changes(tx: &Tx, scopes: &[String]) -> Result<Vec<Uuid>> {
    let sql = include_str!("sql/settled_changes.sql");
    let rows = tx.query("target: judging e-mail changes", sql, &[&scopes]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
