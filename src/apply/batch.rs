//! Source transactions: changes of rows in, one target transaction out.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};

use super::Applier;
use super::apart::{Apart, Planned};
use super::beside;
use super::fetch::versions_of;
use super::settle::Mode;
use crate::engine::raw::StoredValues;
use crate::engine::rows::{self, RowPlan, Touched};
use crate::engine::versions::{self, Version};
use crate::engine::{Arrival, RowChange, RowId, StoredRow, email_change, raw, unchanged};
use crate::error::{Error, Result};
use crate::facts::{EmailKey, RawRow, SourceKey};
use crate::failpoint;
use crate::pg::{Group, Tx};
use crate::store::{self, alias::Roots, checkpoint::Advance};
use crate::targets::Report;

/// Changes for which the server keeps its plans. It would make those of a few rows again each time, as a plan for an unknown number of
/// them looks dearer, and that takes as long as all else; for many rows a plan that knows the number is the better one.
const KEPT_PLANS: usize = 16;
const KEEP_PLANS: &str = "; set local plan_cache_mode = force_generic_plan";

/// What a batch came to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Applied {
    /// Rows of the target tables.
    pub report: Report,
    /// Whether the target refused it at first.
    pub was_refused: bool,
}

impl Applier {
    /// Opens a target transaction.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn begin(&self) -> Result<Tx> {
        let tx = Tx::on(&self.db);
        tx.start(&self.tables.begin).await?;
        // What a transaction that was given up had joined is not joined.
        drop(self.take_those_who_came_in());
        Ok(tx)
    }

    /// Applies whole source transactions and commits them with the checkpoint.
    ///
    /// A refusal by the target gives the transaction up and repeats it with savepoints, so that the normal path has
    /// none.
    ///
    /// `unaltered` is awaited before the commit.
    ///
    /// # Errors
    /// Those of both servers; [`Error::Superseded`] where another writer advanced the checkpoint; [`Error::ReadsFirst`] where a
    /// reconcile must have read its feeds first.
    pub async fn apply_batch(
        &mut self,
        changes: &[RowChange],
        advance: &Advance,
        unaltered: impl Future<Output = Result<()>>,
    ) -> Result<Applied> {
        let applied = self.attempt_batch(changes, advance, Mode::STREAM);
        let (applied, unaltered) = tokio::join!(applied, unaltered);
        unaltered?;
        let applied = match applied {
            Err(Error::Data { context, cause, .. }) => {
                tracing::debug!(context, cause, "the target refuses the batch; isolating the rows");
                Tx::on(&self.db).rollback().await?;
                let (tx, report) = self.attempt_batch(changes, advance, Mode::CAREFUL).await?;
                tx.commit().await?;
                Applied { report, was_refused: true }
            }
            other => {
                let (tx, report) = other?;
                failpoint::hit("batch-applied");
                tx.commit().await?;
                Applied { report, was_refused: false }
            }
        };
        self.note_applied(changes);
        Ok(applied)
    }

    async fn attempt_batch(
        &mut self,
        changes: &[RowChange],
        advance: &Advance,
        mode: Mode,
    ) -> Result<(Tx, Report)> {
        let arrival = self.streamed();
        let (tx, plan) = self.plan_in_new_transaction(changes, arrival).await?;
        let mode = Mode { beside_reading: arrival == Arrival::BesideReading, ..mode };
        let report = match plan {
            Ok(plan) => self.settle_plan(&tx, plan, mode, Some(advance)).await?,
            Err(_) if mode.beside_reading => return Err(Error::ReadsFirst),
            Err(why) => self.apply_apart(&tx, changes, mode, why, advance).await?,
        };
        Ok((tx, report))
    }

    /// Advances the checkpoint alone.
    ///
    /// # Errors
    /// As [`Applier::apply_batch`].
    pub async fn advance(&self, advance: &Advance, durably: bool) -> Result<()> {
        let tx = self.begin().await?;
        if durably {
            tx.batch("target: durable commit", "set local synchronous_commit = on").await?;
        }
        let mut group = Group::default();
        store::checkpoint::advance(&mut group, advance);
        group.send(&tx).await?;
        tx.commit().await
    }

    /// Opens a transaction and decides what the changes come to, in one round trip where nothing was left out.
    async fn plan_in_new_transaction(
        &mut self,
        changes: &[RowChange],
        arrival: Arrival,
    ) -> Result<(Tx, Planned)> {
        let tx = Tx::on(&self.db);
        let mut begin = self.tables.begin.clone();
        if changes.len() <= KEPT_PLANS {
            begin.push_str(KEEP_PLANS);
        }
        let ids = ids_of(changes);
        let is_partial = changes.iter().any(|change| !change.unchanged.is_empty());
        if is_partial || !self.env.chunks.is_empty() {
            let (begun, stored) = tokio::join!(tx.start(&begin), store::row::by_key(&tx, &ids));
            // The first error of what was sent together is the cause of the others.
            begun?;
            let plan = self.plan_of_stored(&tx, changes, stored?, arrival).await?;
            return Ok((tx, plan));
        }
        let versions = versions::derive(changes, &self.env);
        let emails = emails_of(&versions);
        let (begun, stored, roots) = tokio::join!(
            tx.start(&begin),
            store::row::by_key(&tx, &ids),
            store::alias::roots(&self.db, &emails),
        );
        begun?;
        let (stored, roots) = (stored?, roots?);
        let plan = self.plan_of_versions(&tx, versions, stored, Some(roots), arrival).await?;
        Ok((tx, plan))
    }

    /// Decides what rows of the source come to, inside an open transaction.
    pub(super) async fn plan(
        &mut self,
        tx: &Tx,
        changes: &[RowChange],
        arrival: Arrival,
    ) -> Result<RowPlan> {
        let whole = self.plan_if_small(tx, changes, arrival).await?;
        whole.map_err(|_| Error::failed("applying rows", "they were not read whole"))
    }

    /// Decides what changes come to, inside an open transaction.
    pub(super) async fn plan_if_small(
        &mut self,
        tx: &Tx,
        changes: &[RowChange],
        arrival: Arrival,
    ) -> Result<Planned> {
        let stored = store::row::by_key(tx, &ids_of(changes)).await?;
        self.plan_of_stored(tx, changes, stored, arrival).await
    }

    async fn plan_of_stored(
        &mut self,
        tx: &Tx,
        changes: &[RowChange],
        stored: HashMap<RowId, StoredRow>,
        arrival: Arrival,
    ) -> Result<Planned> {
        let changes = versions::not_yet_contained(changes, &stored, &self.env);
        let Some(changes) = self.fill(tx, changes, &stored).await? else {
            return Ok(Err(Apart::TooLarge));
        };
        let versions = versions::derive(&changes, &self.env);
        self.plan_of_versions(tx, versions, stored, None, arrival).await
    }

    async fn plan_of_versions(
        &mut self,
        tx: &Tx,
        versions: Vec<Version>,
        mut stored: HashMap<RowId, StoredRow>,
        roots: Option<Roots>,
        arrival: Arrival,
    ) -> Result<Planned> {
        let transitions = versions::transitions(&versions, &stored, &self.env);
        let mut touched = Touched::default();
        let moves = transitions.iter().any(email_change::may_move);
        beside::require_plain(&versions, moves, arrival)?;
        let cuts = if moves { self.cuts(tx, &transitions).await? } else { Vec::new() };
        if !cuts.is_empty() {
            return Ok(Err(Apart::At(cuts)));
        }
        let emails = if moves || roots.is_none() { emails_of(&versions) } else { Vec::new() };
        let moved = if moves {
            self.change_emails(tx, &transitions, &emails, &mut stored, &mut touched).await?
        } else {
            None
        };
        let roots = match moved.or(roots) {
            Some(roots) => roots,
            None => store::alias::roots(&self.db, &emails).await?,
        };
        let mut plan = rows::decide(versions, &stored, &roots, arrival, &self.env);
        count_notes(&plan);
        plan.touched.merge(touched);
        Ok(Ok(plan))
    }

    /// Fills in what the stream left out: from earlier changes of the batch, from what is stored, else from the source.
    /// `None`: the stored values of several changes are too many bytes (P13).
    pub(super) async fn fill<'a>(
        &mut self,
        tx: &Tx,
        changes: Cow<'a, [RowChange]>,
        stored: &HashMap<RowId, StoredRow>,
    ) -> Result<Option<Cow<'a, [RowChange]>>> {
        if changes.iter().all(|change| change.unchanged.is_empty()) {
            return Ok(Some(changes));
        }
        let needed = versions::needed_values(&changes, stored);
        let bytes = match changes.iter().filter(|change| !change.unchanged.is_empty()).count() {
            1 => store::row::UNBOUNDED,
            // Each change of a row is filled with its values.
            many => store::row::READ_BYTES * needed.len() as i64 / many as i64,
        };
        let values = store::row::values_within(tx, &needed, bytes).await?;
        let Some(values) = values else { return Ok(None) };
        let mut changes = changes.into_owned();
        let (mut known, mut incomplete) = (HashMap::new(), HashMap::new());
        for (id, bytes) in values {
            match raw::decode(&bytes, self.env.feeds.shape(id.0)) {
                // What was left out of a row that is too large may fit now.
                Some(values) if values.unknown.is_empty() && !values.row.is_oversized() => {
                    known.insert(id, values)
                }
                Some(values) => incomplete.insert(id, values),
                None => None,
            };
        }
        self.read_missing(&changes, &mut known).await?;
        for (id, values) in incomplete {
            known.entry(id).or_insert(values);
        }
        unchanged::fill_unchanged(&mut changes, known);
        Ok(Some(Cow::Owned(changes)))
    }

    /// What the source has now of rows whose left-out values nothing tells. A newer value is no harm: the change that
    /// made it is still to come. An older row has the same values, but where it was too large and was cut.
    async fn read_missing(
        &self,
        changes: &[RowChange],
        known: &mut HashMap<RowId, StoredValues>,
    ) -> Result<()> {
        let missing = unchanged::missing(changes, known);
        let last = missing.iter().filter_map(|missing| changes.get(missing.last?)?.xid);
        let xids: Vec<u32> = last.collect();
        let is_shown = xids.is_empty() || self.reader.shows(&xids).await?;
        for feed in self.env.feeds.configured() {
            let of_feed = missing.iter().filter(|missing| missing.before.0 == feed);
            let asked: Vec<(&RowId, &RowChange)> =
                of_feed.filter_map(|m| Some((&m.before, changes.get(m.last?)?))).collect();
            let rows: Vec<RawRow> =
                asked.iter().filter_map(|(_, change)| change.row.clone()).collect();
            let mut found: HashMap<SourceKey, RawRow> =
                self.reader.rows_by_any_key(feed, &rows).await?.into_iter().collect();
            for (before, change) in asked {
                let row = found.remove(&change.key);
                if let Some(row) = row.filter(|row| is_shown || !row.is_oversized()) {
                    known.insert(before.clone(), StoredValues { row, unknown: Vec::new() });
                }
            }
        }
        Ok(())
    }

    /// Rows as they were read again from the source, decided at once. The caller commits.
    ///
    /// # Errors
    /// Those of both servers.
    pub async fn apply_reread(
        &mut self,
        tx: &Tx,
        changes: &[RowChange],
        mode: Mode,
    ) -> Result<Report> {
        let plan = self.plan(tx, changes, Arrival::Reread).await?;
        self.settle_plan(tx, plan, mode, None).await
    }

    /// Places stored rows again after a decision about them, without the source, and adds what that touches.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn place_again(
        &mut self,
        tx: &Tx,
        ids: &[RowId],
        touched: &mut Touched,
    ) -> Result<RowPlan> {
        let stored = store::row::full_by_key(tx, ids).await?;
        let (mut placed, unreadable) = versions_of(stored, &self.env);
        store::row::set_incomplete(tx, &unreadable).await?;
        self.move_decided(tx, &mut placed, touched).await?;
        let emails: BTreeSet<String> =
            placed.iter().filter_map(|(_, _, v)| v.email()).map(ToString::to_string).collect();
        let emails: Vec<String> = emails.into_iter().collect();
        let roots = store::alias::roots(&self.db, &emails).await?;
        let plan = rows::place_again(placed, &roots, &self.env);
        touched.merge(plan.touched.clone());
        Ok(plan)
    }
}

pub(super) fn ids_of(changes: &[RowChange]) -> HashSet<RowId> {
    let mut ids = HashSet::with_capacity(changes.len());
    for change in changes {
        ids.insert(change.id());
        if change.previous.is_some() {
            ids.insert(change.before());
        }
    }
    ids
}

pub(super) fn emails_of(versions: &[Version]) -> Vec<String> {
    let emails: BTreeSet<&str> = versions
        .iter()
        .filter_map(|version| version.row.as_ref()?.email())
        .map(EmailKey::as_str)
        .collect();
    emails.into_iter().map(str::to_owned).collect()
}

pub(super) fn count_notes(plan: &RowPlan) {
    for write in &plan.writes {
        if let Some(fact) = &write.fact {
            crate::metrics::count_notes(fact.notes().iter());
        }
    }
}
