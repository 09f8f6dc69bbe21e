//! One `xendit` row (SPEC §3), and the metadata of its transaction (SPEC §5.2).

use std::borrow::Cow;

use rust_decimal::Decimal;

use super::clean::cleaned;
use super::email::email_key;
use super::key::{bounded_id, source_key};
use super::money::{amount, currency};
use super::name::{FullName, full_name};
use super::phone::phone;
use super::product::match_products;
use super::reader::{Reader, mojibake, time};
use super::row::{ColumnKind, Feed, Layout, LogicalField, PaymentField, RawRow, SourceKey};
use super::status::status;
use super::time::is_zone;
use super::{Metadata, NoteKind, Payment};
use crate::rules::{Rules, Status};

/// The fact of one `xendit` row, by the rules of SPEC §3. Never fails: bad input is noted.
#[must_use]
pub fn payment(row: &RawRow, layout: &Layout<PaymentField>, rules: &Rules) -> Payment {
    let mut reader = Reader::new(row, layout, rules);
    let external_id = reader.text(PaymentField::ExternalId).map(bounded_id);
    let payment_id = reader.text(PaymentField::PaymentId).map(bounded_id);
    let name = reader.customer_name();
    let email = reader.email(PaymentField::CustomerEmail);
    let phone = reader.phone(PaymentField::CustomerPhone);
    let description = reader.text(PaymentField::Description);
    let zone = reader.zone(PaymentField::TimeZone);
    let created_at = reader.time(PaymentField::Created, zone);
    let updated_at = reader.time(PaymentField::Updated, zone);
    let paid_at = reader.time(PaymentField::PaidAt, zone);
    let settled_at = reader.time(PaymentField::SettledAt, zone);
    let synced_at = match created_at {
        Some(_) => None,
        None => reader.time_without_notes(PaymentField::SyncTimestamp, zone),
    };
    let reason = reader.text(PaymentField::FailureReason);
    let key = source_key(row, layout);
    Payment {
        metadata: metadata(&reader, &key, layout, rules),
        key,
        email,
        external_id,
        payment_id,
        amount: reader.amount(PaymentField::Amount),
        fee: reader.amount(PaymentField::Fees),
        paid_amount: reader.amount(PaymentField::PaidAmount),
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

impl Reader<'_, PaymentField> {
    fn customer_name(&mut self) -> FullName {
        let name = self.value(PaymentField::CustomerName, |text, _| {
            let (name, mended) = full_name(text);
            ((name != FullName::default()).then_some(name), mojibake(mended))
        });
        name.unwrap_or_default()
    }

    fn amount(&mut self, field: PaymentField) -> Option<Decimal> {
        self.value(field, |text, kind| (amount(text, kind), Vec::new()))
    }

    fn currency(&mut self, rules: &Rules) -> String {
        let field = PaymentField::Currency;
        let found = self.value(field, |text, _| (currency(text), Vec::new()));
        found.unwrap_or_else(|| {
            let raw = self.texts(field).next().map_or("", |(text, _)| text);
            self.note(field, raw, vec![NoteKind::CurrencyAssumed]);
            rules.currency.clone()
        })
    }

    fn status(&mut self, rules: &Rules) -> Status {
        let found = self.value(PaymentField::Status, |text, _| (status(text, rules), Vec::new()));
        found.unwrap_or(Status::Unknown)
    }
}

/// SPEC §5.2: where the payment comes from, and every mapped raw field that is not NULL by its logical
/// name. `sync_timestamp` is left out, so that a change of it changes nothing (P4).
fn metadata(
    reader: &Reader<'_, PaymentField>,
    key: &SourceKey,
    layout: &Layout<PaymentField>,
    rules: &Rules,
) -> Metadata {
    let fields = layout.by_name();
    let source = Feed::Xendit.as_str();
    let texts = fields.iter().filter_map(|field| reader.texts(*field).next());
    let bytes = texts.map(|(text, _)| text.len()).sum::<usize>() + key.as_str().len();
    let mut metadata = Metadata::with_capacity(fields.len() + 2, bytes + source.len());
    // The fields come in the order of their names, and these two names have a place in it.
    let (before, after) = fields.split_at(fields.partition_point(|field| field.name() < "source"));
    for field in before {
        push_field(&mut metadata, reader, *field, rules);
    }
    metadata.push_source(source, key.as_str());
    for field in after {
        push_field(&mut metadata, reader, *field, rules);
    }
    metadata
}

fn push_field(
    metadata: &mut Metadata,
    reader: &Reader<'_, PaymentField>,
    field: PaymentField,
    rules: &Rules,
) {
    let text: Option<Cow<'_, str>> = match field {
        PaymentField::SyncTimestamp => None,
        PaymentField::ExternalId => reader.clean_text(field),
        PaymentField::PaymentChannel => reader.clean_text(field).map(|text| channel(&text).into()),
        PaymentField::PaidAmount => {
            let mut texts = reader.texts(field);
            let read = texts.find_map(|(text, kind)| amount(text, kind));
            let read = read.map(|amount| amount.to_string().into());
            read.or_else(|| winning_text(reader, field, rules).map(Cow::Borrowed))
        }
        _ => winning_text(reader, field, rules).map(Cow::Borrowed),
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

/// The raw text of the column that wins, else of the first that is not NULL.
fn winning_text<'a>(
    reader: &Reader<'a, PaymentField>,
    field: PaymentField,
    rules: &Rules,
) -> Option<&'a str> {
    let mut texts = reader.texts(field);
    let (first, kind) = texts.next()?;
    let mut others = texts.peekable();
    if others.peek().is_none() || is_usable(field, first, kind, rules) {
        return Some(first);
    }
    let winner = others.find(|(text, kind)| is_usable(field, text, *kind, rules));
    Some(winner.map_or(first, |(text, _)| text))
}

/// Whether the rule of the field gives a value for the text.
fn is_usable(field: PaymentField, text: &str, kind: ColumnKind, rules: &Rules) -> bool {
    match field {
        PaymentField::CustomerEmail => email_key(text).0.is_ok(),
        PaymentField::CustomerName => full_name(text).0 != FullName::default(),
        PaymentField::CustomerPhone => phone(text).0.is_some(),
        PaymentField::Amount | PaymentField::Fees | PaymentField::PaidAmount => {
            amount(text, kind).is_some()
        }
        PaymentField::Status => status(text, rules).is_some(),
        PaymentField::TimeZone => is_zone(text),
        PaymentField::Created
        | PaymentField::Updated
        | PaymentField::PaidAt
        | PaymentField::SettledAt => time(text, kind, None, rules).0.is_some(),
        _ => cleaned(text).is_some(),
    }
}
