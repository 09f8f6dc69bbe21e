//! Imports, as their runs are recorded: progress, refused records, the way back. They are started on the command line, as
//! their files are on the operator's machine.

use jiff::Timestamp;
use serde_json::Value;

use crate::error::Result;
use crate::pg::Db;

/// Runs that are shown.
const LATEST: i64 = 10;
/// Refused records are counted up to here.
const COUNTED: i64 = 10_000;

/// A run.
#[derive(Debug, Clone)]
pub(super) struct Import {
    pub(super) import: String,
    pub(super) run: i64,
    pub(super) state: String,
    pub(super) tables: String,
    /// Records of the loads so far, and rows that were written of them.
    pub(super) records: u64,
    pub(super) written: u64,
    /// Records that did not become rows.
    pub(super) refused: i64,
    pub(super) updated_at: Timestamp,
    /// The backup that was taken before it.
    pub(super) backup: Option<String>,
}

impl Import {
    /// Whether no more refused records were counted.
    pub(super) fn has_more_refused(&self) -> bool {
        self.refused > COUNTED
    }
}

/// The newest runs.
pub(super) async fn latest(db: &Db) -> Result<Vec<Import>> {
    let sql = include_str!("sql/imports.sql");
    let rows = db.query("target: reading imports", sql, &[&LATEST, &(COUNTED + 1)]).await?;
    let of = |row: &tokio_postgres::Row| {
        let (records, written) = counts(&row.get(4));
        Import {
            import: row.get(0),
            run: row.get(1),
            state: row.get(2),
            tables: row.get::<_, Vec<String>>(3).join(", "),
            records,
            written,
            refused: row.get(5),
            updated_at: row.get(6),
            backup: row.get(7),
        }
    };
    Ok(rows.iter().map(of).collect())
}

/// Records read and rows written, of all loads of a summary.
fn counts(summary: &Value) -> (u64, u64) {
    let loads = summary.as_array().into_iter().flatten();
    loads.fold((0, 0), |(records, written), load| {
        let count = |name: &str| load["counts"][name].as_u64().unwrap_or(0);
        (records + count("read"), written + count("inserted") + count("updated"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_add_up() {
        let summary = serde_json::json!([
            { "counts": { "read": 10, "inserted": 4, "updated": 1 } },
            { "counts": { "read": 5, "inserted": 5 } },
        ]);
        assert_eq!(counts(&summary), (15, 10));
        assert_eq!(counts(&serde_json::json!({})), (0, 0));
    }
}
