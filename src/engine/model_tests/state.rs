//! What a target holds, in memory, and the three moves over it: fetch, decide, write.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use uuid::Uuid;

use super::super::columns::Values;
use super::super::diff::{self, OwnerWrite, Trust};
use super::super::email_change::{self, Counts, Knowledge, Step};
use super::super::people::{self, OwnedRow, OwnerRows};
use super::super::rows::{self, RowPlan, Touched};
use super::super::shared::{self, Group, Judged, Sharer};
use super::super::versions;
use super::super::*;
use crate::facts::{EmailKey, FeedKind};
use crate::rules::NAMESPACE;
use crate::unify;

const TABLES: Uuid = NAMESPACE;

#[derive(Default)]
pub(super) struct State {
    rows: BTreeMap<RowId, (StoredRow, Vec<u8>)>,
    /// The person at which the alias of each address ends.
    roots: BTreeMap<EmailKey, EmailKey>,
    automatic: BTreeSet<EmailKey>,
    persons: HashMap<String, Person>,
    profiles: BTreeMap<Uuid, Values<14>>,
    transactions: BTreeMap<Uuid, Values<25>>,
    /// By user and course.
    enrollments: BTreeMap<(Uuid, Uuid), Values<9>>,
    conflicts: BTreeMap<Uuid, WantedConflict>,
}

/// What two targets of the same rows agree in.
pub(super) type Outcome = BTreeMap<String, String>;

impl State {
    pub(super) fn with_aliases_of(other: &Self) -> Self {
        let (roots, automatic) = (other.roots.clone(), other.automatic.clone());
        Self { roots, automatic, ..Self::default() }
    }

    /// Applies one target transaction; returns how many rows of any table it wrote.
    pub(super) fn apply(&mut self, changes: &[RowChange], env: &Env) -> usize {
        let versions = versions::derive(changes, env);
        let mut stored: HashMap<RowId, StoredRow> = changes
            .iter()
            .flat_map(|change| [change.id(), change.before()])
            .filter_map(|id| Some((id.clone(), self.rows.get(&id)?.0.clone())))
            .collect();
        let mut touched = Touched::default();
        let transitions = versions::transitions(&versions, &stored, env);
        if transitions.iter().any(email_change::may_move) {
            for step in email_change::walk(&transitions, &mut self.knowledge(env)) {
                if let Step::Move { from, to, reopened } = step {
                    self.move_person(&from, &to, reopened, &mut stored, &mut touched);
                }
            }
        }
        let roots = self.roots.clone().into_iter().collect();
        let mut plan = rows::decide(versions, &stored, &roots, Arrival::Stream, env);
        touched.merge(plan.touched.clone());
        self.settle(&mut plan, touched, env)
    }

    fn knowledge(&self, env: &Env) -> Knowledge {
        let mut counts: HashMap<EmailKey, Counts> = HashMap::new();
        for (id, (row, _)) in &self.rows {
            let Some(email) = &row.email else { continue };
            let counts = counts.entry(email.clone()).or_default();
            counts.facts += 1;
            counts.contacts += i64::from(env.feeds.kind(id.0) == FeedKind::Contact);
        }
        Knowledge::new(self.roots.clone(), self.automatic.clone(), counts)
    }

