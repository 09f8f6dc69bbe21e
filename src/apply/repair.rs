//! Removes differences that `verify` found: rows are read from the source again, owners recomputed and compared with the
//! target rows themselves.

use std::collections::{HashMap, HashSet};
use std::sync::PoisonError;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::compare::Unsupported;
use super::fetch::versions_of;
use super::passes::{PAGE, parse_source_row};
use super::{Applier, Mode};
use crate::engine::rows::{RowPlan, Touched};
use crate::engine::versions::Version;
use crate::engine::{Arrival, RowChange, RowId, incomplete_owner, raw};
use crate::error::Result;
use crate::facts::{Feed, RawRow, SourceKey};
use crate::pg::{Group, Tx};
use crate::store;
use crate::targets::compare::Claim;
use crate::targets::{self, Report};

/// What is to be recomputed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Repair {
    /// Source rows, such as `xendit:4f…`.
    pub rows: Vec<String>,
    /// Owners.
    pub owners: Vec<String>,
    /// Shared ids: the feed and the value, as a source row is written.
    pub shared: Vec<String>,
    /// Persons whose suspected duplicates are judged.
    pub people: Vec<String>,
    /// Transactions that no stored row supports.
    pub transactions: Vec<Uuid>,
    /// Managed enrollments of profiles that are no person's.
    pub enrollments: Vec<Uuid>,
    /// Conflicts of no unit that is judged.
    pub conflicts: Vec<Uuid>,
}

