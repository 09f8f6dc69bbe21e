//! What a rollback would do, and what the application wrote since the backup and would lose.
//!
//! The application wrote: rows that the daemon did not insert, columns that the daemon never writes, and rows of other tables
//! that refer to what would be deleted. Rows that are gone since come back in any case: nothing is lost by that.

use serde::Serialize;
use uuid::Uuid;

use super::tables::{self, Found, list, text};
use super::{Backup, Copied, OfImport};
use crate::config::quote_identifier;
use crate::engine::columns::{ENROLLMENT, PROFILE, TRANSACTION};
use crate::error::{Error, Result};
use crate::pg::Db;
use crate::targets::foreign_key::{self, OnDelete};

const WHAT: &str = "target: comparing with the backup";

/// Rows named as examples of what the application wrote.
const EXAMPLES: i64 = 5;

/// What a rollback does to one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// The table.
    pub table: String,
    /// Rows that were added since.
    pub delete: i64,
    /// Rows that are gone since.
    pub insert: i64,
    /// Rows that differ.
    pub update: i64,
}

/// Something that the application wrote since the backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Written {
    /// The table.
    pub table: String,
    /// What of it, in words.
    pub what: String,
    /// In how many rows.
    pub rows: i64,
    /// Ids of some of them.
    pub examples: Vec<String>,
    /// Whether even `--discard-application-changes` does not help: the row must go first.
    pub blocks: bool,
}

/// What a rollback would do.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Plan {
    /// The backup.
    pub run: String,
    /// By table.
    pub tables: Vec<Changes>,
    /// What the application would lose.
    pub application: Vec<Written>,
    /// Whether the tables were brought back before, and what the backfill had added is gone: then nothing is compared.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub was_done: bool,
}

impl Plan {
    /// What was done, in words.
    pub(super) fn done(&self) -> String {
        let mut text = format!("rolled back to backup {}", self.run);
        for table in &self.tables {
            text.push_str(&format!(
                "\n{}: {} rows deleted, {} inserted, {} updated",
                table.table, table.delete, table.insert, table.update
            ));
        }
        text
    }

    /// Refuses what would lose writes of the application.
    ///
    /// # Errors
    /// The refusal, with what they are.
    pub(super) fn require(&self, discard: bool) -> Result<()> {
        let stop = |one: &&Written| one.blocks || !discard;
        let stops: Vec<String> = self
            .application
            .iter()
            .filter(stop)
            .map(|one| format!("{}: {} in {} rows", one.table, one.what, one.rows))
            .collect();
        if stops.is_empty() {
            return Ok(());
        }
        let blocked = self.application.iter().any(|one| one.blocks);
        Err(Error::refused(
            format!("the application wrote since backup {}:\n  {}", self.run, stops.join("\n  ")),
            if blocked {
                "delete the rows of other tables that refer to rows which were added since, or keep them: a rollback \
                 never deletes them; `tributary rollback <run> --dry-run` names some"
            } else {
                "`tributary rollback <run> --dry-run` names some; to lose them, repeat with \
                 --discard-application-changes"
            },
        ))
    }
}

/// Compares the tables with the backup. In a transaction of one snapshot, or with the tables locked.
///
/// # Errors
/// A refusal where a table cannot be brought back; those of the target.
pub async fn plan(db: &Db, backup: &Backup, courses: &[Uuid]) -> Result<Plan> {
    let names: Vec<String> = backup.tables.iter().map(|table| table.table.clone()).collect();
    let (mut tables, mut application) = (Vec::new(), Vec::new());
    for table in backup.written() {
        let found = tables::find(db, &table.table).await?;
        require_columns(table, &found)?;
        let copy = backup.copy_of(table);
        let import = backup.import.as_ref();
        let compared = Compared { db, table, copy, found, courses, import };
        compared.require_key().await?;
        tables.push(compared.changes().await?);
        application.extend(compared.rows_of_the_application().await?);
        application.extend(compared.columns_of_the_application().await?);
        application.extend(compared.references(&names).await?);
    }
    Ok(Plan { run: backup.run.clone(), tables, application, was_done: false })
}

/// Every column that was copied must still be there.
fn require_columns(table: &Copied, found: &Found) -> Result<()> {
    match table.columns.iter().find(|column| !found.columns.contains(column)) {
        None => Ok(()),
        Some(column) => Err(Error::refused(
            format!("the column {column} of {}, which the backup holds, is gone", table.table),
            "run `tributary migrate`, which adds those of the daemon, or add it again with the type that it had (the copy in \
             the backup's schema has it), then repeat",
        )),
    }
}