    /// The person `from` becomes `to`, with its profile.
    fn move_person(
        &mut self,
        from: &EmailKey,
        to: &EmailKey,
        reopened: bool,
        stored: &mut HashMap<RowId, StoredRow>,
        touched: &mut Touched,
    ) {
        let (a, b) = (from.to_string(), to.to_string());
        if reopened {
            self.automatic.remove(to);
        }
        let present = |id| Person {
            profile_id: id,
            state: PersonState::Present,
            profile: None,
            enrollments: None,
            outside: false,
        };
        match (self.persons.get(&a).copied(), self.persons.get(&b).copied()) {
            (Some(from_person), Some(to_person)) => {
                self.persons.insert(b.clone(), present(from_person.profile_id));
                let merged = Person { state: PersonState::Merged, ..present(to_person.profile_id) };
                self.persons.insert(a.clone(), merged);
            }
            (Some(person), None) => {
                self.persons.remove(&a);
                self.persons.insert(b.clone(), present(person.profile_id));
            }
            _ => {}
        }
        self.roots.remove(to);
        self.roots.values_mut().filter(|root| *root == from).for_each(|root| *root = to.clone());
        self.roots.insert(from.clone(), to.clone());
        self.automatic.insert(from.clone());
        let rows = self.rows.iter_mut().map(|(id, (row, _))| (id, row));
        for (id, row) in rows.chain(stored.iter_mut()) {
            if row.owner == a || row.owner == b {
                row.owner.clone_from(&b);
                row.outcome = None;
                touched.shared.extend(row.shared_id.clone().map(|value| (id.0, value)));
            }
        }
        touched.owners.extend([a, b]);
    }

    fn settle(&mut self, plan: &mut RowPlan, touched: Touched, env: &Env) -> usize {
        let before: HashSet<RowId> = plan.stored_before().into_iter().collect();
        let judged = shared::judge(&self.groups(plan, &touched, &before, env), &env.feeds);
        let mut owners = touched.owners;
        owners.extend(judged.owners.iter().cloned());
        let mut holders = self.holders(&owners, env);
        holders.extend(judged.holders.clone());
        let decided = people::decide(self.owner_rows(plan, &owners, env), &holders, env);
        let mut written = plan.writes.len() + plan.gone.len();
        let mut writes = Vec::new();
        for decided in &decided {
            let is_fresh = self.place(decided);
            let person = self.persons.get(&decided.owner).copied();
            let (write, person) =
                diff::owner(decided, person, &env.feeds, &TABLES, Trust::Digests, is_fresh);
            self.persons.extend(person.map(|person| (decided.owner.clone(), person)));
            writes.push(write);
        }
        self.store(plan, &writes, &judged);
        written += self.write(plan, writes, env);
        written + self.judge(&owners, &decided, judged)
    }

    /// Finds the profile of a new person; whether there was none.
    fn place(&mut self, decided: &people::Decided) -> bool {
        let has_profile = decided.unified.profile.is_some();
        let mut is_fresh = false;
        if has_profile && !self.persons.contains_key(&decided.owner) {
            let mut profile_id = crate::digest::uuid_v5(&NAMESPACE, decided.owner.as_bytes());
            if self.persons.values().any(|person| person.profile_id == profile_id) {
                profile_id = Uuid::new_v4();
            }
            let state = PersonState::Present;
            let person =
                Person { profile_id, state, profile: None, enrollments: None, outside: false };
            self.persons.insert(decided.owner.clone(), person);
            is_fresh = true;
        }
        if let Some(person) = self.persons.get_mut(&decided.owner) {
            person.state = match (has_profile, person.state) {
                (true, _) => PersonState::Present,
                (false, PersonState::Present) => PersonState::Absent,
                (false, state) => state,
            };
        }
        is_fresh
    }

    fn groups(
        &self,
        plan: &RowPlan,
        touched: &Touched,
        before: &HashSet<RowId>,
        env: &Env,
    ) -> BTreeMap<SharedId, Group> {
        let mut groups: BTreeMap<SharedId, Group> =
            touched.shared.iter().map(|id| (id.clone(), Group::default())).collect();
        for (id, (row, bytes)) in self.rows.iter().filter(|(id, _)| !before.contains(*id)) {
            let group = row.shared_id.clone().and_then(|value| groups.get_mut(&(id.0, value)));
            if let Some(group) = group {
                group.others.push(Sharer::new(id.clone(), row, &fact(id, bytes, env)));
            }
        }
        for write in &plan.writes {
            let value = write.row.shared_id.clone();
            let (Some(value), Some(fact)) = (value, &write.fact) else { continue };
            if let Some(group) = groups.get_mut(&(write.id.0, value)) {
                group.changed.push(Sharer::new(write.id.clone(), &write.row, fact));
            }
        }
        groups
    }

