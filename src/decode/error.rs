//! Why a stream cannot be decoded, by what happens next.

/// A stream that cannot be followed. No message quotes a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not what the protocol says: a bug, or a server of an unknown kind.
    #[error("the source sent {what} that cannot be read")]
    Malformed {
        /// The message or part.
        what: &'static str,
    },
    /// A message of a protocol version or option that was not asked for.
    #[error("the source sent a message of type {kind}, which protocol version 1 does not have")]
    Unsupported {
        /// The type byte, printable, or its number.
        kind: String,
    },
    /// A change came outside of a transaction, or a transaction within another.
    #[error("the source sent {what} out of order")]
    OutOfOrder {
        /// The message.
        what: &'static str,
    },
    /// A change of a relation that was never described.
    #[error("the source sent a change of relation {oid} without describing it first")]
    UnknownRelation {
        /// Its object id in the source.
        oid: u32,
    },
}

impl DecodeError {
    pub(super) fn malformed(what: &'static str) -> Self {
        Self::Malformed { what }
    }
}
