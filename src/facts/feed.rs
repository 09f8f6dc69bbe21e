//! Which feed a row is of, and what the row rules must know of it (SPEC §1).

use std::sync::Arc;

use super::row::SourceKey;

/// The number under which the row store keeps the rows of a feed. It is recorded when the feed is first used, and
/// never changes (SPEC §1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Feed(i16);

impl Feed {
    /// The feed with this number.
    #[must_use]
    pub const fn new(number: i16) -> Self {
        Self(number)
    }

    /// The number in the row store.
    #[must_use]
    pub const fn number(self) -> i16 {
        self.0
    }

    /// The feed of a stored number; `None` where it can be none.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        (number > 0).then_some(Self(number))
    }
}

/// What the rows of a feed are (SPEC §1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FeedKind {
    /// Each row is a contact.
    Contact,
    /// Each row is a payment.
    Payment,
}

impl FeedKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Contact, Self::Payment];

    /// The word in the configuration and in `tributary.feed`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Contact => "contact",
            Self::Payment => "payment",
        }
    }

    /// The inverse of [`FeedKind::as_str`].
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// A feed as the rules know it. Every fact shares the one of its feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedInfo {
    /// Its number.
    pub feed: Feed,
    /// Its name, which is the prefix of its source rows.
    pub name: String,
    /// What its rows are.
    pub kind: FeedKind,
    /// Whether it is the one of its kind whose ids are ids of the target (SPEC §4.4, §5.2).
    pub primary: bool,
    /// Written to payment_provider, api_source, acquisition_source and payment_source.
    pub provider: Arc<str>,
    /// Authority in SPEC §4.2, lower wins.
    pub rank: u32,
}

impl FeedInfo {
    /// A source row's name, such as `xendit:4f…`, as conflicts and decisions write it.
    #[must_use]
    pub fn source_row(&self, key: &SourceKey) -> String {
        format!("{}:{}", self.name, key.0)
    }
}
