//! Which profile a person has (SPEC §4.1): an existing one, an auth user's id, or a new one. Ids never
//! change once `tributary.person` records them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use uuid::Uuid;

use super::text::TextColumns;
use super::{Touched, Writer};
use crate::error::Result;
use crate::facts::{EmailKey, canonical_key, email_key};
use crate::rules::NAMESPACE;

/// Profiles read per round when existing profiles are looked through for their addresses.
const PROFILES_PER_ROUND: i64 = 10_000;

/// A person's state in `tributary.person`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Present,
    Absent,
    Merged,
    Waiting,
}

impl State {
    fn parse(word: &str) -> Self {
        match word {
            "absent" => Self::Absent,
            "merged" => Self::Merged,
            "waiting" => Self::Waiting,
            _ => Self::Present,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Absent => "absent",
            Self::Merged => "merged",
            Self::Waiting => "waiting",
        }
    }
}

/// A person as recorded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recorded {
    pub(super) profile_id: Uuid,
    pub(super) state: State,
}

/// Persons of one round after ids were found.
#[derive(Debug, Default)]
pub(super) struct People {
    /// Recorded persons, those who are new included.
    pub(super) recorded: HashMap<String, Recorded>,
    /// How many other profiles have the person's address.
    pub(super) duplicates: BTreeMap<String, i64>,
    /// Persons who came, left or came back in this round.
    pub(super) changed: Vec<String>,
}

impl Writer {
    /// Finds the ids of all persons in `wanted` (who have a profile) and marks those in `left` absent.
    pub(super) async fn find_people(&self, wanted: &[&str], left: &[&str]) -> Result<People> {
        let all: Vec<&str> = wanted.iter().chain(left).copied().collect();
        let mut people = People { recorded: self.recorded(&all).await?, ..People::default() };
        let fresh: Vec<&str> = wanted
            .iter()
            .copied()
            .filter(|key| {
                people.recorded.get(*key).is_none_or(|person| person.state == State::Waiting)
            })
            .collect();
        let mut writes: Vec<(String, Recorded)> = Vec::new();
        if !fresh.is_empty() {
            writes.extend(self.new_ids(&fresh).await?);
        }
        for key in wanted {
            if let Some(person) = people.recorded.get(*key)
                && matches!(person.state, State::Absent | State::Merged)
            {
                writes.push(((*key).to_owned(), Recorded { state: State::Present, ..*person }));
            }
        }
        for key in left {
            if let Some(person) = people.recorded.get(*key)
                && person.state == State::Present
            {
                writes.push(((*key).to_owned(), Recorded { state: State::Absent, ..*person }));
            }
        }
        self.record(&writes).await?;
        for (key, person) in writes {
            people.changed.push(key.clone());
            people.recorded.insert(key, person);
        }
        people.duplicates = self.duplicate_profiles(wanted).await?;
        Ok(people)
    }

    async fn recorded(&self, keys: &[&str]) -> Result<HashMap<String, Recorded>> {
        let sql = "select email_key, profile_id, state from tributary.person \
                   where email_key = any($1)";
        let rows = self.db.query("target: looking up persons", sql, &[&keys]).await?;
        Ok(rows
            .iter()
            .map(|row| {
                let state = State::parse(row.get(2));
                (row.get(0), Recorded { profile_id: row.get(1), state })
            })
            .collect())
    }

    async fn record(&self, people: &[(String, Recorded)]) -> Result<()> {
        let mut rows = TextColumns::new(4);
        for (key, person) in people {
            rows.push([
                Some(key.clone()),
                Some(person.profile_id.to_string()),
                Some(canonical_key(&EmailKey::trusted(key.clone()))),
                Some(person.state.as_str().to_owned()),
            ]);
        }
        if rows.is_empty() {
            return Ok(());
        }
        let sql = include_str!("sql/write_persons.sql")
            .replace("{profiles}", &self.tables.names.profiles);
        self.db.execute("target: writing persons", &sql, &rows.params()).await?;
        Ok(())
    }