/// One table beside its copy.
struct Compared<'a> {
    db: &'a Db,
    table: &'a Copied,
    copy: String,
    found: Found,
    /// Courses of the configuration, which `migrate` inserts.
    courses: &'a [Uuid],
    /// Who wrote the rows, where it was not the daemon.
    import: Option<&'a OfImport>,
}

impl Compared<'_> {
    async fn count(&self, sql: &str) -> Result<i64> {
        let rows = self.db.query(WHAT, sql, &[]).await?;
        Ok(rows.first().map_or(0, |row| row.get(0)))
    }

    /// Rows are brought back by their id.
    async fn require_key(&self) -> Result<()> {
        for name in [&self.table.table, &self.copy] {
            let key = self.table.key_list("t");
            let sql = format!(
                "select (select count(*) from {name}) - count(*) from (select distinct {key} from {name} t \
                 where row({key}) is not null) k"
            );
            if self.count(&sql).await? != 0 {
                return Err(Error::refused(
                    format!(
                        "{name} has rows without a key, or several with one: they cannot be distinguished"
                    ),
                    "copy the tables back by hand from the backup's schema, with the daemon stopped",
                ));
            }
        }
        Ok(())
    }

    async fn changes(&self) -> Result<Changes> {
        let (table, copy) = (&self.table.table, &self.copy);
        let (now, then) = (text("t", &self.table.columns), text("b", &self.table.columns));
        let same = self.table.same("b", "t");
        let first = self.table.key.first().map(|name| quote_identifier(name)).unwrap_or_default();
        let sql = format!(
            "select count(*) filter (where b.{first} is null), count(*) filter (where t.{first} is null), \
                 count(*) filter (where {same} and {now} is distinct from {then}) \
             from {table} t full join {copy} b on {same}"
        );
        let rows = self.db.query(WHAT, &sql, &[]).await?;
        let row = rows.first().ok_or_else(|| Error::failed(WHAT, "no row"))?;
        let (delete, insert, update) = (row.get(0), row.get(1), row.get(2));
        Ok(Changes { table: table.clone(), delete, insert, update })
    }

    /// Whether the daemon, or the import, inserted a row `t` that was added since.
    fn is_ours(&self) -> String {
        if let Some(import) = self.import {
            return format!(
                "exists (select from tributary.id_map m where m.import = {} and m.table_name = {} and m.new_id = {})",
                literal(&import.name),
                literal(&self.table.role),
                self.table.key_text("t")
            );
        }
        match self.table.role.as_str() {
            "profiles" => "exists (select from tributary.person o where o.profile_id = t.id) \
                 and not exists (select from tributary.adopted_profile a where a.profile_id = t.id)"
                .to_owned(),
            "transactions" => {
                "coalesce(tributary.metadata(t.metadata) ?& array['source', 'source_id'], false) \
                 and not exists (select from tributary.adopted_transaction a where a.id = t.id)"
                    .to_owned()
            }
            "enrollments" => {
                "coalesce(tributary.metadata(t.metadata) ->> 'managed_by' = 'tributary', false)"
                    .to_owned()
            }
            _ => {
                let ids: Vec<String> = self.courses.iter().map(|id| format!("'{id}'")).collect();
                format!("t.id::text = any(array[{}]::text[])", ids.join(", "))
            }
        }
    }

    /// Columns that the daemon never writes.
    fn of_the_application(&self) -> impl Iterator<Item = &String> {
        let imported = self.import.and_then(|import| import.columns.get(&self.table.role));
        let (owned, bookkeeping): (&[&str], &[&str]) = match self.table.role.as_str() {
            "profiles" => (&PROFILE, &["updated_at", "last_api_sync_at", "api_sync_version"]),
            "transactions" => {
                (&TRANSACTION, &["last_api_sync_at", "api_sync_version", "processed_at"])
            }
            "enrollments" => (&ENROLLMENT, &["metadata", "created_at", "updated_at"]),
            _ => (&["id"], &[]),
        };
        let of_import = self.import.is_some();
        let is_ours = move |column: &str| match imported {
            Some(columns) => columns.iter().any(|known| known == column),
            None => !of_import && (owned.contains(&column) || bookkeeping.contains(&column)),
        };
        let columns = self.found.columns.iter().filter(|c| !self.found.generated.contains(c));
        columns.filter(move |column| !is_ours(column))
    }

    async fn written(&self, what: String, blocks: bool, from: &str) -> Result<Option<Written>> {
        let sql = format!("select count(*) {from}");
        let rows = self.count(&sql).await?;
        if rows == 0 {
            return Ok(None);
        }
        let (key, order) = (self.table.key_text("t"), self.table.key_list("t"));
        let sql = format!("select {key} {from} order by {order} limit {EXAMPLES}");
        let examples = self.db.query(WHAT, &sql, &[]).await?;
        let examples = examples.iter().map(|row| row.get(0)).collect();
        Ok(Some(Written { table: self.table.table.clone(), what, rows, examples, blocks }))
    }

    fn added(&self) -> String {
        let (table, copy) = (&self.table.table, &self.copy);
        let same = self.table.same("b", "t");
        format!("from {table} t where not exists (select from {copy} b where {same})")
    }

    async fn rows_of_the_application(&self) -> Result<Option<Written>> {
        let from = format!("{} and not ({})", self.added(), self.is_ours());
        self.written("rows that it inserted".to_owned(), false, &from).await
    }

    async fn columns_of_the_application(&self) -> Result<Vec<Written>> {
        let (table, copy) = (&self.table.table, &self.copy);
        let mut all = Vec::new();
        for column in self.of_the_application() {
            let name = quote_identifier(column);
            let from = if self.table.columns.contains(column) {
                format!(
                    "from {table} t join {copy} b on {} \
                     where row(t.{name})::text is distinct from row(b.{name})::text",
                    self.table.same("b", "t")
                )
            } else {
                format!("from {table} t where t.{name} is not null")
            };
            let what = if self.table.columns.contains(column) {
                format!("column {column} that it changed")
            } else {
                format!("column {column} that was added (its values stay in rows that stay)")
            };
            all.extend(
                self.written(what, false, &from)
                    .await?
                    .filter(|_| self.table.columns.contains(column)),
            );
        }
        let defaults = self.db.query(WHAT, include_str!("sql/defaults.sql"), &[table]).await?;
        for row in &defaults {
            let (column, default): (String, Option<String>) = (row.get(0), row.get(1));
            if !self.of_the_application().any(|known| *known == column) {
                continue;
            }
            let name = quote_identifier(&column);
            let default = default.unwrap_or_else(|| "null".to_owned());
            // Rows that the application inserted count once.
            let from = format!(
                "{} and {} and row(t.{name})::text is distinct from row(coalesce({default}, null))::text \
                 and t.{name} is not null",
                self.added(),
                self.is_ours()
            );
            let what = format!("column {column} that it wrote in rows that were added since");
            if self.table.role != "courses" {
                all.extend(self.written(what, false, &from).await?);
            }
        }
        Ok(all)
    }

    /// Rows of other tables that refer to what would be deleted.
    async fn references(&self, own: &[String]) -> Result<Vec<Written>> {
        let table = std::slice::from_ref(&self.table.table);
        let mut all = Vec::new();
        for key in foreign_key::to(self.db, table, own).await? {
            let (other, condition) = (&key.table, key.joins("r", "t"));
            let from =
                format!("{} and exists (select from {other} r where {condition})", self.added());
            let (what, blocks) = match key.on_delete {
                OnDelete::Cascade => (
                    format!("added since, to which rows of {other} refer that would go with them"),
                    false,
                ),
                OnDelete::Set => (
                    format!("added since, to which rows of {other} refer that would lose that"),
                    false,
                ),
                OnDelete::Refuse => (format!("added since, to which rows of {other} refer"), true),
            };
            all.extend(self.written(what, blocks, &from).await?);
        }
        Ok(all)
    }
}

/// A text as an expression, in which the name of the daemon's schema is never taken for one.
pub(super) fn literal(text: &str) -> String {
    let digits: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("convert_from('\\x{digits}'::bytea, 'UTF8')")
}

/// `x = b.x, y = b.y` of the columns that may be updated, but those that are left out.
pub(super) fn assignments(table: &Copied, found: &Found, left_out: &[String]) -> String {
    let each = table.columns.iter().filter(|column| !left_out.contains(column)).filter(|column| {
        !found.generated.contains(column)
            && !found.always.contains(column)
            && !table.key.contains(column)
    });
    let each = each.map(|column| {
        let name = quote_identifier(column);
        format!("{name} = b.{name}")
    });
    each.collect::<Vec<_>>().join(", ")
}

/// The columns that may be inserted, but those that are left out: for the table, and from the copy.
pub(super) fn insertable(table: &Copied, found: &Found, left_out: &[String]) -> (String, String) {
    let may_stand =
        |column: &&String| !found.generated.contains(column) && !left_out.contains(column);
    let columns: Vec<String> = table.columns.iter().filter(may_stand).cloned().collect();
    let names: Vec<String> = columns.iter().map(|column| quote_identifier(column)).collect();
    (names.join(", "), list("b", &columns))
}
