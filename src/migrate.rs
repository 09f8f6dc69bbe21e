//! Brings the target schema up to date (SPEC §2): creates what is missing, adds missing columns, never
//! drops or retypes anything. Running it twice is a no-op.

mod courses;
pub(crate) mod foresight;
mod index;
mod tables;

use refinery::{Migration, Runner};
use serde_json::json;
use tokio_postgres::error::SqlState;

use crate::config::{Config, Schema, TableName, quote_identifier};
use crate::error::{Context, Error, Result};
use crate::pg::Client;
use crate::store::operation_log::{self, Finish, Operation, Operator, Outcome};

use courses::courses;
use index::index;
pub use tables::{ColumnSpec, TargetTable};

/// Serialises migrations of one target, also against other hosts. Transaction-independent, released with
/// the session.
const MIGRATION_LOCK: i64 = 0x7472_6962_6d69_6772;

/// How often a migration asks for its lock.
const LOCK_INTERVAL: std::time::Duration = std::time::Duration::from_millis(200);

/// The advisory lock that writing transactions share and a take-over holds alone, as the migrations write it.
pub(crate) const WRITERS_LOCK: i64 = 8_390_884_927_074_234_211;

/// The advisory lock of the one writer of a target, as the migrations write it.
pub(crate) const WRITER_LOCK: i64 = 0x7472_6962_7772_6974;

/// The advisory lock that a daemon shares while it takes requests of the SQL entry points, as the migrations write it.
pub(crate) const JOBS_LOCK: i64 = 0x7472_6962_6a6f_6273;

/// The history of the daemon's own schema, written for `tributary`: append only, never edit a released file.
const MIGRATIONS: &[(&str, &str)] = &[
    ("V1__tributary_schema", include_str!("../migrations/0001_tributary_schema.sql")),
    ("V2__publication", include_str!("../migrations/0002_publication.sql")),
    ("V3__installation", include_str!("../migrations/0003_installation.sql")),
    ("V4__row_store", include_str!("../migrations/0004_row_store.sql")),
    ("V5__reconcile", include_str!("../migrations/0005_reconcile.sql")),
    ("V6__feeds", include_str!("../migrations/0006_feeds.sql")),
    ("V7__noticed", include_str!("../migrations/0007_noticed.sql")),
    ("V8__operations", include_str!("../migrations/0008_operations.sql")),
    ("V9__rollout", include_str!("../migrations/0009_rollout.sql")),
    ("V10__upkeep", include_str!("../migrations/0010_upkeep.sql")),
    ("V11__import", include_str!("../migrations/0011_import.sql")),
    ("V12__gaps", include_str!("../migrations/0012_gaps.sql")),
    ("V13__import_rollback", include_str!("../migrations/0013_import_rollback.sql")),
    ("V14__review", include_str!("../migrations/0014_review.sql")),
    ("V15__report", include_str!("../migrations/0015_report.sql")),
    ("V16__lean_indexes", include_str!("../migrations/0016_lean_indexes.sql")),
    ("V17__cutover", include_str!("../migrations/0017_cutover.sql")),
    ("V18__pause", include_str!("../migrations/0018_pause.sql")),
    ("V19__indexes", include_str!("../migrations/0019_indexes.sql")),
    ("V20__narrowed", include_str!("../migrations/0020_narrowed.sql")),
    ("V21__narrowed_before", include_str!("../migrations/0021_narrowed_before.sql")),
    ("V22__metadata", include_str!("../migrations/0022_metadata.sql")),
];

/// How the target tables are brought up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// By `tributary migrate`: what is added stays.
    Asked,
    /// By a command that writes, or the daemon: what is added is noted, for the way back.
    ByTheWay,
    /// Copies of a dry run, inside of a transaction.
    Copies,
}

/// Migrates and returns one line per thing that was done; empty when all was there.
///
/// # Errors
/// [`Error::Refused`] with the remedy where privileges are missing or a course clashes.
async fn migrate(client: &mut Client, config: &Config, how: How) -> Result<Vec<String>> {
    lock(client).await?;
    let done = locked(client, config, how).await;
    // The connection may be broken by now; the lock goes with the session then.
    let _ = client.execute("select pg_advisory_unlock($1)", &[&MIGRATION_LOCK]).await;
    done
}

