//! The publication: which tables the log's decoder sends.
//!
//! It must exist before the slot is made: the decoder looks it up as it was at each point of the log,
//! and a slot that starts earlier fails for ever on "publication does not exist".
//!
//! <https://www.postgresql.org/docs/current/sql-createpublication.html>

use tokio_postgres::error::SqlState;

use super::identity::{self, Problem};
use crate::config::{FeedConfig, Source, TableName, quote_identifier};
use crate::error::{Context, Error, Result};
use crate::pg::Client;

/// Makes the publication where it is missing, adds the tables of new feeds, and checks one that exists.
///
/// # Errors
///
/// [`Error::Refused`] with the SQL to run where a table has no usable replica identity (publishing it
/// would make its updates fail, P12), where the role may not make one, or where the existing one lacks
/// something: it may serve others, so nothing of it is altered but that the table of a feed that `is_new` is added.
pub async fn ensure(
    client: &Client,
    source: &Source,
    is_new: &(dyn Fn(&FeedConfig) -> bool + Sync),
) -> Result<()> {
    add_new(client, source, is_new).await?;
    if let Some(found) = problems(client, source).await? {
        let unsuited = identities(client, source).await?;
        return match found.into_iter().chain(unsuited).next() {
            Some(Problem { problem, remedy }) => Err(Error::refused(problem, remedy)),
            None => Ok(()),
        };
    }
    if let Some(problem) = identities(client, source).await?.into_iter().next() {
        return Err(Error::refused(problem.problem, problem.remedy));
    }
    let sql = creation(client, source).await?;
    match client.batch_execute(&sql).await {
        Ok(()) => Ok(()),
        // Another process was faster.
        Err(error) if error.code() == Some(&SqlState::DUPLICATE_OBJECT) => Ok(()),
        Err(error) if is_forbidden(&error) => Err(Error::refused(
            format!("source: the role may not make the publication {}", source.publication),
            format!("run on the source as the owner of the tables: {sql}"),
        )),
        Err(error) => Err(error).context("source: making the publication"),
    }
}

/// Adds the tables of new feeds to a publication that is there without them.
async fn add_new(
    client: &Client,
    source: &Source,
    is_new: &(dyn Fn(&FeedConfig) -> bool + Sync),
) -> Result<()> {
    const WHAT: &str = "source: reading the publication";
    let name = &source.publication;
    let sql = "select from pg_publication where pubname = $1";
    if client.query_opt(sql, &[name]).await.context(WHAT)?.is_none() {
        return Ok(());
    }
    for feed in source.feeds.iter().filter(|feed| is_new(feed)) {
        let sql = "select from pg_publication_tables \
                   where pubname = $1 and schemaname = $2 and tablename = $3";
        let table = &feed.table;
        let there = client.query_opt(sql, &[name, &table.schema, &table.name]).await;
        if there.context(WHAT)?.is_some() {
            continue;
        }
        if let Some(Problem { problem, remedy }) = identity::problem(client, feed).await? {
            return Err(Error::refused(problem, remedy));
        }
        let sql =
            format!("ALTER PUBLICATION {} ADD TABLE {};", quote_identifier(name), table.quoted());
        match client.batch_execute(&sql).await {
            Ok(()) => tracing::info!(feed = feed.name, "added the table to the publication"),
            Err(error) if error.code() == Some(&SqlState::DUPLICATE_OBJECT) => {}
            Err(error) if is_forbidden(&error) => {
                return Err(Error::refused(
                    format!("source: the role may not add {table} to the publication {name}"),
                    format!("run on the source as the owner of publication and table: {sql}"),
                ));
            }
            Err(error) => return Err(error).context("source: adding to the publication"),
        }
    }
    Ok(())
}

/// Takes tables out of the publication that no feed names any more. One that is not in it, or may not be altered by this
/// role, stays as it is: what it sends is not looked at.
pub async fn withdraw(client: &Client, source: &Source, tables: &[String]) {
    for table in tables {
        let publication = quote_identifier(&source.publication);
        let sql = format!("ALTER PUBLICATION {publication} DROP TABLE {table}");
        match client.batch_execute(&sql).await {
            Ok(()) => tracing::info!(table, "took the table out of the publication"),
            Err(error) => {
                let error = Error::postgres("source: altering the publication", &error);
                tracing::info!(table, %error, "the table stays in the publication");
            }
        }
    }
}

/// Removes the publication; true if there was one.
///
/// # Errors
///
/// The source is away, or the role does not own the publication.
pub async fn drop(client: &Client, name: &str) -> Result<bool> {
    let sql = "select from pg_publication where pubname = $1";
    if client.query_opt(sql, &[&name]).await.context("source: reading the publication")?.is_none() {
        return Ok(false);
    }
    let sql = format!("drop publication if exists {}", quote_identifier(name));
    client.batch_execute(&sql).await.context("source: dropping the publication")?;
    Ok(true)
}

fn is_forbidden(error: &tokio_postgres::Error) -> bool {
    let code = error.code();
    code == Some(&SqlState::INSUFFICIENT_PRIVILEGE)
        || code == Some(&SqlState::READ_ONLY_SQL_TRANSACTION)
}

