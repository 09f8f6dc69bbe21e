//! Fetch: what deciding needs, in few round trips. The statements of one step are sent together.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use uuid::Uuid;

use super::Applier;
use crate::cores;
use crate::engine::diff::Trust;
use crate::engine::people::{OwnedRow, OwnerRows, is_person};
use crate::engine::rows::{RowPlan, RowWrite, Touched};
use crate::engine::shared::{Group, Sharer};
use crate::engine::versions::{RowVersion, row_version};
use crate::engine::{
    Env, Fact, GROUP_LIMIT, Person, RowId, SharedId, StoredConflict, StoredRow, raw,
};
use crate::error::Result;
use crate::facts::{Feed, FeedKind, RawRow};
use crate::pg::Tx;
use crate::store;
use crate::store::row::FullRow;
use crate::unify;

/// What is known of the owners of a batch before they are decided.
#[derive(Debug, Default)]
pub struct State {
    /// Their rows after the batch.
    pub rows: OwnerRows,
    /// Recorded persons.
    pub persons: HashMap<String, Person>,
    /// Conflicts that are not resolved.
    pub conflicts: HashMap<Uuid, StoredConflict>,
    /// With whom shared contact_ids stay.
    pub holders: HashMap<SharedId, String>,
    /// The rows of each touched shared id.
    pub shared: BTreeMap<SharedId, Group>,
    /// Owners that are left out.
    pub quarantined: HashSet<String>,
    /// Names of payments that give a transaction; filled when they are decided.
    pub given: HashSet<String>,
    /// Stored rows that cannot be read: they are due to be read from the source again.
    pub unreadable: Vec<RowId>,
    /// How many further profiles have a person's address.
    pub duplicates: BTreeMap<String, i64>,
    /// The transactions that payments adopted.
    pub adopted: HashMap<RowId, Uuid>,
    /// Further transactions of the same payments, by owner; filled when they are decided.
    pub other_transactions: BTreeMap<String, Vec<(RowId, usize)>>,
}

impl State {
    /// How far digests of an owner are believed: what was written of a quarantined one is not what they say.
    pub(super) fn trust(&self, owner: &str, trust: Trust) -> Trust {
        if self.quarantined.contains(owner) { Trust::Nothing } else { trust }
    }
}

impl Applier {
    /// Reads everything about these owners and shared ids, and puts the rows of the batch over it.
    /// The facts of the plan go over to the owners. `None`, with the plan as it was: their rows have more than `bytes` of values.
    pub(super) async fn fetch(
        &self,
        tx: &Tx,
        plan: &mut RowPlan,
        touched: &Touched,
        bytes: i64,
    ) -> Result<Option<State>> {
        let owners: Vec<String> = touched.owners.iter().cloned().collect();
        let shared: Vec<SharedId> = touched.shared.iter().cloned().collect();
        let stored_before = plan.stored_before();
        let scopes = self.scopes(touched);
        let also: &[String] = if self.has_partners { &scopes } else { &[] };
        let quarantined: &[String] = if self.has_quarantine { &owners } else { &[] };
        let adopting: &[String] = if self.has_adopted { &owners } else { &[] };
        let adopting_rows: Vec<RowId> =
            if self.has_adopted { plan.changed().cloned().collect() } else { Vec::new() };
        let (stored, persons, mut conflicts, others, holders, quarantined, adopted) = tokio::try_join!(
            store::row::by_owner_within(tx, &owners, bytes),
            store::person::by_key(tx, &owners),
            store::conflict::by_scope(tx, &scopes, also),
            store::shared::others(tx, &shared, &stored_before, bytes),
            store::shared::holders(tx, &owners),
            store::quarantine::among(tx, quarantined),
            store::adopted::among(tx, adopting, &adopting_rows),
        )?;
        let (Some(stored), Some(others)) = (stored, others) else { return Ok(None) };
        let changed = (stored_before.as_slice(), bytes);
        let Some(shared) = self.groups(tx, plan, &shared, others, changed).await? else {
            return Ok(None);
        };
        let mut rows: OwnerRows = owners.into_iter().map(|owner| (owner, Vec::new())).collect();
        for write in &mut plan.writes {
            let (id, fact) = (write.id.clone(), write.fact.take());
            let row = OwnedRow { id, fact, outcome: write.row.outcome };
            match rows.get_mut(&write.row.owner) {
                Some(rows) => rows.push(row),
                None => drop(rows.insert(write.row.owner.clone(), vec![row])),
            }
        }
        let changed: HashSet<&RowId> = plan.changed().collect();
        let kept = stored.into_iter().filter(|row| !changed.contains(&row.id)).collect();
        let (kept, unreadable) = owned(kept, &self.env);
        for (owner, row) in kept {
            rows.entry(owner).or_default().push(row);
        }
        conflicts.extend(self.blocked(tx, &rows).await?);
        let quarantined = quarantined.into_iter().collect();
        let duplicates = BTreeMap::new();
        Ok(Some(State {
            rows,
            persons,
            conflicts,
            holders,
            shared,
            quarantined,
            duplicates,
            unreadable,
            adopted,
            other_transactions: BTreeMap::new(),
            given: HashSet::new(),
        }))
    }

