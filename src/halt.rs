//! What the daemon halts for: guarded deletes (P9) until an operator accepts them, and failures that no new session heals
//! until their cause is removed.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::{Config, Guard};
use crate::connect::connect;
use crate::error::{Context, Error, Result};
use crate::pg::Db;
use crate::session::begin_fenced;

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
    /// The target was brought back to a backup: nothing is applied until a backfill is asked for.
    RolledBack {
        /// The backup.
        run: String,
    },
    /// Attempts that all ended in the same way.
    Failures {
        /// The last error, without row values (P14).
        error: String,
        /// How many there were.
        attempts: u32,
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
    /// From which source tables; empty for failures alone.
    pub deletes: Vec<Deletes>,
}

impl Halt {
    /// A halt.
    #[must_use]
    pub fn new(cause: HaltCause, deletes: Vec<Deletes>) -> Self {
        Self { cause, deletes }
    }

    /// What no new session heals.
    #[must_use]
    pub fn failed(error: &Error, attempts: u32) -> Self {
        Self::new(HaltCause::Failures { error: error.to_string(), attempts }, Vec::new())
    }

    /// Whether it is for failures rather than in front of a delete.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        matches!(self.cause, HaltCause::Failures { .. })
    }

    /// One sentence for operators, with the way on.
    #[must_use]
    pub fn reason(&self) -> String {
        if let HaltCause::Failures { error, attempts } = &self.cause {
            return format!(
                "{error}\n  remedy: {attempts} attempts ended like this: correct what the message names (a \
                 constraint or trigger of the target that is checked at the commit, a table that was altered), \
                 then restart the daemon"
            );
        }
        if let HaltCause::RolledBack { .. } = self.cause {
            let next = "nothing is applied until `tributary backfill` or `tributary cutover`";
            return format!("{}; {next}", self.what());
        }
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
            HaltCause::RolledBack { run } => {
                format!("rolled_back: the target tables are those of backup {run}")
            }
            HaltCause::Failures { error, .. } => error.clone(),
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
            Self::RolledBack { run } => run.clone(),
            Self::Failures { error, .. } => error.clone(),
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
    if matches!(halt.cause, HaltCause::RolledBack { .. }) {
        return Ok(rolled_back(db).await?.is_none());
    }
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

/// Records what the daemon halted in front of, on disk when this returns (P7); `None`: it goes on. That it failed is
/// known to be over only once it has come further ([`clear_failure`]).
///
/// # Errors
/// Those of the target.
pub async fn record(db: &Db, halt: Option<&Halt>) -> Result<()> {
    let value = halt.map(|halt| json!(halt));
    let sql = "update tributary.state set halted = $1 where halted is distinct from $1 \
               and ($1::jsonb is not null or not halted -> 'cause' ? 'failures') \
               and set_config('synchronous_commit', 'on', true) is not null";
    db.execute("target: recording the halt", sql, &[&value]).await?;
    Ok(())
}

/// Records failures on a session of its own, as the leader of this epoch: the one that failed is gone.
///
/// # Errors
/// Those of the target; [`Error::Superseded`] where another daemon took over.
pub async fn record_failure(config: &Config, epoch: i64, halt: &Halt) -> Result<()> {
    const WHAT: &str = "target: recording the halt";
    let target = connect(&config.target.server, "tributary", "target").await?;
    begin_fenced(&target, epoch).await?;
    target.batch_execute("set local synchronous_commit = on").await.context(WHAT)?;
    let sql = "update tributary.state set halted = $1";
    target.execute(sql, &[&json!(halt)]).await.context(WHAT)?;
    target.batch_execute("commit").await.context(WHAT)
}

/// What the daemon failed at before it was restarted, as long as it has not come further.
///
/// # Errors
/// Those of the target.
pub async fn failure(db: &Db) -> Result<Option<Halt>> {
    Ok(recorded(db).await?.filter(Halt::is_failure))
}

/// The halt in front of tables that were brought back to a backup, until a backfill is asked for. It is recorded for itself:
/// whatever else the daemon halts for meanwhile does not end it.
///
/// # Errors
/// Those of the target.
pub async fn rolled_back(db: &Db) -> Result<Option<Halt>> {
    let sql = "select rolled_back from tributary.state";
    let rows = db.query("target: reading the state", sql, &[]).await?;
    let run: Option<String> = rows.first().and_then(|row| row.get(0));
    Ok(run.map(|run| Halt::new(HaltCause::RolledBack { run }, Vec::new())))
}

/// Refuses what would write people while the target is rolled back.
///
/// # Errors
/// The refusal.
pub async fn refuse_rolled_back(db: &Db) -> Result<()> {
    match rolled_back(db).await? {
        None => Ok(()),
        Some(halt) => Err(Error::refused(
            halt.what(),
            "run `tributary backfill` (or `tributary cutover`) first; what you ask for needs rows that are up to date",
        )),
    }
}

/// It has come further than what it failed at.
///
/// # Errors
/// Those of the target.
pub async fn clear_failure(db: &Db) -> Result<()> {
    let sql = "update tributary.state set halted = null where halted -> 'cause' ? 'failures'";
    db.execute("target: recording the halt", sql, &[]).await?;
    Ok(())
}

/// What the daemon halted for, as recorded.
///
/// # Errors
/// Those of the target.
pub async fn recorded(db: &Db) -> Result<Option<Halt>> {
    let rows =
        db.query("target: reading the state", "select halted from tributary.state", &[]).await?;
    let halted: Option<Value> = rows.first().and_then(|row| row.get(0));
    Ok(halted.and_then(|value| serde_json::from_value(value).ok()))
}

/// The pending halt.
///
/// # Errors
/// A refusal when nothing is halted.
pub async fn pending(db: &Db) -> Result<Halt> {
    match recorded(db).await? {
        Some(Halt { cause: HaltCause::RolledBack { .. }, .. }) => Err(Error::refused(
            "the daemon halted because the target was rolled back, so there is nothing to accept",
            "`tributary backfill` or `tributary cutover` goes on",
        )),
        Some(halt) if !halt.is_failure() => Ok(halt),
        Some(_) => Err(Error::refused(
            "the daemon halted because its attempts failed, so there is nothing to accept",
            "`tributary status` shows what failed: remove the cause, then restart the daemon",
        )),
        None => Err(Error::refused(
            "nothing is halted, so there is nothing to accept",
            "look at `tributary status`",
        )),
    }
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
