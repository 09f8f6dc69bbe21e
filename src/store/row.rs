//! `tributary.source_row`: every source row of every feed once.

use std::collections::{HashMap, HashSet};

use tokio_postgres::Row;
use uuid::Uuid;

use crate::engine::people::is_person;
use crate::engine::rows::RowWrite;
use crate::engine::{RowId, StoredRow};
use crate::error::{Context as _, Error, Result};
use crate::facts::{EmailKey, Feed, SourceKey};
use crate::pg::{BinaryRow, COPY_FROM, Group, Tx, copy_binary};

/// Bytes of raw values that are read and decided at once: that takes up to about sixteen times as much memory (P13). A row or a
/// person above it is read all the same, alone.
pub const READ_BYTES: i64 = 2 << 20;

/// As many as there are.
pub const UNBOUNDED: i64 = i64::MAX;

fn number(id: &RowId) -> i16 {
    id.0.number()
}

fn columns_of<'a>(ids: impl Iterator<Item = &'a RowId>) -> (Vec<i16>, Vec<String>) {
    ids.map(|id| (number(id), id.1.0.clone())).unzip()
}

fn meta(row: &Row) -> Result<(RowId, StoredRow)> {
    let feed: i16 = row.get(0);
    let feed = Feed::from_number(feed).ok_or_else(|| {
        Error::failed("target: reading stored rows", format!("there is no feed {feed}"))
    })?;
    let owner: String = row.get(2);
    let email: Option<String> = row.get(3);
    let email = email.or_else(|| is_person(&owner).then(|| owner.clone()));
    let stored = StoredRow {
        owner,
        email: email.map(EmailKey::trusted),
        shared_id: row.get(4),
        member: row.get(5),
        digest: row.get(6),
        outcome: row.get(7),
        chunk: row.get(8),
        generation: row.get(9),
        complete: row.get(10),
    };
    Ok(((feed, SourceKey(row.get(1))), stored))
}

/// The stored rows with these keys, without their values.
///
/// # Errors
/// Those of the target.
pub async fn by_key(tx: &Tx, ids: &HashSet<RowId>) -> Result<HashMap<RowId, StoredRow>> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let (feeds, keys) = columns_of(ids.iter());
    let rows = tx
        .query(
            "target: looking up stored rows",
            include_str!("sql/rows_by_key.sql"),
            &[&feeds, &keys],
        )
        .await?;
    rows.iter().map(meta).collect()
}

/// The values of stored rows.
///
/// # Errors
/// Those of the target.
pub async fn values(tx: &Tx, ids: &[RowId]) -> Result<HashMap<RowId, Vec<u8>>> {
    Ok(values_within(tx, ids, UNBOUNDED).await?.unwrap_or_default())
}

/// The values of stored rows; `None`: together they have so many bytes or more, but for the last of them.
///
/// # Errors
/// Those of the target.
pub async fn values_within(
    tx: &Tx,
    ids: &[RowId],
    bytes: i64,
) -> Result<Option<HashMap<RowId, Vec<u8>>>> {
    if ids.is_empty() {
        return Ok(Some(HashMap::new()));
    }
    let (feeds, keys) = columns_of(ids.iter());
    let rows = tx
        .query(
            "target: reading raw values",
            include_str!("sql/values_by_key.sql"),
            &[&feeds, &keys, &bytes],
        )
        .await?;
    let value = |row: &Row| match row.get::<_, Option<Vec<u8>>>(2) {
        Some(raw) => feed_key(row).map(|id| Some((id, raw))),
        None => Ok(None),
    };
    rows.iter().map(value).collect()
}

fn feed_key(row: &Row) -> Result<RowId> {
    let feed: i16 = row.get(0);
    let feed = Feed::from_number(feed).ok_or_else(|| {
        Error::failed("target: reading stored rows", format!("there is no feed {feed}"))
    })?;
    Ok((feed, SourceKey(row.get(1))))
}

