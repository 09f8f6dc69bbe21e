//! The feeds that are configured, and those of which rows may still be stored (SPEC §1).

use std::sync::Arc;

use super::change::RowId;
use super::raw::Shape;
use crate::facts::{
    Column, Columns, ContactField, Feed, FeedInfo, FeedKind, Layout, PaymentField, RawRow,
    SourceKey, row_of_key, source_key,
};

/// How the rows of a feed are read.
#[derive(Debug, Clone)]
pub enum FeedLayout {
    /// As contacts.
    Contact(Layout<ContactField>),
    /// As payments.
    Payment(Layout<PaymentField>),
    /// Not at all: the feed was taken out of the configuration. Its rows give nothing.
    Removed,
}

/// One feed.
#[derive(Debug, Clone)]
pub struct FeedEntry {
    /// What it is.
    pub info: Arc<FeedInfo>,
    /// How its rows are read.
    pub layout: FeedLayout,
}

impl FeedEntry {
    /// The columns that are read.
    #[must_use]
    pub fn columns(&self) -> &Columns {
        static NONE: Columns = Columns::new(Vec::new(), Vec::new());
        match &self.layout {
            FeedLayout::Contact(layout) => &layout.columns,
            FeedLayout::Payment(layout) => &layout.columns,
            FeedLayout::Removed => &NONE,
        }
    }

    /// Which columns are stored.
    #[must_use]
    pub fn shape(&self) -> Shape {
        let digest = match &self.layout {
            FeedLayout::Contact(layout) => layout.digest,
            FeedLayout::Payment(layout) => layout.digest,
            FeedLayout::Removed => 0,
        };
        Shape { width: self.columns().list.len(), digest }
    }

    /// Whether a column holds nothing but the time of the last synchronisation.
    #[must_use]
    pub fn is_sync(&self, column: usize) -> bool {
        match &self.layout {
            FeedLayout::Contact(layout) => layout.is_sync(column),
            FeedLayout::Payment(layout) => layout.is_sync(column),
            FeedLayout::Removed => false,
        }
    }

    /// Whether the keys of its rows may be customers' values (P14); of a feed that is configured no more nobody knows.
    #[must_use]
    pub fn key_is_a_value(&self) -> bool {
        match &self.layout {
            FeedLayout::Contact(layout) => layout.key_is_a_value(),
            FeedLayout::Payment(layout) => layout.key_is_a_value(),
            FeedLayout::Removed => true,
        }
    }

    /// Whether it is configured.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        !matches!(self.layout, FeedLayout::Removed)
    }
}

/// All feeds: contacts before payments, so that people are known before their payments come.
#[derive(Debug, Clone)]
pub struct Feeds {
    entries: Vec<FeedEntry>,
    /// By number the place in `entries`.
    places: Vec<Option<usize>>,
    /// What is known of a number that nobody recorded.
    unknown: FeedEntry,
}

impl Feeds {
    /// The feeds in any order, each number once.
    #[must_use]
    pub fn new(mut entries: Vec<FeedEntry>) -> Self {
        entries.sort_by_key(|entry| (entry.info.kind, entry.info.feed));
        let mut places = Vec::new();
        for (place, entry) in entries.iter().enumerate() {
            let number = usize::try_from(entry.info.feed.number()).unwrap_or(0);
            if places.len() <= number {
                places.resize(number + 1, None);
            }
            places[number] = Some(place);
        }
        let info = Arc::new(FeedInfo {
            feed: Feed::new(0),
            name: "unknown".to_owned(),
            kind: FeedKind::Contact,
            primary: false,
            provider: "".into(),
            rank: u32::MAX,
        });
        Self { entries, places, unknown: FeedEntry { info, layout: FeedLayout::Removed } }
    }

    /// A feed. One of which nothing is recorded has no rows either.
    #[must_use]
    pub fn get(&self, feed: Feed) -> &FeedEntry {
        let place = usize::try_from(feed.number()).ok().and_then(|n| *self.places.get(n)?);
        place.and_then(|place| self.entries.get(place)).unwrap_or(&self.unknown)
    }

    /// What a feed is.
    #[must_use]
    pub fn info(&self, feed: Feed) -> &Arc<FeedInfo> {
        &self.get(feed).info
    }

    /// What the rows of a feed are.
    #[must_use]
    pub fn kind(&self, feed: Feed) -> FeedKind {
        self.get(feed).info.kind
    }

    /// The name of a feed.
    #[must_use]
    pub fn name(&self, feed: Feed) -> &str {
        &self.get(feed).info.name
    }

