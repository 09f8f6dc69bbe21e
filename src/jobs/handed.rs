//! Commands that a job hands on to the one writer. Each is asked for once, however many daemons carry the job out: its number is
//! noted with the job, in the commit that queues it. Whoever takes the job up again waits for that one, or finds it answered.

use crate::ask;
use crate::decisions::Command;
use crate::error::{Error, Result};
use crate::pg::Db;

use super::queue::Waiting;

const WHAT: &str = "target: handing a request on";

/// What a job hands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// To read everything again.
    Reconcile,
    /// To go back to a backup.
    Rollback,
}

impl Step {
    /// Under this name its command is noted.
    fn as_str(self) -> &'static str {
        match self {
            Self::Reconcile => "reconcile",
            Self::Rollback => "rollback",
        }
    }
}

/// The command of a step, where this or an earlier attempt at the job handed it on.
///
/// # Errors
/// Those of the target.
pub(super) async fn find(db: &Db, job: &Waiting, step: Step) -> Result<Option<i64>> {
    let sql =
        "select (state -> 'handed' ->> $2::text)::bigint from tributary.command where id = $1";
    let rows = db.query(WHAT, sql, &[&job.id, &step.as_str()]).await?;
    Ok(rows.first().and_then(|row| row.get(0)))
}

/// Hands the command of a step on, unless that was done; its number.
///
/// # Errors
/// Those of the target, and where nobody waits for the job any more.
pub(super) async fn hand_on(db: &Db, job: &Waiting, step: Step, command: &Command) -> Result<i64> {
    db.batch(WHAT, "begin").await?;
    let handed = hand_on_within(db, job, step, command).await;
    db.batch(WHAT, if handed.is_ok() { "commit" } else { "rollback" }).await?;
    handed
}

async fn hand_on_within(db: &Db, job: &Waiting, step: Step, command: &Command) -> Result<i64> {
    // A daemon that has been superseded may be at the same job still.
    let held = "select from tributary.command where id = $1 and finished_at is null for update";
    if db.query(WHAT, held, &[&job.id]).await?.is_empty() {
        return Err(Error::unavailable(WHAT, "nobody waits for the job any more"));
    }
    if let Some(command) = find(db, job, step).await? {
        return Ok(command);
    }
    let command = ask::queue(db, command, &job.actor).await?;
    let sql = "update tributary.command set state = coalesce(state, '{}') || jsonb_build_object('handed', \
               coalesce(state -> 'handed', '{}') || jsonb_build_object($2::text, $3::bigint)) where id = $1";
    db.execute(WHAT, sql, &[&job.id, &step.as_str(), &command]).await?;
    Ok(command)
}