/// What stands against publishing the tables.
pub(super) async fn identities(client: &Client, source: &Source) -> Result<Vec<Problem>> {
    let mut found = Vec::new();
    for feed in &source.feeds {
        found.extend(identity::problem(client, feed).await?);
    }
    Ok(found)
}

/// The statement that makes the publication.
pub(super) async fn creation(client: &Client, source: &Source) -> Result<String> {
    let mut via_root = false;
    for feed in &source.feeds {
        via_root |= is_partitioned(client, &feed.table).await?;
    }
    let tables: Vec<String> = source.feeds.iter().map(|feed| feed.table.quoted()).collect();
    Ok(format!(
        "CREATE PUBLICATION {} FOR TABLE {} WITH (publish = 'insert, update, delete, truncate'{});",
        quote_identifier(&source.publication),
        tables.join(", "),
        if via_root { ", publish_via_partition_root = true" } else { "" }
    ))
}

async fn is_partitioned(client: &Client, table: &TableName) -> Result<bool> {
    let sql = include_str!("sql/relation_kind.sql");
    let row = client.query_opt(sql, &[&table.schema, &table.name]).await;
    Ok(row
        .context("source: reading the catalog")?
        .is_some_and(|row| row.get::<_, String>(0) == "p"))
}

/// What an existing publication lacks; `None` where there is no publication.
pub(super) async fn problems(client: &Client, source: &Source) -> Result<Option<Vec<Problem>>> {
    let sql = "select pubinsert and pubupdate and pubdelete and pubtruncate, pubviaroot
          from pg_publication where pubname = $1";
    let row = client.query_opt(sql, &[&source.publication]).await;
    let Some(row) = row.context("source: reading the publication")? else { return Ok(None) };
    let (all_operations, via_root): (bool, bool) = (row.get(0), row.get(1));
    let mut found = Vec::new();
    if !all_operations {
        found.push(lacking(
            source,
            "does not publish all of insert, update, delete and truncate",
            "SET (publish = 'insert, update, delete, truncate')",
        ));
    }
    for feed in &source.feeds {
        found.extend(table_problem(client, source, feed, via_root).await?);
    }
    Ok(Some(found))
}

fn lacking(source: &Source, lacks: &str, alter: &str) -> Problem {
    let quoted = quote_identifier(&source.publication);
    Problem {
        problem: format!("the publication {} {lacks}", source.publication),
        remedy: format!("run on the source: ALTER PUBLICATION {quoted} {alter};"),
    }
}

async fn table_problem(
    client: &Client,
    source: &Source,
    feed: &FeedConfig,
    via_root: bool,
) -> Result<Option<Problem>> {
    let table = &feed.table;
    let quoted = table.quoted();
    if !via_root && is_partitioned(client, table).await? {
        let lacks = format!("sends the changes of {table} under the names of its partitions");
        return Ok(Some(lacking(source, &lacks, "SET (publish_via_partition_root = true)")));
    }
    // Version 15 brought row filters and column lists; reading the row as JSON works before it too.
    let sql = "select to_jsonb(t) ->> 'rowfilter', to_jsonb(t) -> 'attnames'
          from pg_publication_tables t where pubname = $1 and schemaname = $2 and tablename = $3";
    let row = client.query_opt(sql, &[&source.publication, &table.schema, &table.name]).await;
    let Some(row) = row.context("source: reading the publication")? else {
        let lacks = format!("does not hold the table {table}");
        return Ok(Some(lacking(source, &lacks, &format!("ADD TABLE {quoted}"))));
    };
    let (filter, columns): (Option<String>, Option<serde_json::Value>) = (row.get(0), row.get(1));
    let publication = quote_identifier(&source.publication);
    let again = format!("DROP TABLE {quoted}; ALTER PUBLICATION {publication} ADD TABLE {quoted}");
    if filter.is_some() {
        let lacks = format!("hides rows of {table} by a row filter");
        return Ok(Some(lacking(source, &lacks, &again)));
    }
    let hidden = columns.as_ref().and_then(|published| hidden_column(&feed.columns(), published));
    Ok(hidden.map(|column| {
        let lacks = format!("hides the column {column} of {table} by a column list");
        lacking(source, &lacks, &again)
    }))
}

/// The first configured column that a list of published columns (a JSON array) lacks.
fn hidden_column<'c>(configured: &[&'c str], published: &serde_json::Value) -> Option<&'c str> {
    let published = published.as_array()?;
    let is_published = |name: &str| published.iter().any(|known| known.as_str() == Some(name));
    configured.iter().copied().find(|name| !is_published(name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_column_list_must_hold_every_configured_column() {
        let check = |published: serde_json::Value, expected: Option<&str>| {
            assert_eq!(hidden_column(&["id", "a", "b"], &published), expected);
        };
        check(json!(["b", "a", "id", "other"]), None);
        check(json!(["a", "b"]), Some("id"));
        check(json!(["id", "a"]), Some("b"));
        check(json!(null), None);
    }
}
