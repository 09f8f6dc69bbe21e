//! The name of a source row (SPEC §1), and texts that are looked up by an index.

use uuid::Uuid;

use super::row::{ColumnKind, Columns, RawRow, SourceKey};
use super::time::parse_instant;
use crate::rules::NAMESPACE;

/// SPEC §1: the key columns' text joined by `|`, instants as UTC. A NULL is empty text, and an instant
/// beyond any calendar, such as `infinity`, is the text itself. In a key of several columns a `\` stands before each `|`
/// and `\` of a value, so that no two keys have one text.
#[must_use]
pub fn source_key(row: &RawRow, columns: &Columns) -> SourceKey {
    let mut key = String::new();
    let is_composite = columns.key.len() > 1;
    for (position, &index) in columns.key.iter().enumerate() {
        if position > 0 {
            key.push('|');
        }
        let text = row.values.get(index).and_then(Option::as_deref).unwrap_or_default();
        let is_instant =
            columns.list.get(index).is_some_and(|column| column.kind == ColumnKind::Instant);
        match is_instant.then(|| parse_instant(text)).flatten() {
            Some(instant) => key.push_str(&instant.to_string()),
            None if is_composite && text.contains(['|', '\\']) => push_escaped(&mut key, text),
            None => key.push_str(text),
        }
    }
    SourceKey(bounded(key, LONGEST_KEY))
}

fn push_escaped(key: &mut String, text: &str) {
    for c in text.chars() {
        if matches!(c, '|' | '\\') {
            key.push('\\');
        }
        key.push(c);
    }
}

/// Longest source key and longest other id that are kept whole, in bytes: PostgreSQL refuses index entries
/// of more than about 2,700 bytes, and an entry may hold a key, two ids and an address.
const LONGEST_KEY: usize = 1_000;
const LONGEST_ID: usize = 500;

/// An id that is looked up: external_id, payment_id, contact_id. The raw value stays with the fact.
pub(super) fn bounded_id(id: String) -> String {
    bounded(id, LONGEST_ID)
}

/// A longer text is cut and told apart by a digest.
fn bounded(text: String, longest: usize) -> String {
    if text.len() <= longest {
        return text;
    }
    let digest = Uuid::new_v5(&NAMESPACE, text.as_bytes());
    let kept: String = text.chars().take(longest / 4).collect();
    format!("{kept}… {digest}")
}
