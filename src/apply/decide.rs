//! Deciding one round of owners: what the target has of them is looked up, and the engine decides.

use std::collections::{BTreeSet, HashMap, HashSet};

use uuid::Uuid;

use super::Applier;
use super::fetch::State;
use super::settle::Mode;
use crate::cores;
use crate::engine::diff::{self, OwnerWrite, Trust};
use crate::engine::people::{self, Decided};
use crate::engine::rollout::{self, Withheld};
use crate::engine::rows::RowPlan;
use crate::engine::{Person, PersonState, RowId};
use crate::error::Result;
use crate::pg::Tx;
use crate::targets::{self, Fresh, auth_users, profile_ids};

/// Transactions that are not known to exist are looked up before they are inserted, where there are so many that a
/// plain insert pays.
const LOOK_UP_FROM: usize = 16;

/// What one round comes to before it is written.
pub(super) struct Round {
    pub(super) decided: Vec<Decided>,
    pub(super) writes: Vec<OwnerWrite>,
    pub(super) persons: HashMap<String, Person>,
    /// Those who were recorded before.
    pub(super) recorded: HashSet<String>,
    /// Persons who are new, left, came back, or whose digests differ.
    pub(super) person_writes: BTreeSet<String>,
    /// Persons who came, left or came back.
    pub(super) changed_people: BTreeSet<String>,
    pub(super) fresh: Fresh,
    /// Profiles of those who come in.
    pub(super) coming: Vec<Uuid>,
    /// What is not written of each owner.
    pub(super) withheld: Vec<(String, Withheld)>,
    /// Transactions of the application that payments take over.
    pub(super) adopted: Vec<(RowId, Uuid)>,
}

impl Applier {
    /// Unifies the owners, finds the ids of new persons and compares with what was last written.
    pub(super) async fn decide(
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
        let strangers = self.without_profile(tx, &decided, &before, mode.careful).await?;
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
        let (mut changed_people, mut coming) = (BTreeSet::new(), Vec::new());
        for decided in decided.iter().filter(|decided| decided.is_person()) {
            let Some(person) = persons.get_mut(&decided.owner) else { continue };
            if decided.is_incomplete {
                // What was written stays until its rows are known (P6).
                continue;
            }
            person.state = person.state.with_profile(decided.unified.profile.is_some());
            person.outside = !rollout.includes(&decided.owner, before.get(&decided.owner));
            let was_outside = before.get(&decided.owner).is_some_and(|before| before.outside);
            if was_outside && !person.outside {
                coming.push(person.profile_id);
            }
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
            let trust = state.trust(&decided.owner, mode.trust);
            (!is_left_out).then(|| diff::owner(decided, person, feeds, identity, trust, is_fresh))
        };
        let compared = cores::map_of(&decided, compared);
        let mut writes = Vec::with_capacity(compared.len());
        let mut withheld = Vec::new();
        let by_owner: HashMap<&str, &Decided> = if self.has_outside || !rollout.is_complete() {
            decided.iter().map(|decided| (decided.owner.as_str(), decided)).collect()
        } else {
            HashMap::new()
        };
        for (mut write, mut person) in compared.into_iter().flatten() {
            if let Some(decided) = by_owner.get(write.owner.as_str()) {
                let feeds = &self.env.feeds;
                let was_in = before.get(&decided.owner).is_some_and(|before| !before.outside);
                let owned = (person.as_mut(), was_in);
                let kept = rollout::withhold(&mut write, decided, owned, rollout, feeds);
                withheld.push((write.owner.clone(), kept));
            }
            if let Some(person) = person {
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
            coming,
            withheld,
            adopted,
        })
    }

    /// Everything that an owner of the round should have, whatever its digests say. `None` during a rollout, where a part of it may
    /// be withheld.
    pub(super) fn whole_write(&self, owner: &OwnerWrite, round: &Round) -> Option<OwnerWrite> {
        if !self.env.rollout.is_complete() {
            return None;
        }
        let decided = round.decided.iter().find(|decided| decided.owner == owner.owner)?;
        let person = round.persons.get(&owner.owner).copied();
        let (feeds, identity) = (&self.env.feeds, &self.tables.identity);
        Some(diff::owner(decided, person, feeds, identity, Trust::Nothing, false).0)
    }

    /// Those who come in and of whom the target has no profile under the id that was recorded while they were outside: the
    /// application may have made one under another id since. After a refusal also those whose profile is gone with its user: no profile
    /// can have that id any more.
    async fn without_profile(
        &self,
        tx: &Tx,
        decided: &[Decided],
        before: &HashMap<String, Person>,
        was_refused: bool,
    ) -> Result<HashSet<String>> {
        let has_users = self.tables.needs_auth_user && self.tables.link_auth_users;
        let may_be_lost = was_refused && has_users;
        let comes_in = |decided: &&Decided| {
            let recorded = before.get(&decided.owner);
            recorded.is_some_and(|person| {
                person.state == PersonState::Present && (person.outside || may_be_lost)
            }) && self.env.rollout.includes(&decided.owner, recorded)
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
        let users: HashSet<Uuid> = if may_be_lost {
            auth_users::there(tx, &ids).await?.into_iter().collect()
        } else {
            HashSet::new()
        };
        let missing =
            coming.into_iter().filter(|(id, _)| !there.contains(id) && !users.contains(id));
        Ok(missing.map(|(_, owner)| owner.clone()).collect())
    }

    /// A unique value that a row of somebody outside holds is left out (SPEC §7a).
    pub(super) async fn leave_held_values(&self, tx: &Tx, round: &mut Round) -> Result<()> {
        if self.env.rollout.is_complete() {
            return Ok(());
        }
        let within = round.persons.values().filter(|person| !person.outside);
        let within: Vec<Uuid> = within.map(|person| person.profile_id).collect();
        let held = targets::write::held_outside(tx, &self.tables, &round.writes, &within).await?;
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
}
