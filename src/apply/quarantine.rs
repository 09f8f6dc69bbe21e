//! What the target refuses (P10, P20): found by bisection within savepoints, so that the rest goes on.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::Applier;
use super::decide::Round;
use super::fetch::fact_of;
use super::settle::Mode;
use crate::engine::columns;
use crate::engine::diff::{OwnerWrite, ProfileWrite, Trust};
use crate::engine::people::{self, OwnedRow};
use crate::engine::rows::Touched;
use crate::engine::{Fact, RowId};
use crate::error::Result;
use crate::facts::{Contact, Payment};
use crate::pg::{Group as Statements, Tx};
use crate::store;
use crate::targets::{self, Fresh, Report};
use crate::unify::{self, Conflict, Context, Group, Profile};

/// Quarantined owners tried again in one transaction.
const OWNERS_PER_RETRY: i64 = 100;

/// Source rows that the target refuses.
#[derive(Debug, Default)]
pub(super) struct Refused {
    /// By name: owner, the reason that was met first.
    rows: BTreeMap<String, (String, String)>,
    owners: BTreeSet<String>,
    outcomes: Vec<RowId>,
}

impl Refused {
    fn add(&mut self, owner: &OwnerWrite, row: String, reason: &str) {
        self.owners.insert(owner.owner.clone());
        self.rows.entry(row).or_insert_with(|| (owner.owner.clone(), reason.to_owned()));
    }

    /// What no single row explains is reported for the owner's first one.
    fn add_owner(&mut self, owner: &OwnerWrite, reason: &str) {
        match owner.rows.first() {
            Some(row) => self.add(owner, row.clone(), reason),
            // Nobody's rows: there is none to report it for, but it is tried again.
            None => {
                self.owners.insert(owner.owner.clone());
                tracing::warn!(reason, "the target refuses to change rows of a person without any");
            }
        }
    }

    /// Whether nothing was refused.
    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }

    /// Owners with a refused row.
    pub(super) fn owners(&self) -> impl Iterator<Item = &str> {
        self.owners.iter().map(String::as_str)
    }

    /// Whether a row of this owner was refused.
    #[must_use]
    pub(super) fn has_owner(&self, owner: &str) -> bool {
        self.owners.contains(owner)
    }

    /// A conflict for each row, with its owner.
    pub(super) fn conflicts(&self) -> impl Iterator<Item = (Conflict, &str)> {
        self.rows
            .iter()
            .map(|(row, (owner, reason))| (unify::rejected_row(row, reason), owner.as_str()))
    }

    /// Payments whose transaction is not what was noted.
    pub(super) fn outcomes(&self) -> Vec<(RowId, Option<Uuid>)> {
        self.outcomes.iter().map(|id| (id.clone(), None)).collect()
    }
}

