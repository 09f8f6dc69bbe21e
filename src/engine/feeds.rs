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
        static NONE: Columns = Columns { list: Vec::new(), key: Vec::new() };
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

    /// A row with nothing but its key, to ask the source for it. `None`: the key does not tell.
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
