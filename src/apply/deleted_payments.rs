//! Transactions whose payments were deleted, or give none any more (SPEC §5.3).

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::settle::Mode;
use super::{Applier, OWNERS_PER_ROUND};
use crate::engine::diff::OwnerWrite;
use crate::engine::people::is_person;
use crate::engine::{NO_TRANSACTION, RowId, StoredRow};
use crate::error::Result;
use crate::facts::{Feed, FeedKind, SourceKey};
use crate::pg::Tx;
use crate::store;
use crate::targets;
use crate::unify;

/// Rows of a working table read at once.
const PAGE: i64 = OWNERS_PER_ROUND as i64;

/// A payment that was deleted.
struct DeletedPayment {
    id: RowId,
    /// Whose it was.
    owner: String,
    /// Whether its transaction was noted. That of somebody outside of a rollout is not.
    is_noted: bool,
}

impl Applier {
    /// Deletes the transactions of payments that were deleted or give none.
    ///
    /// # Errors
    /// Those of the target.
    pub(super) async fn remove_transactions(
        &mut self,
        tx: &Tx,
        gone: &[(RowId, StoredRow)],
        writes: &[OwnerWrite],
        mode: Mode,
    ) -> Result<u64> {
        let gone = gone.iter().filter(|(id, row)| {
            let has_none = !self.has_blocked_deletes && row.outcome == Some(NO_TRANSACTION);
            self.env.feeds.kind(id.0) == FeedKind::Payment && !has_none
        });
        let gone = gone.map(|(id, row)| DeletedPayment {
            id: id.clone(),
            owner: row.owner.clone(),
            is_noted: row.outcome.is_some(),
        });
        let gone = self.within_rollout(tx, gone.collect()).await?;
        let mut ids = self.transaction_ids(tx, gone.into_iter()).await?;
        let without = writes.iter().flat_map(|write| &write.without);
        ids.extend(without.map(|(row, id)| (*id, row.clone())));
        // A row that came back under its key in the same batch has its transaction.
        for write in writes.iter().flat_map(|write| &write.transactions) {
            ids.remove(&write.id);
        }
        self.delete_transactions(tx, &ids, mode).await
    }

    /// Deletes the transactions of payments that the open source transaction deleted, in pages.
    ///
    /// # Errors
    /// Those of the target.
    pub(super) async fn remove_deleted_payments(
        &mut self,
        tx: &Tx,
        mode: Mode,
        alive: &(dyn Fn() + Sync),
    ) -> Result<u64> {
        let mut deleted = 0;
        let mut after = (0_i16, String::new());
        loop {
            let sql = include_str!("sql/open_deleted_payments.sql");
            let rows = tx
                .query("target: reading deleted payments", sql, &[&after.0, &after.1, &PAGE])
                .await?;
            let Some(last) = rows.last() else { return Ok(deleted) };
            after = (last.get(0), last.get(1));
            let gone = rows.iter().filter_map(|row| {
                Some(DeletedPayment {
                    id: (Feed::from_number(row.get(0))?, SourceKey(row.get(1))),
                    owner: row.get(2),
                    is_noted: row.get(3),
                })
            });
            let gone = self.within_rollout(tx, gone.collect()).await?;
            let ids = self.transaction_ids(tx, gone.into_iter()).await?;
            deleted += self.delete_transactions(tx, &ids, mode).await?;
            alive();
        }
    }

    /// Deletes transactions, each with the row that it is of. What the application refuses to lose becomes a conflict.
    ///
    /// # Errors
    /// Those of the target.
    pub(super) async fn delete_transactions(
        &mut self,
        tx: &Tx,
        ids: &HashMap<Uuid, RowId>,
        mode: Mode,
    ) -> Result<u64> {
        if ids.is_empty() {
            return Ok(0);
        }
        let all: Vec<Uuid> = ids.keys().copied().collect();
        let (deleted, blocked) =
            targets::delete::delete(tx, &self.tables, &all, mode.careful).await?;
        self.forget_adopted(tx, &all, &blocked).await?;
        let wanted = blocked.iter().filter_map(|(id, table)| {
            let row = self.env.feeds.source_row(ids.get(id)?);
            Some(unify::delete_blocked(&row, *id, table))
        });
        let wanted: Vec<_> = wanted.collect();
        self.has_blocked_deletes |= !wanted.is_empty();
        self.judge_blocked(tx, ids.values(), wanted).await?;
        Ok(deleted)
    }

    /// Those of these payments whose transactions may be deleted: of whoever is outside of a rollout they stay as they are
    /// (SPEC §7a).
    async fn within_rollout(&self, tx: &Tx, deleted: Vec<DeletedPayment>) -> Result<Vec<RowId>> {
        let rollout = self.env.rollout;
        let outside = if rollout.is_complete() {
            HashSet::new()
        } else {
            let doubtful = deleted.iter().filter(|payment| !payment.is_noted);
            let owners: Vec<&str> = doubtful.map(|payment| payment.owner.as_str()).collect();
            store::outside::among(tx, &owners).await?
        };
        let is_within = |payment: &DeletedPayment| match is_person(&payment.owner) {
            _ if payment.is_noted => true,
            true => !outside.contains(&payment.owner),
            false => {
                rollout.is_complete() || rollout.takes(&self.env.feeds.source_row(&payment.id))
            }
        };
        Ok(deleted.into_iter().filter(is_within).map(|payment| payment.id).collect())
    }
}
