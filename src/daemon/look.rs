//! Looks for profiles and users that the application made, between batches. A page at a time: reading all of them at once would hold up
//! the stream for seconds where there are a million.

use std::time::Duration;

use tokio::time::Instant;

use crate::apply::{Applier, ROWS_OF_A_PAGE, Scanned};
use crate::error::Result;

/// Looking reads all of them: one part in this many of the time before batches, twice that where nothing waits between them,
const SHARE_OF_BATCHES: u32 = 500;
/// and one in this many beside them,
pub(super) const SHARE: u32 = 100;
/// where everything is looked through this often at most.
const INTERVAL: Duration = Duration::from_secs(10);

/// Rows of a page in front of a batch: a millisecond.
const ROWS_BEFORE_BATCHES: i64 = 200;

/// How far everything is looked through, and when the next page is due.
pub(super) struct Look {
    scanned: Scanned,
    due_at: Instant,
    /// When it may be looked at while nothing waits, so that no batch has to wait for it.
    free_at: Instant,
    rows: i64,
    share: u32,
    pause: Duration,
}

impl Look {
    /// Before batches: a person who is new takes the profile that the application made for the address (SPEC §4.1).
    pub(super) fn before_batches() -> Self {
        Self::new(ROWS_BEFORE_BATCHES, SHARE_OF_BATCHES, Duration::ZERO)
    }

    /// Also where nothing arrives.
    pub(super) fn at_all_times() -> Self {
        Self::new(ROWS_OF_A_PAGE, SHARE, INTERVAL)
    }

    fn new(rows: i64, share: u32, pause: Duration) -> Self {
        let now = Instant::now();
        Self { scanned: Scanned::default(), due_at: now, free_at: now, rows, share, pause }
    }

    /// Looks at the next page where that is due.
    pub(super) async fn next_page(&mut self, applier: &mut Applier) -> Result<()> {
        if Instant::now() < self.due_at {
            return Ok(());
        }
        self.page(applier).await
    }

    /// Looks at the next page once half of the time until it is due is over. For when nothing waits.
    pub(super) async fn next_page_early(&mut self, applier: &mut Applier) -> Result<()> {
        if Instant::now() < self.free_at {
            return Ok(());
        }
        self.page(applier).await
    }

    async fn page(&mut self, applier: &mut Applier) -> Result<()> {
        let started = Instant::now();
        let next = applier.scan_page(self.scanned, self.rows).await?;
        let pause = if next.is_none() { self.pause } else { Duration::ZERO };
        self.scanned = next.unwrap_or_default();
        let pause = pause.max(started.elapsed() * self.share);
        let now = Instant::now();
        (self.free_at, self.due_at) = (now + pause / 2, now + pause);
        Ok(())
    }
}
