//! Owners against the rows of the target tables and the review queue, in pages of one moment each.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use uuid::Uuid;

use super::Verifier;
use super::report::{Difference, Field, Problem, Table, Touch};
use crate::apply::Expected;
use crate::engine::diff::OwnerWrite;
use crate::engine::rows::{RowPlan, Touched};
use crate::engine::{RowId, SharedId};
use crate::error::Result;
use crate::facts::FeedKind;
use crate::pg::Tx;
use crate::store;
use crate::targets::compare::Differing;
use crate::unify;

/// Owners compared in one transaction.
const OWNERS: i64 = 500;
/// Second looks at owners that differed. The daemon has no part in them but at midnight, or where the application has
/// just made a profile or an auth user.
pub(super) const SECOND_LOOKS: u32 = 30;
/// The field of a profile that says whose it is recorded as.
const PERSON: &str = "person";
/// How long before a second look.
const PAUSE: Duration = Duration::from_secs(2);

impl Verifier<'_> {
    /// Compares every owner, shared id and suspected duplicate.
    pub(super) async fn people(&mut self) -> Result<()> {
        if self.affected.is_overflowing() {
            self.report.skipped = self.affected.owners.len() as u64;
            return Ok(());
        }
        self.affect_sharers().await?;
        self.owners().await?;
        self.affected_owners().await?;
        self.shared_ids().await?;
        self.pairs().await
    }

    async fn owners(&mut self) -> Result<()> {
        let mut after = String::new();
        loop {
            let tx = self.applier.begin_reading().await?;
            let page = self.applier.next_owners(&after, OWNERS).await?;
            let Some(last) = page.last() else { return tx.rollback().await };
            after.clone_from(last);
            self.report.checked.owners += page.len() as u64;
            let owners = page.into_iter().filter(|owner| !self.affected.owners.contains(owner));
            let touched = Touched::owners(owners);
            let (mut found, quarantined) =
                self.look(&tx, &mut RowPlan::default(), &touched).await?;
            tx.rollback().await?;
            self.report.quarantined += quarantined;
            if !found.is_empty() && self.is_streaming && self.second_looks > 0 {
                self.second_looks -= 1;
                found = self.second_look(&found).await?;
            }
            self.record(found);
            (self.show)("people", self.report.checked.owners);
            self.rest().await;
        }
    }

    async fn second_look(&mut self, first: &[Difference]) -> Result<Vec<Difference>> {
        tokio::time::sleep(PAUSE).await;
        let owner = |difference: &Difference| match &difference.touch {
            Touch::Owner(owner) => Some(owner.clone()),
            _ => None,
        };
        let touched = Touched::owners(first.iter().filter_map(owner));
        let tx = self.applier.begin_reading().await?;
        let (found, _) = self.look(&tx, &mut RowPlan::default(), &touched).await?;
        tx.rollback().await?;
        Ok(found)
    }

    async fn shared_ids(&mut self) -> Result<()> {
        let mut after: Option<SharedId> = None;
        loop {
            let tx = self.applier.begin_reading().await?;
            let page = self.applier.next_shared(&tx, after.as_ref(), OWNERS).await?;
            let Some(last) = page.last() else { return tx.rollback().await };
            after = Some(last.clone());
            let shared = page.into_iter().filter(|id| !self.affected.shared.contains(id));
            let touched = Touched { shared: shared.collect(), ..Touched::default() };
            let (found, _) = self.look(&tx, &mut RowPlan::default(), &touched).await?;
            tx.rollback().await?;
            self.record(found);
            self.rest().await;
        }
    }

    async fn pairs(&mut self) -> Result<()> {
        let mut after = String::new();
        loop {
            let tx = self.applier.begin_reading().await?;
            let (last, expected) = self.applier.expected_pairs(&tx, &after, OWNERS).await?;
            tx.rollback().await?;
            let Some(last) = last else { return Ok(()) };
            after = last;
            let mut found = self.conflicts(&expected);
            let is_judged = |touch: &Touch| match touch {
                Touch::Person(person) => !self.affected.has_scope(&unify::scope_of_pair(person)),
                _ => true,
            };
            found.retain(|difference| is_judged(&difference.touch));
            self.record(found);
            self.rest().await;
        }
    }

    pub(super) fn record(&mut self, found: Vec<Difference>) {
        for difference in found {
            let id = difference.id.as_deref().and_then(|id| Uuid::try_parse(id).ok());
            match (difference.table, &difference.touch) {
                (Table::Transactions, _) => self.reported.extend(id),
                (Table::Profiles, Touch::Owner(owner))
                    if difference.fields.iter().any(|field| field.name == PERSON) =>
                {
                    self.affected.person(owner, id);
                }
                _ => {}
            }
            self.report.add(difference, self.options);
        }
    }

    /// Everything of these owners and shared ids that is not as it should be, and how many owners are quarantined.
    pub(super) async fn look(
        &self,
        tx: &Tx,
        plan: &mut RowPlan,
        touched: &Touched,
    ) -> Result<(Vec<Difference>, u64)> {
        let (mut found, mut quarantined) = (Vec::new(), 0);
        let mut parts = vec![touched.clone()];
        while let Some(expected) = self.applier.next_expected(tx, plan, &mut parts).await? {
            found.extend(self.differences(tx, &expected).await?);
            quarantined += expected.quarantined;
        }
        Ok((found, quarantined))
    }

    async fn differences(&self, tx: &Tx, expected: &Expected) -> Result<Vec<Difference>> {
        let mut found = self.profiles(tx, expected).await?;
        found.extend(self.transactions(tx, &expected.writes).await?);
        for write in &expected.writes {
            let rows: Vec<RowId> = write.without.iter().map(|(row, _)| row.clone()).collect();
            found.extend(self.unwanted(tx, &rows, Some(&write.owner)).await?);
        }
        found.extend(self.enrollments(tx, &expected.writes).await?);
        found.extend(self.conflicts(expected));
        Ok(found)
    }

    async fn profiles(&self, tx: &Tx, expected: &Expected) -> Result<Vec<Difference>> {
        let writes = expected.writes.iter();
        let with_profile: Vec<_> =
            writes.filter_map(|write| Some((write, write.profile.as_ref()?))).collect();
        let rows: Vec<_> = with_profile.iter().map(|(_, profile)| *profile).collect();
        let by_id: HashMap<Uuid, &OwnerWrite> =
            with_profile.iter().map(|(write, profile)| (profile.id, *write)).collect();
        let mut found: BTreeMap<&str, Difference> = BTreeMap::new();
        for differing in self.comparison.profiles(tx, &rows).await? {
            let Some(write) = by_id.get(&differing.id) else { continue };
            let row = write.rows.first().map(String::as_str);
            let difference = self.difference(Table::Profiles, differing, row, &write.owner);
            found.insert(&write.owner, difference);
        }
        // A profile that is recorded as another person's, or as nobody's, is one row that differs.
        for person in &expected.misrecorded {
            let field = Field {
                name: PERSON.to_owned(),
                found: person.found.map(|state| state.as_str().to_owned()),
                expected: Some(person.expected.as_str().to_owned()),
            };
            let row = person.rows.first();
            let difference = found.entry(&person.owner).or_insert_with(|| Difference {
                table: Table::Profiles,
                id: person.profile.map(|id| id.to_string()),
                source_row: row.map(|row| self.applier.env.feeds.discreet_name(row)),
                problem: Problem::Differs,
                fields: Vec::new(),
                touch: Touch::Owner(person.owner.clone()),
            });
            difference.fields.push(field);
        }
        Ok(found.into_values().collect())
    }

    async fn transactions(&self, tx: &Tx, writes: &[OwnerWrite]) -> Result<Vec<Difference>> {
        let all = writes.iter().flat_map(|w| w.transactions.iter().map(move |t| (w, t)));
        let by_id: HashMap<Uuid, _> = all.map(|(write, row)| (row.id, (write, row))).collect();
        let rows: Vec<_> = by_id.values().map(|(_, transaction)| *transaction).collect();
        let found = self.comparison.transactions(tx, &rows).await?;
        let differences = found.into_iter().filter_map(|differing| {
            let (write, transaction) = by_id.get(&differing.id)?;
            let row = self.applier.env.feeds.source_row(&transaction.row);
            Some(self.difference(Table::Transactions, differing, Some(&row), &write.owner))
        });
        Ok(differences.collect())
    }

    /// Transactions of payments that give none. Those that the application holds are left to history (SPEC §5.3).
    pub(super) async fn unwanted(
        &self,
        tx: &Tx,
        payments: &[RowId],
        owner: Option<&str>,
    ) -> Result<Vec<Difference>> {
        let feeds = &self.applier.env.feeds;
        let rows = self.applier.transaction_ids(tx, payments.iter().cloned()).await?;
        let ids: Vec<Uuid> = rows.keys().copied().collect();
        let there = crate::targets::delete::there(tx, &self.applier.tables, &ids).await?;
        if there.is_empty() {
            return Ok(Vec::new());
        }
        let there: HashSet<Uuid> = there.into_iter().collect();
        let scope = |row: &RowId| unify::scope_of_blocked(&feeds.source_row(row));
        let scopes: Vec<String> = payments.iter().map(scope).collect();
        let blocked = store::conflict::by_scope(tx, &scopes, &[]).await?;
        let blocked: HashSet<&str> = blocked.values().map(|c| c.scope.as_str()).collect();
        let unwanted =
            rows.iter().filter(|(id, row)| there.contains(id) && !blocked.contains(&*scope(row)));
        let differences = unwanted.map(|(id, row)| Difference {
            table: Table::Transactions,
            id: Some(id.to_string()),
            source_row: Some(feeds.discreet_row(row)),
            problem: Problem::Unexpected,
            fields: vec![Field::named("row")],
            touch: owner.map_or_else(|| Touch::Row(row.clone()), |o| Touch::Owner(o.to_owned())),
        });
        Ok(differences.collect())
    }

    async fn enrollments(&self, tx: &Tx, writes: &[OwnerWrite]) -> Result<Vec<Difference>> {
        let all = writes.iter().flat_map(|w| w.enrollments.iter().flatten().map(move |e| (w, e)));
        let rows: Vec<_> = all.clone().map(|(_, enrollment)| enrollment).collect();
        let supported: Vec<(Uuid, Uuid)> =
            all.filter_map(|(write, e)| Some((write.user?, e.course))).collect();
        let with_profile = writes.iter().filter_map(|write| Some((write.revoke?, write)));
        let by_user: HashMap<Uuid, &OwnerWrite> = with_profile.collect();
        let profiles: Vec<Uuid> = by_user.keys().copied().collect();
        let mut found = Vec::new();
        for differing in self.comparison.enrollments(tx, &rows).await? {
            let Some(write) = differing.user.and_then(|user| by_user.get(&user)) else { continue };
            let row = write.rows.first().map(String::as_str);
            found.push(self.difference(Table::Enrollments, differing, row, &write.owner));
        }
        for (id, user) in self.comparison.unsupported(tx, &profiles, &supported).await? {
            let Some(write) = by_user.get(&user) else { continue };
            let row = write.rows.first();
            found.push(Difference {
                table: Table::Enrollments,
                id: Some(id.to_string()),
                source_row: row.map(|row| self.applier.env.feeds.discreet_name(row)),
                problem: Problem::Unexpected,
                fields: vec![Field::named("row")],
                touch: Touch::Owner(write.owner.clone()),
            });
        }
        Ok(found)
    }

    fn difference(
        &self,
        table: Table,
        differing: Differing,
        row: Option<&str>,
        owner: &str,
    ) -> Difference {
        let columns = differing.columns.into_iter();
        let fields = columns.map(|c| Field { name: c.name, found: c.found, expected: c.expected });
        let (problem, fields) = if differing.is_there {
            (Problem::Differs, fields.collect())
        } else {
            (Problem::Missing, vec![Field::named("row")])
        };
        Difference {
            table,
            id: Some(differing.id.to_string()),
            source_row: row.map(|row| self.applier.env.feeds.discreet_name(row)),
            problem,
            fields,
            touch: Touch::Owner(owner.to_owned()),
        }
    }

    pub(super) fn is_payment(&self, id: &RowId) -> bool {
        self.applier.env.feeds.kind(id.0) == FeedKind::Payment
    }
}
