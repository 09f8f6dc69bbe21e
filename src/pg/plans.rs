//! When the server must plan a session's statements again.
//!
//! A prepared statement keeps the plan that was made for the tables as they were. What pays on an empty table, such as
//! walking a whole index, is ruinous once a catch-up has filled it, and without statistics nothing else makes the
//! server plan again.

use std::sync::atomic::{AtomicU64, Ordering};

/// Rows after which plans are discarded for the first time; it costs a millisecond or two.
const FIRST: u64 = 500;

/// Counts the rows that a session has written.
#[derive(Debug, Default)]
pub(super) struct PlanAge {
    written: AtomicU64,
    /// Rows written when the plans were discarded last.
    discarded_at: AtomicU64,
}

impl PlanAge {
    /// Notes rows written.
    pub(super) fn wrote(&self, rows: u64) {
        self.written.fetch_add(rows, Ordering::Relaxed);
    }

    /// Whether the rows written have doubled since this last returned true.
    pub(super) fn is_due(&self) -> bool {
        let written = self.written.load(Ordering::Relaxed);
        let is_due = written >= FIRST.max(2 * self.discarded_at.load(Ordering::Relaxed));
        if is_due {
            self.discarded_at.store(written, Ordering::Relaxed);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_discarded_whenever_the_rows_have_doubled() {
        let age = PlanAge::default();
        let mut discarded = Vec::new();
        for batch in 1..=10_000_u64 {
            age.wrote(10);
            if age.is_due() {
                discarded.push(batch * 10);
            }
        }
        assert_eq!(discarded, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000]);
    }
}
