//! Batches whose source transactions cannot be decided together, within one target transaction.

use std::collections::HashSet;

use super::Applier;
use super::settle::Mode;
use crate::engine::email_change::{self, Transition};
use crate::engine::rows::RowPlan;
use crate::engine::{Arrival, RowChange};
use crate::error::Result;
use crate::pg::{Group, Tx};
use crate::store::{self, checkpoint::Advance};
use crate::targets::Report;

/// A plan for changes, or why there is none.
pub(super) type Planned = std::result::Result<RowPlan, Apart>;

/// Why changes cannot be decided together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Apart {
    /// The values that the stream left out are too many bytes (P13).
    TooLarge,
    /// These source transactions move people whom earlier ones make: which profile moves is known once that one is written.
    At(Vec<u32>),
}

impl Applier {
    /// Applies a batch that cannot be decided at once, and advances the checkpoint.
    ///
    /// # Errors
    /// Those of the target.
    pub(super) async fn apply_apart(
        &mut self,
        tx: &Tx,
        changes: &[RowChange],
        mode: Mode,
        why: Apart,
        advance: &Advance,
    ) -> Result<Report> {
        let report = match why {
            Apart::TooLarge => self.apply_each(tx, changes, mode).await?,
            Apart::At(cuts) => self.apply_cut(tx, changes, mode, cuts).await?,
        };
        let mut group = Group::default();
        store::checkpoint::advance(&mut group, advance);
        group.send(tx).await?;
        Ok(report)
    }

    /// Applies what lies between the cuts, each part decided once the one before it is written.
    async fn apply_cut(
        &mut self,
        tx: &Tx,
        changes: &[RowChange],
        mode: Mode,
        cuts: Vec<u32>,
    ) -> Result<Report> {
        let (mut report, mut rest) = (Report::default(), changes);
        for cut in cuts.into_iter().chain([u32::MAX]) {
            let (part, later) = rest.split_at(rest.partition_point(|change| change.tx < cut));
            report.add(match self.plan_if_small(tx, part, Arrival::Stream).await? {
                Ok(plan) => self.settle_plan(tx, plan, mode, None).await?,
                Err(_) => self.apply_each(tx, part, mode).await?,
            });
            rest = later;
        }
        Ok(report)
    }

    /// Applies source transactions one by one; one that is too large by itself in parts.
    async fn apply_each(&mut self, tx: &Tx, changes: &[RowChange], mode: Mode) -> Result<Report> {
        let mut report = Report::default();
        for transaction in changes.chunk_by(|a, b| a.tx == b.tx) {
            report.add(match self.plan_if_small(tx, transaction, Arrival::Stream).await? {
                Ok(plan) => self.settle_plan(tx, plan, mode, None).await?,
                Err(_) => self.apply_in_parts(tx, transaction).await?,
            });
        }
        Ok(report)
    }

    /// The source transactions in front of which a batch is cut, as they move people whom earlier ones make.
    pub(super) async fn cuts(&self, tx: &Tx, transitions: &[Transition]) -> Result<Vec<u32>> {
        let moved = email_change::moved_after_they_came(transitions);
        if moved.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<&str> = moved.iter().map(|(key, ..)| key.as_str()).collect();
        let sql = "select k from unnest($1::text[]) as k \
                   where not exists (select from tributary.person p where p.email_key = k) \
                     and not exists (select from tributary.alias a where a.from_key = k)";
        let rows = tx.query("target: looking up persons", sql, &[&keys]).await?;
        let new: HashSet<&str> = rows.iter().map(|row| row.get(0)).collect();
        let mut cuts: Vec<u32> = Vec::new();
        for (_, came, moved) in moved.iter().filter(|(key, ..)| new.contains(key.as_str())) {
            // What came before the last cut is written by then.
            if cuts.last().is_none_or(|cut| came >= cut) {
                cuts.push(*moved);
            }
        }
        Ok(cuts)
    }
}
