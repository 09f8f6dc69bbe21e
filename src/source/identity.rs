//! Replica identity: whether the log says which row an update or delete changed.
//!
//! <https://www.postgresql.org/docs/current/logical-replication-publication.html#LOGICAL-REPLICATION-PUBLICATION-REPLICA-IDENTITY>

use tokio_postgres::Client;

use crate::config::{FeedConfig, TableName, quote_identifier};
use crate::error::{Context, Result};

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
}

/// What is wrong with a table's replica identity, if anything; the table exists.
pub(super) async fn problem(client: &Client, feed: &FeedConfig) -> Result<Option<Problem>> {
    let sql = include_str!("sql/replica_identity.sql");
    let rows = client.query(sql, &[&feed.table.schema, &feed.table.name]).await;
    let rows = rows.context("source: reading the replica identity")?;
    let unsuited = key_problem(client, feed).await?;
    let part = |row: &tokio_postgres::Row| Part {
        table: TableName { schema: row.get(0), name: row.get(1) },
        setting: row.get(2),
        columns: row.get(3),
        logged: row.get(4),
    };
    Ok(rows.iter().map(part).find_map(|part| judge(&part, &feed.key)).or(unsuited))
}

/// Whether the key tells every row apart, at every moment (SPEC §1): else two rows would be one here.
async fn key_problem(client: &Client, feed: &FeedConfig) -> Result<Option<Problem>> {
    let (table, sql) = (&feed.table, include_str!("sql/key_index.sql"));
    let row = client.query_opt(sql, &[&table.schema, &table.name, &feed.key]).await;
    let Some(row) = row.context("source: reading the indexes")? else { return Ok(None) };
    let (covered, nullable): (bool, Vec<String>) = (row.get(0), row.get(1));
    if covered {
        return Ok(None);
    }
    let columns = feed.key.iter().map(|name| quote_identifier(name)).collect::<Vec<_>>().join(", ");
    let quoted = table.quoted();
    let problem = format!(
        "the key ({}) of {table} is covered by no unique, valid, not deferrable index over NOT NULL columns",
        feed.key.join(", ")
    );
    let required: String = nullable
        .iter()
        .map(|name| format!(" ALTER COLUMN {} SET NOT NULL,", quote_identifier(name)))
        .collect();
    let required = match required.trim_end_matches(',') {
        "" => String::new(),
        columns => format!("ALTER TABLE {quoted}{columns}; "),
    };
    let remedy = format!(
        "run on the source: {required}CREATE UNIQUE INDEX CONCURRENTLY ON {quoted} ({columns}); or name other columns \
         in feeds.{}.key",
        feed.name
    );
    Ok(Some(Problem { problem, remedy }))
}

fn judge(part: &Part, key: &[String]) -> Option<Problem> {
    let table = part.table.quoted();
    if !part.logged {
        let problem = format!("{} is unlogged: its changes are in no stream", part.table);
        let remedy = format!("run on the source: ALTER TABLE {table} SET LOGGED;");
        return Some(Problem { problem, remedy });
    }
    if part.setting == "f" {
        return None;
    }
    let full = format!("run on the source: ALTER TABLE {table} REPLICA IDENTITY FULL;");
    if part.columns.is_empty() {
        let primary = key.iter().map(|name| quote_identifier(name)).collect::<Vec<_>>().join(", ");
        let problem = format!(
            "{} has no usable replica identity: once published, every UPDATE and DELETE of it would fail",
            part.table
        );
        let remedy = format!("{full} or, better: ALTER TABLE {table} ADD PRIMARY KEY ({primary});");
        return Some(Problem { problem, remedy });
    }
    let column = key.iter().find(|name| !part.columns.contains(name))?;
    let problem =
        format!("the replica identity of {} lacks the configured key column {column}", part.table);
    Some(Problem { problem, remedy: full })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_must_hold_the_whole_key_p12() {
        let check = |setting: &str, columns: &[&str], key: &[&str], expected: Option<&str>| {
            let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            let table = TableName { schema: "public".into(), name: "t".into() };
            let part =
                Part { table, setting: setting.into(), columns: names(columns), logged: true };
            let key: Vec<String> = names(key);
            let problem = judge(&part, &key).map(|problem| problem.problem);
            assert_eq!(problem.is_some(), expected.is_some(), "{setting} {columns:?} {key:?}");
            assert!(problem.unwrap_or_default().contains(expected.unwrap_or_default()));
        };
        check("d", &["id"], &["id"], None);
        check("d", &["id", "part"], &["id"], None);
        check("f", &[], &["id"], None);
        check("i", &["a", "b"], &["b", "a"], None);
        check("d", &[], &["id"], Some("would fail"));
        check("n", &[], &["id"], Some("would fail"));
        check("i", &[], &["id"], Some("would fail"));
        check("d", &["id"], &["email"], Some("key column email"));
        check("i", &["a"], &["a", "b"], Some("key column b"));
    }
}
