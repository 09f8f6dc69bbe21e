//! Where the value of a logical field comes from (SPEC §1): a column, a value inside of one, a constant; and rows that
//! are left out by such a value.

use std::borrow::Cow;

use super::clean::cleaned;
use super::field::FieldClass;
use super::json;
use super::oversized::is_left_out;
use super::row::{ColumnKind, Columns, RawRow};
use super::tags::array_texts;

/// Any value, in [`When`] and [`Skip`].
pub const ANY: &str = "*";

/// One source of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A column as it is.
    Column(usize),
    /// What is made of a column.
    Derived {
        /// The column.
        column: usize,
        /// Which part of its value.
        part: Part,
        /// What the text means; `None`: itself.
        when: Option<When>,
    },
    /// The same text for every row.
    Value(String),
}

/// Which part of a column's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// All of it: booleans by their words, the text of a JSON text, the elements of an array of texts joined.
    Whole,
    /// The elements of an array of texts, joined.
    List,
    /// What a path leads to in JSON; an empty one is the value itself.
    Path(Vec<String>),
}

/// What texts mean (SPEC §1). A text that is not named means NULL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct When {
    /// Clean text and what it means.
    pub texts: Vec<(String, String)>,
    /// What every other one means.
    pub any: Option<String>,
}

impl When {
    fn of(&self, text: &str) -> Option<&str> {
        let text = cleaned(text)?;
        let named = self.texts.iter().find(|(known, _)| *known == *text);
        named.map(|(_, meaning)| meaning).or(self.any.as_ref()).map(String::as_str)
    }
}

/// Ends a value of which bytes are no UTF-8, and stand as U+FFFD: a code point that no text holds.
pub const UNCONVERTED: char = '\u{fdd0}';

/// A raw value as the rules read it; `None`: it was left out of a row that is too large.
pub(super) fn readable(value: &str) -> Option<&str> {
    (!is_left_out(value)).then(|| value.strip_suffix(UNCONVERTED).unwrap_or(value))
}

/// A text with the type family that it is read as.
pub(super) type Text<'a> = (Cow<'a, str>, ColumnKind);

impl Source {
    /// The column that it reads.
    #[must_use]
    pub fn column(&self) -> Option<usize> {
        match self {
            Self::Column(column) | Self::Derived { column, .. } => Some(*column),
            Self::Value(_) => None,
        }
    }

    /// The same for a field of this class: a rule reads the text inside of a JSON value or of an array, and booleans by
    /// their words.
    pub(super) fn read_as(self, class: FieldClass, columns: &Columns) -> Self {
        let Self::Column(column) = self else { return self };
        let kind = columns.list.get(column).map(|column| column.kind);
        let part = match (kind, class) {
            (_, FieldClass::Raw | FieldClass::Tags) => return self,
            (Some(ColumnKind::Json), _) => Part::Path(Vec::new()),
            (Some(ColumnKind::TextArray), _) => Part::List,
            (Some(ColumnKind::Boolean), _) => Part::Whole,
            _ => return self,
        };
        Self::Derived { column, part, when: None }
    }

    /// The text that a row gives; `None` is NULL.
    pub(super) fn text<'a>(&'a self, row: &'a RawRow, columns: &Columns) -> Option<Text<'a>> {
        let value = |column: usize| row.values.get(column)?.as_deref().and_then(readable);
        let kind = |column: usize| columns.list.get(column).map(|column| column.kind);
        match self {
            Self::Column(column) => Some((Cow::Borrowed(value(*column)?), kind(*column)?)),
            Self::Value(text) => Some((Cow::Borrowed(text), ColumnKind::Text)),
            Self::Derived { column, part, when } => {
                let (text, kind) = part.of(value(*column)?, kind(*column)?)?;
                match when {
                    None => Some((text, kind)),
                    Some(when) => Some((Cow::Borrowed(when.of(&text)?), ColumnKind::Text)),
                }
            }
        }
    }
}

impl Part {
    pub(super) fn of<'a>(&self, text: &'a str, kind: ColumnKind) -> Option<Text<'a>> {
        match (self, kind) {
            (Self::Path(path), _) => json::text(text, path).map(|(text, kind)| (text.into(), kind)),
            // A text in a jsonb column has no quotes for those who compare it.
            (Self::Whole, ColumnKind::Json) => {
                json::text(text, &[]).map(|(text, kind)| (text.into(), kind))
            }
            (Self::List, _) | (Self::Whole, ColumnKind::TextArray) => {
                Some((array_texts(text)?.join(json::SEPARATOR).into(), ColumnKind::Text))
            }
            (Self::Whole, ColumnKind::Boolean) => {
                let word = match text {
                    "t" => "true",
                    "f" => "false",
                    other => other,
                };
                Some((word.into(), ColumnKind::Text))
            }
            (Self::Whole, _) => Some((text.into(), kind)),
        }
    }
}

/// Rows that give no fact: those of which a field or column has one of these texts (SPEC §1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip<F> {
    /// Of what.
    pub of: SkipOf<F>,
    /// Clean texts; [`ANY`] is every one.
    pub equals: Vec<String>,
}

/// What a row is skipped by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SkipOf<F> {
    /// The text of a logical field.
    Field(F),
    /// A column.
    Source(Source),
}

impl<F> Skip<F> {
    pub(super) fn column(&self) -> Option<usize> {
        match &self.of {
            SkipOf::Field(_) => None,
            SkipOf::Source(source) => source.column(),
        }
    }

    /// Whether a row with this text is skipped.
    pub(super) fn holds(&self, text: &str) -> bool {
        cleaned(text).is_some_and(|text| self.equals.iter().any(|e| e == ANY || *e == *text))
    }
}
