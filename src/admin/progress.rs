//! How far long work is, with an estimate of what is left.

use jiff::Timestamp;

use crate::error::Result;
use crate::pg::Db;
use crate::status::Stage;
use crate::store::backfill;

/// Long work that is under way.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Progress {
    /// What it does now, in words.
    pub(super) stage: &'static str,
    pub(super) done: u64,
    /// 0: not known.
    pub(super) of: u64,
    /// What is counted.
    pub(super) unit: &'static str,
    /// How long it will take still, in words.
    pub(super) left: Option<String>,
}

impl Progress {
    /// That of the backfill or rebuild, while there is one.
    pub(super) async fn read(db: &Db) -> Result<Option<Self>> {
        let Some(at) = backfill::progress(db).await?.filter(|at| !at.is_done()) else {
            return Ok(None);
        };
        let counts = match at.stage {
            Stage::Rows => (at.rows_done.unsigned_abs(), at.rows_estimated.unsigned_abs()),
            Stage::People => people(db).await?,
            _ => (0, 0),
        };
        let sql = "select started_at from tributary.backfill";
        let rows = db.query("target: reading the backfill", sql, &[]).await?;
        let began = rows.first().and_then(|row| row.get(0));
        Ok(Some(Self::of_stage(at.stage, counts, began, Timestamp::now())))
    }

    fn of_stage(
        stage: Stage,
        (done, of): (u64, u64),
        began: Option<Timestamp>,
        now: Timestamp,
    ) -> Self {
        // Of the reading alone it is known when it began.
        let began = began.filter(|_| stage == Stage::Rows);
        let seconds = began.map(|began| now.duration_since(began).as_secs_f64());
        let left = seconds.and_then(|seconds| left(seconds, done, of));
        let unit = if stage == Stage::People { "people" } else { "rows" };
        Self { stage: words(stage), done, of, unit, left }
    }

    /// How much is done.
    pub(super) fn percent(&self) -> u64 {
        (self.done.saturating_mul(100) / self.of.max(1)).min(100)
    }
}

/// About how many of the people were recomputed, by the statistics of the planner: counting a million of them takes too long
/// for a page.
async fn people(db: &Db) -> Result<(u64, u64)> {
    let sql = include_str!("sql/people_recomputed.sql");
    let rows = db.query("target: estimating people", sql, &[]).await?;
    let count =
        |at: usize| rows.first().map_or(0, |row| row.get::<_, i64>(at).max(0).unsigned_abs());
    Ok((count(0), count(1)))
}

/// What is left at the rate so far.
fn left(seconds: f64, done: u64, of: u64) -> Option<String> {
    if done == 0 || of <= done || seconds < 1.0 {
        return None;
    }
    let rest = seconds / done as f64 * (of - done) as f64;
    Some(match rest {
        rest if rest < 90.0 => format!("{rest:.0} s"),
        rest if rest < 5_400.0 => format!("{:.0} min", rest / 60.0),
        rest => format!("{:.1} h", rest / 3_600.0),
    })
}

fn words(stage: Stage) -> &'static str {
    match stage {
        Stage::Rows => "Reading the feeds",
        Stage::Recheck => "Asking again for rows that no chunk saw",
        Stage::Emails => "Judging changes of addresses",
        Stage::Sweep => "Deleting what the source no longer has",
        Stage::Place => "Placing the stored rows",
        Stage::Shared => "Judging values that rows share",
        Stage::People => "Recomputing the people",
        Stage::LeftOut => "Removing what rows gave that are left out",
        Stage::LeftBehind => "Removing transactions whose payments went outside of a rollout",
        Stage::Pairs => "Looking for people who may be one",
        Stage::Conflicts => "Closing conflicts whose cause is gone",
        Stage::Done => "Done",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_follows_from_the_rate_so_far() {
        let check = |seconds: f64, done: u64, of: u64, expected: Option<&str>| {
            assert_eq!(left(seconds, done, of).as_deref(), expected, "{seconds} {done} {of}");
        };
        check(10.0, 0, 100, None);
        check(0.5, 50, 100, None);
        check(10.0, 100, 100, None);
        check(10.0, 50, 100, Some("10 s"));
        check(60.0, 100, 400, Some("3 min"));
        check(3_600.0, 100, 400, Some("3.0 h"));
    }

    #[test]
    fn is_never_over_the_whole() {
        let began = Some(Timestamp::UNIX_EPOCH);
        let now = Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(10);
        let at = |stage, done, of| Progress::of_stage(stage, (done, of), began, now);
        let reading = at(Stage::Rows, 50, 100);
        assert_eq!((reading.percent(), reading.left.as_deref()), (50, Some("10 s")));
        assert_eq!(
            (at(Stage::Rows, 200, 100).percent(), at(Stage::Rows, 5, 0).percent()),
            (100, 100)
        );
        assert_eq!(
            (at(Stage::People, 5, 10).unit, at(Stage::People, 5, 10).left),
            ("people", None)
        );
    }
}
