//! The text that a path leads to in a JSON value (SPEC §1).

use std::fmt;

use serde::Deserializer as _;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::row::ColumnKind;

/// The step that takes all elements of an array.
const ALL: &str = "*";

/// What stands between the texts of several elements.
pub(super) const SEPARATOR: &str = ", ";

/// The text at a path, with the type family that it is read as; `None` where there is none, or no JSON. A step is the
/// name of a member, the number of an element, or `*` for all elements, whose texts are joined. A JSON text that holds
/// JSON is looked into.
pub(super) fn text(json: &str, path: &[String]) -> Option<(String, ColumnKind)> {
    let mut found = Vec::new();
    walk(json.trim(), path, &mut found);
    let text = |(text, kind): (String, ColumnKind)| {
        // PostgreSQL has no text with this character.
        (if text.contains('\0') { text.replace('\0', "") } else { text }, kind)
    };
    if path.iter().any(|step| step == ALL) {
        let texts: Vec<String> = found.into_iter().map(|(text, _)| text).collect();
        return (!texts.is_empty()).then(|| text((texts.join(SEPARATOR), ColumnKind::Text)));
    }
    found.into_iter().next().map(text)
}

fn walk(json: &str, path: &[String], found: &mut Vec<(String, ColumnKind)>) {
    let Some((step, rest)) = path.split_first() else {
        found.extend(leaf(json));
        return;
    };
    match json.as_bytes().first() {
        Some(b'{') => {
            if let Some(value) = member(json, step) {
                walk(value.get(), rest, found);
            }
        }
        Some(b'[') => {
            let elements: Vec<&RawValue> = serde_json::from_str(json).unwrap_or_default();
            let number = step.parse::<usize>().ok();
            for (at, element) in elements.into_iter().enumerate() {
                if step == ALL || number == Some(at) {
                    walk(element.get(), rest, found);
                }
            }
        }
        Some(b'"') => {
            let Ok(inner) = serde_json::from_str::<String>(json) else { return };
            let inner = inner.trim();
            if inner.starts_with(['{', '[']) {
                walk(inner, path, found);
            }
        }
        _ => {}
    }
}

/// A value as text, as the operator `#>>` of PostgreSQL gives it.
fn leaf(json: &str) -> Option<(String, ColumnKind)> {
    match json.as_bytes().first()? {
        b'"' => Some((serde_json::from_str(json).ok()?, ColumnKind::Text)),
        b'n' => None,
        b't' | b'f' => Some((json.to_owned(), ColumnKind::Text)),
        b'{' | b'[' => Some((json.to_owned(), ColumnKind::Json)),
        _ => Some((json.to_owned(), ColumnKind::Numeric)),
    }
}

/// The member of an object with this name; of several the last, as in `jsonb`.
fn member<'j>(json: &'j str, name: &str) -> Option<&'j RawValue> {
    serde_json::Deserializer::from_str(json).deserialize_map(Member(name)).ok()?
}

struct Member<'n>(&'n str);

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_it) = map.next_key_seed(Name(self.0))? {
            if is_it {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Whether a key is this name, without a copy of it.
struct Name<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = bool;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_a_text_spec_1() {
        let check = |json: &str, path: &[&str], expected: Option<(&str, ColumnKind)>| {
            let path: Vec<String> = path.iter().map(|step| (*step).to_owned()).collect();
            let found = text(json, &path);
            let found = found.as_ref().map(|(text, kind)| (text.as_str(), *kind));
            assert_eq!(found, expected, "{json} {path:?}");
        };
        use ColumnKind::{Json, Numeric, Text};
        let customer = r#"{"customer": {"email": "a@b.ph", "n": 1.50, "vip": true, "x": null}}"#;
        check(customer, &["customer", "email"], Some(("a@b.ph", Text)));
        check(customer, &["customer", "n"], Some(("1.50", Numeric)));
        check(customer, &["customer", "vip"], Some(("true", Text)));
        check(customer, &["customer", "x"], None);
        check(customer, &["customer", "x", "y"], None);
        check(customer, &["customer", "email", "y"], None);
        check(customer, &["nobody", "email"], None);
        check(r#"{"customer": null}"#, &["customer", "email"], None);
        check(r#"{"a": {"b": 1}}"#, &["a"], Some((r#"{"b": 1}"#, Json)));
        check(r#"{"a": 1, "a": 2}"#, &["a"], Some(("2", Numeric)));
        check(r#"{"a\u0062": "\u00e9\u0000!"}"#, &["ab"], Some(("é!", Text)));
        let items = r#"[{"title": "P2P"}, {"title": null}, {}, {"title": "Canva, pro"}]"#;
        check(items, &["*", "title"], Some(("P2P, Canva, pro", Text)));
        check(items, &["3", "title"], Some(("Canva, pro", Text)));
        check(items, &["4", "title"], None);
        check("[]", &["*", "title"], None);
        check(r#"["a", 1, ["b"]]"#, &["*"], Some((r#"a, 1, ["b"]"#, Text)));
        check(r#"[{"t": ["a", "b"]}, {"t": ["c"]}]"#, &["*", "t", "*"], Some(("a, b, c", Text)));
        check(r#""a@b.ph""#, &[], Some(("a@b.ph", Text)));
        check(r#""{\"email\": \"a@b.ph\"}""#, &["email"], Some(("a@b.ph", Text)));
        check(" {\"a\": \"b\"} ", &["a"], Some(("b", Text)));
        for broken in ["", "{", "{\"a\": \"\\ud800\"}", "{\"a\": 1,}", "nonsense", "[1"] {
            check(broken, &["a"], None);
            check(broken, &["*"], None);
        }
    }
}
