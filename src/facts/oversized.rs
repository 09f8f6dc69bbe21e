//! Rows that are larger than `run.max_row_bytes` (P13): their largest values are left out, and a note makes the row a
//! `rejected_row`.
//!
//! Which values go depends on the row alone: the largest first, of two of one size the earlier column, until the rest
//! fits; the key stays. So it does not matter that the stream shows a part of a row at a time: what is left out of a part
//! is left out of the whole too.

use super::row::{Columns, RawRow};

/// The default of `run.max_row_bytes`.
pub const MAX_ROW_BYTES: usize = 64 << 20;

/// Stands for a value that was left out: a code point that no text holds.
const LEFT_OUT: &str = "\u{fdd1}";

/// Whether a value was left out.
#[must_use]
pub fn is_left_out(value: &str) -> bool {
    value == LEFT_OUT
}

impl RawRow {
    /// Whether a value was left out because the row is too large.
    #[must_use]
    pub fn is_oversized(&self) -> bool {
        self.values.iter().flatten().any(|value| is_left_out(value))
    }
}

impl Columns {
    /// Whether a row is larger than may be.
    #[must_use]
    pub fn exceeds_limit(&self, row: &RawRow) -> bool {
        bytes(row) > self.max_bytes
    }

    /// Leaves out what makes the row too large.
    pub fn limit(&self, row: &mut RawRow) {
        let mut bytes = bytes(row);
        if bytes <= self.max_bytes {
            return;
        }
        let size = |row: &RawRow, index: usize| {
            row.values.get(index).and_then(Option::as_ref).map_or(0, String::len)
        };
        let mut largest: Vec<usize> =
            (0..row.values.len()).filter(|index| !self.key.contains(index)).collect();
        largest.sort_by_key(|&index| std::cmp::Reverse(size(row, index)));
        for index in largest {
            let freed = size(row, index);
            if bytes <= self.max_bytes || freed <= LEFT_OUT.len() {
                break;
            }
            row.values[index] = Some(LEFT_OUT.to_owned());
            bytes -= freed;
        }
    }
}

/// Bytes of the values, those that were left out not counted.
fn bytes(row: &RawRow) -> usize {
    row.values.iter().flatten().filter(|value| !is_left_out(value)).map(String::len).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::facts::{Column, ColumnKind};

    fn columns(width: usize, max_bytes: usize) -> Columns {
        let column = |index: usize| Column { name: format!("c{index}"), kind: ColumnKind::Text };
        Columns { list: (0..width).map(column).collect(), key: vec![0], max_bytes }
    }

    fn row(sizes: &[usize]) -> RawRow {
        RawRow { values: sizes.iter().map(|&size| Some("x".repeat(size))).collect() }
    }

    #[test]
    fn the_largest_values_go_until_the_rest_fits_p13() {
        let check = |sizes: &[usize], left_out: &[usize]| {
            let mut row = row(sizes);
            columns(sizes.len(), 100).limit(&mut row);
            let gone: Vec<usize> = (0..sizes.len())
                .filter(|&index| row.values[index].as_deref().is_some_and(is_left_out))
                .collect();
            assert_eq!(gone, left_out, "{sizes:?}");
            assert_eq!(row.is_oversized(), !left_out.is_empty());
        };
        check(&[10, 40, 50], &[]);
        check(&[10, 40, 51], &[2]);
        check(&[10, 90, 95, 20], &[1, 2]);
        check(&[10, 60, 60, 20], &[1]);
        // The key says which row it is.
        check(&[200, 60, 2], &[1]);
    }

    proptest! {
        /// A part of the row that arrives by itself, and the rest later.
        #[test]
        fn parts_of_a_row_lose_what_the_whole_loses(
            sizes in prop::collection::vec(0usize..90, 2..8),
            later in prop::collection::vec(any::<bool>(), 8),
        ) {
            let columns = columns(sizes.len(), 100);
            let mut whole = row(&sizes);
            columns.limit(&mut whole);
            let mut parts = row(&sizes);
            for (index, value) in parts.values.iter_mut().enumerate() {
                if later[index] {
                    *value = None;
                }
            }
            columns.limit(&mut parts);
            for (index, value) in row(&sizes).values.into_iter().enumerate() {
                if later[index] {
                    parts.values[index] = value;
                }
            }
            columns.limit(&mut parts);
            prop_assert_eq!(&parts, &whole);
            columns.limit(&mut whole);
            prop_assert_eq!(parts, whole);
        }
    }
}
