//! Foreign keys that reference the application's tables. The catalog is read each time: the application may add a table
//! while the daemon runs.

use crate::error::Result;
use crate::pg::Db;

/// A foreign key of some table to one of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKey {
    /// The table that refers, quoted.
    pub table: String,
    /// Its name.
    pub constraint: String,
    /// What becomes of the rows that refer to a row that is deleted.
    pub on_delete: OnDelete,
    /// Whether the role sees all rows of the table: it may read it, and no policy hides any.
    pub is_visible: bool,
    /// Quoted columns: its own, and the referenced one of each.
    columns: Vec<(String, String)>,
}

/// What becomes of rows that refer to a row that is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDelete {
    /// They are deleted too.
    Cascade,
    /// They lose the reference.
    Set,
    /// The delete is refused.
    Refuse,
}

impl ForeignKey {
    /// Whether its one column `own` references the column `referenced`.
    #[must_use]
    pub fn is_of(&self, own: &str, referenced: &str) -> bool {
        matches!(&self.columns[..], [(a, b)] if a == own && b == referenced)
    }

    /// The condition that joins rows of its table to those that they reference, by their aliases.
    #[must_use]
    pub fn joins(&self, own: &str, referenced: &str) -> String {
        let each = self.columns.iter().map(|(a, b)| format!("{own}.{a} = {referenced}.{b}"));
        each.collect::<Vec<_>>().join(" and ")
    }
}

/// The foreign keys that reference a table, by its quoted names, but those of the tables `left_out`.
///
/// # Errors
/// Those of the target.
pub async fn to(db: &Db, table: &[String], left_out: &[String]) -> Result<Vec<ForeignKey>> {
    let sql = include_str!("sql/foreign_keys.sql");
    let rows = db.query("target: reading foreign keys", sql, &[&table, &left_out]).await?;
    let found = rows.iter().map(|row| {
        let (own, referenced): (Vec<String>, Vec<String>) = (row.get(3), row.get(4));
        ForeignKey {
            table: row.get(0),
            constraint: row.get(1),
            on_delete: match row.get(2) {
                "c" => OnDelete::Cascade,
                "n" | "d" => OnDelete::Set,
                _ => OnDelete::Refuse,
            },
            is_visible: row.get(5),
            columns: own.into_iter().zip(referenced).collect(),
        }
    });
    Ok(found.collect())
}
