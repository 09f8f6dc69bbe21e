//! A configured table as the stream describes it at one point of its history.
//!
//! A relation may be described again in mid-stream with columns added, dropped, moved or renamed;
//! columns are found by name each time. One that is configured and was not there at that point of its history has the value
//! that was stored before, as far as the stream knows: the catalog shows that it was altered, and the feed is read again (P18).

use super::message::{OldTuple, Relation, Tuple, Value};
use super::{DecodeError, value_text};
use crate::facts::{Columns, Feed, RawRow, SourceKey, source_key};

/// A table whose changes are wanted: its name in the source, and which of its columns are read.
#[derive(Debug, Clone)]
pub struct Watched {
    pub(super) table: Feed,
    schema: String,
    name: String,
    columns: Columns,
}

impl Watched {
    /// `schema` and `name` as the source's catalog spells them.
    pub fn new(
        table: Feed,
        schema: impl Into<String>,
        name: impl Into<String>,
        columns: &Columns,
    ) -> Self {
        Self { table, schema: schema.into(), name: name.into(), columns: columns.clone() }
    }

    /// Whether a relation message is about this table.
    pub(super) fn is(&self, relation: &Relation) -> bool {
        relation.schema == self.schema && relation.name == self.name
    }
}

/// A watched table under its current definition.
#[derive(Debug)]
pub(super) struct Described {
    watched: Watched,
    /// For each layout column its place in a tuple; `None`: it was not there.
    places: Vec<Option<usize>>,
    /// For each layout column whether the replica identity holds it.
    identity: Vec<bool>,
    /// How many columns a tuple has.
    width: usize,
}

/// A row after a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedRow {
    /// Its key.
    pub key: SourceKey,
    /// Its values; those of [`ChangedRow::unchanged`] are `None` and mean nothing.
    pub row: RawRow,
    /// Indexes of the layout columns whose large value did not change and was not sent (P6), ascending.
    pub unchanged: Vec<usize>,
}

impl Described {
    /// Finds the configured columns in a relation; `None`: it lacks a column of the key.
    pub(super) fn new(watched: &Watched, relation: &Relation) -> Option<Self> {
        let find = |name: &str| relation.columns.iter().position(|column| column.name == name);
        let columns = &watched.columns;
        let places: Vec<Option<usize>> =
            columns.list.iter().map(|column| find(&column.name)).collect();
        if columns.key.iter().any(|&index| places.get(index).is_none_or(Option::is_none)) {
            return None;
        }
        let is_identity = |place: &Option<usize>| {
            place
                .and_then(|place| relation.columns.get(place))
                .is_some_and(|column| column.identity)
        };
        let identity = places.iter().map(is_identity).collect();
        Some(Self { watched: watched.clone(), places, identity, width: relation.columns.len() })
    }

    pub(super) fn table(&self) -> Feed {
        self.watched.table
    }

    /// Whether its replica identity holds the key. Without it, an update or delete does not say which row it is about.
    pub(super) fn holds_key(&self) -> bool {
        let key = &self.watched.columns.key;
        key.iter().all(|&index| self.identity.get(index) == Some(&true))
    }

    /// The key that the old tuple of an update or delete holds.
    pub(super) fn old_key(&self, old: &OldTuple) -> Result<SourceKey, DecodeError> {
        let (OldTuple::Key(tuple) | OldTuple::Full(tuple)) = old;
        let columns = &self.watched.columns;
        let mut row = RawRow { values: vec![None; columns.list.len()] };
        for &index in &columns.key {
            row.values[index] = match self.value(tuple, index)? {
                Value::Null => None,
                Value::Text(bytes) => Some(value_text(bytes)),
                Value::Unchanged => return Err(DecodeError::malformed("an old key")),
            };
        }
        Ok(source_key(&row, columns))
    }

    /// The row that a new tuple holds; a large value that was not sent is taken from the old tuple
    /// where that has it.
    pub(super) fn row(
        &self,
        new: &Tuple,
        old: Option<&OldTuple>,
    ) -> Result<ChangedRow, DecodeError> {
        let columns = &self.watched.columns;
        let mut row = RawRow { values: Vec::with_capacity(columns.list.len()) };
        let mut unchanged = Vec::new();
        for index in 0..columns.list.len() {
            let value = match (self.value(new, index)?, old) {
                (Value::Unchanged, Some(old)) => self.old_value(old, index)?,
                (value, _) => value,
            };
            row.values.push(match value {
                Value::Null => None,
                Value::Text(bytes) => Some(value_text(bytes)),
                Value::Unchanged => {
                    unchanged.push(index);
                    None
                }
            });
        }
        if columns.key.iter().any(|index| unchanged.contains(index)) {
            return Err(DecodeError::malformed("a row without its key"));
        }
        columns.limit(&mut row);
        Ok(ChangedRow { key: source_key(&row, columns), row, unchanged })
    }

    /// What an old tuple holds of a column: the columns outside of a key tuple read as NULL there,
    /// which they need not be.
    fn old_value<'t>(&self, old: &'t OldTuple, index: usize) -> Result<&'t Value, DecodeError> {
        match old {
            OldTuple::Full(tuple) => self.value(tuple, index),
            OldTuple::Key(tuple) if self.identity.get(index) == Some(&true) => {
                self.value(tuple, index)
            }
            OldTuple::Key(_) => Ok(&Value::Unchanged),
        }
    }

    fn value<'t>(&self, tuple: &'t Tuple, index: usize) -> Result<&'t Value, DecodeError> {
        if tuple.0.len() != self.width {
            return Err(DecodeError::malformed(
                "a row whose columns are not those of its relation",
            ));
        }
        match self.places.get(index) {
            Some(None) => Some(&Value::Unchanged),
            Some(Some(place)) => tuple.0.get(*place),
            None => None,
        }
        .ok_or(DecodeError::malformed("a row that is too short"))
    }
}
