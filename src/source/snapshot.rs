//! Reading whole tables for the backfill, in chunks of blocks.
//!
//! A chunk is a range of physical row addresses (`ctid`). Reading in that order is sequential, needs no
//! index and no order among keys, and asks for no long snapshot that would hold back the source's
//! vacuum. That rows move meanwhile does no harm: the slot is made before the first chunk, so whatever
//! changes after that, a row that moved to a block already read or past the last one included, is in
//! the stream, and is applied after the chunks. Only a rewrite of the whole table (VACUUM FULL, CLUSTER,
//! TRUNCATE) moves rows silently in the stream. It shows in [`TablePlan::filenode`], which is
//! compared before and after each chunk; where it differs the table is read again from block 0.
//!
//! <https://www.postgresql.org/docs/current/storage-page-layout.html>

use std::borrow::Cow;
use std::pin::pin;

use futures_util::StreamExt;
use jiff::Timestamp;

use crate::config::{TableName, quote_identifier};
use crate::decode::CopyDecoder;
use crate::engine;
use crate::error::{Context, Error, Result};
use crate::facts::{ColumnKind, Columns, RawRow};
use crate::pg::Client;
use crate::pg::settings;

/// Bytes of COPY text after which a chunk is cut short (P13): wide values lie out of line, so that the number of blocks, or of
/// rows in one, says little about the size of rows. Storing them takes about eight times as much, and the next chunk is read
/// meanwhile.
const CHUNK_BYTES: usize = 2 << 20;
/// Rows of a block that are first asked for where the whole block has more than [`CHUNK_BYTES`].
const FIRST_STEP: u16 = 16;
/// From this many on whole blocks are asked for again.
const MOST_STEP: u16 = 64;

/// What must be read of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TablePlan {
    /// Which physical files hold the table; another value means that block numbers restarted.
    pub filenode: i64,
    /// Blocks to read, from 0; of a partitioned table those of its largest partition, as a range of
    /// blocks is read of all of them.
    pub blocks: u64,
    /// Rows, as the source's planner estimates them.
    pub rows_estimated: u64,
}

/// A place in a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// Number of the block.
    pub block: u64,
    /// Of a row in it; 0 is before the first.
    offset: u16,
    /// How many rows are asked for from here on; 0: whole blocks.
    step: u16,
}

impl Place {
    /// The start of a block.
    #[must_use]
    pub fn start_of(block: u64) -> Self {
        Self { block, ..Self::default() }
    }

    /// Whether it is the start of a block: what was read before it need not be read again.
    #[must_use]
    pub fn is_start(self) -> bool {
        self.offset == 0
    }

    /// As a row address.
    fn address(self) -> String {
        format!("({},{})", block_number(self.block), self.offset)
    }
}

/// The rows of a range of blocks, or a part of one block.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chunk {
    /// The rows, in no order to rely on.
    pub rows: Vec<RawRow>,
    /// Where the next chunk starts: the end that was asked for, or earlier where the rows are large.
    pub next: Place,
}

/// What the source shows at this moment, as PostgreSQL writes a snapshot.
///
/// # Errors
/// The source is away.
pub async fn current(client: &Client) -> Result<String> {
    let row = client.query_one("select pg_current_snapshot()::text", &[]).await;
    Ok(row.context("source: reading the snapshot")?.get(0))
}

/// The error about a text that is not a snapshot.
pub fn invalid(text: &str) -> Error {
    Error::failed("reading a snapshot", format!("'{text}' is not one"))
}

/// Opens a transaction whose statements all see one snapshot, and returns that.
///
/// # Errors
/// The source is away.
pub async fn open(client: &Client) -> Result<String> {
    let begin = "begin isolation level repeatable read read only";
    client.batch_execute(begin).await.context("source: opening a snapshot")?;
    current(client).await
}

/// Ends the transaction of [`open`] after an error.
///
/// # Errors
/// The source is away.
pub async fn give_up(client: &Client) -> Result<()> {
    client.batch_execute("rollback").await.context("source: closing a snapshot")
}

/// Ends the transaction of [`open`].
///
/// # Errors
/// The source is away.
pub async fn close(client: &Client) -> Result<()> {
    client.batch_execute("commit").await.context("source: closing a snapshot")
}

/// How far a table must be read, as of now. Make the slot first.
///
/// # Errors
///
/// The source is away, or the table is gone.
pub async fn plan(client: &Client, table: &TableName) -> Result<TablePlan> {
    let (filenode, blocks) = extent(client, table).await?;
    let sql = format!("explain (format json) select from {}", table.quoted());
    let row = client.query_one(&sql, &[]).await.map_err(|error| reading(&error))?;
    let plan: serde_json::Value =
        row.try_get(0).context("source: estimating the rows of a table")?;
    let rows = plan.pointer("/0/Plan/Plan Rows").and_then(serde_json::Value::as_u64).unwrap_or(0);
    // The planner takes an empty table for a small one.
    Ok(TablePlan { filenode, blocks, rows_estimated: if blocks == 0 { 0 } else { rows } })
}

