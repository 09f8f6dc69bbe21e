//! The rollback: the tables as they were, in one transaction.
//!
//! Foreign keys order the steps, and unique values that change hands are parked meanwhile:
//!
//! 1. enrollments that were added go; what is left lets go of transactions that were added
//! 2. transactions that were added go
//! 3. addresses that differ are parked, profiles are brought back
//! 4. courses, transactions and enrollments are brought back
//! 5. profiles and courses that were added go
//! 6. each table must have the rows and the checksum of its copy
//! 7. sequences of their columns are where they were
//! 8. what was added to the tables by the way, before the backup was taken, goes
//!
//! Triggers of the application are switched off for that transaction: they would change what is brought back.

use jiff::Timestamp;
use serde_json::json;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::added;
use super::differences::{assignments, insertable, plan};
use super::tables::{self, Found, text};
use super::{Backup, Copied, find};
use crate::error::{Error, Result};
use crate::failpoint;
use crate::halt::{Halt, HaltCause};
use crate::pg::Db;
use crate::status::Stage;
use crate::store::backfill;
use crate::store::operation_log::{self, Finish, Operation, Operator, Outcome};
use crate::targets::statements::PARKED;

const WHAT: &str = "target: rolling back to the backup";

const HALTED: &str = "the daemon is halted until `tributary backfill` or `tributary cutover`";

/// Statements of this transaction read whole tables; a transaction of the application is not waited for without end.
pub(super) const WIDE: &str = "set local synchronous_commit = on; set local enable_seqscan = on; set local enable_sort = on; \
                    set local row_security = off; set local lock_timeout = '30s'; set constraints all immediate";

/// Most rounds in which enrollments take their pairs back; a chain of people who exchanged them is never that long.
const PASSES: u32 = 100;

/// Brings the tables back inside the open transaction, records that, and has the daemon halt: all of it commits together.
///
/// # Errors
/// Refusals with their remedy; those of the target. The transaction must be rolled back then.
pub async fn carry_out(
    db: &Db,
    run: &str,
    discard: bool,
    courses: &[Uuid],
    operator: &Operator,
    actor: &str,
) -> Result<String> {
    let started_at = Timestamp::now();
    db.batch(WHAT, WIDE).await?;
    let held = "select from tributary.backup where run = $1 for update";
    db.query(WHAT, held, &[&run]).await?;
    let backup = find(db, run).await?;
    if backup.import.is_some() {
        return Err(Error::refused(
            "that backup was taken before an import",
            "run `tributary rollback` for it where the daemon does not",
        ));
    }
    if was_done(db, &backup).await? {
        return Ok(format!(
            "the tables were brought back to backup {run} before, and tributary has written nothing since. What the application wrote \
             since stays: it cannot be compared with the backup any more; {HALTED}"
        ));
    }
    lock(db, &backup).await?;
    let plan = plan(db, &backup, courses).await?;
    plan.require(discard)?;
    bring_back(db, &backup).await.map_err(explain)?;
    let mut removed = added::remove(db, &backup).await?;
    removed.extend(added::set_sequences_back(db, &backup).await?);
    removed.extend(added::remove_users(db, &backup).await?);
    halt(db, run).await?;
    let rows = plan.tables.iter().map(|t| t.delete + t.insert + t.update).sum::<i64>();
    let detail = json!({ "run": run, "tables": plan.tables, "discarded": plan.application, "removed": removed });
    let end = Finish::new(Outcome::Done).counted(rows.unsigned_abs(), 0).with(detail);
    let operator = Operator { asked_by: Some(actor.to_owned()), ..operator.clone() };
    operation_log::record(db.client(), &operator, Operation::Rollback, started_at, &end).await?;
    failpoint::hit("rollback-restored");
    let removed: String = removed.iter().map(|line| format!("\n{line}")).collect();
    Ok(plan.done() + &removed + "\n" + HALTED)
}

/// Whether the target is as this backup left it, and what the backfill had added to its tables is gone again: the backup cannot be
/// compared with them.
///
/// # Errors
/// Those of the target.
pub(super) async fn was_done(db: &Db, backup: &Backup) -> Result<bool> {
    let (mut tables, mut columns) = (Vec::new(), Vec::new());
    for table in backup.written() {
        for column in &table.columns {
            tables.push(table.table.as_str());
            columns.push(column.as_str());
        }
    }
    let sql = include_str!("sql/rollback_was_done.sql");
    let rows = db.query(WHAT, sql, &[&backup.run, &tables, &columns]).await?;
    Ok(rows.first().is_some_and(|row| row.get(0)))
}

