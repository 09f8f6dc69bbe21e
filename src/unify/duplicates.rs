//! Which payment rows are one payment (SPEC §5.1).

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use uuid::Uuid;

use super::model::Owner;
use super::order::{compare_duplicates, compare_rows};
use crate::facts::{Contact, EmailKey, Feed, FeedInfo, Payment, SourceKey};
use crate::rules::NAMESPACE;

/// Longest source key, in bytes, that an orphan's owner text quotes; a longer one is digested, so that
/// the text always fits an index entry.
const QUOTED_KEY_BYTES: usize = 200;

/// What becomes of a payment row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Outcome<'a> {
    /// It gives the transaction.
    Survives,
    /// Another row of the same payment gives it.
    DuplicateOf(&'a Payment),
    /// There is no amount to book.
    InvalidAmount,
}

/// The code of the payment's product: none and several are both "no product" (SPEC §3.11, §5.1).
#[must_use]
pub fn single_product(payment: &Payment) -> Option<&str> {
    match payment.products.as_slice() {
        [only] => Some(only),
        _ => None,
    }
}

/// What rows must agree in to be candidates for one payment.
type Likeness<'a> = (Feed, &'a str, Decimal, &'a str, Option<&'a str>);

fn likeness(payment: &Payment) -> Option<Likeness<'_>> {
    let external_id = payment.external_id.as_deref()?;
    let (feed, currency) = (payment.feed.feed, payment.currency.as_str());
    Some((feed, external_id, payment.amount?, currency, single_product(payment)))
}

/// The outcome of every payment of one group, in the order of the source rows.
pub(crate) fn outcomes(payments: &[Payment]) -> Vec<(&Payment, Outcome<'_>)> {
    // Most people have one.
    if let [only] = payments {
        let invalid = only.amount.is_none();
        return vec![(only, if invalid { Outcome::InvalidAmount } else { Outcome::Survives })];
    }
    let mut sets: BTreeMap<Likeness<'_>, Vec<&Payment>> = BTreeMap::new();
    let mut judged = Vec::with_capacity(payments.len());
    for payment in payments {
        match likeness(payment) {
            Some(likeness) => sets.entry(likeness).or_default().push(payment),
            None if payment.amount.is_none() => judged.push((payment, Outcome::InvalidAmount)),
            None => judged.push((payment, Outcome::Survives)),
        }
    }
    for rows in sets.into_values().flat_map(split_by_payment_id) {
        let survivor = rows.iter().copied().min_by(|a, b| compare_duplicates(a, b));
        judged.extend(rows.into_iter().map(|row| match survivor {
            Some(survivor) if !std::ptr::eq(survivor, row) => (row, Outcome::DuplicateOf(survivor)),
            _ => (row, Outcome::Survives),
        }));
    }
    judged.sort_by(|(a, _), (b, _)| compare_rows((&a.feed, &a.key), (&b.feed, &b.key)));
    judged
}

/// Rows with one payment_id are one payment. Rows without one join it while there is no doubt which,
/// else they are one payment of their own.
fn split_by_payment_id(rows: Vec<&Payment>) -> Vec<Vec<&Payment>> {
    let mut by_id: BTreeMap<Option<&str>, Vec<&Payment>> = BTreeMap::new();
    for row in &rows {
        by_id.entry(row.payment_id.as_deref()).or_default().push(row);
    }
    let ids = by_id.keys().filter(|id| id.is_some()).count();
    if ids <= 1 { vec![rows] } else { by_id.into_values().collect() }
}

/// The [`Owner::Orphans`] text of a payment without e-mail key, after decisions. Payments that could be
/// duplicates of each other share one, since they are judged together (SPEC §5.1).
#[must_use]
pub fn orphan_group_of_payment(payment: &Payment) -> String {
    let Some((_, external_id, amount, currency, product)) = likeness(payment) else {
        return owner_of_row("orphan", &payment.feed, &payment.key);
    };
    let amount = amount.normalize().to_string();
    let mut parts = vec![Some(external_id), Some(&amount), Some(currency), product];
    // Ids of different feeds have nothing to do with each other.
    if !payment.feed.primary {
        parts.push(Some(&payment.feed.name));
    }
    let digest = digest("orphans", &parts);
    format!("orphans {digest}")
}

/// The [`Owner::Orphans`] text of a contact without e-mail key: nothing is judged with it.
#[must_use]
pub fn orphan_of_contact(contact: &Contact) -> String {
    owner_of_row("orphan", &contact.feed, &contact.key)
}

/// The [`Owner::Orphans`] text of a row that the configuration leaves out (SPEC §1); `why` is `skipped` or `excluded`.
/// It flags the row: its text begins with that word.
#[must_use]
pub fn owner_of_left_out(why: &str, feed: &FeedInfo, key: &SourceKey) -> String {
    owner_of_row(why, feed, key)
}

fn owner_of_row(word: &str, feed: &FeedInfo, key: &SourceKey) -> String {
    let (name, key) = (&feed.name, key.as_str());
    if key.len() <= QUOTED_KEY_BYTES {
        return format!("{word} {name}:{key}");
    }
    format!("{word} {name}#{}", digest("orphan", &[Some(key)]))
}

/// Digest of what payments with one external_id must agree in: person (none is a value), amount by
/// value (invalid is one), currency and product. Two of them differ in the sense of
/// `duplicate_external_id` (SPEC §6) if and only if their identities differ, or both have a payment_id
/// and these differ.
#[must_use]
pub fn identity(owner: &Owner, payment: &Payment) -> Uuid {
    let person = owner.person().map(EmailKey::as_str);
    let amount = payment.amount.map(|amount| amount.normalize().to_string());
    let parts = [person, amount.as_deref(), Some(&payment.currency), single_product(payment)];
    digest("identity", &parts)
}

/// A digest in which no two lists of parts run together.
fn digest(purpose: &str, parts: &[Option<&str>]) -> Uuid {
    let mut text = purpose.to_owned();
    for part in parts {
        match part {
            Some(part) => text.push_str(&format!("\n{}:{part}", part.len())),
            None => text.push_str("\n-"),
        }
    }
    crate::digest::uuid_v5(&NAMESPACE, text.as_bytes())
}

/// The name of a payment's source row (SPEC §1).
pub(crate) fn payment_row(payment: &Payment) -> String {
    payment.feed.source_row(&payment.key)
}

/// The name of a contact's source row (SPEC §1).
pub(crate) fn contact_row(contact: &Contact) -> String {
    contact.feed.source_row(&contact.key)
}
