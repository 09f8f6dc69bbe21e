//! One row of a feed of contacts (SPEC §3).

use std::sync::Arc;

use super::clean::cleaned;
use super::email::email_key;
use super::field::ContactField;
use super::key::{bounded_id, source_key};
use super::name::{FullName, full_name, name};
use super::phone::phone;
use super::reader::{Reader, mojibake, time};
use super::row::{ColumnKind, Layout, RawRow};
use super::source::Text;
use super::tags::{Tags, tags};
use super::time::is_zone;
use super::{Contact, NoteKind};
use crate::rules::Rules;

/// The fact of one row of contacts, by the rules of SPEC §3. Never fails: bad input is noted.
#[must_use]
pub fn contact(row: &RawRow, layout: &Layout<ContactField>, rules: &Rules) -> Contact {
    let mut reader = Reader::new(row, layout, rules);
    let contact_id = reader.text(ContactField::ContactId).map(bounded_id);
    let email = reader.email(ContactField::Email);
    let first_name = reader.contact_name(ContactField::FirstName);
    let last_name = reader.contact_name(ContactField::LastName);
    let (first_name, last_name) = if first_name.is_none() && last_name.is_none() {
        let name = reader.full_name(ContactField::Name);
        (name.first, name.last)
    } else {
        (first_name, last_name)
    };
    let phone = reader.phone(ContactField::Phone);
    let tags = reader.value(ContactField::Tags, |text, kind| {
        let Tags { tags, unreadable } = tags(text, kind, &rules.known_tags);
        let notes = if unreadable { vec![NoteKind::UnreadableTags] } else { Vec::new() };
        ((!tags.is_empty()).then_some(tags), notes)
    });
    let tags_text = reader.text(ContactField::Tags);
    let zone = reader.zone(ContactField::TimeZone);
    let zone = zone.as_deref();
    let updated_at = reader.time(ContactField::UpdatedAt, zone);
    let created_at = reader.time(ContactField::CreatedAt, zone);
    let synced_at = match created_at {
        Some(_) => None,
        None => reader.time_without_notes(ContactField::SyncTimestamp, zone),
    };
    Contact {
        feed: Arc::clone(&layout.feed),
        key: source_key(row, &layout.columns),
        email,
        contact_id,
        first_name,
        last_name,
        phone,
        tags: tags.unwrap_or_default(),
        tags_text,
        created_at,
        updated_at,
        synced_at,
        raw: layout.raw_texts(row),
        notes: reader.into_notes(),
    }
}

/// Whether the configuration of the feed leaves the row out (SPEC §1).
#[must_use]
pub fn skips_contact(row: &RawRow, layout: &Layout<ContactField>, rules: &Rules) -> bool {
    let reader = Reader::new(row, layout, rules);
    reader.is_skipped(|field| winning_text(&reader, field, rules))
}

impl Reader<'_, ContactField> {
    fn contact_name(&mut self, field: ContactField) -> Option<String> {
        self.value(field, |text, _| {
            let (name, repaired) = name(text);
            (name, mojibake(repaired))
        })
    }
}

/// The text of the source that wins, else of the first that is not NULL.
fn winning_text<'a>(
    reader: &Reader<'a, ContactField>,
    field: ContactField,
    rules: &Rules,
) -> Option<Text<'a>> {
    reader.winning(field, |text, kind| is_usable(field, text, kind, rules))
}

/// Whether the rule of the field gives a value for the text.
fn is_usable(field: ContactField, text: &str, kind: ColumnKind, rules: &Rules) -> bool {
    match field {
        ContactField::Email => email_key(text).0.is_ok(),
        ContactField::FirstName | ContactField::LastName => name(text).0.is_some(),
        ContactField::Name => full_name(text).0 != FullName::default(),
        ContactField::Phone => phone(text).0.is_some(),
        ContactField::Tags => !tags(text, kind, &rules.known_tags).tags.is_empty(),
        ContactField::TimeZone => is_zone(text),
        ContactField::UpdatedAt | ContactField::CreatedAt | ContactField::SyncTimestamp => {
            time(text, kind, None, rules).0.is_some()
        }
        _ => cleaned(text).is_some(),
    }
}
