//! One sequence of records: its fields, its key, and what it refers to.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::fields::{plain, singular};
use super::guess::{Guess, guess};
use super::seen::{Seen, hash};
use crate::error::Result;
use crate::import::plan::Dialect;
use crate::import::read::{Place, Records, Text};
use crate::import::record::{Fields, MEMBER, Raw, View};

/// Fields of one array that are described.
const MOST_FIELDS: usize = 500;

/// Broken records that are named.
const EXAMPLES: usize = 5;

/// Lists within the records of one array that are described.
const MOST_LISTS: usize = 50;

/// Names that a key has, the first that fits.
const KEYS: [&str; 6] = [MEMBER, "id", "_id", "uuid", "key", "code"];

/// One sequence of records.
#[derive(Debug, Default, Serialize)]
pub struct Array {
    /// Its path, or the name of its file.
    pub name: String,
    /// The file.
    pub file: String,
    /// Its records.
    pub records: u64,
    /// Those that cannot be read.
    pub broken: u64,
    /// The first of them, by number.
    pub broken_records: Vec<u64>,
    /// The field that identifies a record, where one does.
    pub key: Option<String>,
    /// By path.
    pub fields: BTreeMap<String, Field>,
    /// Lists of objects within the records, by path: their elements as records.
    pub lists: BTreeMap<String, Array>,
    /// Whether the records are the members of an object.
    pub members: bool,
    #[serde(skip)]
    pub(super) place: Option<Place>,
    #[serde(skip)]
    pub(super) dialect: Dialect,
}

/// One field.
#[derive(Debug, Default, Serialize)]
pub struct Field {
    /// Records that have it with a value.
    pub values: u64,
    /// Records that have it without one.
    pub nulls: u64,
    /// What its values are, with the number of them and the key of the first.
    pub types: BTreeMap<Guess, Share>,
    /// Values that are there again, of a field that could be a key; as far as `counted` of them were compared.
    pub repeated: u64,
    /// How many values were compared.
    pub counted: u64,
    /// Of the first value that is there again, the keys of both sides.
    pub repeated_at: Option<(String, String)>,
    /// The array that its values refer to.
    pub refers_to: Option<Refers>,
    #[serde(skip)]
    pub(super) seen: Option<Seen>,
}

/// How many values are of one type.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Share {
    /// Their number.
    pub count: u64,
    /// The key of the first.
    pub example: String,
}

/// A reference between two arrays.
#[derive(Debug, Clone, Serialize)]
pub struct Refers {
    /// The array whose key it is.
    pub array: String,
    /// Values that lead to a record of it.
    pub found: u64,
    /// Values that lead to nothing.
    pub orphans: u64,
    /// The key of the first of these.
    pub example: Option<String>,
}

impl Field {
    /// The type of most values.
    #[must_use]
    pub fn mostly(&self) -> Option<Guess> {
        self.types.iter().max_by_key(|(_, share)| share.count).map(|(guess, _)| *guess)
    }
}

impl Array {
    pub(super) fn new(name: String, file: &Path) -> Self {
        Self { name, file: file.display().to_string(), ..Self::default() }
    }

    pub(super) fn note(&mut self, text: &Text) {
        self.records += 1;
        let fields = match text {
            Text::Whole(text) => Fields::read(text),
            Text::Broken { .. } => None,
        };
        let Some(fields) = fields else {
            self.broken += 1;
            if self.broken_records.len() < EXAMPLES {
                self.broken_records.push(self.records);
            }
            return;
        };
        let key = key_of(&fields, self.records);
        self.values(&fields, "", &key);
        self.elements(&fields, &key);
    }

    fn values(&mut self, fields: &Fields<'_>, within: &str, key: &str) {
        for (name, raw) in fields.values() {
            let path = if within.is_empty() { name.to_owned() } else { format!("{within}.{name}") };
            if let Raw::Json(json) = raw
                && within.is_empty()
                && let Some(inner) = Fields::read(json)
            {
                self.values(&inner, &path, key);
            }
            self.value(&path, &raw, key);
        }
    }

    /// The lists of objects in a record, also as texts.
    fn elements(&mut self, fields: &Fields<'_>, key: &str) {
        for (name, raw) in fields.values() {
            let (Raw::Json(text) | Raw::Text(Cow::Borrowed(text))) = &raw else {
                let Raw::Text(Cow::Owned(text)) = &raw else { continue };
                self.list(fields, name, text, &raw, key);
                continue;
            };
            self.list(fields, name, text, &raw, key);
        }
    }

    fn list(&mut self, fields: &Fields<'_>, name: &str, text: &str, raw: &Raw<'_>, key: &str) {
        let begins = text.trim_start().strip_prefix('[').map(str::trim_start);
        if !begins.is_some_and(|inner| inner.starts_with('{')) {
            return;
        }
        if !self.lists.contains_key(name) {
            if self.lists.len() >= MOST_LISTS {
                return;
            }
            let array = Self { name: format!("{}.{name}", self.name), ..Self::default() };
            self.lists.insert(name.to_owned(), Self { file: self.file.clone(), ..array });
        }
        let Some(list) = self.lists.get_mut(name) else { return };
        for view in View::elements(fields, raw).unwrap_or_default() {
            list.records += 1;
            let key = format!("{key}#{}", view.number);
            list.values(&view.fields, "", &key);
        }
    }

