//! The way back (SPEC §9): copies of the target tables, and the rollback to them.
//!
//! A copy is taken of profiles, courses, transactions and enrollments in one snapshot, into a schema of its own, before the
//! first backfill into tables that hold rows and before the commands `backfill` and `cutover`. That it is due is recorded
//! with the backfill it belongs to; the commit of the copies clears that. So a process that dies takes it again, or has it.
//!
//! A rollback brings rows back by their key, in one transaction: it deletes what was added, inserts what was deleted,
//! updates what differs. Rows that other tables refer to stay. In front of the tables as they were the daemon is halted.
//!
//! An import has its own: its tables, its id map, its progress and its rejected records, copied in the transaction that begins
//! it. A rollback to these needs no daemon and halts none.
//!
//! | module | does |
//! |---|---|
//! | `tables` | what the catalog says of a table; its checksum |
//! | `take` | the copies, and which of them stay |
//! | `differences` | what a rollback would do, and what the application wrote since |
//! | `restore` | the rollback of a backfill |
//! | `added` | columns, indexes and tables that were added by the way, taken away again |
//! | `of_import` | the rollback of an import |
//! | `any_table` | rows of tables that nothing is known of but their keys, unique indexes and foreign keys |
//! | `foresight` | whether the next backup could be taken |
//! | `export` | copies as files, read back to be sure |

mod added;
mod any_table;
mod differences;
mod export;
mod foresight;
mod of_import;
mod restore;
mod tables;
mod take;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use differences::{Changes, Plan, Written, plan};
pub use export::{Exported, export};
pub(crate) use foresight::finding;
pub use of_import::carry_out as carry_out_of_import;
pub(crate) use restore::read_again;
pub use restore::{carry_out, resume_after};
pub use take::take_if_due;
pub(crate) use take::{OfTable, Wanted, copies, retain};

use crate::config::{Config, quote_identifier};
use crate::error::{Error, Result};
use crate::pg::Db;

/// The copy of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    /// Which of the target tables: `profiles`, `courses`, `transactions` or `enrollments`; of an import `schema.name`, or
    /// one of its own tables.
    pub role: String,
    /// The table, quoted.
    pub table: String,
    /// The copied columns.
    pub columns: Vec<String>,
    /// Rows.
    pub rows: i64,
    /// Size of the copy.
    pub bytes: i64,
    /// Of the rows, in whatever order they lie.
    pub checksum: String,
    /// The columns that identify a row.
    #[serde(default = "id")]
    pub key: Vec<String>,
    /// The sequences of its columns.
    #[serde(default)]
    pub sequences: Vec<Sequence>,
}

/// A sequence that belongs to a column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// Its name, quoted.
    pub name: String,
    /// Where it was.
    pub last_value: i64,
    /// Whether that value was given out.
    pub is_called: bool,
}

fn id() -> Vec<String> {
    vec!["id".to_owned()]
}

impl Copied {
    /// Whether two rows, by their aliases, have one key.
    fn same(&self, a: &str, b: &str) -> String {
        let each = self.key.iter().map(|column| {
            let name = quote_identifier(column);
            format!("{a}.{name} = {b}.{name}")
        });
        each.collect::<Vec<_>>().join(" and ")
    }

    /// The key of a row as one text.
    fn key_text(&self, alias: &str) -> String {
        let each =
            self.key.iter().map(|column| format!("{alias}.{}::text", quote_identifier(column)));
        format!("concat_ws('|', {})", each.collect::<Vec<_>>().join(", "))
    }

    /// The columns of the key.
    fn key_list(&self, alias: &str) -> String {
        tables::list(alias, &self.key)
    }
}

/// What a backup is taken before, where that is an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfImport {
    /// The import's name.
    pub name: String,
    /// Its run.
    pub run: i64,
    /// The columns that it writes, by role.
    pub columns: BTreeMap<String, Vec<String>>,
}

/// Copies of what an import keeps of itself.
const OWN: [&str; 3] = ["id_map", "import_run", "import_reject"];

/// A backup.
#[derive(Debug, Clone, Serialize)]
pub struct Backup {
    /// Its name.
    pub run: String,
    /// When it was taken.
    pub at: Timestamp,
    /// Before what.
    pub reason: String,
    /// Where the copies are.
    pub schema: String,
    /// What was copied, referenced tables first.
    pub tables: Vec<Copied>,
    /// Rows of all tables.
    pub rows: i64,
    /// Size of all copies.
    pub bytes: i64,
    /// Whether the schema is still there.
    pub present: bool,
    /// The backfill that it was taken before.
    pub generation: Option<i64>,
    /// The import that it was taken before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub import: Option<OfImport>,
}

impl Backup {
    fn of(row: &tokio_postgres::Row) -> Result<Self> {
        let tables: Vec<Copied> = serde_json::from_value(row.get(4))
            .map_err(|error| Error::failed("reading tributary.backup", error))?;
        let import: Option<serde_json::Value> = row.get(7);
        let import = import.map(serde_json::from_value).transpose();
        let import = import.map_err(|error| Error::failed("reading tributary.backup", error))?;
        let written = |table: &&Copied| !OWN.contains(&table.role.as_str());
        Ok(Self {
            run: row.get(0),
            at: row.get(1),
            reason: row.get(2),
            schema: row.get(3),
            rows: tables.iter().filter(written).map(|table| table.rows).sum(),
            bytes: tables.iter().map(|table| table.bytes).sum(),
            tables,
            generation: row.get(5),
            present: row.get(6),
            import,
        })
    }

