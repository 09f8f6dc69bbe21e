//! A reconcile that reads its feeds while the stream goes on (SPEC §8, P2 and P18).
//!
//! Chunks are stored between batches, so that the other feeds stay current. What a batch cannot decide before everything is
//! read waits ([`Error::ReadsFirst`]): the rest is then read in one go. So are the steps after the chunks that ask for rows
//! which no chunk saw, judge e-mail changes and sweep: no batch may come between them.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Show;
use super::backfill::{Tell, run_backfill, shown, watched};
use super::follow::Follow;
use crate::apply::Applier;
use crate::backfill::{Backfill, Pace, Round, UNKNOWN_POSITION, Until};
use crate::config::{Config, TableName};
use crate::connect::connect;
use crate::decisions::queue;
use crate::engine::Feeds;
use crate::error::{Context, Error, Result};
use crate::failpoint;
use crate::pg::Client;
use crate::source::{Writers, slot, snapshot};
use crate::status::Stage;
use crate::store::backfill::{self, MadeBy, Progress};

/// After what time it is tried again to read what could not be read.
pub(super) const PAUSE: Duration = Duration::from_millis(20);
/// After what time, and then how often, it is logged that nothing can be read.
const WARN_INTERVAL: Duration = Duration::from_secs(60);
/// How long a lock of a table is waited for between two batches.
const LOCK_TIMEOUT: &str = "set lock_timeout = '100ms'";

/// How far the backfill at hand goes before the stream is followed.
pub(super) async fn before_the_stream(db: &crate::pg::Db) -> Result<Until> {
    if !MadeBy::read(db).await?.was_finished() {
        return Ok(Until::Done);
    }
    // Nothing may show of rules that the guard has not let through (P9).
    let waits = backfill::rules_wait(db).await?;
    Ok(if waits { Until::OnlyRecomputes } else { Until::Read })
}

/// Whether the rest of it is read beside the stream.
pub(super) fn is_read_beside(until: Until, at: &Progress) -> bool {
    until == Until::Read && at.stage == Stage::Rows
}

/// The reading under way.
pub(super) struct Reading<'a> {
    /// A session of its own.
    source: Arc<Client>,
    /// Its entry in the operation log, where it began one.
    logged: Option<i64>,
    /// Shows how far it is.
    show: Show<'a>,
    /// Who wrote to the feeds when the session began.
    writers: Writers,
    pace: Pace,
    waits: Waits,
}

/// Since when nothing could be read, and when that was logged.
#[derive(Default)]
pub(super) struct Waits {
    since: Option<Instant>,
    warned: Option<Instant>,
}

impl Waits {
    /// Nothing could be read. Returns for how long, where that is to be logged.
    pub(super) fn another(&mut self, now: Instant) -> Option<Duration> {
        let waited = now.duration_since(*self.since.get_or_insert(now));
        let is_due = self.warned.is_none_or(|at| now.duration_since(at) >= WARN_INTERVAL);
        if waited < WARN_INTERVAL || !is_due {
            return None;
        }
        self.warned = Some(now);
        Some(waited)
    }

    /// Logs, once a minute, that feeds are not read and for whom is waited.
    pub(super) fn warn(&mut self, writers: &Writers) {
        let Some(waited) = self.another(Instant::now()) else { return };
        let (processes, prepared) = writers.open();
        tracing::warn!(
            seconds = waited.as_secs(),
            ?processes,
            prepared,
            "feeds are not read yet: a table is locked, commits wait for a standby, or transactions that wrote to a feed \
             before are still open"
        );
    }
}

impl<'a> Reading<'a> {
    /// Opens the session that reads. `logged` is its entry in the operation log.
    pub(super) async fn begin(
        config: &Config,
        writers: Writers,
        logged: Option<i64>,
        show: Show<'a>,
    ) -> Result<Self> {
        let source = Arc::new(connect(&config.source.server, "tributary", "source").await?);
        source.batch_execute(LOCK_TIMEOUT).await.context("source: session settings")?;
        let (pace, waits) = (Pace::default(), Waits::default());
        Ok(Self { source, logged, show, writers, pace, waits })
    }
}

