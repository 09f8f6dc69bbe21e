//! What owners should be, decided by the functions of the write path and written nowhere: for `verify`.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use uuid::Uuid;

use super::conflicts::closes;
use super::quarantine::Refused;
use super::settle::bytes_at_once;
use super::{Applier, Mode, NARROW_LOOK_UPS, Watch};
use crate::config::Config;
use crate::engine::diff::{self, OwnerWrite, ProfileWrite, Trust};
use crate::engine::people::{self, Decided};
use crate::engine::rows::{self, RowPlan, RowWrite, Touched};
use crate::engine::versions::Version;
use crate::engine::{
    Arrival, Env, Feeds, Person, PersonState, RowId, StoredConflict, WantedConflict, rollout,
    shared,
};
use crate::error::Result;
use crate::facts::{FeedKind, SourceKey};
use crate::pg::{Db, Tx};
use crate::source::RowReader;
use crate::store;
use crate::store::operation_log::Operator;
use crate::targets::compare::Claim;
use crate::targets::{self, CameIn, Tables, profile_ids};
use crate::unify::{self, ConflictKind};

/// What the rows of some owners imply.
#[derive(Debug, Default)]
pub struct Expected {
    /// Their rows in the target tables, all of them, whatever digests say.
    pub writes: Vec<OwnerWrite>,
    /// Persons who are not recorded as they should be.
    pub misrecorded: Vec<Misrecorded>,
    /// The conflicts that must be stored, with the status of each.
    pub conflicts: Vec<(WantedConflict, &'static str)>,
    /// Those that are stored and not resolved, by fingerprint.
    pub stored: HashMap<Uuid, StoredConflict>,
    /// Those of them that nothing supports.
    pub over: Vec<Uuid>,
    /// Owners that are left out as the target refuses them (P10).
    pub quarantined: u64,
}

/// A person who is not recorded as the rows say.
#[derive(Debug, Clone)]
pub struct Misrecorded {
    /// The e-mail key.
    pub owner: String,
    /// The profile.
    pub profile: Option<Uuid>,
    /// Names of the rows.
    pub rows: Vec<String>,
    /// The recorded state; `None`: not at all.
    pub found: Option<PersonState>,
    /// What it should be.
    pub expected: PersonState,
}

/// A transaction that no stored row supports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsupported {
    /// The transaction.
    pub id: Uuid,
    /// The row that it claims to be of.
    pub row: RowId,
    /// Whether that row would give a transaction with this id.
    pub is_own: bool,
}

impl Applier {
    /// An applier on a session that holds no lock and writes nothing.
    ///
    /// # Errors
    /// Those of the target; a refusal where a target table is missing.
    pub async fn reading(
        db: Arc<Db>,
        config: &Config,
        feeds: Arc<Feeds>,
        reader: RowReader,
    ) -> Result<Self> {
        let mut tables = Tables::read(db.client(), &config.target).await?;
        "begin isolation level repeatable read read only".clone_into(&mut tables.begin);
        // Look-ups are as narrow as those of the daemon.
        db.batch("target: preparing the session", NARROW_LOOK_UPS).await?;
        let env = Env::new(config.rules.clone(), feeds);
        Ok(Self {
            db,
            env,
            tables,
            reader,
            operator: Operator::of(config),
            has_foreign_profiles: true,
            came_in: CameIn::default(),
            has_quarantine: true,
            has_outside: true,
            has_partners: true,
            has_blocked_deletes: true,
            has_adopted: true,
            reading: None,
            clock: super::clock::TargetClock::default(),
            plans: super::plans::Plans::default(),
            watch: Watch::default(),
        })
    }