    /// With whom the shared contact_ids of these owners stay, as far as their rows are marked.
    fn holders(&self, owners: &BTreeSet<String>, env: &Env) -> HashMap<SharedId, String> {
        let mut first: BTreeMap<SharedId, (&[u8], &RowId, &str)> = BTreeMap::new();
        let mut carried = BTreeSet::new();
        for (id, (row, _)) in
            self.rows.iter().filter(|(id, _)| env.feeds.kind(id.0) == FeedKind::Contact)
        {
            let (Some(value), Some(member)) = (&row.shared_id, &row.member) else { continue };
            let shared = (id.0, value.clone());
            if owners.contains(&row.owner) {
                carried.insert(shared.clone());
            }
            let candidate = (member.as_slice(), id, row.owner.as_str());
            let best = first.entry(shared).or_insert(candidate);
            *best = candidate.min(*best);
        }
        first.retain(|id, _| carried.contains(id));
        first.into_iter().map(|(id, (_, _, owner))| (id, owner.to_owned())).collect()
    }

    fn owner_rows(&self, plan: &RowPlan, owners: &BTreeSet<String>, env: &Env) -> OwnerRows {
        let changed: HashSet<RowId> = plan.changed().cloned().collect();
        let mut all: OwnerRows = owners.iter().map(|owner| (owner.clone(), Vec::new())).collect();
        for (id, (row, bytes)) in self.rows.iter().filter(|(id, _)| !changed.contains(*id)) {
            if let Some(rows) = all.get_mut(&row.owner) {
                let fact = Some(fact(id, bytes, env));
                rows.push(OwnedRow { id: id.clone(), fact, outcome: row.outcome });
            }
        }
        for write in &plan.writes {
            let (id, fact, outcome) = (write.id.clone(), write.fact.clone(), write.row.outcome);
            all.entry(write.row.owner.clone()).or_default().push(OwnedRow { id, fact, outcome });
        }
        all
    }

    fn store(&mut self, plan: &RowPlan, writes: &[OwnerWrite], judged: &Judged) {
        for (id, _) in &plan.gone {
            self.rows.remove(id);
        }
        for write in &plan.writes {
            self.rows.insert(write.id.clone(), (write.row.clone(), write.raw.clone()));
        }
        for (id, outcome) in writes.iter().flat_map(|write| &write.outcomes) {
            self.rows.get_mut(id).unwrap().0.outcome = *outcome;
        }
        for (id, member) in &judged.members {
            self.rows.get_mut(id).unwrap().0.member = Some(member.clone());
        }
    }

    fn write(&mut self, plan: &RowPlan, writes: Vec<OwnerWrite>, env: &Env) -> usize {
        let mut count = 0;
        let mut unwanted: BTreeSet<Uuid> = payments(plan, env)
            .map(|id| unify::transaction_id(env.feeds.info(id.0), &id.1))
            .collect();
        unwanted.extend(writes.iter().flat_map(|write| &write.without).map(|(_, id)| *id));
        let profiles: Vec<_> = writes.iter().filter_map(|write| write.profile.clone()).collect();
        let ids: HashSet<Uuid> = profiles.iter().map(|profile| profile.id).collect();
        for profile in &profiles {
            self.park(profile, &ids);
        }
        for profile in profiles {
            // What digests say is not read again: it must be so.
            let old = self.profiles.get(&profile.id).map(|values| &values[1]);
            assert!(!profile.is_known || old == Some(&Some(profile.email)));
            self.profiles.insert(profile.id, profile.values);
            count += 1;
        }
        for write in writes {
            for transaction in write.transactions {
                unwanted.remove(&transaction.id);
                assert!(!transaction.is_known || self.transactions.contains_key(&transaction.id));
                self.transactions.insert(transaction.id, transaction.values);
                count += 1;
            }
            let Some(enrollments) = write.enrollments else { continue };
            let kept: BTreeSet<Uuid> = enrollments.iter().map(|e| e.course).collect();
            for enrollment in enrollments {
                let user = write.user.unwrap();
                let old =
                    self.enrollments.insert((user, enrollment.course), enrollment.values.clone());
                count += usize::from(old.as_ref() != Some(&enrollment.values));
            }
            if let Some(user) = write.revoke {
                self.enrollments.retain(|(u, course), _| *u != user || kept.contains(course));
            }
        }
        unwanted.into_iter().filter(|id| self.transactions.remove(id).is_some()).count() + count
    }

