//! One `pgoutput` message of protocol version 1.
//!
//! Format: <https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html>.

use bytes::Bytes;
use jiff::Timestamp;

use super::DecodeError;
use super::cursor::Cursor;
use crate::lsn::Lsn;

/// Microseconds from the Unix epoch to 2000-01-01, where PostgreSQL counts from.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

/// A logical replication message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A transaction starts. Whole transactions come one after the other, in commit order.
    Begin {
        /// The low 32 bits of its transaction id.
        xid: u32,
        /// Where its commit record starts.
        final_lsn: Lsn,
        /// When it committed, by the source's clock.
        commit_time: Timestamp,
    },
    /// The transaction is complete.
    Commit {
        /// Where its commit record starts.
        commit_lsn: Lsn,
        /// Where its commit record ends: the position to confirm.
        end_lsn: Lsn,
        /// When it committed, by the source's clock.
        commit_time: Timestamp,
    },
    /// The transaction came from another server by replication.
    Origin,
    /// Describes a relation before its first change, and again after its definition changed.
    Relation(Relation),
    /// Names a type that is not built in.
    Type,
    /// A row was inserted.
    Insert {
        /// The relation's object id.
        relation: u32,
        /// The row.
        new: Tuple,
    },
    /// A row was updated.
    Update {
        /// The relation's object id.
        relation: u32,
        /// The row before; absent where its replica identity did not change.
        old: Option<OldTuple>,
        /// The row after.
        new: Tuple,
    },
    /// A row was deleted.
    Delete {
        /// The relation's object id.
        relation: u32,
        /// What is known of the row.
        old: OldTuple,
    },
    /// Relations were emptied.
    Truncate {
        /// Their object ids.
        relations: Vec<u32>,
    },
    /// An application wrote a message into the log (`pg_logical_emit_message`).
    Logical,
}

/// What a change says of the row before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OldTuple {
    /// The columns of the replica identity; the others are NULL.
    Key(Tuple),
    /// All columns (`REPLICA IDENTITY FULL`).
    Full(Tuple),
}

/// The values of a row in the order of its relation's columns.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tuple(pub Vec<Value>);

/// One value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// NULL.
    Null,
    /// A large value that is stored out of line (TOAST) and did not change, so it was not sent.
    Unchanged,
    /// As the type's output function writes it, in the database's or the client's encoding.
    Text(Bytes),
}

/// A relation's definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// Its object id: what changes refer to.
    pub oid: u32,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Its columns that are published, in table order.
    pub columns: Vec<RelationColumn>,
}

/// A column in a relation's definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationColumn {
    /// Its name.
    pub name: String,
    /// Whether it belongs to the replica identity; with `REPLICA IDENTITY FULL` every column does.
    pub identity: bool,
}

/// Reads one message.
///
/// # Errors
///
/// [`DecodeError::Malformed`] for bytes that are no message, [`DecodeError::Unsupported`] for a message
/// of a later protocol version (streamed or two-phase transactions) or a binary value: neither is
/// asked for.
pub fn message(bytes: &Bytes) -> Result<Message, DecodeError> {
    let mut cursor = Cursor::new(bytes.clone(), "a replication message");
    let kind = cursor.u8()?;
    let rest = bytes.slice(1..);
    match kind {
        b'B' => begin(Cursor::new(rest, "a Begin message")),
        b'C' => commit(Cursor::new(rest, "a Commit message")),
        b'O' => Ok(Message::Origin),
        b'R' => relation(Cursor::new(rest, "a Relation message")),
        b'Y' => Ok(Message::Type),
        b'I' => insert(Cursor::new(rest, "an Insert message")),
        b'U' => update(Cursor::new(rest, "an Update message")),
        b'D' => delete(Cursor::new(rest, "a Delete message")),
        b'T' => truncate(Cursor::new(rest, "a Truncate message")),
        b'M' => Ok(Message::Logical),
        other => Err(unsupported(other)),
    }
}

impl Message {
    /// The time of a Begin or Commit from microseconds since 2000-01-01 UTC; one that no calendar
    /// has is an error.
    pub(crate) fn commit_time(micros: i64) -> Result<Timestamp, DecodeError> {
        micros
            .checked_add(POSTGRES_EPOCH_MICROS)
            .and_then(|micros| Timestamp::from_microsecond(micros).ok())
            .ok_or(DecodeError::malformed("a commit time"))
    }
}

