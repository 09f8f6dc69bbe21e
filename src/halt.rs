//! What the daemon halts for: guarded deletes (P9) until an operator accepts them, and failures that no new session heals
//! until their cause is removed.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::rules::NAMESPACE;

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
    /// An operator paused the stream.
    Paused {
        /// Who.
        by: String,
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

    /// What no new session heals: the error in words, without row values.
    #[must_use]
    pub fn failed(error: String, attempts: u32) -> Self {
        Self::new(HaltCause::Failures { error, attempts }, Vec::new())
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
        if let HaltCause::Paused { .. } = self.cause {
            return format!("{}; `tributary resume` goes on", self.what());
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
            HaltCause::Paused { by } => format!("paused by {by}: nothing of the stream is applied"),
            HaltCause::Failures { error, .. } => error.clone(),
        }
    }

    /// Names exactly this halt: its cause, and what it would delete.
    #[must_use]
    pub fn identity(&self) -> String {
        crate::digest::uuid_v5(&NAMESPACE, json!(self).to_string().as_bytes()).to_string()
    }

    /// What acceptance is recorded as: one entry a table.
    pub(crate) fn keys(&self) -> Vec<Value> {
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
    /// Whether one transaction or reconcile may halt for both: what was accepted for another one no longer matters.
    pub(crate) fn goes_with(&self, other: &Self) -> bool {
        let is_of_reconcile =
            |cause: &Self| matches!(cause, Self::Sweep { .. } | Self::Configuration { .. });
        let differ = std::mem::discriminant(self) != std::mem::discriminant(other);
        self.origin() == other.origin() || differ && is_of_reconcile(self) && is_of_reconcile(other)
    }

    /// The transaction or reconcile.
    fn origin(&self) -> String {
        match self {
            Self::Truncate { commit_lsn } | Self::MassDelete { commit_lsn } => commit_lsn.clone(),
            Self::Sweep { generation } => generation.to_string(),
            Self::Configuration { rules } => rules.clone(),
            Self::RolledBack { run } => run.clone(),
            Self::Paused { by } => by.clone(),
            Self::Failures { error, .. } => error.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_delete_is_another_halt() {
        let halt = |cause: HaltCause, rows: u64| {
            let deletes = Deletes { table: "xendit".into(), rows, of: 9_000 };
            Halt::new(cause, vec![deletes]).identity()
        };
        let at = |lsn: &str| HaltCause::MassDelete { commit_lsn: lsn.into() };
        let seen = halt(at("0/1"), 2_000);
        assert_eq!(seen, halt(at("0/1"), 2_000));
        let others = [
            halt(at("0/2"), 2_000),
            halt(at("0/1"), 2_001),
            halt(HaltCause::Truncate { commit_lsn: "0/1".into() }, 2_000),
            halt(HaltCause::Sweep { generation: 1 }, 2_000),
        ];
        assert!(others.iter().all(|other| *other != seen), "{others:?}");
    }

    #[test]
    fn what_one_reconcile_halts_for_is_accepted_one_after_the_other() {
        let sweep = |generation| HaltCause::Sweep { generation };
        let rules = |rules: &str| HaltCause::Configuration { rules: rules.into() };
        let table = [
            (sweep(1), rules("a"), true),
            (rules("a"), sweep(1), true),
            (sweep(1), sweep(2), false),
            (rules("a"), rules("b"), false),
            (HaltCause::MassDelete { commit_lsn: "0/1".into() }, sweep(1), false),
        ];
        for (accepted, now, expected) in table {
            assert_eq!(accepted.goes_with(&now), expected, "{accepted:?} {now:?}");
        }
    }
}
