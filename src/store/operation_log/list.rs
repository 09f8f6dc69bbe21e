//! Entries as `tributary log` shows them.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::error::Result;
use crate::pg::{Db, Param};

/// Which entries are wanted.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of these operations; empty: all.
    pub operations: Vec<String>,
    /// Begun at this time or later.
    pub since: Option<Timestamp>,
    /// Begun before this time.
    pub until: Option<Timestamp>,
    /// With this text, ignoring case, in who did it, its errors or what else is known.
    pub text: Option<String>,
    /// This one.
    pub id: Option<i64>,
    /// Older than this one.
    pub before: Option<i64>,
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
    /// One of [`Outcome::SHOWN`](super::Outcome::SHOWN).
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
    let Filter { operations, since, until, text, id, before, outcomes, limit } = filter;
    let sql = include_str!("../sql/log_list.sql");
    let params: [Param<'_>; 8] = [operations, since, id, outcomes, limit, until, text, before];
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