/// Which physical files hold the table now; see [`TablePlan::filenode`].
///
/// # Errors
///
/// The source is away, or the table is gone.
pub async fn filenode(client: &Client, table: &TableName) -> Result<i64> {
    Ok(extent(client, table).await?.0)
}

async fn extent(client: &Client, table: &TableName) -> Result<(i64, u64)> {
    let sql = include_str!("sql/table_extent.sql");
    let row = client.query_opt(sql, &[&table.schema, &table.name]).await;
    let Some(row) = row.context("source: reading the size of a table")? else {
        return Err(Error::Config(format!("the source has no table {table}")));
    };
    let blocks: i64 = row.get(1);
    Ok((row.get(0), u64::try_from(blocks).unwrap_or(0)))
}

/// Reads the rows from a place to before a block, or to before an earlier place where their text is over 2 MiB. At least one
/// row is read.
///
/// # Errors
///
/// The source is away; the role may not read the table, or not all of its rows (row-level security).
pub async fn read_chunk(
    client: &Client,
    table: &TableName,
    columns: &Columns,
    from: Place,
    to_block: u64,
) -> Result<Chunk> {
    settings::pin(client).await?;
    let mut blocks = if from.step == 0 { to_block.saturating_sub(from.block) } else { 0 };
    while blocks > 0 {
        let next = Place::start_of(from.block + blocks);
        if let Some(rows) = read_range(client, table, columns, (from, next), CHUNK_BYTES).await? {
            return Ok(Chunk { rows, next });
        }
        blocks /= 2;
    }
    read_rows_of_block(client, table, columns, from).await
}

/// As [`read_chunk`], of a block whose rows are large: a few of them.
async fn read_rows_of_block(
    client: &Client,
    table: &TableName,
    columns: &Columns,
    from: Place,
) -> Result<Chunk> {
    let mut step = if from.step == 0 { FIRST_STEP } else { from.step };
    // The first row of a block has number 1.
    let first = from.offset.max(1);
    loop {
        let next = Place { offset: first.saturating_add(step), step, ..from };
        let limit = if step > 1 { CHUNK_BYTES } else { usize::MAX };
        if let Some(rows) = read_range(client, table, columns, (from, next), limit).await? {
            // Rows of the next block are as large, more or less.
            let step = if step < MOST_STEP { step * 2 } else { 0 };
            let next_block = Place { block: from.block + 1, offset: 0, step };
            let is_last = is_empty(client, table, (next, next_block)).await?;
            return Ok(Chunk { rows, next: if is_last { next_block } else { next } });
        }
        step /= 2;
    }
}

/// The rows between two places; `None` where they have more than `limit` bytes.
async fn read_range(
    client: &Client,
    table: &TableName,
    columns: &Columns,
    (from, to): (Place, Place),
    limit: usize,
) -> Result<Option<Vec<RawRow>>> {
    let sql = format!(
        "copy (select {} from {} t where t.ctid >= '{}' and t.ctid < '{}') to stdout",
        column_list(columns),
        table.quoted(),
        from.address(),
        to.address(),
    );
    copy(client, &sql, columns, limit).await
}

/// Whether there are no rows between two places.
async fn is_empty(client: &Client, table: &TableName, (from, to): (Place, Place)) -> Result<bool> {
    let sql = format!(
        "select not exists (select from {} t where t.ctid >= '{}' and t.ctid < '{}')",
        table.quoted(),
        from.address(),
        to.address(),
    );
    let row = client.query_one(&sql, &[]).await.map_err(|error| reading(&error))?;
    row.try_get(0).context("source: reading rows")
}

/// Reads the rows that now have the keys of `rows`, whose other values are not looked at. Keys that no
/// row has any more are left out; the order is not that of `rows`. The caller bounds how many it asks for.
///
/// # Errors
///
/// As [`read_chunk`].
pub async fn read_rows(
    client: &Client,
    table: &TableName,
    columns: &Columns,
    rows: &[RawRow],
) -> Result<Vec<RawRow>> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    settings::pin(client).await?;
    let types = column_types(client, table).await?;
    let sql = by_key(table, columns, &types, rows)?;
    Ok(copy(client, &sql, columns, usize::MAX).await?.unwrap_or_default())
}

/// The query of [`read_rows`]. The keys' text is cast to the columns' own types, not the other way
/// round, so that the key's index serves. They are literals as COPY takes no parameters, and COPY is
/// used so that a value has the same text as in a chunk.
fn by_key(
    table: &TableName,
    columns: &Columns,
    types: &[(String, String)],
    rows: &[RawRow],
) -> Result<String> {
    let values = rows.iter().map(|row| {
        let value = |&index: &usize| {
            let value = row.values.get(index).and_then(Option::as_deref)?;
            Some(key_text(value, columns.list.get(index)?.kind))
        };
        let key = columns.key.iter().map(|index| literal(value(index).as_deref()));
        format!("({})", key.collect::<Vec<_>>().join(", "))
    });
    let values = values.collect::<Vec<_>>().join(", ");
    let (mut names, mut conditions) = (Vec::new(), Vec::new());
    for (position, column) in columns.key.iter().filter_map(|&i| columns.list.get(i)).enumerate() {
        let Some((_, kind)) = types.iter().find(|(name, _)| *name == column.name) else {
            let what = format!("the source table {table} has no column {}", column.name);
            return Err(Error::Config(what));
        };
        names.push(format!("k{position}"));
        let quoted = quote_identifier(&column.name);
        conditions.push(format!("t.{quoted} = k.k{position}::{kind}"));
    }
    Ok(format!(
        "copy (select {} from (values {values}) k ({}) join {} t on {}) to stdout",
        column_list(columns),
        names.join(", "),
        table.quoted(),
        conditions.join(" and "),
    ))
}

