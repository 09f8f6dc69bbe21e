//! Rows that are known to be new, by COPY: the fastest way in, and with the input functions of the columns' own types.

use std::pin::pin;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::SinkExt as _;

use super::tx::Tx;
use crate::error::{Context as _, Error, Result};

/// From this many rows on COPY pays for its two round trips.
pub const COPY_FROM: usize = 200;

/// Bytes sent at once.
const PIECE: usize = 64 << 10;

/// Copies rows of text into a table. `columns` are its quoted names; `constants` are the values of the last of them, the
/// same in each row.
///
/// # Errors
/// The driver's, classified; [`Error::Data`] where fewer rows arrive than were sent.
pub async fn copy_text<'a, I>(
    tx: &Tx,
    what: &'static str,
    table: &str,
    columns: &str,
    rows: I,
    constants: &[&str],
) -> Result<u64>
where
    I: IntoIterator<Item = &'a [Option<String>]>,
{
    let sql = format!("copy {table} ({columns}) from stdin");
    let end: String = constants.iter().map(|constant| format!("\t{constant}")).collect();
    let push = |piece: &mut BytesMut, row: &[Option<String>]| {
        push_row(piece, row.iter().map(Option::as_deref), &end);
    };
    copy(tx, what, &sql, rows, BytesMut::with_capacity(PIECE), push, &[]).await
}

/// As [`copy_text`], of rows that are put together from borrowed values.
///
/// # Errors
/// As [`copy_text`].
pub async fn copy_values<'a, R>(
    tx: &Tx,
    what: &'static str,
    table: &str,
    columns: &str,
    rows: impl IntoIterator<Item = R>,
) -> Result<u64>
where
    R: IntoIterator<Item = Option<&'a str>>,
{
    let sql = format!("copy {table} ({columns}) from stdin");
    let push = |piece: &mut BytesMut, row: R| push_row(piece, row, "");
    copy(tx, what, &sql, rows, BytesMut::with_capacity(PIECE), push, &[]).await
}

/// Copies rows of binary values. `push` writes the values of one row, as many as there are `columns`.
///
/// # Errors
/// As [`copy_text`].
pub async fn copy_binary<T>(
    tx: &Tx,
    what: &'static str,
    sql: &str,
    columns: i16,
    rows: impl IntoIterator<Item = T>,
    push: impl Fn(&mut BinaryRow<'_>, T),
) -> Result<u64> {
    let mut header = BytesMut::with_capacity(PIECE);
    header.put_slice(b"PGCOPY\n\xff\r\n\0");
    // No flags, no extension.
    header.put_u64(0);
    let push_row = |piece: &mut BytesMut, row| {
        piece.put_i16(columns);
        push(&mut BinaryRow { bytes: piece }, row);
    };
    copy(tx, what, sql, rows, header, push_row, &(-1_i16).to_be_bytes()).await
}

/// A row in COPY's binary format.
pub struct BinaryRow<'a> {
    bytes: &'a mut BytesMut,
}

impl BinaryRow<'_> {
    /// The next value.
    pub fn push(&mut self, value: &[u8]) {
        self.bytes.put_i32(i32::try_from(value.len()).unwrap_or(i32::MAX));
        self.bytes.put_slice(value);
    }

    /// The next value, which may be NULL.
    pub fn push_option(&mut self, value: Option<&[u8]>) {
        match value {
            Some(value) => self.push(value),
            None => self.bytes.put_i32(-1),
        }
    }
}

/// Sends `first`, the rows and `last` in pieces.
async fn copy<T>(
    tx: &Tx,
    what: &'static str,
    sql: &str,
    rows: impl IntoIterator<Item = T>,
    first: BytesMut,
    push: impl Fn(&mut BytesMut, T),
    last: &[u8],
) -> Result<u64> {
    let mut sink = pin!(tx.db().client().copy_in::<Bytes>(sql).await.context(what)?);
    let (mut sent, mut piece) = (0_u64, first);
    for row in rows {
        push(&mut piece, row);
        sent += 1;
        if piece.len() >= PIECE {
            sink.send(piece.split().freeze()).await.context(what)?;
        }
    }
    piece.put_slice(last);
    if !piece.is_empty() {
        sink.send(piece.freeze()).await.context(what)?;
    }
    let arrived = sink.finish().await.context(what)?;
    tx.db().wrote(arrived);
    complete(what, arrived, sent)
}

fn complete(what: &'static str, arrived: u64, sent: u64) -> Result<u64> {
    if arrived == sent {
        return Ok(arrived);
    }
    let cause =
        format!("{arrived} of {sent} rows arrived: a trigger or rule of the table drops rows");
    Err(Error::data(what, cause))
}

/// One line of COPY's text format, `end` being its last values.
fn push_row<'a>(line: &mut BytesMut, row: impl IntoIterator<Item = Option<&'a str>>, end: &str) {
    for (at, value) in row.into_iter().enumerate() {
        if at > 0 {
            line.put_u8(b'\t');
        }
        let Some(value) = value else {
            line.put_slice(b"\\N");
            continue;
        };
        let bytes = value.as_bytes();
        let mut from = 0;
        for (at, byte) in bytes.iter().enumerate() {
            let escape = match byte {
                b'\\' => b'\\',
                b'\t' => b't',
                b'\n' => b'n',
                b'\r' => b'r',
                _ => continue,
            };
            line.put_slice(&bytes[from..at]);
            line.put_slice(&[b'\\', escape]);
            from = at + 1;
        }
        line.put_slice(&bytes[from..]);
    }
    line.put_slice(end.as_bytes());
    line.put_u8(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_row_is_a_length_before_each_value() {
        let mut bytes = BytesMut::new();
        let mut row = BinaryRow { bytes: &mut bytes };
        row.push(b"ab");
        row.push_option(None);
        row.push_option(Some(b""));
        assert_eq!(&bytes[..], b"\0\0\0\x02ab\xff\xff\xff\xff\0\0\0\0");
    }

    #[test]
    fn values_are_escaped_as_copy_reads_them() {
        let mut line = BytesMut::new();
        let row = [Some("a\\N\tb\r\n"), None, Some(""), Some("ñ")];
        push_row(&mut line, row, "\tnow\t1");
        assert_eq!(&line[..], "a\\\\N\\tb\\r\\n\t\\N\t\tñ\tnow\t1\n".as_bytes());
    }
}
