//! Changes of source rows as they come in, and rows as they are stored.

use uuid::Uuid;

use crate::facts::{EmailKey, Feed, RawRow, SourceKey};

/// Identity of a source row.
pub type RowId = (Feed, SourceKey);

/// One change of one source row, from the stream or a backfill chunk.
#[derive(Debug, Clone)]
pub struct RowChange {
    /// Number of the source transaction within the batch, ascending.
    pub tx: u32,
    /// Its transaction id, to decide whether a backfill chunk already contained it.
    pub xid: Option<u32>,
    /// The feed.
    pub table: Feed,
    /// The key of the row now, or of the row that was deleted.
    pub key: SourceKey,
    /// The key before, when an update changed it.
    pub previous: Option<SourceKey>,
    /// The row now; `None`: deleted.
    pub row: Option<RawRow>,
    /// Columns of `row` that the stream left out because they did not change (TOAST).
    pub unchanged: Vec<usize>,
}

impl RowChange {
    /// The state of a row as it was read, outside of any source transaction.
    #[must_use]
    pub fn read(table: Feed, key: SourceKey, row: Option<RawRow>) -> Self {
        Self { tx: 0, xid: None, table, key, previous: None, row, unchanged: Vec::new() }
    }

    /// The row that it changes.
    #[must_use]
    pub fn id(&self) -> RowId {
        (self.table, self.key.clone())
    }

    /// The row before it, under the key that it had.
    #[must_use]
    pub fn before(&self) -> RowId {
        (self.table, self.previous.as_ref().unwrap_or(&self.key).clone())
    }
}

/// Where changes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// Whole source transactions.
    Stream,
    /// The same, while a reconcile still reads: a stored row that they change may lack what the reconcile is to find.
    BesideReading,
    /// Rows read by the backfill in this chunk.
    Chunk(i64),
    /// Rows read again from the source by key.
    Reread,
}

/// A stored source row without its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRow {
    /// The person after aliases, or a text with a space.
    pub owner: String,
    /// The e-mail key before aliases and after decisions.
    pub email: Option<EmailKey>,
    /// contact_id of a contact, external_id of a payment.
    pub shared_id: Option<String>,
    /// Set where other rows carry the shared id too.
    pub member: Option<Vec<u8>>,
    /// Of the raw values.
    pub digest: Uuid,
    /// Of the transaction last written.
    pub outcome: Option<Uuid>,
    /// The backfill chunk that read it.
    pub chunk: Option<i64>,
    /// The backfill that last saw it.
    pub generation: i64,
    /// Whether all of its values are known (P6).
    pub complete: bool,
}

/// There is no transaction of a payment.
pub const NO_TRANSACTION: Uuid = Uuid::nil();
