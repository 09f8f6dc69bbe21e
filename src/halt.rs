//! Guarded deletes (P9): what the daemon halts in front of until an operator accepts it.

use serde::{Deserialize, Serialize};

use crate::apply::Db;
use crate::config::Guard;
use crate::error::{Error, Result};
use crate::facts::SourceTable;

/// What would delete so much.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HaltCause {
    /// TRUNCATE in the source transaction that commits at this LSN.
    Truncate {
        /// Where the commit record starts.
        commit_lsn: String,
    },
    /// The source transaction that commits at this LSN.
    MassDelete {
        /// Where the commit record starts.
        commit_lsn: String,
    },
    /// The sweep of a reconcile.
    Sweep {
        /// The reconcile.
        generation: i64,
    },
}

/// A pending halt. Two are the same when they are equal: acceptance is for exactly one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Halt {
    /// What would delete.
    pub cause: HaltCause,
    /// From which source table.
    pub table: SourceTable,
    /// How many rows.
    pub rows: u64,
    /// Of how many.
    pub of: u64,
}

impl Halt {
    /// A halt.
    #[must_use]
    pub fn new(cause: HaltCause, table: SourceTable, rows: u64, of: u64) -> Self {
        Self { cause, table, rows, of }
    }

    /// One sentence for operators, with the way on.
    #[must_use]
    pub fn reason(&self) -> String {
        format!("{}; if that is meant, run `tributary accept`", self.what())
    }

    /// What would be deleted, in one sentence.
    #[must_use]
    pub fn what(&self) -> String {
        let Self { table, rows, of, .. } = self;
        match &self.cause {
            HaltCause::Truncate { commit_lsn } => {
                format!("the source transaction at {commit_lsn} truncates {table} ({of} rows)")
            }
            HaltCause::MassDelete { commit_lsn } => {
                format!(
                    "the source transaction at {commit_lsn} deletes {rows} of {of} rows of {table}"
                )
            }
            HaltCause::Sweep { .. } => {
                format!("{rows} of {of} rows of {table} are no longer in the source")
            }
        }
    }

    fn key(&self) -> serde_json::Value {
        serde_json::json!({ "cause": self.cause, "table": self.table })
    }
}

impl Guard {
    /// Whether this many deletes of a table of this size wait for an operator: both limits are passed.
    #[must_use]
    pub fn stops(&self, deleted: u64, of: u64) -> bool {
        deleted > self.delete_rows && deleted as f64 > of as f64 * self.delete_percent / 100.0
    }
}

/// Whether an operator accepted this halt.
///
/// # Errors
/// Those of the target.
pub async fn is_accepted(db: &Db, halt: &Halt) -> Result<bool> {
    let rows =
        db.query("target: reading the state", "select accepted from tributary.state", &[]).await?;
    let accepted: Option<serde_json::Value> = rows.first().and_then(|row| row.get(0));
    Ok(accepted == Some(halt.key()))
}

/// Records what the daemon halted in front of; `None`: it goes on.
///
/// # Errors
/// Those of the target.
pub async fn record(db: &Db, halt: Option<&Halt>) -> Result<()> {
    let value = halt.map(|halt| serde_json::json!(halt));
    db.execute("target: recording the halt", "update tributary.state set halted = $1", &[&value])
        .await?;
    Ok(())
}

/// The pending halt.
///
/// # Errors
/// A refusal when nothing is halted.
pub async fn pending(db: &Db) -> Result<Halt> {
    let rows =
        db.query("target: reading the state", "select halted from tributary.state", &[]).await?;
    let halted: Option<serde_json::Value> = rows.first().and_then(|row| row.get(0));
    halted.and_then(|value| serde_json::from_value(value).ok()).ok_or_else(|| {
        Error::refused(
            "nothing is halted, so there is nothing to accept",
            "look at `tributary status`",
        )
    })
}

/// Accepts exactly the pending halt and returns it.
///
/// # Errors
/// A refusal when nothing is halted.
pub async fn accept(db: &Db) -> Result<Halt> {
    let halt = pending(db).await?;
    let sql = "update tributary.state set accepted = $1, halted = null";
    db.execute("target: accepting", sql, &[&halt.key()]).await?;
    Ok(halt)
}
