//! Deleting transactions whose payment is gone or gives none (SPEC §5.3).

use std::collections::BTreeMap;

use uuid::Uuid;

use super::Writer;
use crate::error::Result;

impl Writer {
    /// Deletes transactions. Those that the application still references stay, VOIDED, and are returned with
    /// what references them.
    pub(super) async fn delete_transactions(
        &self,
        ids: &[Uuid],
    ) -> Result<(u64, Vec<(Uuid, String)>)> {
        let there = self.transactions_there(ids).await?;
        if there.is_empty() {
            return Ok((0, vec![]));
        }
        let mut blocked = self.referenced(&there).await?;
        let free: Vec<Uuid> = there.into_iter().filter(|id| !blocked.contains_key(id)).collect();
        let deleted = match self.attempt(self.delete_all(&free)).await? {
            Ok(deleted) => deleted,
            Err(_) => self.delete_each(&free, &mut blocked).await?,
        };
        let kept: Vec<Uuid> = blocked.keys().copied().collect();
        if !kept.is_empty() && self.attempt(self.void(&kept)).await?.is_err() {
            for id in &kept {
                // Where even that is refused the row stays as it is, and the conflict tells of it.
                let _ = self.attempt(self.void(std::slice::from_ref(id))).await?;
            }
        }
        Ok((deleted, blocked.into_iter().collect()))
    }

    async fn transactions_there(&self, ids: &[Uuid]) -> Result<Vec<Uuid>> {
        let sql = format!("select id from {} where id = any($1)", self.tables.names.transactions);
        let rows = self.db.query("target: looking up transactions", &sql, &[&ids]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Which of these another table references, with its name. The catalog is read anew each time: the
    /// application may add a table while the daemon runs.
    async fn referenced(&self, ids: &[Uuid]) -> Result<BTreeMap<Uuid, String>> {
        let sql = include_str!("sql/references_to_transactions.sql");
        let what = "target: reading foreign keys";
        let tables = self.db.query(what, sql, &[&self.tables.names.transactions]).await?;
        let mut found = BTreeMap::new();
        for row in &tables {
            let (table, column): (String, String) = (row.get(0), row.get(1));
            let sql =
                format!("select distinct r.{column} from {table} r where r.{column} = any($1)");
            let rows = self.db.query("target: looking for references", &sql, &[&ids]).await?;
            found.extend(rows.iter().map(|row| (row.get::<_, Uuid>(0), table.clone())));
        }
        Ok(found)
    }

    /// What the catalog does not tell, such as a trigger that refuses, shows when it is tried.
    async fn delete_each(&self, ids: &[Uuid], blocked: &mut BTreeMap<Uuid, String>) -> Result<u64> {
        let mut deleted = 0;
        for id in ids {
            match self.attempt(self.delete_all(std::slice::from_ref(id))).await? {
                Ok(count) => deleted += count,
                Err(reason) => {
                    blocked.insert(*id, reason);
                }
            }
        }
        Ok(deleted)
    }

    async fn delete_all(&self, ids: &[Uuid]) -> Result<u64> {
        let sql = format!("delete from {} where id = any($1)", self.tables.names.transactions);
        self.db.execute("target: deleting transactions", &sql, &[&ids]).await
    }

    async fn void(&self, ids: &[Uuid]) -> Result<u64> {
        let sql = format!(
            "update {} set status = 'VOIDED', last_api_sync_at = now(), processed_at = now(), \
             api_sync_version = coalesce(api_sync_version, 0) + 1 \
             where id = any($1) and status is distinct from 'VOIDED'",
            self.tables.names.transactions
        );
        self.db.execute("target: voiding transactions", &sql, &[&ids]).await
    }
}
