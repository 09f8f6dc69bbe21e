//! Large values that the stream left out because they did not change (P6). Pure.
//!
//! The server does not send a value that is stored out of line (TOAST) when an update leaves it alone. It is
//! taken from the row's earlier state: an earlier change of the same batch, what is stored, or the source.

use std::collections::HashMap;

use super::change::{RowChange, RowId};
use super::raw::StoredValues;
use crate::facts::RawRow;

/// A row of which a batch leaves values out that neither the batch nor the store has.
#[derive(Debug, PartialEq, Eq)]
pub struct Missing {
    /// The row before the first change that leaves something out.
    pub before: RowId,
    /// The change after which the row has the key under which the source may still have it. `None`: the batch
    /// deletes the row.
    pub last: Option<usize>,
}

/// The rows whose earlier values must be asked for: `known` holds those of stored rows.
#[must_use]
pub fn missing(changes: &[RowChange], known: &HashMap<RowId, StoredValues>) -> Vec<Missing> {
    let mut found: Vec<Missing> = Vec::new();
    // Rows that an earlier change of the batch described, with their place in `found`.
    let mut described: HashMap<RowId, Option<usize>> = HashMap::new();
    for (index, change) in changes.iter().enumerate() {
        let before = change.before();
        let place = match described.remove(&before) {
            Some(place) => place,
            None if change.unchanged.is_empty() || known.contains_key(&before) => None,
            None => {
                found.push(Missing { before, last: None });
                Some(found.len() - 1)
            }
        };
        if let Some(missing) = place.and_then(|place| found.get_mut(place)) {
            missing.last = change.row.as_ref().map(|_| index);
        }
        if change.row.is_some() {
            described.insert(change.id(), place);
        }
    }
    found
}

/// Fills in what the stream left out: `known` are the values of rows before the first change, and each change
/// leaves those that hold before the next one. What is still in [`RowChange::unchanged`] afterwards is unknown.
pub fn fill_unchanged(changes: &mut [RowChange], mut known: HashMap<RowId, StoredValues>) {
    if changes.iter().all(|change| change.unchanged.is_empty()) {
        return;
    }
    for change in changes {
        let before = known.remove(&change.before());
        let id = change.id();
        let Some(row) = change.row.as_mut() else { continue };
        change.unchanged.retain(|&column| !fill(row, column, before.as_ref()));
        let unknown = change.unchanged.clone();
        known.insert(id, StoredValues { row: row.clone(), unknown });
    }
}