    /// A contact_id that the profile of another person has goes to this one; its digest goes with it.
    fn park(&mut self, profile: &diff::ProfileWrite, ids: &HashSet<Uuid>) {
        let Some(held) = &profile.systemeio_id else { return };
        for (id, values) in self.profiles.iter_mut().filter(|(id, _)| **id != profile.id) {
            if values[9].as_ref() == Some(held) {
                values[9] = None;
                let holder = self.persons.values_mut().find(|person| person.profile_id == *id);
                if let Some(holder) = holder.filter(|_| !ids.contains(id)) {
                    holder.profile = None;
                }
            }
        }
    }

    /// Makes the conflicts of the judged units those that are implied.
    fn judge(
        &mut self,
        owners: &BTreeSet<String>,
        decided: &[people::Decided],
        judged: Judged,
    ) -> usize {
        let mut scopes = judged.scopes;
        scopes.extend(owners.iter().map(|owner| format!("owner:{owner}")));
        let implied = decided.iter().flat_map(|decided| decided.wanted.clone());
        let wanted: BTreeMap<Uuid, WantedConflict> = implied
            .chain(judged.conflicts.into_iter().map(|conflict| WantedConflict::of(conflict, None)))
            .map(|finding| (finding.fingerprint, finding))
            .collect();
        let before = self.conflicts.clone();
        self.conflicts.retain(|fingerprint, conflict| {
            wanted.contains_key(fingerprint) || !scopes.contains(&conflict.scope)
        });
        self.conflicts.extend(wanted);
        usize::from(self.conflicts != before)
    }

    pub(super) fn outcome(&self) -> Outcome {
        let mut outcome = Outcome::new();
        let present: HashMap<Uuid, &String> = self
            .persons
            .iter()
            .filter(|(_, person)| person.state == PersonState::Present)
            .map(|(owner, person)| (person.profile_id, owner))
            .collect();
        for (id, values) in self.profiles.iter().filter(|(id, _)| present.contains_key(id)) {
            outcome.insert(format!("profile {}", present[id]), format!("{:?}", &values[1..]));
        }
        let owner_of = |user: &Option<String>| {
            user.as_ref().map(|user| present.get(&user.parse().unwrap()).copied().cloned())
        };
        for (id, values) in &self.transactions {
            let owner = owner_of(&values[1]);
            outcome.insert(format!("transaction {id}"), format!("{owner:?} {:?}", &values[2..]));
        }
        for ((user, course), values) in &self.enrollments {
            let owner = present.get(user);
            outcome.insert(format!("enrollment {owner:?} {course}"), format!("{:?}", &values[3..]));
        }
        for conflict in self.conflicts.values() {
            let name = format!("conflict {} {}", conflict.kind, conflict.subject);
            outcome.insert(name, format!("{} {}", conflict.severity.as_str(), conflict.evidence));
        }
        for (id, (row, _)) in &self.rows {
            let values = format!("{} {:?} {:?}", row.owner, row.email, row.shared_id);
            outcome.insert(format!("row {id:?}"), values);
        }
        outcome
    }
}

/// The payments that are gone.
fn payments<'p>(plan: &'p RowPlan, env: &'p Env) -> impl Iterator<Item = &'p RowId> {
    plan.gone.iter().map(|(id, _)| id).filter(|id| env.feeds.kind(id.0) == FeedKind::Payment)
}

fn fact(id: &RowId, bytes: &[u8], env: &Env) -> Fact {
    let values = raw::decode(bytes, env.feeds.shape(id.0)).unwrap();
    Fact::derive(id, &values.row, env)
}
