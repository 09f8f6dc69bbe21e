//! Decide and write: the owners that a set of changes touches become what their rows imply.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Instant;

use rayon::prelude::*;
use uuid::Uuid;

use super::fetch::State;
use super::quarantine::Refused;
use super::totals::Totals;
use super::{Applier, OWNERS_PER_ROUND};
use crate::engine::diff::{self, OwnerWrite, Trust};
use crate::engine::people::{self, Decided};
use crate::engine::rollout::{self, Withheld};
use crate::engine::rows::{RowPlan, Touched};
use crate::engine::shared;
use crate::engine::{Person, PersonState, RowId, StoredRow};
use crate::error::{Error, Result};
use crate::metrics::{self, Stage};
use crate::pg::{Group, Tx};
use crate::store::{self, checkpoint::Advance};
use crate::targets::{self, Fresh, Report, profile_ids};
use crate::unify::{self, Conflict};

/// Transactions that are not known to exist are looked up before they are inserted, where there are so many that a
/// plain insert pays.
const LOOK_UP_FROM: usize = 16;

/// Owners from which on all cores compare them.
const PARALLEL_FROM: usize = 16;

/// How owners are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode {
    /// How far outcome digests are believed.
    pub trust: Trust,
    /// Whether what the target refuses is isolated by savepoints.
    pub careful: bool,
    /// Whether quarantined owners are written too.
    pub with_quarantined: bool,
    /// Whether the outcomes of rows that are not written are noted.
    pub note_outcomes: bool,
}

impl Mode {
    /// Streamed changes.
    pub const STREAM: Self = Self {
        trust: Trust::Digests,
        careful: false,
        with_quarantined: false,
        note_outcomes: true,
    };
    /// A batch that the target refused.
    pub const CAREFUL: Self =
        Self { trust: Trust::Nothing, careful: true, with_quarantined: true, ..Self::STREAM };
    /// As streamed changes, compared with the rows themselves.
    pub const COMPARED: Self = Self { trust: Trust::Nothing, ..Self::STREAM };
    /// Everybody, from the stored rows.
    pub const EVERYBODY: Self = Self {
        trust: Trust::Nothing,
        careful: false,
        with_quarantined: true,
        note_outcomes: false,
    };
    /// Quarantined owners whose next attempt is due.
    pub const RETRY: Self = Self { with_quarantined: true, ..Self::CAREFUL };

    /// The same with savepoints.
    #[must_use]
    pub fn carefully(self) -> Self {
        Self { trust: Trust::Nothing, careful: true, with_quarantined: true, ..self }
    }
}

/// What one round comes to before it is written.
struct Round {
    decided: Vec<Decided>,
    writes: Vec<OwnerWrite>,
    persons: HashMap<String, Person>,
    /// Those who were recorded before.
    recorded: HashSet<String>,
    /// Persons who are new, left, came back, or whose digests differ.
    person_writes: BTreeSet<String>,
    /// Persons who came, left or came back.
    changed_people: BTreeSet<String>,
    fresh: Fresh,
    /// Persons who are outside of the rollout.
    outside: HashSet<String>,
    /// What is not written of each owner.
    withheld: Vec<(String, Withheld)>,
    /// Transactions of the application that payments take over.
    adopted: Vec<(RowId, Uuid)>,
}

