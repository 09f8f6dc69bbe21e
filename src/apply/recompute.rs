//! Steps two to four: the facts of touched owners are loaded, unified, and what differs is written.

use std::collections::{BTreeSet, HashMap};

use jiff::civil;
use rayon::prelude::*;
use uuid::Uuid;

use super::isolate::Rejected;
use super::people::{People, State};
use super::targets::Written;
use super::{Db, OWNERS_PER_ROUND, Touched, Writer};
use crate::error::Result;
use crate::facts::{Feed, SourceKey, source_row};
use crate::rules::Rules;
use crate::unify::{self, Conflict, Context, Group, Owner, Unified};

/// What a recompute wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Rows of unified_profiles.
    pub profiles: Written,
    /// Rows of transactions.
    pub transactions: Written,
    /// Rows of enrollments.
    pub enrollments: Written,
    /// Transactions deleted.
    pub deleted: u64,
}

impl Report {
    /// Adds another report.
    pub fn add(&mut self, other: Self) {
        for (mine, theirs) in [
            (&mut self.profiles, other.profiles),
            (&mut self.transactions, other.transactions),
            (&mut self.enrollments, other.enrollments),
        ] {
            mine.updated += theirs.updated;
            mine.inserted += theirs.inserted;
        }
        self.deleted += other.deleted;
    }

    /// Counts what was written in the metrics.
    pub fn count(&self) {
        for (table, written) in [
            ("profiles", self.profiles),
            ("transactions", self.transactions),
            ("enrollments", self.enrollments),
        ] {
            crate::metrics::count_rows_applied(table, "insert", written.inserted);
            crate::metrics::count_rows_applied(table, "update", written.updated);
        }
        crate::metrics::count_rows_applied("transactions", "delete", self.deleted);
    }
}

/// One round: owners and their facts unified. Nothing of it depends on the target tables, so it can be
/// made ahead, on another session, while the round before is written.
pub struct Round {
    pub(super) owners: Vec<String>,
    pub(super) unified: Vec<Unified>,
    /// Scopes judged by unifying.
    scopes: BTreeSet<String>,
    /// Source rows of each owner's payments and contacts.
    pub(super) rows: HashMap<String, Vec<String>>,
    /// Payments of these owners, whether or not they give a transaction.
    payments: Vec<SourceKey>,
}

impl Round {
    /// Loads the facts of these owners and unifies them.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn load(
        db: &Db,
        owners: Vec<String>,
        rules: &Rules,
        today: civil::Date,
    ) -> Result<Self> {
        let groups = super::load_groups(db, &owners, today).await?;
        let mut round = Self {
            owners,
            unified: Vec::with_capacity(groups.len()),
            scopes: BTreeSet::new(),
            rows: HashMap::new(),
            payments: Vec::new(),
        };
        let groups: Vec<_> = groups.into_iter().collect();
        let unify = |(_, (group, context)): &(String, (Group, Context))| {
            (unify::unify(group, context, rules), unify::scopes(group), group.source_rows())
        };
        let unified: Vec<_> = groups.par_iter().map(unify).collect();
        for ((owner, (group, _)), (unified, scopes, rows)) in groups.into_iter().zip(unified) {
            round.scopes.extend(scopes);
            round.rows.insert(owner, rows);
            round.payments.extend(group.payments.into_iter().map(|payment| payment.key));
            round.unified.push(unified);
        }
        Ok(round)
    }

    /// Loads the next owners in byte order, persons without facts included; `None` at the end.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn next(
        db: &Db,
        after: &str,
        limit: i64,
        rules: &Rules,
        today: civil::Date,
    ) -> Result<Option<Self>> {
        let sql = include_str!("sql/next_owners.sql");
        let rows = db.query("target: reading owners", sql, &[&after, &limit]).await?;
        let owners: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        if owners.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self::load(db, owners, rules, today).await?))
    }

    /// The last owner of the round.
    #[must_use]
    pub fn last(&self) -> Option<&String> {
        self.owners.last()
    }
}