/// Migrates, with an entry in the operation log; where it is not `asked` for, only if anything was done. Before the
/// log is there nothing can be written of what is under way.
///
/// # Errors
/// [`Error::Refused`] with the remedy where privileges are missing or a course clashes.
pub async fn logged(client: &mut Client, config: &Config, asked: bool) -> Result<Vec<String>> {
    let (started_at, operator) = (jiff::Timestamp::now(), Operator::of(config));
    let entry = if asked && operation_log::is_there(client).await? {
        let begun = operation_log::begin(client, &operator, Operation::Migrate, &json!({})).await;
        begun.inspect_err(|error| tracing::warn!(%error, "nothing is logged")).ok()
    } else {
        None
    };
    let done = migrate(client, config, if asked { How::Asked } else { How::ByTheWay }).await;
    let end = match &done {
        Ok(lines) => {
            Finish::new(Outcome::Done).counted(lines.len() as u64, 0).with(json!({ "done": lines }))
        }
        Err(error) => Finish::failed(error),
    };
    let is_worth_it = asked || end.processed != Some(0);
    let logged = match entry {
        Some(id) => operation_log::finish(client, id, &end).await,
        None if is_worth_it && operation_log::is_there(client).await? => {
            let operation = Operation::Migrate;
            operation_log::record(client, &operator, operation, started_at, &end).await.map(drop)
        }
        None => Ok(()),
    };
    // A role that may not write the log has migrated nevertheless.
    if let Err(error) = logged {
        tracing::warn!(%error, "nothing is logged");
    }
    done
}

/// Brings schema tributary alone up to date, for commands that need no table of the daemon's.
///
/// # Errors
/// As [`logged`].
pub async fn migrate_schema(client: &mut Client) -> Result<Vec<String>> {
    lock(client).await?;
    let schema = client.schema().clone();
    let done = own_schema(client, &schema).await;
    let _ = client.execute("select pg_advisory_unlock($1)", &[&MIGRATION_LOCK]).await;
    done
}

/// Waits for the lock without a statement that waits: an index that is built concurrently waits for open statements, also for
/// one that waits for this lock.
async fn lock(client: &Client) -> Result<()> {
    const WHAT: &str = "target: waiting for the migration lock";
    loop {
        let sql = "select pg_try_advisory_lock($1)";
        if client.query_one(sql, &[&MIGRATION_LOCK]).await.context(WHAT)?.get(0) {
            return Ok(());
        }
        tokio::time::sleep(LOCK_INTERVAL).await;
    }
}

async fn locked(client: &mut Client, config: &Config, how: How) -> Result<Vec<String>> {
    let mut done = own_schema(client, &config.target.schema).await?;
    done.extend(targets(client, config, how).await?);
    Ok(done)
}

/// The target tables, as far as they are missing, and the courses.
pub(crate) async fn targets(client: &Client, config: &Config, how: How) -> Result<Vec<String>> {
    crate::targets::Tables::require_ids(client, &config.target).await?;
    let mut done = Vec::new();
    for table in tables::all(&config.target) {
        done.extend(target_table(client, &table, how).await?);
    }
    done.extend(courses(client, &config.target.courses, &config.rules.products, how).await?);
    Ok(done)
}

/// Notes what is about to be added, where a rollback takes it away again.
async fn note(client: &Client, how: How, kind: &str, table: &TableName, name: &str) -> Result<()> {
    if how != How::ByTheWay {
        return Ok(());
    }
    let sql = "insert into tributary.added (kind, relation, name) values ($1, $2, $3)";
    let added = client.execute(sql, &[&kind, &table.quoted(), &name]).await;
    added.context("target: noting what is added").map(drop)
}

/// The migrations with their names, written for this schema.
pub(crate) fn migrations(schema: &Schema) -> impl Iterator<Item = (&'static str, String)> {
    let locks = [WRITERS_LOCK, WRITER_LOCK, JOBS_LOCK];
    let locks = locks.map(|lock| (lock.to_string(), schema.lock(lock).to_string()));
    MIGRATIONS.iter().map(move |(name, sql)| {
        let of = |sql: String, (written, own): &(String, String)| sql.replace(written, own);
        (*name, locks.iter().fold(schema.of(sql).into_owned(), of))
    })
}