impl Applier {
    /// Brings everything touched up to date, in rounds of bounded size.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn recompute(&mut self, tx: &Tx, touched: Touched, mode: Mode) -> Result<Report> {
        let mut report = Report::default();
        let owners: Vec<String> = touched.owners.into_iter().collect();
        let mut rest = Touched { owners: BTreeSet::new(), ..touched };
        for round in owners.chunks(OWNERS_PER_ROUND) {
            let mut round = Touched::owners(round.iter().cloned());
            std::mem::swap(&mut round.shared, &mut rest.shared);
            std::mem::swap(&mut round.people, &mut rest.people);
            report.add(self.settle(tx, RowPlan::default(), round, mode, None).await?);
        }
        if !rest.is_empty() {
            report.add(self.settle(tx, RowPlan::default(), rest, mode, None).await?);
        }
        Ok(report)
    }

    /// Decides and writes everything that a plan touches, with the rows of the plan itself, and the checkpoint.
    ///
    /// # Errors
    /// Those of the target; [`crate::error::Error::Data`] where it refuses or drops a row, unless `mode` is careful.
    pub async fn settle(
        &mut self,
        tx: &Tx,
        mut plan: RowPlan,
        touched: Touched,
        mode: Mode,
        advance: Option<&Advance>,
    ) -> Result<Report> {
        let started = Instant::now();
        let mut state = self.fetch(tx, &mut plan, &touched).await?;
        let judged = shared::judge(&state.shared, &self.env.feeds);
        state.holders.extend(judged.holders.clone());
        self.fetch_more(tx, &plan, &judged.owners, &mut state).await?;
        let started = timed(Stage::Fetch, started);
        if !mode.with_quarantined && !state.quarantined.is_empty() {
            // Their answer changed, and may be accepted now: the batch is written with savepoints.
            return Err(Error::data("target: writing owners", "one of them is quarantined"));
        }
        store::row::set_incomplete(tx, &state.unreadable).await?;
        let mut round = self.decide(tx, &mut state, &plan, mode).await?;
        self.leave_held_values(tx, &mut round).await?;
        let decided = (round.decided.as_slice(), round.writes.as_slice());
        self.watch_round(tx, decided, &round.persons, &plan.gone).await?;
        let started = timed(Stage::Decide, started);
        let totals = Totals::of(&round.decided);
        let outcomes = take_outcomes(&mut round, &mut plan, mode);
        let members = mark_members(&judged.members, &mut plan);

        let mut group = Group::default();
        let gone: Vec<RowId> = plan.gone.iter().map(|(id, _)| id.clone()).collect();
        store::row::write(&mut group, &gone, &[]);
        if !gone.is_empty() {
            // Their keys may be taken again.
            std::mem::take(&mut group).send(tx).await?;
        }
        store::row::copy_new(tx, &mut plan.writes).await?;
        store::row::write(&mut group, &[], &plan.writes);
        if let Some(chunk) = plan.seen_in {
            store::row::mark_seen(&mut group, &plan.seen, chunk, self.env.generation);
        }
        store::adopted::record(&mut group, &round.adopted);
        self.has_adopted |= !round.adopted.is_empty();
        store::row::set_members(&mut group, &members);
        store::row::set_outcomes(&mut group, &outcomes);
        let people = round
            .person_writes
            .iter()
            .filter_map(|key| Some((key.clone(), *round.persons.get(key)?)));
        let (known, new): (Vec<_>, Vec<_>) =
            people.partition(|(key, _)| round.recorded.contains(key));
        // Before the target tables: a unique value that is freed there takes the digest of its holder with it.
        store::person::insert(&mut group, &self.tables.names.profiles, &new);
        store::person::update(&mut group, &known);
        store::search::write(&mut group, &round.decided, &round.writes, &round.person_writes);
        let mut refused = Refused::default();
        let mut report = if mode.careful {
            group.send(tx).await?;
            group = Group::default();
            self.write_carefully(tx, &mut round.writes, &round.fresh, &mut refused).await?
        } else {
            Report::default()
        };
        store::person::forget_digests(&mut group, refused.owners());
        let mut positions = None;
        if !mode.careful {
            let copied = targets::copy::new_rows(
                tx,
                &self.tables,
                &mut round.writes,
                &round.fresh,
                &mut group,
            );
            report.add(copied.await?);
            let writes: Vec<&OwnerWrite> = round.writes.iter().collect();
            positions =
                Some(targets::write::owners(&mut group, &self.tables, &writes, &round.fresh)?);
        }
        let wanted = self.wanted_conflicts(
            &mut round.decided,
            &state,
            &round.persons,
            judged.conflicts,
            &refused,
        );
        self.reconcile(&mut group, wanted, &state, &judged.scopes, mode);
        self.note_quarantine(&mut group, &state, &refused, mode);
        if self.has_outside || !self.env.rollout.is_complete() {
            store::outside::write(&mut group, &round.withheld);
        }
        store::row::set_outcomes(&mut group, &refused.outcomes());
        if let Some(advance) = advance {
            store::checkpoint::advance(&mut group, advance);
        }
        // Freeing what thousands of owners were decided from takes as long as a statement.
        let decided = std::mem::take(&mut round.decided);
        rayon::spawn(move || drop(decided));
        let mut people = std::mem::take(&mut round.changed_people);
        people.extend(touched.people);
        let reached = self.judge_pairs(tx, group, people).await?;
        report.add(positions.map(|at| at.report(&reached)).unwrap_or_default());
        self.has_quarantine |= !refused.is_empty();
        self.has_outside |= !self.env.rollout.is_complete();
        report.deleted += self.remove_transactions(tx, &plan, &round, mode).await?;
        self.settle_email_changes(tx, &state).await?;
        totals.count_unchanged(&report);
        timed(Stage::Write, started);
        Ok(report)
    }

    /// Unifies the owners, finds the ids of new persons and compares with what was last written.
    async fn decide(
        &self,
        tx: &Tx,
        state: &mut State,
        plan: &RowPlan,
        mode: Mode,
    ) -> Result<Round> {
        let rows = std::mem::take(&mut state.rows);
        let mut decided = people::decide(rows, &state.holders, &self.env);
        let mut persons = std::mem::take(&mut state.persons);
        let before = persons.clone();
        let rollout = self.env.rollout;
        let strangers = self.without_profile(tx, &decided, &before).await?;
        let needs_id = |decided: &Decided| {
            let person = persons.get(&decided.owner);
            decided.unified.profile.is_some()
                && person.is_none_or(|person| person.state == PersonState::Waiting)
                || strangers.contains(&decided.owner)
        };
        let new: Vec<String> =
            decided.iter().filter(|d| needs_id(d)).map(|d| d.owner.clone()).collect();
        let unknown: Vec<Uuid> = decided
            .iter()
            .flat_map(|d| &d.payments)
            .filter(|(_, outcome)| outcome.is_none())
            .map(|(row, _)| self.transaction_id(row))
            .collect();
        let looked_up: &[Uuid] = if unknown.len() >= LOOK_UP_FROM { &unknown } else { &[] };
        let wanted = self.wanted_transactions(&decided, state, mode.trust);
        let (found, existing) = tokio::try_join!(
            profile_ids::find(tx, &self.tables, &new),
            self.existing(tx, &wanted, looked_up),
        )?;
        profile_ids::adopt(tx, &found).await?;
        let adopted = self.adopt_transactions(&mut decided, state, plan, &wanted, &existing);
        let mut fresh = Fresh::default();
        fresh.transactions.extend(looked_up.iter().filter(|id| !existing.there.contains(id)));
        for (key, found) in found {
            if found.is_fresh {
                fresh.profiles.insert(found.person.profile_id);
            }
            persons.insert(key, found.person);
        }
        if self.has_blocked_deletes {
            let given: HashSet<Uuid> =
                decided.iter().flat_map(|d| &d.unified.transactions).map(|t| t.id).collect();
            let feeds = &self.env.feeds;
            let payments =
                decided.iter().flat_map(|d| d.payments.iter().map(move |(row, _)| (d, row)));
            let gives = payments.filter(|(d, row)| given.contains(&d.transaction_id(row, feeds)));
            state.given = gives.map(|(_, row)| feeds.source_row(row)).collect();
        }
        let mut changed_people = BTreeSet::new();
        for decided in decided.iter().filter(|decided| decided.is_person()) {
            let Some(person) = persons.get_mut(&decided.owner) else { continue };
            if decided.is_incomplete {
                // What was written stays until its rows are known (P6).
                continue;
            }
            person.state = person.state.with_profile(decided.unified.profile.is_some());
            person.outside = !rollout.includes(&decided.owner, before.get(&decided.owner));
            if before.get(&decided.owner).map(|before| before.state) != Some(person.state) {
                changed_people.insert(decided.owner.clone());
            }
        }
        if self.has_foreign_profiles {
            let keys: Vec<String> = decided
                .iter()
                .filter(|d| d.unified.profile.is_some())
                .map(|d| d.owner.clone())
                .collect();
            let own: Vec<Uuid> = persons.values().map(|person| person.profile_id).collect();
            state.duplicates = profile_ids::duplicates(tx, &self.tables, &keys, &own).await?;
        }
        let compared = |decided: &Decided| {
            let is_left_out = decided.is_incomplete
                || !mode.with_quarantined && state.quarantined.contains(&decided.owner);
            let person = persons.get(&decided.owner).copied();
            let is_fresh = person.is_some_and(|p| fresh.profiles.contains(&p.profile_id));
            let identity = &self.tables.identity;
            let feeds = &self.env.feeds;
            (!is_left_out)
                .then(|| diff::owner(decided, person, feeds, identity, mode.trust, is_fresh))
        };
        let compared: Vec<(OwnerWrite, Option<Person>)> = if decided.len() < PARALLEL_FROM {
            decided.iter().filter_map(compared).collect()
        } else {
            decided.par_iter().filter_map(compared).collect()
        };
        let mut writes = Vec::with_capacity(compared.len());
        let (mut withheld, mut outside) = (Vec::new(), HashSet::new());
        let by_owner: HashMap<&str, &Decided> = if self.has_outside || !rollout.is_complete() {
            decided.iter().map(|decided| (decided.owner.as_str(), decided)).collect()
        } else {
            HashMap::new()
        };
        for (mut write, mut person) in compared {
            if let Some(decided) = by_owner.get(write.owner.as_str()) {
                let feeds = &self.env.feeds;
                let kept = rollout::withhold(&mut write, decided, person.as_mut(), rollout, feeds);
                withheld.push((write.owner.clone(), kept));
            }
            if let Some(person) = person {
                if person.outside {
                    outside.insert(write.owner.clone());
                }
                persons.insert(write.owner.clone(), person);
            }
            writes.push(write);
        }
        let person_writes = decided
            .iter()
            .map(|decided| &decided.owner)
            .filter(|owner| persons.get(*owner) != before.get(*owner))
            .cloned()
            .collect();
        let recorded = before.into_keys().collect();
        Ok(Round {
            decided,
            writes,
            persons,
            recorded,
            person_writes,
            changed_people,
            fresh,
            outside,
            withheld,
            adopted,
        })
    }

    /// Those who come in and of whom the target has no profile under the id that was recorded while they were outside: the
    /// application may have made one under another id since.
    async fn without_profile(
        &self,
        tx: &Tx,
        decided: &[Decided],
        before: &HashMap<String, Person>,
    ) -> Result<HashSet<String>> {
        let comes_in = |decided: &&Decided| {
            let recorded = before.get(&decided.owner);
            recorded.is_some_and(|person| person.outside && person.state == PersonState::Present)
                && self.env.rollout.includes(&decided.owner, recorded)
        };
        let coming: HashMap<Uuid, &String> = decided
            .iter()
            .filter(comes_in)
            .filter_map(|decided| Some((before.get(&decided.owner)?.profile_id, &decided.owner)))
            .collect();
        if coming.is_empty() {
            return Ok(HashSet::new());
        }
        let ids: Vec<Uuid> = coming.keys().copied().collect();
        let there: HashSet<Uuid> =
            profile_ids::there(tx, &self.tables, &ids).await?.into_iter().collect();
        let missing = coming.into_iter().filter(|(id, _)| !there.contains(id));
        Ok(missing.map(|(_, owner)| owner.clone()).collect())
    }

    /// A unique value that a row of somebody outside holds is left out (SPEC §7a).
    async fn leave_held_values(&self, tx: &Tx, round: &mut Round) -> Result<()> {
        if self.env.rollout.is_complete() {
            return Ok(());
        }
        let profiles = round.writes.iter().filter_map(|write| write.profile.as_ref());
        let values: Vec<String> = profiles.filter_map(|p| p.systemeio_id.clone()).collect();
        let held: HashSet<String> =
            targets::write::held_outside(tx, &self.tables, &values).await?.into_iter().collect();
        for write in &mut round.writes {
            let Some(profile) = &mut write.profile else { continue };
            if !profile.systemeio_id.as_ref().is_some_and(|value| held.contains(value)) {
                continue;
            }
            profile.leave_systemeio_id();
            // What is written is not what the person should have: the next time it is compared.
            if let Some(person) = round.persons.get_mut(&write.owner) {
                person.profile = None;
            }
            round.person_writes.insert(write.owner.clone());
            let owner = round.withheld.iter_mut().find(|(owner, _)| *owner == write.owner);
            if let Some((_, withheld)) = owner {
                withheld.held = 1;
            }
        }
        Ok(())
    }

    /// Whether the transaction of a payment that is gone was never written, as its owner is outside.
    fn is_withheld(&self, id: &RowId, row: &StoredRow, outside: &HashSet<String>) -> bool {
        if self.env.rollout.is_complete() || row.outcome.is_some() {
            return false;
        }
        outside.contains(&row.owner)
            || row.owner.contains(' ') && !self.env.rollout.takes(&self.env.feeds.source_row(id))
    }

    /// Deletes the transactions of payments that are gone or give none (SPEC §5.3).
    async fn remove_transactions(
        &mut self,
        tx: &Tx,
        plan: &RowPlan,
        round: &Round,
        mode: Mode,
    ) -> Result<u64> {
        let writes = &round.writes;
        let none = Some(crate::engine::NO_TRANSACTION);
        let gone = plan.gone.iter().filter(|(id, row)| {
            self.env.feeds.kind(id.0) == crate::facts::FeedKind::Payment
                && row.outcome != none
                && !self.is_withheld(id, row, &round.outside)
        });
        let gone = gone.map(|(id, _)| id.clone());
        let mut ids = self.transaction_ids(tx, gone).await?;
        let without = writes.iter().flat_map(|write| &write.without);
        ids.extend(without.map(|(row, id)| (*id, row.clone())));
        // A row that came back under its key in the same batch has its transaction.
        for write in writes.iter().flat_map(|write| &write.transactions) {
            ids.remove(&write.id);
        }
        if ids.is_empty() {
            return Ok(0);
        }
        let all: Vec<Uuid> = ids.keys().copied().collect();
        let (deleted, blocked) =
            targets::delete::delete(tx, &self.tables, &all, mode.careful).await?;
        self.forget_adopted(tx, &all, &blocked).await?;
        let wanted: Vec<Conflict> = blocked
            .iter()
            .filter_map(|(id, table)| {
                let row = self.env.feeds.source_row(ids.get(id)?);
                Some(unify::delete_blocked(&row, *id, table))
            })
            .collect();
        self.has_blocked_deletes |= !wanted.is_empty();
        self.judge_blocked(tx, ids.values(), wanted).await?;
        Ok(deleted)
    }
}