impl Writer {
    /// Brings the targets of everything touched up to date, in rounds of bounded size.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn recompute(&mut self, touched: &Touched) -> Result<Report> {
        let owners: Vec<&String> = touched.owners.iter().collect();
        let mut report = Report::default();
        let mut changed_people = touched.people.clone();
        for round in owners.chunks(OWNERS_PER_ROUND) {
            let owners: Vec<String> = round.iter().map(|owner| (*owner).clone()).collect();
            report.add(self.recompute_owners(owners, &mut changed_people).await?);
        }
        report.deleted += self.forget_removed(touched).await?;
        self.judge_groups(touched, &changed_people).await?;
        Ok(report)
    }

    /// One round of owners; persons who came, left or came back are added to `changed_people`.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn recompute_owners(
        &mut self,
        owners: Vec<String>,
        changed_people: &mut BTreeSet<String>,
    ) -> Result<Report> {
        let round = Round::load(&self.db, owners, &self.rules, self.today).await?;
        self.apply_round(&round, changed_people).await
    }

    /// Writes what differs of a round.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn apply_round(
        &mut self,
        round: &Round,
        changed_people: &mut BTreeSet<String>,
    ) -> Result<Report> {
        let owners = &round.owners;
        let wanted: Vec<&str> = round
            .unified
            .iter()
            .filter(|unified| unified.profile.is_some())
            .map(|unified| unified.owner.as_str())
            .collect();
        let left: Vec<&str> = owners
            .iter()
            .map(String::as_str)
            .filter(|owner| !owner.contains(' ') && wanted.binary_search(owner).is_err())
            .collect();
        let people = self.find_people(&wanted, &left).await?;
        changed_people.extend(people.changed.iter().cloned());
        let mut scopes = round.scopes.clone();
        let mut conflicts: Vec<Conflict> =
            round.unified.iter().flat_map(|unified| unified.conflicts.iter().cloned()).collect();
        // Also of those without a fact left, persons or not.
        let of_owner = |owner: &String| unify::scope_of_owner(&Owner::from_stored(owner.clone()));
        scopes.extend(owners.iter().map(of_owner));
        for owner in owners.iter().filter(|owner| !owner.contains(' ')) {
            scopes.insert(unify::scope_of_link(owner));
            conflicts.extend(link_conflicts(owner, &people, round.rows.contains_key(owner)));
        }
        let report = self.write_round(round, &people, &mut conflicts).await?;
        for rows in round.rows.values() {
            scopes.extend(rows.iter().map(|row| unify::scope_of_rejected(row)));
        }
        self.reconcile_conflicts(&scopes, conflicts).await?;
        Ok(report)
    }

    /// Writes a round; what the target refuses is isolated (P10).
    async fn write_round(
        &self,
        round: &Round,
        people: &People,
        conflicts: &mut Vec<Conflict>,
    ) -> Result<Report> {
        let mut rejected = Rejected::default();
        let mut report = self.isolate(round, people, &mut rejected).await?;
        conflicts.extend(rejected.conflicts());
        let without: Vec<Uuid> = transactions_gone(round);
        report.deleted += self.remove_transactions(&without, &round.payments, conflicts).await?;
        Ok(report)
    }

    /// The targets of whole owners: profiles, then transactions, then enrollments, which reference both.
    pub(super) async fn write_unified(
        &self,
        unified: &[&Unified],
        owners: &[String],
        people: &People,
    ) -> Result<Report> {
        let user = |u: &Unified| user_of(u.owner.as_str(), u.profile.is_some(), people);
        let profiles: Vec<_> =
            unified.iter().filter_map(|u| Some((user(u)?, u.profile.as_ref()?))).collect();
        let transactions: Vec<_> =
            unified.iter().flat_map(|u| u.transactions.iter().map(move |t| (user(u), t))).collect();
        let enrollments: Vec<_> = unified
            .iter()
            .filter_map(|u| Some((user(u)?, u)))
            .flat_map(|(user, u)| u.enrollments.iter().map(move |e| (user, e)))
            .collect();
        let held: Vec<Uuid> = owners
            .iter()
            .filter_map(|owner| people.recorded.get(owner))
            .filter(|person| person.state != State::Waiting)
            .map(|person| person.profile_id)
            .collect();
        let report = Report {
            profiles: self.write_profiles(&profiles).await?,
            transactions: self.write_transactions(&transactions).await?,
            enrollments: self.write_enrollments(&enrollments).await?,
            deleted: 0,
        };
        self.revoke_enrollments(&held, &enrollments).await?;
        Ok(report)
    }

    /// Removes the transactions of payments that are gone, and closes what was judged about removed rows.
    async fn forget_removed(&mut self, touched: &Touched) -> Result<u64> {
        if touched.removed.is_empty() {
            return Ok(0);
        }
        let payments: Vec<SourceKey> = touched.removed_payments().cloned().collect();
        let ids: Vec<Uuid> = payments.iter().map(unify::transaction_id).collect();
        let mut conflicts = Vec::new();
        let deleted = self.remove_transactions(&ids, &payments, &mut conflicts).await?;
        let mut scopes = BTreeSet::new();
        for row in touched.removed_rows() {
            scopes.insert(unify::scope_of_rejected(&row));
            scopes.insert(row);
        }
        self.reconcile_conflicts(&scopes, conflicts).await?;
        Ok(deleted)
    }

    /// Deletes transactions; those that the application still references stay with a conflict. A payment
    /// among `judged` that is not blocked has that conflict closed.
    async fn remove_transactions(
        &self,
        ids: &[Uuid],
        judged: &[SourceKey],
        conflicts: &mut Vec<Conflict>,
    ) -> Result<u64> {
        let (deleted, blocked) =
            if ids.is_empty() { (0, vec![]) } else { self.delete_transactions(ids).await? };
        let stored = self.blocked_scopes(judged).await?;
        if blocked.is_empty() && stored.is_empty() {
            return Ok(deleted);
        }
        let by_id: HashMap<Uuid, &SourceKey> =
            judged.iter().map(|key| (unify::transaction_id(key), key)).collect();
        let mut found = Vec::new();
        for (id, table) in &blocked {
            if let Some(key) = by_id.get(id) {
                let row = source_row(Feed::Xendit, key);
                found.push(unify::delete_blocked(&row, *id, table));
            }
        }
        self.reconcile_conflicts(&stored, found.clone()).await?;
        conflicts.extend(found);
        Ok(deleted)
    }

    async fn blocked_scopes(&self, judged: &[SourceKey]) -> Result<BTreeSet<String>> {
        if judged.is_empty() {
            return Ok(BTreeSet::new());
        }
        let scope = |key| unify::scope_of_blocked(&source_row(Feed::Xendit, key));
        let scopes: Vec<String> = judged.iter().map(scope).collect();
        self.stored_scopes(&scopes).await
    }
}

