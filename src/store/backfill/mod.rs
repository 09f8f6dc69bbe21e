//! `tributary.backfill`: the backfill under way or the last one.

mod left_out;
mod made_by;

use crate::config::Config;
use crate::error::Result;
use crate::facts::Feed;
use crate::pg::Db;
use crate::status::Stage;

pub(crate) use left_out::LeftOut;
pub use made_by::{MadeBy, rules};

/// Where a backfill is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Which reconcile this is.
    pub generation: i64,
    /// What it does.
    pub stage: Stage,
    /// Rows read so far, over restarts.
    pub rows_done: i64,
    /// Rows of all feeds, as the source's planner estimates them.
    pub rows_estimated: i64,
    /// The rules it began under.
    pub rules: Option<String>,
    /// The feeds that it reads or takes out; `None`: all that are configured.
    pub feeds: Option<Vec<Feed>>,
    /// Feeds that were truncated, they or a partition: every delete of them waits for an operator (P9).
    pub(crate) truncated: Vec<Feed>,
    /// Rows that gave facts and give none any more, which the guard has not let through yet (P9).
    pub(crate) left_out: LeftOut,
    /// Rows of the target tables written so far, over restarts: a report of `targets` as JSON.
    pub(crate) written: serde_json::Value,
    pub(crate) feed: Option<Feed>,
    pub(crate) filenode: Option<String>,
    pub(crate) next_block: i64,
    pub(crate) end_block: i64,
    /// The last unit of the stage that was done.
    pub(crate) cursor: Option<String>,
}

impl Progress {
    /// Whether nothing is left to do.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// Whether it is the first of its installation, and nothing was scheduled over it since.
    #[must_use]
    pub fn is_first(&self) -> bool {
        // Another generation, or a rebuild, which reads no rows, would begin here.
        self.generation == 1 && self.rows_done > 0
    }

    /// Whether nothing is left but to recompute from the stored rows, every guard passed: that goes on beside the stream.
    #[must_use]
    pub fn only_recomputes(&self) -> bool {
        match self.stage {
            // The guard of left-out rows is in front of its first round.
            Stage::Shared => self.cursor.is_some(),
            Stage::Place => false,
            stage => stage.has_read(),
        }
    }
}

/// The backfill under way or the last one, if any.
///
/// # Errors
/// Those of the target.
pub async fn progress(db: &Db) -> Result<Option<Progress>> {
    let sql = "select generation, phase, rows_done, rows_estimated, feed, filenode, next_block, end_block, \
               next_owner, rules, feeds, left_out, truncated, written \
               from tributary.backfill";
    let rows = db.query("target: reading the backfill", sql, &[]).await?;
    Ok(rows.first().map(|row| Progress {
        generation: row.get(0),
        stage: Stage::parse(row.get(1)),
        rows_done: row.get(2),
        rows_estimated: row.get(3),
        feed: row.get::<_, Option<i16>>(4).and_then(Feed::from_number),
        filenode: row.get(5),
        next_block: row.get(6),
        end_block: row.get(7),
        cursor: row.get(8),
        rules: row.get(9),
        feeds: row
            .get::<_, Option<Vec<i16>>>(10)
            .map(|numbers| numbers.into_iter().filter_map(Feed::from_number).collect()),
        left_out: LeftOut::read(row.get(11)),
        truncated: row.get::<_, Vec<i16>>(12).into_iter().filter_map(Feed::from_number).collect(),
        written: row.get(13),
    }))
}

/// Schedules a full reconcile (`rows`) or a rebuild from the stored rows (`place`): stage and rules. One that is under
/// way starts over; what was truncated in part stays so until it is swept. Where nothing was ever read there are no rows to rebuild from.
pub const SCHEDULE: &str = "insert into tributary.backfill (generation, phase, rules) \
    values (1, 'rows', $2) \
    on conflict (only_row) do update set phase = $1, rules = excluded.rules, \
    generation = backfill.generation + case when $1 = 'place' then 0 else 1 end, feed = null, \
    filenode = null, next_block = 0, end_block = 0, next_owner = null, rows_done = 0, \
    rows_estimated = 0, started_at = now(), finished_at = null, feeds = null, \
    truncated = case when $1 = 'rows' and backfill.phase in ('rows', 'recheck', 'emails', 'sweep') \
        then backfill.truncated else '{}' end, \
    written = '{}', \
    left_out = case when backfill.left_out = '{}' then '{}' \
        else backfill.left_out || '{\"again\": 1}' end";

