//! Tags: whole words that a marketer gave to a contact (SPEC §3.6).

mod literal;

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::clean::clean;
use super::row::ColumnKind;

/// The tags of one value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Tags {
    /// In their known spelling, without repeats, sorted.
    pub(super) tags: Vec<String>,
    /// The value is a list of some kind, but of none that is known (note `unreadable_tags`).
    pub(super) unreadable: bool,
}

/// SPEC §3.6: the tags of a raw value.
pub(super) fn tags(raw: &str, kind: ColumnKind, known: &[String]) -> Tags {
    let texts = match kind {
        ColumnKind::TextArray => literal::postgres_array(raw),
        ColumnKind::Json => json_value(raw),
        ColumnKind::Text | ColumnKind::Numeric | ColumnKind::Instant | ColumnKind::Boolean => {
            written(raw)
        }
    };
    match texts {
        Some(texts) => {
            Tags { tags: merged(texts.iter().filter_map(|t| clean(t)), known), unreadable: false }
        }
        None => Tags { tags: Vec::new(), unreadable: true },
    }
}

/// The texts of a list as people and programs write it, in the first form that fits. `None` where it
/// begins as a list and is none.
fn written(raw: &str) -> Option<Vec<String>> {
    let Some(text) = clean(raw) else {
        return Some(Vec::new());
    };
    match text.as_bytes().first() {
        Some(b'[') => json_array(&text)
            .or_else(|| literal::postgres_array(&text))
            .or_else(|| literal::python_list(&text)),
        Some(b'{') => literal::postgres_array(&text),
        Some(b'"') => json_string(&text).or_else(|| Some(separated(&text))),
        _ => Some(separated(&text)),
    }
}

fn separated(text: &str) -> Vec<String> {
    text.split(',').map(str::to_owned).collect()
}

/// A JSON string that holds a JSON array.
fn json_string(text: &str) -> Option<Vec<String>> {
    json_array(&clean(&serde_json::from_str::<String>(text).ok()?)?)
}

/// The value of a `json` or `jsonb` column: a list, or a text that is read like any other. An object is
/// neither, but many tables have an empty one for no value.
fn json_value(raw: &str) -> Option<Vec<String>> {
    let text = raw.trim();
    match text.as_bytes().first()? {
        b'[' => json_array(text),
        b'"' => written(&serde_json::from_str::<String>(text).ok()?),
        b'n' => Some(Vec::new()),
        _ => {
            let object = serde_json::from_str::<BTreeMap<String, &RawValue>>(text).ok()?;
            object.is_empty().then(Vec::new)
        }
    }
}

/// The texts of a JSON array: its strings, and the names of its objects.
fn json_array(json: &str) -> Option<Vec<String>> {
    // Raw: a number that fits no type is only one more element to ignore.
    let elements: Vec<&RawValue> = serde_json::from_str(json).ok()?;
    let mut texts = Vec::new();
    for element in elements.into_iter().map(RawValue::get) {
        if element.starts_with('"') {
            // An escape of half a character makes it no text, and the whole no array.
            texts.push(serde_json::from_str(element).ok()?);
        } else if let Ok(object) = serde_json::from_str::<BTreeMap<String, &RawValue>>(element) {
            texts.extend(object.get("name").and_then(|name| serde_json::from_str(name.get()).ok()));
        }
    }
    Some(texts)
}

/// The elements of an array of texts as PostgreSQL prints it.
pub(crate) fn array_texts(raw: &str) -> Option<Vec<String>> {
    literal::postgres_array(raw)
}

/// Clean tags without repeats, in the order of their lowercase text: each in its known spelling, else in
/// the first that was seen (SPEC §3.6).
pub(crate) fn merged(texts: impl Iterator<Item = String>, known: &[String]) -> Vec<String> {
    let mut tags: Vec<String> = texts.collect();
    // Both sorts are stable, so the first spelling stays the first.
    if tags.iter().all(|tag| tag.is_ascii()) {
        tags.sort_by(|a, b| ascii_lowercase_order(a, b));
    } else {
        tags.sort_by_cached_key(|tag| tag.to_lowercase());
    }
    tags.dedup_by(|later, earlier| is_same_but_for_case(later, earlier));
    for tag in &mut tags {
        if let Some(known) = known.iter().find(|known| is_same_but_for_case(known, tag)) {
            tag.clone_from(known);
        }
    }
    tags
}

fn ascii_lowercase_order(a: &str, b: &str) -> Ordering {
    let lowercase = |byte: u8| byte.to_ascii_lowercase();
    a.bytes().map(lowercase).cmp(b.bytes().map(lowercase))
}

/// Whether two texts differ in case at most.
pub(crate) fn is_same_but_for_case(a: &str, b: &str) -> bool {
    if a.is_ascii() && b.is_ascii() {
        return a.eq_ignore_ascii_case(b);
    }
    a.to_lowercase() == b.to_lowercase()
}

#[cfg(test)]
mod tests;
