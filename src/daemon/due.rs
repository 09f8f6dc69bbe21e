//! What the loop does about changes that no message of the stream carries (P18).

use std::time::Duration;

use tokio::time::Instant;

use super::follow::Follow;
use super::reading::Waits;
use crate::error::Result;
use crate::failpoint;
use crate::lsn::Lsn;
use crate::session::{self, Session};
use crate::source::Writers;
use crate::source::position::Position;
use crate::store::checkpoint;

/// How often it is noted how far the source is.
const POSITION_INTERVAL: Duration = Duration::from_secs(10);

/// How far the source was when that was noted last, and when it was.
pub(super) struct Noted {
    position: Option<Position>,
    at: Instant,
}

impl Noted {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self { position: None, at: Instant::now() }
    }
}

impl Follow<'_> {
    /// Schedules the reconcile that is due once the stream has passed the moment when the source was seen to be altered, and
    /// notes alterations that hid nothing.
    pub(super) async fn look_at_what_is_due(&mut self) -> Result<()> {
        if self.starts_over {
            // What is noted of publication and tables is what the next session compares with.
            return Ok(());
        }
        let is_between = self.open.is_none() && self.batch.is_empty();
        let Session { due, checkpoint, applier, source, .. } = &mut *self.session;
        if let Some(found) = due.as_ref() {
            let is_passed = is_between && *checkpoint >= found.until;
            let feeds = self.config.source.feeds.iter();
            let tables = feeds.filter(|feed| found.reads(&feed.name)).map(|feed| &feed.table);
            let (writers, waits) =
                self.writers.get_or_insert_with(|| (Writers::to(tables), Waits::default()));
            let have_ended = writers.have_ended(source).await?;
            if !have_ended {
                waits.warn(writers);
            }
            if is_passed && have_ended {
                found.schedule(applier, self.config).await?;
                *due = None;
                self.starts_over = true;
                failpoint::hit("reconcile-scheduled");
            }
        } else if let Some(print) = self.notice.take_print() {
            session::note_print(&applier.db, Some(&print)).await?;
        }
        self.note_position().await
    }

    /// A transaction that commits up to `end_lsn` changed rows without saying which, as the replica identity of their table did
    /// not hold the key at the time: the feed is read again, unless it is anyway from a later moment on. That is noted before
    /// the transaction is committed (P1).
    pub(super) async fn note_keyless(&mut self, end_lsn: Lsn) -> Result<()> {
        let Some(open) = self.open.as_ref().filter(|open| !open.keyless.is_empty()) else {
            return Ok(());
        };
        let Session { due, applier, .. } = &mut *self.session;
        let due = due.as_ref().filter(|due| due.until >= end_lsn);
        let names = open.keyless.iter().map(|feed| applier.env.feeds.name(*feed));
        let feeds: Vec<&str> =
            names.filter(|name| !due.is_some_and(|due| due.reads(name))).collect();
        if feeds.is_empty() {
            return Ok(());
        }
        tracing::warn!(
            ?feeds,
            "rows were changed without their keys, as the replica identity did not hold them; reading the feeds again"
        );
        session::note_hidden(&applier.db, &feeds).await?;
        failpoint::hit("keyless-noted");
        self.starts_over = true;
        Ok(())
    }

    /// Notes how far the source is: one that is behind that at a later start was restored to an older state.
    async fn note_position(&mut self) -> Result<()> {
        if self.noted.at.elapsed() < POSITION_INTERVAL {
            return Ok(());
        }
        self.noted.at = Instant::now();
        let position = self.notice.position().filter(|now| self.noted.position != Some(*now));
        if let Some(position) = position {
            session::note_position(&self.session.applier.db, &position).await?;
            self.noted.position = Some(position);
        }
        Ok(())
    }

    /// The stream has passed everything that backfilled rows may contain already.
    pub(super) async fn forget_snapshots(&mut self) -> Result<()> {
        let applier = &mut self.session.applier;
        let until = checkpoint::backfilled_until(&applier.db).await?;
        if until.is_none_or(|until| self.session.checkpoint >= until) {
            applier.forget_snapshots().await?;
        }
        Ok(())
    }
}
