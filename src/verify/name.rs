//! How a source row is named where no customer value may be (P14).

use uuid::Uuid;

use crate::engine::{FeedEntry, FeedLayout, Feeds, RowId};
use crate::facts::{Layout, LogicalField};
use crate::rules::NAMESPACE;

/// Fields that are ids of the provider, not of a customer.
const IDS: [&str; 4] = ["external_id", "payment_id", "business_id", "contact_id"];
/// Hex digits that are shown of a digest.
const DIGITS: usize = 12;

/// `<feed>:<key>`, or `<feed>:#<digits of its digest>` where the key holds a value of a customer.
pub(super) fn shown(feeds: &Feeds, id: &RowId) -> String {
    let entry = feeds.get(id.0);
    if !holds_values(entry) {
        return feeds.source_row(id);
    }
    let digest = Uuid::new_v5(&NAMESPACE, id.1.as_str().as_bytes()).simple().to_string();
    format!("{}:#{}", entry.info.name, digest.get(..DIGITS).unwrap_or_default())
}

/// As [`shown`], of a name as conflicts write it.
pub(super) fn shown_name(feeds: &Feeds, name: &str) -> String {
    feeds.row_id(name).map_or_else(|| "?".to_owned(), |id| shown(feeds, &id))
}

/// Whether a key column is also mapped to a field other than an id.
fn holds_values(entry: &FeedEntry) -> bool {
    match &entry.layout {
        FeedLayout::Contact(layout) => is_mapped(layout),
        FeedLayout::Payment(layout) => is_mapped(layout),
        FeedLayout::Removed => true,
    }
}

fn is_mapped<F: LogicalField>(layout: &Layout<F>) -> bool {
    let is_key = |column: Option<usize>| column.is_some_and(|c| layout.columns.key.contains(&c));
    F::NAMES
        .iter()
        .filter(|(_, name)| !IDS.contains(name))
        .any(|(field, _)| layout.of(*field).iter().any(|source| is_key(source.column())))
}
