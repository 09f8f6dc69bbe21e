//! `--audit`: what an export holds, without a plan. Values are never shown: examples are named by their keys (P14).

mod guess;
mod propose;
mod seen;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use self::guess::{Guess, guess};
pub use self::propose::propose;
use self::seen::{Seen, hash};
use super::plan::{Dialect, Format};
use super::read::{Form, Place, Records, Step, Text, Walker, format_of, open, stem, unreadable};
use super::record::{Fields, Raw};
use crate::error::{Error, Result};

/// Fields of one array that are described.
const MOST_FIELDS: usize = 500;

/// Broken records that are named.
const EXAMPLES: usize = 5;

/// Names that a key has, the first that fits.
const KEYS: [&str; 5] = ["id", "_id", "uuid", "key", "code"];

/// What the files hold.
#[derive(Debug, Default, Serialize)]
pub struct Audit {
    /// Every array, in the order of the files.
    pub arrays: Vec<Array>,
}

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
    #[serde(skip)]
    place: Option<Place>,
    #[serde(skip)]
    dialect: Dialect,
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
    seen: Option<Seen>,
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

/// Reads the files twice: once for the fields, once for the references between them.
///
/// # Errors
/// A file that cannot be read to its end.
pub fn audit(files: &[PathBuf]) -> Result<Audit> {
    let mut audit = Audit::default();
    for file in files {
        audit.file(file)?;
    }
    for array in &mut audit.arrays {
        array.find_key();
    }
    audit.references()?;
    Ok(audit)
}

impl Audit {
    fn file(&mut self, file: &Path) -> Result<()> {
        match format_of(file) {
            Some(Format::Json) => self.document(file),
            Some(format) => {
                let form = if format == Format::Csv { Form::Csv } else { Form::Lines };
                let mut array = Array::new(stem(file), file);
                array.dialect = dialect(file).map_err(|error| unreadable(file, &error))?;
                let place = Place { file: file.to_owned(), form };
                array.place = Some(place.clone());
                let mut records = Records::new(vec![place], array.dialect.clone(), "");
                while let Some(record) = records.next()? {
                    array.note(&record.text);
                }
                self.arrays.push(array);
                Ok(())
            }
            None => Err(Error::refused(
                format!("{}: the form of this file is unknown by its name", file.display()),
                "name it .json, .jsonl, .csv or one of these with .gz",
            )),
        }
    }

    fn document(&mut self, file: &Path) -> Result<()> {
        let read = |error: std::io::Error| unreadable(file, &error);
        let mut walker = Walker::new(open(file).map_err(read)?, None);
        loop {
            match walker.next().map_err(read)? {
                Step::End => return Ok(()),
                Step::Array => {
                    let path = walker.path();
                    let name = if path.is_empty() { stem(file) } else { path.join(".") };
                    let mut array = Array::new(name, file);
                    let form = Form::Array(path.to_vec());
                    array.place = Some(Place { file: file.to_owned(), form });
                    self.arrays.push(array);
                }
                Step::Record(text) => {
                    if let Some(array) = self.arrays.last_mut() {
                        array.note(&text);
                    }
                }
            }
        }
    }

    /// Which fields hold the keys of another array.
    fn references(&mut self) -> Result<()> {
        let mut keys: Vec<(String, Seen)> = Vec::new();
        for array in &mut self.arrays {
            let key = array.key.clone();
            for (name, field) in &mut array.fields {
                let seen = field.seen.take();
                if Some(name) == key.as_ref() {
                    keys.extend(seen.map(|seen| (array.name.clone(), seen)));
                }
            }
        }
        for array in &mut self.arrays {
            array.refer(&keys)?;
        }
        Ok(())
    }
}

impl Array {
    fn new(name: String, file: &Path) -> Self {
        Self { name, file: file.display().to_string(), ..Self::default() }
    }

    fn note(&mut self, text: &Text) {
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
    }

    fn values(&mut self, fields: &Fields<'_>, within: &str, key: &str) {
        for (name, raw) in fields.values() {
            let path = if within.is_empty() { name.to_owned() } else { format!("{within}.{name}") };
            if let Raw::Json(json) = raw
                && within.is_empty()
                && let Some(inner) = Fields::read(json)
            {
                self.values(&inner, &path, key);
                self.value(&path, &raw, key);
                continue;
            }
            self.value(&path, &raw, key);
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
    fn find_key(&mut self) {
        let whole = self.records - self.broken;
        let fits = |field: &Field| whole > 0 && field.values * 100 >= whole * 95;
        let usual = KEYS.iter().find(|name| self.fields.get(**name).is_some_and(fits));
        let unique = self.fields.iter().find(|(_, field)| {
            field.seen.is_some() && fits(field) && field.repeated == 0 && field.values == whole
        });
        let key =
            usual.map(|name| (*name).to_owned()).or_else(|| unique.map(|(name, _)| name.clone()));
        self.key = key;
    }

    fn refer(&mut self, keys: &[(String, Seen)]) -> Result<()> {
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
            propose::plain(field).contains(&propose::singular(&propose::plain(last)))
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
    const WORDS: [&str; 9] =
        ["id", "key", "code", "uuid", "email", "slug", "reference", "number", "username"];
    let name = path.to_lowercase();
    WORDS.iter().any(|word| name.ends_with(word))
}

/// Whether such a field may name a record of another array.
fn could_refer(path: &str) -> bool {
    let name = path.to_lowercase();
    ["id", "key", "uuid", "by", "code"].iter().any(|word| name.ends_with(word))
}

/// The separator that the header has most of.
fn dialect(file: &Path) -> std::io::Result<Dialect> {
    use std::io::Read as _;
    let mut head = Vec::new();
    open(file)?.take(4096).read_to_end(&mut head)?;
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let count = |delimiter: &u8| line.iter().filter(|byte| *byte == delimiter).count();
    let delimiter = [b'|', b'\t', b';', b','].into_iter().max_by_key(count).unwrap_or(b',');
    Ok(Dialect { delimiter, ..Dialect::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_is_described_without_its_values() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("export.json");
        let json = r#"{"users":[{"id":"u1","email":"ana@example.com","ok":1,"born":"1990-05-04"},
            {"id":"u2","email":"ana@example.com","ok":"yes","born":null},{"id":}],
            "posts":[{"id":1,"userId":"u1","at":1751256144},{"id":2,"userId":"u9","at":"2025-06-30T04:02:24Z"}]}"#;
        std::fs::write(&file, json).unwrap();
        let found = audit(&[file]).unwrap();
        let [users, posts] = found.arrays.as_slice() else { panic!("{found:?}") };
        assert_eq!((users.records, users.broken, users.broken_records[0]), (3, 1, 3));
        assert_eq!(users.key.as_deref(), Some("id"));
        assert_eq!(users.fields["email"].repeated_at, Some(("record 1".into(), "u2".into())));
        assert_eq!(users.fields["born"].nulls, 1);
        let refers = posts.fields["userId"].refers_to.clone().unwrap();
        assert_eq!((refers.array.as_str(), refers.found, refers.orphans), ("users", 1, 1));
        assert_eq!(posts.fields["at"].types.len(), 2);
        let shown = serde_json::to_string(&found).unwrap();
        assert!(!shown.contains("example.com") && !shown.contains("1990"), "{shown}");
    }
}
