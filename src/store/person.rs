//! `tributary.person`: which profile belongs to which person (SPEC §4.1).

use std::collections::HashMap;

use uuid::Uuid;

use crate::engine::{Person, PersonState};
use crate::error::Result;
use crate::facts::{EmailKey, canonical_key};
use crate::pg::{Group, Owned, Tx};

/// The recorded persons with these e-mail keys.
///
/// # Errors
/// Those of the target.
pub async fn by_key(tx: &Tx, keys: &[String]) -> Result<HashMap<String, Person>> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = "select email_key, profile_id, state, profile_digest, enrollments_digest, outside \
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
                outside: row.get(5),
            };
            (row.get(0), person)
        })
        .collect())
}

/// Adds persons who are not recorded yet to a group. `profiles` is the quoted table: a profile that was there before was
/// first written when it says it was made.
pub fn insert(group: &mut Group, profiles: &str, people: &[(String, Person)]) {
    if people.is_empty() {
        return;
    }
    let canonical = |key: &String| canonical_key(&EmailKey::trusted(key.clone()));
    let sql = include_str!("sql/insert_persons.sql").replace("{profiles}", profiles);
    let mut params = Columns::of(people).params();
    params.push(Box::new(people.iter().map(|(key, _)| canonical(key)).collect::<Vec<_>>()));
    group.exactly(people.len(), "target: inserting persons", sql, params);
}

/// Adds what became of recorded persons to a group.
pub fn update(group: &mut Group, people: &[(String, Person)]) {
    if people.is_empty() {
        return;
    }
    let sql = include_str!("sql/update_persons.sql");
    group.exactly(people.len(), "target: updating persons", sql, Columns::of(people).params());
}

/// Persons as one array a column, in the order of the statements' parameters.
struct Columns {
    keys: Vec<String>,
    profile_ids: Vec<Uuid>,
    states: Vec<&'static str>,
    profiles: Vec<Option<Uuid>>,
    enrollments: Vec<Option<Uuid>>,
    outside: Vec<bool>,
}

impl Columns {
    fn of(people: &[(String, Person)]) -> Self {
        Self {
            keys: people.iter().map(|(key, _)| key.clone()).collect(),
            profile_ids: people.iter().map(|(_, person)| person.profile_id).collect(),
            states: people.iter().map(|(_, person)| person.state.as_str()).collect(),
            profiles: people.iter().map(|(_, person)| person.profile).collect(),
            enrollments: people.iter().map(|(_, person)| person.enrollments).collect(),
            outside: people.iter().map(|(_, person)| person.outside).collect(),
        }
    }

    fn params(self) -> Vec<Owned> {
        vec![
            Box::new(self.keys),
            Box::new(self.profile_ids),
            Box::new(self.states),
            Box::new(self.profiles),
            Box::new(self.enrollments),
            Box::new(self.outside),
        ]
    }
}

/// Adds to a group that nothing is known of what was last written of these persons.
pub fn forget_digests<'a>(group: &mut Group, keys: impl Iterator<Item = &'a str>) {
    let keys: Vec<String> = keys.map(str::to_owned).collect();
    if !keys.is_empty() {
        let sql = "update tributary.person set profile_digest = null, enrollments_digest = null \
                   where email_key = any($1)";
        group.any("target: forgetting digests", sql, vec![Box::new(keys)]);
    }
}