    /// Adds further owners whose answer changes with what was found. Returns whether they have no more than `bytes` of values;
    /// with more nothing was added.
    pub(super) async fn fetch_more(
        &self,
        tx: &Tx,
        plan: &RowPlan,
        owners: &BTreeSet<String>,
        state: &mut State,
        bytes: i64,
    ) -> Result<bool> {
        let missing = owners.iter().filter(|owner| !state.rows.contains_key(*owner)).cloned();
        let touched = Touched::owners(missing);
        if touched.owners.is_empty() {
            return Ok(true);
        }
        // Rows of the batch belong to owners that were fetched: only what is stored is new here.
        let changed: HashSet<&RowId> = plan.changed().collect();
        let more = Box::pin(self.fetch(tx, &mut RowPlan::default(), &touched, bytes)).await?;
        let Some(more) = more else { return Ok(false) };
        for (owner, rows) in more.rows {
            let rows = rows.into_iter().filter(|row| !changed.contains(&row.id));
            state.rows.entry(owner).or_default().extend(rows);
        }
        state.persons.extend(more.persons);
        state.conflicts.extend(more.conflicts);
        for (id, holder) in more.holders {
            state.holders.entry(id).or_insert(holder);
        }
        state.quarantined.extend(more.quarantined);
        state.unreadable.extend(more.unreadable);
        state.adopted.extend(more.adopted);
        Ok(true)
    }

    /// The units whose conflicts are judged again.
    fn scopes(&self, touched: &Touched) -> Vec<String> {
        let mut scopes: Vec<String> = Vec::with_capacity(touched.owners.len() * 2);
        for owner in &touched.owners {
            scopes.push(format!("owner:{owner}"));
            if self.has_partners && is_person(owner) {
                scopes.push(format!("collision:{owner}"));
            }
        }
        scopes.extend(touched.shared.iter().map(|(feed, value)| {
            let feed = self.env.feeds.info(*feed);
            match feed.kind {
                FeedKind::Contact => unify::scope_of_contact_id(value),
                FeedKind::Payment => unify::scope_of_external_id(feed, value),
            }
        }));
        scopes
    }

    /// Deletes of these owners' payments that were blocked: one that gives a transaction again ends that.
    async fn blocked(&self, tx: &Tx, rows: &OwnerRows) -> Result<HashMap<Uuid, StoredConflict>> {
        if !self.has_blocked_deletes {
            return Ok(HashMap::new());
        }
        let is_payment = |row: &&OwnedRow| self.env.feeds.kind(row.id.0) == FeedKind::Payment;
        let payments = rows.values().flatten().filter(is_payment);
        let names = payments.map(|row| self.env.feeds.source_row(&row.id));
        let scopes: Vec<String> = names.map(|row| unify::scope_of_blocked(&row)).collect();
        store::conflict::by_scope(tx, &scopes, &[]).await
    }

