//! One row of a feed of payments (SPEC §3), and the metadata of its transaction (SPEC §5.2).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use rust_decimal::Decimal;

use super::clean::cleaned;
use super::email::email_key;
use super::field::{LogicalField, PaymentField};
use super::key::{bounded_id, source_key};
use super::money::{amount, currency, exponent};
use super::name::{FullName, full_name};
use super::phone::phone;
use super::product::match_products;
use super::reader::{Reader, time};
use super::row::{AmountUnit, ColumnKind, Layout, RawRow, SourceKey};
use super::source::Text;
use super::status::status;
use super::time::is_zone;
use super::{Metadata, NoteKind, Payment};
use crate::rules::{Rules, Status};

/// The fact of one row of payments, by the rules of SPEC §3. Never fails: bad input is noted.
#[must_use]
pub fn payment(row: &RawRow, layout: &Layout<PaymentField>, rules: &Rules) -> Payment {
    let mut reader = Reader::new(row, layout, rules);
    let external_id = reader.text(PaymentField::ExternalId).map(bounded_id);
    let payment_id = reader.text(PaymentField::PaymentId).map(bounded_id);
    let name = reader.full_name(PaymentField::CustomerName);
    let email = reader.email(PaymentField::CustomerEmail);
    let phone = reader.phone(PaymentField::CustomerPhone);
    let description = reader.text(PaymentField::Description);
    let zone = reader.zone(PaymentField::TimeZone);
    let zone = zone.as_deref();
    let created_at = reader.time(PaymentField::Created, zone);
    let updated_at = reader.time(PaymentField::Updated, zone);
    let paid_at = reader.time(PaymentField::PaidAt, zone);
    let settled_at = reader.time(PaymentField::SettledAt, zone);
    let synced_at = match created_at {
        Some(_) => None,
        None => reader.time_without_notes(PaymentField::SyncTimestamp, zone),
    };
    let reason = reader.text(PaymentField::FailureReason);
    let key = source_key(row, &layout.columns);
    let unit = Unit::of(&reader, rules);
    Payment {
        metadata: metadata(&reader, &key, unit, rules),
        feed: Arc::clone(&layout.feed),
        key,
        email,
        external_id,
        payment_id,
        amount: reader.amount(PaymentField::Amount, unit),
        fee: reader.amount(PaymentField::Fees, unit),
        paid_amount: reader.amount(PaymentField::PaidAmount, unit),
        currency: reader.currency(rules),
        status: reader.status(rules),
        products: description.as_deref().map(|d| match_products(d, rules)).unwrap_or_default(),
        payment_method: reader
            .clean_text(PaymentField::PaymentMethod)
            .map(|text| text.to_uppercase()),
        description,
        failure_reason: reason.or_else(|| reader.text(PaymentField::FailureCode)),
        first_name: name.first,
        last_name: name.last,
        phone,
        created_at,
        updated_at,
        paid_at,
        settled_at,
        synced_at,
        raw: layout.raw_texts(row),
        notes: reader.into_notes(),
    }
}

/// Whether the configuration of the feed leaves the row out (SPEC §1).
#[must_use]
pub fn skips_payment(row: &RawRow, layout: &Layout<PaymentField>, rules: &Rules) -> bool {
    let reader = Reader::new(row, layout, rules);
    reader.is_skipped(|field| winning_text(&reader, field, rules))
}

impl Reader<'_, PaymentField> {
    fn amount(&mut self, field: PaymentField, unit: Unit) -> Option<Decimal> {
        self.value(field, |text, kind| (unit.amount(text, kind), Vec::new()))
    }

    fn currency(&mut self, rules: &Rules) -> String {
        let field = PaymentField::Currency;
        let found = self.value(field, |text, _| (currency(text), Vec::new()));
        found.unwrap_or_else(|| {
            let raw = self.texts(field).next().map_or(Cow::Borrowed(""), |(text, _)| text);
            self.note(field, &raw, vec![NoteKind::CurrencyAssumed]);
            rules.currency.clone()
        })
    }

    fn status(&mut self, rules: &Rules) -> Status {
        let words = &self.layout().rules.status_words;
        let found =
            self.value(PaymentField::Status, |text, _| (status(text, words, rules), Vec::new()));
        found.unwrap_or(Status::Unknown)
    }
}

/// What a number of an amount counts (SPEC §1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// Parts of the currency's unit, as a power of ten.
    Parts(u32),
    /// The smallest part of a currency of which nobody knows how small that is.
    Unknown,
}

