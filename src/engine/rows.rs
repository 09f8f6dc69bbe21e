//! First step: changes of source rows become stored rows, and the set of what they touch.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::change::{Arrival, RowId, StoredRow};
use super::env::Env;
use super::fact::{Fact, is_incomplete};
use super::state::SharedId;
use super::versions::{RowVersion, Version, last_versions, owner_of};
use crate::facts::{EmailKey, Feed};

/// In place of a chunk: the row came by the stream while a reconcile read. Whatever the reconcile finds changed was changed
/// before that.
const BESIDE_READING: i64 = 0;

/// A row to be stored.
#[derive(Debug, Clone)]
pub struct RowWrite {
    /// Which.
    pub id: RowId,
    /// Whether a row with this key is stored already.
    pub exists: bool,
    /// What is stored beside the values.
    pub row: StoredRow,
    /// The values, see [`super::raw`].
    pub raw: Vec<u8>,
    /// What it says; `None`: a value is unknown (P6).
    pub fact: Option<Fact>,
}

/// What a set of row changes touches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touched {
    /// Owners whose answer may change.
    pub owners: BTreeSet<String>,
    /// Shared ids whose rows changed.
    pub shared: BTreeSet<SharedId>,
    /// Persons who came or went by a decision.
    pub people: BTreeSet<String>,
}

impl Touched {
    /// These owners alone.
    #[must_use]
    pub fn owners(owners: impl IntoIterator<Item = String>) -> Self {
        Self { owners: owners.into_iter().collect(), ..Self::default() }
    }

    /// Adds what another set touches.
    pub fn merge(&mut self, other: Self) {
        self.owners.extend(other.owners);
        self.shared.extend(other.shared);
        self.people.extend(other.people);
    }

    /// The same in two halves: what several rows share before whose they are, as it decides with whom a shared id stays.
    #[must_use]
    pub fn halves(mut self) -> [Self; 2] {
        let mut first = Self::default();
        if !self.owners.is_empty() && !self.shared.is_empty() {
            first.shared = std::mem::take(&mut self.shared);
        } else {
            let (owners, shared) = (self.owners.len() / 2, self.shared.len() / 2);
            first.owners = take_first(&mut self.owners, owners);
            first.shared = take_first(&mut self.shared, shared);
        }
        [first, self]
    }

    /// Whether nothing is touched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.owners.is_empty() && self.shared.is_empty() && self.people.is_empty()
    }
}

/// The result of row changes.
#[derive(Debug, Default)]
pub struct RowPlan {
    /// Rows that are new or differ, in the order of their ids.
    pub writes: Vec<RowWrite>,
    /// Stored rows that are gone, as they were.
    pub gone: Vec<(RowId, StoredRow)>,
    /// Rows that are as stored.
    pub seen: Vec<RowId>,
    /// Where rows were read from the source: the chunk that `seen` were seen in, if any.
    pub seen_in: Option<Option<i64>>,
    /// Owners and shared ids, before and after.
    pub touched: Touched,
    /// Stored rows that the configuration leaves out from now on, or lets in again.
    pub balance: Balance,
}

/// By feed the stored rows that gave facts and give none any more, and those that give facts again (P9).
pub type Balance = BTreeMap<Feed, Change>;

/// How many rows of a feed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Change {
    /// That gave facts and give none any more.
    pub leaving: u64,
    /// That gave none and do so again.
    pub returning: u64,
}

fn take_first<T: Ord>(set: &mut BTreeSet<T>, count: usize) -> BTreeSet<T> {
    (0..count).map_while(|_| set.pop_first()).collect()
}

impl RowPlan {
    /// The rows that it writes or deletes and that are stored already.
    #[must_use]
    pub fn stored_before(&self) -> Vec<RowId> {
        let existing = self.writes.iter().filter(|write| write.exists).map(|write| &write.id);
        existing.chain(self.gone.iter().map(|(id, _)| id)).cloned().collect()
    }

    /// The rows that it writes or deletes.
    pub fn changed(&self) -> impl Iterator<Item = &RowId> {
        let writes = self.writes.iter().map(|write| &write.id);
        writes.chain(self.gone.iter().map(|(id, _)| id))
    }
}

/// The stored rows after these versions. `roots` are the persons at which aliases end; a key that is not there is
/// its own person.
#[must_use]
pub fn decide(
    versions: Vec<Version>,
    stored: &HashMap<RowId, StoredRow>,
    roots: &HashMap<EmailKey, EmailKey>,
    arrival: Arrival,
    env: &Env,
) -> RowPlan {
    let (finals, gone) = last_versions(versions);
    let seen_in = match arrival {
        Arrival::Stream | Arrival::BesideReading => None,
        Arrival::Chunk(chunk) => Some(Some(chunk)),
        Arrival::Reread => Some(None),
    };
    let mut plan = RowPlan { seen_in, ..RowPlan::default() };
    for Version { id, row, .. } in finals {
        let Some(version) = row else { continue };
        let old = stored.get(&id);
        if old.is_some_and(|old| is_same(&id, old, &version, env)) {
            plan.seen.push(id);
            continue;
        }
        let write = row_write(id, version, old, roots, arrival, env);
        plan.touched.row(&write.id, old, Some(&write.row));
        plan.weigh(&write.id, old, &write.row);
        plan.writes.push(write);
    }
    let mut gone: Vec<RowId> = gone.into_iter().filter(|id| stored.contains_key(id)).collect();
    gone.sort();
    for id in gone {
        if let Some(old) = stored.get(&id) {
            plan.touched.row(&id, Some(old), None);
            plan.gone.push((id, old.clone()));
        }
    }
    plan
}