/// A stored row with its values.
#[derive(Debug, Clone)]
pub struct FullRow {
    /// Which.
    pub id: RowId,
    /// What is stored beside the values.
    pub row: StoredRow,
    /// The values, see [`crate::engine::raw`].
    pub raw: Vec<u8>,
}

fn full(row: &Row) -> Result<FullRow> {
    let (id, stored) = meta(row)?;
    Ok(FullRow { id, row: stored, raw: row.get(11) })
}

/// `None`: the values were over the bound of the statement.
pub(super) fn full_within(row: &Row) -> Result<Option<FullRow>> {
    let Some(raw) = row.get(11) else { return Ok(None) };
    let (id, stored) = meta(row)?;
    Ok(Some(FullRow { id, row: stored, raw }))
}

/// All rows of these owners.
///
/// # Errors
/// Those of the target.
pub async fn by_owner(tx: &Tx, owners: &[String]) -> Result<Vec<FullRow>> {
    Ok(by_owner_within(tx, owners, UNBOUNDED).await?.unwrap_or_default())
}

/// All rows of these owners; `None`: together their values have so many bytes or more, but for the last of them.
///
/// # Errors
/// Those of the target.
pub async fn by_owner_within(
    tx: &Tx,
    owners: &[String],
    bytes: i64,
) -> Result<Option<Vec<FullRow>>> {
    if owners.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let sql = include_str!("sql/rows_of_owners.sql");
    let rows = tx.query("target: reading rows of owners", sql, &[&owners, &bytes]).await?;
    rows.iter().map(full_within).collect()
}

/// The rows with these keys, with their values.
///
/// # Errors
/// Those of the target.
pub async fn full_by_key(tx: &Tx, ids: &[RowId]) -> Result<Vec<FullRow>> {
    let (feeds, keys) = columns_of(ids.iter());
    let sql = include_str!("sql/full_rows_by_key.sql");
    let rows = tx.query("target: reading stored rows", sql, &[&feeds, &keys]).await?;
    rows.iter().map(full).collect()
}

/// Rows with an unknown value.
///
/// # Errors
/// Those of the target.
pub async fn incomplete(db: &crate::pg::Db, limit: i64) -> Result<Vec<RowId>> {
    let sql = "select feed, key from tributary.source_row where not complete \
               order by feed, key limit $1";
    let rows = db.query("target: reading incomplete rows", sql, &[&limit]).await?;
    let id = |row: &Row| Some((Feed::from_number(row.get(0))?, SourceKey(row.get(1))));
    Ok(rows.iter().filter_map(id).collect())
}