    /// Every feed.
    pub fn all(&self) -> impl Iterator<Item = &FeedEntry> {
        self.entries.iter()
    }

    /// The numbers of every feed.
    pub fn numbers(&self) -> impl Iterator<Item = Feed> {
        self.entries.iter().map(|entry| entry.info.feed)
    }

    /// The numbers of the feeds that are configured.
    pub fn configured(&self) -> impl Iterator<Item = Feed> {
        self.entries.iter().filter(|e| e.is_configured()).map(|entry| entry.info.feed)
    }

    /// Which columns of a feed are stored.
    #[must_use]
    pub fn shape(&self, feed: Feed) -> Shape {
        self.get(feed).shape()
    }

    /// A row with nothing but its key, to ask the source for it. `None`: the key does not hold its values.
    #[must_use]
    pub fn row_of_key(&self, feed: Feed, key: &SourceKey) -> Option<RawRow> {
        row_of_key(key, self.get(feed).columns())
    }

    /// The source key of a row.
    #[must_use]
    pub fn source_key(&self, feed: Feed, row: &RawRow) -> SourceKey {
        source_key(row, self.get(feed).columns())
    }

    /// The name of a source row, such as `xendit:4f…`, as conflicts and decisions write it.
    #[must_use]
    pub fn source_row(&self, id: &RowId) -> String {
        self.info(id.0).source_row(&id.1)
    }

    /// The name of a source row for log lines and error messages: `<feed>:#` and the beginning of a digest where the key
    /// may be a customer's value (P14).
    #[must_use]
    pub fn discreet_row(&self, id: &RowId) -> String {
        if self.get(id.0).key_is_a_value() {
            return format!("{}:#{}", self.name(id.0), key_digest(&id.1));
        }
        self.source_row(id)
    }

    /// As [`Feeds::discreet_row`], of a name as [`Feeds::source_row`] gives it.
    #[must_use]
    pub fn discreet_name(&self, name: &str) -> String {
        self.row_id(name).map_or_else(|| "?".to_owned(), |id| self.discreet_row(&id))
    }

    /// The feed of this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&FeedEntry> {
        self.entries.iter().find(|entry| entry.info.name == name)
    }

    /// The inverse of [`Feeds::source_row`].
    #[must_use]
    pub fn row_id(&self, name: &str) -> Option<RowId> {
        let (feed, key) = name.split_once(':')?;
        Some((self.named(feed)?.info.feed, SourceKey(key.to_owned())))
    }

    /// The columns of a feed as they are recorded: name, kind, and whether the value is stored.
    #[must_use]
    pub fn stored_columns(&self, feed: Feed) -> Vec<(Column, bool)> {
        let entry = self.get(feed);
        let columns = entry.columns().list.iter().enumerate();
        columns.map(|(index, column)| (column.clone(), !entry.is_sync(index))).collect()
    }
}

/// Hex digits of the digest of a key that stand for it.
const DIGEST_DIGITS: usize = 12;

/// What stands for a key that may be a customer's value (P14).
#[must_use]
pub fn key_digest(key: &SourceKey) -> String {
    let digest = super::fact::digest(key.as_str().as_bytes());
    digest.simple().to_string().chars().take(DIGEST_DIGITS).collect()
}

/// The name of the feed and the digest in a text such as `ebook_contacts:#0123456789ab`.
#[must_use]
pub fn parse_discreet_row(text: &str) -> Option<(&str, String)> {
    let (feed, digest) = text.trim().split_once(":#")?;
    let is_digest = digest.len() == DIGEST_DIGITS && digest.bytes().all(|b| b.is_ascii_hexdigit());
    is_digest.then(|| (feed, digest.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_in_place_of_a_key_is_read_back_p14() {
        let digest = key_digest(&SourceKey("ana@example.com".into()));
        let name = format!("ebook:#{digest}");
        assert_eq!(parse_discreet_row(&name), Some(("ebook", digest.clone())));
        assert_eq!(
            parse_discreet_row(&format!(" {} ", name.to_uppercase().replace("EBOOK", "ebook"))),
            Some(("ebook", digest))
        );
        for other in ["ebook:ana@example.com", "ebook:#12", "ebook:#0123456789xy", "#0123456789ab"]
        {
            assert_eq!(parse_discreet_row(other), None, "{other}");
        }
        assert_ne!(
            key_digest(&SourceKey("ana@example.com".into())),
            key_digest(&SourceKey("Ana@example.com".into()))
        );
    }
}
