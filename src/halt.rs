//! Guarded deletes (P9): what the daemon halts in front of until an operator accepts it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::Guard;
use crate::error::{Error, Result};
use crate::pg::Db;

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
    /// A change of the configuration: of `skip`, of `exclude`, or of the feeds.
    Configuration {
        /// All rules, in one text.
        rules: String,
    },
}

/// What would go from one source table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletes {
    /// The feed, by its name.
    pub table: String,
    /// How many rows.
    pub rows: u64,
    /// Of how many.
    pub of: u64,
}

/// A pending halt: everything that one cause would delete, so that one answer is enough for it. Acceptance is
/// for exactly this cause and these tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Halt {
    /// What would delete.
    pub cause: HaltCause,
    /// From which source tables; never empty.
    pub deletes: Vec<Deletes>,
}

impl Halt {
    /// A halt.
    #[must_use]
    pub fn new(cause: HaltCause, deletes: Vec<Deletes>) -> Self {
        Self { cause, deletes }
    }

    /// One sentence for operators, with the way on.
    #[must_use]
    pub fn reason(&self) -> String {
        format!("{}; if that is meant, run `tributary accept`", self.what())
    }

    /// What would be deleted, in one sentence.
    #[must_use]
    pub fn what(&self) -> String {
        let each = |say: &dyn Fn(&Deletes) -> String| {
            self.deletes.iter().map(say).collect::<Vec<_>>().join(" and ")
        };
        match &self.cause {
            HaltCause::Truncate { commit_lsn } => {
                let tables = each(&|Deletes { table, of, .. }| format!("{table} ({of} rows)"));
                format!("the source transaction at {commit_lsn} truncates {tables}")
            }
            HaltCause::MassDelete { commit_lsn } => {
                let rows = each(&Deletes::of_table);
                format!("the source transaction at {commit_lsn} deletes {rows}")
            }
            HaltCause::Configuration { .. } => format!(
                "by the configuration {} would give nothing any more (setting it back clears the halt too)",
                each(&Deletes::of_table)
            ),
            HaltCause::Sweep { .. } => {
                format!("{} are no longer in the source", each(&Deletes::of_table))
            }
        }
    }

    /// What acceptance is recorded as: one entry a table.
    fn keys(&self) -> Vec<Value> {
        let key = |deletes: &Deletes| json!({ "cause": self.cause, "table": deletes.table });
        self.deletes.iter().map(key).collect()
    }
}

impl Deletes {
    fn of_table(&self) -> String {
        format!("{} of {} rows of {}", self.rows, self.of, self.table)
    }
}

impl HaltCause {
    /// The transaction or reconcile: what was accepted for another one no longer matters.
    fn origin(&self) -> String {
        match self {
            Self::Truncate { commit_lsn } | Self::MassDelete { commit_lsn } => commit_lsn.clone(),
            Self::Sweep { generation } => generation.to_string(),
            Self::Configuration { rules } => rules.clone(),
        }
    }
}

impl Guard {
    /// Whether this many deletes of a table of this size wait for an operator: both limits are passed.
    #[must_use]
    pub fn stops(&self, deleted: u64, of: u64) -> bool {
        deleted > self.delete_rows && deleted as f64 > of as f64 * self.delete_percent / 100.0
    }
}

/// Whether an operator accepted this halt, at once or table by table.
///
/// # Errors
/// Those of the target.
pub async fn is_accepted(db: &Db, halt: &Halt) -> Result<bool> {
    let accepted = accepted(db).await?;
    Ok(halt.keys().iter().all(|key| accepted.contains(key)))
}

async fn accepted(db: &Db) -> Result<Vec<Value>> {
    let rows =
        db.query("target: reading the state", "select accepted from tributary.state", &[]).await?;
    let accepted: Option<Value> = rows.first().and_then(|row| row.get(0));
    Ok(match accepted {
        Some(Value::Array(keys)) => keys,
        Some(key) => vec![key],
        None => Vec::new(),
    })
}

/// Records what the daemon halted in front of, on disk when this returns (P7); `None`: it goes on.
///
/// # Errors
/// Those of the target.
pub async fn record(db: &Db, halt: Option<&Halt>) -> Result<()> {
    let value = halt.map(|halt| json!(halt));
    let sql = "update tributary.state set halted = $1 where halted is distinct from $1 \
               and set_config('synchronous_commit', 'on', true) is not null";
    db.execute("target: recording the halt", sql, &[&value]).await?;
    Ok(())
}

/// The pending halt.
///
/// # Errors
/// A refusal when nothing is halted.
pub async fn pending(db: &Db) -> Result<Halt> {
    let rows =
        db.query("target: reading the state", "select halted from tributary.state", &[]).await?;
    let halted: Option<Value> = rows.first().and_then(|row| row.get(0));
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
    let sql = "update tributary.state set accepted = $1, halted = null \
               where set_config('synchronous_commit', 'on', true) is not null";
    let mut keys = accepted(db).await?;
    // One transaction may halt twice, as a TRUNCATE is met before the deletes that follow it.
    keys.retain(|key| {
        let cause = serde_json::from_value::<HaltCause>(key["cause"].clone());
        cause.is_ok_and(|cause| cause.origin() == halt.cause.origin())
    });
    keys.extend(halt.keys());
    db.execute("target: accepting", sql, &[&Value::Array(keys)]).await?;
    Ok(halt)
}
