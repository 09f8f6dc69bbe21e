//! What full passes over the target need: the backfill's sweep, rebuilds, the daily expiry.

use std::collections::BTreeSet;

use super::store::fact_table;
use super::versions::row_from_raw;
use super::{Touched, Writer, store};
use crate::error::Result;
use crate::facts::{Feed, RawRow, SourceKey};

impl Writer {
    /// Commits without a checkpoint: for work that does not come from the stream.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn commit_data(&self) -> Result<()> {
        self.db.batch("target: committing", "commit").await
    }

    /// Judges everything across people and closes what is left of rows that no longer exist.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn judge_everything(&self) -> Result<()> {
        self.judge_all_groups().await?;
        self.close_stale_conflicts().await
    }

    /// Facts that this reconcile has not seen, and all facts, of a table.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn count_unseen(&self, table: Feed, generation: i64) -> Result<(u64, u64)> {
        let sql = format!(
            "select count(*) filter (where generation < $1), count(*) from {}",
            fact_table(table)
        );
        let rows = self.db.query("target: counting facts", &sql, &[&generation]).await?;
        let count = |i| rows.first().map_or(0, |row| row.get::<_, i64>(i).unsigned_abs());
        Ok((count(0), count(1)))
    }

    /// All facts of a table.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn count_facts(&self, table: Feed) -> Result<u64> {
        let sql = format!("select count(*) from {}", fact_table(table));
        let rows = self.db.query("target: counting facts", &sql, &[]).await?;
        Ok(rows.first().map_or(0, |row| row.get::<_, i64>(0).unsigned_abs()))
    }

    /// Some facts that this reconcile has not seen, as the rows they came from.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn unseen(
        &self,
        table: Feed,
        generation: i64,
        limit: i64,
    ) -> Result<Vec<(SourceKey, RawRow)>> {
        let sql =
            format!("select source_key from {} where generation < $1 limit $2", fact_table(table));
        let rows =
            self.db.query("target: reading unseen facts", &sql, &[&generation, &limit]).await?;
        let keys: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        let raw = store::load_raw(&self.db, table, &keys).await?;
        Ok(raw
            .into_iter()
            .map(|(key, raw)| {
                let row = match table {
                    Feed::Systemeio => row_from_raw(&self.layouts.systemeio, &raw),
                    Feed::Xendit => row_from_raw(&self.layouts.xendit, &raw),
                };
                (key, row)
            })
            .collect())
    }

    /// Marks facts that the source still has as seen by this reconcile.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn mark_checked(&self, table: Feed, keys: &[String], generation: i64) -> Result<()> {
        store::mark_seen(&self.db, table, keys, None, generation).await
    }

    /// Some source keys of a table, for a TRUNCATE that was accepted.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn some_keys(&self, table: Feed, limit: i64) -> Result<Vec<SourceKey>> {
        let sql = format!("select source_key from {} limit $1", fact_table(table));
        let rows = self.db.query("target: reading source keys", &sql, &[&limit]).await?;
        Ok(rows.iter().map(|row| SourceKey(row.get(0))).collect())
    }

    /// Persons whose enrollments the change of date concerns: active ones past their expiry, and expired
    /// ones that are not (SPEC §5.4).
    ///
    /// # Errors
    /// Those of the target.
    pub async fn people_due(&self) -> Result<Touched> {
        let sql = include_str!("sql/people_due.sql")
            .replace("{enrollments}", &self.tables.names.enrollments);
        let today = self.today.to_string();
        let rows = self.db.query("target: looking for expiries", &sql, &[&today]).await?;
        Ok(touched_owners(rows.iter().map(|row| row.get(0))))
    }

    /// Persons who wait for an auth user that is there now, and owners of payments whose transaction could
    /// not be deleted.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn people_waiting(&self) -> Result<Touched> {
        if !self.tables.needs_auth_user || !self.tables.link_auth_users {
            return Ok(Touched::default());
        }
        let sql = "select w.email_key from tributary.person w \
                   join auth.users u on lower(u.email) = w.email_key where w.state = 'waiting'";
        let rows = self.db.query("target: looking for auth users", sql, &[]).await?;
        Ok(touched_owners(rows.iter().map(|row| row.get(0))))
    }

    /// Payments that are gone but whose transaction the application referenced: tried again.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn deletes_blocked(&self) -> Result<Touched> {
        let mut touched = Touched::default();
        for scope in self.scopes_with_prefix("blocked:").await? {
            if let Some(row) = scope.strip_prefix("blocked:") {
                touched.removed.insert(super::parse_source_row(row)?);
            }
        }
        self.drop_present(&mut touched).await?;
        Ok(touched)
    }

    /// Leaves out removed rows that are there (again).
    pub(super) async fn drop_present(&self, touched: &mut Touched) -> Result<()> {
        for table in Feed::ALL {
            let keys: Vec<String> = touched
                .removed
                .iter()
                .filter(|id| id.0 == table)
                .map(|id| id.1.0.clone())
                .collect();
            for (key, _) in store::load_stored(&self.db, table, &keys).await? {
                touched.removed.remove(&(table, key));
            }
        }
        Ok(())
    }
}

fn touched_owners(owners: impl Iterator<Item = String>) -> Touched {
    Touched { owners: owners.collect::<BTreeSet<_>>(), ..Touched::default() }
}
