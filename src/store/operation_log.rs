//! `tributary.operation_log`: what was done, by whom, with what outcome (SPEC §9).
//!
//! An entry is written when an operation begins and completed when it ends. While it is under way, the session that does
//! the work holds an advisory lock that names the entry: one without an outcome whose lock nobody holds was interrupted.
//! Nothing of a customer is in it (P14): what a command says about people is left to its answer.
//!
//! | who calls | how |
//! |---|---|
//! | a command that runs by itself (verify, dry run, validate, cut-over) | [`Journal::begin`], [`Journal::finish`] |
//! | a backfill or rebuild, resumed or not | [`begin_backfill`], [`backfill_done`] in its last commit |
//! | what is one transaction (a decision, a rollback) | [`record`] inside of it |

use crate::pg::Client;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::config::Config;
use crate::connect::connect;
use crate::error::{Context as _, Error, Result};
use crate::pg::{Db, Param};
use crate::rules::NAMESPACE;

const WHAT: &str = "target: writing the operation log";

/// What is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// The schema was brought up to date.
    Migrate,
    /// The feeds were read.
    Backfill,
    /// What a backfill would do.
    DryRun,
    /// Source, stored rows and target were compared.
    Verify,
    /// Everybody was recomputed.
    Rebuild,
    /// What `verify` found was recomputed.
    Repair,
    /// The share of people who are written was changed.
    Rollout,
    /// Copies of the target tables were taken.
    Backup,
    /// The target tables were brought back to a backup.
    Rollback,
    /// The guarded first day.
    Cutover,
    /// A decision about people or rows, or one taken back.
    Decision,
    /// A guarded delete was accepted.
    Accept,
    /// The validation pack was run.
    Validate,
    /// A person was forgotten.
    Erase,
    /// An export was imported.
    Import,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 15] = [
        Self::Migrate,
        Self::Backfill,
        Self::DryRun,
        Self::Verify,
        Self::Rebuild,
        Self::Repair,
        Self::Rollout,
        Self::Backup,
        Self::Rollback,
        Self::Cutover,
        Self::Decision,
        Self::Accept,
        Self::Validate,
        Self::Erase,
        Self::Import,
    ];

    /// The word in the table and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Migrate => "migrate",
            Self::Backfill => "backfill",
            Self::DryRun => "dry-run",
            Self::Verify => "verify",
            Self::Rebuild => "rebuild",
            Self::Repair => "repair",
            Self::Rollout => "rollout",
            Self::Backup => "backup",
            Self::Rollback => "rollback",
            Self::Cutover => "cutover",
            Self::Decision => "decision",
            Self::Accept => "accept",
            Self::Validate => "validate",
            Self::Erase => "erase",
            Self::Import => "import",
        }
    }
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Done,
    /// By an error.
    Failed,
    /// It was not begun: a reason and a remedy were given.
    Refused,
    /// In front of something that waits for an operator.
    Halted,
    /// By a signal, to be gone on with.
    Stopped,
}

impl Outcome {
    /// Every word that the log shows, with the two that follow from the lock.
    pub const SHOWN: [&'static str; 7] =
        ["done", "failed", "refused", "halted", "stopped", "running", "interrupted"];

    /// The word in the table.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Halted => "halted",
            Self::Stopped => "stopped",
        }
    }

    /// How an operation ended that ended with this error.
    #[must_use]
    pub fn of(error: &Error) -> Self {
        match error {
            Error::Refused { .. } => Self::Refused,
            Error::Halted(_) => Self::Halted,
            _ => Self::Failed,
        }
    }
}

/// As what an operation is carried out: user, version, configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// The login name of the process.
    pub os_user: Option<String>,
    /// Who asked for it, where somebody did.
    pub asked_by: Option<String>,
    /// Of the whole configuration as it is in force, passwords left out.
    pub config_hash: String,
}

