//! Looks for profiles and users that the application made, between batches. A page at a time: reading all of them at once would hold up
//! the stream for seconds where there are a million.

use std::time::Duration;

use tokio::time::Instant;

use crate::apply::{Applier, Scanned};
use crate::error::Result;

/// Looking reads all of them: one part in this many of the time before batches,
const SHARE_OF_BATCHES: u32 = 500;
/// and one in this many beside them,
const SHARE: u32 = 100;
/// where everything is looked through this often at most.
const INTERVAL: Duration = Duration::from_secs(10);

/// How far everything is looked through, and when the next page is due.
pub(super) struct Look {
    scanned: Scanned,
    due_at: Instant,
    share: u32,
    pause: Duration,
}

impl Look {
    /// Before batches: a person who is new takes the profile that the application made for the address (SPEC §4.1).
    pub(super) fn before_batches() -> Self {
        Self::new(SHARE_OF_BATCHES, Duration::ZERO)
    }

    /// Also where nothing arrives.
    pub(super) fn at_all_times() -> Self {
        Self::new(SHARE, INTERVAL)
    }

    fn new(share: u32, pause: Duration) -> Self {
        Self { scanned: Scanned::default(), due_at: Instant::now(), share, pause }
    }

    /// Looks at the next page where that is due.
    pub(super) async fn next_page(&mut self, applier: &mut Applier) -> Result<()> {
        let started = Instant::now();
        if started < self.due_at {
            return Ok(());
        }
        let next = applier.scan_page(self.scanned).await?;
        let pause = if next.is_none() { self.pause } else { Duration::ZERO };
        self.scanned = next.unwrap_or_default();
        self.due_at = Instant::now() + pause.max(started.elapsed() * self.share);
        Ok(())
    }
}
