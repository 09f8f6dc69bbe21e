//! What a reviewer needs to decide without opening the database.
//!
//! Evidence is stable while its cause is: no clock, no id of the target, nothing that depends on the
//! order of arrival. It is bounded, whatever the sources hold. It leaves out the instants that a source
//! moves without meaning anything by it, so that a dismissed conflict stays dismissed.

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use super::duplicates::{contact_row, payment_row};
use crate::facts::{Contact, EmailKey, EmailReason, Note, Payment, RawTexts, visible};
use crate::rules::Rules;

/// Most rows or people that one piece of evidence lists: enough to see a pattern, and small enough for
/// a screen.
pub(crate) const MAX_SIDES: usize = 10;

/// Longest text, in characters, before it is cut: a screenful.
const MAX_TEXT: usize = 500;

/// Most raw columns or list elements that are shown.
const MAX_COLUMNS: usize = 64;

/// The text, cut with an ellipsis where it is too long to show.
pub(crate) fn cut(text: &str) -> String {
    if text.len() <= MAX_TEXT {
        return text.to_owned();
    }
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn cut_option(text: Option<&String>) -> Value {
    text.map_or(Value::Null, |text| cut(text).into())
}

/// An amount by value, so that `100` and `100.00` are the same evidence.
pub(crate) fn amount(amount: Option<Decimal>) -> Value {
    amount.map_or(Value::Null, |amount| amount.normalize().to_string().into())
}

/// An object of values that are moved into it; `json!` copies every value that it is given.
pub(crate) fn object<const N: usize>(fields: [(&'static str, Value); N]) -> Value {
    Value::Object(fields.map(|(name, value)| (name.to_owned(), value)).into_iter().collect())
}

/// A text, or NULL.
pub(crate) fn option(text: Option<impl Into<String>>) -> Value {
    text.map_or(Value::Null, |text| Value::String(text.into()))
}

/// A list of texts.
pub(crate) fn texts<'t>(texts: impl IntoIterator<Item = &'t String>) -> Value {
    Value::Array(texts.into_iter().map(|text| Value::from(text.as_str())).collect())
}

fn email(email: &Result<EmailKey, EmailReason>) -> Value {
    option(email.as_ref().ok().map(EmailKey::as_str))
}

fn instant(at: Option<Timestamp>) -> Value {
    option(at.map(|at| at.to_string()))
}

/// The first sides of a list that may be long, and how many were left out.
pub(crate) fn sides(all: impl ExactSizeIterator<Item = Value>) -> Value {
    let total = all.len();
    let shown: Vec<Value> = all.take(MAX_SIDES).collect();
    object([("total", total.into()), ("shown", Value::Array(shown))])
}

/// A payment as one side of a conflict.
pub(crate) fn payment_side(payment: &Payment) -> Value {
    let name = full_name(payment.first_name.as_ref(), payment.last_name.as_ref());
    object([
        ("source_row", payment_row(payment).into()),
        ("email", email(&payment.email)),
        ("customer_name", option(name)),
        ("amount", amount(payment.amount)),
        ("currency", cut(&payment.currency).into()),
        ("status", payment.status.as_str().into()),
        ("products", texts(&payment.products)),
        ("description", cut_option(payment.description.as_ref())),
        ("external_id", cut_option(payment.external_id.as_ref())),
        ("payment_id", cut_option(payment.payment_id.as_ref())),
        ("created_at", instant(payment.created_at)),
        ("paid_at", instant(payment.paid_at)),
    ])
}

/// A contact as one side of a conflict.
pub(crate) fn contact_side(contact: &Contact) -> Value {
    let tags = contact.tags.iter().take(MAX_COLUMNS).map(|tag| cut(tag).into());
    let name = full_name(contact.first_name.as_ref(), contact.last_name.as_ref());
    object([
        ("source_row", contact_row(contact).into()),
        ("email", email(&contact.email)),
        ("name", option(name)),
        ("contact_id", cut_option(contact.contact_id.as_ref())),
        ("phone", option(contact.phone.as_deref())),
        ("tags", Value::Array(tags.collect())),
    ])
}

/// First and last name as one text.
pub(crate) fn full_name(first: Option<&String>, last: Option<&String>) -> Option<String> {
    let parts: Vec<&str> = first.into_iter().chain(last).map(String::as_str).collect();
    if parts.is_empty() { None } else { Some(cut(&parts.join(" "))) }
}

/// The raw values of a row, and beside them those that hold invisible characters with these shown.
pub(crate) fn raw(row: &RawTexts) -> (Value, Value) {
    raw_fields(row.iter())
}

/// As [`raw`], of some logical fields of a payment; of the whole row where none of them has a value.
pub(crate) fn raw_of(payment: &Payment, fields: &[&'static str]) -> (Value, Value) {
    let known = || fields.iter().filter_map(|field| Some((*field, payment.metadata.get(field)?)));
    if known().next().is_some() { raw_fields(known()) } else { raw(&payment.raw) }
}

fn raw_fields<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>) -> (Value, Value) {
    let (mut raw, mut shown) = (Map::new(), Map::new());
    for (name, text) in fields.take(MAX_COLUMNS) {
        let visible = visible(text);
        if visible != text {
            shown.insert(name.to_owned(), cut(&visible).into());
        }
        raw.insert(name.to_owned(), cut(text).into());
    }
    let shown = if shown.is_empty() { Value::Null } else { Value::Object(shown) };
    (Value::Object(raw), shown)
}

/// The notes of one kind: each field with its raw text, sorted by field.
pub(crate) fn notes(notes: &[&Note]) -> Value {
    let mut notes: Vec<&&Note> = notes.iter().collect();
    notes.sort_by(|a, b| (&a.field, &a.raw).cmp(&(&b.field, &b.raw)));
    notes.dedup();
    let fields = notes.into_iter().take(MAX_SIDES).map(|note| {
        let visible = visible(&note.raw);
        let mut field = json!({ "field": note.field, "raw": cut(&note.raw) });
        if visible != note.raw {
            field["visible"] = cut(&visible).into();
        }
        field
    });
    Value::Array(fields.collect())
}

/// The courses among a payment's products: what a decision about it may open or close.
pub(crate) fn enrollments_affected(payment: &Payment, rules: &Rules) -> Value {
    let courses = payment
        .products
        .iter()
        .filter(|code| rules.product(code).is_some_and(|product| product.course));
    Value::Array(courses.map(|code| Value::from(code.as_str())).collect())
}
