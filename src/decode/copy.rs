//! Rows in the text format of COPY.
//!
//! The text format is used because it shows each value by its type's output function, as the
//! replication stream does; a cast to text is not the same (`true` for `t`, `char(n)` without its
//! blanks), and both roads must give one text for one value (P3). Format:
//! <https://www.postgresql.org/docs/current/sql-copy.html>, "Text Format".

use super::{DecodeError, value_text};
use crate::facts::RawRow;

/// Collects the rows of one COPY from pieces of any size.
#[derive(Debug)]
pub struct CopyDecoder {
    width: usize,
    /// The start of a row whose end has not come.
    pending: Vec<u8>,
}

impl CopyDecoder {
    /// `width`: how many columns are copied, at least 1.
    #[must_use]
    pub fn new(width: usize) -> Self {
        Self { width, pending: Vec::new() }
    }

    /// Takes the next piece and appends the rows that it completes.
    ///
    /// # Errors
    ///
    /// A row that has not the expected number of columns.
    pub fn push(&mut self, piece: &[u8], rows: &mut Vec<RawRow>) -> Result<(), DecodeError> {
        let mut rest = piece;
        // A line break within a value is escaped, so each one ends a row.
        while let Some(end) = rest.iter().position(|&b| b == b'\n') {
            let line = &rest[..end];
            rest = &rest[end + 1..];
            if self.pending.is_empty() {
                rows.push(row(line, self.width)?);
            } else {
                self.pending.extend_from_slice(line);
                rows.push(row(&self.pending, self.width)?);
                self.pending.clear();
            }
        }
        self.pending.extend_from_slice(rest);
        Ok(())
    }

    /// Checks that the last row was complete.
    ///
    /// # Errors
    ///
    /// The data ended within a row.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.pending.is_empty() { Ok(()) } else { Err(DecodeError::malformed("a cut-off row")) }
    }
}

fn row(line: &[u8], width: usize) -> Result<RawRow, DecodeError> {
    let values: Vec<_> = line.split(|&b| b == b'\t').map(value).collect();
    if values.len() == width {
        Ok(RawRow { values })
    } else {
        Err(DecodeError::malformed("a copied row"))
    }
}

fn value(field: &[u8]) -> Option<String> {
    if field == br"\N" {
        return None;
    }
    if !field.contains(&b'\\') {
        return Some(value_text(field));
    }
    let mut plain = Vec::with_capacity(field.len());
    let mut bytes = field.iter();
    while let Some(&byte) = bytes.next() {
        plain.push(if byte == b'\\' {
            bytes.next().copied().map_or(byte, unescaped)
        } else {
            byte
        });
    }
    Some(value_text(&plain))
}

/// The character that a backslash and this one stand for; COPY TO writes no octal or hex ones.
fn unescaped(byte: u8) -> u8 {
    match byte {
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        other => other,
    }
}