impl Repair {
    /// How much it is.
    #[must_use]
    pub fn len(&self) -> usize {
        [&self.rows, &self.owners, &self.shared, &self.people].map(Vec::len).iter().sum::<usize>()
            + [&self.transactions, &self.enrollments, &self.conflicts]
                .map(Vec::len)
                .iter()
                .sum::<usize>()
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Applier {
    /// Carries a repair out, inside the open transaction.
    ///
    /// # Errors
    /// Those of both servers; a refusal for a row that is none.
    pub async fn repair(&mut self, tx: &Tx, what: &Repair, mode: Mode) -> Result<Report> {
        let mut touched = Touched::owners(what.owners.iter().cloned());
        touched.people.extend(what.people.iter().cloned());
        for text in &what.shared {
            let (feed, SourceKey(value)) = parse_source_row(&self.env.feeds, text)?;
            touched.shared.insert((feed, value));
        }
        let rows: Result<Vec<RowId>> =
            what.rows.iter().map(|text| parse_source_row(&self.env.feeds, text)).collect();
        let plan = self.reread(tx, &rows?, &mut touched).await?;
        touched.merge(plan.touched.clone());
        let mut report = self.settle(tx, plan, touched, mode, None).await?;
        report.deleted += self.delete_unsupported(tx, &what.transactions, mode).await?;
        self.revoke_of_nobody(tx, &what.enrollments).await?;
        let mut group = Group::default();
        store::conflict::close(&mut group, what.conflicts.clone(), "source");
        group.send(tx).await?;
        Ok(report)
    }

    /// Rows as the source has them now, whatever is stored of them.
    async fn reread(&mut self, tx: &Tx, ids: &[RowId], touched: &mut Touched) -> Result<RowPlan> {
        if ids.is_empty() {
            return Ok(RowPlan::default());
        }
        let asks = self.asks(tx, ids).await?;
        self.forget_doubted(tx, ids, touched).await?;
        let mut changes = Vec::with_capacity(ids.len());
        let feeds: HashSet<Feed> = ids.iter().map(|id| id.0).collect();
        for feed in feeds {
            let of_feed = || ids.iter().filter(|id| id.0 == feed);
            let rows: Vec<RawRow> = of_feed().filter_map(|id| asks.get(id).cloned()).collect();
            let mut found: HashMap<SourceKey, RawRow> =
                self.reader.rows_by_key(feed, &rows).await?.into_iter().collect();
            // One that nobody can be asked for stays until a reconcile.
            let asked = of_feed().filter(|id| asks.contains_key(id));
            changes
                .extend(asked.map(|id| RowChange::read(feed, id.1.clone(), found.remove(&id.1))));
        }
        self.plan(tx, &changes, Arrival::Reread).await
    }

    /// The rows with their keys, to ask the source for them.
    async fn asks(&self, tx: &Tx, ids: &[RowId]) -> Result<HashMap<RowId, RawRow>> {
        let stored = store::row::values(tx, ids).await?;
        let ask = |id: &RowId| {
            let stored = || raw::decode(stored.get(id)?, self.env.feeds.shape(id.0));
            let row = self.env.feeds.row_of_key(id.0, &id.1);
            Some((id.clone(), row.or_else(|| Some(stored()?.row))?))
        };
        Ok(ids.iter().filter_map(ask).collect())
    }

    /// What is stored beside values that contradict it says nothing of the past: such a row is new, and no change of its
    /// e-mail address is judged by it (SPEC §4.3). Whom it named is recomputed.
    async fn forget_doubted(&self, tx: &Tx, ids: &[RowId], touched: &mut Touched) -> Result<()> {
        let stored = store::row::full_by_key(tx, ids).await?;
        let before: HashMap<RowId, _> =
            stored.iter().map(|row| (row.id.clone(), row.row.clone())).collect();
        let (versions, _) = versions_of(stored, &self.env);
        let versions = versions.into_iter().map(|(id, _, version)| Version {
            tx: 0,
            id,
            previous: None,
            row: Some(version),
        });
        let supported = self.placed(tx, versions.collect()).await?;
        let doubted = before.into_iter().filter(|(id, row)| {
            !supported.get(id).is_some_and(|write| {
                let own = &write.row;
                (own.digest, &own.owner, &own.email, &own.shared_id)
                    == (row.digest, &row.owner, &row.email, &row.shared_id)
            })
        });
        let (mut feeds, mut keys, mut owners) = (Vec::new(), Vec::new(), Vec::new());
        for (id, row) in doubted {
            touched.owners.insert(row.owner);
            touched.shared.extend(row.shared_id.map(|value| (id.0, value)));
            owners.push(incomplete_owner(&id, &self.env));
            feeds.push(id.0.number());
            keys.push(id.1.0);
        }
        let sql = "update tributary.source_row r \
                   set owner = n.owner, email_key = null, shared_id = null, member = null, outcome = null, \
                       digest = '00000000-0000-0000-0000-000000000000', complete = false \
                   from unnest($1::int2[], $2::text[], $3::text[]) as n (feed, key, owner) \
                   where r.feed = n.feed and r.key = n.key";
        tx.execute("target: doubting stored rows", sql, &[&feeds, &keys, &owners]).await?;
        // The others are written again too: their members may be wrong.
        let (feeds, keys): (Vec<i16>, Vec<String>) =
            ids.iter().map(|id| (id.0.number(), id.1.0.clone())).unzip();
        let sql = "update tributary.source_row r set digest = '00000000-0000-0000-0000-000000000000', member = null \
                   from unnest($1::int2[], $2::text[]) as n (feed, key) \
                   where r.feed = n.feed and r.key = n.key";
        tx.execute("target: doubting stored rows", sql, &[&feeds, &keys]).await?;
        Ok(())
    }

    /// Deletes those of these transactions that still claim a row and that no stored row supports.
    async fn delete_unsupported(&mut self, tx: &Tx, ids: &[Uuid], mode: Mode) -> Result<u64> {
        if ids.is_empty() {
            return Ok(0);
        }
        self.delete_claims_of(tx, "t.id", ids, mode).await
    }

    /// Those who came into a rollout with whom they joined, once.
    pub(super) fn take_those_who_came_in(&self) -> Vec<Uuid> {
        std::mem::take(&mut *self.came_in.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Deletes what was left behind of those who come into a rollout: transactions that were written before it was narrowed,
    /// and whose payments went while their people were outside (SPEC §7a).
    pub(super) async fn delete_left_behind(
        &mut self,
        tx: &Tx,
        profiles: &[Uuid],
        mode: Mode,
    ) -> Result<u64> {
        if profiles.is_empty() {
            return Ok(0);
        }
        self.delete_claims_of(tx, "t.user_id", profiles, mode).await
    }

    /// Deletes of a page of transactions, in the order of their ids, those whose payments went while they or their people were
    /// outside of a rollout, and who are in (SPEC §7a). Returns the last id, `None` at the end.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn delete_left_behind_page(
        &mut self,
        tx: &Tx,
        after: &str,
        mode: Mode,
    ) -> Result<(Option<String>, Report)> {
        let after: Uuid = after.parse().unwrap_or_default();
        let sql = Claim::select_page(&self.tables.names.transactions);
        let rows = tx.query("target: reading transactions", &sql, &[&after, &PAGE]).await?;
        let mut claims: Vec<Claim> = rows.iter().map(Claim::read).collect();
        let last = claims.last().map(|claim| claim.id.to_string());
        // Those of people outside go when their people come in.
        claims.retain(|claim| claim.outside != Some(true));
        let mut unsupported = self.unsupported(tx, &claims).await?;
        // What has another id was not written here.
        unsupported.retain(|found| found.is_own);
        let deleted = self.delete_claims(tx, unsupported, mode).await?;
        Ok((last, Report { deleted, ..Report::default() }))
    }

    /// Deletes transactions, found by a column, that no stored row supports.
    async fn delete_claims_of(
        &mut self,
        tx: &Tx,
        column: &str,
        ids: &[Uuid],
        mode: Mode,
    ) -> Result<u64> {
        let sql =
            format!("{} where {column} = any($1)", Claim::select(&self.tables.names.transactions));
        let rows = tx.query("target: reading transactions", &sql, &[&ids]).await?;
        let claims: Vec<Claim> = rows.iter().map(Claim::read).collect();
        let unsupported = self.unsupported(tx, &claims).await?;
        self.delete_claims(tx, unsupported, mode).await
    }

    /// Deletes these transactions, each with the row that it claims to be of.
    async fn delete_claims(
        &mut self,
        tx: &Tx,
        unsupported: Vec<Unsupported>,
        mode: Mode,
    ) -> Result<u64> {
        let rows = unsupported.into_iter().map(|found| (found.id, found.row)).collect();
        self.delete_transactions(tx, &rows, mode).await
    }

    /// Managed enrollments of profiles that are no person's show no transaction (SPEC §5.4).
    async fn revoke_of_nobody(&self, tx: &Tx, ids: &[Uuid]) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let mut group = Group::default();
        targets::write::revoke_of_nobody(&mut group, &self.tables, ids.to_vec());
        group.send(tx).await?;
        Ok(())
    }
}
