//! The name of a source row (SPEC §1).

use super::row::{ColumnKind, Layout, LogicalField, RawRow, SourceKey};
use super::time::parse_instant;

/// SPEC §1: the key columns' text joined by `|`, instants as UTC. A NULL is empty text, and an instant
/// beyond any calendar, such as `infinity`, is the text itself.
#[must_use]
pub fn source_key<F: LogicalField>(row: &RawRow, layout: &Layout<F>) -> SourceKey {
    let mut key = String::new();
    for (position, &index) in layout.key.iter().enumerate() {
        if position > 0 {
            key.push('|');
        }
        let text = row.values.get(index).and_then(Option::as_deref).unwrap_or_default();
        let is_instant =
            layout.columns.get(index).is_some_and(|column| column.kind == ColumnKind::Instant);
        match is_instant.then(|| parse_instant(text)).flatten() {
            Some(instant) => key.push_str(&instant.to_string()),
            None => key.push_str(text),
        }
    }
    SourceKey(key)
}
