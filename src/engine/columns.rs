//! The owned columns of the target tables (SPEC §2), and their values as text.

use uuid::Uuid;

use super::literal::{array, date, instant};
use crate::rules::NAMESPACE;
use crate::unify::{Enrollment, Profile, Transaction};

/// Owned columns of a profile, the id first.
pub const PROFILE: [&str; 14] = [
    "id",
    "email",
    "first_name",
    "last_name",
    "phone",
    "tags",
    "acquisition_source",
    "payment_source",
    "cohort_date",
    "systemeio_id",
    "systemeio_tags",
    "created_at",
    "last_active_at",
    "api_source",
];

/// Owned columns of a transaction, the id first.
pub const TRANSACTION: [&str; 25] = [
    "id",
    "user_id",
    "amount",
    "currency",
    "status",
    "payment_method",
    "payment_provider",
    "payment_provider_id",
    "payment_provider_fee",
    "description",
    "product_name",
    "product_type",
    "product_id",
    "created_at",
    "updated_at",
    "paid_at",
    "settled_at",
    "cancelled_at",
    "refunded_at",
    "failed_at",
    "failure_reason",
    "metadata",
    "api_source",
    "fiscal_year",
    "fiscal_quarter",
];

/// Owned columns of an enrollment, the id first.
pub const ENROLLMENT: [&str; 9] = [
    "id",
    "user_id",
    "course_id",
    "transaction_id",
    "status",
    "start_date",
    "expiry_date",
    "cohort_month",
    "cohort_quarter",
];

/// One row as text.
pub type Values<const N: usize> = [Option<String>; N];

/// A profile's values.
#[must_use]
pub fn profile(id: Uuid, profile: &Profile) -> Values<14> {
    [
        Some(id.to_string()),
        Some(profile.email.to_string()),
        profile.first_name.clone(),
        profile.last_name.clone(),
        profile.phone.clone(),
        Some(array(&profile.tags)),
        Some(profile.acquisition_source.as_ref().to_owned()),
        profile.payment_source.as_deref().map(str::to_owned),
        profile.cohort_date.map(date),
        profile.systemeio_id.clone(),
        profile.systemeio_tags.clone(),
        profile.created_at.map(instant),
        profile.last_active_at.map(instant),
        Some(profile.api_source.as_ref().to_owned()),
    ]
}

/// A transaction's values. `user` is the person's profile, where there is one.
#[must_use]
pub fn transaction(user: Option<Uuid>, t: &Transaction) -> Values<25> {
    [
        Some(t.id.to_string()),
        user.map(|user| user.to_string()),
        Some(t.amount.to_string()),
        Some(t.currency.clone()),
        Some(t.status.as_str().to_owned()),
        t.payment_method.clone(),
        Some(t.feed.provider.as_ref().to_owned()),
        Some(t.payment_provider_id.clone()),
        t.payment_provider_fee.map(|fee| fee.to_string()),
        t.description.clone(),
        t.product_name.clone(),
        t.product_type.clone(),
        t.product_id.map(|id| id.to_string()),
        t.created_at.map(instant),
        t.updated_at.map(instant),
        t.paid_at.map(instant),
        t.settled_at.map(instant),
        t.cancelled_at.map(instant),
        t.refunded_at.map(instant),
        t.failed_at.map(instant),
        t.failure_reason.clone(),
        Some(t.metadata.to_string()),
        Some(t.feed.provider.as_ref().to_owned()),
        t.fiscal_year.map(|year| year.to_string()),
        t.fiscal_quarter.map(|quarter| quarter.to_string()),
    ]
}

/// An enrollment's values. The id is used only where the row is new.
#[must_use]
pub fn enrollment(user: Uuid, enrollment: &Enrollment) -> Values<9> {
    let name = format!("enrollment:{user}:{}", enrollment.course_id);
    [
        Some(crate::digest::uuid_v5(&NAMESPACE, name.as_bytes()).to_string()),
        Some(user.to_string()),
        Some(enrollment.course_id.to_string()),
        Some(enrollment.transaction_id.to_string()),
        Some(enrollment.status.as_str().to_owned()),
        enrollment.start_date.map(date),
        enrollment.expiry_date.map(date),
        enrollment.cohort_month.clone(),
        enrollment.cohort_quarter.clone(),
    ]
}

/// Bytes at the end of a digest that tell for which tables it was made.
const MARK: usize = 4;

/// A digest of rows, in which no two run together. `tables` names the target tables and their columns: a digest made
/// for another table says nothing of the values ([`is_of`]).
#[must_use]
pub fn digest<'a>(tables: &Uuid, values: impl IntoIterator<Item = &'a Option<String>>) -> Uuid {
    let mut bytes = Vec::with_capacity(512);
    for value in values {
        match value {
            None => bytes.push(0),
            Some(text) => {
                bytes.push(1);
                bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
                bytes.extend_from_slice(text.as_bytes());
            }
        }
    }
    let mut digest = crate::digest::uuid_v5(tables, &bytes).into_bytes();
    digest[16 - MARK..].copy_from_slice(&tables.as_bytes()[..MARK]);
    Uuid::from_bytes(digest)
}

/// Whether a digest was made for these tables. Only then a row whose digest is another one has other values.
#[must_use]
pub fn is_of(digest: &Uuid, tables: &Uuid) -> bool {
    digest.as_bytes()[16 - MARK..] == tables.as_bytes()[..MARK]
}
