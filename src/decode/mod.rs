//! What the source server sends, as text and as source transactions.
//!
//! Two formats come in: the logical replication messages of `pgoutput` ([`message`]), which an
//! [`Assembler`] turns into the changes of the two configured tables, and the text of COPY
//! ([`CopyDecoder`]), in which the backfill reads them.
//!
//! Pure: no I/O, no clock, no driver; no input, however broken, panics or allocates more than a
//! small multiple of its own size. An error never quotes a value (P14).
//!
//! Bytes that are not UTF-8 are kept with U+FFFD in their place: the server sends UTF-8, as the
//! connections ask for it, except from a database whose encoding is SQL_ASCII, which it cannot convert. A value of which
//! that was done ends in [`UNCONVERTED`], so that its row becomes a conflict (P10).

use crate::facts::UNCONVERTED;

mod assemble;
mod copy;
mod cursor;
mod error;
mod message;
mod relation;
#[cfg(test)]
mod tests;

pub use assemble::{Assembler, Change, ChangedRow, Event, Watched};
pub use copy::CopyDecoder;
pub use error::DecodeError;
pub use message::{Message, OldTuple, Relation, RelationColumn, Tuple, Value, message};

/// The bytes of a value as text; what is not UTF-8 is U+FFFD, and marked.
fn value_text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => text(bytes) + UNCONVERTED.encode_utf8(&mut [0; 4]),
    }
}

/// Bytes as text, with U+FFFD for what is not UTF-8.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
