//! A reconcile that reads its feeds while the stream goes on (SPEC §8, P2 and P18).
//!
//! Chunks are stored between batches, so that the other feeds stay current. What a batch cannot decide before everything is
//! read waits ([`Error::ReadsFirst`]): the rest is then read in one go. So are the steps after the chunks that ask for rows
//! which no chunk saw, judge e-mail changes and sweep: no batch may come between them.

use std::sync::Arc;
use std::time::Duration;

use super::follow::Follow;
use super::{Show, report_backfill};
use crate::backfill::{Backfill, Round, Until};
use crate::connect::connect;
use crate::error::{Context, Error, Result};
use crate::failpoint;
use crate::pg::Client;
use crate::source::slot;
use crate::status::Stage;
use crate::store::backfill::{self, MadeBy, Progress};

/// After what time it is tried again to read what could not be read.
const PAUSE: Duration = Duration::from_millis(20);
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
pub(super) fn is_read_beside(until: Until, at: Option<&Progress>) -> bool {
    until == Until::Read && at.is_some_and(|at| at.stage == Stage::Rows)
}

/// The reading under way.
pub(super) struct Reading<'a> {
    /// A session of its own.
    source: Arc<Client>,
    /// Shows how far it is.
    show: Show<'a>,
}

impl<'a> Reading<'a> {
    /// Opens the session that reads.
    pub(super) async fn begin(config: &crate::config::Config, show: Show<'a>) -> Result<Self> {
        let source = Arc::new(connect(&config.source.server, "tributary", "source").await?);
        source.batch_execute(LOCK_TIMEOUT).await.context("source: session settings")?;
        Ok(Self { source, show })
    }
}

impl Follow<'_> {
    /// Stores the next chunks of the reconcile under way. Between batches only.
    pub(super) async fn read_round(&mut self) -> Result<()> {
        let Some(reading) = &self.reading else { return Ok(()) };
        let db = &self.session.applier.db;
        let Some(mut at) = backfill::progress(db).await?.filter(|at| at.stage == Stage::Rows)
        else {
            return self.read_first().await;
        };
        self.session.applier.env.generation = at.generation;
        let (health, show) = (self.health, reading.show);
        let progress = |at: &Progress| {
            report_backfill(health, at);
            health.recovered();
            show(at);
        };
        let (source, shutdown) = (Arc::clone(&reading.source), self.shutdown);
        let work = Backfill { config: self.config, source, shutdown, progress: &progress };
        let round = work.read_round(&mut self.session.applier, &mut at).await?;
        failpoint::hit("read-beside");
        health.step();
        if round == Round::Waits {
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Reads the rest of the reconcile under way, judges and sweeps, before anything else is applied.
    ///
    /// # Errors
    /// [`Error::ReadsFirst`] where shutdown comes first.
    pub(super) async fn read_first(&mut self) -> Result<()> {
        let Some(reading) = self.reading.take() else { return Ok(()) };
        let Self { config, session, health, shutdown, notice, .. } = self;
        let done = super::backfill(config, session, health, shutdown, reading.show, Until::Read);
        if !super::watched(done, notice).await? {
            return Err(Error::ReadsFirst);
        }
        self.session.applier.set_reading(false);
        self.recomputes = true;
        // The stream was not read meanwhile.
        let end = slot::current_lsn(&self.session.source).await?;
        self.health.set_source_lsn(end);
        Ok(())
    }
}