/// Ids of payments of a round that give no transaction.
fn transactions_gone(round: &Round) -> Vec<Uuid> {
    let kept: std::collections::HashSet<Uuid> =
        round.unified.iter().flat_map(|u| u.transactions.iter().map(|t| t.id)).collect();
    round.payments.iter().map(unify::transaction_id).filter(|id| !kept.contains(id)).collect()
}

/// The profile of an owner, where there is one to reference.
pub(super) fn user_of(owner: &str, has_profile: bool, people: &People) -> Option<Uuid> {
    let person = people.recorded.get(owner).filter(|_| has_profile)?;
    (person.state == State::Present).then_some(person.profile_id)
}

/// Conflicts about how a person and its profile are linked.
fn link_conflicts(owner: &str, people: &People, has_facts: bool) -> Vec<Conflict> {
    let mut conflicts = Vec::new();
    if let Some(others) = people.duplicates.get(owner) {
        conflicts.push(unify::duplicate_profile(owner, usize::try_from(*others).unwrap_or(0)));
    }
    match people.recorded.get(owner).map(|person| person.state) {
        Some(State::Waiting) if has_facts => conflicts.push(unify::missing_auth_user(owner)),
        Some(State::Absent) if !has_facts => conflicts.push(unify::source_absent(owner)),
        _ => {}
    }
    conflicts
}
