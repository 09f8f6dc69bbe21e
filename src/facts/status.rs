//! Payment statuses (SPEC §3.10).

use std::collections::BTreeMap;

use super::clean::{cleaned, push_folded};
use crate::rules::{Rules, Status};

/// A status text as [`Rules::status_words`] writes it: clean, case-folded, `_` for spaces and `-`
/// (SPEC §3.10). `None` where nothing is left.
#[must_use]
pub fn status_word(raw: &str) -> Option<String> {
    let text = cleaned(raw)?;
    let mut word = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            ' ' | '-' => word.push('_'),
            c => push_folded(&mut word, c),
        }
    }
    Some(word)
}

/// SPEC §3.10: what the word means; `None` is UNKNOWN. `words` are those of the row's feed, which come first.
pub(super) fn status(raw: &str, words: &BTreeMap<String, Status>, rules: &Rules) -> Option<Status> {
    let word = status_word(raw)?;
    words.get(&word).or_else(|| rules.status_words.get(&word)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_read_as_spec_3_10_says() {
        let rules = Rules::default();
        let check = |raw: &str, expected: Option<Status>| {
            assert_eq!(status(raw, &BTreeMap::new(), &rules), expected, "{raw}");
        };
        for raw in ["PAID", "Completed", "complete", "SUCCESS", "successful", " ſucceeded\u{200b} "]
        {
            check(raw, Some(Status::Paid));
        }
        check("Settled", Some(Status::Settled));
        for raw in ["PENDING", "Unpaid", "ACTIVE"] {
            check(raw, Some(Status::Pending));
        }
        for raw in ["EXPIRED", "stopped", "InActive"] {
            check(raw, Some(Status::Expired));
        }
        check("failed", Some(Status::Failed));
        check("REFUNDED", Some(Status::Refunded));
        for raw in ["partially_refunded", "Partially Refunded", "PARTIALLY-REFUNDED"] {
            check(raw, Some(Status::PartiallyRefunded));
        }
        for raw in ["voided", "VOID", "Cancelled", "canceled", "reversed"] {
            check(raw, Some(Status::Voided));
        }
        for raw in ["chargeback", "charged back", "Charged-Back"] {
            check(raw, Some(Status::Chargeback));
        }
        for raw in ["", "n/a", "none", "refund", "paid!", "partially - refunded", "ΡAID"] {
            check(raw, None);
        }
    }
}
