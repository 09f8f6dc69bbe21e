//! Reads single rows of the source by key, for values that the stream left out and rows that a backfill
//! must look at again.

use std::sync::Arc;

use tokio_postgres::Client;

use super::snapshot;
use crate::config::TableName;
use crate::engine::Layouts;
use crate::error::Result;
use crate::facts::{Feed, RawRow, SourceKey, source_key};

/// Rows asked for in one query.
const ROWS_PER_QUERY: usize = 1_000;

/// A session on the source with what it must know to read rows of both tables.
#[derive(Clone)]
pub struct RowReader {
    client: Arc<Client>,
    xendit: TableName,
    systemeio: TableName,
    layouts: Layouts,
}

impl RowReader {
    /// A reader on this session.
    #[must_use]
    pub fn new(client: Arc<Client>, source: &crate::config::Source, layouts: Layouts) -> Self {
        let (xendit, systemeio) = (source.xendit.table.clone(), source.systemeio.table.clone());
        Self { client, xendit, systemeio, layouts }
    }

    /// The rows that now have the keys of `rows`; keys that no row has any more are left out.
    ///
    /// # Errors
    /// The source is away.
    pub async fn rows_by_key(
        &self,
        table: Feed,
        rows: &[RawRow],
    ) -> Result<Vec<(SourceKey, RawRow)>> {
        let mut found = Vec::with_capacity(rows.len());
        for some in rows.chunks(ROWS_PER_QUERY) {
            match table {
                Feed::Xendit => {
                    let layout = &self.layouts.xendit;
                    let read =
                        snapshot::read_rows(&self.client, &self.xendit, layout, some).await?;
                    found.extend(read.into_iter().map(|row| (source_key(&row, layout), row)));
                }
                Feed::Systemeio => {
                    let layout = &self.layouts.systemeio;
                    let read =
                        snapshot::read_rows(&self.client, &self.systemeio, layout, some).await?;
                    found.extend(read.into_iter().map(|row| (source_key(&row, layout), row)));
                }
            }
        }
        Ok(found)
    }
}
