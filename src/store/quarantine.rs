//! `tributary.quarantine`: owners whose rows the target refuses (P10).

use crate::error::Result;
use crate::pg::{Db, Group, Tx};

/// Which of these owners are quarantined.
///
/// # Errors
/// Those of the target.
pub async fn among(tx: &Tx, owners: &[String]) -> Result<Vec<String>> {
    if owners.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "select owner from tributary.quarantine where owner = any($1)";
    let rows = tx.query("target: looking for quarantined owners", sql, &[&owners]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Owners whose next attempt is due.
///
/// # Errors
/// Those of the target.
pub async fn due(tx: &Tx, limit: i64) -> Result<Vec<String>> {
    let sql = "select owner from tributary.quarantine where next_attempt_at <= now() \
               order by next_attempt_at limit $1";
    let rows = tx.query("target: looking for quarantined owners", sql, &[&limit]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// How many owners are quarantined.
///
/// # Errors
/// Those of the target.
pub async fn count(db: &Db) -> Result<u64> {
    let rows = db
        .query(
            "target: counting quarantined owners",
            "select count(*) from tributary.quarantine",
            &[],
        )
        .await?;
    Ok(rows.first().map_or(0, |row| row.get::<_, i64>(0).unsigned_abs()))
}

/// Records the outcome of an attempt: each further refusal doubles the wait, from a minute to an hour.
pub fn attempted(group: &mut Group, refused: Vec<String>, accepted: Vec<String>) {
    if !refused.is_empty() {
        let sql = include_str!("sql/quarantine.sql");
        group.any("target: quarantining owners", sql, vec![Box::new(refused)]);
    }
    if !accepted.is_empty() {
        let sql = "delete from tributary.quarantine where owner = any($1)";
        group.any("target: releasing owners", sql, vec![Box::new(accepted)]);
    }
}
