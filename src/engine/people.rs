//! Second step: the rows of owners become profiles, transactions, enrollments and conflicts.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::change::RowId;
use super::env::Env;
use super::fact::{Fact, Why};
use super::state::{SharedId, WantedConflict};
use crate::cores;
use crate::facts::{EmailKey, FeedKind};
use crate::unify::{self, Conflict, Context, Group, Owner, Unified};

/// A row of an owner.
#[derive(Debug, Clone)]
pub struct OwnedRow {
    /// Which.
    pub id: RowId,
    /// What it says; `None`: a value is unknown (P6).
    pub fact: Option<Fact>,
    /// Digest of the transaction last written for it.
    pub outcome: Option<Uuid>,
}

/// The rows of owners, owners in byte order.
pub type OwnerRows = BTreeMap<String, Vec<OwnedRow>>;

/// What the rows of one owner give.
#[derive(Debug, Clone)]
pub struct Decided {
    /// The owner's text.
    pub owner: String,
    /// What its facts imply, but for the conflicts.
    pub unified: Unified,
    /// The conflicts.
    pub wanted: Vec<WantedConflict>,
    /// Its payments with the digests of the transactions last written.
    pub payments: Vec<(RowId, Option<Uuid>)>,
    /// The names of its rows, as conflicts write them.
    pub rows: Vec<String>,
    /// Whether a value of one of its rows is unknown (P6).
    pub is_incomplete: bool,
    /// The transactions that its payments adopted (SPEC §5.2).
    pub adopted: HashMap<RowId, Uuid>,
}

impl Decided {
    /// Whether it is a person rather than rows without one.
    #[must_use]
    pub fn is_person(&self) -> bool {
        is_person(&self.owner)
    }
}

/// Whether an owner is a person, by its email key, rather than rows without one: no email key has a space.
#[must_use]
pub fn is_person(owner: &str) -> bool {
    !owner.contains(' ')
}

/// Unifies owners on all cores. `holders` are the persons with whom shared contact_ids stay.
#[must_use]
pub fn decide(owners: OwnerRows, holders: &HashMap<SharedId, String>, env: &Env) -> Vec<Decided> {
    let owners = owners.into_iter().collect();
    cores::map(owners, |(owner, rows)| decide_one(owner, rows, holders, env))
}

fn decide_one(
    owner: String,
    rows: Vec<OwnedRow>,
    holders: &HashMap<SharedId, String>,
    env: &Env,
) -> Decided {
    let payments = rows
        .iter()
        // A payment that is left out may have had a transaction.
        .filter(|row| row.fact.is_some() && env.feeds.kind(row.id.0) == FeedKind::Payment)
        .map(|row| (row.id.clone(), row.outcome))
        .collect();
    let names = rows.iter().map(|row| env.feeds.source_row(&row.id)).collect();
    let is_incomplete = rows.iter().any(|row| row.fact.is_none());
    let of_rows: Vec<Conflict> = rows.iter().filter_map(|row| of_row(&owner, row, env)).collect();
    let (group, context) = group(&owner, rows, holders, env);
    let mut unified = unify::unify(&group, &context, &env.rules);
    let conflicts = std::mem::take(&mut unified.conflicts).into_iter().chain(of_rows);
    let wanted = conflicts.map(|conflict| WantedConflict::of(conflict, None)).collect();
    let adopted = HashMap::new();
    Decided { owner, unified, wanted, payments, rows: names, is_incomplete, adopted }
}

/// The conflict of a row that gives no fact.
fn of_row(owner: &str, row: &OwnedRow, env: &Env) -> Option<Conflict> {
    let name = || env.feeds.source_row(&row.id);
    match &row.fact {
        None => Some(unify::incomplete_row(owner, &name())),
        Some(Fact::LeftOut(left_out)) => match &left_out.why {
            Why::Excluded(pattern) => Some(unify::excluded_row(owner, &name(), pattern)),
            Why::Skipped | Why::Removed => None,
        },
        Some(_) => None,
    }
}

/// The facts of one owner as unify takes them.
#[must_use]
pub fn group(
    owner: &str,
    rows: Vec<OwnedRow>,
    holders: &HashMap<SharedId, String>,
    env: &Env,
) -> (Group, Context) {
    let owner = Owner::from_stored(owner.to_owned());
    let mut group = Group { owner, contacts: Vec::new(), payments: Vec::new() };
    let mut contact_id_holders = BTreeMap::new();
    for row in rows {
        match row.fact {
            Some(Fact::Contact(contact)) => {
                let shared = contact.contact_id.as_ref().filter(|_| contact.feed.primary);
                let holder = shared.and_then(|id| {
                    let holder = holders.get(&(row.id.0, id.clone()))?;
                    (holder != group.owner.as_str())
                        .then(|| (id.clone(), EmailKey::trusted(holder.clone())))
                });
                contact_id_holders.extend(holder);
                group.contacts.push(*contact);
            }
            Some(Fact::Payment(payment)) => group.payments.push(*payment),
            Some(Fact::LeftOut(_)) | None => {}
        }
    }
    (group, Context { today: env.today, contact_id_holders })
}