impl Follow<'_> {
    /// Stores the next chunks of the reconcile under way. Between batches only.
    pub(super) async fn read_round(&mut self) -> Result<()> {
        let Some(reading) = &mut self.reading else { return Ok(()) };
        let db = &self.session.applier.db;
        let Some(mut at) = backfill::progress(db).await?.filter(|at| at.stage == Stage::Rows)
        else {
            return self.read_first().await;
        };
        self.session.applier.env.generation = at.generation;
        let (health, progress) = (self.health, shown(self.health, reading.show));
        let (source, shutdown) = (Arc::clone(&reading.source), self.shutdown);
        let work = Backfill {
            config: self.config,
            source,
            shutdown,
            progress: &progress,
            position: UNKNOWN_POSITION,
        };
        let applier = &mut self.session.applier;
        // Asked for however long the writers take: it forgets what is visible by now.
        let is_visible = is_visible(applier, &reading.source).await?;
        let round = if is_visible && reading.writers.have_ended(&reading.source).await? {
            work.read_round(applier, &mut at, &mut reading.pace).await?
        } else {
            Round::Waits
        };
        match round {
            Round::Done => {
                failpoint::hit("read-beside");
                reading.waits = Waits::default();
                health.step();
            }
            Round::Waits => {
                reading.waits.warn(&reading.writers);
                health.tick();
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    /// Reads the rest of the reconcile under way, judges and sweeps, before anything else is applied.
    ///
    /// # Errors
    /// [`Error::ReadsFirst`] where shutdown comes first.
    pub(super) async fn read_first(&mut self) -> Result<()> {
        let Some(mut reading) = self.reading.take() else { return Ok(()) };
        self.wait_until_visible(&mut reading).await?;
        let Self { config, session, health, shutdown, notice, .. } = self;
        let (show, logged) = (reading.show, reading.logged);
        let position = notice.positions();
        let tell = Tell { show, position: &position };
        let done = run_backfill(config, session, health, shutdown, tell, Until::Read, logged);
        if !watched(done, notice).await? {
            return Err(Error::ReadsFirst);
        }
        self.session.applier.set_reading(false);
        self.recomputes = true;
        // The stream was not read meanwhile.
        let end = slot::current_lsn(&self.session.source).await?;
        self.health.set_source_lsn(end);
        Ok(())
    }

    /// Waits until the source shows everything that was applied: what is read from then on is no older.
    async fn wait_until_visible(&mut self, reading: &mut Reading<'_>) -> Result<()> {
        let source = &reading.source;
        while !is_visible(&mut self.session.applier, source).await?
            || !reading.writers.have_ended(source).await?
        {
            if self.shutdown.is_cancelled() {
                return Err(Error::ReadsFirst);
            }
            reading.waits.warn(&reading.writers);
            self.health.tick();
            queue::serve(&mut self.session.applier).await?;
            tokio::select! {
                altered = self.notice.altered() => return Err(altered),
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
        Ok(())
    }
}

/// The tables that a backfill reads.
pub(super) fn tables_read<'c>(
    config: &'c Config,
    feeds: &Feeds,
    at: &Progress,
) -> impl Iterator<Item = &'c TableName> {
    let is_read = |name: &str| {
        let entry = feeds.named(name);
        entry.is_some_and(|entry| {
            at.feeds.as_ref().is_none_or(|meant| meant.contains(&entry.info.feed))
        })
    };
    config.source.feeds.iter().filter(move |feed| is_read(&feed.name)).map(|feed| &feed.table)
}

/// Whether the source shows everything that was applied.
async fn is_visible(applier: &mut Applier, source: &Client) -> Result<bool> {
    applier.is_visible(&snapshot::current(source).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_logged_once_a_minute() {
        let (mut waits, start) = (Waits::default(), Instant::now());
        let mut at = |seconds| waits.another(start + Duration::from_secs(seconds));
        let logged: Vec<u64> =
            (0..200).filter_map(|s| at(s).map(|waited| waited.as_secs())).collect();
        assert_eq!(logged, [60, 120, 180]);
    }
}
