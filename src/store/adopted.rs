//! `tributary.adopted_transaction`: the payments whose transaction was the application's before, with its id (SPEC §5.2).

use std::collections::HashMap;

use tokio_postgres::Row;
use uuid::Uuid;

use crate::engine::RowId;
use crate::error::Result;
use crate::facts::{Feed, SourceKey};
use crate::pg::{Group, Owned, Tx};

const WHAT: &str = "target: reading adopted transactions";

/// Those of the rows of these owners, and of these rows.
///
/// # Errors
/// Those of the target.
pub async fn among(tx: &Tx, owners: &[String], rows: &[RowId]) -> Result<HashMap<RowId, Uuid>> {
    if owners.is_empty() && rows.is_empty() {
        return Ok(HashMap::new());
    }
    let (feeds, keys) = columns(rows);
    let sql = include_str!("sql/adopted_among.sql");
    let found = tx.query(WHAT, sql, &[&owners, &feeds, &keys]).await?;
    Ok(found.iter().filter_map(adopted).collect())
}

fn adopted(row: &Row) -> Option<(RowId, Uuid)> {
    Some(((Feed::from_number(row.get(0))?, SourceKey(row.get(1))), row.get(2)))
}

fn columns(rows: &[RowId]) -> (Vec<i16>, Vec<String>) {
    rows.iter().map(|(feed, key)| (feed.number(), key.0.clone())).unzip()
}

/// Adds what is adopted to a group. A transaction whose payment is gone or gives none becomes another one's.
pub fn record(group: &mut Group, adopted: &[(RowId, Uuid)]) {
    if adopted.is_empty() {
        return;
    }
    let what = "target: recording adopted transactions";
    let (rows, ids): (Vec<RowId>, Vec<Uuid>) = adopted.iter().cloned().unzip();
    let (feeds, keys) = columns(&rows);
    let taken = "delete from tributary.adopted_transaction where id = any($1)";
    group.any(what, taken, vec![Box::new(ids.clone())]);
    let sql = "insert into tributary.adopted_transaction (feed, key, id) \
               select * from unnest($1::int2[], $2::text[], $3::uuid[]) \
               on conflict (feed, key) do update set id = excluded.id, at = excluded.at";
    let params: Vec<Owned> = vec![Box::new(feeds), Box::new(keys), Box::new(ids)];
    group.any(what, sql, params);
}

/// Forgets transactions that were deleted.
///
/// # Errors
/// Those of the target.
pub async fn forget(tx: &Tx, ids: &[Uuid]) -> Result<()> {
    let sql = "delete from tributary.adopted_transaction where id = any($1)";
    tx.execute("target: forgetting adopted transactions", sql, &[&ids]).await.map(drop)
}
