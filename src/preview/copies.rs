//! Temporary copies of the daemon's schema and of the target tables, of one moment.

use tokio_postgres::Row;

use super::{Before, store, temporary_schema};
use crate::config::{Config, Schema, Server, TableName, Target, quote_identifier};
use crate::error::{Context as _, Result};
use crate::migrate::{self, How};
use crate::pg::Client;

const WHAT: &str = "target: copying a table";

/// Where new values of columns come from that have a sequence: theirs would move.
const NUMBERS: &str = "create temp sequence tributary_numbers increment -1 start -1 minvalue -9000000000000000000 maxvalue -1";

/// Copies everything, and has the session's statements go to the copies. Returns the configuration that names them.
pub(super) async fn make(target: &mut Client, config: &Config) -> Result<Config> {
    let settings = "set temp_buffers = '128MB'";
    target.batch_execute(settings).await.context("target: session settings")?;
    let schema = temporary_schema(target).await?;
    let copied = named(config, &schema);
    target.set_schema(schema.clone());
    target.batch_execute("begin isolation level repeatable read").await.context(WHAT)?;
    target.batch_execute(NUMBERS).await.context(WHAT)?;
    store::copy(target, &config.target.schema).await?;
    let pairs = pairs(&copied.target);
    for (of, copy) in &pairs {
        table(target, of, copy, &schema).await?;
    }
    foreign_keys(target, &pairs).await?;
    if config.run.migrate {
        migrate::targets(target, &copied, How::Copies).await?;
    }
    Before::copy(target, &copied.target).await?;
    target.batch_execute("commit").await.context(WHAT)?;
    Ok(copied)
}

fn named(config: &Config, schema: &Schema) -> Config {
    let name = |role: &str| TableName {
        schema: schema.name().to_owned(),
        name: format!("tributary_copy_of_{role}"),
    };
    let target = Target {
        server: Server { schema: schema.clone(), ..config.target.server.clone() },
        schema: schema.clone(),
        profiles: name("profiles"),
        transactions: name("transactions"),
        enrollments: name("enrollments"),
        courses: name("courses"),
        auth_users: config.target.auth_users,
        copies_of: Some(Box::new(config.target.clone())),
    };
    Config { target, ..config.clone() }
}

/// Each table with its copy, referenced ones first.
fn pairs(copies: &Target) -> [(TableName, TableName); 4] {
    let of = copies.lasting();
    [
        (of.profiles.clone(), copies.profiles.clone()),
        (of.courses.clone(), copies.courses.clone()),
        (of.transactions.clone(), copies.transactions.clone()),
        (of.enrollments.clone(), copies.enrollments.clone()),
    ]
}

/// Copies a table with its rows, defaults, checks and indexes; one that is missing is left to the migration.
async fn table(client: &Client, of: &TableName, copy: &TableName, schema: &Schema) -> Result<()> {
    let columns =
        client.query(include_str!("sql/columns.sql"), &[&of.quoted()]).await.context(WHAT)?;
    if columns.is_empty() {
        return Ok(());
    }
    let (of, copy) = (of.quoted(), copy.quoted());
    let like = format!(
        "create table {copy} (like {of} including defaults including constraints including generated \
         including indexes including storage)"
    );
    client.batch_execute(&like).await.context(WHAT)?;
    let name = |row: &Row| quote_identifier(row.get(0));
    for column in columns.iter().filter(|row| row.get(2)) {
        let sql = format!(
            "alter table {copy} alter column {} set default nextval('{}.tributary_numbers')",
            name(column),
            schema.quoted()
        );
        client.batch_execute(&sql).await.context(WHAT)?;
    }
    let stored: Vec<String> =
        columns.iter().filter(|row| !row.get::<_, bool>(1)).map(name).collect();
    let stored = stored.join(", ");
    let rows = format!("insert into {copy} ({stored}) select {stored} from {of}");
    client.batch_execute(&rows).await.context(WHAT)?;
    Ok(())
}

/// The foreign keys among the tables, among the copies. Those to other tables cannot be had: a temporary table references
/// temporary tables only.
async fn foreign_keys(client: &Client, pairs: &[(TableName, TableName)]) -> Result<()> {
    let of: Vec<String> = pairs.iter().map(|(of, _)| of.quoted()).collect();
    let copies: Vec<String> = pairs.iter().map(|(_, copy)| copy.quoted()).collect();
    let sql = include_str!("sql/foreign_keys.sql");
    for row in client.query(sql, &[&of, &copies]).await.context(WHAT)? {
        let statement: String = row.get(0);
        client.batch_execute(&statement).await.context(WHAT)?;
    }
    Ok(())
}
