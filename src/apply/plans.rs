//! Plans of the session are made again as the tables grow.
//!
//! A plan is kept for as long as no statistics change, and none do within a large transaction, or where nobody gathers them. One
//! that was made while a table was empty may walk a whole index that had one page then (P16).

use crate::error::Result;
use crate::pg::Tx;

/// Rows that no plan of an empty table makes slow.
const FIRST: u64 = 1_000;

/// What was written since the plans were made.
#[derive(Debug)]
pub(super) struct Plans {
    rows: u64,
    /// How many rows make them out of date: as many as there were, so that each doubling costs one planning.
    bound: u64,
}

impl Default for Plans {
    fn default() -> Self {
        Self { rows: 0, bound: FIRST }
    }
}

impl Plans {
    /// Notes rows that are about to be written.
    ///
    /// # Errors
    /// Those of the target.
    pub(super) async fn grow(&mut self, tx: &Tx, rows: usize) -> Result<()> {
        if !self.is_due(rows as u64) {
            return Ok(());
        }
        tx.batch("target: planning for what has grown", "discard plans").await
    }

    fn is_due(&mut self, rows: u64) -> bool {
        self.rows += rows;
        if self.rows < self.bound {
            return false;
        }
        (self.rows, self.bound) = (0, self.rows.max(self.bound * 2));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_doubling_is_planned_once() {
        let mut plans = Plans::default();
        let due = (1..=100_000).filter(|_| plans.is_due(10)).count();
        assert_eq!(due, 9, "1,000, 3,000, 7,000 … 511,000 rows");
        assert!(Plans::default().is_due(1_000_000));
    }
}
