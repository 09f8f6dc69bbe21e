//! The name of a source row (SPEC §1), and texts that are looked up by an index.

use uuid::Uuid;

use super::row::{ColumnKind, Columns, RawRow, SourceKey};
use super::source::readable;
use super::time::parse_instant;
use crate::rules::NAMESPACE;

/// SPEC §1: the key columns' text joined by `|`, instants as UTC. In a key of several columns a `|` or `\` of a value
/// has a `\` before it, so that no two keys are one text. A NULL is empty text, and an instant beyond any calendar,
/// such as `infinity`, is the text itself.
#[must_use]
pub fn source_key(row: &RawRow, columns: &Columns) -> SourceKey {
    let mut key = String::new();
    let is_composite = columns.key.len() > 1;
    for (position, &index) in columns.key.iter().enumerate() {
        if position > 0 {
            key.push('|');
        }
        let text =
            row.values.get(index).and_then(Option::as_deref).and_then(readable).unwrap_or_default();
        let is_instant =
            columns.list.get(index).is_some_and(|column| column.kind == ColumnKind::Instant);
        match is_instant.then(|| parse_instant(text)).flatten() {
            Some(instant) => key.push_str(&instant.to_string()),
            None if is_composite => push_escaped(&mut key, text),
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

/// The inverse of [`source_key`]: a row with nothing but its key columns. `None` where the key was cut.
#[must_use]
pub fn row_of_key(key: &SourceKey, columns: &Columns) -> Option<RawRow> {
    if is_cut(&key.0, LONGEST_KEY) {
        return None;
    }
    let texts = if columns.key.len() > 1 { unescaped(&key.0) } else { vec![key.0.clone()] };
    if texts.len() != columns.key.len() {
        return None;
    }
    let mut row = RawRow { values: vec![None; columns.list.len()] };
    for (&index, text) in columns.key.iter().zip(texts) {
        *row.values.get_mut(index)? = Some(text);
    }
    Some(row)
}

fn unescaped(key: &str) -> Vec<String> {
    let mut texts = vec![String::new()];
    let mut chars = key.chars();
    while let Some(c) = chars.next() {
        let c = match c {
            '|' => {
                texts.push(String::new());
                continue;
            }
            '\\' => chars.next().unwrap_or('\\'),
            c => c,
        };
        if let Some(text) = texts.last_mut() {
            text.push(c);
        }
    }
    texts
}

/// Longest source key and longest other id that are kept whole, in bytes: PostgreSQL refuses index entries
/// of more than about 2,700 bytes, and an entry may hold a key, two ids and an address.
const LONGEST_KEY: usize = 1_000;
const LONGEST_ID: usize = 500;

/// An id that is looked up: external_id, payment_id, contact_id. The raw value stays with the fact.
pub(super) fn bounded_id(id: String) -> String {
    bounded(id, LONGEST_ID)
}

/// A longer text is cut and distinguished by a digest.
fn bounded(text: String, longest: usize) -> String {
    if text.len() <= longest {
        return text;
    }
    let digest = crate::digest::uuid_v5(&NAMESPACE, text.as_bytes());
    let kept: String = text.chars().take(longest / 4).collect();
    format!("{kept}{CUT}{digest}")
}

/// Between what is kept of a text and its digest.
const CUT: &str = "… ";

/// Whether a text looks like one that was cut.
fn is_cut(text: &str, longest: usize) -> bool {
    let Some((kept, digest)) = text.rsplit_once(CUT) else { return false };
    kept.chars().count() == longest / 4 && Uuid::try_parse(digest).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Column;

    fn layout(kinds: &[ColumnKind]) -> Columns {
        let column =
            |(i, kind): (usize, &ColumnKind)| Column { name: format!("k{i}"), kind: *kind };
        let list = kinds.iter().enumerate().map(column).collect();
        Columns::new(list, (0..kinds.len()).collect())
    }

    #[test]
    fn no_two_keys_are_one_text_and_each_is_read_back_spec_1() {
        let check = |kinds: &[ColumnKind], values: &[&str], expected: &str| {
            let row = RawRow { values: values.iter().map(|v| Some((*v).to_owned())).collect() };
            let layout = layout(kinds);
            let key = source_key(&row, &layout);
            assert_eq!(key.0, expected);
            assert_eq!(source_key(&row_of_key(&key, &layout).unwrap(), &layout), key);
        };
        let text = [ColumnKind::Text, ColumnKind::Text];
        check(&text[..1], &[r"a|b\c"], r"a|b\c");
        check(&text, &["a", "b"], "a|b");
        check(&text, &["a|b", "c"], r"a\|b|c");
        check(&text, &["a", "b|c"], r"a|b\|c");
        check(&text, &[r"a\", "|b"], r"a\\|\|b");
        check(&text, &["", ""], "|");
        let dated = [ColumnKind::Text, ColumnKind::Instant];
        check(&dated, &["a", "2025-01-01 08:00:00+08"], "a|2025-01-01T00:00:00Z");
    }

    #[test]
    fn a_key_that_was_cut_does_not_say_what_it_was() {
        let layout = layout(&[ColumnKind::Text]);
        let key = |text: &str| SourceKey(bounded(text.to_owned(), LONGEST_KEY));
        assert!(row_of_key(&key(&"x".repeat(LONGEST_KEY)), &layout).is_some());
        assert!(row_of_key(&key(&"x".repeat(LONGEST_KEY + 1)), &layout).is_none());
    }
}