pub(super) async fn lock(db: &Db, backup: &Backup) -> Result<()> {
    let names: Vec<&str> = backup.written().map(|table| table.table.as_str()).collect();
    let sql = format!("lock table {} in share row exclusive mode", names.join(", "));
    db.batch(WHAT, &sql).await.map_err(|error| {
        if error.code() != Some(&SqlState::LOCK_NOT_AVAILABLE) {
            return error;
        }
        Error::refused(
            "an open transaction of the application holds the target tables",
            "end it, then repeat; nothing was changed",
        )
    })
}

/// What stands in the way is named by the server's code and constraint alone (P14).
pub(super) fn explain(error: Error) -> Error {
    match error {
        Error::Data { context, cause, .. } => Error::refused(
            format!("{context}: {cause}"),
            "a constraint that is newer than the backup, or a row of another table, stands in the way: remove it, then \
             repeat; nothing was changed",
        ),
        other => other,
    }
}

/// One table in the transaction of a rollback.
pub(super) struct Table<'b> {
    pub(super) table: &'b Copied,
    pub(super) copy: String,
    pub(super) found: Found,
}

async fn bring_back(db: &Db, backup: &Backup) -> Result<()> {
    let mut all = Vec::new();
    for table in &backup.tables {
        let found = tables::find(db, &table.table).await?;
        all.push(Table { table, copy: backup.copy_of(table), found });
    }
    let of = |role: &str| all.iter().find(|table| table.table.role == role);
    let triggers = switch_triggers_off(db, &all).await?;
    let (profiles, courses) = (of("profiles"), of("courses"));
    let (transactions, enrollments) = (of("transactions"), of("enrollments"));
    if let (Some(enrollments), Some(transactions)) = (enrollments, transactions) {
        enrollments.delete_added(db).await?;
        enrollments.let_go(db, transactions).await?;
        transactions.delete_added(db).await?;
    }
    if let Some(profiles) = profiles {
        profiles.park(db).await?;
    }
    for table in [profiles, courses, transactions].into_iter().flatten() {
        table.update(db, "").await?;
        table.insert(db).await?;
    }
    if let Some(enrollments) = enrollments {
        enrollments.update_one_after_another(db).await?;
        enrollments.insert(db).await?;
    }
    for table in [profiles, courses].into_iter().flatten() {
        table.delete_added(db).await?;
    }
    for statement in triggers {
        db.batch(WHAT, &statement).await?;
    }
    for table in &all {
        table.require_same(db).await?;
    }
    Ok(())
}