/// A page of a feed in the order of its keys, after a key: up to `limit` rows, and about [`READ_BYTES`] of their values. None
/// are left where it is empty.
///
/// # Errors
/// Those of the target.
pub async fn page(tx: &Tx, feed: Feed, after: &str, limit: i64) -> Result<Vec<FullRow>> {
    let sql = include_str!("sql/page_of_rows.sql");
    let params: [crate::pg::Param<'_>; 4] = [&feed.number(), &after, &limit, &READ_BYTES];
    let rows = tx.query("target: reading stored rows", sql, &params).await?;
    rows.iter().map(full).collect()
}

/// Copies the rows that are new, where there are many; [`write()`] takes the others.
///
/// # Errors
/// Those of the target.
pub async fn copy_new(tx: &Tx, writes: &mut Vec<RowWrite>) -> Result<()> {
    if writes.iter().filter(|write| !write.exists).count() < COPY_FROM {
        return Ok(());
    }
    let all = std::mem::take(writes);
    let (existing, new): (Vec<RowWrite>, Vec<RowWrite>) =
        all.into_iter().partition(|write| write.exists);
    *writes = existing;
    let sql = include_str!("sql/copy_rows.sql");
    copy_binary(tx, "target: copying stored rows", sql, COPIED_COLUMNS, &new, push_binary).await?;
    Ok(())
}

/// How many columns the statement names.
const COPIED_COLUMNS: i16 = 12;

fn push_binary(out: &mut BinaryRow<'_>, write: &RowWrite) {
    let row = &write.row;
    out.push(&write.id.0.number().to_be_bytes());
    out.push(write.id.1.0.as_bytes());
    out.push(row.owner.as_bytes());
    out.push_option(email_column(row).map(str::as_bytes));
    out.push_option(row.shared_id.as_deref().map(str::as_bytes));
    out.push_option(row.member.as_deref());
    out.push(row.digest.as_bytes());
    out.push_option(row.outcome.as_ref().map(|outcome| outcome.as_bytes().as_slice()));
    out.push_option(row.chunk.map(i64::to_be_bytes).as_ref().map(<[u8; 8]>::as_slice));
    out.push(&row.generation.to_be_bytes());
    out.push(&[u8::from(row.complete)]);
    out.push(&write.raw);
}

/// Adds what these rows must be to a group: rows that are gone first, so that their keys are free.
pub fn write(group: &mut Group, gone: &[RowId], writes: &[RowWrite]) {
    if !gone.is_empty() {
        let (feeds, keys) = columns_of(gone.iter());
        let sql = include_str!("sql/delete_rows.sql");
        group.exactly(
            gone.len(),
            "target: deleting stored rows",
            sql,
            vec![Box::new(feeds), Box::new(keys)],
        );
    }
    let (existing, new): (Vec<&RowWrite>, Vec<&RowWrite>) =
        writes.iter().partition(|write| write.exists);
    for (rows, what, sql) in [
        (new, "target: inserting stored rows", include_str!("sql/insert_rows.sql")),
        (existing, "target: updating stored rows", include_str!("sql/update_rows.sql")),
    ] {
        if rows.is_empty() {
            continue;
        }
        let (feeds, keys) = columns_of(rows.iter().map(|write| &write.id));
        let owners: Vec<String> = rows.iter().map(|w| w.row.owner.clone()).collect();
        let emails: Vec<Option<String>> =
            rows.iter().map(|w| email_column(&w.row).map(str::to_owned)).collect();
        let shared: Vec<Option<String>> = rows.iter().map(|w| w.row.shared_id.clone()).collect();
        let members: Vec<Option<Vec<u8>>> = rows.iter().map(|w| w.row.member.clone()).collect();
        let digests: Vec<Uuid> = rows.iter().map(|w| w.row.digest).collect();
        let outcomes: Vec<Option<Uuid>> = rows.iter().map(|w| w.row.outcome).collect();
        let chunks: Vec<Option<i64>> = rows.iter().map(|w| w.row.chunk).collect();
        let generations: Vec<i64> = rows.iter().map(|w| w.row.generation).collect();
        let complete: Vec<bool> = rows.iter().map(|w| w.row.complete).collect();
        let raw: Vec<Vec<u8>> = rows.iter().map(|w| w.raw.clone()).collect();
        let params: Vec<crate::pg::Owned> = vec![
            Box::new(feeds),
            Box::new(keys),
            Box::new(owners),
            Box::new(emails),
            Box::new(shared),
            Box::new(members),
            Box::new(digests),
            Box::new(outcomes),
            Box::new(chunks),
            Box::new(generations),
            Box::new(complete),
            Box::new(raw),
        ];
        group.exactly(rows.len(), what, sql, params);
    }
}

/// The e-mail key where it is not the owner itself.
fn email_column(row: &StoredRow) -> Option<&str> {
    row.email.as_ref().map(EmailKey::as_str).filter(|email| *email != row.owner)
}

/// Marks unchanged rows as seen by a backfill; a `chunk` of `None` keeps the one that they have.
pub fn mark_seen(group: &mut Group, ids: &[RowId], chunk: Option<i64>, generation: i64) {
    if ids.is_empty() {
        return;
    }
    let (feeds, keys) = columns_of(ids.iter());
    let sql = include_str!("sql/mark_seen.sql");
    let params: Vec<crate::pg::Owned> =
        vec![Box::new(feeds), Box::new(keys), Box::new(chunk), Box::new(generation)];
    group.exactly(ids.len(), "target: marking rows as seen", sql, params);
}

/// Sets the digests of the transactions last written, and the members of shared ids.
pub fn set_outcomes(group: &mut Group, outcomes: &[(RowId, Option<Uuid>)]) {
    if outcomes.is_empty() {
        return;
    }
    let (feeds, keys) = columns_of(outcomes.iter().map(|(id, _)| id));
    let values: Vec<Option<Uuid>> = outcomes.iter().map(|(_, outcome)| *outcome).collect();
    let sql = "update tributary.source_row r set outcome = n.outcome \
               from unnest($1::int2[], $2::text[], $3::uuid[]) as n (feed, key, outcome) \
               where r.feed = n.feed and r.key = n.key";
    group.exactly(
        outcomes.len(),
        "target: noting transactions",
        sql,
        vec![Box::new(feeds), Box::new(keys), Box::new(values)],
    );
}

/// Marks rows as incomplete: they are due to be read from the source again.
///
/// # Errors
/// Those of the target.
pub async fn set_incomplete(tx: &Tx, ids: &[RowId]) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    tracing::warn!(rows = ids.len(), "stored rows cannot be read; reading them from the source");
    let (feeds, keys) = columns_of(ids.iter());
    let sql = "update tributary.source_row r set complete = false \
               from unnest($1::int2[], $2::text[]) as n (feed, key) \
               where r.feed = n.feed and r.key = n.key";
    tx.execute("target: marking incomplete rows", sql, &[&feeds, &keys]).await?;
    Ok(())
}