/// Name and SQL type of each column.
async fn column_types(client: &Client, table: &TableName) -> Result<Vec<(String, String)>> {
    let sql = "select a.attname::text, format_type(a.atttypid, a.atttypmod)
          from pg_attribute a
          join pg_class c on c.oid = a.attrelid
          join pg_namespace n on n.oid = c.relnamespace
         where n.nspname = $1 and c.relname = $2 and a.attnum > 0 and not a.attisdropped";
    let rows = client.query(sql, &[&table.schema, &table.name]).await;
    let rows = rows.context("source: reading the catalog")?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Runs a COPY; `None` where it has more than `limit` bytes.
async fn copy(
    client: &Client,
    sql: &str,
    columns: &Columns,
    limit: usize,
) -> Result<Option<Vec<RawRow>>> {
    const CONTEXT: &str = "source: reading rows";
    let mut pieces = pin!(client.copy_out(sql).await.map_err(|error| reading(&error))?);
    let (mut decoder, mut rows, mut bytes) =
        (CopyDecoder::new(columns.list.len()), Vec::new(), 0_usize);
    while let Some(piece) = pieces.next().await {
        let piece = piece.context(CONTEXT)?;
        bytes = bytes.saturating_add(piece.len());
        if bytes > limit {
            return Ok(None);
        }
        let first = rows.len();
        decoder.push(&piece, &mut rows)?;
        rows.iter_mut().skip(first).for_each(|row| columns.limit(row));
    }
    decoder.finish()?;
    Ok(Some(rows))
}

/// Names the remedy of the two privileges that reading needs.
fn reading(error: &tokio_postgres::Error) -> Error {
    if error.code() != Some(&tokio_postgres::error::SqlState::INSUFFICIENT_PRIVILEGE) {
        return Error::postgres("source: reading rows", error);
    }
    let message = error.as_db_error().map_or("permission denied", |db| db.message());
    Error::refused(
        format!("source: {message}"),
        "run on the source: GRANT SELECT ON the table TO the role; and, where row-level security hides rows, ALTER ROLE … BYPASSRLS",
    )
}

fn column_list(columns: &Columns) -> String {
    let names = columns.list.iter().map(|column| format!("t.{}", quote_identifier(&column.name)));
    names.collect::<Vec<_>>().join(", ")
}

/// A block number is 32 bits wide.
fn block_number(block: u64) -> u32 {
    u32::try_from(block).unwrap_or(u32::MAX)
}

/// A value of a key as PostgreSQL reads it: an instant in a source key is ISO 8601, whose years before 1 it does not read.
fn key_text(value: &str, kind: ColumnKind) -> Cow<'_, str> {
    let instant = (kind == ColumnKind::Instant).then(|| value.parse::<Timestamp>().ok()).flatten();
    instant.map_or(Cow::Borrowed(value), |instant| Cow::Owned(engine::literal::instant(instant)))
}

/// A string literal under standard_conforming_strings, which the session pins.
fn literal(value: Option<&str>) -> String {
    value.map_or_else(|| "null".to_owned(), |text| format!("'{}'", text.replace('\'', "''")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Column;

    #[test]
    fn keys_are_cast_to_the_columns_own_types_and_cannot_break_out() {
        let table = TableName { schema: "public".into(), name: "t\"x".into() };
        let column = |name: &str| Column { name: name.into(), kind: ColumnKind::Text };
        let columns = Columns::new(vec![column("a"), column("B c")], vec![1, 0]);
        let types = [("a", "uuid"), ("B c", "timestamp with time zone")];
        let types = types.map(|(name, kind)| (name.to_owned(), kind.to_owned()));
        assert_eq!(
            key_text("0000-12-31T16:00:00Z", ColumnKind::Instant),
            "0001-12-31 16:00:00+00 BC"
        );
        assert_eq!(key_text("0000-12-31T16:00:00Z", ColumnKind::Text), "0000-12-31T16:00:00Z");
        let rows = [RawRow { values: vec![Some("o'\\".into()), None] }];
        assert_eq!(
            by_key(&table, &columns, &types, &rows).unwrap(),
            r#"copy (select t."a", t."B c" from (values (null, 'o''\')) k (k0, k1) join "public"."t""x" t on t."B c" = k.k0::timestamp with time zone and t."a" = k.k1::uuid) to stdout"#
        );
    }
}
