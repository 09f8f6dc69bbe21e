//! `tributary.feed`: which feed a number is, and the columns that are stored of it (SPEC §1).

use std::sync::Arc;

use serde_json::{Value, json};

use crate::config::FeedConfig;
use crate::engine::Feeds;
use crate::error::{Context, Error, Result};
use crate::facts::{Column, ColumnKind, Feed, FeedInfo, FeedKind, MAX_ROW_BYTES};
use crate::pg::{Client, Tx};

/// The numbers of the feeds that every installation had before there were others.
const FIRST: [(&str, i16); 2] = [("systemeio", 1), ("xendit", 2)];

/// A feed as it is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Its number.
    pub feed: Feed,
    /// Its name.
    pub name: String,
    /// What its rows are.
    pub kind: FeedKind,
    /// Whether its ids are ids of the target.
    pub primary: bool,
    /// The columns that are stored of it, each with whether its value is; `None`: no row of it is stored.
    pub columns: Option<Vec<(Column, bool)>>,
    /// Most bytes of one of its rows.
    pub max_row_bytes: usize,
    /// The table that was published for it, as SQL; `None`: none of it is.
    pub table: Option<String>,
}

/// Every feed that was ever used.
///
/// # Errors
/// Those of the target.
pub async fn recorded(target: &Client) -> Result<Vec<Recorded>> {
    let sql = "select number, name, kind, is_primary, columns, published from tributary.feed \
               order by number";
    let rows = target.query(sql, &[]).await.context("target: reading the feeds")?;
    Ok(rows.iter().filter_map(read).collect())
}

fn read(row: &tokio_postgres::Row) -> Option<Recorded> {
    let columns: Option<Value> = row.get(4);
    Some(Recorded {
        feed: Feed::from_number(row.get(0))?,
        name: row.get(1),
        kind: FeedKind::parse(row.get(2))?,
        primary: row.get(3),
        max_row_bytes: columns.as_ref().map_or(MAX_ROW_BYTES, limit),
        columns: columns.as_ref().map(parsed),
        table: row.get(5),
    })
}

fn parsed(columns: &Value) -> Vec<(Column, bool)> {
    let column = |column: &Value| {
        let name = column.get(0)?.as_str()?.to_owned();
        let kind = ColumnKind::parse(column.get(1)?.as_str()?)?;
        Some((Column { name, kind }, column.get(2)?.as_bool()?))
    };
    columns.as_array().into_iter().flatten().filter_map(column).collect()
}

/// Follows the columns where it is not the usual one.
fn limit(columns: &Value) -> usize {
    let last = columns.as_array().and_then(|all| all.last()?.as_u64());
    last.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(MAX_ROW_BYTES)
}

fn written(columns: &[(Column, bool)], max_row_bytes: usize) -> Value {
    let column = |(column, is_stored): &(Column, bool)| {
        json!([column.name, column.kind.as_str(), is_stored])
    };
    let limit = (max_row_bytes != MAX_ROW_BYTES).then(|| json!(max_row_bytes));
    Value::Array(columns.iter().map(column).chain(limit).collect())
}

/// The configured feeds with their numbers, and after them those that were used and are configured no more. A new
/// feed gets the next number.
///
/// # Errors
/// [`Error::Config`] where the configuration contradicts what is recorded.
pub fn numbered(recorded: &[Recorded], configured: &[FeedConfig]) -> Result<Vec<Arc<FeedInfo>>> {
    let mut found = Vec::new();
    let mut taken: Vec<i16> = recorded.iter().map(|known| known.feed.number()).collect();
    taken.extend(FIRST.map(|(_, number)| number));
    for feed in configured {
        let known = recorded.iter().find(|known| known.name == feed.name);
        if let Some(known) = known {
            refuse_contradiction(known, feed)?;
        }
        let first = || FIRST.iter().find(|(name, _)| *name == feed.name).map(|(_, n)| *n);
        let next = || taken.iter().max().map_or(1, |last| last.saturating_add(1));
        let number = known.map(|known| known.feed.number()).or_else(first).unwrap_or_else(next);
        taken.push(number);
        found.push(Arc::new(FeedInfo {
            feed: Feed::new(number),
            name: feed.name.clone(),
            kind: feed.fields.kind(),
            primary: feed.primary,
            provider: feed.provider.as_str().into(),
            rank: feed.rank,
        }));
    }
    let is_removed = |known: &&Recorded| configured.iter().all(|feed| feed.name != known.name);
    found.extend(recorded.iter().filter(is_removed).map(|known| {
        Arc::new(FeedInfo {
            feed: known.feed,
            name: known.name.clone(),
            kind: known.kind,
            primary: known.primary,
            provider: known.name.as_str().into(),
            rank: u32::MAX,
        })
    }));
    Ok(found)
}

fn refuse_contradiction(known: &Recorded, feed: &FeedConfig) -> Result<()> {
    let name = &feed.name;
    let kind = feed.fields.kind();
    if kind != known.kind {
        return Err(Error::Config(format!(
            "feeds.{name}.kind: is \"{}\", but this target has known the feed {name} as \"{}\", and the kind of a feed \
             never changes\n  remedy: write kind = \"{}\", or give the new feed another name",
            kind.as_str(),
            known.kind.as_str(),
            known.kind.as_str()
        )));
    }
    if feed.primary != known.primary {
        let (now, before) = (feed.primary, known.primary);
        return Err(Error::Config(format!(
            "feeds.{name}.primary: is {now}, but this target has known the feed {name} with primary = {before}, and that \
             never changes, as ids depend on it\n  remedy: write primary = {before} in [feeds.{name}]"
        )));
    }
    Ok(())
}

/// Records a feed with the columns that are read of it from now on, and its table.
///
/// # Errors
/// Those of the target.
pub async fn record(tx: &Tx, feeds: &Feeds, feed: Feed, table: &str) -> Result<()> {
    let info = feeds.info(feed);
    let columns = written(&feeds.stored_columns(feed), feeds.get(feed).columns().max_bytes);
    let sql = "insert into tributary.feed (number, name, kind, is_primary, columns, published) \
               values ($1, $2, $3, $4, $5, $6) \
               on conflict (number) do update set columns = excluded.columns, published = excluded.published \
               where (feed.columns, feed.published) is distinct from (excluded.columns, excluded.published)";
    let kind = info.kind.as_str();
    let params: [crate::pg::Param<'_>; 6] =
        [&feed.number(), &info.name, &kind, &info.primary, &columns, &table];
    tx.execute("target: recording the feeds", sql, &params).await?;
    Ok(())
}

/// Notes that no row of these feeds is stored any more. Returns the tables that were published for them.
///
/// # Errors
/// Those of the target.
pub async fn withdraw(tx: &Tx, feeds: &[Feed]) -> Result<Vec<String>> {
    let numbers: Vec<i16> = feeds.iter().map(|feed| feed.number()).collect();
    let sql = "update tributary.feed f set columns = null, published = null \
               from tributary.feed b where b.number = f.number and f.number = any($1) \
               returning b.published";
    let rows = tx.query("target: recording the feeds", sql, &[&numbers]).await?;
    Ok(rows.iter().filter_map(|row| row.get(0)).collect())
}