/// Sets the members of shared ids.
pub fn set_members(group: &mut Group, members: &[(RowId, Vec<u8>)]) {
    if members.is_empty() {
        return;
    }
    let (feeds, keys) = columns_of(members.iter().map(|(id, _)| id));
    let values: Vec<Vec<u8>> = members.iter().map(|(_, member)| member.clone()).collect();
    let sql = "update tributary.source_row r set member = n.member \
               from unnest($1::int2[], $2::text[], $3::bytea[]) as n (feed, key, member) \
               where r.feed = n.feed and r.key = n.key";
    group.exactly(
        members.len(),
        "target: noting members of shared ids",
        sql,
        vec![Box::new(feeds), Box::new(keys), Box::new(values)],
    );
}

/// How many rows of a feed there are, and how many a backfill has not seen.
///
/// # Errors
/// Those of the target.
pub async fn count(db: &crate::pg::Db, feed: Feed, generation: i64) -> Result<(u64, u64)> {
    let sql = "select count(*), count(*) filter (where generation < $2) \
               from tributary.source_row where feed = $1";
    let rows =
        db.query("target: counting stored rows", sql, &[&feed.number(), &generation]).await?;
    let count = |i| rows.first().map_or(0, |row| row.get::<_, i64>(i).unsigned_abs());
    Ok((count(0), count(1)))
}

/// How many rows of a feed are stored, those of these chunks left out.
///
/// # Errors
/// Those of the target.
pub async fn count_of_others(db: &crate::pg::Db, feed: Feed, chunks: &[i64]) -> Result<u64> {
    let sql = "select count(*) from tributary.source_row \
               where feed = $1 and (chunk is null or not chunk = any($2))";
    let rows = db.query("target: counting stored rows", sql, &[&feed.number(), &chunks]).await?;
    Ok(rows.first().map_or(0, |row| row.get::<_, i64>(0).unsigned_abs()))
}

/// Rows that the configuration leaves out (SPEC §1): the name of the feed, `skipped` or `excluded`, how many.
///
/// # Errors
/// Those of the target.
pub async fn left_out(target: &crate::pg::Client) -> Result<Vec<(String, String, u64)>> {
    let sql = include_str!("sql/left_out_counts.sql");
    let rows = target.query(sql, &[]).await.context("target: counting rows")?;
    let count = |row: &Row| (row.get(0), row.get(1), row.get::<_, i64>(2).unsigned_abs());
    Ok(rows.iter().map(count).collect())
}
