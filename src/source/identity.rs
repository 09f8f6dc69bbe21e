//! Replica identity: whether the log says which row an update or delete changed.
//!
//! <https://www.postgresql.org/docs/current/logical-replication-publication.html#LOGICAL-REPLICATION-PUBLICATION-REPLICA-IDENTITY>

use crate::config::{FeedConfig, TableName, quote_identifier};
use crate::error::{Context, Result};
use crate::pg::Client;

/// Something that stands against following a table, and what to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) problem: String,
    pub(super) remedy: String,
}

/// One physical table: the configured one, or one of its partitions, whose identity counts too.
struct Part {
    table: TableName,
    /// `d` primary key, `i` index, `f` full, `n` nothing.
    setting: String,
    /// Columns of that index; empty where there is none.
    columns: Vec<String>,
    /// Whether its changes are in the log.
    logged: bool,
    /// Whether a unique index that is checked at once and takes no NULL covers the configured key.
    unique: bool,
    /// Whether there is a primary key, usable or not.
    has_primary: bool,
}

/// What is wrong with a table's replica identity, if anything; the table exists.
pub(super) async fn problem(client: &Client, feed: &FeedConfig) -> Result<Option<Problem>> {
    let parts = parts(client, feed).await?;
    Ok(parts.iter().find_map(|part| judge(part, &feed.key)))
}

/// The replica identity of a table in words; of a partitioned one that of the table itself.
pub(super) async fn described(client: &Client, feed: &FeedConfig) -> Result<String> {
    let parts = parts(client, feed).await?;
    let Some(part) = parts.first() else { return Ok("none".to_owned()) };
    let columns = part.columns.join(", ");
    Ok(match part.setting.as_str() {
        "f" => "full".to_owned(),
        "i" => format!("index over {columns}"),
        _ => format!("primary key {columns}"),
    })
}

async fn parts(client: &Client, feed: &FeedConfig) -> Result<Vec<Part>> {
    let sql = include_str!("sql/replica_identity.sql");
    let params: [crate::pg::Param<'_>; 3] = [&feed.table.schema, &feed.table.name, &feed.key];
    let rows = client.query(sql, &params).await;
    let rows = rows.context("source: reading the replica identity")?;
    let part = |row: &tokio_postgres::Row| Part {
        table: TableName { schema: row.get(0), name: row.get(1) },
        setting: row.get(2),
        columns: row.get(3),
        logged: row.get(4),
        unique: row.get(5),
        has_primary: row.get(6),
    };
    Ok(rows.iter().map(part).collect())
}

fn judge(part: &Part, key: &[String]) -> Option<Problem> {
    let table = part.table.quoted();
    if !part.logged {
        let problem = format!("{} is unlogged: its changes are in no stream", part.table);
        let remedy = format!("run on the source: ALTER TABLE {table} SET LOGGED;");
        return Some(Problem { problem, remedy });
    }
    let primary = key.iter().map(|name| quote_identifier(name)).collect::<Vec<_>>().join(", ");
    if part.setting == "f" {
        return not_unique(part, key);
    }
    let full = format!("run on the source: ALTER TABLE {table} REPLICA IDENTITY FULL;");
    if part.columns.is_empty() {
        let problem = format!(
            "{} has no usable replica identity: once published, every UPDATE and DELETE of it would fail",
            part.table
        );
        let remedy = if part.unique {
            full
        } else if part.has_primary {
            // One that is deferrable or invalid stands in the way of another.
            let index = quote_identifier(&format!("{}_tributary_key", part.table.name));
            format!(
                "run on the source: CREATE UNIQUE INDEX {index} ON {table} ({primary}); ALTER TABLE {table} REPLICA \
                 IDENTITY USING INDEX {index}; (the primary key is deferrable or invalid)"
            )
        } else {
            format!("run on the source: ALTER TABLE {table} ADD PRIMARY KEY ({primary});")
        };
        return Some(Problem { problem, remedy });
    }
    let Some(column) = key.iter().find(|name| !part.columns.contains(name)) else {
        return not_unique(part, key);
    };
    let problem =
        format!("the replica identity of {} lacks the configured key column {column}", part.table);
    Some(Problem { problem, remedy: full })
}

/// A key that does not distinguish every row at every moment (SPEC §1): two rows of one source key would be taken for
/// one.
fn not_unique(part: &Part, key: &[String]) -> Option<Problem> {
    if part.unique {
        return None;
    }
    let table = part.table.quoted();
    let problem = format!(
        "no unique index over NOT NULL columns that is checked at once covers the configured key of {}",
        part.table
    );
    let columns: Vec<String> = key.iter().map(|name| quote_identifier(name)).collect();
    let not_null: Vec<String> =
        columns.iter().map(|column| format!("ALTER COLUMN {column} SET NOT NULL")).collect();
    let remedy = format!(
        "run on the source: ALTER TABLE {table} {}; CREATE UNIQUE INDEX ON {table} ({}); or name all columns of \
         such an index as the key",
        not_null.join(", "),
        columns.join(", ")
    );
    Some(Problem { problem, remedy })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_must_hold_the_whole_key_p12() {
        let check = |setting: &str, columns: &[&str], key: &[&str], expected: Option<&str>| {
            let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            let table = TableName { schema: "public".into(), name: "t".into() };
            let unique = !columns.is_empty() && !columns.contains(&"other");
            let (setting, columns) = (setting.to_owned(), names(columns));
            let has_primary = false;
            let part = Part { table, setting, columns, logged: true, unique, has_primary };
            let key: Vec<String> = names(key);
            let problem = judge(&part, &key).map(|problem| problem.problem);
            assert_eq!(problem.is_some(), expected.is_some(), "{} {key:?}", part.setting);
            assert!(problem.unwrap_or_default().contains(expected.unwrap_or_default()));
        };
        check("d", &["id"], &["id"], None);
        check("d", &["id", "part"], &["id"], None);
        check("d", &["id", "other"], &["id"], Some("no unique index"));
        check("f", &["unique"], &["id"], None);
        check("f", &[], &["id"], Some("no unique index"));
        check("i", &["a", "b"], &["b", "a"], None);
        check("d", &[], &["id"], Some("would fail"));
        check("n", &[], &["id"], Some("would fail"));
        check("i", &[], &["id"], Some("would fail"));
        check("d", &["id"], &["email"], Some("key column email"));
        check("i", &["a"], &["a", "b"], Some("key column b"));
    }
}
