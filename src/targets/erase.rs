//! Forgetting a person in the target tables (SPEC §7): what nothing needs is deleted, the rest says nothing of it.

use uuid::Uuid;

use super::catalog::Tables;
use super::foreign_key;
use crate::engine::columns::PROFILE;
use crate::error::{Error, Result};
use crate::pg::Tx;

/// What became of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Erased {
    /// There was none.
    NotThere,
    /// It is gone.
    Deleted,
    /// It stays, as this table references it, with an address of nobody.
    Emptied(String),
}

/// Deletes a profile, or empties it where something references it.
///
/// # Errors
/// Those of the target; where it does not let the row be emptied.
pub async fn erase(tx: &Tx, tables: &Tables, profile: Uuid) -> Result<Erased> {
    let profiles = &tables.names.profiles;
    // Held, so that nobody begins to reference it meanwhile.
    let sql = format!("select from {profiles} where id = $1 for update");
    if tx.query("target: looking up a profile", &sql, &[&profile]).await?.is_empty() {
        return Ok(Erased::NotThere);
    }
    let by = match referenced(tx, tables, profile).await? {
        Some(table) => table,
        None => match tx.attempt(delete(tx, profiles, profile)).await? {
            Ok(()) => return Ok(Erased::Deleted),
            // What the catalog does not show, such as a trigger that refuses, shows when it is tried.
            Err(_) => "a constraint or trigger of the application".to_owned(),
        },
    };
    empty_transactions(tx, tables, profile).await?;
    empty(tx, profiles, profile).await?;
    Ok(Erased::Emptied(by))
}

async fn delete(tx: &Tx, profiles: &str, profile: Uuid) -> Result<()> {
    let what = "target: deleting a profile";
    let sql = format!("delete from {profiles} where id = $1");
    reached_one(what, tx.execute(what, &sql, &[&profile]).await?)
}

fn reached_one(what: &str, rows: u64) -> Result<()> {
    if rows == 1 {
        return Ok(());
    }
    Err(Error::data(what, format!("it reached {rows} rows: a policy, rule or trigger keeps it")))
}

/// A table that holds the profile: by a foreign key, or as the person of a payment or enrollment.
async fn referenced(tx: &Tx, tables: &Tables, profile: Uuid) -> Result<Option<String>> {
    const WHAT: &str = "target: looking for references";
    let names = &tables.names;
    let keys = foreign_key::to(tx.db(), std::slice::from_ref(&names.profiles), &[]).await?;
    if let Some(key) = keys.iter().find(|key| !key.is_visible) {
        return Ok(Some(format!("{}, whose rows this role cannot see,", key.table)));
    }
    let mut referencing: Vec<(String, String)> =
        keys.iter().map(|key| (key.table.clone(), key.joins("r", "t"))).collect();
    let own = [&names.transactions, &names.enrollments];
    referencing.extend(own.map(|table| (table.clone(), "r.user_id = t.id".to_owned())));
    for (table, condition) in referencing {
        let sql = format!(
            "select from {} t join {table} r on {condition} where t.id = $1 limit 1",
            names.profiles
        );
        if !tx.query(WHAT, &sql, &[&profile]).await?.is_empty() {
            return Ok(Some(table));
        }
    }
    Ok(None)
}

/// NULL where the column takes it; else what says nothing.
async fn empty(tx: &Tx, profiles: &str, profile: Uuid) -> Result<()> {
    let what = "target: emptying a profile";
    let sql = "select a.attname::text, a.attnotnull, t.typcategory::text from pg_attribute a \
               join pg_type t on t.oid = a.atttypid \
               where a.attrelid = to_regclass($1) and a.attname = any($2) and a.attnum > 0 \
               order by a.attnum";
    let names = PROFILE.map(str::to_owned).to_vec();
    let columns = tx.query(what, sql, &[&profiles, &names]).await?;
    let erased = "'erased-' || p.id";
    let assigned = columns.iter().filter_map(|row| {
        let (name, not_null, category): (String, bool, String) =
            (row.get(0), row.get(1), row.get(2));
        let value = match (name.as_str(), not_null, category.as_str()) {
            ("id", ..) => return None,
            ("email", ..) => format!("{erased} || '@invalid'"),
            (_, _, "A") => "'{}'".to_owned(),
            (_, false, _) => "null".to_owned(),
            ("systemeio_id", true, "S") => erased.to_owned(),
            (_, true, "S") => "''".to_owned(),
            // A date of a column that must have one.
            _ => return None,
        };
        Some(format!("{name} = {value}"))
    });
    let assigned: Vec<String> = assigned.collect();
    let sql = format!(
        "update {profiles} p set {}, updated_at = now(), last_api_sync_at = now(), \
         api_sync_version = coalesce(p.api_sync_version, 0) + 1 where p.id = $1",
        assigned.join(", ")
    );
    reached_one(what, tx.execute(what, &sql, &[&profile]).await?)
}

/// Payments that the application keeps (SPEC §5.3) say no more of the person than which source row they were.
async fn empty_transactions(tx: &Tx, tables: &Tables, profile: Uuid) -> Result<()> {
    let what = "target: emptying transactions";
    let transactions = &tables.names.transactions;
    let sql = "select format_type(atttypid, atttypmod) from pg_attribute \
               where attrelid = to_regclass($1) and attname = 'metadata'";
    let rows = tx.query(what, sql, &[transactions]).await?;
    let Some(kind) = rows.first().map(|row| row.get::<_, String>(0)) else { return Ok(()) };
    let sql = format!(
        "update {transactions} t set description = null, failure_reason = null, \
           metadata = jsonb_build_object('source', tributary.metadata(t.metadata) -> 'source', \
             'source_id', tributary.metadata(t.metadata) -> 'source_id')::text::{kind}, \
           last_api_sync_at = now(), processed_at = now(), \
           api_sync_version = coalesce(t.api_sync_version, 0) + 1 \
         where t.user_id = $1 and tributary.metadata(t.metadata) ? 'source_id'"
    );
    tx.execute(what, &sql, &[&profile]).await?;
    Ok(())
}
