//! What was found in the data: conflicts, notes, rows that are left out.

use super::{CONFLICTS, CONFLICTS_OPEN, LEFT_OUT};
use crate::facts::NoteKind;
use crate::status::LeftOutRows;
use crate::unify::{ConflictKind, Severity};

/// All open conflicts: a kind that is not among `counts` has none.
pub fn set_conflicts(counts: &[(ConflictKind, Severity, u64)]) {
    for kind in ConflictKind::ALL {
        for severity in [Severity::Review, Severity::Info] {
            let open = |(k, s, _): &&(ConflictKind, Severity, u64)| *k == kind && *s == severity;
            let count: u64 = counts.iter().filter(open).map(|(_, _, count)| count).sum();
            metrics::gauge!(CONFLICTS, "kind" => kind.as_str(), "severity" => severity.as_str())
                .set(count as f64);
        }
    }
}

/// Open conflicts by severity.
pub(crate) fn set_conflicts_open(review: u64, info: u64) {
    metrics::gauge!(CONFLICTS_OPEN, "severity" => "review").set(review as f64);
    metrics::gauge!(CONFLICTS_OPEN, "severity" => "info").set(info as f64);
}

/// Rows that the configuration leaves out, by feed.
pub(crate) fn set_left_out(left_out: &LeftOutRows) {
    for (feed, rows) in left_out {
        for (reason, rows) in [("skipped", rows.skipped), ("excluded", rows.excluded)] {
            metrics::gauge!(LEFT_OUT, "source" => feed.clone(), "reason" => reason)
                .set(rows as f64);
        }
    }
}

pub(super) fn note_kind(kind: NoteKind) -> &'static str {
    match kind {
        NoteKind::InvisibleCharacter => "invisible_character",
        NoteKind::Mojibake => "mojibake",
        NoteKind::InvalidPhone => "invalid_phone",
        NoteKind::TimezoneAbbreviation => "timezone_abbreviation",
        NoteKind::TimezoneAssumed => "timezone_assumed",
        NoteKind::DateOnly => "date_only",
        NoteKind::SpreadsheetDate => "spreadsheet_date",
        NoteKind::AmbiguousDate => "ambiguous_date",
        NoteKind::UnparsableTimestamp => "unparsable_timestamp",
        NoteKind::CurrencyAssumed => "currency_assumed",
        NoteKind::UnreadableTags => "unreadable_tags",
        NoteKind::Unconverted => "unconverted",
        NoteKind::Oversized => "oversized",
    }
}
