//! `tributary.person`: which profile belongs to which person (SPEC §4.1).

use std::collections::HashMap;

use uuid::Uuid;

use crate::engine::{Person, PersonState};
use crate::error::Result;
use crate::facts::{EmailKey, canonical_key};
use crate::pg::{Group, TextColumns, Tx};

/// The recorded persons with these e-mail keys.
///
/// # Errors
/// Those of the target.
pub async fn by_key(tx: &Tx, keys: &[String]) -> Result<HashMap<String, Person>> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = "select email_key, profile_id, state, profile_digest, enrollments_digest \
               from tributary.person where email_key = any($1)";
    let rows = tx.query("target: looking up persons", sql, &[&keys]).await?;
    Ok(rows
        .iter()
        .map(|row| {
            let person = Person {
                profile_id: row.get(1),
                state: PersonState::parse(row.get(2)),
                profile: row.get(3),
                enrollments: row.get(4),
            };
            (row.get(0), person)
        })
        .collect())
}

/// Adds the persons to a group. `profiles` is the quoted table: a profile that was there before was first written
/// when it says it was made.
pub fn write(group: &mut Group, profiles: &str, people: &[(String, Person)]) {
    if people.is_empty() {
        return;
    }
    let columns = TextColumns::of(people, |(key, person)| {
        [
            Some(key.clone()),
            Some(person.profile_id.to_string()),
            Some(canonical_key(&EmailKey::trusted(key.clone()))),
            Some(person.state.as_str().to_owned()),
            person.profile.map(|digest: Uuid| digest.to_string()),
            person.enrollments.map(|digest: Uuid| digest.to_string()),
        ]
    });
    let sql = include_str!("sql/write_persons.sql").replace("{profiles}", profiles);
    group.exactly(people.len(), "target: writing persons", sql, columns.owned());
}