    /// How many profiles beside the person's own have each address.
    async fn duplicate_profiles(&self, keys: &[&str]) -> Result<BTreeMap<String, i64>> {
        let sql = include_str!("sql/duplicate_profiles.sql")
            .replace("{profiles}", &self.tables.names.profiles);
        let rows = self.db.query("target: looking for duplicate profiles", &sql, &[&keys]).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// Ids for persons without one, in the order of SPEC §4.1.
    async fn new_ids(&self, keys: &[&str]) -> Result<Vec<(String, Recorded)>> {
        let derived: Vec<Uuid> = keys.iter().map(|key| derived_id(key, 0)).collect();
        let sql = include_str!("sql/profile_ids.sql")
            .replace("{profiles}", &self.tables.names.profiles)
            .replace(
                "{auth_users}",
                if self.tables.link_auth_users {
                    "(select u.id, lower(u.email) as email from auth.users u)"
                } else {
                    "(select null::uuid as id, null::text as email where false)"
                },
            );
        let rows = self.db.query("target: looking up profiles", &sql, &[&keys, &derived]).await?;
        let mut taken = HashSet::new();
        let mut found = Vec::new();
        for row in &rows {
            let key: String = row.get(0);
            let existing: Option<Uuid> = row.get(1);
            let decided: Option<Uuid> = row.get(2);
            let auth: Option<Uuid> = row.get(3);
            let derived_is_taken: bool = row.get(4);
            let candidates = [
                existing,
                decided.filter(|_| auth.is_none() || !self.tables.needs_auth_user),
                auth,
            ];
            let id = candidates.into_iter().flatten().find(|id| !taken.contains(id));
            let (profile_id, state) = match id {
                Some(id) => (id, State::Present),
                None if self.tables.needs_auth_user => (derived_id(&key, 0), State::Waiting),
                None => (self.free_id(&key, derived_is_taken, &taken), State::Present),
            };
            taken.insert(profile_id);
            found.push((key, Recorded { profile_id, state }));
        }
        Ok(found)
    }

    /// The derived id; a random one where a profile that another person kept already has it.
    fn free_id(&self, key: &str, taken: bool, here: &HashSet<Uuid>) -> Uuid {
        let first = derived_id(key, u32::from(taken));
        if here.contains(&first) { Uuid::new_v4() } else { first }
    }

    /// Learns the addresses of profiles that were there before or were changed by the application, so that
    /// persons find them however they spell the address, and judges their persons anew. `alive` is told of
    /// each commit.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn learn_profiles(&mut self, alive: &(dyn Fn() + Sync)) -> Result<()> {
        let mut after = Uuid::nil();
        loop {
            let found = self.unlearned(after).await?;
            let Some(last) = found.last() else { return Ok(()) };
            after = last.0;
            self.begin().await?;
            let owners = self.learn(found).await?;
            self.recompute(&Touched { owners, ..Touched::default() }).await?.count();
            self.commit_data().await?;
            alive();
        }
    }

    /// Profiles with addresses that are not known, by id.
    async fn unlearned(&self, after: Uuid) -> Result<Vec<(Uuid, String)>> {
        let sql = include_str!("sql/unlearned_profiles.sql")
            .replace("{profiles}", &self.tables.names.profiles);
        let what = "target: reading profiles";
        let rows = self.db.query(what, &sql, &[&after, &PROFILES_PER_ROUND]).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    async fn learn(&self, profiles: Vec<(Uuid, String)>) -> Result<BTreeSet<String>> {
        let keyed = profiles.into_iter().map(|(id, email)| {
            let key = email_key(&email).0.ok().map(|key| key.to_string());
            (id, email, key)
        });
        let keyed: Vec<_> = keyed.collect();
        let columns = TextColumns::of(&keyed, |(id, email, key)| {
            [Some(id.to_string()), Some(email.clone()), key.clone()]
        });
        let write = include_str!("sql/write_profile_emails.sql");
        self.db.execute("target: learning addresses", write, &columns.params()).await?;
        Ok(keyed.into_iter().filter_map(|(_, _, key)| key).collect())
    }
}

/// UUIDv5 of the key (SPEC §4.1); a further `attempt` where that id is another person's by now.
fn derived_id(key: &str, attempt: u32) -> Uuid {
    if attempt == 0 {
        Uuid::new_v5(&NAMESPACE, key.as_bytes())
    } else {
        Uuid::new_v5(&NAMESPACE, format!("{key} {attempt}").as_bytes())
    }
}
