//! Row rules (SPEC §3): one source row in, one normalised fact out.
//!
//! Pure: no I/O, no clock, no driver. Bad input never fails; it becomes a `None` and a [`Note`].

mod clean;
mod contact;
mod email;
mod feed;
mod field;
mod json;
mod key;
mod money;
mod name;
mod oversized;
mod payment;
mod phone;
mod product;
mod raw;
mod reader;
mod row;
mod source;
mod status;
mod tags;
mod time;

#[cfg(test)]
mod forms_tests;
#[cfg(test)]
mod row_tests;

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

pub use clean::{clean, visible};
pub use contact::{contact, skips_contact};
pub use email::{canonical_key, email_key};
pub use feed::{Feed, FeedInfo, FeedKind};
pub use field::{ContactField, FieldClass, LogicalField, PaymentField};
pub use key::{row_of_key, source_key};
pub use money::parse_amount;
pub use name::split_name;
pub use oversized::{MAX_ROW_BYTES, is_left_out};
pub use payment::{payment, skips_payment};
pub use phone::phone;
pub use product::match_products;
pub use raw::{Metadata, RawTexts};
pub use row::{AmountUnit, Column, ColumnKind, Columns, FieldRules, Layout, RawRow, SourceKey};
pub use source::{ANY, Part, Skip, SkipOf, Source, UNCONVERTED, When};
pub use status::status_word;
pub(crate) use tags::{array_texts, is_same_but_for_case, merged as merged_tags};
pub use time::{parse_date, parse_timestamp, parse_zone};

use crate::rules::Status;

/// The matching key of a person: lowercase text with an ASCII domain (SPEC §3.2). Only
/// `facts::email` makes one from raw text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EmailKey(String);

impl EmailKey {
    /// Wraps a key that was made by `facts::email` earlier, such as one read back from the target.
    #[must_use]
    pub fn trusted(key: String) -> Self {
        Self(key)
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EmailKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why an e-mail text gives no key (SPEC §3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EmailReason {
    /// Nothing there.
    Missing,
    /// A bidirectional control hides what the text says.
    Bidi,
    /// More than one address.
    Multiple,
    /// Not an address.
    Invalid,
    /// Scripts mixed so that it looks like another address.
    Confusable,
}

impl EmailReason {
    /// The word in conflict evidence.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Bidi => "bidi",
            Self::Multiple => "multiple",
            Self::Invalid => "invalid",
            Self::Confusable => "confusable",
        }
    }
}

/// The kinds of row note (SPEC §6, "every other note", and `unparsable_timestamp`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum NoteKind {
    InvisibleCharacter,
    Mojibake,
    InvalidPhone,
    TimezoneAbbreviation,
    TimezoneAssumed,
    DateOnly,
    SpreadsheetDate,
    AmbiguousDate,
    UnparsableTimestamp,
    CurrencyAssumed,
    UnreadableTags,
    Unconverted,
    Oversized,
}

impl NoteKind {
    /// Every kind.
    pub const ALL: [Self; 13] = [
        Self::InvisibleCharacter,
        Self::Mojibake,
        Self::InvalidPhone,
        Self::TimezoneAbbreviation,
        Self::TimezoneAssumed,
        Self::DateOnly,
        Self::SpreadsheetDate,
        Self::AmbiguousDate,
        Self::UnparsableTimestamp,
        Self::CurrencyAssumed,
        Self::UnreadableTags,
        Self::Unconverted,
        Self::Oversized,
    ];
}

/// A data-quality record of one field of one row, handled automatically.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// What was found.
    pub kind: NoteKind,
    /// The logical field, such as `customer_email`.
    pub field: String,
    /// The raw text.
    pub raw: String,
}

/// The fact of one row of a feed of contacts.
#[derive(Debug, Clone, PartialEq)]
pub struct Contact {
    /// The feed.
    pub feed: Arc<FeedInfo>,
    /// Key of the source row.
    pub key: SourceKey,
    /// The e-mail key of the row itself, before decisions.
    pub email: Result<EmailKey, EmailReason>,
    /// Clean contact_id.
    pub contact_id: Option<String>,
    /// Clean, case normalised (SPEC §3.4).
    pub first_name: Option<String>,
    /// Clean, case normalised (SPEC §3.4).
    pub last_name: Option<String>,
    /// E.164.
    pub phone: Option<String>,
    /// SPEC §3.6: known spellings, deduplicated, sorted.
    pub tags: Vec<String>,
    /// clean(tags) as one text.
    pub tags_text: Option<String>,
    /// As parsed.
    pub created_at: Option<Timestamp>,
    /// As parsed.
    pub updated_at: Option<Timestamp>,
    /// sync_timestamp, only where created_at is NULL: nothing else reads it, so a change of it alone
    /// changes nothing (P4).
    pub synced_at: Option<Timestamp>,
    /// In field order.
    pub notes: Vec<Note>,
    /// Every raw text but that of sync_timestamp: the evidence.
    pub raw: RawTexts,
}

/// The fact of one row of a feed of payments.
#[derive(Debug, Clone, PartialEq)]
pub struct Payment {
    /// The feed.
    pub feed: Arc<FeedInfo>,
    /// Key of the source row.
    pub key: SourceKey,
    /// The e-mail key of the row itself, before decisions.
    pub email: Result<EmailKey, EmailReason>,
    /// Clean, case-sensitive.
    pub external_id: Option<String>,
    /// Clean.
    pub payment_id: Option<String>,
    /// SPEC §3.8; `None` is invalid or NULL.
    pub amount: Option<Decimal>,
    /// SPEC §3.8; `None` is invalid or NULL.
    pub fee: Option<Decimal>,
    /// SPEC §3.8; `None` is invalid or NULL.
    pub paid_amount: Option<Decimal>,
    /// Uppercase (SPEC §3.9).
    pub currency: String,
    /// SPEC §3.10.
    pub status: Status,
    /// Codes of every product that matches, in configuration order (SPEC §3.11), before decisions.
    pub products: Vec<String>,
    /// Clean, uppercase.
    pub payment_method: Option<String>,
    /// Clean.
    pub description: Option<String>,
    /// Clean failure_reason, else clean failure_code.
    pub failure_reason: Option<String>,
    /// customer_name split and case-normalised (SPEC §3.4).
    pub first_name: Option<String>,
    /// customer_name split and case-normalised (SPEC §3.4).
    pub last_name: Option<String>,
    /// customer_phone, E.164.
    pub phone: Option<String>,
    /// As parsed.
    pub created_at: Option<Timestamp>,
    /// As parsed.
    pub updated_at: Option<Timestamp>,
    /// As parsed.
    pub paid_at: Option<Timestamp>,
    /// As parsed.
    pub settled_at: Option<Timestamp>,
    /// sync_timestamp, only where created_at is NULL (P4).
    pub synced_at: Option<Timestamp>,
    /// transactions.metadata (SPEC §5.2): source, source_id, external_id, payment_channel and every
    /// other mapped raw field that is not NULL, by logical name, but sync_timestamp.
    pub metadata: Metadata,
    /// In field order.
    pub notes: Vec<Note>,
    /// Every raw text but that of sync_timestamp: the evidence.
    pub raw: RawTexts,
}
