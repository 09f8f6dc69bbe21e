//! People who are looked for: by address, phone, ids, or the beginning of a name.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::apply::find_row;
use crate::config::Config;
use crate::engine::people::is_person;
use crate::error::{Error, Result};
use crate::facts::{email_key, phone};
use crate::pg::Db;
use crate::store::search;

/// People shown; a search that finds more is too wide.
pub(crate) const MOST: usize = 50;

const WHAT: &str = "target: looking for people";

/// Somebody who was found.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) email: String,
    pub(crate) profile_id: String,
    pub(crate) state: String,
    pub(crate) name: Option<String>,
    pub(crate) phone: Option<String>,
    /// Sum of the successful payments.
    pub(crate) paid: String,
}

/// Looks for people. At most one more than [`MOST`].
pub(crate) async fn people(db: &Db, config: &Config, text: &str) -> Result<Vec<Found>> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let mut keys = BTreeSet::new();
    if let Ok(key) = email_key(text).0 {
        keys.extend(person_of(db, key.as_str()).await?);
    }
    if let Some((_, owner)) = row(db, config, text).await? {
        keys.insert(owner);
    }
    if let Some(number) = phone(text).0 {
        let sql = "select email_key from tributary.person_search where phone = $1 limit 51";
        keys.extend(all(db, sql, &number).await?);
    }
    if let Ok(id) = text.parse::<Uuid>() {
        let sql = "select email_key from tributary.person where profile_id = $1::text::uuid";
        keys.extend(all(db, sql, &id.to_string()).await?);
    }
    keys.extend(all(db, include_str!("sql/owners_of_id.sql"), text).await?);
    if keys.is_empty() && text.chars().any(char::is_alphabetic) {
        let name = search::name(text);
        keys.extend(all(db, include_str!("sql/owners_by_name.sql"), &name).await?);
    }
    let keys: Vec<String> = keys.into_iter().filter(|key| is_person(key)).collect();
    let sql = include_str!("sql/found_people.sql")
        .replace("{profiles}", &config.target.profiles.quoted());
    let rows = db.query(WHAT, &sql, &[&keys]).await?;
    let found = rows.iter().map(|row| Found {
        email: row.get(0),
        profile_id: row.get(1),
        state: row.get(2),
        name: row.get(3),
        phone: row.get(4),
        paid: row.get(5),
    });
    Ok(found.collect())
}

/// The owner of a source row, where the text names one that is there.
async fn row(db: &Db, config: &Config, text: &str) -> Result<Option<(String, String)>> {
    match find_row(db, config, text).await {
        Err(Error::Refused { .. }) => Ok(None),
        found => found,
    }
}

async fn all(db: &Db, sql: &str, value: &str) -> Result<Vec<String>> {
    let rows = db.query(WHAT, sql, &[&value]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// The address itself and the person that it belongs to.
async fn person_of(db: &Db, key: &str) -> Result<Vec<String>> {
    let sql = "select $1::text union select root_key from tributary.alias where from_key = $1";
    all(db, sql, key).await
}

/// The address of the person with this profile.
pub(crate) async fn of_profile(db: &Db, profile: Uuid) -> Result<Option<String>> {
    let sql = "select email_key from tributary.person where profile_id = $1";
    let rows = db.query(WHAT, sql, &[&profile]).await?;
    Ok(rows.first().map(|row| row.get(0)))
}

/// The profiles of these addresses.
pub(crate) async fn profiles(db: &Db, keys: &[String]) -> Result<Vec<(String, String)>> {
    let sql = "select email_key, profile_id::text from tributary.person where email_key = any($1)";
    let rows = db.query(WHAT, sql, &[&keys]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}
