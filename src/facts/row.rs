//! A source row as text, and the layout that says which column means what.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::feed::FeedInfo;
use super::field::LogicalField;
use super::oversized::MAX_ROW_BYTES;
use super::raw::RawTexts;
use super::source::{Skip, Source, readable};
use crate::rules::{NAMESPACE, Status};

/// The key of a source row: its key columns' text joined by `|` (SPEC §1), with `\` before a `|` or `\` inside a value
/// of several. Instants are UTC, ISO 8601 with `Z`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SourceKey(pub String);

impl SourceKey {
    /// The key as text, without the feed's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What PostgreSQL type family a source column has; decides how its text is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// Text, and every type not named below.
    Text,
    /// `numeric`, integers and floats: taken as they are (SPEC §3.8).
    Numeric,
    /// `timestamptz`, in ISO style with an offset: taken as it is (SPEC §3.7).
    Instant,
    /// `text[]` and other arrays of character types: a list (SPEC §3.6).
    TextArray,
    /// `json` and `jsonb` (SPEC §3.6).
    Json,
    /// `boolean`: read as `true` and `false` (SPEC §1).
    Boolean,
}

impl ColumnKind {
    const NAMES: [(Self, &'static str); 6] = [
        (Self::Text, "text"),
        (Self::Numeric, "numeric"),
        (Self::Instant, "instant"),
        (Self::TextArray, "text_array"),
        (Self::Json, "json"),
        (Self::Boolean, "boolean"),
    ];

    /// The stored word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(kind, _)| *kind == self).map_or("text", |(_, name)| name)
    }

    /// The inverse of [`ColumnKind::as_str`].
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, name)| *name == word).map(|(kind, _)| *kind)
    }
}

/// A physical column of a source table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name in the source table.
    pub name: String,
    /// Its type family.
    pub kind: ColumnKind,
}

/// The columns that are read of a source table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// In the order of [`RawRow::values`].
    pub list: Vec<Column>,
    /// Indexes of the key columns, in key order.
    pub key: Vec<usize>,
    /// Most bytes of a row's values (P13); of a larger row the largest are left out.
    pub max_bytes: usize,
}

impl Columns {
    /// Columns of rows of the usual size.
    #[must_use]
    pub const fn new(list: Vec<Column>, key: Vec<usize>) -> Self {
        Self { list, key, max_bytes: MAX_ROW_BYTES }
    }
}

/// Whether amounts of a feed are in the currency's unit or in its smallest part (SPEC §1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AmountUnit {
    /// Pesos.
    #[default]
    Major,
    /// Centavos.
    Minor,
}

/// What the configuration says of a feed's values beside where they are (SPEC §1). `F` is [`super::PaymentField`] or
/// [`super::ContactField`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldRules<F> {
    /// Of amount, fees and paid_amount.
    pub amount_unit: AmountUnit,
    /// Words beside those of the rules, as [`super::status_word`] writes them.
    pub status_words: BTreeMap<String, Status>,
    /// Rows that give no fact.
    pub skip: Vec<Skip<F>>,
}

impl<F> Default for FieldRules<F> {
    fn default() -> Self {
        let (amount_unit, status_words) = (AmountUnit::Major, BTreeMap::new());
        Self { amount_unit, status_words, skip: Vec::new() }
    }
}

/// Which columns of one feed are read, and what they mean. `F` is [`super::PaymentField`] or [`super::ContactField`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout<F> {
    /// The feed.
    pub feed: Arc<FeedInfo>,
    /// The columns that are read.
    pub columns: Columns,
    /// Names the columns whose values are stored, with their kinds, in their order.
    pub digest: u32,
    /// What is configured of the values.
    pub rules: FieldRules<F>,
    /// The sources of every field, by its index, first choice first.
    by_field: Vec<Vec<Source>>,
    /// The mapped fields in the order of their names.
    by_name: Vec<F>,
    /// For each column whether it holds nothing but the time of the last synchronisation.
    is_sync: Vec<bool>,
    /// The columns that are evidence, in the order of their names.
    evidence: Vec<usize>,
    /// The names of those columns.
    evidence_names: Arc<[String]>,
}

