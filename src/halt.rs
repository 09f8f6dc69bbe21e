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

/// What one source table would lose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// The table.
    pub table: SourceTable,
    /// How many rows.
    pub rows: u64,
    /// Of how many.
    pub of: u64,
}

/// A pending halt: everything that one source transaction, or one sweep, would delete beyond the limits.
/// Acceptance is for exactly these tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Halt {
    /// What would delete.
    pub cause: HaltCause,
    /// From which source tables.
    pub losses: Vec<Loss>,
}

/// One table of a halt that an operator accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Accepted {
    cause: HaltCause,
    table: SourceTable,
}

impl Halt {
    /// A halt.
    #[must_use]
    pub fn new(cause: HaltCause, losses: Vec<Loss>) -> Self {
        Self { cause, losses }
    }

    /// One sentence for operators, with the way on.
    #[must_use]
    pub fn reason(&self) -> String {
        format!("{}; if that is meant, run `tributary accept`", self.what())
    }

    /// What would be deleted, in one sentence.
    #[must_use]
    pub fn what(&self) -> String {
        let each = |tell: fn(&Loss) -> String| -> String {
            self.losses.iter().map(tell).collect::<Vec<_>>().join(" and ")
        };
        let part = |Loss { table, rows, of }: &Loss| format!("{rows} of {of} rows of {table}");
        match &self.cause {
            HaltCause::Truncate { commit_lsn } => {
                let all = each(|Loss { table, of, .. }| format!("{table} ({of} rows)"));
                format!("the source transaction at {commit_lsn} truncates {all}")
            }
            HaltCause::MassDelete { commit_lsn } => {
                format!("the source transaction at {commit_lsn} deletes {}", each(part))
            }
            HaltCause::Sweep { .. } => format!("{} are no longer in the source", each(part)),
        }
    }

    fn keys(&self) -> impl Iterator<Item = Accepted> + '_ {
        self.losses.iter().map(|loss| Accepted { cause: self.cause.clone(), table: loss.table })
    }
}

impl HaltCause {
    /// Whether both are of one source transaction, or of one reconcile.
    fn is_of_the_same(&self, other: &Self) -> bool {
        let at = |cause: &Self| match cause {
            Self::Truncate { commit_lsn } | Self::MassDelete { commit_lsn } => commit_lsn.clone(),
            Self::Sweep { generation } => format!("sweep {generation}"),
        };
        at(self) == at(other)
    }
}

impl Guard {
    /// Whether this many deletes of a table of this size wait for an operator: both limits are passed.
    #[must_use]
    pub fn stops(&self, deleted: u64, of: u64) -> bool {
        deleted > self.delete_rows && deleted as f64 > of as f64 * self.delete_percent / 100.0
    }
}

/// Whether an operator accepted all of this halt.
///
/// # Errors
/// Those of the target.
pub async fn is_accepted(db: &Db, halt: &Halt) -> Result<bool> {
    let accepted = accepted(db).await?;
    Ok(halt.keys().all(|key| accepted.contains(&key)))
}

async fn accepted(db: &Db) -> Result<Vec<Accepted>> {
    let rows =
        db.query("target: reading the state", "select accepted from tributary.state", &[]).await?;
    let accepted: Option<serde_json::Value> = rows.first().and_then(|row| row.get(0));
    Ok(accepted.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default())
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
    // A transaction may halt twice, such as by two TRUNCATE statements: what was accepted of it stays so.
    let mut all = accepted(db).await?;
    all.retain(|before| before.cause.is_of_the_same(&halt.cause));
    all.extend(halt.keys());
    let sql = "update tributary.state set accepted = $1, halted = null";
    db.execute("target: accepting", sql, &[&serde_json::json!(all)]).await?;
    Ok(halt)
}
