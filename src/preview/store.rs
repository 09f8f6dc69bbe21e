//! The daemon's own schema in the temporary one: as the migrations make it, with the rows of an installation that is there.

use crate::config::{Schema, quote_identifier};
use crate::error::{Context as _, Error, Result};
use crate::migrate;
use crate::pg::Client;

const WHAT: &str = "target: copying the daemon's schema";

/// Tables of which nothing is copied: what operators asked for is not carried out, and a history says nothing of what comes.
const NOT_COPIED: [&str; 4] = ["command", "operation_log", "report", "schema_history"];

/// Makes the schema of this session, and copies the rows of `installed`, whatever version it is of.
pub(super) async fn copy(client: &Client, installed: &Schema) -> Result<()> {
    let version = version(client, installed).await?;
    let migrations: Vec<(i32, String)> = migrate::migrations(client.schema())
        .map(|(name, sql)| (migrate::version(name), sql))
        .collect();
    let newest = migrations.iter().map(|(version, _)| *version).max().unwrap_or(0);
    if version > newest {
        let name = installed.name();
        return Err(Error::refused(
            format!(
                "the target's schema {name} is of version {version}, and this program knows up to {newest}"
            ),
            "use the version of tributary that last worked on this target, or a newer one",
        ));
    }
    for (_, sql) in migrations.iter().filter(|(number, _)| *number <= version) {
        client.batch_execute(sql).await.context(WHAT)?;
    }
    if version > 0 {
        rows(client, installed).await?;
    }
    for (_, sql) in migrations.iter().filter(|(number, _)| *number > version) {
        client.batch_execute(sql).await.context(WHAT)?;
    }
    Ok(())
}

/// The version of an installed schema; 0 where there is none.
async fn version(client: &Client, installed: &Schema) -> Result<i32> {
    let history = format!("{}.schema_history", installed.quoted());
    let there = client.query_one("select to_regclass($1) is not null", &[&history]).await;
    if !there.context(WHAT)?.get::<_, bool>(0) {
        return Ok(0);
    }
    let sql = format!("select coalesce(max(version), 0)::int4 from {history}");
    Ok(client.query_one(&sql, &[]).await.context(WHAT)?.get(0))
}

async fn rows(client: &Client, installed: &Schema) -> Result<()> {
    let own = client.schema().quoted();
    let sql = include_str!("sql/own_tables.sql");
    let params: [crate::pg::Param<'_>; 3] =
        [&client.schema().name(), &installed.name(), &NOT_COPIED.as_slice()];
    for row in client.query(sql, &params).await.context(WHAT)? {
        let (table, columns): (String, Vec<String>) = (row.get(0), row.get(1));
        let identity: Option<String> = row.get(2);
        let table = quote_identifier(&table);
        let columns: Vec<String> = columns.iter().map(|name| quote_identifier(name)).collect();
        let columns = columns.join(", ");
        let copy = format!(
            "delete from {own}.{table}; \
             insert into {own}.{table} ({columns}) overriding system value select {columns} from {}.{table}",
            installed.quoted()
        );
        client.batch_execute(&copy).await.context(WHAT)?;
        if let Some(identity) = identity {
            let next = format!(
                "select setval(pg_get_serial_sequence('{own}.{table}', '{identity}'), \
                 (select coalesce(max({}), 0) + 1 from {own}.{table}), false)",
                quote_identifier(&identity)
            );
            client.query_one(&next, &[]).await.context(WHAT)?;
        }
    }
    Ok(())
}
