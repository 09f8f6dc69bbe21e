//! Rows that are known to be new, by COPY: the fastest way in, and with the input functions of the columns' own types.

use std::pin::pin;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::SinkExt as _;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};

use super::tx::Tx;
use crate::error::{Context as _, Error, Result};

/// From this many rows on COPY pays for its two round trips.
pub const COPY_FROM: usize = 200;

/// Bytes sent at once.
const PIECE: usize = 64 << 10;

/// Copies rows of text into a table. `columns` are its quoted names.
///
/// # Errors
/// The driver's, classified; [`Error::Data`] where fewer rows arrive than were sent.
pub async fn copy_text<'a, I>(
    tx: &Tx,
    what: &'static str,
    table: &str,
    columns: &str,
    rows: I,
) -> Result<u64>
where
    I: IntoIterator<Item = &'a [Option<String>]>,
{
    let sql = format!("copy {table} ({columns}) from stdin");
    let mut sink = pin!(tx.db().client().copy_in::<Bytes>(&sql).await.context(what)?);
    let mut sent = 0_u64;
    let mut piece = BytesMut::with_capacity(PIECE);
    for row in rows {
        push_row(&mut piece, row);
        sent += 1;
        if piece.len() >= PIECE {
            sink.send(piece.split().freeze()).await.context(what)?;
        }
    }
    if !piece.is_empty() {
        sink.send(piece.freeze()).await.context(what)?;
    }
    let arrived = sink.finish().await.context(what)?;
    tx.db().wrote(arrived);
    complete(what, arrived, sent)
}

/// Copies rows of binary values.
///
/// # Errors
/// As [`copy_text`].
pub async fn copy_binary(
    tx: &Tx,
    what: &'static str,
    sql: &str,
    types: &[Type],
    rows: &[Vec<Box<dyn ToSql + Sync + Send>>],
) -> Result<u64> {
    let sink = tx.db().client().copy_in(sql).await.context(what)?;
    let mut writer = pin!(BinaryCopyInWriter::new(sink, types));
    for row in rows {
        let values = row.iter().map(|value| value.as_ref() as &(dyn ToSql + Sync));
        writer.as_mut().write_raw(values).await.context(what)?;
    }
    let arrived = writer.finish().await.context(what)?;
    tx.db().wrote(arrived);
    complete(what, arrived, rows.len() as u64)
}

fn complete(what: &'static str, arrived: u64, sent: u64) -> Result<u64> {
    if arrived == sent {
        return Ok(arrived);
    }
    let cause =
        format!("{arrived} of {sent} rows arrived: a trigger or rule of the table drops rows");
    Err(Error::data(what, cause))
}

/// One line of COPY's text format.
fn push_row(line: &mut BytesMut, row: &[Option<String>]) {
    for (at, value) in row.iter().enumerate() {
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
    line.put_u8(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped_as_copy_reads_them() {
        let mut line = BytesMut::new();
        push_row(
            &mut line,
            &[Some("a\\N\tb\r\n".into()), None, Some(String::new()), Some("ñ".into())],
        );
        assert_eq!(&line[..], "a\\\\N\\tb\\r\\n\t\\N\t\tñ\n".as_bytes());
    }
}
