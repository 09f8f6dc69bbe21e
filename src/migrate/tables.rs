//! The target tables as SPEC §2 lists them.

use crate::config::{TableName, Target, quote_identifier};

/// A target table and its columns.
pub struct TargetTable {
    /// Where it is.
    pub name: TableName,
    /// Every column of SPEC §2.
    pub columns: &'static [ColumnSpec],
    /// Columns that must lead an index.
    pub indexed: &'static [&'static str],
    /// Columns that reference the ids of others, when the table is created.
    pub references: Vec<(&'static str, TableName)>,
    /// Other table constraints when the table is created.
    constraints: &'static [&'static str],
}

/// A column of a target table.
pub struct ColumnSpec {
    /// Its name.
    pub name: &'static str,
    /// Its type, and its default where it has one: what is added to a table that exists already.
    pub definition: &'static str,
    /// What a new table has beyond that, such as `not null`.
    pub constraint: &'static str,
}

/// Percent of a page that inserts fill: rows are brought up to date in place (HOT) as long as their page has room, and
/// then no index is written.
const ROOM: u32 = 80;

const fn column(name: &'static str, definition: &'static str) -> ColumnSpec {
    ColumnSpec { name, definition, constraint: "" }
}

const fn bound(
    name: &'static str,
    definition: &'static str,
    constraint: &'static str,
) -> ColumnSpec {
    ColumnSpec { name, definition, constraint }
}

impl TargetTable {
    /// The statement that creates the table with all columns. `references` are those of its own that can be: the table
    /// that they name may be one of the application's, without a key.
    #[must_use]
    pub fn create_sql(&self, references: &[&(&'static str, TableName)]) -> String {
        let columns = self.columns.iter().map(|column| {
            format!("{} {} {}", quote_identifier(column.name), column.definition, column.constraint)
        });
        let references = references.iter().map(|(column, table)| {
            format!("foreign key ({column}) references {} (id)", table.quoted())
        });
        let constraints = self.constraints.iter().map(|constraint| (*constraint).to_owned());
        let parts: Vec<String> = columns.chain(references).chain(constraints).collect();
        format!(
            "create table if not exists {} ({}) with (fillfactor = {ROOM})",
            self.name.quoted(),
            parts.join(", ")
        )
    }

    /// The statement that adds one column to a table that exists.
    #[must_use]
    pub fn add_sql(&self, column: &ColumnSpec) -> String {
        let name = quote_identifier(column.name);
        format!(
            "alter table {} add column if not exists {name} {}",
            self.name.quoted(),
            column.definition
        )
    }
}

/// The four tables, referenced ones first.
#[must_use]
pub(super) fn all(target: &Target) -> Vec<TargetTable> {
    let table = |name: &TableName, columns, indexed| TargetTable {
        name: name.clone(),
        columns,
        indexed,
        references: vec![],
        constraints: &[],
    };
    let (profiles, transactions) = (&target.profiles, &target.transactions);
    vec![
        table(profiles, PROFILES, &["id", "email", "systemeio_id"]),
        table(&target.courses, COURSES, &[]),
        TargetTable {
            references: vec![("user_id", profiles.clone())],
            ..table(transactions, TRANSACTIONS, &["id", "user_id", "payment_provider_id"])
        },
        TargetTable {
            references: vec![
                ("user_id", profiles.clone()),
                ("course_id", target.courses.clone()),
                ("transaction_id", transactions.clone()),
            ],
            constraints: &["unique (user_id, course_id)"],
            ..table(&target.enrollments, ENROLLMENTS, &["id", "user_id", "transaction_id"])
        },
    ]
}

const PROFILES: &[ColumnSpec] = &[
    bound("id", "uuid", "primary key"),
    bound("email", "text", "not null unique"),
    column("first_name", "text"),
    column("last_name", "text"),
    column("phone", "text"),
    column("tags", "text[]"),
    column("acquisition_source", "text"),
    column("payment_source", "text"),
    column("cohort_date", "date"),
    bound("systemeio_id", "text", "unique"),
    column("systemeio_tags", "text"),
    column("created_at", "timestamptz"),
    column("updated_at", "timestamptz"),
    column("last_active_at", "timestamptz"),
    column("tier", "text default 'viewer'"),
    column("tier_assignment", "text default 'auto'"),
    column("tier_assignment_notes", "text"),
    column("api_source", "text"),
    column("last_api_sync_at", "timestamptz"),
    column("api_sync_version", "int default 1"),
];

const TRANSACTIONS: &[ColumnSpec] = &[
    bound("id", "uuid", "primary key"),
    column("user_id", "uuid"),
    bound("amount", "numeric", "not null"),
    column("currency", "text"),
    column("status", "text"),
    column("payment_method", "text"),
    column("payment_provider", "text"),
    column("payment_provider_id", "text"),
    column("payment_provider_fee", "numeric"),
    column("description", "text"),
    column("product_name", "text"),
    column("product_type", "text"),
    column("product_id", "uuid"),
    column("created_at", "timestamptz"),
    column("updated_at", "timestamptz"),
    column("paid_at", "timestamptz"),
    column("settled_at", "timestamptz"),
    column("cancelled_at", "timestamptz"),
    column("refunded_at", "timestamptz"),
    column("failed_at", "timestamptz"),
    column("failure_reason", "text"),
    column("metadata", "jsonb"),
    column("api_source", "text"),
    column("last_api_sync_at", "timestamptz"),
    column("api_sync_version", "int default 1"),
    column("processed_at", "timestamptz"),
    column("fiscal_year", "int"),
    column("fiscal_quarter", "int"),
];

const ENROLLMENTS: &[ColumnSpec] = &[
    bound("id", "uuid", "primary key"),
    bound("user_id", "uuid", "not null"),
    bound("course_id", "uuid", "not null"),
    column("transaction_id", "uuid"),
    column("status", "text"),
    column("created_at", "timestamptz"),
    column("updated_at", "timestamptz"),
    column("start_date", "date"),
    column("expiry_date", "date"),
    column("completion_date", "date"),
    column("progress", "numeric default 0"),
    column("last_activity_at", "timestamptz"),
    column("notes", "text"),
    column("metadata", "jsonb"),
    column("cohort_month", "text"),
    column("cohort_quarter", "text"),
];

const COURSES: &[ColumnSpec] = &[
    bound("id", "uuid", "primary key"),
    bound("title", "text", "not null"),
    bound("slug", "text", "unique"),
];
