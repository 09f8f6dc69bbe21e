//! The backfill: the feeds in chunks, then everything across people, then the people (SPEC §8).
//!
//! The slot exists before the first chunk is read, so whatever changes meanwhile is in the stream. Each round commits
//! with its cursor: a crash resumes at the last one. Rows come first and people afterwards, so that each person is
//! unified once. A later backfill is a reconcile: rows carry the generation of the backfill that saw them, and what the
//! source no longer has is swept, under the guard of P9. A rebuild places the stored rows again instead of reading.
//!
//! | stage | round | cursor |
//! |---|---|---|
//! | `rows` | a chunk of a feed is stored | feed, block |
//! | `recheck` | rows that no chunk saw are asked for again by key | feed, key |
//! | `emails` | e-mail changes are judged over everything that was read | |
//! | `sweep` | rows that the source no longer has are deleted | feed, key |
//! | `place` (rebuild) | stored rows get their owners again | feed, key |
//! | `shared` | values that rows share are judged | feed, value |
//! | `people` | owners are unified and written | owner |
//! | `left_out` | what rows that are left out gave is deleted | owner |
//! | `left_behind` | transactions are deleted whose payments were deleted while they or their people were outside of a rollout | transaction |
//! | `pairs` | canonical keys are judged | person |
//! | `conflicts` | conflicts of what no longer exists are closed | scope |

mod cursor;
mod left_out;
mod read;
mod sweep;

pub use read::{Pace, Round};

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::apply::{Applier, Mode};
use crate::config::{Config, TableName};
use crate::decisions::queue;
use crate::engine::rows::Touched;
use crate::engine::{Fact, Feeds};
use crate::error::{Error, Result};
use crate::facts::Feed;
use crate::failpoint;
use crate::pg::{Client, Tx};
use crate::session;
use crate::source::position::Position;
use crate::source::{publication, slot};
use crate::status::Stage;
use crate::store::backfill::{LeftOut, Progress, progress};
use crate::store::{conflict, halt, operation_log, outside};
use crate::targets::Report;

/// Owners unified in one target transaction of the people stage.
const OWNERS_PER_COMMIT: i64 = 500;

/// A [`Backfill::position`] of which nothing is known.
pub const UNKNOWN_POSITION: &(dyn Fn() -> Option<Position> + Sync) = &|| None;

/// How far [`Backfill::run`] goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// To the end.
    Done,
    /// Until everything is read, judged and swept.
    Read,
    /// Until [`Progress::only_recomputes`].
    OnlyRecomputes,
}

impl Until {
    fn is_reached(self, at: &Progress) -> bool {
        at.is_done()
            || match self {
                Self::Done => false,
                Self::Read => at.stage.has_read(),
                Self::OnlyRecomputes => at.only_recomputes(),
            }
    }
}

/// What a backfill needs beside the applier.
pub struct Backfill<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// A session on the source of its own.
    pub source: Arc<Client>,
    /// Ends the backfill after the current round.
    pub shutdown: &'a CancellationToken,
    /// Called after every commit.
    pub progress: &'a (dyn Fn(&Progress) + Sync),
    /// How far the source is, where more is known than it told before.
    pub position: &'a (dyn Fn() -> Option<Position> + Sync),
}

