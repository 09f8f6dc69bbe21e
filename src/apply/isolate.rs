//! What the target refuses stands alone (P10): a constraint or trigger of the application, or a column too
//! narrow, must not keep all other rows from going on.
//!
//! A round that is refused is written in halves, until the owner with the refused row is alone. Of that
//! owner each transaction and each enrollment is tried by itself. A profile is made of many rows: it is made
//! again without those that it is refused for.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::people::People;
use super::recompute::{Report, Round, user_of};
use super::targets::Written;
use super::{Writer, load_groups};
use crate::error::{Error, Result};
use crate::facts::{Contact, Feed, Payment, source_row};
use crate::unify::{self, Conflict, Context, Group, Profile, Unified};

/// Source rows that the target refused, each with the reason that was met first.
#[derive(Debug, Default)]
pub(super) struct Rejected(BTreeMap<String, String>);

impl Rejected {
    fn add(&mut self, row: String, reason: &str) {
        self.0.entry(row).or_insert_with(|| reason.to_owned());
    }

    pub(super) fn conflicts(&self) -> impl Iterator<Item = Conflict> {
        self.0.iter().map(|(row, reason)| unify::rejected_row(row, reason))
    }
}

/// One fact of a person.
#[derive(Clone, Copy)]
enum Fact<'a> {
    Contact(&'a Contact),
    Payment(&'a Payment),
}

impl Fact<'_> {
    fn row(&self) -> String {
        match self {
            Self::Contact(contact) => source_row(Feed::Systemeio, &contact.key),
            Self::Payment(payment) => source_row(Feed::Xendit, &payment.key),
        }
    }
}

impl Writer {
    /// Writes a round, in halves where it is refused.
    pub(super) async fn isolate(
        &self,
        round: &Round,
        people: &People,
        rejected: &mut Rejected,
    ) -> Result<Report> {
        let mut report = Report::default();
        let by_owner: HashMap<&str, &Unified> =
            round.unified.iter().map(|u| (u.owner.as_str(), u)).collect();
        let mut open = vec![round.owners.as_slice()];
        while let Some(owners) = open.pop() {
            let unified: Vec<&Unified> =
                owners.iter().filter_map(|owner| by_owner.get(owner.as_str()).copied()).collect();
            match (self.attempt(self.write_unified(&unified, owners, people)).await?, owners) {
                (Ok(written), _) => report.add(written),
                (Err(reason), [owner]) => {
                    let first = round.rows.get(owner).and_then(|rows| rows.first());
                    if unified.is_empty() {
                        // Nobody's facts: there is no row to tell it of.
                        tracing::warn!(reason, "the target refuses to revoke enrollments");
                    }
                    for unified in unified {
                        let wrote = self.isolate_rows(unified, people, first, rejected).await?;
                        report.add(wrote);
                    }
                }
                (Err(_), owners) => {
                    let (first, second) = owners.split_at(owners.len() / 2);
                    open.extend([second, first]);
                }
            }
        }
        Ok(report)
    }

    /// Writes each row of one owner by itself. What no single row explains is told of the `first`.
    async fn isolate_rows(
        &self,
        unified: &Unified,
        people: &People,
        first: Option<&String>,
        rejected: &mut Rejected,
    ) -> Result<Report> {
        let mut report = Report::default();
        let mut user = user_of(unified.owner.as_str(), unified.profile.is_some(), people);
        if let (Some(id), Some(profile)) = (user, &unified.profile) {
            report.profiles = self.isolate_profile(id, profile, first, rejected).await?;
            user = self.profile_exists(id).await?.then_some(id);
        }
        let mut rows: HashMap<Uuid, String> = HashMap::new();
        for transaction in &unified.transactions {
            let row = source_row(Feed::Xendit, &transaction.source_key);
            match self.attempt(self.write_transactions(&[(user, transaction)])).await? {
                Ok(transactions) => {
                    rows.insert(transaction.id, row);
                    report.add(Report { transactions, ..Report::default() });
                }
                Err(reason) => rejected.add(row, &reason),
            }
        }
        let Some(user) = user else { return Ok(report) };
        for enrollment in &unified.enrollments {
            // Without its transaction there is nothing that it could show.
            let Some(row) = rows.get(&enrollment.transaction_id) else { continue };
            match self.attempt(self.write_enrollments(&[(user, enrollment)])).await? {
                Ok(enrollments) => report.add(Report { enrollments, ..Report::default() }),
                Err(reason) => rejected.add(row.clone(), &reason),
            }
        }
        // One that was refused is not without a transaction: it stays as it is.
        let wanted: Vec<_> = unified.enrollments.iter().map(|e| (user, e)).collect();
        let revoked = self.attempt(self.revoke_enrollments(&[user], &wanted)).await?;
        if let (Err(reason), Some(first)) = (revoked, first) {
            rejected.add(first.clone(), &reason);
        }
        Ok(report)
    }