impl Applier {
    /// Tries quarantined owners again whose turn it is, in a transaction of their own. Returns whether there may be
    /// more.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn retry_quarantined(&mut self) -> Result<bool> {
        if !self.has_quarantine {
            return Ok(false);
        }
        let tx = self.begin().await?;
        let owners = store::quarantine::due(&tx, OWNERS_PER_RETRY).await?;
        if owners.is_empty() {
            tx.rollback().await?;
            self.has_quarantine = store::quarantine::count(&self.db).await? > 0;
            return Ok(false);
        }
        let more = owners.len() as i64 == OWNERS_PER_RETRY;
        let report = self.recompute(&tx, Touched::owners(owners), Mode::RETRY).await?;
        tx.commit().await?;
        report.count();
        Ok(more)
    }

    /// Writes the owners of a round, in halves where they are refused. A table that drops every row is no fault of a row.
    pub(super) async fn write_carefully(
        &self,
        tx: &Tx,
        round: &Round,
        trust: Trust,
        refused: &mut Refused,
    ) -> Result<Report> {
        let mut report = Report::default();
        let all: Vec<&OwnerWrite> = round.writes.iter().filter(|write| !write.is_empty()).collect();
        if !all.is_empty() {
            targets::reach::require(tx, &self.tables.names).await?;
        }
        let mut open = vec![all.as_slice()];
        while let Some(owners) = open.pop() {
            match (tx.attempt(self.write_owners(tx, owners, &round.fresh)).await?, owners) {
                (Ok(written), _) => report.add(written),
                (Err(reason), [owner]) => {
                    tracing::debug!(owners = 1, reason, "the target refuses an owner");
                    report.add(self.write_refused(tx, owner, round, trust, refused).await?);
                }
                (Err(_), owners) => {
                    let (first, second) = owners.split_at(owners.len() / 2);
                    open.extend([second, first]);
                }
            }
        }
        Ok(report)
    }

    /// Writes one owner that was refused as a whole. What digests say of it may be wrong, as where somebody else deleted its rows:
    /// everything is written again before a row is blamed.
    async fn write_refused(
        &self,
        tx: &Tx,
        owner: &OwnerWrite,
        round: &Round,
        trust: Trust,
        refused: &mut Refused,
    ) -> Result<Report> {
        let whole = (trust == Trust::Digests).then(|| self.whole_write(owner, round)).flatten();
        let Some(whole) = whole else { return self.write_rows(tx, owner, refused).await };
        match tx.attempt(self.write_owners(tx, &[&whole], &Fresh::default())).await? {
            Ok(written) => Ok(written),
            Err(_) => self.write_rows(tx, &whole, refused).await,
        }
    }

    async fn write_owners(&self, tx: &Tx, owners: &[&OwnerWrite], fresh: &Fresh) -> Result<Report> {
        let mut group = Statements::default();
        let positions = targets::write::owners(&mut group, &self.tables, owners, fresh)?;
        let reached = group.send(tx).await?;
        Ok(positions.report(&reached))
    }

    /// Writes each row of one owner by itself.
    async fn write_rows(
        &self,
        tx: &Tx,
        owner: &OwnerWrite,
        refused: &mut Refused,
    ) -> Result<Report> {
        let mut report = Report::default();
        let unknown = Fresh::default();
        let mut user = owner.user;
        if let Some(profile) = &owner.profile {
            report.add(self.write_profile(tx, owner, profile, refused).await?);
            user = if self.profile_exists(tx, profile.id).await? { Some(profile.id) } else { None };
        }
        let mut missing: BTreeSet<Uuid> = BTreeSet::new();
        let mut written: BTreeMap<Uuid, String> = BTreeMap::new();
        for transaction in &owner.transactions {
            let name = self.env.feeds.source_row(&transaction.row);
            let mut transaction = transaction.clone();
            if user.is_none() {
                transaction.values[1] = None;
            }
            let (id, row) = (transaction.id, transaction.row.clone());
            let alone = OwnerWrite { transactions: vec![transaction], ..OwnerWrite::default() };
            match tx.attempt(self.write_owners(tx, &[&alone], &unknown)).await? {
                Ok(wrote) => {
                    written.insert(id, name);
                    report.add(wrote);
                }
                Err(reason) => {
                    missing.insert(id);
                    refused.outcomes.push(row);
                    refused.add(owner, name, &reason);
                }
            }
        }
        for enrollment in owner.enrollments.iter().flatten().filter(|_| user.is_some()) {
            // Without its transaction there is nothing that it could show.
            if missing.contains(&enrollment.transaction) {
                continue;
            }
            let row = written.get(&enrollment.transaction).or(owner.rows.first());
            let alone =
                OwnerWrite { enrollments: Some(vec![enrollment.clone()]), ..OwnerWrite::default() };
            match tx.attempt(self.write_owners(tx, &[&alone], &unknown)).await? {
                Ok(wrote) => report.add(wrote),
                Err(reason) => match row {
                    Some(row) => refused.add(owner, row.clone(), &reason),
                    None => refused.add_owner(owner, &reason),
                },
            }
        }
        // One that was refused is not without a transaction: it stays as it is.
        if owner.revoke.is_some() {
            let revoke = OwnerWrite {
                user: owner.user,
                revoke: owner.revoke,
                enrollments: None,
                ..OwnerWrite::default()
            };
            let kept = self.revoke_others(tx, owner, &revoke).await?;
            if let Err(reason) = kept {
                refused.add_owner(owner, &reason);
            }
        }
        Ok(report)
    }

    async fn revoke_others(
        &self,
        tx: &Tx,
        owner: &OwnerWrite,
        revoke: &OwnerWrite,
    ) -> Result<std::result::Result<(), String>> {
        let mut group = Statements::default();
        targets::write::revoke(&mut group, &self.tables, &[revoke], &[owner]);
        Ok(tx.attempt(group.send(tx)).await?.map(drop))
    }

    /// Writes a profile without the rows that it is refused for. In the end a person has one all the same (SPEC §4.1),
    /// if only with its address.
    async fn write_profile(
        &self,
        tx: &Tx,
        owner: &OwnerWrite,
        write: &ProfileWrite,
        refused: &mut Refused,
    ) -> Result<Report> {
        let reason = match tx.attempt(self.write_one(tx, write)).await? {
            Ok(written) => return Ok(written),
            Err(reason) => reason,
        };
        let rows = store::row::by_owner(tx, std::slice::from_ref(&owner.owner)).await?;
        let owned = rows.into_iter().map(|row| {
            let fact = fact_of(&row, &self.env);
            OwnedRow { id: row.id, fact, outcome: None }
        });
        let holders = store::shared::holders(tx, std::slice::from_ref(&owner.owner)).await?;
        let (group, context) = people::group(&owner.owner, owned.collect(), &holders, &self.env);
        let Some(profile) = unify::unify(&group, &context, &self.env.rules).profile else {
            refused.add_owner(owner, &reason);
            return Ok(Report::default());
        };
        let bare = profile_write(write.id, &bare(&profile));
        if let Err(reason) = tx.try_out(self.write_one(tx, &bare)).await? {
            // It is not for what a row says.
            refused.add_owner(owner, &reason);
            return Ok(Report::default());
        }
        // Its contact_id may be a profile's that belongs to no person and is left alone (SPEC §4.1): the rest of the row
        // is as good as any.
        let without = Profile { systemeio_id: None, ..profile.clone() };
        let without = profile_write(write.id, &without);
        let holder = group.contacts.iter().find(|contact| {
            profile.systemeio_id.is_some() && contact.contact_id == profile.systemeio_id
        });
        if let Some(contact) = holder
            && tx.try_out(self.write_one(tx, &without)).await?.is_ok()
        {
            refused.add(owner, contact_row(contact), &reason);
            return self.write_one(tx, &without).await;
        }
        let accepted = self.acceptable(tx, owner, write.id, &group, &context, refused).await?;
        let profile = unify::unify(&accepted, &context, &self.env.rules).profile;
        if refused.owners.is_empty() || !refused.has_owner(&owner.owner) {
            refused.add_owner(owner, &reason);
        }
        let accepted =
            profile.map_or_else(|| bare.clone(), |profile| profile_write(write.id, &profile));
        match tx.attempt(self.write_one(tx, &accepted)).await? {
            Ok(written) => Ok(written),
            Err(_) => self.write_one(tx, &bare).await,
        }
    }

    /// The facts of a person without those for which its profile is refused, found by halves.
    async fn acceptable(
        &self,
        tx: &Tx,
        owner: &OwnerWrite,
        id: Uuid,
        group: &Group,
        context: &Context,
        refused: &mut Refused,
    ) -> Result<Group> {
        let facts = in_order(group);
        let mut accepted = Group { contacts: Vec::new(), payments: Vec::new(), ..group.clone() };
        let mut open = vec![facts.as_slice()];
        while let Some(some) = open.pop() {
            let mut with = accepted.clone();
            for fact in some {
                match fact {
                    Fact::Contact(contact) => with.contacts.push((**contact).clone()),
                    Fact::Payment(payment) => with.payments.push((**payment).clone()),
                    Fact::LeftOut(_) => {}
                }
            }
            let tried = match unify::unify(&with, context, &self.env.rules).profile {
                Some(profile) => {
                    let write = profile_write(id, &profile);
                    tx.try_out(self.write_one(tx, &write)).await?
                }
                None => Ok(()),
            };
            match (tried, some) {
                (Ok(()), _) => accepted = with,
                (Err(reason), [fact]) => refused.add(owner, row_of(fact), &reason),
                (Err(_), some) => {
                    let (first, second) = some.split_at(some.len() / 2);
                    open.extend([second, first]);
                }
            }
        }
        Ok(accepted)
    }

    async fn write_one(&self, tx: &Tx, profile: &ProfileWrite) -> Result<Report> {
        let alone = OwnerWrite { profile: Some(profile.clone()), ..OwnerWrite::default() };
        self.write_owners(tx, &[&alone], &Fresh::default()).await
    }

    async fn profile_exists(&self, tx: &Tx, id: Uuid) -> Result<bool> {
        let sql = format!("select 1 from {} where id = $1", self.tables.names.profiles);
        Ok(!tx.query("target: looking up a profile", &sql, &[&id]).await?.is_empty())
    }
}

