//! What was found.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use uuid::Uuid;

use crate::engine::{RowId, SharedId};
use crate::facts::Feed;
use crate::store::operation_log::{Finish, Outcome};

/// Units that are remembered for a repair; what is beyond is found again by the verification after it.
const MOST_REPAIRS: usize = 100_000;

/// Where a difference is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// `tributary.source_row` against the feeds.
    SourceRows,
    /// Profiles and `tributary.person`.
    Profiles,
    /// Transactions.
    Transactions,
    /// Enrollments.
    Enrollments,
    /// `tributary.conflict`.
    Conflicts,
}

impl Table {
    /// Every table, in the order of the report.
    pub const ALL: [Self; 5] =
        [Self::SourceRows, Self::Profiles, Self::Transactions, Self::Enrollments, Self::Conflicts];

    /// The word in the report.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SourceRows => "source_rows",
            Self::Profiles => "profiles",
            Self::Transactions => "transactions",
            Self::Enrollments => "enrollments",
            Self::Conflicts => "conflicts",
        }
    }

    /// The section of the rules that says what a field holds.
    #[must_use]
    pub fn rule(self, field: &str) -> &'static str {
        match (self, field) {
            (Self::SourceRows, "owner" | "email_key") => "§4.1",
            (Self::SourceRows, "shared_id" | "member") => "§4.4, §6",
            (Self::SourceRows, _) => "§1",
            (Self::Profiles, "person" | "email") => "§4.1",
            (Self::Profiles, "systemeio_id") => "§4.2, §4.4",
            (Self::Profiles, _) => "§4.2",
            (Self::Transactions, "user_id") => "§4.1, §5.2",
            (Self::Transactions, "row") => "§5.1, §5.3",
            (Self::Transactions, _) => "§5.2",
            (Self::Enrollments, _) => "§5.4",
            (Self::Conflicts, _) => "§6",
        }
    }
}

/// What is wrong with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// It is not there.
    Missing,
    /// It is there and nothing supports it.
    Unexpected,
    /// Columns of it are not what they should be.
    Differs,
}

impl Problem {
    /// The word in the report.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Unexpected => "unexpected",
            Self::Differs => "differs",
        }
    }
}

/// A field that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The column; `row` for the row as a whole; of a conflict its kind.
    pub name: String,
    /// What is there.
    pub found: Option<String>,
    /// What should be there.
    pub expected: Option<String>,
}

impl Field {
    /// A field without values.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), found: None, expected: None }
    }
}

/// What must be recomputed to remove a difference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Touch {
    /// A row is read from the source again.
    Row(RowId),
    /// An owner.
    Owner(String),
    /// A shared id.
    Shared(SharedId),
    /// The suspected duplicates of a person.
    Person(String),
    /// A transaction that nothing supports.
    Transaction(Uuid),
    /// An enrollment of nobody.
    Enrollment(Uuid),
    /// A conflict of no unit that is judged.
    Conflict(Uuid),
}

/// One row that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where.
    pub table: Table,
    /// The row's id, which is no customer value.
    pub id: Option<String>,
    /// The source row that it is of, or the first of the person's, as P14 shows it.
    pub source_row: Option<String>,
    /// What is wrong.
    pub problem: Problem,
    /// In which fields.
    pub fields: Vec<Field>,
    /// What removes it.
    pub touch: Touch,
}

/// A difference as it is shown.
#[derive(Debug, Clone, Serialize)]
pub struct Example {
    /// Where.
    pub table: Table,
    /// The row's id.
    pub id: Option<String>,
    /// The source row.
    pub source_row: Option<String>,
    /// What is wrong.
    pub problem: Problem,
    /// In which fields.
    pub fields: Vec<ExampleField>,
}

/// A field of an example.
#[derive(Debug, Clone, Serialize)]
pub struct ExampleField {
    /// Its name.
    pub field: String,
    /// The section of the rules.
    pub rule: &'static str,
    /// Both values, where they are shown.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub values: Option<Values>,
}

/// What is there and what should be.
#[derive(Debug, Clone, Serialize)]
pub struct Values {
    /// What is there.
    pub found: Option<String>,
    /// What should be.
    pub expected: Option<String>,
}

