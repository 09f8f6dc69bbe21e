//! Rows as they are, and how they differ from how they were: what a preview shows (SPEC §7).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tokio_postgres::Row;

use crate::apply::Reached;
use crate::engine::columns::{ENROLLMENT, PROFILE, TRANSACTION};
use crate::error::Result;
use crate::pg::{Db, Param};
use crate::targets::Tables;

/// A table whose rows a decision changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// `tributary.person`: who is one person.
    People,
    /// Profiles.
    Profiles,
    /// Transactions.
    Transactions,
    /// Enrollments.
    Enrollments,
    /// `tributary.conflict`.
    Conflicts,
}

impl Table {
    /// All, in the order in which they are shown.
    pub const ALL: [Self; 5] =
        [Self::People, Self::Profiles, Self::Transactions, Self::Enrollments, Self::Conflicts];

    /// Its name, for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::People => "people",
            Self::Profiles => "profiles",
            Self::Transactions => "transactions",
            Self::Enrollments => "enrollments",
            Self::Conflicts => "conflicts",
        }
    }

    /// The columns that are compared: owned ones, without bookkeeping (SPEC §2).
    fn columns(self) -> &'static [&'static str] {
        match self {
            Self::People => &["state", "profile_id"],
            Self::Profiles => PROFILE.get(1..).unwrap_or_default(),
            Self::Transactions => TRANSACTION.get(1..).unwrap_or_default(),
            Self::Enrollments => ENROLLMENT.get(1..).unwrap_or_default(),
            Self::Conflicts => &["severity", "status", "evidence", "note"],
        }
    }
}

/// What happens to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happens {
    /// It is new.
    Insert,
    /// It differs.
    Update,
    /// It goes.
    Delete,
}

impl Happens {
    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// A value before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// The column.
    pub name: String,
    /// Before.
    pub before: Option<String>,
    /// After.
    pub after: Option<String>,
}

/// A row that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Of which table.
    pub table: Table,
    /// Its id; of a person the address, of a conflict the fingerprint.
    pub key: String,
    /// What people call it.
    pub label: String,
    /// What happens to it.
    pub happens: Happens,
    /// The values that differ; of a row that comes or goes those that are not NULL.
    pub fields: Vec<Field>,
}

/// A row as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Values {
    label: String,
    values: Vec<Option<String>>,
}

/// Rows as they are, by table and key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Snapshot(BTreeMap<(Table, String), Values>);

impl Snapshot {
    /// Reads everything that was reached.
    pub(super) async fn read(db: &Db, tables: &Tables, reached: &Reached) -> Result<Self> {
        let profiles: Vec<_> = reached.profiles.iter().copied().collect();
        let transactions: Vec<_> = reached.transactions.iter().copied().collect();
        let conflicts: Vec<_> = reached.conflicts.iter().copied().collect();
        let owners: Vec<&str> = reached.owners.iter().map(String::as_str).collect();
        let names = &tables.names;
        let mut rows = BTreeMap::new();
        let courses = format!(
            "coalesce((select coalesce(c.slug, c.title) from {} c where c.id = x.course_id), '')",
            names.courses
        );
        let own: [(Table, &str, &str, &str, &str, Param<'_>); 5] = [
            (
                Table::People,
                "tributary.person",
                "x.email_key",
                "x.email_key",
                "x.email_key",
                &owners,
            ),
            (Table::Profiles, &names.profiles, "x.id::text", "x.email::text", "x.id", &profiles),
            (
                Table::Transactions,
                &names.transactions,
                "x.id::text",
                "concat_ws(' ', x.amount, x.currency, x.status, x.product_name)",
                "x.id",
                &transactions,
            ),
            (
                Table::Enrollments,
                &names.enrollments,
                "x.id::text",
                &courses,
                "x.user_id",
                &profiles,
            ),
            (
                Table::Conflicts,
                "tributary.conflict",
                "x.fingerprint::text",
                "x.kind || ' ' || x.subject",
                "x.fingerprint",
                &conflicts,
            ),
        ];
        for (table, from, key, label, by, keys) in own {
            let values: Vec<String> =
                table.columns().iter().map(|column| format!("x.{column}::text")).collect();
            let sql = format!(
                "select {key}, {label}, array[{}] from {from} x where {by} = any($1)",
                values.join(", ")
            );
            for row in db.query("target: reading rows for a preview", &sql, &[keys]).await? {
                let values = Values { label: text(&row, 1), values: row.get(2) };
                rows.insert((table, row.get(0)), values);
            }
        }
        Ok(Self(rows))
    }

    /// What differs after.
    pub(super) fn changes(&self, after: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        for (at, new) in &after.0 {
            match self.0.get(at) {
                None => changes.push(change(at, new, Happens::Insert, None, Some(new))),
                Some(old) if old.values != new.values => {
                    changes.push(change(at, new, Happens::Update, Some(old), Some(new)));
                }
                Some(_) => {}
            }
        }
        for (at, old) in &self.0 {
            if !after.0.contains_key(at) {
                changes.push(change(at, old, Happens::Delete, Some(old), None));
            }
        }
        changes.sort_by(|a, b| (a.table, &a.label, &a.key).cmp(&(b.table, &b.label, &b.key)));
        changes
    }
}

fn text(row: &Row, at: usize) -> String {
    row.get::<_, Option<String>>(at).unwrap_or_default()
}

fn change(
    at: &(Table, String),
    named: &Values,
    happens: Happens,
    before: Option<&Values>,
    after: Option<&Values>,
) -> Change {
    let value = |row: Option<&Values>, nth: usize| row.and_then(|row| row.values.get(nth)?.clone());
    let fields = at.0.columns().iter().enumerate().map(|(nth, name)| Field {
        name: (*name).to_owned(),
        before: value(before, nth),
        after: value(after, nth),
    });
    Change {
        table: at.0,
        key: at.1.clone(),
        label: named.label.clone(),
        happens,
        fields: fields.filter(|field| field.before != field.after).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(rows: &[(&str, &str, Option<&str>)]) -> Snapshot {
        let row = |(key, state, profile): &(&str, &str, Option<&str>)| {
            let values = vec![Some((*state).to_owned()), profile.map(str::to_owned)];
            ((Table::People, (*key).to_owned()), Values { label: (*key).to_owned(), values })
        };
        Snapshot(rows.iter().map(row).collect())
    }

    #[test]
    fn only_what_differs_is_a_change() {
        let before =
            snapshot(&[("a", "present", Some("1")), ("b", "present", None), ("d", "absent", None)]);
        let after =
            snapshot(&[("a", "merged", Some("1")), ("b", "present", None), ("c", "present", None)]);
        let found = before.changes(&after);
        let brief: Vec<_> = found
            .iter()
            .map(|change| (change.key.as_str(), change.happens, change.fields.len()))
            .collect();
        let expected =
            [("a", Happens::Update, 1), ("c", Happens::Insert, 1), ("d", Happens::Delete, 1)];
        assert_eq!(brief, expected);
        let field = &found[0].fields[0];
        assert_eq!(
            (field.before.as_deref(), field.after.as_deref()),
            (Some("present"), Some("merged"))
        );
        assert_eq!(before.changes(&before), []);
    }
}