    fn value(&mut self, path: &str, raw: &Raw<'_>, key: &str) {
        if !self.fields.contains_key(path) {
            if self.fields.len() >= MOST_FIELDS {
                return;
            }
            let seen = could_identify(path).then(Seen::default);
            self.fields.insert(path.to_owned(), Field { seen, ..Field::default() });
        }
        let number = self.records;
        let Some(field) = self.fields.get_mut(path) else { return };
        let Some(guess) = guess(raw) else {
            field.nulls += 1;
            return;
        };
        field.values += 1;
        let share = field.types.entry(guess).or_default();
        if share.count == 0 {
            share.example = key.to_owned();
        }
        share.count += 1;
        if let (Some(seen), Some(text)) = (&mut field.seen, raw.text()) {
            match seen.add(hash(text.trim()), number) {
                None => field.counted += 1,
                Some(Some(first)) => {
                    field.repeated += 1;
                    field.repeated_at.get_or_insert((format!("record {first}"), key.to_owned()));
                }
                Some(None) => {}
            }
        }
    }

    /// A field of a usual name, or the first that no two records have alike.
    pub(super) fn find_key(&mut self) {
        let whole = self.records - self.broken;
        let fits = |field: &Field| whole > 0 && field.values * 100 >= whole * 95;
        let usual = KEYS.iter().find(|name| self.fields.get(**name).is_some_and(fits));
        let unique = self.fields.iter().find(|(_, field)| {
            field.seen.is_some() && fits(field) && field.repeated == 0 && field.values == whole
        });
        let key =
            usual.map(|name| (*name).to_owned()).or_else(|| unique.map(|(name, _)| name.clone()));
        self.key = key;
        for list in self.lists.values_mut() {
            list.find_key();
        }
    }

    pub(super) fn refer(&mut self, keys: &[(String, Seen)]) -> Result<()> {
        let Some(place) = self.place.clone() else { return Ok(()) };
        let candidates: Vec<String> = self
            .fields
            .iter()
            .filter(|(name, field)| {
                Some(*name) != self.key.as_ref() && could_refer(name) && field.values > 0
            })
            .map(|(name, _)| name.clone())
            .collect();
        if candidates.is_empty() || keys.is_empty() {
            return Ok(());
        }
        let mut hits: BTreeMap<(&str, usize), Refers> = BTreeMap::new();
        let mut records = Records::new(vec![place], self.dialect.clone(), "");
        while let Some(record) = records.next()? {
            let Text::Whole(text) = &record.text else { continue };
            let Some(fields) = Fields::read(text) else { continue };
            for name in &candidates {
                let Some(value) = fields.at(name).text().map(|text| hash(text.trim())) else {
                    continue;
                };
                for (at, (array, seen)) in keys.iter().enumerate() {
                    let refers = hits.entry((name, at)).or_insert_with(|| Refers {
                        array: array.clone(),
                        found: 0,
                        orphans: 0,
                        example: None,
                    });
                    if seen.contains(value) {
                        refers.found += 1;
                    } else {
                        refers.orphans += 1;
                        refers.example.get_or_insert_with(|| key_of(&fields, record.number));
                    }
                }
            }
        }
        // Of several arrays with these keys the one whose name is in the field's is meant.
        let named = |field: &str, array: &str| {
            let last = array.rsplit('.').next().unwrap_or(array);
            plain(field).contains(&singular(&plain(last)))
        };
        for name in &candidates {
            let of_field =
                hits.iter().filter(|((field, _), _)| field == name).map(|(_, refers)| refers);
            let best = of_field
                .filter(|refers| refers.found * 2 >= refers.found + refers.orphans)
                .max_by_key(|refers| (named(name, &refers.array), refers.found));
            if let (Some(field), Some(best)) = (self.fields.get_mut(name), best) {
                field.refers_to = Some(best.clone());
            }
        }
        Ok(())
    }
}

/// How a record is named: by its id, else by its number.
fn key_of(fields: &Fields<'_>, number: u64) -> String {
    let id = KEYS.iter().find_map(|name| {
        fields.at(name).text().map(std::borrow::Cow::into_owned).filter(|text| text.len() <= 100)
    });
    id.unwrap_or_else(|| format!("record {number}"))
}

/// Whether values of such a field are compared with each other.
fn could_identify(path: &str) -> bool {
    const WORDS: [&str; 11] = [
        "id",
        "key",
        "code",
        "uuid",
        "email",
        "slug",
        "reference",
        "number",
        "username",
        "no",
        "nr",
    ];
    let name = path.to_lowercase();
    WORDS.iter().any(|word| name.ends_with(word))
}

/// Whether such a field may name a record of another array.
fn could_refer(path: &str) -> bool {
    let name = path.to_lowercase();
    const WORDS: [&str; 9] = ["id", "key", "uuid", "by", "code", "number", "no", "nr", "author"];
    WORDS.iter().any(|word| name.ends_with(word))
}