/// How much was compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Source rows and stored rows.
    pub source_rows: u64,
    /// Owners: persons, and groups of rows without one.
    pub owners: u64,
    /// Transactions of the target.
    pub transactions: u64,
    /// Enrollments of the target.
    pub enrollments: u64,
}

/// What a verification found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Rows that differ, of all tables.
    pub differences: u64,
    /// By table.
    pub tables: Tables,
    /// Rows that never held still long enough to be compared.
    pub unsettled: u64,
    /// Differing rows by `table.field`.
    pub columns: BTreeMap<String, u64>,
    /// Some of them.
    pub examples: Vec<Example>,
    /// How much was compared.
    pub checked: Checked,
    /// Owners that the target refuses (P10), which are not compared.
    pub quarantined: u64,
    /// Rows with a value that is not known (P6), whose owners are not compared.
    pub incomplete: u64,
    /// Owners of rows that differ, which were not compared as there are too many.
    pub skipped: u64,
    /// Whether a daemon applied changes all the time: otherwise later changes of the source show as differences.
    pub streaming: bool,
    #[serde(skip)]
    pub(super) repairs: BTreeSet<Touch>,
    /// Stored rows that the source no longer has, by feed: a repair deletes them.
    #[serde(skip)]
    pub(super) gone: BTreeMap<Feed, u64>,
    /// Transactions that a repair deletes.
    #[serde(skip)]
    pub(super) unsupported: u64,
}

/// Differing rows of each table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tables {
    /// See [`Table::SourceRows`].
    pub source_rows: u64,
    /// See [`Table::Profiles`].
    pub profiles: u64,
    /// See [`Table::Transactions`].
    pub transactions: u64,
    /// See [`Table::Enrollments`].
    pub enrollments: u64,
    /// See [`Table::Conflicts`].
    pub conflicts: u64,
}

impl Tables {
    /// Of one table.
    #[must_use]
    pub fn of(&self, table: Table) -> u64 {
        match table {
            Table::SourceRows => self.source_rows,
            Table::Profiles => self.profiles,
            Table::Transactions => self.transactions,
            Table::Enrollments => self.enrollments,
            Table::Conflicts => self.conflicts,
        }
    }

    fn count(&mut self, table: Table) -> u64 {
        let count = match table {
            Table::SourceRows => &mut self.source_rows,
            Table::Profiles => &mut self.profiles,
            Table::Transactions => &mut self.transactions,
            Table::Enrollments => &mut self.enrollments,
            Table::Conflicts => &mut self.conflicts,
        };
        *count += 1;
        *count
    }
}

impl Report {
    /// Adds a difference.
    pub(super) fn add(&mut self, difference: Difference, options: super::Options) {
        let Difference { table, id, source_row, problem, fields, touch } = difference;
        self.differences += 1;
        let count = self.tables.count(table);
        for field in &fields {
            *self.columns.entry(format!("{}.{}", table.as_str(), field.name)).or_default() += 1;
        }
        if table == Table::Transactions && problem == Problem::Unexpected {
            self.unsupported += 1;
        }
        if let (Touch::Row(id), Problem::Unexpected) = (&touch, problem) {
            *self.gone.entry(id.0).or_default() += 1;
        }
        if self.repairs.len() < MOST_REPAIRS {
            self.repairs.insert(touch);
        }
        if count <= options.examples as u64 {
            let fields = fields.into_iter().map(|field| ExampleField {
                rule: table.rule(&field.name),
                values: options
                    .show_values
                    .then_some(Values { found: field.found, expected: field.expected }),
                field: field.name,
            });
            let fields = fields.collect();
            self.examples.push(Example { table, id, source_row, problem, fields });
        }
    }
}
/// What the operation log keeps of a report: counts alone.
#[must_use]
pub fn logged(report: &Report) -> Finish {
    let checked = &report.checked;
    let rows = checked.source_rows + checked.owners + checked.transactions + checked.enrollments;
    Finish::new(Outcome::Done)
        .counted(rows, report.differences)
        .with(serde_json::json!({ "checked": checked, "tables": report.tables, "streaming": report.streaming }))
}
