//! One source row of any feed as a fact, and what the engine reads of it.

use uuid::Uuid;

use super::change::RowId;
use super::env::Env;
use super::raw;
use crate::facts::{self, Contact, EmailKey, FeedKind, Payment, RawRow, source_row};
use crate::rules::NAMESPACE;
use crate::unify::{self, Owner};

/// What a source row says.
#[derive(Debug, Clone)]
pub enum Fact {
    /// Of a feed of contacts.
    Contact(Box<Contact>),
    /// Of a feed of payments.
    Payment(Box<Payment>),
}

impl Fact {
    /// The row rules, and the decisions about the row (SPEC §3, §7).
    #[must_use]
    pub fn derive(id: &RowId, row: &RawRow, env: &Env) -> Self {
        let named = || source_row(id.0, &id.1);
        let decided = !env.decisions.emails.is_empty() || !env.decisions.products.is_empty();
        let name = if decided { named() } else { String::new() };
        match id.0.kind() {
            FeedKind::Contact => {
                let mut contact = facts::contact(row, &env.layouts.systemeio, &env.rules);
                if let Some(email) = env.decisions.emails.get(&name) {
                    contact.email = Ok(email.clone());
                }
                Self::Contact(Box::new(contact))
            }
            FeedKind::Payment => {
                let mut payment = facts::payment(row, &env.layouts.xendit, &env.rules);
                if let Some(email) = env.decisions.emails.get(&name) {
                    payment.email = Ok(email.clone());
                }
                if let Some(code) = env.decisions.products.get(&name) {
                    payment.products = vec![code.clone()];
                }
                Self::Payment(Box::new(payment))
            }
        }
    }

    /// The e-mail key after decisions and before aliases.
    #[must_use]
    pub fn email(&self) -> Option<&EmailKey> {
        match self {
            Self::Contact(contact) => contact.email.as_ref().ok(),
            Self::Payment(payment) => payment.email.as_ref().ok(),
        }
    }

    /// contact_id of a contact, external_id of a payment.
    #[must_use]
    pub fn shared_id(&self) -> Option<&str> {
        match self {
            // A contact without a person holds no contact_id against anybody (SPEC §4.4).
            Self::Contact(contact) => {
                contact.contact_id.as_deref().filter(|_| contact.email.is_ok())
            }
            Self::Payment(payment) => payment.external_id.as_deref(),
        }
    }

    /// Whose row it is, `person` being its e-mail key after aliases.
    #[must_use]
    pub fn owner(&self, person: Option<EmailKey>) -> Owner {
        match (person, self) {
            (Some(person), _) => Owner::Person(person),
            (None, Self::Contact(contact)) => Owner::Orphans(unify::orphan_of_contact(contact)),
            (None, Self::Payment(payment)) => {
                Owner::Orphans(unify::orphan_group_of_payment(payment))
            }
        }
    }

    /// What orders (contact) or distinguishes (payment) the rows that share an id; compared as bytes.
    #[must_use]
    pub fn member(&self) -> Vec<u8> {
        match self {
            Self::Contact(contact) => {
                let mut rank = newest_first(contact.updated_at);
                rank.extend(newest_first(contact.created_at));
                rank
            }
            Self::Payment(payment) => {
                let nobody = Owner::Orphans("orphan of nobody".to_owned());
                let mut digest = unify::identity(&nobody, payment).as_bytes().to_vec();
                digest.extend_from_slice(
                    payment.payment_id.as_deref().unwrap_or_default().as_bytes(),
                );
                digest
            }
        }
    }

    /// The bytes that are stored of the row. sync_timestamp only where the fact uses it, so that a change of it alone
    /// changes nothing (P4).
    #[must_use]
    pub fn raw(&self, id: &RowId, row: &RawRow, unknown: &[usize], env: &Env) -> Vec<u8> {
        let synced = match self {
            Self::Contact(contact) => contact.synced_at,
            Self::Payment(payment) => payment.synced_at,
        };
        let shape = env.layouts.shape(id.0);
        if synced.is_some() {
            return raw::encode(row, unknown, shape);
        }
        raw::encode_without(row, unknown, shape, |column| {
            env.layouts.is_sync_timestamp(id.0, column)
        })
    }
}

/// Bytes that sort newest first, NULLs last.
fn newest_first(at: Option<jiff::Timestamp>) -> Vec<u8> {
    let Some(at) = at else { return vec![0xff; 9] };
    // Offset to unsigned keeps the order; the complement turns it around.
    let order = !((at.as_microsecond() as u64) ^ (1 << 63));
    std::iter::once(0).chain(order.to_be_bytes()).collect()
}

/// Tells an unchanged row.
#[must_use]
pub(super) fn digest(raw: &[u8]) -> Uuid {
    Uuid::new_v5(&NAMESPACE, raw)
}

/// The owner of an incomplete row (P6): nothing is judged with it.
#[must_use]
pub fn incomplete_owner(id: &RowId) -> String {
    format!("incomplete {}", digest(source_row(id.0, &id.1).as_bytes()))
}
