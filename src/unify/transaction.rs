//! A payment row as a transaction (SPEC §5.2).

use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};
use uuid::Uuid;

use super::duplicates::{Outcome, single_product};
use super::model::Transaction;
use super::order::compare_transactions;
use crate::facts::{FeedInfo, Payment, SourceKey};
use crate::rules::{NAMESPACE, Product, Rules, Status};

/// A transaction with the payment row that gives it.
#[derive(Debug, Clone)]
pub(crate) struct Booked<'a> {
    /// The surviving row.
    pub(crate) payment: &'a Payment,
    /// What it gives.
    pub(crate) transaction: Transaction,
    /// Local date of its paid_at.
    pub(crate) paid_on: Option<civil::Date>,
}

impl Booked<'_> {
    /// Money is or was with the merchant: successful or reversed.
    pub(crate) fn was_paid(&self) -> bool {
        was_paid(self.payment.status)
    }
}

fn was_paid(status: Status) -> bool {
    status.is_successful() || status.is_reversed()
}

/// The transactions of one group in the order of SPEC §5.4.
pub(crate) fn book<'a>(outcomes: &[(&'a Payment, Outcome<'_>)], rules: &Rules) -> Vec<Booked<'a>> {
    let mut booked: Vec<Booked<'a>> = outcomes
        .iter()
        .filter(|(payment, outcome)| *outcome == Outcome::Survives && is_listed(payment, rules))
        .filter_map(|(payment, _)| {
            let (paid_at, _) = paid_at(payment);
            let paid_on = paid_at.map(|paid_at| local_date(paid_at, &rules.zone));
            let transaction = transaction(payment, paid_at, paid_on, rules)?;
            Some(Booked { payment, transaction, paid_on })
        })
        .collect();
    booked.sort_by(|a, b| compare_transactions(&a.transaction, &b.transaction));
    booked
}

/// Whether the transaction filter of the configuration lets a payment through.
pub(crate) fn is_listed(payment: &Payment, rules: &Rules) -> bool {
    let filter = &rules.transactions;
    let status = filter.statuses.as_ref().is_none_or(|listed| listed.contains(&payment.status));
    let product = filter.products.as_ref().is_none_or(|listed| {
        single_product(payment).is_some_and(|code| listed.iter().any(|known| known == code))
    });
    status && product
}

/// The id of the transaction of a payment row: the source key of the primary feed where that is a UUID as PostgreSQL
/// writes it, else a UUIDv5 of the source row's name.
#[must_use]
pub fn transaction_id(feed: &FeedInfo, key: &SourceKey) -> Uuid {
    let text = key.as_str();
    // Other spellings of a UUID are text keys like any other: two that differ in case are two rows, and
    // each has its own transaction.
    let as_printed = |id: &Uuid| *id.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == *text;
    let parsed = Uuid::try_parse(text).ok().filter(as_printed).filter(|_| feed.primary);
    parsed.unwrap_or_else(|| crate::digest::uuid_v5(&NAMESPACE, feed.source_row(key).as_bytes()))
}

/// `paid_on` is the local date of `paid_at`.
fn transaction(
    payment: &Payment,
    paid_at: Option<Timestamp>,
    paid_on: Option<civil::Date>,
    rules: &Rules,
) -> Option<Transaction> {
    let product = single_product(payment).and_then(|code| rules.product(code));
    let created_at = created_at(payment);
    let updated_at = payment.updated_at.or(created_at);
    let when = |status: Status| updated_at.filter(|_| payment.status == status);
    let date = paid_on.or_else(|| created_at.map(|at| local_date(at, &rules.zone)));
    let fiscal = date.map(|date| fiscal(date, rules.fiscal_year_start_month));
    Some(Transaction {
        id: transaction_id(&payment.feed, &payment.key),
        feed: Arc::clone(&payment.feed),
        source_key: payment.key.clone(),
        amount: payment.amount?,
        currency: payment.currency.clone(),
        status: payment.status,
        payment_method: payment.payment_method.clone(),
        payment_provider_id: provider_id(payment).to_owned(),
        payment_provider_fee: payment.fee,
        description: payment.description.clone(),
        product_name: product.map(|product: &Product| product.name.clone()),
        product_type: product.map(|product| product.kind.clone()),
        product_id: product.map(|product| product.id),
        created_at,
        updated_at,
        paid_at,
        settled_at: payment.settled_at,
        cancelled_at: when(Status::Voided),
        refunded_at: when(Status::Refunded),
        failed_at: when(Status::Failed),
        failure_reason: payment.failure_reason.clone(),
        metadata: payment.metadata.clone(),
        fiscal_year: fiscal.map(|(year, _)| year),
        fiscal_quarter: fiscal.map(|(_, quarter)| quarter),
    })
}

fn provider_id(payment: &Payment) -> &str {
    payment.payment_id.as_deref().or(payment.external_id.as_deref()).unwrap_or(payment.key.as_str())
}

fn created_at(payment: &Payment) -> Option<Timestamp> {
    payment.created_at.or(payment.synced_at)
}

/// The transaction's paid_at and, where the row has none, the field it was inferred from.
pub(crate) fn paid_at(payment: &Payment) -> (Option<Timestamp>, Option<&'static str>) {
    if payment.paid_at.is_some() || !was_paid(payment.status) {
        return (payment.paid_at, None);
    }
    let chain = [
        (payment.settled_at, "settled_at"),
        (payment.updated_at, "updated"),
        (payment.created_at, "created"),
        (payment.synced_at, "sync_timestamp"),
    ];
    let found = chain.into_iter().find_map(|(at, field)| Some((at?, field)));
    found.map_or((None, None), |(at, field)| (Some(at), Some(field)))
}

/// The date on the wall of the business.
pub(crate) fn local_date(at: Timestamp, zone: &TimeZone) -> civil::Date {
    zone.to_datetime(at).date()
}

/// Fiscal year and quarter of a date. A fiscal year that does not start in January is named after the
/// calendar year in which it ends: with a start in July, 2025-07-01 is the first day of 2026.
pub(crate) fn fiscal(date: civil::Date, start_month: u8) -> (i32, i32) {
    let start = i32::from(start_month).clamp(1, 12);
    let (year, month) = (i32::from(date.year()), i32::from(date.month()));
    let ends_next_year = start > 1 && month >= start;
    (year + i32::from(ends_next_year), (month - start).rem_euclid(12) / 3 + 1)
}
