//! One column of a load: where its value comes from and what is done with it. Which type it becomes is said by the
//! target's column, not by the plan.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use toml::Value;

use super::plan::OnOrphan;
use crate::config::mapping::table_name;
use crate::config::section::{Problems, Section, nearest, texts};
use crate::facts::parse_zone;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum From {
    /// The first of these paths with a value.
    First(Vec<String>),
    /// The texts of all of these paths, with this between them.
    Joined(Vec<String>, String),
    /// The same for every record.
    Constant(String),
}

/// A part of a name in one text (SPEC §3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamePart {
    /// The first name.
    First,
    /// The last name.
    Last,
}

/// What a text is normalised as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Normal {
    /// The matching key of SPEC §3.2.
    Email,
    /// E.164 (SPEC §3.5).
    Phone,
}

/// What becomes of a value that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnInvalid {
    /// The record is rejected.
    Reject,
    /// NULL, or the default where the column has one.
    Replace,
}

/// A reference to another row.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// The table as [`super::plan::Load::table`] names it.
    pub table: String,
    /// The column that holds what the record says; none: the old id, through the id map.
    pub by: Option<String>,
    /// In front of the old id: see [`super::plan::Load::ids`].
    pub ids: Option<String>,
    /// Where it leads to nothing.
    pub orphan: OnOrphan,
}

/// A column of a load.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The target's column.
    pub name: String,
    /// Where the value comes from.
    pub from: From,
    /// Taken only where the value at this path is true.
    pub when: Option<String>,
    /// White space at both ends goes, and an empty text is NULL.
    pub trim: bool,
    /// Cleaned by SPEC §3.1.
    pub clean: bool,
    /// In lower case.
    pub lower: bool,
    /// One part of a full name.
    pub name_part: Option<NamePart>,
    /// An address or a number in its normal form.
    pub normal: Option<Normal>,
    /// Texts replaced by others; `*` stands for every other text. NULL where the replacement is empty.
    pub map: BTreeMap<String, String>,
    /// In place of NULL.
    pub default: Option<String>,
    /// Zone of its times without one.
    pub zone: Option<TimeZone>,
    /// A number counts hundredths.
    pub minor: bool,
    /// A comma stands before the fraction of its numbers.
    pub comma: bool,
    /// Splits a text into the elements of an array.
    pub split: Option<String>,
    /// Where the value names another row.
    pub references: Option<Reference>,
    /// Where it cannot be read.
    pub invalid: OnInvalid,
}

impl Column {
    /// The paths that it reads.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        let paths = match &self.from {
            From::First(paths) | From::Joined(paths, _) => paths.as_slice(),
            From::Constant(_) => &[],
        };
        paths.iter().map(String::as_str).chain(self.when.as_deref())
    }

    fn plain(name: &str, from: From) -> Self {
        Self {
            name: name.to_owned(),
            from,
            when: None,
            trim: false,
            clean: false,
            lower: false,
            name_part: None,
            normal: None,
            map: BTreeMap::new(),
            default: None,
            zone: None,
            minor: false,
            comma: false,
            split: None,
            references: None,
            invalid: OnInvalid::Reject,
        }
    }
}

/// A column from `"path"`, or from a table.
pub(super) fn column(
    name: &str,
    value: &Value,
    at: String,
    problems: &mut Problems,
) -> Option<Column> {
    let table = match value {
        Value::String(path) => return Some(Column::plain(name, From::First(vec![path.clone()]))),
        Value::Table(table) => table,
        Value::Array(_) => {
            return Some(Column::plain(name, From::First(texts(value, &at, problems)?)));
        }
        _ => {
            problems.add(&at, "must be a path, a list of paths, or a table such as { value = 1 }");
            return None;
        }
    };
    let mut section = Section::element(at, table);
    let mut column = Column::plain(name, from(&mut section, problems)?);
    column.when = section.text("when", problems).map(str::to_owned);
    column.trim = section.flag("trim", problems).unwrap_or_default();
    column.clean = section.flag("clean", problems).unwrap_or_default();
    column.lower = section.flag("lower", problems).unwrap_or_default();
    column.name_part = word(&mut section, "name", &NAME_PARTS, problems);
    column.normal = word(&mut section, "as", &NORMALS, problems);
    column.invalid =
        word(&mut section, "invalid", &INVALIDS, problems).unwrap_or(OnInvalid::Reject);
    column.minor = word(&mut section, "unit", &UNITS, problems).unwrap_or_default();
    column.comma = word(&mut section, "decimal", &DECIMALS, problems).unwrap_or_default();
    column.default = scalar(&mut section, "default", problems);
    column.split = section.value("split").and_then(Value::as_str).map(str::to_owned);
    column.zone = zone(&mut section, problems);
    column.map = map(&mut section, problems);
    column.references = reference(&mut section, problems);
    section.finish(problems);
    Some(column)
}