    /// The tables of the application.
    fn written(&self) -> impl Iterator<Item = &Copied> {
        self.tables.iter().filter(|table| !OWN.contains(&table.role.as_str()))
    }

    /// The copy of a table, quoted.
    #[must_use]
    pub fn copy_of(&self, table: &Copied) -> String {
        copy(&self.schema, &table.role)
    }
}

fn copy(schema: &str, role: &str) -> String {
    // A longer name would be cut off, and could be that of another copy then.
    let name = match role.len() {
        0..=63 => role.to_owned(),
        _ => crate::digest::uuid_v5(&crate::rules::NAMESPACE, role.as_bytes()).to_string(),
    };
    format!("{}.{}", quote_identifier(schema), quote_identifier(&name))
}

/// The backups that were not dropped, newest first.
///
/// # Errors
/// Those of the target.
pub async fn list(db: &Db) -> Result<Vec<Backup>> {
    let run: Option<&str> = None;
    let rows = db.query("target: reading backups", include_str!("sql/list.sql"), &[&run]).await?;
    rows.iter().map(Backup::of).collect()
}

/// One backup, whose copies are there.
///
/// # Errors
/// A refusal where it is not there; those of the target.
pub async fn find(db: &Db, run: &str) -> Result<Backup> {
    let rows = db.query("target: reading backups", include_str!("sql/list.sql"), &[&run]).await?;
    let found = rows.first().map(Backup::of).transpose()?;
    match found {
        Some(backup) if backup.present => Ok(backup),
        Some(backup) => Err(Error::refused(
            format!("the copies of backup {run} are gone: there is no schema {}", backup.schema),
            format!("`tributary backups drop {run}` forgets it"),
        )),
        None => Err(Error::refused(
            "there is no backup of that name",
            "`tributary backups list` shows them",
        )),
    }
}

/// What a rollback to a backup would do, in a transaction of its own.
///
/// # Errors
/// As [`find`] and [`plan`].
pub async fn planned(db: &Db, run: &str, courses: &[uuid::Uuid]) -> Result<Plan> {
    const WHAT: &str = "target: comparing with the backup";
    let backup = find(db, run).await?;
    db.batch(WHAT, "begin isolation level repeatable read read only").await?;
    let plan = if restore::was_done(db, &backup).await? {
        Ok(Plan { run: run.to_owned(), was_done: true, ..Plan::default() })
    } else {
        plan(db, &backup, courses).await
    };
    if plan.is_ok() || matches!(plan, Err(Error::Refused { .. })) {
        db.batch(WHAT, "rollback").await?;
    }
    plan
}

/// Refuses what must have a way back where backups are switched off.
///
/// # Errors
/// The refusal.
pub fn require_enabled(config: &Config) -> Result<()> {
    if config.backup.enabled {
        return Ok(());
    }
    Err(Error::refused(
        "backups are switched off, and without one there is no way back",
        "set backup.enabled = true for the cut-over",
    ))
}

/// Drops a backup.
///
/// # Errors
/// A refusal where it is not there, or where something else is in its schema; those of the target.
pub async fn drop(db: &Db, run: &str) -> Result<()> {
    const WHAT: &str = "target: dropping a backup";
    db.batch(WHAT, "begin").await?;
    let dropped = drop_within(db, run).await;
    db.batch(WHAT, if dropped.is_ok() { "commit" } else { "rollback" }).await?;
    dropped
}

async fn drop_within(db: &Db, run: &str) -> Result<()> {
    const WHAT: &str = "target: dropping a backup";
    // A rollback to it holds this row until it is done.
    let sql = "update tributary.backup set dropped_at = now() where run = $1 and dropped_at is null \
               and set_config('synchronous_commit', 'on', true) is not null returning schema_name, tables";
    let rows = db.query(WHAT, sql, &[&run]).await?;
    let Some(row) = rows.first() else {
        return Err(Error::refused(
            "there is no backup of that name",
            "`tributary backups list` shows them",
        ));
    };
    let schema: String = row.get(0);
    let tables: Vec<Copied> = serde_json::from_value(row.get(1))
        .map_err(|error| Error::failed("reading tributary.backup", error))?;
    let copies: Vec<String> = tables.iter().map(|table| copy(&schema, &table.role)).collect();
    if !copies.is_empty() {
        db.batch(WHAT, &format!("drop table if exists {}", copies.join(", "))).await?;
    }
    let sql = format!("drop schema if exists {} restrict", quote_identifier(&schema));
    db.batch(WHAT, &sql).await.map_err(|error| {
        let remedy = format!("move what you put into schema {schema} elsewhere, then repeat");
        Error::refused(error.to_string(), remedy)
    })
}
