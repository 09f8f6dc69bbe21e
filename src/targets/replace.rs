//! Removing rows that no source supports, for `backfill --replace`: enrollments, then transactions, then profiles.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::changes::Role;
use super::foreign_key::{self, ForeignKey};
use crate::config::{TableName, Target};
use crate::error::{Error, Result};
use crate::pg::Tx;

/// Rows of another table that refer to rows which nothing supports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// The table that refers.
    pub table: String,
    /// Its foreign key.
    pub constraint: String,
    /// The table that is referred to.
    pub to: String,
    /// How many of its rows.
    pub rows: u64,
}

/// What else refers to rows that nothing supports. Whether the foreign key would take its rows along or not: they are the
/// application's.
///
/// # Errors
/// Those of the target.
pub async fn references(tx: &Tx, target: &Target) -> Result<Vec<Reference>> {
    const WHAT: &str = "target: looking for references";
    let own = [&target.profiles, &target.transactions, &target.enrollments];
    let lasting = target.lasting();
    let theirs = [&lasting.profiles, &lasting.transactions, &lasting.enrollments];
    let ours: Vec<String> = own.into_iter().chain(theirs).map(TableName::quoted).collect();
    let mut found = Vec::new();
    for (role, (now, lasting)) in Role::ALL.into_iter().zip(own.into_iter().zip(theirs)) {
        let to = vec![now.quoted(), lasting.quoted()];
        for key in foreign_key::to(tx.db(), &to, &ours).await? {
            let (table, condition) = (&key.table, key.joins("other", "r"));
            let sql = format!(
                "select count(*) from {table} other where exists ( \
                   select from {now} r where {condition} and not {supported})",
                now = now.quoted(),
                supported = role.supported()
            );
            let rows = tx.query(WHAT, &sql, &[]).await?;
            let rows = rows.first().map_or(0, |row| row.get::<_, i64>(0)).unsigned_abs();
            if rows > 0 {
                let ForeignKey { table, constraint, .. } = key;
                found.push(Reference { table, constraint, to: role.as_str().to_owned(), rows });
            }
        }
    }
    Ok(found)
}

/// Removes them, in the order in which they refer to each other.
///
/// # Errors
/// Those of the target.
pub async fn remove(tx: &Tx, target: &Target) -> Result<()> {
    let tables = [&target.profiles, &target.transactions, &target.enrollments];
    for (role, table) in Role::ALL.into_iter().zip(tables).rev() {
        let table = table.quoted();
        let count = format!("select count(*) from {table} r where not {}", role.supported());
        let rows = tx.query("target: counting rows to remove", &count, &[]).await?;
        let meant = rows.first().map_or(0, |row| row.get::<_, i64>(0)).unsigned_abs();
        let sql = format!("delete from {table} r where not {}", role.supported());
        let removed = tx.execute("target: removing rows that nothing supports", &sql, &[]).await?;
        if removed != meant {
            return Err(Error::data(
                "target: removing rows that nothing supports",
                format!(
                    "it reached {removed} of {meant} rows: a policy, rule or trigger keeps them"
                ),
            ));
        }
    }
    Ok(())
}

/// The refusal to remove rows that are referred to.
#[must_use]
pub fn refusal(references: &[Reference]) -> Error {
    let mut list = String::new();
    for Reference { table, constraint, to, rows } in references {
        // Writing to a String cannot fail.
        let _ = write!(list, "\n  {rows} rows of {table} refer to {to} ({constraint})");
    }
    Error::refused(
        format!("rows that nothing supports are referred to by other tables:{list}"),
        "remove those rows, or let them refer to others, and run it again; or run it without --replace",
    )
}
