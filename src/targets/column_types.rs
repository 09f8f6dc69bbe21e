//! The columns of target tables that were there before may have other types than SPEC §2 names.

use std::collections::HashMap;

use crate::config::TableName;
use crate::error::{Context, Error, Result};
use crate::pg::Client;

/// The type of each column of a table, as values are cast to it.
///
/// # Errors
/// Those of the target; a refusal where the table does not exist.
pub(super) async fn column_types(
    client: &Client,
    table: &TableName,
) -> Result<HashMap<String, String>> {
    let rows = client
        .query(include_str!("sql/column_types.sql"), &[&table.quoted()])
        .await
        .context("target: reading column types")?;
    if rows.is_empty() {
        return Err(Error::refused(
            format!("the target table {table} does not exist"),
            "run `tributary migrate`, or correct its name in the [target] section",
        ));
    }
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// The type of a column; `text` where there is none.
pub(super) fn type_of(types: &HashMap<String, String>, column: &str) -> String {
    types.get(column).cloned().unwrap_or_else(|| "text".to_owned())
}

/// Ids are derived: a table whose ids are of another type cannot be written.
pub(super) fn require_uuid(table: &TableName, types: &HashMap<String, String>) -> Result<()> {
    match types.get("id").map(String::as_str) {
        Some("uuid") => Ok(()),
        other => Err(Error::refused(
            format!(
                "the column id of the target table {table} is of type {}, and must be uuid",
                other.unwrap_or("none: there is no such column")
            ),
            "name another table in the [target] section and have it made by `tributary migrate`, or give this one \
             a uuid primary key",
        )),
    }
}
