//! Reads single rows of the source by key, for values that the stream left out and rows that a backfill
//! must look at again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::snapshot;
use crate::config::TableName;
use crate::engine::{FeedEntry, Feeds, Snapshot};
use crate::error::{Error, Result};
use crate::facts::{Feed, RawRow, SourceKey, source_key};
use crate::pg::Client;

/// Rows asked for in one query.
const ROWS_PER_QUERY: usize = 1_000;

/// How often it is looked whether the source shows a transaction that it streamed, and after what time again: a commit is streamed
/// a moment before it is visible, and one that waits for a standby long before.
const LOOKS: u32 = 40;
const PAUSE: Duration = Duration::from_millis(5);

/// A session on the source with what it must know to read rows of every feed.
#[derive(Clone)]
pub struct RowReader {
    client: Arc<Client>,
    tables: HashMap<Feed, TableName>,
    feeds: Arc<Feeds>,
}

impl RowReader {
    /// A reader on this session.
    #[must_use]
    pub fn new(client: Arc<Client>, source: &crate::config::Source, feeds: Arc<Feeds>) -> Self {
        let table = |feed: &FeedEntry| {
            let configured = source.feeds.iter().find(|known| known.name == feed.info.name)?;
            Some((feed.info.feed, configured.table.clone()))
        };
        let tables = feeds.all().filter_map(table).collect();
        Self { client, tables, feeds }
    }

    /// Waits a moment until what is read contains these transactions, which were streamed; returns whether it does.
    ///
    /// # Errors
    /// The source is away.
    pub async fn shows(&self, xids: &[u32]) -> Result<bool> {
        for _ in 0..LOOKS {
            let text = snapshot::current(&self.client).await?;
            let snapshot = Snapshot::parse(&text).ok_or_else(|| snapshot::invalid(&text))?;
            if xids.iter().all(|xid| snapshot.saw(*xid)) {
                return Ok(true);
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(false)
    }

    /// The rows that now have the keys of `rows`; keys that no row has any more are left out. A feed that is not
    /// configured has none.
    ///
    /// # Errors
    /// The source is away.
    pub async fn rows_by_key(
        &self,
        feed: Feed,
        rows: &[RawRow],
    ) -> Result<Vec<(SourceKey, RawRow)>> {
        let mut found = Vec::with_capacity(rows.len());
        let Some(table) = self.tables.get(&feed) else { return Ok(found) };
        let columns = self.feeds.get(feed).columns();
        for some in rows.chunks(ROWS_PER_QUERY) {
            let read = snapshot::read_rows(&self.client, table, columns, some).await?;
            found.extend(read.into_iter().map(|row| (source_key(&row, columns), row)));
        }
        Ok(found)
    }

    /// As [`RowReader::rows_by_key`], outside of a transaction, where keys may be of columns that have other types now: those are
    /// no row's.
    ///
    /// # Errors
    /// The source is away.
    pub async fn rows_by_any_key(
        &self,
        feed: Feed,
        rows: &[RawRow],
    ) -> Result<Vec<(SourceKey, RawRow)>> {
        let mut found = Vec::with_capacity(rows.len());
        let mut parts = vec![rows];
        while let Some(part) = parts.pop() {
            match self.rows_by_key(feed, part).await {
                Err(error) if is_no_such_key(&error) => {
                    if part.len() > 1 {
                        let (first, second) = part.split_at(part.len() / 2);
                        parts.extend([second, first]);
                    }
                }
                read => found.extend(read?),
            }
        }
        Ok(found)
    }
}

/// The key was made of other columns than now, of other types: no row has it.
#[must_use]
pub fn is_no_such_key(error: &Error) -> bool {
    error.code().is_some_and(|code| code.code().starts_with("22"))
}