/// The number of a migration.
pub(crate) fn version(name: &str) -> i32 {
    let number = name.strip_prefix('V').and_then(|rest| rest.split("__").next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

async fn own_schema(client: &mut Client, schema: &Schema) -> Result<Vec<String>> {
    let exists = client
        .query_opt("select 1 from pg_namespace where nspname = $1", &[&schema.name()])
        .await
        .context("target: looking for the daemon's schema")?;
    if exists.is_none() {
        let create = format!("create schema if not exists {}", schema.quoted());
        client.batch_execute(&create).await.map_err(|error| {
            let error = Error::postgres("target: creating the daemon's schema", &error);
            refuse_privilege(error, schema)
        })?;
    }
    refuse_newer(client).await?;
    let migrations = migrations(schema)
        .map(|(name, sql)| Migration::unapplied(name, &sql))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Error::failed("reading the built-in migrations", error))?;
    let mut runner = Runner::new(&migrations);
    runner.set_migration_table_name(format!("{}.schema_history", schema.quoted()));
    let report = runner
        .run_async(client.driver())
        .await
        .map_err(|error| refuse_privilege(migration_error(&error), schema))?;
    Ok(report
        .applied_migrations()
        .iter()
        .map(|migration| format!("applied migration {}", migration.name()))
        .collect())
}

/// The newest migration that was applied, and the newest that this version knows. The first is `None` where nothing was
/// migrated, or the role may not see it.
///
/// # Errors
/// Those of the target.
pub(crate) async fn versions(client: &Client) -> Result<(Option<i32>, i32)> {
    const WHAT: &str = "target: reading the schema's version";
    let known = MIGRATIONS.iter().map(|(name, _)| version(name)).max().unwrap_or(0);
    let is_there = include_str!("migrate/sql/history_is_there.sql");
    if !client.query_one(is_there, &[]).await.context(WHAT)?.get::<_, bool>(0) {
        return Ok((None, known));
    }
    let sql = "select max(version) from tributary.schema_history";
    Ok((client.query_one(sql, &[]).await.context(WHAT)?.get(0), known))
}

/// Refuses a schema that a newer version has migrated (SPEC §10): what it means is not known here.
///
/// # Errors
/// [`Error::Config`] with the version that is needed; those of the target.
pub async fn refuse_newer(client: &Client) -> Result<()> {
    let schema = client.schema().clone();
    let (found, known) = versions(client).await?;
    let Some(found) = found.filter(|found| *found > known) else { return Ok(()) };
    let needed = match operation_log::is_there(client).await? {
        true => migrated_by(client).await?,
        false => None,
    };
    let needed = needed.filter(|version| version != env!("CARGO_PKG_VERSION"));
    let needed =
        needed.map_or_else(|| "a newer version".into(), |version| format!("version {version}"));
    Err(Error::Config(format!(
        "the target's schema {} is of migration {found}, and this version of tributary ({}) knows those up to {known}\n  \
         remedy: install {needed} of tributary, which migrated it",
        schema.name(),
        env!("CARGO_PKG_VERSION"),
    )))
}

/// Refuses a schema that an older version has migrated: what is asked of it is not all there.
///
/// # Errors
/// A refusal with the remedy; those of the target.
pub async fn refuse_older(client: &Client) -> Result<()> {
    let (found, known) = versions(client).await?;
    let found = found.unwrap_or(0);
    if found >= known {
        return Ok(());
    }
    Err(Error::refused(
        format!(
            "the target's schema {} is of migration {found}, and this version of tributary needs {known}",
            client.schema().name()
        ),
        "start the daemon of this version, or run `tributary migrate` while no daemon runs",
    ))
}

/// The version that migrated last.
async fn migrated_by(client: &Client) -> Result<Option<String>> {
    // A version that was refused has an entry too.
    let sql = "select version from tributary.operation_log where operation = 'migrate' and outcome = 'done' \
               order by id desc limit 1";
    let row = client.query_opt(sql, &[]).await.context("target: reading the operation log")?;
    Ok(row.map(|row| row.get(0)))
}

/// The driver's error is the cause of the library's, which does not show it.
fn migration_error(error: &refinery::Error) -> Error {
    const WHAT: &str = "target: migrating the daemon's schema";
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if let Some(driver) = inner.downcast_ref::<tokio_postgres::Error>() {
            return Error::postgres(WHAT, driver);
        }
        cause = inner.source();
    }
    Error::failed(WHAT, error)
}

