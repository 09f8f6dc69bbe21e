//! What goes into [`super::unify`] and what comes out.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::{Timestamp, civil};
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::facts::{Contact, EmailKey, FeedInfo, Metadata, Payment, SourceKey};
use crate::rules::Status;

/// Whose facts are unified together: the smallest set whose answer depends on nothing outside but
/// [`Context`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Owner {
    /// A person: an e-mail key after aliases (SPEC §4.1).
    Person(EmailKey),
    /// Rows without a person that are judged together: one contact, one payment, or the payments of
    /// one possible duplicate set (SPEC §5.1). The text has a space, so it is never an e-mail key.
    Orphans(String),
}

impl Owner {
    /// The text stored with each fact.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Person(key) => key.as_str(),
            Self::Orphans(group) => group,
        }
    }

    /// The inverse of [`Owner::as_str`].
    #[must_use]
    pub fn from_stored(text: String) -> Self {
        if text.contains(' ') { Self::Orphans(text) } else { Self::Person(EmailKey::trusted(text)) }
    }

    /// The person, if it is one.
    #[must_use]
    pub fn person(&self) -> Option<&EmailKey> {
        match self {
            Self::Person(key) => Some(key),
            Self::Orphans(_) => None,
        }
    }
}

/// All facts of one owner, decisions applied: `email` and `products` of each fact are what a decision
/// of SPEC §7 says, where there is one.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Whose facts these are.
    pub owner: Owner,
    /// In any order.
    pub contacts: Vec<Contact>,
    /// In any order.
    pub payments: Vec<Payment>,
}

impl Group {
    /// The source rows of its facts, contacts first.
    #[must_use]
    pub fn source_rows(&self) -> Vec<String> {
        let contacts = self.contacts.iter().map(|c| c.feed.source_row(&c.key));
        let payments = self.payments.iter().map(|p| p.feed.source_row(&p.key));
        contacts.chain(payments).collect()
    }
}

/// What `unify` must know of the world outside the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The local date in the configured zone, for enrollment expiry.
    pub today: civil::Date,
    /// For each contact_id carried by the group's contacts and by others too: the person whose contact
    /// is first over all (SPEC §4.4). A contact_id that is not here is the group's own.
    pub contact_id_holders: BTreeMap<String, EmailKey>,
}

/// The owned columns of a profile, without its id (SPEC §4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Profile {
    pub email: EmailKey,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub phone: Option<String>,
    pub tags: Vec<String>,
    pub acquisition_source: Arc<str>,
    pub payment_source: Option<Arc<str>>,
    pub cohort_date: Option<civil::Date>,
    pub systemeio_id: Option<String>,
    pub systemeio_tags: Option<String>,
    /// `None`: the time of the first write.
    pub created_at: Option<Timestamp>,
    pub last_active_at: Option<Timestamp>,
    pub api_source: Arc<str>,
}

/// The owned columns of a transaction, without user_id (SPEC §5.2).
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct Transaction {
    pub id: Uuid,
    pub feed: Arc<FeedInfo>,
    pub source_key: SourceKey,
    pub amount: Decimal,
    pub currency: String,
    pub status: Status,
    pub payment_method: Option<String>,
    pub payment_provider_id: String,
    pub payment_provider_fee: Option<Decimal>,
    pub description: Option<String>,
    pub product_name: Option<String>,
    pub product_type: Option<String>,
    pub product_id: Option<Uuid>,
    pub created_at: Option<Timestamp>,
    pub updated_at: Option<Timestamp>,
    pub paid_at: Option<Timestamp>,
    pub settled_at: Option<Timestamp>,
    pub cancelled_at: Option<Timestamp>,
    pub refunded_at: Option<Timestamp>,
    pub failed_at: Option<Timestamp>,
    pub failure_reason: Option<String>,
    pub metadata: Metadata,
    pub fiscal_year: Option<i32>,
    pub fiscal_quarter: Option<i32>,
}

/// State of an enrollment (SPEC §5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum EnrollmentStatus {
    Active,
    Expired,
    Revoked,
}

impl EnrollmentStatus {
    /// The word stored in the target.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

/// The owned columns of an enrollment, without its id and user_id (SPEC §5.4).
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Enrollment {
    /// Code of the product.
    pub product: String,
    /// The product's id.
    pub course_id: Uuid,
    pub transaction_id: Uuid,
    pub status: EnrollmentStatus,
    pub start_date: Option<civil::Date>,
    pub expiry_date: Option<civil::Date>,
    pub cohort_month: Option<String>,
    pub cohort_quarter: Option<String>,
}

/// Who must act (SPEC §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Severity {
    Review,
    Info,
}

impl Severity {
    /// The word stored in the target.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Review => "review",
            Self::Info => "info",
        }
    }
}

/// The kinds of SPEC §6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum ConflictKind {
    UnlinkedPayment,
    UnusableEmail,
    InvalidAmount,
    NonPositiveAmount,
    CurrencyMismatch,
    Underpaid,
    UnmappedStatus,
    UnmappedProduct,
    MultipleProducts,
    UnparsableTimestamp,
    TemporalOrder,
    DuplicateExternalId,
    DuplicatePurchase,
    TagWithoutPayment,
    PaymentWithoutTag,
    PossibleDuplicate,
    NameDisagreement,
    ContactIdCollision,
    EmailChangeCollision,
    EmailChangeSplit,
    DeleteBlocked,
    SourceAbsent,
    MissingAuthUser,
    DuplicateProfile,
    DuplicateTransaction,
    RejectedRow,
    IncompleteRow,
    // Notes.
    ExcludedRow,
    DuplicatePayment,
    PaidAtInferred,
    InvisibleCharacter,
    Mojibake,
    InvalidPhone,
    TimezoneAbbreviation,
    DateOnly,
    SpreadsheetDate,
    AmbiguousDate,
    UnreadableTags,
}