impl Operator {
    /// This process with this configuration.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let text = config.to_toml();
        // Comments say where a value came from.
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let hash = Uuid::new_v5(&NAMESPACE, lines.join("\n").as_bytes());
        Self { os_user: os_user(), asked_by: None, config_hash: hash.to_string() }
    }
}

/// The login name of this process.
#[must_use]
pub fn os_user() -> Option<String> {
    let named = ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    named.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// What is known at the end.
#[derive(Debug, Clone)]
pub struct Finish {
    /// How it ended.
    pub outcome: Outcome,
    /// What it looked at, as the operation counts: rows, people, points.
    pub processed: Option<i64>,
    /// Of them what is as it should be.
    pub succeeded: Option<i64>,
    /// Of them what is not.
    pub failed: Option<i64>,
    /// What went wrong, without values of customers.
    pub errors: Vec<String>,
    /// An object that is merged into that of the beginning.
    pub detail: Value,
}

impl Finish {
    /// The end with this outcome, of which nothing else is known.
    #[must_use]
    pub fn new(outcome: Outcome) -> Self {
        let (processed, succeeded, failed) = (None, None, None);
        Self { outcome, processed, succeeded, failed, errors: Vec::new(), detail: json!({}) }
    }

    /// The end of what failed. Messages of errors hold no value of a row (P14).
    #[must_use]
    pub fn failed(error: &Error) -> Self {
        Self { errors: vec![error.to_string()], ..Self::new(Outcome::of(error)) }
    }

    /// With counts, of which `failed` failed.
    #[must_use]
    pub fn counted(mut self, processed: u64, failed: u64) -> Self {
        let number = |count: u64| Some(i64::try_from(count).unwrap_or(i64::MAX));
        self.processed = number(processed);
        self.succeeded = number(processed.saturating_sub(failed));
        self.failed = number(failed);
        self
    }

    /// With more to know about it: an object.
    #[must_use]
    pub fn with(mut self, detail: Value) -> Self {
        self.detail = detail;
        self
    }
}

/// Begins an entry, which is under way until [`finish`], or until this session ends.
///
/// # Errors
/// Those of the target.
pub async fn begin(
    client: &Client,
    operator: &Operator,
    operation: Operation,
    detail: &Value,
) -> Result<i64> {
    let sql = "insert into tributary.operation_log \
               (operation, os_user, asked_by, version, config_hash, detail) \
               select $1, $2, $3, $4, $5, $6 \
               where set_config('synchronous_commit', 'on', true) is not null returning id";
    let Operator { os_user, asked_by, config_hash } = operator;
    let params: [Param<'_>; 6] =
        [&operation.as_str(), os_user, asked_by, &version(), config_hash, detail];
    let rows = client.query(sql, &params).await.context(WHAT)?;
    let id = rows.first().map(|row| row.get(0));
    let id = id.ok_or_else(|| Error::failed(WHAT, "no row"))?;
    hold(client, id).await?;
    Ok(id)
}

/// Whether there is a log: before the schema is migrated there is none.
///
/// # Errors
/// Those of the target.
pub async fn is_there(client: &Client) -> Result<bool> {
    let sql = "select to_regclass('tributary.operation_log') is not null";
    Ok(client.query_one(sql, &[]).await.context(WHAT)?.get(0))
}

/// Completes an entry.
///
/// # Errors
/// Those of the target.
pub async fn finish(client: &Client, id: i64, finish: &Finish) -> Result<()> {
    let Finish { outcome, processed, succeeded, failed, errors, detail } = finish;
    let sql = include_str!("sql/log_finish.sql");
    let params: [Param<'_>; 7] =
        [&id, &outcome.as_str(), processed, succeeded, failed, errors, detail];
    client.execute(sql, &params).await.context(WHAT)?;
    release(client, id).await
}

/// Writes an entry of what began at `started_at` and has just ended. Inside a transaction it commits with it.
///
/// # Errors
/// Those of the target.
pub async fn record(
    client: &Client,
    operator: &Operator,
    operation: Operation,
    started_at: Timestamp,
    finish: &Finish,
) -> Result<i64> {
    let sql = "insert into tributary.operation_log (operation, started_at, finished_at, outcome, os_user, \
               asked_by, version, config_hash, processed, succeeded, failed, errors, detail) \
               values ($1, $2, clock_timestamp(), $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) returning id";
    let Finish { outcome, processed, succeeded, failed, errors, detail } = finish;
    let Operator { os_user, asked_by, config_hash } = operator;
    let params: [Param<'_>; 12] = [
        &operation.as_str(),
        &started_at,
        &outcome.as_str(),
        os_user,
        asked_by,
        &version(),
        config_hash,
        processed,
        succeeded,
        failed,
        errors,
        detail,
    ];
    let rows = client.query(sql, &params).await.context(WHAT)?;
    Ok(rows.first().map_or(0, |row| row.get(0)))
}

/// Writes the entry of a command that was answered: who asked is in the command.
///
/// # Errors
/// Those of the target.
pub async fn record_command(
    db: &Db,
    operator: &Operator,
    operation: Operation,
    command: i64,
    finish: &Finish,
) -> Result<()> {
    let sql = "insert into tributary.operation_log (operation, started_at, finished_at, outcome, os_user, \
               database_user, asked_by, version, config_hash, processed, succeeded, failed, errors, detail) \
               select $2, c.created_at, clock_timestamp(), $3, c.os_user, coalesce(c.database_user, session_user), \
                   c.actor, $4, $5, $6, $7, $8, $9, $10 from tributary.command c where c.id = $1";
    let Finish { outcome, processed, succeeded, failed, errors, detail } = finish;
    let params: [Param<'_>; 10] = [
        &command,
        &operation.as_str(),
        &outcome.as_str(),
        &version(),
        &operator.config_hash,
        processed,
        succeeded,
        failed,
        errors,
        detail,
    ];
    db.execute(WHAT, sql, &params).await?;
    Ok(())
}

/// Begins the entry of the backfill or rebuild that is scheduled, or goes on with that of an attempt that was interrupted.
/// Another one that is still open was: its backfill is scheduled no more.
///
/// # Errors
/// Those of the target.
pub async fn begin_backfill(db: &Db, operator: &Operator) -> Result<Option<i64>> {
    let Operator { os_user, asked_by, config_hash } = operator;
    let sql = include_str!("sql/log_backfill.sql");
    let params: [Param<'_>; 4] = [os_user, asked_by, &version(), config_hash];
    let rows = db.query(WHAT, sql, &params).await?;
    let id: Option<i64> = rows.first().map(|row| row.get(0));
    if let Some(id) = id {
        hold(db.client(), id).await?;
    }
    Ok(id)
}

/// Completes the entry of the backfill that is done, in the transaction that says so.
///
/// # Errors
/// Those of the target.
pub async fn backfill_done(db: &Db) -> Result<()> {
    let sql = include_str!("sql/log_backfill_done.sql");
    for row in db.query(WHAT, sql, &[]).await? {
        release(db.client(), row.get(0)).await?;
    }
    Ok(())
}

/// Shows an entry to be under way, once for each session.
async fn hold(client: &Client, id: i64) -> Result<()> {
    release(client, id).await?;
    let sql = "select pg_advisory_lock(hashtext('tributary.operation_log'), $1::bigint::int)";
    client.query(sql, &[&id]).await.context(WHAT).map(drop)
}

async fn release(client: &Client, id: i64) -> Result<()> {
    let sql = "select pg_advisory_unlock(hashtext('tributary.operation_log'), $1::bigint::int) from pg_locks l \
               where l.pid = pg_backend_pid() and l.locktype = 'advisory' and l.objsubid = 2 \
               and l.classid = hashtext('tributary.operation_log')::oid and l.objid = $1::bigint::oid";
    client.query(sql, &[&id]).await.context(WHAT).map(drop)
}

fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// An entry with a session of its own, of a command that holds no lock. That it cannot be written never makes the command
/// fail: a role that only reads may verify too.
pub struct Journal {
    open: Option<(Db, i64)>,
}

impl Journal {
    /// Begins an entry.
    pub async fn begin(config: &Config, operation: Operation, detail: Value) -> Self {
        let begun = async {
            let db = Db::new(connect(&config.target.server, "tributary log", "target").await?);
            let id = begin(db.client(), &Operator::of(config), operation, &detail).await?;
            Ok::<_, Error>((db, id))
        };
        match begun.await {
            Ok(open) => Self { open: Some(open) },
            Err(error) => {
                tracing::warn!(%error, "the operation log cannot be written");
                Self { open: None }
            }
        }
    }

    /// The number of the entry, where there is one.
    #[must_use]
    pub fn id(&self) -> Option<i64> {
        self.open.as_ref().map(|(_, id)| *id)
    }

    /// Completes it.
    pub async fn finish(self, end: &Finish) {
        let Some((db, id)) = self.open else { return };
        if let Err(error) = finish(db.client(), id, end).await {
            tracing::warn!(%error, "the operation log cannot be written");
        }
    }

    /// Completes it by what an operation returned.
    pub async fn close<T>(self, result: &Result<T>, done: impl FnOnce(&T) -> Finish) {
        match result {
            Ok(value) => self.finish(&done(value)).await,
            Err(error) => self.finish(&Finish::failed(error)).await,
        }
    }
}

/// Which entries are wanted.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of these operations; empty: all.
    pub operations: Vec<String>,
    /// Begun at this time or later.
    pub since: Option<Timestamp>,
    /// This one.
    pub id: Option<i64>,
    /// With one of these outcomes as shown; empty: all.
    pub outcomes: Vec<String>,
    /// At most so many, newest first; `None`: all.
    pub limit: Option<i64>,
}

/// An entry as shown.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// Its number.
    pub id: i64,
    /// What was done.
    pub operation: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// One of [`Outcome::SHOWN`].
    pub outcome: String,
    /// The login name.
    pub os_user: Option<String>,
    /// The role on the target.
    pub database_user: String,
    /// Who asked for it.
    pub asked_by: Option<String>,
    /// Of the program.
    pub version: String,
    /// Of the configuration.
    pub config_hash: String,
    /// What it looked at.
    pub processed: Option<i64>,
    /// Of them what is as it should be.
    pub succeeded: Option<i64>,
    /// Of them what is not.
    pub failed: Option<i64>,
    /// What went wrong.
    pub errors: Vec<String>,
    /// What else is known.
    pub detail: Value,
    /// How long it took, or takes.
    pub seconds: Option<f64>,
}

/// Reads entries, newest first.
///
/// # Errors
/// Those of the target.
pub async fn list(db: &Db, filter: &Filter) -> Result<Vec<Entry>> {
    let Filter { operations, since, id, outcomes, limit } = filter;
    let sql = include_str!("sql/log_list.sql");
    let params: [Param<'_>; 5] = [operations, since, id, outcomes, limit];
    let rows = db.query("target: reading the operation log", sql, &params).await?;
    Ok(rows.iter().map(Entry::of).collect())
}

impl Entry {
    fn of(row: &tokio_postgres::Row) -> Self {
        Self {
            id: row.get(0),
            operation: row.get(1),
            started_at: row.get(2),
            finished_at: row.get(3),
            outcome: row.get(4),
            os_user: row.get(5),
            database_user: row.get(6),
            asked_by: row.get(7),
            version: row.get(8),
            config_hash: row.get(9),
            processed: row.get(10),
            succeeded: row.get(11),
            failed: row.get(12),
            errors: row.get(13),
            detail: row.get(14),
            seconds: row.get(15),
        }
    }
}
