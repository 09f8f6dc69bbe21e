//! The raw mapped values of a source row in one compact binary column.
//!
//! Format 2: the version byte, four bytes that name the columns, then for each column of the layout a length and the
//! text. The length is a LEB128 number: 0 is NULL, 1 is *unknown* (P6), n + 2 is a text of n bytes. Values that were
//! stored with other columns are refused rather than misread; the row must be read from the source again.

use crate::facts::RawRow;

/// The version byte.
const FORMAT: u8 = 2;

/// Of which columns the values of a row are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// How many.
    pub width: usize,
    /// Names them, see [`Layout::digest`](crate::facts::Layout::digest).
    pub digest: u32,
}

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
pub fn encode(row: &RawRow, unknown: &[usize], shape: Shape) -> Vec<u8> {
    encode_without(row, unknown, shape, |_| false)
}

/// As [`encode`], with NULL in the columns that are left out.
#[must_use]
pub fn encode_without(
    row: &RawRow,
    unknown: &[usize],
    shape: Shape,
    is_left_out: impl Fn(usize) -> bool,
) -> Vec<u8> {
    let size: usize =
        row.values.iter().map(|value| 2 + value.as_ref().map_or(0, String::len)).sum();
    let mut bytes = Vec::with_capacity(size + 5);
    bytes.push(FORMAT);
    bytes.extend_from_slice(&shape.digest.to_be_bytes());
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

/// The row of these bytes; `None` where they are not of this format or of other columns.
#[must_use]
pub fn decode(bytes: &[u8], shape: Shape) -> Option<StoredValues> {
    let (&format, rest) = bytes.split_first()?;
    let (digest, mut rest) = rest.split_at_checked(4)?;
    if format != FORMAT || digest != shape.digest.to_be_bytes() {
        return None;
    }
    let mut stored = StoredValues::default();
    stored.row.values.reserve(shape.width);
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
    (stored.row.values.len() == shape.width).then_some(stored)
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

    fn shape(width: usize) -> Shape {
        Shape { width, digest: 0x0102_0304 }
    }

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
            let shape = shape(row.values.len());
            let stored = decode(&encode(&row, &unknown, shape), shape).unwrap();
            prop_assert_eq!(stored, StoredValues { row, unknown });
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode(&bytes, shape(3));
            let _ = decode(&[&[FORMAT, 1, 2, 3, 4], bytes.as_slice()].concat(), shape(3));
        }
    }

    #[test]
    fn another_width_format_or_layout_is_refused() {
        let row = RawRow { values: vec![Some("a".into()), None] };
        let bytes = encode(&row, &[], shape(2));
        assert_eq!(bytes, [2, 1, 2, 3, 4, 3, b'a', 0]);
        assert!(decode(&bytes, shape(2)).is_some());
        assert!(decode(&bytes, shape(3)).is_none());
        assert!(decode(&bytes, Shape { width: 2, digest: 5 }).is_none());
        assert!(decode(&[], shape(0)).is_none());
        assert!(decode(&[2, 1, 2], shape(0)).is_none());
        assert!(decode(&[1, 0], shape(1)).is_none());
    }
}
