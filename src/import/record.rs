//! One record of a file: its fields by path, without losing a digit of a number.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

/// The path of a list's element itself, where the elements are no objects.
pub(super) const SELF: &str = "@";

/// The path of a record's name, where the records are the members of an object.
pub(super) const MEMBER: &str = "@key";

/// The path of an element's number in its list, from 1.
const NUMBER: &str = "#";

/// What leads from an element of a list to the record that holds it.
const PARENT: &str = "..";

/// A value as it stands in the file.
#[derive(Debug, Clone, PartialEq)]
pub enum Raw<'r> {
    /// Not there, or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number as it is written.
    Number(Cow<'r, str>),
    /// A text.
    Text(Cow<'r, str>),
    /// An array or object, as JSON.
    Json(&'r str),
}

impl<'r> Raw<'r> {
    fn of(json: &'r str) -> Self {
        match json.as_bytes().first() {
            None | Some(b'n') => Self::Null,
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'{' | b'[') => Self::Json(json),
            Some(b'"') => Self::Text(text(json)),
            Some(_) => Self::Number(Cow::Borrowed(json)),
        }
    }

    /// The text of a value that has one; JSON is its own text.
    #[must_use]
    pub fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Null => None,
            Self::Bool(flag) => Some(Cow::Borrowed(if *flag { "true" } else { "false" })),
            Self::Number(text) | Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Json(json) => Some(Cow::Borrowed(json)),
        }
    }
}

/// The text of a JSON value; `None` for `null`.
pub(super) fn text_of(json: &str) -> Option<String> {
    Raw::of(json).text().map(Cow::into_owned)
}

/// The text of a JSON string.
fn text(json: &str) -> Cow<'_, str> {
    match json.get(1..json.len().saturating_sub(1)) {
        Some(plain) if !plain.contains('\\') => Cow::Borrowed(plain),
        _ => Cow::Owned(serde_json::from_str(json).unwrap_or_default()),
    }
}

/// The fields of a JSON object, in their order.
#[derive(Debug, Default)]
pub struct Fields<'r>(Vec<(Cow<'r, str>, &'r RawValue)>);

impl<'r> Fields<'r> {
    /// Reads an object; `None` where the text is none, or broken.
    #[must_use]
    pub fn read(json: &'r str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_ref())
    }

    /// Each with its value.
    pub fn values(&self) -> impl Iterator<Item = (&str, Raw<'r>)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), Raw::of(value.get())))
    }

    /// The value of a field; the last where it is there twice.
    fn field(&self, name: &str) -> Option<&'r str> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.get())
    }

    /// The value at a path: the name of a field, which may hold dots, else names with dots between them. A text that
    /// holds JSON is looked into.
    #[must_use]
    pub fn at(&self, path: &str) -> Raw<'r> {
        if let Some(value) = self.field(path) {
            return Raw::of(value);
        }
        let Some((first, rest)) = path.split_once('.') else { return Raw::Null };
        match self.field(first).map(Raw::of) {
            Some(Raw::Json(json)) => within(json, rest),
            Some(Raw::Text(Cow::Borrowed(json))) => within(json, rest),
            Some(Raw::Text(Cow::Owned(json))) => owned(within(&json, rest)),
            _ => Raw::Null,
        }
    }
}

fn within<'r>(json: &'r str, path: &str) -> Raw<'r> {
    if let Some(fields) = Fields::read(json) {
        return fields.at(path);
    }
    let elements: Vec<&'r RawValue> = serde_json::from_str(json).unwrap_or_default();
    let (step, rest) = path.split_once('.').unwrap_or((path, ""));
    let element = step.parse::<usize>().ok().and_then(|at| elements.get(at).copied());
    match (element, rest) {
        (None, _) => Raw::Null,
        (Some(element), "") => Raw::of(element.get()),
        (Some(element), rest) => within(element.get(), rest),
    }
}

