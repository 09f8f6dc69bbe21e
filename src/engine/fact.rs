//! One source row of any feed as a fact, and what the engine reads of it.

use std::sync::Arc;

use uuid::Uuid;

use super::change::RowId;
use super::env::Env;
use super::feeds::FeedLayout;
use super::raw;
use crate::facts::{self, Contact, EmailKey, FeedInfo, Note, Payment, RawRow, SourceKey};
use crate::rules::NAMESPACE;
use crate::unify::{self, Owner};

/// What a source row says.
#[derive(Debug, Clone)]
pub enum Fact {
    /// Of a feed of contacts.
    Contact(Box<Contact>),
    /// Of a feed of payments.
    Payment(Box<Payment>),
    /// Nothing: the configuration leaves the row out (SPEC §1).
    LeftOut(Box<LeftOut>),
}

/// A row that gives nothing.
#[derive(Debug, Clone)]
pub struct LeftOut {
    /// The feed.
    pub feed: Arc<FeedInfo>,
    /// Key of the source row.
    pub key: SourceKey,
    /// Why.
    pub why: Why,
    /// Whether the fact would use sync_timestamp, so that it is there when the row is let in.
    is_synced: bool,
}

/// Why a row is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// By `skip` of its feed.
    Skipped,
    /// By this pattern of `[rules.exclude] emails`.
    Excluded(String),
    /// Its feed is no longer configured.
    Removed,
}

impl Why {
    /// The words of [`Why::as_str`].
    const WORDS: [&str; 3] = ["skipped", "excluded", "removed"];

    /// The first word of the row's owner.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Skipped => "skipped",
            Self::Excluded(_) => "excluded",
            Self::Removed => "removed",
        }
    }
}

impl Fact {
    /// The row rules, and the decisions about the row (SPEC §3, §7).
    #[must_use]
    pub fn derive(id: &RowId, row: &RawRow, env: &Env) -> Self {
        let Some((fact, is_skipped)) = Self::of_row(id, row, env) else {
            return Self::left_out(id, env, Why::Removed, false);
        };
        let excluding = || fact.email().and_then(|key| env.rules.excludes(key.as_str()));
        let why = if is_skipped {
            Some(Why::Skipped)
        } else {
            excluding().map(|pattern| Why::Excluded(pattern.as_str().to_owned()))
        };
        match why {
            Some(why) => Self::left_out(id, env, why, fact.synced_at().is_some()),
            None => fact,
        }
    }

    /// The e-mail key that a row has, also where it is left out.
    #[must_use]
    pub fn address(id: &RowId, row: &RawRow, env: &Env) -> Option<EmailKey> {
        Self::of_row(id, row, env)?.0.email().cloned()
    }

    /// What the row says, and whether its feed skips it. `None`: its feed is configured no more.
    fn of_row(id: &RowId, row: &RawRow, env: &Env) -> Option<(Self, bool)> {
        let entry = env.feeds.get(id.0);
        let decided = !env.decisions.emails.is_empty() || !env.decisions.products.is_empty();
        let name = if decided { entry.info.source_row(&id.1) } else { String::new() };
        let email = env.decisions.emails.get(&name);
        Some(match &entry.layout {
            FeedLayout::Contact(layout) => {
                let mut contact = facts::contact(row, layout, &env.rules);
                if let Some(email) = email {
                    contact.email = Ok(email.clone());
                }
                let is_skipped = facts::skips_contact(row, layout, &env.rules);
                (Self::Contact(Box::new(contact)), is_skipped)
            }
            FeedLayout::Payment(layout) => {
                let mut payment = facts::payment(row, layout, &env.rules);
                if let Some(email) = email {
                    payment.email = Ok(email.clone());
                }
                // One that is no longer configured decides nothing.
                let decided = env.decisions.products.get(&name);
                if let Some(code) = decided.filter(|code| env.rules.product(code).is_some()) {
                    payment.products = vec![code.clone()];
                }
                let is_skipped = facts::skips_payment(row, layout, &env.rules);
                (Self::Payment(Box::new(payment)), is_skipped)
            }
            FeedLayout::Removed => return None,
        })
    }

    /// Whether the rows of an owner give facts: those that are left out or incomplete have owners of their own.
    #[must_use]
    pub fn gives_facts(owner: &str) -> bool {
        !Self::is_left_out(owner) && !is_incomplete(owner)
    }

    /// Whether this is the owner of a row that is left out.
    #[must_use]
    pub fn is_left_out(owner: &str) -> bool {
        owner.split_once(' ').is_some_and(|(word, _)| Why::WORDS.contains(&word))
    }

    fn left_out(id: &RowId, env: &Env, why: Why, is_synced: bool) -> Self {
        let feed = Arc::clone(env.feeds.info(id.0));
        Self::LeftOut(Box::new(LeftOut { feed, key: id.1.clone(), why, is_synced }))
    }

    fn synced_at(&self) -> Option<jiff::Timestamp> {
        match self {
            Self::Contact(contact) => contact.synced_at,
            Self::Payment(payment) => payment.synced_at,
            Self::LeftOut(_) => None,
        }
    }

    /// Its data-quality notes.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        match self {
            Self::Contact(contact) => &contact.notes,
            Self::Payment(payment) => &payment.notes,
            Self::LeftOut(_) => &[],
        }
    }

    /// The e-mail key after decisions and before aliases.
    #[must_use]
    pub fn email(&self) -> Option<&EmailKey> {
        match self {
            Self::Contact(contact) => contact.email.as_ref().ok(),
            Self::Payment(payment) => payment.email.as_ref().ok(),
            Self::LeftOut(_) => None,
        }
    }

    /// contact_id of a contact, external_id of a payment.
    #[must_use]
    pub fn shared_id(&self) -> Option<&str> {
        match self {
            // A contact without a person holds no contact_id against anybody (SPEC §4.4), and only those of the primary
            // feed are ids of the target.
            Self::Contact(contact) => contact
                .contact_id
                .as_deref()
                .filter(|_| contact.email.is_ok() && contact.feed.primary),
            Self::Payment(payment) => payment.external_id.as_deref(),
            Self::LeftOut(_) => None,
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
            (None, Self::LeftOut(row)) => {
                Owner::Orphans(unify::owner_of_left_out(row.why.as_str(), &row.feed, &row.key))
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
            Self::LeftOut(_) => Vec::new(),
        }
    }

    /// The bytes that are stored of the row. sync_timestamp only where the fact uses it, so that a change of it alone
    /// changes nothing (P4).
    #[must_use]
    pub fn raw(&self, id: &RowId, row: &RawRow, unknown: &[usize], env: &Env) -> Vec<u8> {
        let is_synced = match self {
            Self::LeftOut(row) => row.is_synced,
            fact => fact.synced_at().is_some(),
        };
        let entry = env.feeds.get(id.0);
        let shape = entry.shape();
        if is_synced {
            return raw::encode(row, unknown, shape);
        }
        raw::encode_without(row, unknown, shape, |column| entry.is_sync(column))
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
    crate::digest::uuid_v5(&NAMESPACE, raw)
}

/// The first word of the owner of an incomplete row.
const INCOMPLETE: &str = "incomplete";

/// Whether this is the owner of an incomplete row.
pub(super) fn is_incomplete(owner: &str) -> bool {
    owner.split_once(' ').is_some_and(|(word, _)| word == INCOMPLETE)
}

/// The owner of an incomplete row (P6): nothing is judged with it.
#[must_use]
pub fn incomplete_owner(id: &RowId, env: &Env) -> String {
    format!("{INCOMPLETE} {}", digest(env.feeds.source_row(id).as_bytes()))
}