impl ConflictKind {
    /// Every kind, in the order of SPEC §6.
    pub const ALL: [Self; 38] = [
        Self::UnlinkedPayment,
        Self::UnusableEmail,
        Self::InvalidAmount,
        Self::NonPositiveAmount,
        Self::CurrencyMismatch,
        Self::Underpaid,
        Self::UnmappedStatus,
        Self::UnmappedProduct,
        Self::MultipleProducts,
        Self::UnparsableTimestamp,
        Self::TemporalOrder,
        Self::DuplicateExternalId,
        Self::DuplicatePurchase,
        Self::TagWithoutPayment,
        Self::PaymentWithoutTag,
        Self::PossibleDuplicate,
        Self::NameDisagreement,
        Self::ContactIdCollision,
        Self::EmailChangeCollision,
        Self::EmailChangeSplit,
        Self::DeleteBlocked,
        Self::SourceAbsent,
        Self::MissingAuthUser,
        Self::DuplicateProfile,
        Self::DuplicateTransaction,
        Self::RejectedRow,
        Self::IncompleteRow,
        Self::ExcludedRow,
        Self::DuplicatePayment,
        Self::PaidAtInferred,
        Self::InvisibleCharacter,
        Self::Mojibake,
        Self::InvalidPhone,
        Self::TimezoneAbbreviation,
        Self::DateOnly,
        Self::SpreadsheetDate,
        Self::AmbiguousDate,
        Self::UnreadableTags,
    ];

    /// The word stored in the target.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnlinkedPayment => "unlinked_payment",
            Self::UnusableEmail => "unusable_email",
            Self::InvalidAmount => "invalid_amount",
            Self::NonPositiveAmount => "non_positive_amount",
            Self::CurrencyMismatch => "currency_mismatch",
            Self::Underpaid => "underpaid",
            Self::UnmappedStatus => "unmapped_status",
            Self::UnmappedProduct => "unmapped_product",
            Self::MultipleProducts => "multiple_products",
            Self::UnparsableTimestamp => "unparsable_timestamp",
            Self::TemporalOrder => "temporal_order",
            Self::DuplicateExternalId => "duplicate_external_id",
            Self::DuplicatePurchase => "duplicate_purchase",
            Self::TagWithoutPayment => "tag_without_payment",
            Self::PaymentWithoutTag => "payment_without_tag",
            Self::PossibleDuplicate => "possible_duplicate",
            Self::NameDisagreement => "name_disagreement",
            Self::ContactIdCollision => "contact_id_collision",
            Self::EmailChangeCollision => "email_change_collision",
            Self::EmailChangeSplit => "email_change_split",
            Self::DeleteBlocked => "delete_blocked",
            Self::SourceAbsent => "source_absent",
            Self::MissingAuthUser => "missing_auth_user",
            Self::DuplicateProfile => "duplicate_profile",
            Self::DuplicateTransaction => "duplicate_transaction",
            Self::RejectedRow => "rejected_row",
            Self::IncompleteRow => "incomplete_row",
            Self::ExcludedRow => "excluded_row",
            Self::DuplicatePayment => "duplicate_payment",
            Self::PaidAtInferred => "paid_at_inferred",
            Self::InvisibleCharacter => "invisible_character",
            Self::Mojibake => "mojibake",
            Self::InvalidPhone => "invalid_phone",
            Self::TimezoneAbbreviation => "timezone_abbreviation",
            Self::DateOnly => "date_only",
            Self::SpreadsheetDate => "spreadsheet_date",
            Self::AmbiguousDate => "ambiguous_date",
            Self::UnreadableTags => "unreadable_tags",
        }
    }

    /// The inverse of [`ConflictKind::as_str`].
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl fmt::Display for ConflictKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A conflict or stored note that the facts imply (SPEC §6).
#[derive(Debug, Clone, PartialEq)]
pub struct Conflict {
    /// What is wrong.
    pub kind: ConflictKind,
    /// Who must act.
    pub severity: Severity,
    /// What it is about, as the table of SPEC §6 writes it.
    pub subject: String,
    /// What was judged when this was found: when the same scope is judged again without finding it, it
    /// closes. See the `scope` functions of this module.
    pub scope: String,
    /// Everything needed to decide, stable while the cause is the same (no clock, no profile ids).
    pub evidence: serde_json::Value,
}

impl Conflict {
    /// The stable identity: a UUIDv5 of kind and subject.
    #[must_use]
    pub fn fingerprint(&self) -> Uuid {
        fingerprint(self.kind, &self.subject)
    }
}

/// The stable identity of a conflict.
#[must_use]
pub fn fingerprint(kind: ConflictKind, subject: &str) -> Uuid {
    crate::digest::uuid_v5(&crate::rules::NAMESPACE, format!("{kind}\n{subject}").as_bytes())
}

/// What [`super::unify`] makes of one group.
#[derive(Debug, Clone, PartialEq)]
pub struct Unified {
    /// Whose.
    pub owner: Owner,
    /// `None`: no person, or one that the profile filter leaves out.
    pub profile: Option<Profile>,
    /// Sorted by id.
    pub transactions: Vec<Transaction>,
    /// Sorted by product code; empty without a profile.
    pub enrollments: Vec<Enrollment>,
    /// Sorted by kind and subject.
    pub conflicts: Vec<Conflict>,
}