/// Whether the value of this column is known, and then also in `row`.
fn fill(row: &mut RawRow, column: usize, before: Option<&StoredValues>) -> bool {
    let Some(before) = before.filter(|before| !before.unknown.contains(&column)) else {
        return false;
    };
    if let Some(value) = row.values.get_mut(column) {
        *value = before.row.values.get(column).cloned().flatten();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{Feed, SourceKey};

    fn key(key: &str) -> SourceKey {
        SourceKey(key.into())
    }

    fn id(name: &str) -> RowId {
        (Feed::new(2), key(name))
    }

    fn row(values: [Option<&str>; 3]) -> RawRow {
        RawRow { values: values.map(|value| value.map(str::to_owned)).to_vec() }
    }

    /// A change to `name`, formerly `previous`, of a row with three columns; `?` was left out.
    fn upsert(previous: Option<&str>, name: &str, values: [&str; 3]) -> RowChange {
        let unchanged = (0..3).filter(|&column| values[column] == "?").collect();
        let row = Some(row(values.map(|value| (value != "?").then_some(value))));
        let previous = previous.map(key);
        let table = Feed::new(2);
        RowChange { tx: 0, xid: None, table, key: key(name), previous, row, unchanged }
    }

    fn delete(name: &str) -> RowChange {
        RowChange { row: None, unchanged: Vec::new(), ..upsert(None, name, ["", "", ""]) }
    }

    fn texts(change: &RowChange) -> Vec<String> {
        let row = change.row.as_ref().unwrap();
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "null".into());
        row.values.iter().map(text).collect()
    }

    #[test]
    fn a_value_of_the_batch_is_carried_over_updates_and_keys_p6() {
        let stored = || {
            let row = row([Some("1"), None, Some("large")]);
            HashMap::from([(id("s"), StoredValues { row, unknown: Vec::new() })])
        };
        let check =
            |changes: &[RowChange], known: HashMap<RowId, StoredValues>, expected: &[[&str; 3]]| {
                assert_eq!(missing(changes, &known), []);
                let mut changes = changes.to_vec();
                fill_unchanged(&mut changes, known);
                let filled = changes.iter().filter(|change| change.row.is_some());
                let filled: Vec<Vec<String>> = filled.map(texts).collect();
                assert_eq!(filled, expected);
                assert!(changes.iter().all(|change| change.unchanged.is_empty()));
            };
        let inserted = upsert(None, "a", ["1", "x", "large"]);
        // Inserted, updated in another column and given another key, with nothing stored.
        check(
            &[
                inserted.clone(),
                upsert(None, "a", ["2", "x", "?"]),
                upsert(Some("a"), "b", ["2", "?", "?"]),
            ],
            HashMap::new(),
            &[["1", "x", "large"], ["2", "x", "large"], ["2", "x", "large"]],
        );
        // Stored, and twice given another key.
        check(
            &[upsert(Some("s"), "t", ["2", "x", "?"]), upsert(Some("t"), "s", ["3", "?", "?"])],
            stored(),
            &[["2", "x", "large"], ["3", "x", "large"]],
        );
        // NULL is a value.
        check(&[upsert(None, "s", ["2", "?", "?"])], stored(), &[["2", "null", "large"]]);
        // A key that another row takes: the values are those of the row, not of the key.
        check(
            &[
                inserted.clone(),
                upsert(Some("a"), "b", ["2", "?", "?"]),
                upsert(Some("s"), "a", ["3", "y", "?"]),
                delete("b"),
                upsert(None, "b", ["4", "z", "other"]),
                upsert(None, "b", ["5", "z", "?"]),
            ],
            stored(),
            &[
                ["1", "x", "large"],
                ["2", "x", "large"],
                ["3", "y", "large"],
                ["4", "z", "other"],
                ["5", "z", "other"],
            ],
        );
    }

    #[test]
    fn what_nothing_tells_is_asked_for_under_the_last_key_p6() {
        let check = |changes: &[RowChange], expected: &[(&str, Option<usize>)]| {
            let expected = expected.iter().map(|&(name, last)| Missing { before: id(name), last });
            assert_eq!(missing(changes, &HashMap::new()), expected.collect::<Vec<_>>());
        };
        check(&[upsert(None, "a", ["1", "2", "3"])], &[]);
        check(&[upsert(None, "a", ["1", "2", "?"])], &[("a", Some(0))]);
        check(
            &[upsert(Some("a"), "b", ["1", "2", "?"]), upsert(Some("b"), "c", ["1", "?", "?"])],
            &[("a", Some(1))],
        );
        check(&[upsert(Some("a"), "b", ["1", "2", "?"]), delete("b")], &[("a", None)]);
        check(
            &[upsert(None, "a", ["1", "2", "?"]), delete("c"), upsert(None, "d", ["1", "?", "3"])],
            &[("a", Some(0)), ("d", Some(2))],
        );
    }

    #[test]
    fn unknown_is_not_null_p6() {
        let mut changes = vec![
            upsert(None, "a", ["1", "?", "?"]),
            upsert(None, "a", ["2", "x", "?"]),
            upsert(Some("b"), "c", ["1", "?", "y"]),
            // Whole again, so what came before no longer matters.
            upsert(None, "a", ["3", "?", "y"]),
        ];
        fill_unchanged(&mut changes, HashMap::new());
        let unknown: Vec<&[usize]> =
            changes.iter().map(|change| change.unchanged.as_slice()).collect();
        assert_eq!(unknown, [&[1, 2][..], &[2], &[1], &[]]);
        assert_eq!(texts(&changes[3]), ["3", "x", "y"]);
    }
}