    /// Writes a profile without the rows that it is refused for. In the end a person has one all the same
    /// (SPEC §4.1), if only with its address.
    async fn isolate_profile(
        &self,
        id: Uuid,
        profile: &Profile,
        first: Option<&String>,
        rejected: &mut Rejected,
    ) -> Result<Written> {
        let reason = match self.attempt(self.write_profiles(&[(id, profile)])).await? {
            Ok(written) => return Ok(written),
            Err(reason) => reason,
        };
        let bare = bare(profile);
        if let Err(reason) = self.try_profile(id, &bare).await? {
            // It is not for what a row says.
            if let Some(first) = first {
                rejected.add(first.clone(), &reason);
            }
            return Ok(Written::default());
        }
        let owner = profile.email.to_string();
        let mut groups = load_groups(&self.db, std::slice::from_ref(&owner), self.today).await?;
        let Some((group, context)) = groups.remove(&owner) else { return Ok(Written::default()) };
        // Its contact_id may be a profile's that belongs to no person and is left alone (SPEC §4.1): the rest
        // of the row is as good as any.
        let without = Profile { systemeio_id: None, ..profile.clone() };
        let holder = group.contacts.iter().find(|contact| {
            profile.systemeio_id.is_some() && contact.contact_id == profile.systemeio_id
        });
        if let Some(contact) = holder
            && self.try_profile(id, &without).await?.is_ok()
        {
            rejected.add(source_row(Feed::Systemeio, &contact.key), &reason);
            return self.write_profiles(&[(id, &without)]).await;
        }
        let accepted = self.acceptable(id, &group, &context, rejected).await?;
        let profile = unify::unify(&accepted, &context, &self.rules).profile;
        let profile = profile.as_ref().unwrap_or(&bare);
        match self.attempt(self.write_profiles(&[(id, profile)])).await? {
            Ok(written) => Ok(written),
            Err(_) => self.write_profiles(&[(id, &bare)]).await,
        }
    }

    /// The facts of a person without those for which its profile is refused, found by halves.
    async fn acceptable(
        &self,
        id: Uuid,
        group: &Group,
        context: &Context,
        rejected: &mut Rejected,
    ) -> Result<Group> {
        let mut contacts: Vec<&Contact> = group.contacts.iter().collect();
        let mut payments: Vec<&Payment> = group.payments.iter().collect();
        contacts.sort_by(|a, b| unify::compare_contacts(a, b));
        payments.sort_by(|a, b| unify::compare_payments(a, b));
        let contacts = contacts.into_iter().map(Fact::Contact);
        let facts: Vec<Fact<'_>> =
            contacts.chain(payments.into_iter().map(Fact::Payment)).collect();
        let none = Group { contacts: Vec::new(), payments: Vec::new(), ..group.clone() };
        let mut accepted = none;
        let mut open = vec![facts.as_slice()];
        while let Some(some) = open.pop() {
            let mut with = accepted.clone();
            for fact in some {
                match *fact {
                    Fact::Contact(contact) => with.contacts.push(contact.clone()),
                    Fact::Payment(payment) => with.payments.push(payment.clone()),
                }
            }
            let tried = match unify::unify(&with, context, &self.rules).profile {
                Some(profile) => self.try_profile(id, &profile).await?,
                None => Ok(()),
            };
            match (tried, some) {
                (Ok(()), _) => accepted = with,
                (Err(reason), [fact]) => rejected.add(fact.row(), &reason),
                (Err(_), some) => {
                    let (first, second) = some.split_at(some.len() / 2);
                    open.extend([second, first]);
                }
            }
        }
        Ok(accepted)
    }

    /// Whether the target takes a profile; nothing of it stays.
    async fn try_profile(
        &self,
        id: Uuid,
        profile: &Profile,
    ) -> Result<std::result::Result<(), String>> {
        self.savepoint().await?;
        let tried = self.write_profiles(&[(id, profile)]).await;
        self.undo_savepoint().await?;
        match tried {
            Ok(_) => Ok(Ok(())),
            Err(Error::Data { cause, .. }) => Ok(Err(cause)),
            Err(other) => Err(other),
        }
    }

    /// Runs a write in a savepoint: `Ok(Err(reason))` where the target refuses the data.
    pub(super) async fn attempt<T>(
        &self,
        write: impl Future<Output = Result<T>>,
    ) -> Result<std::result::Result<T, String>> {
        self.savepoint().await?;
        match write.await {
            Ok(value) => {
                self.db.batch("target: closing a savepoint", "release savepoint attempt").await?;
                Ok(Ok(value))
            }
            Err(Error::Data { cause, .. }) => {
                self.undo_savepoint().await?;
                Ok(Err(cause))
            }
            Err(other) => Err(other),
        }
    }

    async fn savepoint(&self) -> Result<()> {
        self.db.batch("target: opening a savepoint", "savepoint attempt").await
    }

    async fn undo_savepoint(&self) -> Result<()> {
        let undo = "rollback to savepoint attempt; release savepoint attempt";
        self.db.batch("target: going back to a savepoint", undo).await
    }

    async fn profile_exists(&self, id: Uuid) -> Result<bool> {
        let sql = format!("select 1 from {} where id = $1", self.tables.names.profiles);
        Ok(!self.db.query("target: looking up a profile", &sql, &[&id]).await?.is_empty())
    }
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