    /// Opens a transaction in which everything is of one moment: rows and people commit together (P2). Decisions and the
    /// date are those of that moment.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn begin_reading(&mut self) -> Result<Tx> {
        let tx = self.begin().await?;
        self.load_decisions().await?;
        let rows = tx.query("target: asking for the time", "select now()", &[]).await?;
        if let Some(row) = rows.first() {
            self.set_today(row.get(0));
        }
        Ok(tx)
    }

    /// What stored rows come to once these rows of the source take the place of theirs; `None`: the source has no such
    /// row. The stored versions are not believed in anything.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn substituted(&self, tx: &Tx, versions: Vec<Version>) -> Result<RowPlan> {
        let ids = versions.iter().map(|version| version.id.clone()).collect();
        let mut stored = store::row::by_key(tx, &ids).await?;
        for row in stored.values_mut() {
            row.digest = Uuid::nil();
        }
        let emails = super::batch::emails_of(&versions);
        let roots = store::alias::roots(tx.db(), &emails).await?;
        Ok(rows::decide(versions, &stored, &roots, Arrival::Reread, &self.env))
    }

    /// What the next part of these owners and shared ids should be; `None`: there is none left. A part that is too large to be decided
    /// at once is divided (P13).
    ///
    /// # Errors
    /// Those of the target.
    pub async fn next_expected(
        &self,
        tx: &Tx,
        plan: &mut RowPlan,
        parts: &mut Vec<Touched>,
    ) -> Result<Option<Expected>> {
        while let Some(part) = parts.pop() {
            match self.expected(tx, plan, &part).await? {
                Some(expected) => return Ok(Some(expected)),
                None => parts.extend(part.halves().into_iter().rev()),
            }
        }
        Ok(None)
    }

    /// What the touched owners and shared ids should be. `None`: without rows of the plan there are too many bytes of values to
    /// decide them at once.
    async fn expected(
        &self,
        tx: &Tx,
        plan: &mut RowPlan,
        touched: &Touched,
    ) -> Result<Option<Expected>> {
        let is_whole = plan.changed().next().is_some();
        let bytes = if is_whole { store::row::UNBOUNDED } else { bytes_at_once(touched) };
        let Some(mut state) = self.fetch(tx, plan, touched, bytes).await? else { return Ok(None) };
        let judged = shared::judge(&state.shared, &self.env.feeds);
        state.holders.extend(judged.holders.clone());
        let mut owners = std::mem::take(&mut state.rows);
        // Of others the plan holds a part of the rows only.
        owners.retain(|owner, _| touched.owners.contains(owner));
        let mut decided = people::decide(owners, &state.holders, &self.env);
        let wanted = self.wanted_transactions(&decided, &state, Trust::Nothing);
        let existing = self.existing(tx, &wanted, &[]).await?;
        self.adopt_transactions(&mut decided, &mut state, plan, &wanted, &existing);
        let mut persons = std::mem::take(&mut state.persons);
        let recorded = persons.clone();
        let mut expected = Expected::default();
        let is_left_out =
            |decided: &Decided| decided.is_incomplete || state.quarantined.contains(&decided.owner);
        let (mut unrecorded, mut misrecorded) = (Vec::new(), Vec::<Misrecorded>::new());
        for decided in decided.iter().filter(|decided| decided.is_person()) {
            if is_left_out(decided) {
                continue;
            }
            let should = decided.unified.profile.is_some();
            let person = persons.get_mut(&decided.owner);
            let found = person.as_ref().map(|person| person.state);
            let state = match found {
                None if should => {
                    unrecorded.push(decided.owner.clone());
                    PersonState::Present
                }
                Some(state) if state.with_profile(should) != state => state.with_profile(should),
                _ => continue,
            };
            let profile = person.as_ref().map(|person| person.profile_id);
            if let Some(person) = person {
                person.state = state;
            }
            misrecorded.push(Misrecorded {
                owner: decided.owner.clone(),
                profile,
                rows: decided.rows.clone(),
                found,
                expected: state,
            });
        }
        for (key, found) in profile_ids::find(tx, &self.tables, &unrecorded).await? {
            let of_key = misrecorded.iter_mut().find(|person| person.owner == key);
            if let Some(person) = of_key.filter(|person| person.profile.is_none()) {
                person.profile = Some(found.person.profile_id);
            }
            persons.insert(key, found.person);
        }
        expected.misrecorded = misrecorded;
        let mut within: Vec<Uuid> = Vec::new();
        state.duplicates = self.duplicates(tx, &decided, &persons).await?;
        for decided in &decided {
            if state.quarantined.contains(&decided.owner) {
                expected.quarantined += 1;
            } else if !decided.is_incomplete {
                let rollout = self.env.rollout;
                let mut person = persons.get(&decided.owner).copied();
                if let Some(person) = person.as_mut().filter(|_| decided.is_person()) {
                    person.outside =
                        !rollout.includes(&decided.owner, recorded.get(&decided.owner));
                }
                let (feeds, identity) = (&self.env.feeds, &self.tables.identity);
                let trust = Trust::Nothing;
                let (mut write, mut person) =
                    diff::owner(decided, person, feeds, identity, trust, false);
                let was_in = recorded.get(&decided.owner).is_some_and(|before| !before.outside);
                let owned = (person.as_mut(), was_in);
                rollout::withhold(&mut write, decided, owned, rollout, feeds);
                within.extend(person.filter(|person| !person.outside).map(|p| p.profile_id));
                expected.writes.push(write);
            }
        }
        if !self.env.rollout.is_complete() {
            let writes = &expected.writes;
            let held = targets::write::held_outside(tx, &self.tables, writes, &within).await?;
            let profiles = expected.writes.iter_mut().filter_map(|write| write.profile.as_mut());
            let is_held =
                |p: &&mut ProfileWrite| p.systemeio_id.as_ref().is_some_and(|id| held.contains(id));
            profiles.filter(is_held).for_each(ProfileWrite::leave_systemeio_id);
        }
        let refused = Refused::default();
        let wanted =
            self.wanted_conflicts(&mut decided, &state, &persons, judged.conflicts, &refused);
        let over = state.conflicts.iter().filter(|(fingerprint, conflict)| {
            !wanted.contains_key(*fingerprint)
                && !is_left_to_history(&conflict.kind)
                && closes(conflict, &state, &judged.scopes, Mode::COMPARED)
        });
        expected.over = over.map(|(fingerprint, _)| *fingerprint).collect();
        let wanted = wanted.into_values().filter(|f| !is_left_to_history(f.kind.as_str()));
        expected.conflicts = wanted.map(|finding| self.with_status(finding)).collect();
        expected.stored = state.conflicts;
        Ok(Some(expected))
    }

    async fn duplicates(
        &self,
        tx: &Tx,
        decided: &[Decided],
        persons: &HashMap<String, Person>,
    ) -> Result<std::collections::BTreeMap<String, i64>> {
        let with_profile = decided.iter().filter(|decided| decided.unified.profile.is_some());
        let keys: Vec<String> = with_profile.map(|decided| decided.owner.clone()).collect();
        let own: Vec<Uuid> = persons.values().map(|person| person.profile_id).collect();
        profile_ids::duplicates(tx, &self.tables, &keys, &own).await
    }

    /// What the persons of a page who share a canonical key should be suspected of. The last of them; `None` at the end.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn expected_pairs(
        &self,
        tx: &Tx,
        after: &str,
        limit: i64,
    ) -> Result<(Option<String>, Expected)> {
        let members = self.canonical_members(tx, after, limit).await?;
        let pairs = store::alias::pairs(tx, &members).await?;
        let scopes: Vec<String> = members.iter().map(|key| unify::scope_of_pair(key)).collect();
        let stored = store::conflict::by_scope(tx, &scopes, &[]).await?;
        let conflicts: Vec<(WantedConflict, &'static str)> = pairs
            .iter()
            .map(|(a, b, canonical)| {
                WantedConflict::of(unify::possible_duplicate(a, b, canonical), None)
            })
            .map(|finding| self.with_status(finding))
            .collect();
        let wanted: BTreeSet<Uuid> =
            conflicts.iter().map(|(finding, _)| finding.fingerprint).collect();
        let over =
            stored.keys().filter(|fingerprint| !wanted.contains(fingerprint)).copied().collect();
        Ok((members.last().cloned(), Expected { conflicts, stored, over, ..Expected::default() }))
    }

    /// What should be stored of these rows beside the values, where each is the source's row now.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn placed(
        &self,
        tx: &Tx,
        versions: Vec<Version>,
    ) -> Result<HashMap<RowId, RowWrite>> {
        let emails = super::batch::emails_of(&versions);
        let roots = store::alias::roots(tx.db(), &emails).await?;
        let plan = rows::decide(versions, &HashMap::new(), &roots, Arrival::Reread, &self.env);
        Ok(plan.writes.into_iter().map(|write| (write.id.clone(), write)).collect())
    }

    /// Which of these transactions no stored row supports, with the rows that they claim to be of. Those that the
    /// application holds are left to history (SPEC §5.3), and those of people outside of a rollout stay as they are
    /// (SPEC §7a).
    ///
    /// # Errors
    /// Those of the target.
    pub async fn unsupported(&self, tx: &Tx, claims: &[Claim]) -> Result<Vec<Unsupported>> {
        let row = |claim: &Claim| {
            let entry = self.env.feeds.named(claim.source.as_deref()?)?;
            let row = (entry.info.feed, SourceKey(claim.source_id.clone()?));
            let takes = || self.env.rollout.takes(&self.env.feeds.source_row(&row));
            let is_outside =
                !self.env.rollout.is_complete() && claim.outside.unwrap_or_else(|| !takes());
            (entry.info.kind == FeedKind::Payment && !is_outside).then_some((claim.id, row))
        };
        let rows: Vec<(Uuid, RowId)> = claims.iter().filter_map(row).collect();
        let ids = rows.iter().map(|(_, row)| row.clone()).collect();
        let stored = store::row::by_key(tx, &ids).await?;
        let own = self.transaction_ids(tx, rows.iter().map(|(_, row)| row.clone())).await?;
        let of =
            |(id, row): (Uuid, RowId)| Unsupported { is_own: own.get(&id) == Some(&row), id, row };
        let mut unsupported: Vec<Unsupported> = rows.into_iter().map(of).collect();
        unsupported.retain(|found| !stored.contains_key(&found.row) || !found.is_own);
        let scope = |row: &RowId| unify::scope_of_blocked(&self.env.feeds.source_row(row));
        let scopes: Vec<String> = unsupported.iter().map(|found| scope(&found.row)).collect();
        let blocked = store::conflict::by_scope(tx, &scopes, &[]).await?;
        let blocked: BTreeSet<String> = blocked.into_values().map(|stored| stored.scope).collect();
        // One with another id was never that row's.
        unsupported.retain(|found| !found.is_own || !blocked.contains(&scope(&found.row)));
        Ok(unsupported)
    }
}

/// What P3 leaves to history: it depends on the order in which things happened.
#[must_use]
pub fn is_left_to_history(kind: &str) -> bool {
    [
        ConflictKind::SourceAbsent,
        ConflictKind::EmailChangeCollision,
        ConflictKind::EmailChangeSplit,
        ConflictKind::DeleteBlocked,
    ]
    .iter()
    .any(|known| known.as_str() == kind)
}
