//! Which rows a decision reached, noted while it is carried out for a preview (SPEC §7). Nothing is noted otherwise.

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;

use uuid::Uuid;

use super::Applier;
use crate::engine::diff::OwnerWrite;
use crate::engine::people::Decided;
use crate::engine::{Person, RowId, StoredRow};
use crate::error::Result;
use crate::facts::FeedKind;
use crate::pg::Tx;

/// Rows that may differ after what was watched: never fewer than those that do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reached {
    /// Owners that were decided.
    pub owners: BTreeSet<String>,
    /// Profiles; their enrollments too.
    pub profiles: BTreeSet<Uuid>,
    /// Transactions.
    pub transactions: BTreeSet<Uuid>,
    /// Conflicts, by fingerprint.
    pub conflicts: BTreeSet<Uuid>,
}

/// Notes what is reached, while a preview asks for it.
#[derive(Debug, Default)]
pub struct Watch(Mutex<Option<Reached>>);

impl Watch {
    /// Begins with nothing.
    pub fn start(&self) {
        if let Ok(mut reached) = self.0.lock() {
            *reached = Some(Reached::default());
        }
    }

    /// What was reached since; nothing is noted any more.
    #[must_use]
    pub fn stop(&self) -> Reached {
        self.0.lock().ok().and_then(|mut reached| reached.take()).unwrap_or_default()
    }

    /// Whether anything is noted.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.lock().is_ok_and(|reached| reached.is_some())
    }

    /// Notes something, where anything is noted.
    pub(crate) fn note(&self, note: impl FnOnce(&mut Reached)) {
        if let Ok(mut reached) = self.0.lock()
            && let Some(reached) = reached.as_mut()
        {
            note(reached);
        }
    }
}

impl Applier {
    /// Notes the owners of a round with everything that may be written of them, before it is.
    pub(super) async fn watch_round(
        &self,
        tx: &Tx,
        (decided, writes): (&[Decided], &[OwnerWrite]),
        persons: &HashMap<String, Person>,
        gone: &[(RowId, StoredRow)],
    ) -> Result<()> {
        if !self.watch.is_on() {
            return Ok(());
        }
        let feeds = &self.env.feeds;
        let gone = gone.iter().filter(|(row, _)| feeds.kind(row.0) == FeedKind::Payment);
        let gone = self.transaction_ids(tx, gone.map(|(row, _)| row.clone())).await?;
        let kept = decided.iter().flat_map(|decided| {
            decided.payments.iter().map(|(row, _)| decided.transaction_id(row, feeds))
        });
        let transactions = kept.chain(gone.into_keys());
        let holders = self.holders(tx, writes).await?;
        self.watch.note(|reached| {
            reached.owners.extend(decided.iter().map(|decided| decided.owner.clone()));
            reached.profiles.extend(persons.values().map(|person| person.profile_id));
            reached.profiles.extend(holders);
            reached.transactions.extend(transactions);
        });
        Ok(())
    }

    /// Notes conflicts that are named by their ids.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn watch_conflicts(&self, tx: &Tx, ids: &[i64]) -> Result<()> {
        if self.watch.is_on() {
            let sql = "select fingerprint from tributary.conflict where id = any($1)";
            let rows = tx.query("target: reading conflicts", sql, &[&ids]).await?;
            let found = rows.iter().map(|row| row.get::<_, Uuid>(0));
            self.watch.note(|reached| reached.conflicts.extend(found));
        }
        Ok(())
    }

    /// Profiles whose unique values these profiles take (SPEC §4.5).
    async fn holders(&self, tx: &Tx, writes: &[OwnerWrite]) -> Result<Vec<Uuid>> {
        let profiles = || writes.iter().filter_map(|write| write.profile.as_ref());
        let emails: Vec<&str> = profiles().map(|profile| profile.email.as_str()).collect();
        let ids: Vec<&str> = profiles().filter_map(|p| p.systemeio_id.as_deref()).collect();
        let (table, email, contact) =
            (&self.tables.names.profiles, &self.tables.email_type, &self.tables.systemeio_type);
        let sql = format!(
            "select p.id from unnest($1::text[]) as n (value) \
             join {table} p on p.email = n.value::{email} \
             union \
             select p.id from unnest($2::text[]) as n (value) \
             join {table} p on p.systemeio_id = n.value::{contact}"
        );
        let rows = tx.query("target: looking for unique values", &sql, &[&emails, &ids]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }
}