fn unsupported(kind: u8) -> DecodeError {
    let kind =
        if kind.is_ascii_graphic() { char::from(kind).into() } else { format!("{kind:#04x}") };
    DecodeError::Unsupported { kind }
}

fn begin(mut cursor: Cursor) -> Result<Message, DecodeError> {
    let final_lsn = Lsn(cursor.u64()?);
    let commit_time = Message::commit_time(cursor.i64()?)?;
    let xid = cursor.u32()?;
    cursor.end()?;
    Ok(Message::Begin { final_lsn, xid, commit_time })
}

fn commit(mut cursor: Cursor) -> Result<Message, DecodeError> {
    let _flags = cursor.u8()?;
    let commit_lsn = Lsn(cursor.u64()?);
    let end_lsn = Lsn(cursor.u64()?);
    let commit_time = Message::commit_time(cursor.i64()?)?;
    cursor.end()?;
    Ok(Message::Commit { commit_lsn, end_lsn, commit_time })
}

fn relation(mut cursor: Cursor) -> Result<Message, DecodeError> {
    let oid = cursor.u32()?;
    let schema = match cursor.string()? {
        // The protocol writes pg_catalog as the empty name.
        empty if empty.is_empty() => "pg_catalog".to_owned(),
        schema => schema,
    };
    let name = cursor.string()?;
    let _replica_identity = cursor.u8()?;
    let columns = (0..cursor.count()?)
        .map(|_| {
            let identity = cursor.u8()? & 1 == 1;
            let name = cursor.string()?;
            let (_type_oid, _type_modifier) = (cursor.u32()?, cursor.i32()?);
            Ok(RelationColumn { name, identity })
        })
        .collect::<Result<_, DecodeError>>()?;
    cursor.end()?;
    Ok(Message::Relation(Relation { oid, schema, name, columns }))
}

fn insert(mut cursor: Cursor) -> Result<Message, DecodeError> {
    let relation = cursor.u32()?;
    let new = new_tuple(&mut cursor)?;
    cursor.end()?;
    Ok(Message::Insert { relation, new })
}

fn update(mut cursor: Cursor) -> Result<Message, DecodeError> {
    let relation = cursor.u32()?;
    let (old, new) = match cursor.u8()? {
        b'N' => (None, tuple(&mut cursor)?),
        kind => (Some(old_tuple(kind, &mut cursor)?), new_tuple(&mut cursor)?),
    };
    cursor.end()?;
    Ok(Message::Update { relation, old, new })
}

fn delete(mut cursor: Cursor) -> Result<Message, DecodeError> {
    let relation = cursor.u32()?;
    let kind = cursor.u8()?;
    let old = old_tuple(kind, &mut cursor)?;
    cursor.end()?;
    Ok(Message::Delete { relation, old })
}

fn truncate(mut cursor: Cursor) -> Result<Message, DecodeError> {
    let count = cursor.length()?;
    let _options = cursor.u8()?;
    if cursor.left() != count.saturating_mul(4) {
        return Err(cursor.malformed());
    }
    let relations = (0..count).map(|_| cursor.u32()).collect::<Result<_, _>>()?;
    Ok(Message::Truncate { relations })
}

fn old_tuple(kind: u8, cursor: &mut Cursor) -> Result<OldTuple, DecodeError> {
    match kind {
        b'K' => Ok(OldTuple::Key(tuple(cursor)?)),
        b'O' => Ok(OldTuple::Full(tuple(cursor)?)),
        _ => Err(cursor.malformed()),
    }
}

fn new_tuple(cursor: &mut Cursor) -> Result<Tuple, DecodeError> {
    if cursor.u8()? == b'N' { tuple(cursor) } else { Err(cursor.malformed()) }
}

fn tuple(cursor: &mut Cursor) -> Result<Tuple, DecodeError> {
    let count = cursor.count()?;
    let value = |_| match cursor.u8()? {
        b'n' => Ok(Value::Null),
        b'u' => Ok(Value::Unchanged),
        b't' => {
            let len = cursor.length()?;
            Ok(Value::Text(cursor.bytes(len)?))
        }
        other => Err(unsupported(other)),
    };
    (0..count).map(value).collect::<Result<_, _>>().map(Tuple)
}
