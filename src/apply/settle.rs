//! Decide and write: the owners that a set of changes touches become what their rows imply.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Instant;

use uuid::Uuid;

use super::decide::Round;
use super::quarantine::Refused;
use super::totals::Totals;
use super::{Applier, OWNERS_PER_ROUND, large};
use crate::cores;
use crate::engine::diff::{OwnerWrite, Trust};
use crate::engine::rows::{RowPlan, Touched};
use crate::engine::shared;
use crate::engine::{RowId, SharedId};
use crate::error::{Error, Result};
use crate::metrics::{self, Stage};
use crate::pg::{Group, Tx};
use crate::store::{self, checkpoint::Advance};
use crate::targets::{self, Report};

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
    /// Whether a reconcile still reads, so that some people cannot be decided yet.
    pub beside_reading: bool,
}

impl Mode {
    /// Streamed changes.
    pub const STREAM: Self = Self {
        trust: Trust::Digests,
        careful: false,
        with_quarantined: false,
        note_outcomes: true,
        beside_reading: false,
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
        beside_reading: false,
    };
    /// Quarantined owners whose next attempt is due.
    pub const RETRY: Self = Self { with_quarantined: true, ..Self::CAREFUL };

    /// The same with savepoints.
    #[must_use]
    pub fn carefully(self) -> Self {
        Self { trust: Trust::Nothing, careful: true, with_quarantined: true, ..self }
    }
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

    /// [`Applier::settle`] of what the rows of the plan touch.
    ///
    /// # Errors
    /// As [`Applier::settle`].
    pub(super) async fn settle_plan(
        &mut self,
        tx: &Tx,
        plan: RowPlan,
        mode: Mode,
        advance: Option<&Advance>,
    ) -> Result<Report> {
        let touched = plan.touched.clone();
        self.settle(tx, plan, touched, mode, advance).await
    }

    /// Decides and writes everything that a plan touches, with the rows of the plan itself, and the checkpoint. What has too many
    /// bytes of values to be decided at once is decided a part at a time (P13).
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
        self.plans.grow(tx, plan.writes.len() + touched.owners.len()).await?;
        let bytes = bytes_at_once(&touched);
        let Some(mut state) = self.fetch(tx, &mut plan, &touched, bytes).await? else {
            return Box::pin(self.settle_apart(tx, plan, touched, mode, advance)).await;
        };
        let judged = shared::judge(&state.shared, &self.env.feeds);
        state.holders.extend(judged.holders.clone());
        if !self.fetch_more(tx, &plan, &judged.owners, &mut state, bytes).await? {
            drop(state);
            return Box::pin(self.settle_apart(tx, plan, touched, mode, advance)).await;
        }
        if mode.beside_reading {
            self.require_judged(tx, &touched, &judged.owners, &state).await?;
        }
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
        store::search::write(
            &mut group,
            &round.decided,
            &round.writes,
            &round.person_writes,
            self.has_partners,
        );
        let mut refused = Refused::default();
        let mut report = if mode.careful {
            group.send(tx).await?;
            group = Group::default();
            self.write_carefully(tx, &round, mode.trust, &mut refused).await?
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
        self.reconcile((tx, &mut group), wanted, &state, &judged.scopes, mode).await?;
        self.note_quarantine(&mut group, &state, &refused, mode);
        if self.has_outside || !self.env.rollout.is_complete() {
            store::outside::write(&mut group, &round.withheld);
        }
        store::row::set_outcomes(&mut group, &refused.outcomes());
        if let Some(advance) = advance {
            store::checkpoint::advance(&mut group, advance);
        }
        // Freeing what thousands of owners were decided from takes as long as a statement.
        cores::free(std::mem::take(&mut round.decided));
        let mut people = std::mem::take(&mut round.changed_people);
        people.extend(touched.people);
        let reached = self.judge_pairs(tx, group, people).await?;
        report.add(positions.map(|at| at.report(&reached)).unwrap_or_default());
        self.has_quarantine |= !refused.is_empty();
        self.has_partners |= !refused.is_empty();
        self.has_outside |= !self.env.rollout.is_complete();
        report.deleted += self.remove_transactions(tx, &plan.gone, &round.writes, mode).await?;
        round.coming.extend(self.take_those_who_came_in());
        report.deleted += self.delete_left_behind(tx, &round.coming, mode).await?;
        self.settle_email_changes(tx, &state).await?;
        totals.count_unchanged(&report);
        timed(Stage::Write, started);
        Ok(report)
    }

    /// The rows of the plan and the checkpoint first; whom they touch is then decided from what is stored, in halves.
    async fn settle_apart(
        &mut self,
        tx: &Tx,
        plan: RowPlan,
        mut touched: Touched,
        mode: Mode,
        advance: Option<&Advance>,
    ) -> Result<Report> {
        let gone = plan.gone.clone();
        let mut group = Group::default();
        let has_rows = plan.changed().next().is_some();
        if has_rows {
            self.add_holders(tx, &mut touched).await?;
        }
        if let Some(advance) = advance {
            store::checkpoint::advance(&mut group, advance);
        }
        large::write_part(tx, group, plan, self.env.generation).await?;
        if has_rows {
            let shared: Vec<SharedId> = touched.shared.iter().cloned().collect();
            self.mark_touched_sharers(tx, &shared).await?;
        }
        let mut report = Report::default();
        for half in touched.halves() {
            report.add(self.settle(tx, RowPlan::default(), half, mode, None).await?);
        }
        report.deleted += self.remove_transactions(tx, &gone, &[], mode).await?;
        Ok(report)
    }
}

/// Bytes of values that are fetched at once. What cannot be divided is fetched whole.
pub(super) fn bytes_at_once(touched: &Touched) -> i64 {
    match touched.owners.len() + touched.shared.len() {
        0 | 1 => store::row::UNBOUNDED,
        _ => store::row::READ_BYTES,
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
