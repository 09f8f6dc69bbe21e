//! The inputs of a plan: where the records of each lie, and how they are written.

use toml::Value;

pub use super::read::encoding::Encoding;
use crate::config::section::{Problems, Section, expect, nearest, texts};

/// How records lie in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON document: arrays of records at paths of an object, or one array.
    Json,
    /// A record a line.
    JsonLines,
    /// Separated values.
    Csv,
}

/// How a CSV file is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialect {
    /// Between two values.
    pub delimiter: u8,
    /// Around a value.
    pub quote: u8,
    /// Before a quote within a value; none: the quote is doubled.
    pub escape: Option<u8>,
    /// Names of the columns where the file has no header.
    pub columns: Option<Vec<String>>,
    /// Texts that stand for no value.
    pub null: Vec<String>,
    /// How its characters are written.
    pub encoding: Encoding,
}

impl Default for Dialect {
    fn default() -> Self {
        let null = vec![String::new()];
        let encoding = Encoding::Utf8;
        Self { delimiter: b',', quote: b'"', escape: None, columns: None, null, encoding }
    }
}

/// A sequence of records.
#[derive(Debug, Clone)]
pub struct Input {
    /// Its name in the plan.
    pub name: String,
    /// Where its array is in a JSON document.
    pub path: Vec<String>,
    /// Whether an object is there in its place, whose members are the records.
    pub members: bool,
    /// Which files it is in: a name with `*`; none: any JSON document with the path, else the file of its name.
    pub file: Option<String>,
    /// None: by the ending of the file's name.
    pub format: Option<Format>,
    /// Of CSV.
    pub dialect: Dialect,
    /// The fields that name a record in reports.
    pub key: Vec<String>,
    /// Fields that are left out on purpose; `*` for all that no load reads.
    pub left_out: Vec<String>,
    /// Whether it may be in none of the files.
    pub optional: bool,
}

pub(super) fn input(name: &str, mut section: Section<'_>, problems: &mut Problems) -> Input {
    let path = path(&mut section, problems).unwrap_or_else(|| vec![name.to_owned()]);
    let format = match section.text("format", problems) {
        None => None,
        Some("json") => Some(Format::Json),
        Some("json_lines") => Some(Format::JsonLines),
        Some("csv") => Some(Format::Csv),
        Some(other) => {
            let hint = nearest(other, ["json", "json_lines", "csv"].into_iter());
            problems.add(&section.path_of("format"), format!("is unknown{hint}"));
            None
        }
    };
    let key = one_or_more(&mut section, "key", problems);
    let input = Input {
        name: name.to_owned(),
        path,
        members: section.flag("members", problems).unwrap_or_default(),
        file: section.text("file", problems).map(str::to_owned),
        format,
        dialect: dialect(&mut section, problems),
        key: key.unwrap_or_else(|| vec!["id".to_owned()]),
        left_out: section.texts("left_out", problems).unwrap_or_default(),
        optional: section.flag("optional", problems).unwrap_or_default(),
    };
    section.finish(problems);
    input
}

/// `"data.students"` or `["data", "students"]`; an empty list for a document that is an array.
fn path(section: &mut Section<'_>, problems: &mut Problems) -> Option<Vec<String>> {
    let at = section.path_of("path");
    match section.value("path")? {
        Value::String(text) => Some(text.split('.').map(str::to_owned).collect()),
        value => texts(value, &at, problems),
    }
}

fn dialect(section: &mut Section<'_>, problems: &mut Problems) -> Dialect {
    let default = Dialect::default();
    let delimiter = byte(section, "delimiter", problems).unwrap_or(default.delimiter);
    let quote = byte(section, "quote", problems).unwrap_or(default.quote);
    let escape = byte(section, "escape", problems);
    let columns = section.texts("header", problems);
    let null = match section.value("null") {
        Some(Value::Array(list)) => {
            list.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect()
        }
        Some(value) => {
            let at = section.path_of("null");
            expect(None, value, &at, "a list of texts", problems).unwrap_or(default.null)
        }
        None => default.null,
    };
    Dialect { delimiter, quote, escape, columns, null, encoding: encoding(section, problems) }
}

fn encoding(section: &mut Section<'_>, problems: &mut Problems) -> Encoding {
    match section.text("encoding", problems) {
        None | Some("utf-8") => Encoding::Utf8,
        Some("windows-1252") => Encoding::Windows1252,
        Some(other) => {
            let hint = nearest(other, ["utf-8", "windows-1252"].into_iter());
            problems.add(&section.path_of("encoding"), format!("is unknown{hint}"));
            Encoding::Utf8
        }
    }
}

fn byte(section: &mut Section<'_>, key: &'static str, problems: &mut Problems) -> Option<u8> {
    let at = section.path_of(key);
    // A tab is white space, which no other text may consist of.
    let text = section.value(key)?.as_str();
    match text.map(str::as_bytes) {
        Some([byte]) => Some(*byte),
        _ => {
            problems.add(&at, "must be one ASCII character");
            None
        }
    }
}

pub(super) fn one_or_more(
    section: &mut Section<'_>,
    key: &'static str,
    problems: &mut Problems,
) -> Option<Vec<String>> {
    let at = section.path_of(key);
    match section.value(key)? {
        Value::String(text) => Some(vec![text.clone()]),
        value => texts(value, &at, problems),
    }
}
