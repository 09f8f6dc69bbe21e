//! What is wrong, and what somebody can do about it.

use serde_json::Value;

use crate::error::Result;
use crate::pg::Db;
use crate::status::{Phase, Status};

/// Something that needs somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) what: String,
    pub(super) remedy: String,
    /// Where on this page something can be done: address and name.
    pub(super) link: Option<(&'static str, &'static str)>,
}

impl Problem {
    fn new(
        what: impl Into<String>,
        remedy: impl Into<String>,
        link: Option<(&'static str, &'static str)>,
    ) -> Self {
        Self { what: what.into(), remedy: remedy.into(), link }
    }
}

const CONTROL: Option<(&str, &str)> = Some(("/admin/control", "Control"));
const REJECTED: Option<(&str, &str)> =
    Some(("/admin/conflicts?kind=rejected_row", "Rejected rows"));

/// A lag that somebody should hear of, in seconds.
const LAG: f64 = 60.0;
/// A loss of the slot that is so near, in seconds: half a day.
const NEAR: f64 = 43_200.0;

/// What follows from the daemon's state.
pub(super) fn of_status(status: &Status) -> Vec<Problem> {
    let mut all = Vec::new();
    if let Some(reason) = &status.halted {
        all.push(Problem::new(
            reason.clone(),
            "Nothing of the stream is applied until that is settled.",
            CONTROL,
        ));
    }
    if let Some(reason) = &status.unresolved {
        all.push(Problem::new(
            reason.clone(),
            "It halted for this before it was restarted, and has not come further since.",
            None,
        ));
    }
    if let Some(reason) = &status.frozen_because {
        all.push(Problem::new(
            reason.clone(),
            "Look at the log of the daemon and at long transactions of both servers.",
            None,
        ));
    }
    if status.phase == Phase::WaitingForLock {
        let what = "Another daemon works on this target; this one waits to take over.";
        all.push(Problem::new(
            what,
            "Ask that one: what changes something is not done here.",
            None,
        ));
    }
    if let Some(lag) = status.lag_seconds.filter(|lag| *lag > LAG) {
        all.push(Problem::new(
            format!("The target is {lag:.0} s behind the source."),
            "It catches up by itself after a large transaction or a backfill; otherwise see what the target waits for.",
            None,
        ));
    }
    all.extend(status.slot_log.as_ref().and_then(slot));
    all
}

fn slot(log: &crate::status::SlotLog) -> Option<Problem> {
    if log.wal_status.as_deref() == Some("lost") {
        let what = "The slot is lost.";
        let remedy = "The daemon makes another one and reads the feeds again by itself.";
        return Some(Problem::new(what, remedy, None));
    }
    let seconds = log.seconds_to_loss.filter(|seconds| *seconds < NEAR)?;
    Some(Problem::new(
        format!("At the present rate the slot is lost in {:.0} minutes.", seconds / 60.0),
        "See why the daemon falls behind, or raise max_slot_wal_keep_size of the source.",
        None,
    ))
}

/// What follows from the target.
///
/// # Errors
/// Those of the target.
pub(super) async fn of_target(db: &Db) -> Result<Vec<Problem>> {
    let sql = "select (select count(*) from (select from tributary.quarantine limit 10001) q), \
               (select verification from tributary.state), \
               (select count(*) from tributary.command where finished_at is null \
                   and created_at < now() - interval '1 minute')";
    let rows = db.query("target: looking for problems", sql, &[]).await?;
    let Some(row) = rows.first() else { return Ok(Vec::new()) };
    let (refused, verified, waiting): (i64, Option<Value>, i64) =
        (row.get(0), row.get(1), row.get(2));
    let mut all = Vec::new();
    if refused > 0 {
        all.push(Problem::new(
            format!("The target refuses {refused} people or rows; all others go on."),
            "Change the constraint of the target or the row at the source: each is tried again by itself.",
            REJECTED,
        ));
    }
    if let Some(rows) = verified.as_ref().map(differing).filter(|rows| *rows > 0) {
        all.push(Problem::new(
            format!("The last verification beside the stream found {rows} rows that differ."),
            "Verify to see which, and repair.",
            CONTROL,
        ));
    }
    if waiting > 0 {
        all.push(Problem::new(
            format!("{waiting} requests wait for more than a minute."),
            "The daemon carries them out between two batches, a rebuild in rounds.",
            CONTROL,
        ));
    }
    Ok(all)
}

/// Differing rows of all tables.
fn differing(verification: &Value) -> u64 {
    let tables = verification["differences"].as_object();
    tables.into_iter().flatten().filter_map(|(_, rows)| rows.as_u64()).sum()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::status::SlotLog;

    #[test]
    fn what_is_well_is_no_problem() {
        assert_eq!(of_status(&Status::default()), []);
        let log = SlotLog { seconds_to_loss: Some(NEAR), ..SlotLog::default() };
        assert_eq!(slot(&log), None);
        assert_eq!(differing(&json!({ "differences": { "profiles": 0 } })), 0);
    }

    #[test]
    fn each_problem_has_a_remedy() {
        let log = |status: &str, seconds| SlotLog {
            wal_status: Some(status.to_owned()),
            seconds_to_loss: seconds,
            ..SlotLog::default()
        };
        let status = Status {
            phase: Phase::WaitingForLock,
            halted: Some("halted".into()),
            unresolved: Some("unresolved".into()),
            frozen_because: Some("frozen".into()),
            lag_seconds: Some(61.0),
            slot_log: Some(log("lost", None)),
            ..Status::default()
        };
        let found = of_status(&status);
        assert_eq!(found.len(), 6);
        assert!(found.iter().all(|problem| !problem.remedy.is_empty()));
        assert!(slot(&log("extended", Some(600.0))).unwrap().what.contains("10 minutes"));
        assert_eq!(differing(&json!({ "differences": { "profiles": 1, "people": 2 } })), 3);
    }
}