/// As [`SCHEDULE`].
///
/// # Errors
/// Those of the target.
pub async fn schedule(db: &Db, config: &Config, stage: Stage) -> Result<()> {
    let params: [crate::pg::Param<'_>; 2] = [&stage.as_str(), &rules(config)];
    db.execute("target: scheduling a backfill", SCHEDULE, &params).await?;
    Ok(())
}

/// Schedules a reconcile of some feeds, which ends with a rebuild of everybody from the stored rows. It joins one that is
/// under way. A feed that is configured no more loses its rows. Of those that were `truncated` in part, every delete waits for
/// an operator.
///
/// # Errors
/// Those of the target.
pub async fn schedule_feeds(
    db: &Db,
    config: &Config,
    feeds: &[Feed],
    truncated: &[Feed],
) -> Result<()> {
    let numbers = |feeds: &[Feed]| -> Vec<i16> { feeds.iter().map(|feed| feed.number()).collect() };
    let (feeds, truncated) = (numbers(feeds), numbers(truncated));
    let sql = include_str!("../sql/schedule_feeds.sql");
    let params: [crate::pg::Param<'_>; 3] = [&rules(config), &feeds, &truncated];
    db.execute("target: scheduling a backfill", sql, &params).await?;
    Ok(())
}

/// Feeds were truncated while a reconcile has still to read or sweep them: every delete of them waits for an operator (P9), as what
/// it reads is without their rows already.
///
/// # Errors
/// Those of the target.
pub async fn note_truncated(db: &Db, feeds: &[Feed]) -> Result<()> {
    let numbers: Vec<i16> = feeds.iter().map(|feed| feed.number()).collect();
    let sql = "update tributary.backfill set truncated = truncated || $1::smallint[] \
               where phase in ('rows', 'recheck', 'emails', 'sweep') and not truncated @> $1";
    db.execute("target: noting a TRUNCATE", sql, &[&numbers]).await.map(drop)
}

/// Starts a backfill that is under way over, under the rules of now: what it has still to read is read from its
/// beginning.
///
/// # Errors
/// Those of the target.
pub async fn start_over(db: &Db, config: &Config, at: &Progress) -> Result<()> {
    match &at.feeds {
        _ if at.stage.has_read() => schedule(db, config, Stage::Place).await,
        Some(feeds) => schedule_feeds(db, config, feeds, &[]).await,
        None => schedule(db, config, Stage::Rows).await,
    }
}

/// As [`rules_wait`], in SQL.
pub const RULES_WAIT: &str = "exists (select from tributary.backfill b, tributary.state s \
    where (b.phase in ('rows', 'recheck', 'emails', 'place') or b.phase = 'sweep' and b.feeds is not null \
        or b.phase = 'shared' and b.next_owner is null) \
    and b.rules <> s.facts_hash || ' ' || s.people_hash)";

/// Whether other rules than those in force are being brought in and the guard has not let them through yet (P9): until
/// then nothing may be decided by them that shows in a target.
///
/// # Errors
/// Those of the target.
pub async fn rules_wait(db: &Db) -> Result<bool> {
    let sql = format!("select {RULES_WAIT}");
    let rows = db.query("target: reading the backfill", &sql, &[]).await?;
    Ok(rows.first().is_some_and(|row| row.get(0)))
}

/// Whether a backfill is due that will recompute everybody and has not begun to: also that of rules that wait for the guard.
///
/// # Errors
/// Those of the target.
pub async fn comes_to_everybody(db: &Db) -> Result<bool> {
    let sql = format!(
        "select {RULES_WAIT} or exists (select from tributary.backfill \
             where phase in ('rows', 'recheck', 'emails', 'sweep', 'place', 'shared'))"
    );
    let rows = db.query("target: reading the backfill", &sql, &[]).await?;
    Ok(rows.first().is_some_and(|row| row.get(0)))
}
