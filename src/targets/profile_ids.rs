//! Which profile a new person has (SPEC §4.1): an existing one, an auth user's id, or a new one. Ids never change
//! once `tributary.person` records them.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use tokio_postgres::Row;
use uuid::Uuid;

use super::catalog::Tables;
use crate::engine::{Person, PersonState};
use crate::error::Result;
use crate::facts::email_key;
use crate::pg::{Db, TextColumns, Tx};
use crate::rules::NAMESPACE;

/// A person's id as found.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    /// The person to be recorded.
    pub person: Person,
    /// Whether the target has no profile with that id.
    pub is_fresh: bool,
    /// Whether it is a profile that was there without a person.
    pub is_adopted: bool,
}

/// How many profiles beside those in `own` and of other persons have each address.
///
/// # Errors
/// Those of the target.
pub async fn duplicates(
    tx: &Tx,
    tables: &Tables,
    keys: &[String],
    own: &[Uuid],
) -> Result<BTreeMap<String, i64>> {
    if keys.is_empty() {
        return Ok(BTreeMap::new());
    }
    let sql = include_str!("sql/duplicate_profiles.sql")
        .replace("{profiles}", &tables.names.profiles)
        .replace("{email_type}", &tables.email_type);
    let rows = tx.query("target: looking for duplicate profiles", &sql, &[&keys, &own]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Ids for persons without one, in the order of SPEC §4.1.
///
/// # Errors
/// Those of the target.
pub async fn find(tx: &Tx, tables: &Tables, keys: &[String]) -> Result<Vec<(String, Found)>> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let derived: Vec<Uuid> = keys.iter().map(|key| derived_id(key, 0)).collect();
    let rows =
        tx.query("target: looking up profiles", &tables.profile_ids, &[&keys, &derived]).await?;
    let mut taken = HashSet::new();
    let mut found = Vec::new();
    for row in &rows {
        let key: String = row.get(0);
        let existing: Option<Uuid> = row.get(1);
        let decided: Option<Uuid> = row.get(2);
        let auth: Option<Uuid> = row.get(3);
        let derived_is_taken: bool = row.get(4);
        let candidates =
            [existing, decided.filter(|_| auth.is_none() || !tables.needs_auth_user), auth];
        let id = candidates.into_iter().flatten().find(|id| !taken.contains(id));
        let (profile_id, state, is_fresh) = match id {
            Some(id) => (id, PersonState::Present, false),
            None if tables.needs_auth_user && !tables.creates_auth_users => {
                (derived_id(&key, 0), PersonState::Waiting, false)
            }
            None => (free_id(&key, derived_is_taken, &taken), PersonState::Present, true),
        };
        taken.insert(profile_id);
        let person = Person { profile_id, state, profile: None, enrollments: None, outside: false };
        let is_adopted = existing == Some(profile_id);
        found.push((key, Found { person, is_fresh, is_adopted }));
    }
    Ok(found)
}

/// Which of these profiles there are.
///
/// # Errors
/// Those of the target.
pub async fn there(tx: &Tx, tables: &Tables, ids: &[Uuid]) -> Result<Vec<Uuid>> {
    let sql = format!("select id from {} where id = any($1)", tables.names.profiles);
    let rows = tx.query("target: looking up profiles", &sql, &[&ids]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Notes profiles that were the application's before their person took them: a rollback must know what the daemon inserted.
///
/// # Errors
/// Those of the target.
pub async fn adopt(tx: &Tx, found: &[(String, Found)]) -> Result<()> {
    let adopted = found.iter().filter(|(_, found)| found.is_adopted);
    let profiles: Vec<Uuid> = adopted.map(|(_, found)| found.person.profile_id).collect();
    if profiles.is_empty() {
        return Ok(());
    }
    let sql = "insert into tributary.adopted_profile (profile_id) select unnest($1::uuid[]) \
               on conflict do nothing";
    tx.execute("target: noting profiles", sql, &[&profiles]).await.map(drop)
}

/// The derived id; another one where a profile that another person kept already has it.
fn free_id(key: &str, taken: bool, here: &HashSet<Uuid>) -> Uuid {
    let first = derived_id(key, u32::from(taken));
    if here.contains(&first) { Uuid::new_v4() } else { first }
}

/// UUIDv5 of the key (SPEC §4.1); a further `attempt` where that id is another person's by now.
fn derived_id(key: &str, attempt: u32) -> Uuid {
    if attempt == 0 {
        crate::digest::uuid_v5(&NAMESPACE, key.as_bytes())
    } else {
        crate::digest::uuid_v5(&NAMESPACE, format!("{key} {attempt}").as_bytes())
    }
}

/// Rows of a page with their addresses, and the last row of the page where more may follow.
pub type Page = (Vec<(Uuid, String)>, Option<Uuid>);

/// Of the next so many profiles by id those whose address is neither their person's nor recorded.
///
/// # Errors
/// Those of the target.
pub async fn unrecorded(db: &Db, tables: &Tables, after: Uuid, rows: i64) -> Result<Page> {
    let sql =
        include_str!("sql/unrecorded_profiles.sql").replace("{profiles}", &tables.names.profiles);
    let what = "target: reading profiles";
    Ok(page(&db.query(what, &sql, &[&after, &rows]).await?))
}

/// A row without an address is the last of its page.
pub(super) fn page(rows: &[Row]) -> Page {
    let mut last = None;
    let found = rows.iter().filter_map(|row| {
        let address: Option<String> = row.get(1);
        if address.is_none() {
            last = Some(row.get(0));
        }
        Some((row.get(0), address?))
    });
    (found.collect(), last)
}

/// Records the addresses of profiles that were there before or were changed by the application, so that persons find
/// them however they spell the address. Returns the e-mail keys of the addresses now and before.
///
/// # Errors
/// Those of the target.
pub async fn record(tx: &Tx, profiles: &[(Uuid, String)]) -> Result<BTreeSet<String>> {
    let keyed: Vec<(&Uuid, &String, Option<String>)> = profiles
        .iter()
        .map(|(id, email)| (id, email, email_key(email).0.ok().map(|key| key.to_string())))
        .collect();
    let columns = TextColumns::of(&keyed, |(id, email, key)| {
        [Some(id.to_string()), Some((*email).clone()), key.clone()]
    });
    let sql = include_str!("sql/write_profile_emails.sql");
    let before = tx.query("target: recording addresses", sql, &columns.params()).await?;
    let before = before.iter().map(|row| row.get(0));
    Ok(keyed.into_iter().filter_map(|(_, _, key)| key).chain(before).collect())
}
