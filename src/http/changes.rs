//! What the stream has brought of each feed since the daemon started.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

/// Changes by feed. The main loop counts a batch at a time.
#[derive(Debug, Default)]
pub(crate) struct Changes(Mutex<BTreeMap<String, Seen>>);

/// Of one feed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Rows that were inserted, updated or deleted.
    pub(crate) rows: u64,
    /// When the source committed the last of them, where that is known.
    pub(crate) last: Option<Timestamp>,
}

impl Changes {
    /// Some more, applied.
    pub(crate) fn add(&self, feed: &str, rows: u64, at: Option<Timestamp>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A name is owned once.
        if !all.contains_key(feed) {
            all.insert(feed.to_owned(), Seen::default());
        }
        if let Some(seen) = all.get_mut(feed) {
            seen.rows += rows;
            seen.last = at.max(seen.last);
        }
    }

    /// Of this feed.
    pub(crate) fn of(&self, feed: &str) -> Seen {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(feed).copied().unwrap_or_default()
    }

    /// Rows of all feeds.
    pub(crate) fn rows(&self) -> u64 {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.values().map(|seen| seen.rows).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_up_and_keeps_the_last_known_time() {
        let changes = Changes::default();
        let at = Some(Timestamp::UNIX_EPOCH);
        changes.add("xendit", 3, at);
        changes.add("xendit", 2, None);
        changes.add("systemeio", 1, None);
        assert_eq!(changes.of("xendit"), Seen { rows: 5, last: at });
        assert_eq!((changes.of("orders"), changes.rows()), (Seen::default(), 6));
    }
}
