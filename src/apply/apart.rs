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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Apart {
    /// The values that the stream left out are too many bytes (P13).
    TooLarge,
    /// This source transaction moves a person whom an earlier one makes: which profile moves is known once that one is written.
    Before(u32),
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
        let mut report = Report::default();
        let (mut rest, mut why) = (changes, why);
        loop {
            let Apart::Before(number) = why else {
                report.add(self.apply_each(tx, rest, mode).await?);
                break;
            };
            let (earlier, later) = rest.split_at(rest.partition_point(|c| c.tx < number));
            report.add(match self.plan_if_small(tx, earlier, Arrival::Stream).await? {
                Ok(plan) => self.settle_plan(tx, plan, mode, None).await?,
                Err(_) => self.apply_each(tx, earlier, mode).await?,
            });
            rest = later;
            match self.plan_if_small(tx, later, Arrival::Stream).await? {
                Ok(plan) => {
                    report.add(self.settle_plan(tx, plan, mode, None).await?);
                    break;
                }
                Err(next) => why = next,
            }
        }
        let mut group = Group::default();
        store::checkpoint::advance(&mut group, advance);
        group.send(tx).await?;
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

    /// The first source transaction that moves a person whom an earlier one of the batch makes.
    pub(super) async fn moves_somebody_new(
        &self,
        tx: &Tx,
        transitions: &[Transition],
    ) -> Result<Option<u32>> {
        let moved = email_change::moved_after_they_came(transitions);
        if moved.is_empty() {
            return Ok(None);
        }
        let keys: Vec<&str> = moved.iter().map(|(key, _)| key.as_str()).collect();
        let sql = "select k from unnest($1::text[]) as k \
                   where not exists (select from tributary.person p where p.email_key = k) \
                     and not exists (select from tributary.alias a where a.from_key = k)";
        let rows = tx.query("target: looking up persons", sql, &[&keys]).await?;
        let new: HashSet<&str> = rows.iter().map(|row| row.get(0)).collect();
        Ok(moved.iter().find(|(key, _)| new.contains(key.as_str())).map(|(_, number)| *number))
    }
}