fn refuse_privilege(error: Error, schema: &Schema) -> Error {
    if error.code() != Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
        return error;
    }
    let schema = schema.quoted();
    Error::refused(
        error.to_string(),
        format!(
            "run `tributary migrate` once with a role that may create in the target database, or: \
             create schema {schema} authorization <the role of the target URL>; where the schema exists: \
             grant all on schema {schema} to that role"
        ),
    )
}

async fn target_table(client: &Client, table: &TargetTable, how: How) -> Result<Vec<String>> {
    let context = format!("target: migrating table {}", table.name);
    let existing = existing_columns(client, &table.name, &context).await?;
    let mut done = Vec::new();
    if existing.is_empty() {
        // Asked first: `if not exists` takes the privilege to create also where the schema is there.
        let there = "select from pg_namespace where nspname = $1";
        if client.query_opt(there, &[&table.name.schema]).await.context(&context)?.is_none() {
            let schema = quote_identifier(&table.name.schema);
            run(client, &format!("create schema if not exists {schema}"), &context).await?;
        }
        note(client, how, "table", &table.name, &table.name.name).await?;
        let mut references = Vec::new();
        for reference in &table.references {
            let (column, other) = reference;
            if has_key(client, other, &context).await? {
                references.push(reference);
            } else {
                done.push(format!(
                    "left out the foreign key of {} ({column}), as no unique constraint of {other} is of its id",
                    table.name
                ));
            }
        }
        run(client, &table.create_sql(&references), &context).await?;
        done.push(format!("created table {}", table.name));
    } else {
        for column in table.columns.iter().filter(|c| !existing.iter().any(|e| e == c.name)) {
            note(client, how, "column", &table.name, column.name).await?;
            let added = run(client, &table.add_sql(column), &context).await;
            added.map_err(|error| refuse_view(error, &table.name, column.name))?;
            done.push(format!("added column {} to {}", column.name, table.name));
        }
    }
    for column in table.indexed {
        let indexed = index(client, &table.name, column, &context, how).await;
        done.extend(indexed.map_err(|error| refuse_view(error, &table.name, column))?);
    }
    Ok(done)
}

/// A view has neither columns nor indexes that can be added.
fn refuse_view(error: Error, table: &TableName, lacking: &str) -> Error {
    if error.code() != Some(&SqlState::WRONG_OBJECT_TYPE) {
        return error;
    }
    let (problem, remedy) = no_table(table, lacking);
    Error::refused(problem, remedy)
}

fn no_table(name: &TableName, lacking: &str) -> (String, &'static str) {
    (
        format!(
            "{name} is a view or a foreign table, and lacks columns or their indexes: {lacking}"
        ),
        "name a table in the [target] section: the one behind it, or another one that is made",
    )
}

/// Whether a foreign key can name the id of a table, which may be the application's.
async fn has_key(client: &Client, table: &TableName, context: &str) -> Result<bool> {
    let sql = include_str!("migrate/sql/has_key.sql");
    let row = client.query_one(sql, &[&table.quoted()]).await;
    Ok(row.context(context)?.get(0))
}

async fn existing_columns(client: &Client, name: &TableName, context: &str) -> Result<Vec<String>> {
    let rows = client
        .query(
            "select attname::text from pg_attribute \
             where attrelid = to_regclass($1) and attnum > 0 and not attisdropped",
            &[&name.quoted()],
        )
        .await
        .context(context)?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

async fn run(client: &Client, sql: &str, context: &str) -> Result<()> {
    let result = client.batch_execute(sql).await;
    result.map_err(|error| {
        let error = Error::postgres(context, &error);
        if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
            Error::refused(
                error.to_string(),
                "let the role of the target URL own the table, or run `tributary migrate` once with \
                 a role that does, and set run.migrate = false",
            )
        } else {
            error
        }
    })
}
