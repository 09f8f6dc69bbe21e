//! Closed conflicts, answered commands and the operation log are kept for `retention.days` (SPEC §10). What is open never
//! goes, nor does what still holds: a dismissed conflict is one that would be open.

use std::time::Duration;

use tokio::time::Instant;

use crate::apply::Applier;
use crate::error::Result;

/// Rows of each table that one round deletes.
const ROWS: i64 = 1_000;
/// How often it is looked for what is too old.
const INTERVAL: Duration = Duration::from_secs(3_600);
/// How soon after a full round the next one is due.
const NEXT_ROUND: Duration = Duration::from_secs(1);

/// What is closed, each with an index that finds it: the table, which not every version has, the condition and the column
/// of its age.
const CLOSED: [(&str, &str, &str); 3] = [
    ("conflict", "status = 'resolved'", "resolved_at"),
    ("command", "finished_at is not null", "finished_at"),
    ("operation_log", "outcome is not null", "started_at"),
];

/// When the next round is due.
#[derive(Debug, Default)]
pub(super) struct Retention {
    due: Option<Instant>,
}

impl Retention {
    /// One round, where it is due.
    pub(super) async fn run(&mut self, applier: &Applier, days: u32) -> Result<()> {
        let now = Instant::now();
        if self.due.is_some_and(|due| now < due) {
            return Ok(());
        }
        let is_full = round(applier, i32::try_from(days).unwrap_or(i32::MAX)).await?;
        self.due = Some(now + if is_full { NEXT_ROUND } else { INTERVAL });
        Ok(())
    }
}

/// Whether there may be more.
async fn round(applier: &Applier, days: i32) -> Result<bool> {
    const WHAT: &str = "target: deleting what is closed for long";
    let there =
        "select n from unnest($1::text[]) as n where to_regclass('tributary.' || n) is not null";
    let names: Vec<&str> = CLOSED.iter().map(|(table, ..)| *table).collect();
    let rows = applier.db.query(WHAT, there, &[&names]).await?;
    let there: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let tx = applier.begin().await?;
    let mut is_full = false;
    for (table, closed, at) in CLOSED {
        if there.iter().any(|name| name == table) {
            let sql = format!(
                "delete from tributary.{table} where id = any (array( \
                   select id from tributary.{table} \
                   where {closed} and {at} < now() - make_interval(days => $1) order by {at} limit $2))"
            );
            is_full |= tx.execute(WHAT, &sql, &[&days, &ROWS]).await? >= ROWS.unsigned_abs();
        }
    }
    tx.commit().await?;
    Ok(is_full)
}