impl Unit {
    fn of(reader: &Reader<'_, PaymentField>, rules: &Rules) -> Self {
        if reader.layout().rules.amount_unit == AmountUnit::Major {
            return Self::Parts(0);
        }
        let currency = reader.texts(PaymentField::Currency).find_map(|(text, _)| currency(&text));
        let exponent = exponent(currency.as_deref().unwrap_or(&rules.currency));
        exponent.map_or(Self::Unknown, Self::Parts)
    }

    fn amount(self, text: &str, kind: ColumnKind) -> Option<Decimal> {
        match self {
            Self::Parts(exponent) => amount(text, kind, exponent),
            Self::Unknown => None,
        }
    }
}

/// SPEC §5.2: where the payment comes from, and every mapped raw field that is not NULL by its logical
/// name. `sync_timestamp` is left out, so that a change of it changes nothing (P4).
fn metadata(
    reader: &Reader<'_, PaymentField>,
    key: &SourceKey,
    unit: Unit,
    rules: &Rules,
) -> Metadata {
    let layout = reader.layout();
    let fields = layout.by_name();
    let source = layout.feed.name.as_str();
    let bytes = reader.bytes() + key.as_str().len();
    let mut metadata = Metadata::with_capacity(fields.len() + 2, bytes + source.len());
    // The fields come in the order of their names, and these two names have a place in it.
    let (before, after) = fields.split_at(fields.partition_point(|field| field.name() < "source"));
    for field in before {
        push_field(&mut metadata, reader, *field, unit, rules);
    }
    metadata.push_source(source, key.as_str());
    for field in after {
        push_field(&mut metadata, reader, *field, unit, rules);
    }
    metadata
}

fn push_field(
    metadata: &mut Metadata,
    reader: &Reader<'_, PaymentField>,
    field: PaymentField,
    unit: Unit,
    rules: &Rules,
) {
    let text: Option<Cow<'_, str>> = match field {
        PaymentField::SyncTimestamp => None,
        PaymentField::ExternalId => reader.clean_text(field),
        PaymentField::PaymentChannel => reader.clean_text(field).map(|text| channel(&text).into()),
        PaymentField::PaidAmount => {
            let mut texts = reader.texts(field);
            let read = texts.find_map(|(text, kind)| unit.amount(&text, kind));
            let read = read.map(|amount| amount.to_string().into());
            read.or_else(|| winning_text(reader, field, rules).map(|(text, _)| text))
        }
        _ => winning_text(reader, field, rules).map(|(text, _)| text),
    };
    if let Some(text) = text {
        metadata.push(field, &text);
    }
}

/// A payment channel without the country it is of: `PH_GCASH` is `GCASH`.
fn channel(text: &str) -> String {
    let text = text.to_uppercase();
    match text.split_once('_') {
        Some((country, name))
            if country.len() == 2
                && country.bytes().all(|b| b.is_ascii_uppercase())
                && !name.is_empty() =>
        {
            name.to_owned()
        }
        _ => text,
    }
}

/// The text of the source that wins, else of the first that is not NULL.
fn winning_text<'a>(
    reader: &Reader<'a, PaymentField>,
    field: PaymentField,
    rules: &Rules,
) -> Option<Text<'a>> {
    let words = &reader.layout().rules.status_words;
    reader.winning(field, |text, kind| is_usable(field, text, kind, words, rules))
}

/// Whether the rule of the field gives a value for the text.
fn is_usable(
    field: PaymentField,
    text: &str,
    kind: ColumnKind,
    words: &BTreeMap<String, Status>,
    rules: &Rules,
) -> bool {
    match field {
        PaymentField::CustomerEmail => email_key(text).0.is_ok(),
        PaymentField::CustomerName => full_name(text).0 != FullName::default(),
        PaymentField::CustomerPhone => phone(text).0.is_some(),
        PaymentField::Amount | PaymentField::Fees | PaymentField::PaidAmount => {
            amount(text, kind, 0).is_some()
        }
        PaymentField::Status => status(text, words, rules).is_some(),
        PaymentField::TimeZone => is_zone(text),
        PaymentField::Created
        | PaymentField::Updated
        | PaymentField::PaidAt
        | PaymentField::SettledAt => time(text, kind, None, rules).0.is_some(),
        _ => cleaned(text).is_some(),
    }
}
