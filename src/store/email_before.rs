//! `tributary.email_before`: the e-mail keys that rows had before the reconcile under way, until it is judged as one
//! transaction (SPEC §4.3).

use crate::engine::RowId;
use crate::error::Result;
use crate::facts::EmailKey;
use crate::pg::{Db, Group, Owned, Tx};

/// Whether anything is kept, as a condition.
pub const IS_KEPT: &str = "exists (select from tributary.email_before)";

/// Whether anything is kept.
///
/// # Errors
/// Those of the target.
pub async fn is_kept(db: &Db) -> Result<bool> {
    let what = "target: looking up addresses as they were";
    let rows = db.query(what, &format!("select {IS_KEPT}"), &[]).await?;
    Ok(rows.first().is_some_and(|row| row.get(0)))
}

/// Adds rows whose key changes to a group. What a row had first counts, also where the reconcile starts over.
pub fn remember<'a>(group: &mut Group, rows: impl Iterator<Item = (&'a RowId, &'a EmailKey)>) {
    let (mut feeds, mut keys, mut emails) = (Vec::new(), Vec::new(), Vec::new());
    for (id, email) in rows {
        feeds.push(id.0.number());
        keys.push(id.1.0.clone());
        emails.push(email.to_string());
    }
    if feeds.is_empty() {
        return;
    }
    let sql = "insert into tributary.email_before (feed, key, email) \
               select * from unnest($1::int2[], $2::text[], $3::text[]) on conflict do nothing";
    let params: Vec<Owned> = vec![Box::new(feeds), Box::new(keys), Box::new(emails)];
    group.any("target: noting addresses as they were", sql, params);
}

/// Moves everything that is kept to the working tables of a large transaction. Returns the number of rows.
///
/// # Errors
/// Those of the target.
pub async fn take(tx: &Tx) -> Result<u64> {
    let sql = "with taken as (delete from tributary.email_before returning feed, key, email) \
               insert into tributary_open_row (feed, key, email_before, old_email) \
               select feed, key, email, email from taken";
    tx.execute("target: reading addresses as they were", sql, &[]).await
}

/// Whether an address of one of these owners changed, as far as the reconcile has read.
///
/// # Errors
/// Those of the target.
pub async fn concerns(tx: &Tx, owners: &[&str]) -> Result<bool> {
    let sql = include_str!("sql/email_before_concerns.sql");
    let rows = tx.query("target: looking up addresses as they were", sql, &[&owners]).await?;
    Ok(rows.first().is_some_and(|row| row.get(0)))
}
