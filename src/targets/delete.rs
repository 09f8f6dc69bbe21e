//! Deleting transactions whose payment is gone or gives none (SPEC §5.3).

use std::collections::BTreeMap;

use uuid::Uuid;

use super::catalog::Tables;
use super::foreign_key::{self, ForeignKey, OnDelete};
use super::statements::MANAGED;
use super::write::revoked;
use crate::error::{Error, Result};
use crate::pg::Tx;

/// Deletes transactions. Those that the application still references stay, VOIDED, and are returned with
/// what references them. Without `careful`, a refusal that the catalog does not show ends the transaction.
///
/// # Errors
/// Those of the target.
pub async fn delete(
    tx: &Tx,
    tables: &Tables,
    ids: &[Uuid],
    careful: bool,
) -> Result<(u64, Vec<(Uuid, String)>)> {
    // Held, so that nothing refers to one meanwhile.
    let there = find(tx, tables, ids, "order by id for update").await?;
    if there.is_empty() {
        return Ok((0, vec![]));
    }
    let keys = foreign_key::to(tx.db(), &tables.names.referenced, &tables.names.copied).await?;
    let mut blocked = referenced(tx, tables, &keys, &there).await?;
    let kept: Vec<Uuid> = blocked.keys().copied().collect();
    let take = take_from_enrollments(tx, tables, &keys, &kept);
    let is_freed = if careful { tx.attempt(take).await?.unwrap_or(false) } else { take.await? };
    if is_freed {
        blocked = referenced(tx, tables, &keys, &there).await?;
    }
    let free: Vec<Uuid> = there.into_iter().filter(|id| !blocked.contains_key(id)).collect();
    let deleted = if !careful {
        delete_all(tx, tables, &free).await?
    } else {
        match tx.attempt(delete_all(tx, tables, &free)).await? {
            Ok(deleted) => deleted,
            Err(_) => delete_each(tx, tables, &free, &mut blocked).await?,
        }
    };
    let kept: Vec<Uuid> = blocked.keys().copied().collect();
    if !careful {
        void(tx, tables, &kept).await?;
    } else if !kept.is_empty() && tx.attempt(void(tx, tables, &kept)).await?.is_err() {
        for id in &kept {
            // Where even that is refused the row stays as it is, and the conflict reports it.
            let _ = tx.attempt(void(tx, tables, std::slice::from_ref(id))).await?;
        }
    }
    Ok((deleted, blocked.into_iter().collect()))
}

/// Which of these transactions there are.
///
/// # Errors
/// Those of the target.
pub async fn there(tx: &Tx, tables: &Tables, ids: &[Uuid]) -> Result<Vec<Uuid>> {
    find(tx, tables, ids, "").await
}

async fn find(tx: &Tx, tables: &Tables, ids: &[Uuid], more: &str) -> Result<Vec<Uuid>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!("select id from {} where id = any($1) {more}", tables.names.transactions);
    let rows = tx.query("target: looking up transactions", &sql, &[&ids]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Managed enrollments do not keep a transaction: those that still refer to one belong to somebody who is decided later, in
/// another part of the batch or page of a pass, and have none until then (SPEC §5.4). Of whoever is outside of a rollout, or is refused by
/// the target, they stay as they are (SPEC §7a, P10). Whether there were any.
async fn take_from_enrollments(
    tx: &Tx,
    tables: &Tables,
    keys: &[ForeignKey],
    ids: &[Uuid],
) -> Result<bool> {
    if ids.is_empty() {
        return Ok(false);
    }
    let what = "target: looking for references";
    let enrollments = &tables.names.enrollments;
    let name = tx.query(what, "select to_regclass($1)::text", &[enrollments]).await?;
    let name: Option<String> = name.first().and_then(|row| row.get(0));
    let is_theirs =
        |key: &ForeignKey| Some(&key.table) == name.as_ref() && key.is_of("transaction_id", "id");
    if !keys.iter().any(is_theirs) {
        return Ok(false);
    }
    let revoked = revoked(tables);
    let sql = format!(
        "with freed as (update {enrollments} e set {revoked} where e.transaction_id = any($1) and {MANAGED} \
             and not exists (select from tributary.person p where p.profile_id = e.user_id and p.outside) \
             and not exists (select from tributary.person p join tributary.quarantine q on q.owner = p.email_key \
                 where p.profile_id = e.user_id) \
           returning e.user_id), \
         forgotten as (update tributary.person p set enrollments_digest = null from freed \
           where p.profile_id = freed.user_id) \
         select count(*) from freed"
    );
    let freed = tx.query("target: revoking enrollments", &sql, &[&ids]).await?;
    Ok(freed.first().is_some_and(|row| row.get::<_, i64>(0) > 0))
}

/// Which of these another table references, with its name. An enrollment that the application made by itself counts as any other
/// reference. Where rows cannot be seen the server refuses the delete; those that it would take along are taken for references.
async fn referenced(
    tx: &Tx,
    tables: &Tables,
    keys: &[ForeignKey],
    ids: &[Uuid],
) -> Result<BTreeMap<Uuid, String>> {
    let transactions = &tables.names.transactions;
    let mut referenced = BTreeMap::new();
    for key in keys {
        let (table, condition) = (&key.table, key.joins("r", "t"));
        if !key.is_visible {
            if key.on_delete != OnDelete::Refuse {
                let unseen = format!("{table}, whose rows this role cannot see");
                referenced.extend(ids.iter().map(|id| (*id, unseen.clone())));
            }
            continue;
        }
        let sql = format!(
            "select distinct t.id from {transactions} t join {table} r on {condition} where t.id = any($1)"
        );
        let rows = tx.query("target: looking for references", &sql, &[&ids]).await?;
        referenced.extend(rows.iter().map(|row| (row.get::<_, Uuid>(0), table.clone())));
    }
    Ok(referenced)
}

/// What the catalog does not show, such as a trigger that refuses, shows when it is tried.
async fn delete_each(
    tx: &Tx,
    tables: &Tables,
    ids: &[Uuid],
    blocked: &mut BTreeMap<Uuid, String>,
) -> Result<u64> {
    let mut deleted = 0;
    for id in ids {
        match tx.attempt(delete_all(tx, tables, std::slice::from_ref(id))).await? {
            Ok(count) => deleted += count,
            Err(reason) => {
                blocked.insert(*id, reason);
            }
        }
    }
    Ok(deleted)
}

async fn delete_all(tx: &Tx, tables: &Tables, ids: &[Uuid]) -> Result<u64> {
    if ids.is_empty() {
        return Ok(0);
    }
    let sql = format!("delete from {} where id = any($1)", tables.names.transactions);
    let what = "target: deleting transactions";
    let deleted = tx.execute(what, &sql, &[&ids]).await?;
    if deleted == ids.len() as u64 {
        return Ok(deleted);
    }
    let cause =
        format!("it reached {deleted} of {} rows: a policy, rule or trigger keeps them", ids.len());
    Err(Error::data(what, cause))
}

async fn void(tx: &Tx, tables: &Tables, ids: &[Uuid]) -> Result<u64> {
    if ids.is_empty() {
        return Ok(0);
    }
    let sql = format!(
        "update {} set status = 'VOIDED', last_api_sync_at = now(), processed_at = now(), \
         api_sync_version = coalesce(api_sync_version, 0) + 1 \
         where id = any($1) and status is distinct from 'VOIDED'",
        tables.names.transactions
    );
    tx.execute("target: voiding transactions", &sql, &[&ids]).await
}