/// Reports the time of a stage; returns the beginning of the next one.
fn timed(stage: Stage, started: Instant) -> Instant {
    metrics::time(stage, started.elapsed());
    Instant::now()
}

/// The outcomes that the round found: into the rows of the plan where they are written anyway; the others are
/// returned.
fn take_outcomes(round: &mut Round, plan: &mut RowPlan, mode: Mode) -> Vec<(RowId, Option<Uuid>)> {
    // A digest that is stored must never be older than the row that it is about.
    let known: HashSet<RowId> = round
        .decided
        .iter()
        .flat_map(|decided| &decided.payments)
        .filter(|(_, outcome)| outcome.is_some())
        .map(|(id, _)| id.clone())
        .collect();
    let mut outcomes: HashMap<RowId, Option<Uuid>> =
        round.writes.iter_mut().flat_map(|write| std::mem::take(&mut write.outcomes)).collect();
    for write in &mut plan.writes {
        if let Some(outcome) = outcomes.remove(&write.id) {
            write.row.outcome = outcome;
        }
    }
    outcomes.into_iter().filter(|(id, _)| mode.note_outcomes || known.contains(id)).collect()
}

/// Marks the rows of the plan that share an id; the others are returned.
fn mark_members(members: &[(RowId, Vec<u8>)], plan: &mut RowPlan) -> Vec<(RowId, Vec<u8>)> {
    let mut by_id: HashMap<&RowId, &Vec<u8>> = members.iter().map(|(id, m)| (id, m)).collect();
    for write in &mut plan.writes {
        if let Some(member) = by_id.remove(&write.id) {
            write.row.member = Some(member.clone());
        }
    }
    by_id.into_iter().map(|(id, member)| (id.clone(), member.clone())).collect()
}
