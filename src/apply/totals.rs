//! How many rows the owners of a round give, for the metric of those that were left alone.

use crate::engine::people::Decided;
use crate::metrics;
use crate::targets::Report;

/// Rows that the owners of a round give.
pub(super) struct Totals {
    profiles: usize,
    transactions: usize,
    enrollments: usize,
}

impl Totals {
    pub(super) fn of(decided: &[Decided]) -> Self {
        let given = decided.iter().filter(|decided| !decided.is_incomplete);
        let mut totals = Self { profiles: 0, transactions: 0, enrollments: 0 };
        for decided in given {
            totals.profiles += usize::from(decided.unified.profile.is_some());
            totals.transactions += decided.unified.transactions.len();
            totals.enrollments += decided.unified.enrollments.len();
        }
        totals
    }

    /// Those of them that were not written are equal, or refused.
    pub(super) fn count_unchanged(&self, report: &Report) {
        for (table, given, written) in [
            ("profiles", self.profiles, report.profiles),
            ("transactions", self.transactions, report.transactions),
            ("enrollments", self.enrollments, report.enrollments),
        ] {
            let written = written.updated + written.inserted;
            metrics::count_rows_unchanged(table, (given as u64).saturating_sub(written));
        }
    }
}
