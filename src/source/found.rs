//! The tables of a database that could be feeds, for `config new` (SPEC §9).

use super::layout::named_types;
use crate::config::{FoundTable, TableName};
use crate::error::{Context, Result};
use crate::pg::Client;

/// Every table with its columns and the key that it has.
///
/// # Errors
/// Those of the source.
pub async fn tables(client: &Client) -> Result<Vec<FoundTable>> {
    let rows = client.query(include_str!("sql/tables.sql"), &[]).await;
    let mut found = Vec::new();
    for row in rows.context("source: reading the catalog")? {
        let table = TableName { schema: row.get(0), name: row.get(1) };
        let columns = named_types(client, &table).await?;
        found.push(FoundTable { table, columns, key: row.get(2) });
    }
    Ok(found)
}