/// Switches the application's triggers off where this role may, and returns what switches them on again.
pub(super) async fn switch_triggers_off(db: &Db, all: &[Table<'_>]) -> Result<Vec<String>> {
    let mut on_again = Vec::new();
    for table in all.iter().filter(|table| table.found.owns) {
        let name = &table.table.table;
        let rows = db.query(WHAT, include_str!("sql/triggers.sql"), &[name]).await?;
        if !rows.is_empty() {
            db.batch(WHAT, &format!("alter table {name} disable trigger user")).await?;
            on_again.extend(rows.iter().map(|row| row.get::<_, String>(0)));
        }
    }
    Ok(on_again)
}

impl Table<'_> {
    async fn delete_added(&self, db: &Db) -> Result<()> {
        let (table, copy) = (&self.table.table, &self.copy);
        let sql = format!(
            "delete from {table} t where not exists (select from {copy} b where b.id = t.id)"
        );
        db.execute(WHAT, &sql, &[]).await.map(drop)
    }

    /// Enrollments that stay no longer refer to transactions that go.
    async fn let_go(&self, db: &Db, transactions: &Self) -> Result<()> {
        let (table, other, copy) =
            (&self.table.table, &transactions.table.table, &transactions.copy);
        let sql = format!(
            "update {table} e set transaction_id = null from {other} t \
             where t.id = e.transaction_id and not exists (select from {copy} b where b.id = t.id)"
        );
        db.execute(WHAT, &sql, &[]).await.map(drop)
    }

    /// Unique values of profiles may change hands: whoever has another one than before lets go of it first.
    async fn park(&self, db: &Db) -> Result<()> {
        let (table, copy) = (&self.table.table, &self.copy);
        let sql = format!(
            "update {table} p set email = {PARKED} where not exists (select from {copy} b \
             where b.id = p.id and b.email::text is not distinct from p.email::text)"
        );
        db.execute(WHAT, &sql, &[]).await?;
        let nullable = "select not attnotnull from pg_attribute \
                        where attrelid = to_regclass($1) and attname = 'systemeio_id' and not attisdropped";
        let rows = db.query(WHAT, nullable, &[table]).await?;
        if !rows.first().is_some_and(|row| row.get(0)) {
            return Ok(());
        }
        let before = if self.table.columns.iter().any(|column| column == "systemeio_id") {
            "b.systemeio_id::text is not distinct from p.systemeio_id::text"
        } else {
            "true"
        };
        let sql = format!(
            "update {table} p set systemeio_id = null where p.systemeio_id is not null \
             and not exists (select from {copy} b where b.id = p.id and {before})"
        );
        db.execute(WHAT, &sql, &[]).await.map(drop)
    }

    async fn update(&self, db: &Db, only: &str) -> Result<u64> {
        let (table, copy) = (&self.table.table, &self.copy);
        let (now, then) = (text("t", &self.table.columns), text("b", &self.table.columns));
        let sets = assignments(self.table, &self.found, &[]);
        if sets.is_empty() {
            return Ok(0);
        }
        let sql = format!(
            "update {table} t set {sets} from {copy} b \
             where b.id = t.id and {now} is distinct from {then} {only}"
        );
        db.execute(WHAT, &sql, &[]).await
    }

    /// A person and a course are one enrollment: each takes its pair back once nobody else has it.
    async fn update_one_after_another(&self, db: &Db) -> Result<()> {
        let free = format!(
            "and not exists (select from {} o where o.id <> t.id and o.user_id = b.user_id \
             and o.course_id = b.course_id)",
            self.table.table
        );
        for _ in 0..PASSES {
            if self.update(db, &free).await? == 0 {
                break;
            }
        }
        self.update(db, "").await.map(drop)
    }

    async fn insert(&self, db: &Db) -> Result<()> {
        let (table, copy) = (&self.table.table, &self.copy);
        let (names, values) = insertable(self.table, &self.found, &[]);
        let sql = format!(
            "insert into {table} ({names}) overriding system value select {values} from {copy} b \
             where not exists (select from {table} t where t.id = b.id)"
        );
        db.execute(WHAT, &sql, &[]).await.map(drop)
    }

    pub(super) async fn require_same(&self, db: &Db) -> Result<()> {
        let (name, columns) = (&self.table.table, &self.table.columns);
        let (rows, checksum) = tables::checksum(db, name, columns).await?;
        if rows == self.table.rows && checksum == self.table.checksum {
            return Ok(());
        }
        Err(Error::refused(
            format!(
                "{name} does not come back as it was: a trigger, rule or policy changes or drops rows, or the copy was altered"
            ),
            "let the daemon's role own the table, so that triggers can be switched off for the rollback, then repeat; \
             nothing was changed",
        ))
    }
}

/// From here on the daemon waits. Everything is due to be read and compared again: nothing that was noted of the tables
/// holds any more.
async fn halt(db: &Db, run: &str) -> Result<()> {
    let forget = "update tributary.person set profile_digest = null, enrollments_digest = null \
                      where profile_digest is not null or enrollments_digest is not null; \
                  update tributary.source_row set outcome = null where outcome is not null; \
                  delete from tributary.profile_email";
    db.batch(WHAT, forget).await?;
    let there = db.query(WHAT, "select from tributary.backfill", &[]).await?;
    if !there.is_empty() {
        read_again(db).await?;
    }
    let halted = json!(Halt::new(HaltCause::RolledBack { run: run.to_owned() }, Vec::new()));
    let sql = "update tributary.state set rolled_back = $1, halted = $2";
    db.execute(WHAT, sql, &[&run, &halted]).await.map(drop)
}

/// Schedules a reconcile of everything under the rules that the leader recorded. Inside an open transaction.
///
/// # Errors
/// Those of the target.
pub(crate) async fn read_again(db: &Db) -> Result<()> {
    const WHAT: &str = "target: scheduling a backfill";
    let rows = db.query(WHAT, "select rules from tributary.installation", &[]).await?;
    let rules: Option<String> = rows.first().and_then(|row| row.get(0));
    db.execute(WHAT, backfill::SCHEDULE, &[&Stage::Rows.as_str(), &rules]).await.map(drop)
}

/// Ends the halt after a rollback, and has a backup taken before the backfill that follows. Inside the transaction that
/// schedules it.
///
/// # Errors
/// Those of the target.
pub async fn resume_after(db: &Db, reason: &str) -> Result<()> {
    let sql = "update tributary.state set backup_due = $1, rolled_back = null, \
               halted = case when halted -> 'cause' ? 'rolled_back' then null else halted end \
               where set_config('synchronous_commit', 'on', true) is not null";
    db.execute(WHAT, sql, &[&reason]).await.map(drop)
}
