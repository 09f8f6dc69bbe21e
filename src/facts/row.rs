//! A source row as text, and the layout that says which column means what.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::raw::RawTexts;
use crate::rules::NAMESPACE;

/// The key of a source row: its key columns' text joined by `|` (SPEC §1). Instants are UTC, ISO 8601
/// with `Z`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SourceKey(pub String);

impl SourceKey {
    /// The key as text, without the table's prefix.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
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

/// A source table of contacts or payments (SPEC §1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Feed {
    /// Payments.
    Xendit,
    /// Contacts.
    Systemeio,
}

impl Feed {
    /// Both, contacts first: people are known before their payments come.
    pub const ALL: [Self; 2] = [Self::Systemeio, Self::Xendit];

    /// The prefix of a source row's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Xendit => "xendit",
            Self::Systemeio => "systemeio",
        }
    }
}

impl Feed {
    /// The number under which the row store keeps its rows. It never changes.
    #[must_use]
    pub fn number(self) -> i16 {
        match self {
            Self::Systemeio => 1,
            Self::Xendit => 2,
        }
    }

    /// The inverse of [`Feed::number`].
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|feed| feed.number() == number)
    }

    /// What its rows are.
    #[must_use]
    pub fn kind(self) -> FeedKind {
        match self {
            Self::Systemeio => FeedKind::Contact,
            Self::Xendit => FeedKind::Payment,
        }
    }
}

impl fmt::Display for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A source row's name, such as `xendit:4f…`, as conflicts and decisions write it (SPEC §1).
#[must_use]
pub fn source_row(table: Feed, key: &SourceKey) -> String {
    format!("{table}:{}", key.0)
}

/// What PostgreSQL type family a source column has; decides how its text is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// Text, and every type not named below.
    Text,
    /// `numeric`, integers and floats: taken as they are (SPEC §3.8).
    Numeric,
    /// `timestamptz`, in ISO style with an offset: taken as it is (SPEC §3.7).
    Instant,
    /// `text[]` and other arrays of character types: a list (SPEC §3.6).
    TextArray,
    /// `json` and `jsonb` (SPEC §3.6).
    Json,
}

impl ColumnKind {
    const NAMES: [(Self, &'static str); 5] = [
        (Self::Text, "text"),
        (Self::Numeric, "numeric"),
        (Self::Instant, "instant"),
        (Self::TextArray, "text_array"),
        (Self::Json, "json"),
    ];

    /// The stored word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(kind, _)| *kind == self).map_or("text", |(_, name)| name)
    }

    /// The inverse of [`ColumnKind::as_str`].
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, name)| *name == word).map(|(kind, _)| *kind)
    }
}

/// A physical column of a source table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name in the source table.
    pub name: String,
    /// Its type family.
    pub kind: ColumnKind,
}

/// Logical fields of a payment row (SPEC §1); configuration maps each to columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum PaymentField {
    ExternalId,
    PaymentId,
    BusinessId,
    Status,
    PaymentMethod,
    Amount,
    Fees,
    PaymentChannel,
    PaymentDestination,
    CustomerName,
    CustomerEmail,
    CustomerPhone,
    Description,
    FailureCode,
    FailureReason,
    Created,
    Updated,
    PaidAt,
    PayoutAt,
    AdjustedAt,
    SettledAt,
    ExpiryDate,
    Currency,
    Bank,
    PaidAmount,
    PaymentMethodInfo,
    ChannelProperties,
    EwalletType,
    TimeZone,
    SyncTimestamp,
}

/// Logical fields of a contact row (SPEC §1); configuration maps each to columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum ContactField {
    ContactId,
    Email,
    FirstName,
    LastName,
    Phone,
    PhotoUrl,
    Tags,
    AddressCity,
    AddressCountry,
    AddressLine1,
    AddressLine2,
    AddressPostalCode,
    AddressState,
    CustomFields,
    OptinEmail,
    OptinSms,
    TimeZone,
    Language,
    UpdatedAt,
    CreatedAt,
    SyncTimestamp,
}

/// The name and the enum value of every field, in one place for configuration and metadata.
pub trait LogicalField: Copy + Eq + 'static {
    /// Every field with its configuration name, in enum order.
    const NAMES: &'static [(Self, &'static str)];

    /// When the row was last synchronised.
    const SYNC: Self;

    /// Its place in [`LogicalField::NAMES`].
    fn index(self) -> usize;

    /// The configuration name, such as `customer_email`.
    fn name(self) -> &'static str {
        Self::NAMES.get(self.index()).map_or("", |(_, name)| name)
    }

    /// The inverse of [`LogicalField::name`].
    fn parse(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(field, _)| *field)
    }
}

impl LogicalField for PaymentField {
    const NAMES: &'static [(Self, &'static str)] = &[
        (Self::ExternalId, "external_id"),
        (Self::PaymentId, "payment_id"),
        (Self::BusinessId, "business_id"),
        (Self::Status, "status"),
        (Self::PaymentMethod, "payment_method"),
        (Self::Amount, "amount"),
        (Self::Fees, "fees"),
        (Self::PaymentChannel, "payment_channel"),
        (Self::PaymentDestination, "payment_destination"),
        (Self::CustomerName, "customer_name"),
        (Self::CustomerEmail, "customer_email"),
        (Self::CustomerPhone, "customer_phone"),
        (Self::Description, "description"),
        (Self::FailureCode, "failure_code"),
        (Self::FailureReason, "failure_reason"),
        (Self::Created, "created"),
        (Self::Updated, "updated"),
        (Self::PaidAt, "paid_at"),
        (Self::PayoutAt, "payout_at"),
        (Self::AdjustedAt, "adjusted_at"),
        (Self::SettledAt, "settled_at"),
        (Self::ExpiryDate, "expiry_date"),
        (Self::Currency, "currency"),
        (Self::Bank, "bank"),
        (Self::PaidAmount, "paid_amount"),
        (Self::PaymentMethodInfo, "payment_method_info"),
        (Self::ChannelProperties, "channel_properties"),
        (Self::EwalletType, "ewallet_type"),
        (Self::TimeZone, "time_zone"),
        (Self::SyncTimestamp, "sync_timestamp"),
    ];

    const SYNC: Self = Self::SyncTimestamp;

    fn index(self) -> usize {
        self as usize
    }
}