/// Stored rows placed again: a decision or a rule about them changed, not the rows themselves.
#[must_use]
pub fn place_again(
    rows: Vec<(RowId, StoredRow, RowVersion)>,
    roots: &HashMap<EmailKey, EmailKey>,
    env: &Env,
) -> RowPlan {
    let mut plan = RowPlan::default();
    for (id, old, version) in rows {
        let row = placed(&id, &version, Some(&old), roots, env);
        let row = StoredRow { chunk: old.chunk, generation: old.generation, ..row };
        plan.touched.row(&id, Some(&old), Some(&row));
        plan.weigh(&id, Some(&old), &row);
        plan.writes.push(RowWrite { id, exists: true, row, raw: version.raw, fact: version.fact });
    }
    plan
}

fn is_same(id: &RowId, old: &StoredRow, version: &RowVersion, env: &Env) -> bool {
    old.digest == version.digest
        && old.complete == version.fact.is_some()
        && old.email.as_ref() == version.email()
        // Of a row without a person the rules decide whose it is.
        && (old.email.is_some() || old.owner == owner_of(id, version, None, env))
}

fn row_write(
    id: RowId,
    version: RowVersion,
    old: Option<&StoredRow>,
    roots: &HashMap<EmailKey, EmailKey>,
    arrival: Arrival,
    env: &Env,
) -> RowWrite {
    let row = placed(&id, &version, old, roots, env);
    let (chunk, generation) = match arrival {
        Arrival::Chunk(chunk) => (Some(chunk), env.generation),
        Arrival::BesideReading => match old {
            // The reconcile has seen it no more than before: a value that the stream left out is as old as what is stored.
            Some(old) => (old.chunk.filter(|chunk| *chunk == BESIDE_READING), old.generation),
            None => (Some(BESIDE_READING), env.generation),
        },
        Arrival::Stream | Arrival::Reread => (None, env.generation),
    };
    let row = StoredRow { chunk, generation, ..row };
    RowWrite { exists: old.is_some(), row, raw: version.raw, fact: version.fact, id }
}

fn placed(
    id: &RowId,
    version: &RowVersion,
    old: Option<&StoredRow>,
    roots: &HashMap<EmailKey, EmailKey>,
    env: &Env,
) -> StoredRow {
    let email = version.email().cloned();
    let person = email.as_ref().map(|email| roots.get(email).unwrap_or(email).clone());
    let shared_id = version.fact.as_ref().and_then(Fact::shared_id).map(str::to_owned);
    // A row that shares its id goes on doing so; others are found when the id is judged.
    let shares = old.is_some_and(|old| old.member.is_some() && old.shared_id == shared_id);
    StoredRow {
        owner: owner_of(id, version, person, env),
        email,
        shared_id,
        member: version.fact.as_ref().filter(|_| shares).map(Fact::member),
        digest: version.digest,
        outcome: old.and_then(|old| old.outcome),
        chunk: None,
        generation: 0,
        complete: version.fact.is_some(),
    }
}

impl RowPlan {
    /// Counts a row that is left out from now on, or let in again.
    fn weigh(&mut self, id: &RowId, old: Option<&StoredRow>, new: &StoredRow) {
        let Some(old) = old else { return };
        let (before, after) = (Fact::gives_facts(&old.owner), Fact::gives_facts(&new.owner));
        if before != after {
            let change = self.balance.entry(id.0).or_default();
            change.leaving += u64::from(before && !is_incomplete(&new.owner));
            change.returning += u64::from(after && !is_incomplete(&old.owner));
        }
    }
}

impl Touched {
    /// One row changed: its old and new owner and shared ids are touched.
    fn row(&mut self, id: &RowId, old: Option<&StoredRow>, new: Option<&StoredRow>) {
        for row in old.into_iter().chain(new) {
            self.owners.insert(row.owner.clone());
            self.shared.extend(row.shared_id.clone().map(|value| (id.0, value)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::RowChange;
    use crate::engine::model_tests::stored_row;
    use crate::engine::versions::derive;
    use crate::facts::{RawRow, SourceKey};

    /// A value that the stream left out is as old as what was stored: a reconcile must still read the row.
    #[test]
    fn a_batch_beside_a_reconcile_hides_no_row_from_it_p6() {
        let feed = Feed::new(1);
        let env = Env { generation: 2, ..crate::engine::model_tests::env() };
        let width = env.feeds.shape(feed).width;
        let row = RawRow { values: vec![Some("1".to_owned()); width] };
        let change = RowChange::read(feed, SourceKey("a".into()), Some(row));
        let id = change.id();
        let stored = |chunk| stored_row(Some(chunk));
        let check = |stored: Option<StoredRow>, arrival, expected| {
            let stored = stored.map(|row| (id.clone(), row)).into_iter().collect();
            let versions = derive(std::slice::from_ref(&change), &env);
            let plan = decide(versions, &stored, &HashMap::new(), arrival, &env);
            let row = &plan.writes[0].row;
            assert_eq!((row.chunk, row.generation), expected, "{arrival:?} {stored:?}");
        };
        check(None, Arrival::Stream, (None, 2));
        check(Some(stored(7)), Arrival::Stream, (None, 2));
        check(Some(stored(7)), Arrival::Chunk(9), (Some(9), 2));
        check(Some(stored(7)), Arrival::BesideReading, (None, 1));
        check(None, Arrival::BesideReading, (Some(BESIDE_READING), 2));
        let later = Some(stored(BESIDE_READING));
        check(later, Arrival::BesideReading, (Some(BESIDE_READING), 1));
    }
}
