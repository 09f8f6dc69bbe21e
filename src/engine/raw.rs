//! The raw mapped values of a source row in one compact binary column.
//!
//! Format 1: the version byte, then for each column of the layout a length and the text. The length is a LEB128
//! number: 0 is NULL, 1 is *unknown* (P6), n + 2 is a text of n bytes.

use crate::facts::RawRow;

/// The version byte.
const FORMAT: u8 = 1;

/// A row as it is stored: values, and which of them are unknown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoredValues {
    /// One value a column; NULL where it is unknown.
    pub row: RawRow,
    /// Columns that the stream left out and that could be had nowhere (P6).
    pub unknown: Vec<usize>,
}

/// The bytes of a row.
#[must_use]
pub fn encode(row: &RawRow, unknown: &[usize]) -> Vec<u8> {
    encode_without(row, unknown, |_| false)
}

/// As [`encode`], with NULL in the columns that are left out.
#[must_use]
pub fn encode_without(
    row: &RawRow,
    unknown: &[usize],
    is_left_out: impl Fn(usize) -> bool,
) -> Vec<u8> {
    let size: usize =
        row.values.iter().map(|value| 2 + value.as_ref().map_or(0, String::len)).sum();
    let mut bytes = Vec::with_capacity(size + 1);
    bytes.push(FORMAT);
    for (column, value) in row.values.iter().enumerate() {
        match value {
            _ if unknown.contains(&column) => bytes.push(1),
            None => bytes.push(0),
            Some(_) if is_left_out(column) => bytes.push(0),
            Some(text) => {
                push_length(&mut bytes, text.len() as u64 + 2);
                bytes.extend_from_slice(text.as_bytes());
            }
        }
    }
    bytes
}

/// The row of these bytes, with `width` columns; `None` where they are not of this format.
#[must_use]
pub fn decode(bytes: &[u8], width: usize) -> Option<StoredValues> {
    let (&format, mut rest) = bytes.split_first()?;
    if format != FORMAT {
        return None;
    }
    let mut stored = StoredValues::default();
    stored.row.values.reserve(width);
    while !rest.is_empty() {
        let (length, tail) = take_length(rest)?;
        rest = tail;
        match length {
            0 => stored.row.values.push(None),
            1 => {
                stored.unknown.push(stored.row.values.len());
                stored.row.values.push(None);
            }
            length => {
                let (text, tail) = rest.split_at_checked(usize::try_from(length - 2).ok()?)?;
                stored.row.values.push(Some(std::str::from_utf8(text).ok()?.to_owned()));
                rest = tail;
            }
        }
    }
    (stored.row.values.len() == width).then_some(stored)
}

fn push_length(bytes: &mut Vec<u8>, mut length: u64) {
    while length >= 0x80 {
        bytes.push((length as u8) | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
}

fn take_length(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut length = 0_u64;
    for (at, &byte) in bytes.iter().enumerate().take(9) {
        length |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((length, &bytes[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_row_is_read_back_as_it_was(
            values in prop::collection::vec(prop::option::of(".{0,300}"), 0..40),
            unknown in prop::collection::vec(0usize..40, 0..3),
        ) {
            let unknown: Vec<usize> = (0..values.len()).filter(|i| unknown.contains(i)).collect();
            let mut row = RawRow { values };
            for &column in &unknown {
                row.values[column] = None;
            }
            let stored = decode(&encode(&row, &unknown), row.values.len()).unwrap();
            prop_assert_eq!(stored, StoredValues { row, unknown });
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode(&bytes, 3);
        }
    }

    #[test]
    fn another_width_or_format_is_refused() {
        let row = RawRow { values: vec![Some("a".into()), None] };
        let bytes = encode(&row, &[]);
        assert_eq!(bytes, [1, 3, b'a', 0]);
        assert!(decode(&bytes, 3).is_none());
        assert!(decode(&[], 0).is_none());
        assert!(decode(&[9, 0], 1).is_none());
    }
}