/// The facts of a group, the most trusted first.
fn in_order(group: &Group) -> Vec<Fact> {
    let mut contacts: Vec<&Contact> = group.contacts.iter().collect();
    let mut payments: Vec<&Payment> = group.payments.iter().collect();
    contacts.sort_by(|a, b| unify::compare_contacts(a, b));
    payments.sort_by(|a, b| unify::compare_payments(a, b));
    let contacts = contacts.into_iter().map(|contact| Fact::Contact(Box::new(contact.clone())));
    contacts
        .chain(payments.into_iter().map(|payment| Fact::Payment(Box::new(payment.clone()))))
        .collect()
}

fn row_of(fact: &Fact) -> String {
    match fact {
        Fact::Contact(contact) => contact_row(contact),
        Fact::Payment(payment) => payment.feed.source_row(&payment.key),
        Fact::LeftOut(row) => row.feed.source_row(&row.key),
    }
}

fn contact_row(contact: &Contact) -> String {
    contact.feed.source_row(&contact.key)
}

fn profile_write(id: Uuid, profile: &Profile) -> ProfileWrite {
    let values = columns::profile(id, profile);
    let digest = columns::digest(&Uuid::nil(), &values);
    let (email, systemeio_id) = (profile.email.to_string(), profile.systemeio_id.clone());
    ProfileWrite { id, email, systemeio_id, values, digest, is_known: false }
}

/// A profile with nothing but the address and where it comes from.
fn bare(profile: &Profile) -> Profile {
    Profile {
        first_name: None,
        last_name: None,
        phone: None,
        tags: Vec::new(),
        payment_source: None,
        cohort_date: None,
        systemeio_id: None,
        systemeio_tags: None,
        created_at: None,
        last_active_at: None,
        ..profile.clone()
    }
}
