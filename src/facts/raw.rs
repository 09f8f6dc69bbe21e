//! What a fact keeps of its row as it was: the evidence of conflicts, and the metadata of a transaction.
//!
//! Every fact carries both and few are looked at, so each is one piece of text with the ends of its
//! values, not a map.

use std::fmt;
use std::sync::Arc;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::field::{LogicalField, PaymentField};

/// Texts, each under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Texts<N> {
    /// The name and the end of each text.
    entries: Vec<(N, usize)>,
    text: String,
}

impl<N: Copy> Texts<N> {
    fn with_capacity(entries: usize, bytes: usize) -> Self {
        Self { entries: Vec::with_capacity(entries), text: String::with_capacity(bytes) }
    }

    fn push(&mut self, name: N, text: &str) {
        self.text.push_str(text);
        self.entries.push((name, self.text.len()));
    }

    fn iter(&self) -> impl Iterator<Item = (N, &str)> {
        let mut start = 0;
        self.entries.iter().map(move |&(name, end)| {
            let text = self.text.get(start..end).unwrap_or_default();
            start = end;
            (name, text)
        })
    }
}

impl<N> Default for Texts<N> {
    fn default() -> Self {
        Self { entries: Vec::new(), text: String::new() }
    }
}

/// Raw texts by physical column name, in the order of the names, NULLs left out.
#[derive(Debug, Clone, Default)]
pub struct RawTexts {
    names: Arc<[String]>,
    texts: Texts<usize>,
}

impl RawTexts {
    /// `values` in the order of `names`, which are sorted.
    pub(super) fn new<'v>(
        names: &Arc<[String]>,
        values: impl Iterator<Item = Option<&'v str>> + Clone,
    ) -> Self {
        let bytes = values.clone().flatten().map(str::len).sum();
        let mut texts = Texts::with_capacity(names.len(), bytes);
        for (index, value) in values.enumerate() {
            if let Some(value) = value {
                texts.push(index, value);
            }
        }
        Self { names: Arc::clone(names), texts }
    }

    /// Column name and text.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let name = |index: usize| self.names.get(index).map_or("", String::as_str);
        self.texts.iter().map(move |(index, text)| (name(index), text))
    }

    /// The text of a column.
    #[must_use]
    pub fn get(&self, column: &str) -> Option<&str> {
        self.iter().find(|(name, _)| *name == column).map(|(_, text)| text)
    }
}

impl PartialEq for RawTexts {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl FromIterator<(String, String)> for RawTexts {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(texts: I) -> Self {
        let mut pairs: Vec<(String, String)> = texts.into_iter().collect();
        pairs.sort();
        let (names, values): (Vec<String>, Vec<String>) = pairs.into_iter().unzip();
        Self::new(&names.into(), values.iter().map(|value| Some(value.as_str())))
    }
}

impl Serialize for RawTexts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for RawTexts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Pairs).map(Self::from_iter)
    }
}

/// `transactions.metadata` (SPEC §5.2): texts by logical name, in the order of the names. As text it is a
/// JSON object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata(Texts<&'static str>);

/// The names beside those of fields, in order. No field's name lies between them.
const SOURCE: &str = "source";
const SOURCE_ID: &str = "source_id";

impl Metadata {
    pub(super) fn with_capacity(entries: usize, bytes: usize) -> Self {
        Self(Texts::with_capacity(entries, bytes))
    }

    pub(super) fn push_source(&mut self, source: &str, source_id: &str) {
        self.0.push(SOURCE, source);
        self.0.push(SOURCE_ID, source_id);
    }

    pub(super) fn push(&mut self, field: PaymentField, text: &str) {
        self.0.push(field.name(), text);
    }

    /// Name and text.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter()
    }

    /// The text under a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, text)| text)
    }
}

impl fmt::Display for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Texts by text: serialising them cannot fail.
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.entries.len()))?;
        for (name, text) in self.iter() {
            map.serialize_entry(name, text)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut pairs = deserializer.deserialize_map(Pairs)?;
        pairs.sort();
        let mut metadata = Self::default();
        for (name, text) in &pairs {
            let known = match name.as_str() {
                SOURCE => SOURCE,
                SOURCE_ID => SOURCE_ID,
                name => PaymentField::parse(name)
                    .map(PaymentField::name)
                    .ok_or_else(|| D::Error::custom("metadata of an unknown field"))?,
            };
            metadata.0.push(known, text);
        }
        Ok(metadata)
    }
}

/// The pairs of an object of texts, as they come.
struct Pairs;

impl<'de> Visitor<'de> for Pairs {
    type Value = Vec<(String, String)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_texts_are_an_object_in_the_order_of_the_names() {
        let pairs = [("b", "2\""), ("a", ""), ("ñ", "é\u{0}")];
        let raw: RawTexts = pairs.map(|(a, b)| (a.to_owned(), b.to_owned())).into_iter().collect();
        let json = serde_json::to_string(&raw).unwrap();
        assert_eq!(json, r#"{"a":"","b":"2\"","ñ":"é\u0000"}"#);
        assert_eq!(serde_json::from_str::<RawTexts>(&json).unwrap(), raw);
        assert_eq!((raw.get("b"), raw.get("a"), raw.get("c")), (Some("2\""), Some(""), None));
        assert_ne!(raw, RawTexts::default());
    }

    #[test]
    fn metadata_is_an_object_in_the_order_of_the_names() {
        let mut metadata = Metadata::with_capacity(4, 0);
        metadata.push(PaymentField::Bank, "B\\");
        metadata.push_source("xendit", "1");
        metadata.push(PaymentField::Status, "");
        let json = metadata.to_string();
        assert_eq!(json, r#"{"bank":"B\\","source":"xendit","source_id":"1","status":""}"#);
        assert_eq!(serde_json::from_str::<Metadata>(&json).unwrap(), metadata);
        assert_eq!((metadata.get("bank"), metadata.get("amount")), (Some("B\\"), None));
        assert!(serde_json::from_str::<Metadata>(r#"{"nonsense":"x"}"#).is_err());
        // Where `source` comes in that order.
        for (_, name) in PaymentField::NAMES {
            assert!(!(SOURCE..=SOURCE_ID).contains(name), "{name}");
        }
    }
}
