//! What deciding needs beside the rows themselves: rules, layouts, decisions, the date.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::civil;
use uuid::Uuid;

use super::chunks::ChunkSnapshots;
use super::raw::Shape;
use crate::facts::{
    ContactField, EmailKey, Feed, FeedKind, Layout, LogicalField, PaymentField, RawRow, SourceKey,
};
use crate::rules::Rules;

/// The layouts of the feeds.
#[derive(Debug, Clone)]
pub struct Layouts {
    /// Payments.
    pub xendit: Layout<PaymentField>,
    /// Contacts.
    pub systemeio: Layout<ContactField>,
}

impl Layouts {
    /// Which columns of a feed are stored.
    #[must_use]
    pub fn shape(&self, feed: Feed) -> Shape {
        fn of<F>(layout: &Layout<F>) -> Shape {
            Shape { width: layout.columns.len(), digest: layout.digest }
        }
        match feed.kind() {
            FeedKind::Contact => of(&self.systemeio),
            FeedKind::Payment => of(&self.xendit),
        }
    }

    /// A row with nothing but its key, to ask the source for it. `None`: the key does not tell.
    #[must_use]
    pub fn row_of_key(&self, feed: Feed, key: &SourceKey) -> Option<RawRow> {
        match feed.kind() {
            FeedKind::Contact => crate::facts::row_of_key(key, &self.systemeio),
            FeedKind::Payment => crate::facts::row_of_key(key, &self.xendit),
        }
    }

    /// The source key of a row.
    #[must_use]
    pub fn source_key(&self, feed: Feed, row: &RawRow) -> SourceKey {
        match feed.kind() {
            FeedKind::Contact => crate::facts::source_key(row, &self.systemeio),
            FeedKind::Payment => crate::facts::source_key(row, &self.xendit),
        }
    }

    /// Whether a column holds nothing but the time of the last synchronisation, which is not stored: a change of it
    /// changes nothing (P4).
    #[must_use]
    pub fn is_sync_timestamp(&self, feed: Feed, column: usize) -> bool {
        match feed.kind() {
            FeedKind::Contact => is_only(&self.systemeio, ContactField::SyncTimestamp, column),
            FeedKind::Payment => is_only(&self.xendit, PaymentField::SyncTimestamp, column),
        }
    }
}

/// Whether a column is mapped to this field, to no other, and is no key.
fn is_only<F: LogicalField>(layout: &Layout<F>, field: F, column: usize) -> bool {
    layout.of(field).contains(&column)
        && !layout.key.contains(&column)
        && !layout
            .fields
            .iter()
            .any(|(other, columns)| *other != field && columns.contains(&column))
}

/// Active decisions about single rows. People make them one by one, so they fit in memory.
#[derive(Debug, Clone, Default)]
pub struct RowDecisions {
    /// The address to use for a source row.
    pub emails: HashMap<String, EmailKey>,
    /// The product of a source row.
    pub products: HashMap<String, String>,
}

/// Everything that a decision depends on beside the rows.
#[derive(Debug, Clone)]
pub struct Env {
    /// The rules of the data.
    pub rules: Arc<Rules>,
    /// How source rows are read.
    pub layouts: Arc<Layouts>,
    /// Active decisions about rows.
    pub decisions: RowDecisions,
    /// The evidence that was dismissed, by fingerprint of the conflict.
    pub dismissals: HashMap<Uuid, Uuid>,
    /// Snapshots of the last backfill while the stream may still repeat what they contained.
    pub chunks: ChunkSnapshots,
    /// The backfill that new rows belong to.
    pub generation: i64,
    /// Today in the configured zone, the same for a whole batch (SPEC §5.4).
    pub today: civil::Date,
}