impl Backfill<'_> {
    /// Runs the scheduled backfill as far as asked, or until shutdown or until a command that it served wants another one (`false`).
    ///
    /// # Errors
    /// Those of both servers; [`Error::Halted`] in front of a sweep that the guard stops.
    pub async fn run(&self, applier: &mut Applier, until: Until) -> Result<bool> {
        let Some(mut at) = progress(&applier.db).await? else { return Ok(true) };
        applier.env.generation = at.generation;
        while !until.is_reached(&at) {
            if self.shutdown.is_cancelled() {
                return Ok(false);
            }
            if at.stage == Stage::Rows {
                // Chunks are read ahead: the feed is read in one go.
                self.read_feed(applier, &mut at).await?;
            } else {
                self.round(applier, &mut at).await?;
            }
            (self.progress)(&at);
            self.note_position(applier).await?;
            if queue::serve(applier).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Notes how far the source is: what is read must not be taken for what a source that was restored meanwhile has (P18).
    async fn note_position(&self, applier: &Applier) -> Result<()> {
        match (self.position)() {
            Some(position) => session::note_position(&applier.db, &position).await,
            None => Ok(()),
        }
    }

    /// One bounded round of a stage that needs no reading ahead. Between source transactions only.
    ///
    /// # Errors
    /// As [`Backfill::run`].
    pub async fn round(&self, applier: &mut Applier, at: &mut Progress) -> Result<()> {
        let before = at.clone();
        match self.attempt_round(applier, at, false).await {
            Err(Error::Data { context, cause, .. }) => {
                tracing::debug!(context, cause, "the target refuses a round; isolating the rows");
                Tx::on(&applier.db).rollback().await?;
                *at = before;
                self.attempt_round(applier, at, true).await
            }
            other => other,
        }
    }

    async fn attempt_round(
        &self,
        applier: &mut Applier,
        at: &mut Progress,
        careful: bool,
    ) -> Result<()> {
        let mode = if careful { Mode::EVERYBODY.carefully() } else { Mode::EVERYBODY };
        // Until here rows were placed; from here on it shows in the targets.
        let shows = at.stage == Stage::Shared && at.cursor.is_none();
        if shows {
            self.guard_left_out(applier, at).await?;
        }
        let tx = applier.begin().await?;
        if shows {
            halt::forget_accepted_configuration(&tx).await?;
            at.left_out = LeftOut::default();
            at.left_out.save(&tx).await?;
        }
        let cursor = at.cursor.clone().unwrap_or_default();
        let mut written = Report::default();
        let next = match at.stage {
            Stage::Recheck => self.recheck(applier, &tx, at).await?,
            Stage::Emails => self.judge_emails(applier, &tx, at).await?,
            Stage::Sweep => {
                let (next, swept) = self.sweep(applier, &tx, at, mode).await?;
                written.add(swept);
                next
            }
            Stage::Place => self.place(applier, &tx, at).await?,
            Stage::Shared => {
                let after = cursor::parse_shared(&cursor);
                let (last, moved) = applier.judge_shared_page(&tx, after.as_ref(), mode).await?;
                written.add(moved);
                last.map(|last| cursor::shared(&last))
            }
            Stage::People => {
                let mut owners = applier.next_owners(&cursor, OWNERS_PER_COMMIT).await?;
                let last = owners.last().cloned();
                owners.retain(|owner| !Fact::is_left_out(owner));
                written.add(applier.recompute(&tx, Touched::owners(owners), mode).await?);
                failpoint::hit("people-written");
                last
            }
            Stage::LeftOut => {
                let owners = applier.next_left_out(&cursor, OWNERS_PER_COMMIT).await?;
                let last = owners.last().cloned();
                written.add(applier.recompute(&tx, Touched::owners(owners), mode).await?);
                last
            }
            Stage::LeftBehind => {
                let (last, removed) = applier.delete_left_behind_page(&tx, &cursor, mode).await?;
                written.add(removed);
                last
            }
            Stage::Pairs => {
                failpoint::hit("groups-judged");
                applier.judge_pairs_page(&tx, &cursor).await?
            }
            Stage::Conflicts => applier.close_stale_page(&tx, &cursor).await?,
            Stage::Rows | Stage::Done => None,
        };
        let stage = at.stage;
        let feeds = std::sync::Arc::clone(&applier.env.feeds);
        let is_swept = stage == Stage::Sweep && next.is_none();
        let removed =
            if is_swept { self.tables_of_removed(&tx, at, &feeds).await? } else { Vec::new() };
        written.count();
        let mut all: Report = serde_json::from_value(at.written.take()).unwrap_or_default();
        all.add(written);
        at.written = serde_json::to_value(all).unwrap_or_default();
        self.advance(&tx, at, next).await?;
        tx.commit().await?;
        publication::withdraw(&self.source, &self.config.source, &removed).await;
        match stage {
            Stage::Sweep => failpoint::hit("sweep-committed"),
            Stage::Pairs | Stage::Conflicts => failpoint::hit("groups-committed"),
            _ => failpoint::hit("people-committed"),
        }
        if at.stage != stage {
            failpoint::hit("phase-advanced");
        }
        if at.is_done() {
            applier.load_decisions().await?;
        }
        Ok(())
    }

    /// A rebuild: stored rows get their owners again, feed by feed.
    async fn place(
        &self,
        applier: &mut Applier,
        tx: &Tx,
        at: &mut Progress,
    ) -> Result<Option<String>> {
        let feeds: Vec<Feed> = applier.env.feeds.configured().collect();
        let cursor = cursor::parse_shared(&at.cursor.clone().unwrap_or_default());
        let Some((feed, key)) = cursor.or(feeds.first().map(|feed| (*feed, String::new()))) else {
            return Ok(None);
        };
        let (last, balance) = applier.place_page(tx, feed, &key).await?;
        at.left_out.add(&balance);
        at.left_out.save(tx).await?;
        if let Some(last) = last {
            return Ok(Some(cursor::shared(&(feed, last))));
        }
        Ok(cursor::after(&feeds, feed).map(|feed| cursor::shared(&(feed, String::new()))))
    }

    /// Moves the cursor, or on to the next stage, in the transaction of the round.
    async fn advance(&self, tx: &Tx, at: &mut Progress, next: Option<String>) -> Result<()> {
        let before = (at.stage, at.cursor.clone());
        match next {
            Some(next) => at.cursor = Some(next),
            None => {
                // The rows of the other feeds are where the rules of before placed them.
                let is_partial = at.feeds.is_some() && at.stage == Stage::Sweep;
                at.stage = match at.stage.next() {
                    _ if is_partial => Stage::Place,
                    Stage::LeftBehind if !outside::was_narrowed(tx).await? => Stage::Pairs,
                    // What this backfill has found itself is not stale.
                    Stage::Conflicts if at.is_first() && !conflict::has_earlier(tx).await? => {
                        Stage::Done
                    }
                    next => next,
                };
                at.cursor = None;
                (at.feed, at.filenode, at.next_block, at.end_block) = (None, None, 0, 0);
                self.enter(tx, before.0, at).await?;
            }
        }
        let sql = "update tributary.backfill set phase = $1, next_owner = $2, feed = $3, filenode = null, \
                   next_block = 0, end_block = 0, finished_at = case when $1 = 'done' then now() end, \
                   written = $7 \
                   where generation = $4 and phase = $5 and next_owner is not distinct from $6";
        let feed = at.feed.map(Feed::number);
        let (stage, from) = (at.stage.as_str(), before.0.as_str());
        let params: [crate::pg::Param<'_>; 7] =
            [&stage, &at.cursor, &feed, &at.generation, &from, &before.1, &at.written];
        let advanced = tx.execute("target: advancing the backfill", sql, &params).await?;
        if advanced == 1 {
            if at.is_done() {
                operation_log::backfill_done(tx.db()).await?;
            }
            return Ok(());
        }
        Err(Error::Superseded("the backfill moved on without this daemon".into()))
    }

    /// What a new stage needs before its first round.
    async fn enter(&self, tx: &Tx, finished: Stage, at: &mut Progress) -> Result<()> {
        failpoint::hit("phase-finished");
        let (from, to) = (finished.as_str(), at.stage.as_str());
        tracing::info!(finished = from, rows = at.rows_done, next = to, "backfill stage finished");
        // A table that has just grown from nothing has no statistics.
        match at.stage {
            Stage::Shared => {
                tx.batch("target: gathering statistics", "analyze tributary.source_row").await?;
            }
            Stage::Pairs => {
                let analyse = "analyze tributary.person; analyze tributary.conflict";
                tx.batch("target: gathering statistics", analyse).await?;
            }
            _ => {}
        }
        if matches!(at.stage, Stage::Recheck | Stage::Emails) {
            // What was read, or asked for again, may be as new as this; the stream repeats everything up to here.
            let until = slot::current_lsn(&self.source).await?.to_string();
            let sql = "update tributary.state set backfilled_until = $1::text::pg_lsn";
            tx.execute("target: noting the end of reading", sql, &[&until]).await?;
        }
        if at.stage == Stage::Done {
            // Everybody was recomputed: whoever is in stays in from now on.
            let sql = "update tributary.state set facts_hash = $1, people_hash = $2, \
                       narrowing = narrowing and exists (select from tributary.command c, tributary.backfill b \
                           where c.finished_at is null and c.request -> 'request' ->> 'do' = 'rebuild' \
                           and c.created_at > b.started_at)";
            let hashes = (self.config.facts_hash(), self.config.people_hash());
            tx.execute("target: noting the rules", sql, &[&hashes.0, &hashes.1]).await?;
        }
        Ok(())
    }

    fn table(&self, feeds: &Feeds, feed: Feed) -> Result<&TableName> {
        let name = feeds.name(feed);
        let configured = self.config.source.feeds.iter().find(|known| known.name == name);
        configured
            .map(|known| &known.table)
            .ok_or_else(|| Error::failed("reading a feed", format!("{name} is not configured")))
    }

    /// The feeds that are read, in order.
    fn to_read(feeds: &Feeds, at: &Progress) -> Vec<Feed> {
        let is_meant = |feed: &Feed| at.feeds.as_ref().is_none_or(|meant| meant.contains(feed));
        feeds.configured().filter(is_meant).collect()
    }

    /// The feeds of which the rows that were not seen go, in order.
    fn to_sweep(feeds: &Feeds, at: &Progress) -> Vec<Feed> {
        let is_meant = |feed: &Feed| at.feeds.as_ref().is_none_or(|meant| meant.contains(feed));
        feeds.numbers().filter(is_meant).collect()
    }
}
