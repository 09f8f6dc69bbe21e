//! Third step: what owners give, held against the digests of what was last written (DESIGN: outcome digests).

use std::collections::HashMap;

use rust_decimal::Decimal;
use uuid::Uuid;

use super::change::{NO_TRANSACTION, RowId};
use super::columns::{self, Values};
use super::feeds::Feeds;
use super::people::Decided;
use super::state::{Person, PersonState};
use crate::unify;

/// How far digests are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// What is equal to the digest is not sent.
    Digests,
    /// Everything is compared with the row itself.
    Nothing,
}

/// A profile to be written.
#[derive(Debug, Clone)]
pub struct ProfileWrite {
    /// Its id.
    pub id: Uuid,
    /// The person's e-mail key.
    pub email: String,
    /// Its contact_id, unique among profiles.
    pub systemeio_id: Option<String>,
    /// All owned columns.
    pub values: Values<14>,
    /// Of `values`.
    pub digest: Uuid,
    /// Whether its row is there, differs and has its address: a digest of it is stored and believed.
    pub is_known: bool,
}

impl ProfileWrite {
    /// Leaves a unique value out that cannot be had.
    pub fn leave_systemeio_id(&mut self) {
        self.systemeio_id = None;
        let at = columns::PROFILE.iter().position(|column| *column == "systemeio_id");
        if let Some(value) = at.and_then(|at| self.values.get_mut(at)) {
            *value = None;
        }
    }
}

/// A transaction to be written.
#[derive(Debug, Clone)]
pub struct TransactionWrite {
    /// Its id.
    pub id: Uuid,
    /// The payment's row.
    pub row: RowId,
    /// All owned columns.
    pub values: Values<25>,
    /// Of `values`.
    pub digest: Uuid,
    /// Digits of amount and fee.
    pub digits: (Digits, Digits),
    /// Whether its row is there and differs: a digest of it is stored and believed.
    pub is_known: bool,
}

/// How long an amount is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Digits {
    /// After the point, without zeros at the end.
    pub after_point: u32,
    /// From the first to the last that is not 0.
    pub significant: u32,
}

impl Digits {
    /// Those of an amount.
    #[must_use]
    pub fn of(amount: Decimal) -> Self {
        let amount = amount.normalize();
        let mut digits = amount.mantissa().unsigned_abs();
        while digits > 0 && digits.is_multiple_of(10) {
            digits /= 10;
        }
        let significant = digits.checked_ilog10().map_or(0, |last| last + 1);
        Self { after_point: amount.scale(), significant }
    }
}

/// An enrollment to be written.
#[derive(Debug, Clone)]
pub struct EnrollmentWrite {
    /// All owned columns.
    pub values: Values<9>,
    /// The course.
    pub course: Uuid,
    /// The transaction that it shows.
    pub transaction: Uuid,
}

/// What one owner's rows in the target tables must become. What is equal to its digest is not here.
#[derive(Debug, Clone, Default)]
pub struct OwnerWrite {
    /// The owner's text.
    pub owner: String,
    /// Names of its rows, as conflicts write them.
    pub rows: Vec<String>,
    /// The person's profile, where there is one to reference.
    pub user: Option<Uuid>,
    /// The profile.
    pub profile: Option<ProfileWrite>,
    /// Transactions.
    pub transactions: Vec<TransactionWrite>,
    /// All enrollments of the person; `None`: they are as last written.
    pub enrollments: Option<Vec<EnrollmentWrite>>,
    /// The profile whose other managed enrollments are revoked (SPEC §5.4).
    pub revoke: Option<Uuid>,
    /// Payments that give no transaction and may have one.
    pub without: Vec<(RowId, Uuid)>,
    /// The digest of each payment's outcome, where it differs from the stored one.
    pub outcomes: Vec<(RowId, Option<Uuid>)>,
}

impl OwnerWrite {
    /// Whether nothing is to be written in the target tables.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.profile.is_none()
            && self.transactions.is_empty()
            && self.enrollments.is_none()
            && self.revoke.is_none()
            && self.without.is_empty()
    }
}

