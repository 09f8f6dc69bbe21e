//! Existing transactions of the application become those of payments (SPEC §5.2).

use std::collections::{BTreeSet, HashMap, HashSet};

use uuid::Uuid;

use super::Applier;
use super::fetch::State;
use crate::engine::adopt::{Candidate, Round, Wanted};
use crate::engine::diff::Trust;
use crate::engine::people::Decided;
use crate::engine::rows::RowPlan;
use crate::engine::{NO_TRANSACTION, RowId};
use crate::error::Result;
use crate::pg::Tx;
use crate::store;
use crate::targets;
use crate::unify::{self, ConflictKind};

/// Transactions that the target has.
pub(super) struct Existing {
    /// The candidates of each provider id.
    found: HashMap<String, Vec<Candidate>>,
    /// The ids that are there, of those that were asked for.
    pub(super) there: HashSet<Uuid>,
}

impl Applier {
    /// Gives the transactions of decided owners the ids that they keep: of the `wanted` those of the candidates that are
    /// free. Returns what is newly adopted, which the caller records with what it writes.
    pub(super) fn adopt_transactions(
        &self,
        decided: &mut [Decided],
        state: &mut State,
        plan: &RowPlan,
        wanted: &[Wanted],
        existing: &Existing,
    ) -> Vec<(RowId, Uuid)> {
        let mut new = Vec::new();
        let Existing { found, there } = existing;
        if !found.is_empty() {
            let (taken, without) = self.taken(decided, &state.adopted, plan);
            let (adopted, feeds) = (&state.adopted, &self.env.feeds);
            let result = Round { found, there, adopted, taken, without, feeds }.adopt(wanted);
            state.other_transactions = result.others;
            new = result.ids;
        }
        let taken: HashSet<Uuid> = new.iter().map(|(_, id)| *id).collect();
        state.adopted.retain(|_, id| !taken.contains(id));
        state.adopted.extend(new.iter().cloned());
        decided.iter_mut().for_each(|decided| decided.keep(&state.adopted));
        new
    }

    /// The transactions that the target has of these payments, and which of further ids are there, in one round trip.
    pub(super) async fn existing(
        &self,
        tx: &Tx,
        wanted: &[Wanted],
        further: &[Uuid],
    ) -> Result<Existing> {
        let ids = wanted.iter().map(|one| one.derived).chain(further.iter().copied());
        let ids: Vec<Uuid> = ids.collect::<BTreeSet<_>>().into_iter().collect();
        let (found, there) = tokio::try_join!(
            targets::adopt::candidates(tx, &self.tables, &self.env.feeds, wanted),
            targets::delete::there(tx, &self.tables, &ids),
        )?;
        Ok(Existing { found, there: there.into_iter().collect() })
    }

    /// Payments that give a transaction which is not known to be there, in the order of their rows. Without trust in
    /// digests, and where one has further transactions already, it is all of them. None where provider ids name nothing.
    pub(super) fn wanted_transactions(
        &self,
        decided: &[Decided],
        state: &State,
        trust: Trust,
    ) -> Vec<Wanted> {
        if self.tables.transactions_by_provider.is_none() {
            return Vec::new();
        }
        let kind = ConflictKind::DuplicateTransaction;
        let has_others = state.conflicts.values().any(|stored| stored.kind == kind.as_str());
        let mut wanted: Vec<Wanted> = Vec::new();
        for decided in decided.iter().filter(|decided| !decided.is_incomplete) {
            let outcomes: HashMap<&RowId, Option<Uuid>> =
                decided.payments.iter().map(|(row, outcome)| (row, *outcome)).collect();
            for transaction in &decided.unified.transactions {
                let row = (transaction.feed.feed, transaction.source_key.clone());
                let outcome = outcomes.get(&row).copied().flatten();
                let is_known = outcome.is_some_and(|outcome| outcome != NO_TRANSACTION);
                let name = || self.env.feeds.source_row(&row);
                let is_watched = || {
                    has_others && state.conflicts.contains_key(&unify::fingerprint(kind, &name()))
                };
                let is_trusted = state.trust(&decided.owner, trust) == Trust::Digests;
                if is_known && is_trusted && !is_watched() {
                    continue;
                }
                wanted.push(Wanted {
                    owner: decided.owner.clone(),
                    derived: transaction.id,
                    provider: transaction.feed.provider.to_string(),
                    provider_id: transaction.payment_provider_id.clone(),
                    row,
                });
            }
        }
        wanted.sort_by(|a, b| a.row.cmp(&b.row));
        wanted
    }

    /// The ids that are payments' of the round, and the payments that have none any more.
    fn taken(
        &self,
        decided: &[Decided],
        adopted: &HashMap<RowId, Uuid>,
        plan: &RowPlan,
    ) -> (HashSet<Uuid>, HashSet<RowId>) {
        let mut without: HashSet<RowId> = plan.gone.iter().map(|(id, _)| id.clone()).collect();
        let mut taken = HashSet::new();
        for decided in decided {
            let given = &decided.unified.transactions;
            let given: HashSet<RowId> =
                given.iter().map(|t| (t.feed.feed, t.source_key.clone())).collect();
            for (row, _) in &decided.payments {
                taken.insert(self.transaction_id(row));
                if given.contains(row) || decided.is_incomplete {
                    taken.extend(adopted.get(row));
                } else {
                    without.insert(row.clone());
                }
            }
        }
        (taken, without)
    }

    /// The transactions of these payments, as they are recorded.
    ///
    /// # Errors
    /// Those of the target.
    pub(crate) async fn transaction_ids(
        &self,
        tx: &Tx,
        rows: impl Iterator<Item = RowId>,
    ) -> Result<HashMap<Uuid, RowId>> {
        let rows: Vec<RowId> = rows.collect();
        let recorded: &[RowId] = if self.has_adopted { &rows } else { &[] };
        let adopted = store::adopted::among(tx, &[], recorded).await?;
        let id =
            |row: &RowId| adopted.get(row).copied().unwrap_or_else(|| self.transaction_id(row));
        Ok(rows.into_iter().map(|row| (id(&row), row)).collect())
    }

    /// Forgets the adopted ones among transactions that were deleted: all of these but those that stay.
    pub(super) async fn forget_adopted(
        &self,
        tx: &Tx,
        ids: &[Uuid],
        blocked: &[(Uuid, String)],
    ) -> Result<()> {
        if !self.has_adopted {
            return Ok(());
        }
        let stays = |id: &Uuid| blocked.iter().any(|(blocked, _)| blocked == id);
        let gone: Vec<Uuid> = ids.iter().filter(|id| !stays(id)).copied().collect();
        store::adopted::forget(tx, &gone).await
    }
}