const NAME_PARTS: [(&str, NamePart); 2] = [("first", NamePart::First), ("last", NamePart::Last)];
const NORMALS: [(&str, Normal); 2] = [("email", Normal::Email), ("phone", Normal::Phone)];
const INVALIDS: [(&str, OnInvalid); 2] =
    [("reject", OnInvalid::Reject), ("null", OnInvalid::Replace)];
const UNITS: [(&str, bool); 2] = [("major", false), ("minor", true)];
const DECIMALS: [(&str, bool); 2] = [(".", false), (",", true)];
const ORPHANS: [(&str, OnOrphan); 2] = [("skip", OnOrphan::Skip), ("null", OnOrphan::Null)];

fn from(section: &mut Section<'_>, problems: &mut Problems) -> Option<From> {
    let at = section.path_of("from");
    let separator = section.value("separator").and_then(Value::as_str).unwrap_or(" ").to_owned();
    let first = section.value("from").and_then(|value| match value {
        Value::String(path) => Some(vec![path.clone()]),
        value => texts(value, &at, problems),
    });
    let joined = section.texts("join", problems);
    let constant = scalar(section, "value", problems);
    match (first, joined, constant) {
        (Some(paths), None, None) => Some(From::First(paths)),
        (None, Some(paths), None) => Some(From::Joined(paths, separator)),
        (None, None, Some(value)) => Some(From::Constant(value)),
        _ => {
            problems.add(section.path(), "needs one of from, join and value");
            None
        }
    }
}

/// A text, number or boolean as text.
fn scalar(section: &mut Section<'_>, key: &'static str, problems: &mut Problems) -> Option<String> {
    let at = section.path_of(key);
    let value = section.value(key)?;
    let text = plain(value);
    if text.is_none() {
        problems.add(&at, "must be a text, a number, true or false");
    }
    text
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(flag) => Some(flag.to_string()),
        Value::Datetime(time) => Some(time.to_string()),
        Value::Array(_) | Value::Table(_) => None,
    }
}

fn word<T: Copy>(
    section: &mut Section<'_>,
    key: &'static str,
    known: &[(&str, T)],
    problems: &mut Problems,
) -> Option<T> {
    let at = section.path_of(key);
    let word = section.text(key, problems)?;
    let found = known.iter().find(|(name, _)| *name == word).map(|(_, value)| *value);
    if found.is_none() {
        let hint = nearest(word, known.iter().map(|(name, _)| *name));
        problems.add(&at, format!("is unknown{hint}"));
    }
    found
}

fn zone(section: &mut Section<'_>, problems: &mut Problems) -> Option<TimeZone> {
    let at = section.path_of("zone");
    let zone = parse_zone(section.text("zone", problems)?);
    if zone.is_none() {
        problems.add(&at, "is no time zone; write one such as \"Asia/Manila\" or \"UTC\"");
    }
    zone
}

fn map(section: &mut Section<'_>, problems: &mut Problems) -> BTreeMap<String, String> {
    let mut section = section.section("map", problems);
    let mut map = BTreeMap::new();
    for (text, value) in section.entries() {
        match plain(value) {
            Some(value) => drop(map.insert(text.to_owned(), value)),
            None => problems.add(&section.path_of(text), "must be a text, a number, true or false"),
        }
    }
    map
}

/// `references = "public.users"`, with `by`, `ids` and `orphan` beside it.
fn reference(section: &mut Section<'_>, problems: &mut Problems) -> Option<Reference> {
    let at = section.path_of("references");
    let by = section.text("by", problems).map(str::to_owned);
    let ids = section.text("ids", problems).map(str::to_owned);
    let orphan = word(section, "orphan", &ORPHANS, problems);
    let Some(written) = section.text("references", problems) else {
        for (key, is_set) in
            [("by", by.is_some()), ("ids", ids.is_some()), ("orphan", orphan.is_some())]
        {
            if is_set {
                problems.add(&section.path_of(key), "is for a column with references");
            }
        }
        return None;
    };
    match table_name(written) {
        Ok(table) => {
            let orphan = orphan.unwrap_or(OnOrphan::Skip);
            Some(Reference { table: table.to_string(), by, ids, orphan })
        }
        Err(problem) => {
            problems.add(&at, problem);
            None
        }
    }
}
