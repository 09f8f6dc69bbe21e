//! One `systemeio` row (SPEC §3).

use super::key::{bounded_id, source_key};
use super::name::name;
use super::reader::{Reader, mojibake};
use super::row::{ContactField, Layout, RawRow};
use super::tags::{Tags, tags};
use super::{Contact, NoteKind};
use crate::rules::Rules;

/// The fact of one `systemeio` row, by the rules of SPEC §3. Never fails: bad input is noted.
#[must_use]
pub fn contact(row: &RawRow, layout: &Layout<ContactField>, rules: &Rules) -> Contact {
    let mut reader = Reader::new(row, layout, rules);
    let contact_id = reader.text(ContactField::ContactId).map(bounded_id);
    let email = reader.email(ContactField::Email);
    let first_name = reader.contact_name(ContactField::FirstName);
    let last_name = reader.contact_name(ContactField::LastName);
    let phone = reader.phone(ContactField::Phone);
    let tags = reader.value(ContactField::Tags, |text, kind| {
        let Tags { tags, unreadable } = tags(text, kind, &rules.known_tags);
        let notes = if unreadable { vec![NoteKind::UnreadableTags] } else { Vec::new() };
        ((!tags.is_empty()).then_some(tags), notes)
    });
    let tags_text = reader.text(ContactField::Tags);
    let zone = reader.zone(ContactField::TimeZone);
    let updated_at = reader.time(ContactField::UpdatedAt, zone);
    let created_at = reader.time(ContactField::CreatedAt, zone);
    let synced_at = match created_at {
        Some(_) => None,
        None => reader.time_without_notes(ContactField::SyncTimestamp, zone),
    };
    Contact {
        key: source_key(row, layout),
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

impl Reader<'_, ContactField> {
    fn contact_name(&mut self, field: ContactField) -> Option<String> {
        self.value(field, |text, _| {
            let (name, mended) = name(text);
            (name, mojibake(mended))
        })
    }
}
