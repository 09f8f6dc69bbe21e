//! The log that the source keeps for the slot: how much, how much more it can, and for how long at the present rate.

use std::collections::VecDeque;
use std::time::Duration;

use crate::pg::Client;
use tokio::time::Instant;

use crate::error::{Context as _, Result};
use crate::lsn::Lsn;
use crate::status::SlotLog;

/// The rate is that of this long.
const WINDOW: Duration = Duration::from_secs(300);
/// No rate is reported before this much of it.
const LEAST: Duration = Duration::from_secs(10);

/// What the source says now, with the end of its log; `None`: there is no such slot.
///
/// # Errors
/// The source is away.
pub async fn look(client: &Client, slot: &str) -> Result<Option<(Lsn, SlotLog)>> {
    let row = client.query_opt(include_str!("sql/slot_log.sql"), &[&slot]).await;
    let row = row.context("source: reading what the slot keeps")?;
    Ok(row.map(|row| {
        let end = row.get::<_, Option<&str>>(0).and_then(Lsn::parse).unwrap_or_default();
        let log = SlotLog {
            retained_bytes: row.get::<_, i64>(1).unsigned_abs(),
            safe_bytes: row.get::<_, Option<i64>>(2).map(|bytes| bytes.max(0).unsigned_abs()),
            wal_status: row.get(3),
            seconds_to_loss: None,
        };
        (end, log)
    }))
}

/// How fast the source writes its log.
#[derive(Debug, Default)]
pub struct LogRate {
    ends: VecDeque<(Instant, Lsn)>,
}

impl LogRate {
    /// Notes the end of the log, and says when the slot may be lost if the log goes on as it did.
    pub fn project(&mut self, at: Instant, end: Lsn, log: &mut SlotLog) {
        // A server that was restored starts over.
        if self.ends.back().is_some_and(|(_, last)| end < *last) {
            self.ends.clear();
        }
        self.ends.push_back((at, end));
        while self.ends.front().is_some_and(|(first, _)| at.duration_since(*first) > WINDOW) {
            self.ends.pop_front();
        }
        log.seconds_to_loss = match log.wal_status.as_deref() {
            Some("lost") => Some(0.0),
            _ => self.rate().zip(log.safe_bytes).map(|(rate, safe)| safe as f64 / rate),
        };
    }

    /// Bytes a second; `None` while it writes nothing, or is not known for long.
    fn rate(&self) -> Option<f64> {
        let ((first, from), (last, to)) = (self.ends.front()?, self.ends.back()?);
        let span = last.duration_since(*first);
        let bytes = to.0.saturating_sub(from.0);
        (span >= LEAST && bytes > 0).then(|| bytes as f64 / span.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loss_is_projected_from_the_rate_of_the_last_minutes() {
        let begin = Instant::now();
        let mut rate = LogRate::default();
        let mut project = |second: u64, end: u64, safe: Option<u64>, status: &str| {
            let mut log = SlotLog {
                safe_bytes: safe,
                wal_status: Some(status.to_owned()),
                ..SlotLog::default()
            };
            rate.project(begin + Duration::from_secs(second), Lsn(end), &mut log);
            log.seconds_to_loss
        };
        assert_eq!(project(0, 1_000, Some(500), "reserved"), None);
        assert_eq!(project(5, 1_500, Some(500), "reserved"), None, "known for too short");
        assert_eq!(project(10, 2_000, Some(500), "reserved"), Some(5.0));
        assert_eq!(project(20, 3_000, None, "reserved"), None, "no limit");
        assert_eq!(project(20, 3_000, None, "lost"), Some(0.0));
        // What is older than the window does not count.
        assert_eq!(project(320, 3_000, Some(500), "reserved"), None, "nothing is written");
        assert_eq!(project(330, 3_100, Some(500), "extended"), Some(50.0));
        assert_eq!(project(340, 50, Some(500), "reserved"), None, "restored to an older state");
    }
}