/// A value that outlives the text it was found in. Arrays and objects within a text with escapes become texts.
fn owned<'r>(raw: Raw<'_>) -> Raw<'r> {
    match raw {
        Raw::Null => Raw::Null,
        Raw::Bool(flag) => Raw::Bool(flag),
        Raw::Number(text) => Raw::Number(Cow::Owned(text.into_owned())),
        Raw::Text(text) => Raw::Text(Cow::Owned(text.into_owned())),
        Raw::Json(json) => Raw::Text(Cow::Owned(json.to_owned())),
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::with_capacity(map.size_hint().unwrap_or(16));
                while let Some(Name(name)) = map.next_key()? {
                    fields.push((name, map.next_value()?));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Read)
    }
}

/// A name that is copied only where it holds escapes.
#[derive(Deserialize)]
struct Name<'r>(#[serde(borrow)] Cow<'r, str>);

/// What a load sees of a record: the record itself, or one element of a list of it.
pub struct View<'r> {
    /// The fields of the element, or of the record.
    pub fields: Fields<'r>,
    /// The element itself where it is no object.
    pub element: Raw<'r>,
    /// Its number in its list, from 1; 0 for a record.
    pub number: u32,
    /// The record that holds the list.
    pub parent: Option<&'r Fields<'r>>,
}

impl<'r> View<'r> {
    /// A record.
    #[must_use]
    pub fn record(fields: Fields<'r>) -> Self {
        Self { fields, element: Raw::Null, number: 0, parent: None }
    }

    /// The elements of the list at a path; a text that holds a JSON array is one.
    #[must_use]
    pub fn elements(record: &'r Fields<'r>, list: &'r Raw<'r>) -> Option<Vec<Self>> {
        let json = match list {
            Raw::Null => return Some(Vec::new()),
            Raw::Json(json) => json,
            Raw::Text(text) if text.trim().is_empty() => return Some(Vec::new()),
            Raw::Text(text) => text.as_ref(),
            _ => return None,
        };
        let elements: Vec<&'r RawValue> = serde_json::from_str(json).ok()?;
        let views = (1..).zip(elements).map(|(number, element)| Self {
            fields: Fields::read(element.get()).unwrap_or_default(),
            element: Raw::of(element.get()),
            number,
            parent: Some(record),
        });
        Some(views.collect())
    }

    /// The value at a path.
    #[must_use]
    pub fn at(&self, path: &str) -> Raw<'r> {
        match (path, self.parent) {
            (NUMBER, _) => Raw::Number(Cow::Owned(self.number.to_string())),
            (SELF, Some(_)) => self.element.clone(),
            (path, Some(parent)) if path.starts_with(PARENT) => parent.at(&path[PARENT.len()..]),
            _ => self.fields.at(path),
        }
    }
}

/// The field of the record that a path begins with, where it reads one.
#[must_use]
pub fn first_field(path: &str) -> &str {
    path.split_once('.').map_or(path, |(first, _)| first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_path_as_they_are_written() {
        let json = r#"{"id":1,"a.b":"dotted","c":{"d":[{"e":12345678901234567890.10}]},
            "s":"{\"x\":\"y\"}","t":"caf\u00e9","id":2,"n":null}"#;
        let fields = Fields::read(json).unwrap();
        let check = |path: &str, expected: Raw<'_>| assert_eq!(fields.at(path), expected, "{path}");
        check("id", Raw::Number("2".into()));
        check("a.b", Raw::Text("dotted".into()));
        check("c.d.0.e", Raw::Number("12345678901234567890.10".into()));
        check("s.x", Raw::Text("y".into()));
        check("t", Raw::Text("café".into()));
        check("n", Raw::Null);
        check("c.d.1.e", Raw::Null);
        check("nothing", Raw::Null);
    }

    #[test]
    fn elements_see_their_record() {
        let json = r#"{"id":"s-1","tags":["a","b"],"contacts":"[{\"name\":\"Ana\"}]"}"#;
        let record = Fields::read(json).unwrap();
        let list = record.at("tags");
        let tags = View::elements(&record, &list).unwrap();
        assert_eq!(tags[1].at("@"), Raw::Text("b".into()));
        assert_eq!(
            (tags[1].at("#"), tags[1].at("..id")),
            (Raw::Number("2".into()), Raw::Text("s-1".into()))
        );
        let list = record.at("contacts");
        let contacts = View::elements(&record, &list).unwrap();
        assert_eq!(contacts[0].at("name"), Raw::Text("Ana".into()));
        assert!(View::elements(&record, &Raw::Bool(true)).is_none());
    }
}
