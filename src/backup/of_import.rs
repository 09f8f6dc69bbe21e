//! The rollback of an import (SPEC §9): its tables as they were, and with them its id map, its progress and its rejected
//! records, so that a later import starts where this one did. One transaction.

use jiff::Timestamp;
use serde_json::json;
use tokio_postgres::error::SqlState;

use super::any_table::Tables;
use super::differences::plan;
use super::restore::{Table, WIDE, explain, lock, switch_triggers_off};
use super::tables;
use super::{Backup, OfImport, copy, find};
use crate::config::quote_identifier;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::pg::Db;
use crate::store::operation_log::{self, Finish, Operation, Operator, Outcome};

const WHAT: &str = "target: rolling back to the backup";

/// How long the session of an import that has just ended is waited for.
const PATIENCE: &str = "3s";

/// Rolls an import back, and returns what was done in words.
///
/// # Errors
/// Refusals with their remedy; those of the target. Nothing was changed then.
pub async fn carry_out(db: &Db, run: &str, discard: bool, operator: &Operator) -> Result<String> {
    db.batch(WHAT, &format!("begin; {WIDE}")).await?;
    match within(db, run, discard, operator).await {
        Ok(summary) => {
            failpoint::hit("import-rolled-back");
            db.batch(WHAT, "commit").await?;
            Ok(summary)
        }
        Err(error) => {
            // The connection may be gone by now, and the transaction with it.
            let _ = db.batch(WHAT, "rollback").await;
            Err(error)
        }
    }
}

async fn within(db: &Db, run: &str, discard: bool, operator: &Operator) -> Result<String> {
    let started_at = Timestamp::now();
    let held = "select from tributary.backup where run = $1 for update";
    db.query(WHAT, held, &[&run]).await?;
    let backup = find(db, run).await?;
    let Some(import) = &backup.import else {
        return Err(Error::failed(WHAT, "the backup is none of an import"));
    };
    require_alone(db, &import.name).await?;
    lock(db, &backup).await?;
    let plan = plan(db, &backup, &[]).await?;
    plan.require(discard)?;
    bring_back(db, &backup).await.map_err(explain)?;
    bring_own_back(db, &backup, import).await?;
    let rows = plan.tables.iter().map(|t| t.delete + t.insert + t.update).sum::<i64>();
    let detail = json!({
        "run": run, "import": import.name, "import_run": import.run, "tables": plan.tables,
        "discarded": plan.application
    });
    let end = Finish::new(Outcome::Done).counted(rows.unsigned_abs(), 0).with(detail);
    operation_log::record(db.client(), operator, Operation::Rollback, started_at, &end).await?;
    let mut text = plan.done();
    text.push_str(&format!(
        "\nthe import {} is where it was before its run {}",
        import.name, import.run
    ));
    Ok(text)
}

/// An import of this name that is under way would go on with what is taken back.
async fn require_alone(db: &Db, name: &str) -> Result<()> {
    db.batch(WHAT, &format!("set local lock_timeout = '{PATIENCE}'")).await?;
    let sql = "select pg_advisory_xact_lock(hashtextextended('tributary import ' || $1, 0))";
    match db.query(WHAT, sql, &[&name]).await {
        Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => Err(Error::refused(
            format!("the import {name} is under way"),
            "let it end, or end it; it is a session of the target named `tributary import`",
        )),
        locked => {
            locked?;
            db.batch(WHAT, "set local lock_timeout = '30s'").await
        }
    }
}

async fn bring_back(db: &Db, backup: &Backup) -> Result<()> {
    let mut all = Vec::new();
    for table in backup.written() {
        let found = tables::find(db, &table.table).await?;
        all.push(Table { table, copy: backup.copy_of(table), found });
    }
    let tables = Tables::read(db, all).await?;
    let triggers = switch_triggers_off(db, tables.all()).await?;
    tables.bring_back(db).await?;
    for statement in triggers {
        db.batch(WHAT, &statement).await?;
    }
    for table in tables.all() {
        table.require_same(db).await?;
    }
    Ok(())
}

/// Runs that are taken back stay as such; everything else is as it was.
async fn bring_own_back(db: &Db, backup: &Backup, import: &OfImport) -> Result<()> {
    for role in ["id_map", "import_reject"] {
        let (table, from) = (format!("tributary.{role}"), copy(&backup.schema, role));
        let sql = format!("delete from {table} where import = $1");
        db.execute(WHAT, &sql, &[&import.name]).await?;
        let copied = backup.tables.iter().find(|copied| copied.role == role);
        let columns = copied.map(|copied| copied.columns.as_slice()).unwrap_or_default();
        let names: Vec<String> = columns.iter().map(|name| quote_identifier(name)).collect();
        let names = names.join(", ");
        db.batch(WHAT, &format!("insert into {table} ({names}) select {names} from {from}"))
            .await?;
    }
    // The copy was taken when the run had begun already.
    let from = copy(&backup.schema, "import_run");
    let sql = format!(
        "update tributary.import_run r set state = b.state, load = b.load, record = b.record, summary = b.summary, \
             updated_at = b.updated_at, finished_at = b.finished_at \
         from {from} b where b.run = r.run and r.run < $1"
    );
    db.execute(WHAT, &sql, &[&import.run]).await?;
    let sql = "update tributary.import_run set state = 'rolled_back', updated_at = now() \
               where import = $1 and run >= $2";
    db.execute(WHAT, sql, &[&import.name, &import.run]).await.map(drop)
}