/// Compares one owner. `is_fresh`: the target has no row of the person yet. Returns what is to be written, and the
/// person with the digests of it.
#[must_use]
pub fn owner(
    decided: &Decided,
    mut person: Option<Person>,
    feeds: &Feeds,
    tables: &Uuid,
    trust: Trust,
    is_fresh: bool,
) -> (OwnerWrite, Option<Person>) {
    let present = person.filter(|person| person.state == PersonState::Present);
    let mut write = OwnerWrite {
        owner: decided.owner.clone(),
        rows: decided.rows.clone(),
        // The profile, where there is one to reference.
        user: present.filter(|_| decided.unified.profile.is_some()).map(|p| p.profile_id),
        ..OwnerWrite::default()
    };
    if let Some(person) = &mut person {
        write.person(decided, person, tables, trust, is_fresh);
    }
    write.payments(decided, feeds, tables, trust);
    (write, person)
}

impl OwnerWrite {
    fn person(
        &mut self,
        decided: &Decided,
        person: &mut Person,
        tables: &Uuid,
        trust: Trust,
        is_fresh: bool,
    ) {
        if person.state == PersonState::Waiting {
            return;
        }
        let mut enrollments = Vec::new();
        if let (Some(id), Some(profile)) = (self.user, &decided.unified.profile) {
            let values = columns::profile(id, profile);
            let digest = columns::digest(tables, &values);
            if trust == Trust::Nothing || person.profile != Some(digest) {
                let is_known = trust == Trust::Digests
                    && person.profile.is_some_and(|digest| columns::is_of(&digest, tables));
                person.profile = Some(digest);
                let (email, systemeio_id) =
                    (profile.email.to_string(), profile.systemeio_id.clone());
                self.profile =
                    Some(ProfileWrite { id, email, systemeio_id, values, digest, is_known });
            }
            enrollments = decided
                .unified
                .enrollments
                .iter()
                .map(|e| EnrollmentWrite {
                    values: columns::enrollment(id, e),
                    course: e.course_id,
                    transaction: e.transaction_id,
                })
                .collect();
        }
        let values = enrollments.iter().flat_map(|e: &EnrollmentWrite| &e.values);
        let digest = columns::digest(tables, values);
        if trust == Trust::Digests && person.enrollments == Some(digest) {
            return;
        }
        let had_none = trust == Trust::Digests
            && person.enrollments == Some(columns::digest(tables, std::iter::empty()));
        person.enrollments = Some(digest);
        self.revoke = (!is_fresh && !had_none).then_some(person.profile_id);
        self.enrollments = Some(enrollments);
    }

    fn payments(&mut self, decided: &Decided, feeds: &Feeds, tables: &Uuid, trust: Trust) {
        let given: HashMap<Uuid, &unify::Transaction> =
            decided.unified.transactions.iter().map(|t| (t.id, t)).collect();
        for (row, outcome) in &decided.payments {
            let id = decided.transaction_id(row, feeds);
            let Some(transaction) = given.get(&id) else {
                if trust == Trust::Nothing || *outcome != Some(NO_TRANSACTION) {
                    self.without.push((row.clone(), id));
                }
                if *outcome != Some(NO_TRANSACTION) {
                    self.outcomes.push((row.clone(), Some(NO_TRANSACTION)));
                }
                continue;
            };
            let values = columns::transaction(self.user, transaction);
            let digest = columns::digest(tables, &values);
            if *outcome != Some(digest) {
                self.outcomes.push((row.clone(), Some(digest)));
            }
            if trust == Trust::Nothing || *outcome != Some(digest) {
                let fee = transaction.payment_provider_fee.map(Digits::of).unwrap_or_default();
                self.transactions.push(TransactionWrite {
                    id,
                    row: row.clone(),
                    values,
                    digest,
                    digits: (Digits::of(transaction.amount), fee),
                    is_known: trust == Trust::Digests
                        && outcome.is_some_and(|outcome| {
                            outcome != NO_TRANSACTION && columns::is_of(&outcome, tables)
                        }),
                });
            }
        }
    }
}
