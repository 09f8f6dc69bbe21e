//! The owners of rows that differ, compared with the rows of the source in place of the stored ones, so that one fault is
//! reported once.
//!
//! The source changes meanwhile: its rows are read, the checkpoint is waited for, the target's moment is fixed, and the
//! rows are read again. Those of the same version are what that moment should show.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::Verifier;
use super::queue::TRIES;
use super::rows::SourceRow;
use crate::engine::RowId;
use crate::engine::rows::{RowPlan, Touched};
use crate::engine::versions::Version;
use crate::error::Result;
use crate::facts::Feed;
use crate::pg::Tx;
use crate::store;

/// Rows of the source by their names.
type Sources = HashMap<RowId, SourceRow>;

impl Verifier<'_> {
    /// Who else carries an id of a row that differs: with whom it stays depends on that row (SPEC §4.4).
    pub(super) async fn affect_sharers(&mut self) -> Result<()> {
        let (feeds, values): (Vec<i16>, Vec<&str>) = self
            .affected
            .shared
            .iter()
            .map(|(feed, value)| (feed.number(), value.as_str()))
            .unzip();
        let sql = "select distinct r.owner from unnest($1::int2[], $2::text[]) as n (feed, value) \
                   join tributary.source_row r on r.feed = n.feed and r.shared_id = n.value \
                   join tributary.feed f on f.number = r.feed and f.kind = 'contact'";
        let rows =
            self.db().query("target: looking up shared ids", sql, &[&feeds, &values]).await?;
        for row in &rows {
            self.affected.owner(row.get(0));
        }
        Ok(())
    }

    /// Owners and shared ids of rows that differ, with the rows of the source in place of the stored ones.
    pub(super) async fn affected_owners(&mut self) -> Result<()> {
        if self.affected.rows.is_empty() {
            return Ok(());
        }
        if self.affected.has_too_many_rows() {
            self.report.skipped = self.affected.owners.len() as u64;
            return Ok(());
        }
        for tries in 1.. {
            let before = self.sources().await?;
            let lsn = self.source_lsn().await?;
            let has_passed = self.passed(lsn).await?;
            let tx = self.applier.begin_reading().await?;
            let now = self.sources().await?;
            // The target is behind the first reading: what is as it was then is what the target's moment should show.
            let version = |of: &Sources, id| of.get(id).map(|source| source.version.clone());
            let rows = self.affected.rows.iter();
            let moving: Vec<RowId> =
                rows.filter(|id| version(&before, id) != version(&now, id)).cloned().collect();
            let is_settled = has_passed && moving.is_empty();
            if is_settled || !self.is_streaming || tries == TRIES {
                let unsettled =
                    if has_passed { moving } else { self.affected.rows.iter().cloned().collect() };
                let unsettled = if self.is_streaming { unsettled } else { Vec::new() };
                return self.compare_affected(tx, now, &unsettled).await;
            }
            tx.rollback().await?;
        }
        Ok(())
    }

    /// Compares with these rows of the source; the owners of rows that never held still are left out.
    async fn compare_affected(&mut self, tx: Tx, now: Sources, unsettled: &[RowId]) -> Result<()> {
        let mut plan = self.substitutes(&tx, now).await?;
        let mut owners = self.affected.owners.clone();
        if !unsettled.is_empty() {
            self.report.unsettled += unsettled.len() as u64;
            for owner in self.owners_of(&tx, &plan, unsettled).await? {
                owners.remove(&owner);
            }
        }
        let is_settled = |id: &RowId| !unsettled.contains(id);
        let shared =
            if unsettled.is_empty() { self.affected.shared.clone() } else { HashSet::new() };
        let touched = Touched {
            owners: owners.into_iter().collect(),
            shared: shared.into_iter().collect(),
            ..Touched::default()
        };
        let (mut found, quarantined) = self.look(&tx, &mut plan, &touched).await?;
        let payments = plan.gone.iter().map(|(id, _)| id);
        let payments: Vec<RowId> =
            payments.filter(|id| self.is_payment(id) && is_settled(id)).cloned().collect();
        found.extend(self.unwanted(&tx, &payments, None).await?);
        tx.rollback().await?;
        self.report.quarantined += quarantined;
        self.record(found);
        Ok(())
    }

    /// Whose these rows are, as stored and as the source has them.
    async fn owners_of(&self, tx: &Tx, plan: &RowPlan, rows: &[RowId]) -> Result<Vec<String>> {
        let stored = store::row::by_key(tx, &rows.iter().cloned().collect()).await?;
        let written = plan.writes.iter().filter(|write| rows.contains(&write.id));
        let owners = written.map(|write| write.row.owner.clone());
        Ok(owners.chain(stored.into_values().map(|row| row.owner)).collect())
    }

    /// The rows that differ, as the source has them now.
    async fn sources(&self) -> Result<Sources> {
        let feeds = &self.applier.env.feeds;
        let mut by_feed: BTreeMap<Feed, Vec<&RowId>> = BTreeMap::new();
        for id in &self.affected.rows {
            by_feed.entry(id.0).or_default().push(id);
        }
        let mut sources = Sources::new();
        for (feed, ids) in by_feed {
            let asks: Vec<_> = ids.iter().filter_map(|id| feeds.row_of_key(feed, &id.1)).collect();
            for (key, source) in self.read(feed, asks.iter()).await? {
                sources.insert((feed, key), source);
            }
        }
        Ok(sources)
    }

    /// The rows that differ, as the source has them, in place of the stored ones.
    async fn substitutes(&self, tx: &Tx, sources: Sources) -> Result<RowPlan> {
        let version = |id: &RowId| match sources.get(id) {
            Some(source) => self.version(id.0, &id.1, &source.row),
            None => Version { tx: 0, id: id.clone(), previous: None, row: None },
        };
        let versions = self.affected.rows.iter().map(version).collect();
        self.applier.substituted(tx, versions).await
    }
}
