//! What the target holds as ours and nothing supports: transactions that name a source row, enrollments of nobody, conflicts
//! about units that are gone.

use uuid::Uuid;

use super::Verifier;
use super::report::{Difference, Field, Problem, Table, Touch};
use crate::apply::{Unsupported, is_left_to_history};
use crate::error::Result;
use crate::store;

/// Rows of the target looked at in one transaction.
const PAGE: i64 = 2_000;

impl Verifier<'_> {
    /// Looks for what nothing supports.
    pub(super) async fn reverse(&mut self) -> Result<()> {
        if self.report.skipped > 0 {
            // Too many rows differ to say what they support.
            return Ok(());
        }
        self.claims().await?;
        self.enrollments_of_nobody().await?;
        self.stale_conflicts().await
    }

    /// Transactions whose metadata name a source row. Those of rows that differ were judged with the source's.
    async fn claims(&mut self) -> Result<()> {
        let mut after = Uuid::nil();
        loop {
            let tx = self.applier.begin_reading().await?;
            let page = self.comparison.claims(&tx, after, PAGE).await?;
            let Some(last) = page.last() else { return tx.rollback().await };
            after = last.id;
            self.report.checked.transactions += page.len() as u64;
            let unsupported = self.applier.unsupported(&tx, &page).await?;
            tx.rollback().await?;
            for Unsupported { id, row, .. } in unsupported {
                if self.reported.contains(&id) || self.is_of_affected(&row, id) {
                    continue;
                }
                let difference = Difference {
                    table: Table::Transactions,
                    id: Some(id.to_string()),
                    source_row: Some(self.applier.env.feeds.discreet_row(&row)),
                    problem: Problem::Unexpected,
                    fields: vec![Field::named("row")],
                    touch: Touch::Transaction(id),
                };
                self.report.add(difference, self.options);
            }
            (self.show)("transactions", self.report.checked.transactions);
            self.rest().await;
        }
    }

    fn is_of_affected(&self, row: &crate::engine::RowId, id: Uuid) -> bool {
        let own = crate::unify::transaction_id(self.applier.env.feeds.info(row.0), &row.1);
        own == id && self.affected.rows.contains(row)
    }

    async fn enrollments_of_nobody(&mut self) -> Result<()> {
        let mut after = Uuid::nil();
        loop {
            let tx = self.applier.begin_reading().await?;
            let page = self.comparison.enrollments_of_nobody(&tx, after, PAGE).await?;
            tx.rollback().await?;
            let Some((last, count, of_nobody)) = page else { return Ok(()) };
            after = last;
            self.report.checked.enrollments += count;
            for (id, profile) in of_nobody {
                if self.affected.profiles.contains(&profile) {
                    continue;
                }
                let difference = Difference {
                    table: Table::Enrollments,
                    id: Some(id.to_string()),
                    source_row: None,
                    problem: Problem::Unexpected,
                    fields: vec![Field::named("row")],
                    touch: Touch::Enrollment(id),
                };
                self.report.add(difference, self.options);
            }
        }
    }

    async fn stale_conflicts(&mut self) -> Result<()> {
        let mut after = (String::new(), Uuid::nil());
        loop {
            let tx = self.applier.begin_reading().await?;
            let (stale, last) = store::conflict::stale(&tx, &after, PAGE).await?;
            let sql = "select fingerprint, kind, scope, status from tributary.conflict \
                       where fingerprint = any($1)";
            let rows = tx.query("target: reading conflicts", sql, &[&stale]).await?;
            tx.rollback().await?;
            let Some(last) = last else { return Ok(()) };
            after = last;
            for row in &rows {
                let (kind, scope): (&str, &str) = (row.get(1), row.get(2));
                if is_left_to_history(kind) || self.affected.has_scope(scope) {
                    continue;
                }
                let fingerprint = row.get(0);
                let difference = Difference {
                    table: Table::Conflicts,
                    id: Some(fingerprint).map(|id: Uuid| id.to_string()),
                    source_row: None,
                    problem: Problem::Unexpected,
                    fields: vec![Field { found: row.get(3), ..Field::named(kind) }],
                    touch: self.touch_of(scope, fingerprint),
                };
                self.report.add(difference, self.options);
            }
        }
    }
}