    /// The rows of each shared id: those of the batch, and the stored ones or their representatives.
    async fn groups(
        &self,
        tx: &Tx,
        plan: &RowPlan,
        ids: &[SharedId],
        mut others: HashMap<SharedId, Vec<FullRow>>,
        (changed, bytes): (&[RowId], i64),
    ) -> Result<Option<BTreeMap<SharedId, Group>>> {
        let large: Vec<SharedId> = others
            .iter()
            .filter(|(_, rows)| rows.len() > GROUP_LIMIT)
            .map(|(id, _)| id.clone())
            .collect();
        let found = store::shared::representatives(tx, &large, changed, bytes).await?;
        let Some(found) = found else { return Ok(None) };
        others.extend(found);
        let mut groups: BTreeMap<SharedId, Group> =
            ids.iter().map(|id| (id.clone(), Group::default())).collect();
        for id in large {
            groups.entry(id).or_default().is_large = true;
        }
        for (id, rows) in others {
            let group = groups.entry(id).or_default();
            for row in rows {
                if let Some(fact) = fact_of(&row, &self.env) {
                    group.others.push(Sharer::new(row.id, &row.row, &fact));
                }
            }
        }
        let mut changed: HashMap<(Feed, &str), Vec<(&RowWrite, &Fact)>> = HashMap::new();
        for write in &plan.writes {
            let (Some(value), Some(fact)) = (&write.row.shared_id, &write.fact) else { continue };
            changed.entry((write.id.0, value)).or_default().push((write, fact));
        }
        for (id, group) in &mut groups {
            let sharers = changed.remove(&(id.0, id.1.as_str())).unwrap_or_default();
            group.changed = match sharers.as_slice() {
                [(only, _)] if group.others.is_empty() => {
                    vec![Sharer::alone(only.id.clone(), &only.row)]
                }
                many => many
                    .iter()
                    .map(|(write, fact)| Sharer::new(write.id.clone(), &write.row, fact))
                    .collect(),
            };
        }
        Ok(Some(groups))
    }
}

/// What a stored row says; `None`: a value is unknown, or the row was stored by another version or with other columns.
pub(super) fn fact_of(row: &FullRow, env: &Env) -> Option<Fact> {
    if !env.feeds.get(row.id.0).is_configured() {
        // It says nothing any more, until it is deleted.
        return Some(Fact::derive(&row.id, &RawRow::default(), env));
    }
    let values = raw::decode(&row.raw, env.feeds.shape(row.id.0)).filter(|_| row.row.complete)?;
    Some(Fact::derive(&row.id, &values.row, env))
}

/// Stored rows with the values that a rule or a decision places again, and those that cannot be read.
pub(super) fn versions_of(
    rows: Vec<FullRow>,
    env: &Env,
) -> (Vec<(RowId, StoredRow, RowVersion)>, Vec<RowId>) {
    let (mut versions, mut unreadable) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in rows {
        match raw::decode(&row.raw, env.feeds.shape(row.id.0)) {
            Some(values) => {
                let version = row_version(&row.id, &values.row, &values.unknown, env);
                versions.push((row.id, row.row, version));
            }
            None => unreadable.push(row.id),
        }
    }
    (versions, unreadable)
}

/// Rows with their owners, and those that are complete and cannot be read all the same.
fn owned(rows: Vec<FullRow>, env: &Env) -> (Vec<(String, OwnedRow)>, Vec<RowId>) {
    let rows = cores::map(rows, |row| {
        let fact = fact_of(&row, env);
        let is_unreadable = fact.is_none() && row.row.complete;
        (row.row.owner, OwnedRow { id: row.id, fact, outcome: row.row.outcome }, is_unreadable)
    });
    let unreadable = rows.iter().filter(|row| row.2).map(|row| row.1.id.clone()).collect();
    (rows.into_iter().map(|(owner, row, _)| (owner, row)).collect(), unreadable)
}
