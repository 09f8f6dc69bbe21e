//! The logical fields of feeds (SPEC §1): what a configuration maps to columns, and by which class of rule each is read.

/// How the text of a field is read, which decides from which types of columns it can be (SPEC §1, §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldClass {
    /// One text, by a rule of SPEC §3.
    Text,
    /// SPEC §3.6.
    Tags,
    /// SPEC §3.7.
    Time,
    /// SPEC §3.8.
    Amount,
    /// By no rule: kept as it is.
    Raw,
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
    Name,
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

    /// How it is read.
    fn class(self) -> FieldClass;

    /// The configuration name, such as `customer_email`.
    fn name(self) -> &'static str {
        Self::NAMES.get(self.index()).map_or("", |(_, name)| name)
    }

    /// Whether its text is an id, which says nothing about a customer (P14).
    fn is_id(self) -> bool {
        ["external_id", "payment_id", "business_id", "contact_id"].contains(&self.name())
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

    fn class(self) -> FieldClass {
        match self {
            Self::Amount | Self::Fees | Self::PaidAmount => FieldClass::Amount,
            Self::Created
            | Self::Updated
            | Self::PaidAt
            | Self::SettledAt
            | Self::SyncTimestamp => FieldClass::Time,
            Self::ExternalId
            | Self::PaymentId
            | Self::Status
            | Self::PaymentMethod
            | Self::PaymentChannel
            | Self::CustomerName
            | Self::CustomerEmail
            | Self::CustomerPhone
            | Self::Description
            | Self::FailureCode
            | Self::FailureReason
            | Self::Currency
            | Self::TimeZone => FieldClass::Text,
            _ => FieldClass::Raw,
        }
    }
}

impl LogicalField for ContactField {
    const NAMES: &'static [(Self, &'static str)] = &[
        (Self::ContactId, "contact_id"),
        (Self::Email, "email"),
        (Self::FirstName, "first_name"),
        (Self::LastName, "last_name"),
        (Self::Name, "name"),
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

    fn class(self) -> FieldClass {
        match self {
            Self::Tags => FieldClass::Tags,
            Self::CreatedAt | Self::UpdatedAt | Self::SyncTimestamp => FieldClass::Time,
            Self::ContactId
            | Self::Email
            | Self::FirstName
            | Self::LastName
            | Self::Name
            | Self::Phone
            | Self::TimeZone => FieldClass::Text,
            _ => FieldClass::Raw,
        }
    }
}
