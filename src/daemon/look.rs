//! Looks for profiles and users that the application made, between batches. A page at a time: reading all of them at once would hold up
//! the stream for seconds where there are a million.

use std::time::Duration;

use tokio::time::Instant;

use crate::apply::{Applier, Scanned};
use crate::error::Result;

/// How far everything is looked through, and when the next page is due.
pub(super) struct Look {
    scanned: Scanned,
    due_at: Instant,
    share: u32,
    pause: Duration,
}

impl Look {
    /// One that takes one part in `share` of the time, and rests for `pause` once everything was looked through.
    pub(super) fn new(share: u32, pause: Duration) -> Self {
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
