//! Values that rows of a feed share: contact_id (SPEC §4.4) and external_id (SPEC §6). Always from narrow, bounded
//! index look-ups: a value that 10,000 people share must not slow a change (P16).

use std::collections::HashMap;

use super::row::{FullRow, READ_BYTES, full_within};
use crate::engine::{GROUP_LIMIT, RowId, SharedId};
use crate::error::Result;
use crate::facts::Feed;
use crate::pg::Tx;

/// Rows by the value that they share.
pub type Sharing = HashMap<SharedId, Vec<FullRow>>;

/// Up to one row more than [`GROUP_LIMIT`] that carry each of these values, without those in `changed`; `None`: together their
/// values have so many bytes or more, but for the last of them.
///
/// # Errors
/// Those of the target.
pub async fn others(
    tx: &Tx,
    ids: &[SharedId],
    changed: &[RowId],
    bytes: i64,
) -> Result<Option<Sharing>> {
    grouped(tx, include_str!("sql/others_of_shared_id.sql"), (ids, changed), bytes).await
}

/// The rows that decide for values that many rows share: for a contact_id the first in rank and the first of each of
/// the first people, for an external_id the first of each of the first distinct members and people. Without those
/// in `changed`. As [`others`] where they are too many bytes.
///
/// # Errors
/// Those of the target.
pub async fn representatives(
    tx: &Tx,
    ids: &[SharedId],
    changed: &[RowId],
    bytes: i64,
) -> Result<Option<Sharing>> {
    grouped(tx, include_str!("sql/representatives_of_shared_id.sql"), (ids, changed), bytes).await
}

/// Rows that carry these values and are not marked as sharing them, up to `limit` and about [`READ_BYTES`] of their values, and
/// whether there may be more.
///
/// # Errors
/// Those of the target.
pub async fn unmarked(tx: &Tx, ids: &[SharedId], limit: i64) -> Result<(Vec<FullRow>, bool)> {
    let (feeds, values) = columns_of(ids);
    let sql = include_str!("sql/unmarked_sharers.sql");
    let params: [crate::pg::Param<'_>; 4] = [&feeds, &values, &limit, &READ_BYTES];
    let rows = tx.query("target: looking up shared ids", sql, &params).await?;
    let read: Vec<Option<FullRow>> = rows.iter().map(full_within).collect::<Result<_>>()?;
    let has_more = read.len() as i64 >= limit || read.iter().any(Option::is_none);
    Ok((read.into_iter().flatten().collect(), has_more))
}

/// The people with whom these contact_ids stay as the rows are stored.
///
/// # Errors
/// Those of the target.
pub async fn stored_holders(tx: &Tx, contact_ids: &[SharedId]) -> Result<Vec<String>> {
    if contact_ids.is_empty() {
        return Ok(Vec::new());
    }
    let (feeds, values) = columns_of(contact_ids);
    let sql = include_str!("sql/stored_holders.sql");
    let rows = tx.query("target: looking up contact ids", sql, &[&feeds, &values]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// For each contact_id that a row of these owners shares with others: the person with whom it stays.
///
/// # Errors
/// Those of the target.
pub async fn holders(tx: &Tx, owners: &[String]) -> Result<HashMap<SharedId, String>> {
    if owners.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = include_str!("sql/holders_of_owners.sql");
    let rows = tx.query("target: looking up contact ids", sql, &[&owners]).await?;
    Ok(rows
        .iter()
        .filter_map(|row| Some(((Feed::from_number(row.get(0))?, row.get(1)), row.get(2))))
        .collect())
}

fn columns_of(ids: &[SharedId]) -> (Vec<i16>, Vec<String>) {
    ids.iter().map(|(feed, value)| (feed.number(), value.clone())).unzip()
}

fn columns_of_rows(rows: &[RowId]) -> (Vec<i16>, Vec<String>) {
    rows.iter().map(|(feed, key)| (feed.number(), key.0.clone())).unzip()
}

async fn grouped(
    tx: &Tx,
    sql: &str,
    (ids, changed): (&[SharedId], &[RowId]),
    bytes: i64,
) -> Result<Option<Sharing>> {
    let mut found = Sharing::new();
    if ids.is_empty() {
        return Ok(Some(found));
    }
    let (feeds, values) = columns_of(ids);
    let (changed_feeds, changed_keys) = columns_of_rows(changed);
    let limit = GROUP_LIMIT as i64 + 1;
    let params: [crate::pg::Param<'_>; 6] =
        [&feeds, &values, &changed_feeds, &changed_keys, &limit, &bytes];
    for row in &tx.query("target: looking up shared ids", sql, &params).await? {
        let Some(full) = full_within(row)? else { return Ok(None) };
        if let Some(value) = full.row.shared_id.clone() {
            found.entry((full.id.0, value)).or_default().push(full);
        }
    }
    Ok(Some(found))
}