/// Columns in another order, of other kinds, or stored where they were left out, have another digest.
fn digest_of(columns: &[Column], is_left_out: impl Fn(usize) -> bool) -> u32 {
    let mut text = String::new();
    for (index, column) in columns.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ =
            writeln!(text, "{:?} {} {}", column.name, column.kind.as_str(), !is_left_out(index));
    }
    let digest = crate::digest::uuid_v5(&NAMESPACE, text.as_bytes());
    digest.as_fields().0
}

impl<F: LogicalField> Layout<F> {
    /// A layout, with what every row of it needs found once.
    #[must_use]
    pub fn new(
        feed: Arc<FeedInfo>,
        columns: Columns,
        fields: Vec<(F, Vec<Source>)>,
        rules: FieldRules<F>,
    ) -> Self {
        let mut by_name: Vec<F> = fields.iter().map(|(field, _)| *field).collect();
        by_name.sort_by_key(|field| field.name());
        by_name.dedup();
        // A column that is nothing but the time of the last synchronisation is no evidence, so that a
        // change of it changes nothing (P4).
        let means = |index: usize, sync: bool| {
            let mut of_kind = fields.iter().filter(|(field, _)| (*field == F::SYNC) == sync);
            of_kind.any(|(_, sources)| sources.iter().any(|s| s.column() == Some(index)))
        };
        let skips = |index| rules.skip.iter().any(|skip| skip.column() == Some(index));
        let is_sync: Vec<bool> = (0..columns.list.len())
            .map(|index| {
                let means_more = means(index, false) || columns.key.contains(&index);
                means(index, true) && !means_more && !skips(index)
            })
            .collect();
        let digest = digest_of(&columns.list, |index| is_sync[index]);
        let mut evidence: Vec<usize> =
            (0..columns.list.len()).filter(|index| !is_sync[*index]).collect();
        evidence.sort_by(|a, b| columns.list[*a].name.cmp(&columns.list[*b].name));
        let evidence_names =
            evidence.iter().map(|index| columns.list[*index].name.clone()).collect();
        let mut by_field = vec![Vec::new(); F::NAMES.len()];
        for (field, sources) in fields.into_iter().rev() {
            let read = |source: Source| source.read_as(field.class(), &columns);
            by_field[field.index()] = sources.into_iter().map(read).collect();
        }
        Self { feed, columns, digest, rules, by_field, by_name, is_sync, evidence, evidence_names }
    }

    /// The sources of a logical field, first choice first; empty where none is mapped.
    #[must_use]
    pub fn of(&self, field: F) -> &[Source] {
        self.by_field.get(field.index()).map_or(&[], Vec::as_slice)
    }

    /// Whether a column holds nothing but the time of the last synchronisation, which is not stored: a change of it
    /// changes nothing (P4).
    #[must_use]
    pub fn is_sync(&self, column: usize) -> bool {
        self.is_sync.get(column).copied().unwrap_or(false)
    }

    /// Whether a key column is mapped to a field other than an id: the key may then be a customer's value (P14).
    #[must_use]
    pub fn key_is_a_value(&self) -> bool {
        let reads = |field: &F| {
            self.of(*field)
                .iter()
                .filter_map(Source::column)
                .any(|column| self.columns.key.contains(&column))
        };
        self.by_name.iter().any(|field| !field.is_id() && reads(field))
    }

    /// The mapped fields in the order of their names.
    pub(super) fn by_name(&self) -> &[F] {
        &self.by_name
    }

    /// The row as evidence.
    pub(super) fn raw_texts(&self, row: &RawRow) -> RawTexts {
        let text = |index: &usize| row.values.get(*index)?.as_deref().and_then(readable);
        RawTexts::new(&self.evidence_names, self.evidence.iter().map(text))
    }
}

/// The values of one source row, text or NULL, in the order of [`Columns::list`]. The text of an
/// instant is in ISO style (`2025-06-30 12:02:24.5+08`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RawRow {
    /// One value a column.
    pub values: Vec<Option<String>>,
}
