//! What became of the records: every record of the file is counted under one outcome, so that the numbers add up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Why a record did not become a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refused {
    /// A value cannot be read, or the target refuses the row.
    Rejected,
    /// A reference leads to nothing.
    Orphaned,
    /// Another record or row has the same id or the same unique value.
    Duplicate,
    /// It is a row, in which a reference that leads to nothing became NULL.
    Nulled,
}

impl Refused {
    /// The word in the table of rejected records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Orphaned => "orphaned",
            Self::Duplicate => "duplicate",
            Self::Nulled => "nulled",
        }
    }
}

/// The records of one load by outcome.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Records, or elements of their lists, in the file.
    pub read: u64,
    /// Not among what the load takes.
    pub filtered: u64,
    /// New rows.
    pub inserted: u64,
    /// Rows that differed.
    pub updated: u64,
    /// Rows that were there as the record says.
    pub unchanged: u64,
    /// See [`Refused::Rejected`].
    pub rejected: u64,
    /// See [`Refused::Orphaned`].
    pub orphaned: u64,
    /// See [`Refused::Duplicate`].
    pub duplicates: u64,
    /// References that lead to nothing and became NULL; their records are counted above.
    pub nulled: u64,
    /// Values that cannot be read and were replaced as the plan says; their records are counted above.
    pub replaced: u64,
    /// References filled in the second pass.
    pub linked: u64,
    /// Rows that the target would not let have their references of the second pass; their records are counted above.
    pub unlinked: u64,
    /// Differing values by column, of a comparison.
    pub differing: BTreeMap<String, u64>,
    /// Sums of chosen columns over the records that are rows now, as the server writes numbers: they may have any number of
    /// digits.
    pub sums: BTreeMap<String, String>,
}

impl Counts {
    /// The records under all outcomes; equal to `read` after every batch.
    #[must_use]
    pub fn accounted(&self) -> u64 {
        let rows = self.inserted + self.updated + self.unchanged;
        rows + self.filtered + self.rejected + self.orphaned + self.duplicates
    }

    pub(super) fn refuse(&mut self, refused: Refused) {
        match refused {
            Refused::Rejected => self.rejected += 1,
            Refused::Orphaned => self.orphaned += 1,
            Refused::Duplicate => self.duplicates += 1,
            Refused::Nulled => {}
        }
    }
}

/// A difference that a comparison found. No value is named (P14).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The load.
    pub load: String,
    /// The record's number.
    pub record: u64,
    /// Its key.
    pub key: String,
    /// The columns that differ; none where there is no such row.
    pub columns: Vec<String>,
}

/// A record that did not become a row, as the report lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The load.
    pub load: String,
    /// The record's number.
    pub record: u64,
    /// The element's number in its list; 0 for a record.
    pub element: u32,
    /// What became of it.
    pub outcome: String,
    /// Its key.
    pub key: String,
    /// The column.
    pub field: Option<String>,
    /// Why.
    pub reason: String,
    /// Of a duplicate, the key of the other side.
    pub other_key: Option<String>,
    /// Of a duplicate within the file, the number of the other record.
    pub other_record: Option<u64>,
}

/// A sum beside the sum that the database has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sum {
    /// The load.
    pub load: String,
    /// The column.
    pub column: String,
    /// Over the records that became rows.
    pub file: String,
    /// Over the rows that they became.
    pub database: String,
}

impl Sum {
    /// Whether both are the same number.
    #[must_use]
    pub fn agrees(&self) -> bool {
        without_zeros(&self.file) == without_zeros(&self.database)
    }
}

/// A number without zeros at the end of its fraction.
#[must_use]
pub fn without_zeros(number: &str) -> &str {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number }
}

/// One load in the report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadReport {
    /// The load.
    pub load: String,
    /// Its table.
    pub table: String,
    /// Its records.
    pub counts: Counts,
}

/// One table in the report: the records of all its loads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TableReport {
    /// Rows now.
    pub rows: i64,
    /// Records in the files that the plan takes for it.
    pub in_file: u64,
    /// Records that are rows: new, updated or unchanged.
    pub imported: u64,
    /// See [`Refused::Rejected`].
    pub rejected: u64,
    /// See [`Refused::Orphaned`].
    pub orphaned: u64,
    /// See [`Refused::Duplicate`].
    pub duplicates: u64,
}

impl TableReport {
    pub(super) fn add(&mut self, counts: &Counts) {
        self.in_file += counts.read - counts.filtered.min(counts.read);
        self.imported += counts.inserted + counts.updated + counts.unchanged;
        self.rejected += counts.rejected;
        self.orphaned += counts.orphaned;
        self.duplicates += counts.duplicates;
    }
}

/// A key of a table, and what contradicts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyCheck {
    /// The table.
    pub table: String,
    /// The key: `class_id to public.classes`, or the name of a unique index.
    pub key: String,
    /// `foreign`, `reference` (of the plan, without a constraint) or `unique`.
    pub kind: &'static str,
    /// Rows that refer to nothing, or values that are there more than once.
    pub broken: i64,
}

/// The outcome of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The import's name.
    pub import: String,
    /// The run's number; none for a comparison.
    pub run: Option<i64>,
    /// What it was: `import`, `dry_run` or `compare`.
    pub mode: &'static str,
    /// Whether it went on where another run was interrupted.
    pub resumed: bool,
    /// In the order in which they were carried out.
    pub loads: Vec<LoadReport>,
    /// The backup that was taken before it: `tributary rollback` brings it back.
    pub backup: Option<String>,
    /// Its entry in the operation log.
    pub log: Option<i64>,
    /// By table.
    pub tables: BTreeMap<String, TableReport>,
    /// Of a comparison: every foreign key, reference and unique index.
    pub keys: Vec<KeyCheck>,
    /// Sums of chosen columns.
    pub sums: Vec<Sum>,
    /// Records that did not become rows; the first of them.
    pub refusals: Vec<Refusal>,
    /// Differences of a comparison; the first of them.
    pub differences: Vec<Difference>,
    /// Inputs and fields that the plan leaves out, with the reason.
    pub left_out: BTreeMap<String, String>,
    /// The file of rejected records.
    pub rejects: Option<String>,
    /// Seconds that it took.
    pub seconds: f64,
}

impl Report {
    /// Whether every record of the files is accounted for, the sums agree, and a comparison found nothing.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let whole = self.loads.iter().all(|load| load.counts.accounted() == load.counts.read);
        let keys = self.keys.iter().all(|key| key.broken == 0);
        whole && keys && self.differences.is_empty() && self.sums.iter().all(Sum::agrees)
    }

    /// Whether any row was written.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        let changed = |counts: &Counts| counts.inserted + counts.updated + counts.linked;
        self.loads.iter().any(|load| changed(&load.counts) > 0)
    }

    /// Records that did not become rows, or without one of their references.
    #[must_use]
    pub fn listed(&self) -> u64 {
        let of = |counts: &Counts| counts.nulled + counts.unlinked;
        self.refused() + self.loads.iter().map(|load| of(&load.counts)).sum::<u64>()
    }

    /// Records that did not become rows.
    #[must_use]
    pub fn refused(&self) -> u64 {
        let refused = |counts: &Counts| counts.rejected + counts.orphaned + counts.duplicates;
        self.loads.iter().map(|load| refused(&load.counts)).sum()
    }
}
