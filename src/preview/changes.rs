//! What a backfill does, as JSON and as text. Dry run and real run give the same keys.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::status::Rollout;
use crate::targets::changes::Changes;
use crate::targets::replace::Reference;

/// What a backfill does, or did.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Preview {
    /// Whether it is a prediction.
    pub dry_run: bool,
    /// By table.
    pub tables: BTreeMap<String, TableChanges>,
    /// Open conflicts by kind.
    pub conflicts: BTreeMap<String, u64>,
    /// What the business can count by itself.
    pub business: BTreeMap<String, Expectation>,
    /// How far a rollout is, and what is not written of those who are outside.
    pub rollout: Rollout,
    /// Time and space.
    pub estimate: Estimate,
    /// What the daemon would halt in front of until an operator accepts it.
    pub halts: Vec<String>,
    /// What refers to rows that nothing supports: they cannot be replaced.
    pub references: Vec<Reference>,
}

/// What becomes of the rows of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableChanges {
    /// Rows that are new.
    pub insert: u64,
    /// Rows of which a column changes.
    pub update: Updates,
    /// Existing rows that stay as they are.
    pub unchanged: u64,
    /// Existing rows that no source supports, which stay as they are.
    pub unsupported: u64,
    /// Existing rows that go.
    pub delete: u64,
    /// Ids of rows: by column, and under `unsupported`.
    pub examples: BTreeMap<String, Vec<String>>,
}

/// Updated rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Updates {
    /// All of them.
    pub total: u64,
    /// By column; a row counts for each column that changes.
    pub by_column: BTreeMap<String, u64>,
}

/// A count of the business.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expectation {
    /// What the source's rows imply.
    pub expected: u64,
    /// What the target tables hold afterwards.
    pub found: u64,
    /// What they held before.
    pub before: u64,
}

/// Time and space.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Seconds that it takes.
    pub seconds: f64,
    /// Source rows that are read.
    pub rows: u64,
    /// Bytes of the daemon's own tables afterwards.
    pub store_bytes: u64,
    /// Bytes of the target tables afterwards.
    pub target_bytes: u64,
}

impl From<Changes> for TableChanges {
    fn from(changes: Changes) -> Self {
        Self {
            insert: changes.inserted,
            update: Updates { total: changes.updated, by_column: changes.columns },
            unchanged: changes.unchanged,
            unsupported: changes.unsupported,
            delete: changes.deleted,
            examples: changes.examples,
        }
    }
}

impl Preview {
    /// For a person, without the tables of numbers.
    #[must_use]
    pub fn advice(&self) -> String {
        let mut text = String::new();
        for halt in &self.halts {
            let _ =
                writeln!(text, "halts       {halt}: the daemon waits there for `tributary accept`");
        }
        for Reference { table, constraint, to, rows } in &self.references {
            let _ = writeln!(
                text,
                "refused     {rows} rows of {table} refer to {to} that nothing supports ({constraint})"
            );
        }
        if self.rollout != Rollout::default() {
            let Rollout { percent, outside } = self.rollout;
            let _ = writeln!(
                text,
                "rollout     {percent} percent; not written: {} profiles, {} transactions, {} enrollments",
                outside.profiles, outside.transactions, outside.enrollments
            );
        }
        let Estimate { seconds, rows, store_bytes, target_bytes } = self.estimate;
        let mib = |bytes: u64| bytes as f64 / 1_048_576.0;
        let _ = writeln!(
            text,
            "{}  {rows} rows read in {seconds:.1} s; {:.1} MiB of the daemon's own, {:.1} MiB of target tables",
            if self.dry_run { "estimate  " } else { "took      " },
            mib(store_bytes),
            mib(target_bytes)
        );
        if self.dry_run {
            text.push_str("nothing was written\n");
            text.push_str(&self.next());
        }
        text
    }

    fn next(&self) -> String {
        let unsupported: u64 = self.tables.values().map(|table| table.unsupported).sum();
        let mut text = String::from(
            "next        tributary backfill, or tributary run, does what is shown here\n",
        );
        if unsupported > 0 {
            text.push_str(
                "            rows that no source supports stay; tributary backfill --dry-run --replace shows what removing them would do\n",
            );
        }
        if !self.conflicts.is_empty() {
            text.push_str("            tributary conflicts list shows what a person must decide, once it has run\n");
        }
        text
    }
}