impl LogicalField for ContactField {
    const NAMES: &'static [(Self, &'static str)] = &[
        (Self::ContactId, "contact_id"),
        (Self::Email, "email"),
        (Self::FirstName, "first_name"),
        (Self::LastName, "last_name"),
        (Self::Phone, "phone"),
        (Self::PhotoUrl, "photo_url"),
        (Self::Tags, "tags"),
        (Self::AddressCity, "address_city"),
        (Self::AddressCountry, "address_country"),
        (Self::AddressLine1, "address_line1"),
        (Self::AddressLine2, "address_line2"),
        (Self::AddressPostalCode, "address_postal_code"),
        (Self::AddressState, "address_state"),
        (Self::CustomFields, "custom_fields"),
        (Self::OptinEmail, "optin_email"),
        (Self::OptinSms, "optin_sms"),
        (Self::TimeZone, "time_zone"),
        (Self::Language, "language"),
        (Self::UpdatedAt, "updated_at"),
        (Self::CreatedAt, "created_at"),
        (Self::SyncTimestamp, "sync_timestamp"),
    ];

    const SYNC: Self = Self::SyncTimestamp;

    fn index(self) -> usize {
        self as usize
    }
}

/// Which columns of one source table are read, and what they mean. `F` is [`PaymentField`] or
/// [`ContactField`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout<F> {
    /// The physical columns that are read, in the order of [`RawRow::values`].
    pub columns: Vec<Column>,
    /// Indexes into [`Layout::columns`] of the key columns, in key order.
    pub key: Vec<usize>,
    /// For each mapped logical field the indexes of its columns, first choice first.
    pub fields: Vec<(F, Vec<usize>)>,
    /// Names the columns whose values are stored, with their kinds, in their order.
    pub digest: u32,
    /// The columns of every field, by its index.
    by_field: Vec<Vec<usize>>,
    /// The mapped fields in the order of their names.
    by_name: Vec<F>,
    /// The columns that are evidence, in the order of their names.
    evidence: Vec<usize>,
    /// The names of those columns.
    evidence_names: Arc<[String]>,
}

/// Columns in another order, of other kinds, or stored where they were left out, have another digest.
fn digest_of(columns: &[Column], is_left_out: impl Fn(usize) -> bool) -> u32 {
    let mut text = String::new();
    for (index, column) in columns.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ =
            writeln!(text, "{:?} {} {}", column.name, column.kind.as_str(), !is_left_out(index));
    }
    let digest = Uuid::new_v5(&NAMESPACE, text.as_bytes());
    digest.as_fields().0
}

impl<F: LogicalField> Layout<F> {
    /// A layout, with what every row of it needs found once.
    #[must_use]
    pub fn new(columns: Vec<Column>, key: Vec<usize>, fields: Vec<(F, Vec<usize>)>) -> Self {
        let mut by_field = vec![Vec::new(); F::NAMES.len()];
        for (field, columns) in fields.iter().rev() {
            by_field[field.index()].clone_from(columns);
        }
        let mut by_name: Vec<F> = fields.iter().map(|(field, _)| *field).collect();
        by_name.sort_by_key(|field| field.name());
        by_name.dedup();
        // A column that is nothing but the time of the last synchronisation is no evidence, so that a
        // change of it changes nothing (P4).
        let means = |index: usize, sync: bool| {
            let mut of_kind = fields.iter().filter(|(field, _)| (*field == F::SYNC) == sync);
            of_kind.any(|(_, columns)| columns.contains(&index))
        };
        let is_sync =
            |index: &usize| means(*index, true) && !means(*index, false) && !key.contains(index);
        let digest = digest_of(&columns, |index| is_sync(&index));
        let mut evidence: Vec<usize> = (0..columns.len()).filter(|index| !is_sync(index)).collect();
        evidence.sort_by(|a, b| columns[*a].name.cmp(&columns[*b].name));
        let evidence_names = evidence.iter().map(|index| columns[*index].name.clone()).collect();
        Self { columns, key, fields, digest, by_field, by_name, evidence, evidence_names }
    }

    /// The columns of a logical field, first choice first; empty where none is mapped.
    #[must_use]
    pub fn of(&self, field: F) -> &[usize] {
        self.by_field.get(field.index()).map_or(&[], Vec::as_slice)
    }

    /// The mapped fields in the order of their names.
    pub(super) fn by_name(&self) -> &[F] {
        &self.by_name
    }

    /// The row as evidence.
    pub(super) fn raw_texts(&self, row: &RawRow) -> RawTexts {
        let text = |index: &usize| row.values.get(*index).and_then(Option::as_deref);
        RawTexts::new(&self.evidence_names, self.evidence.iter().map(text))
    }
}

/// The values of one source row, text or NULL, in the order of [`Layout::columns`]. The text of an
/// instant is in ISO style (`2025-06-30 12:02:24.5+08`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RawRow {
    /// One value a column.
    pub values: Vec<Option<String>>,
}
