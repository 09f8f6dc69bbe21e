//! The orders that decide between rows (SPEC §4.2, §5.1, §5.4).
//!
//! Every order ends in the source key or the id, so it is total and the order of arrival never matters.

use std::cmp::Ordering;

use jiff::Timestamp;

use super::model::Transaction;
use crate::facts::{Contact, FeedInfo, Payment, SourceKey};

/// Newest first, NULLs last.
fn newest_first(a: Option<Timestamp>, b: Option<Timestamp>) -> Ordering {
    // `None` sorts below every instant, so the reversed order puts it last.
    b.cmp(&a)
}

/// The order of source rows by name, in byte order. A name ends in a byte that the name of no feed holds.
pub(crate) fn compare_rows(a: (&FeedInfo, &SourceKey), b: (&FeedInfo, &SourceKey)) -> Ordering {
    if a.0.feed == b.0.feed {
        return a.1.cmp(b.1);
    }
    let (first, second) = (a.0.name.bytes().chain([b':']), b.0.name.bytes().chain([b':']));
    first.cmp(second).then_with(|| a.1.cmp(b.1))
}

/// The authority of feeds (SPEC §1): the lower rank first, equal ones by name.
pub(crate) fn compare_authority(a: &FeedInfo, b: &FeedInfo) -> Ordering {
    a.rank.cmp(&b.rank).then_with(|| a.name.cmp(&b.name))
}

/// The order of a person's contacts, the most trusted first (SPEC §4.2): the authority of the feed, updated_at and
/// created_at newest first, NULLs last, then source row.
#[must_use]
pub fn compare_contacts(a: &Contact, b: &Contact) -> Ordering {
    compare_authority(&a.feed, &b.feed)
        .then_with(|| newest_first(a.updated_at, b.updated_at))
        .then_with(|| newest_first(a.created_at, b.created_at))
        .then_with(|| a.key.cmp(&b.key))
}

/// When a payment happened as its row says: paid_at, else created, as parsed.
pub(crate) fn payment_time(payment: &Payment) -> Option<Timestamp> {
    payment.paid_at.or(payment.created_at)
}

/// The order in which payments give a name or phone (SPEC §4.2): successful before others, newest
/// first, NULLs last, then source row.
#[must_use]
pub fn compare_payments(a: &Payment, b: &Payment) -> Ordering {
    b.status
        .is_successful()
        .cmp(&a.status.is_successful())
        .then_with(|| newest_first(payment_time(a), payment_time(b)))
        .then_with(|| compare_rows((&a.feed, &a.key), (&b.feed, &b.key)))
}

/// The order of payments in time (SPEC §4.2): created as parsed, oldest first, NULLs last, then source row.
pub(crate) fn compare_earliest(a: &Payment, b: &Payment) -> Ordering {
    let unknown = a.created_at.is_none().cmp(&b.created_at.is_none());
    unknown
        .then_with(|| a.created_at.cmp(&b.created_at))
        .then_with(|| compare_rows((&a.feed, &a.key), (&b.feed, &b.key)))
}

/// The order of the rows of one duplicated payment, the survivor first (SPEC §5.1).
#[must_use]
pub fn compare_duplicates(a: &Payment, b: &Payment) -> Ordering {
    b.status
        .rank()
        .cmp(&a.status.rank())
        .then_with(|| newest_first(a.updated_at, b.updated_at))
        .then_with(|| newest_first(a.created_at, b.created_at))
        .then_with(|| a.key.cmp(&b.key))
}

/// The order in which transactions open access periods (SPEC §5.4): paid_at oldest first, NULLs last,
/// then id.
#[must_use]
pub fn compare_transactions(a: &Transaction, b: &Transaction) -> Ordering {
    a.paid_at
        .is_none()
        .cmp(&b.paid_at.is_none())
        .then_with(|| a.paid_at.cmp(&b.paid_at))
        .then_with(|| a.id.cmp(&b.id))
}
