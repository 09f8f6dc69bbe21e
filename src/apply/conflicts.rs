//! The review queue (SPEC §6): what the current rows imply is open, everything else closes by itself.

use std::collections::{BTreeSet, HashMap};

use uuid::Uuid;

use super::fetch::State;
use super::quarantine::Refused;
use super::settle::Mode;
use super::{Applier, OWNERS_PER_ROUND};
use crate::engine::people::{Decided, is_person};
use crate::engine::{Person, PersonState, RowId, StoredConflict, WantedConflict};
use crate::error::Result;
use crate::facts::{EmailKey, canonical_key};
use crate::pg::{Group, Reached, Tx};
use crate::store;
use crate::unify::{self, Conflict, ConflictKind};

/// Wanted conflicts by fingerprint.
type Wanted = HashMap<Uuid, WantedConflict>;

fn wanted(findings: impl IntoIterator<Item = WantedConflict>) -> Wanted {
    findings.into_iter().map(|finding| (finding.fingerprint, finding)).collect()
}

impl Applier {
    /// Everything that the round implies.
    pub(super) fn wanted_conflicts(
        &self,
        decided: &mut [Decided],
        state: &State,
        persons: &HashMap<String, Person>,
        judged: Vec<Conflict>,
        refused: &Refused,
    ) -> Wanted {
        let mut wanted = Wanted::new();
        let mut add = |finding: WantedConflict| wanted.insert(finding.fingerprint, finding);
        for decided in decided {
            for finding in std::mem::take(&mut decided.wanted) {
                add(finding);
            }
            for (row, others) in state.other_transactions.get(&decided.owner).into_iter().flatten()
            {
                let row = self.env.feeds.source_row(row);
                let conflict = unify::duplicate_transaction(&decided.owner, &row, *others);
                add(WantedConflict::of(conflict, None));
            }
            if decided.is_person() {
                for conflict in link_conflicts(decided, state, persons.get(&decided.owner)) {
                    add(WantedConflict::of(conflict, None));
                }
            }
        }
        for conflict in judged {
            add(WantedConflict::of(conflict, None));
        }
        for (conflict, owner) in refused.conflicts() {
            add(WantedConflict::of(conflict, Some(format!("owner:{owner}"))));
        }
        wanted
    }

    /// Adds to a group what makes the open conflicts of the judged units exactly the wanted ones. Many new ones are
    /// copied at once.
    pub(super) async fn reconcile(
        &self,
        (tx, group): (&Tx, &mut Group),
        wanted: Wanted,
        state: &State,
        shared: &BTreeSet<String>,
        mode: Mode,
    ) -> Result<()> {
        let over = state.conflicts.iter().filter(|(fingerprint, conflict)| {
            !wanted.contains_key(*fingerprint) && closes(conflict, state, shared, mode)
        });
        let over: Vec<Uuid> = over.map(|(fingerprint, _)| *fingerprint).collect();
        let mut writes = self.differing(wanted, &state.conflicts);
        store::conflict::copy_new(tx, &mut writes).await?;
        store::conflict::write(group, writes);
        self.close(group, over);
        Ok(())
    }

    /// With its status: whether it was dismissed with this evidence.
    pub(super) fn with_status(&self, finding: WantedConflict) -> (WantedConflict, &'static str) {
        let dismissed = self.env.dismissals.get(&finding.fingerprint);
        let status = if dismissed == Some(&finding.digest) { "dismissed" } else { "open" };
        (finding, status)
    }

    /// The wanted conflicts that are not stored so already, with their status.
    fn differing(
        &self,
        wanted: Wanted,
        stored: &HashMap<Uuid, StoredConflict>,
    ) -> Vec<(WantedConflict, &'static str)> {
        let is_stored = |(finding, status): &(WantedConflict, &'static str)| {
            stored
                .get(&finding.fingerprint)
                .is_some_and(|stored| stored.status == *status && finding.equals(stored))
        };
        let writes = wanted.into_values().map(|finding| self.with_status(finding));
        let mut writes: Vec<_> = writes.filter(|write| !is_stored(write)).collect();
        // Those that are found together have an order in the review queue too.
        writes.sort_by(|(a, _), (b, _)| a.subject.cmp(&b.subject));
        let written = writes.iter().map(|(finding, _)| finding.fingerprint);
        self.watch.note(|reached| reached.conflicts.extend(written));
        writes
    }

    /// Adds the closing of conflicts whose cause is gone to a group.
    fn close(&self, group: &mut Group, over: Vec<Uuid>) {
        self.watch.note(|reached| reached.conflicts.extend(over.iter().copied()));
        store::conflict::close(group, over, "source");
    }

    /// Opens conflicts that only a change shows, and judges nothing else.
    pub(super) async fn open_conflicts(
        &self,
        tx: &Tx,
        conflicts: Vec<(Conflict, Option<String>)>,
    ) -> Result<()> {
        let findings =
            conflicts.into_iter().map(|(conflict, also)| WantedConflict::of(conflict, also));
        let mut group = Group::default();
        store::conflict::write(&mut group, self.differing(wanted(findings), &HashMap::new()));
        group.send(tx).await?;
        Ok(())
    }

    /// Makes the open conflicts of these scopes exactly the wanted ones.
    pub(super) async fn judge_scopes(
        &self,
        tx: &Tx,
        scopes: &[String],
        conflicts: Vec<Conflict>,
    ) -> Result<()> {
        let stored = store::conflict::by_scope(tx, scopes, &[]).await?;
        self.write_judged(tx, conflicts, stored).await
    }

    /// Makes these open conflicts of some scopes, all of them, the wanted ones.
    async fn write_judged(
        &self,
        tx: &Tx,
        conflicts: Vec<Conflict>,
        stored: HashMap<Uuid, StoredConflict>,
    ) -> Result<()> {
        let wanted =
            wanted(conflicts.into_iter().map(|conflict| WantedConflict::of(conflict, None)));
        let over = stored
            .keys()
            .filter(|fingerprint| !wanted.contains_key(*fingerprint))
            .copied()
            .collect();
        let mut group = Group::default();
        store::conflict::write(&mut group, self.differing(wanted, &stored));
        self.close(&mut group, over);
        group.send(tx).await?;
        Ok(())
    }

    /// `delete_blocked` of these rows.
    pub(super) async fn judge_blocked(
        &self,
        tx: &Tx,
        rows: impl Iterator<Item = &RowId>,
        wanted: Vec<Conflict>,
    ) -> Result<()> {
        if !self.has_blocked_deletes && wanted.is_empty() {
            return Ok(());
        }
        let scopes: Vec<String> =
            rows.map(|id| unify::scope_of_blocked(&self.env.feeds.source_row(id))).collect();
        self.judge_scopes(tx, &scopes, wanted).await
    }

    /// Sends what `group` holds, then judges `possible_duplicate` of persons who came, left or came back, and of those
    /// whom that concerns.
    pub(super) async fn judge_pairs(
        &self,
        tx: &Tx,
        group: Group,
        people: BTreeSet<String>,
    ) -> Result<Reached> {
        let people: Vec<String> = people.into_iter().filter(|key| is_person(key)).collect();
        let mut rounds = people.chunks(OWNERS_PER_ROUND);
        group.prepare(tx).await?;
        let first = pairs_touched(tx, rounds.next().unwrap_or_default());
        // A refusal of the group comes first: it is the cause of any other error.
        let (reached, members) = tokio::join!(group.send(tx), first);
        let reached = reached?;
        self.judge_pairs_of(tx, &members?).await?;
        for round in rounds {
            let members = pairs_touched(tx, round).await?;
            self.judge_pairs_of(tx, &members).await?;
        }
        Ok(reached)
    }

    /// `possible_duplicate` of exactly these persons.
    pub(super) async fn judge_pairs_of(&self, tx: &Tx, members: &[String]) -> Result<()> {
        if members.is_empty() {
            return Ok(());
        }
        let scopes: Vec<String> =
            members.iter().map(|member| unify::scope_of_pair(member)).collect();
        let (pairs, stored) = tokio::try_join!(
            store::alias::pairs(tx, members),
            store::conflict::by_scope(tx, &scopes, &[])
        )?;
        let wanted =
            pairs.iter().map(|(a, b, canonical)| unify::possible_duplicate(a, b, canonical));
        self.write_judged(tx, wanted.collect(), stored).await
    }

    /// Closes collisions and splits of the touched persons whose cause is gone.
    pub(super) async fn settle_email_changes(&self, tx: &Tx, state: &State) -> Result<()> {
        let changes = state.conflicts.values().filter(|conflict| is_of_history(conflict));
        let scopes: BTreeSet<String> = changes.map(|conflict| conflict.scope.clone()).collect();
        if scopes.is_empty() {
            return Ok(());
        }
        let scopes: Vec<String> = scopes.into_iter().collect();
        let over = store::alias::settled_changes(tx, &scopes).await?;
        let mut group = Group::default();
        self.close(&mut group, over);
        group.send(tx).await?;
        Ok(())
    }

    /// Records what was refused, and releases the quarantined owners of which nothing was.
    pub(super) fn note_quarantine(
        &self,
        group: &mut Group,
        state: &State,
        refused: &Refused,
        mode: Mode,
    ) {
        if mode.careful {
            let accepted = state.quarantined.iter().filter(|owner| !refused.has_owner(owner));
            let accepted: Vec<String> =
                if mode.with_quarantined { accepted.cloned().collect() } else { Vec::new() };
            store::quarantine::attempted(
                group,
                refused.owners().map(str::to_owned).collect(),
                accepted,
            );
        }
    }
}

/// Persons whose pairing may change when these come, leave or come back.
pub(super) async fn pairs_touched(tx: &Tx, people: &[String]) -> Result<Vec<String>> {
    if people.is_empty() {
        return Ok(Vec::new());
    }
    let canonical: Vec<String> =
        people.iter().map(|key| canonical_key(&EmailKey::trusted(key.clone()))).collect();
    Ok(store::alias::pairs_touched(tx, people, &canonical).await?.into_iter().collect())
}

/// Conflicts that only history shows: they are closed by their own rule.
fn is_of_history(conflict: &StoredConflict) -> bool {
    [ConflictKind::EmailChangeCollision, ConflictKind::EmailChangeSplit]
        .iter()
        .any(|kind| kind.as_str() == conflict.kind)
}

/// Whether a stored conflict that is not wanted is over.
pub(super) fn closes(
    conflict: &StoredConflict,
    state: &State,
    shared: &BTreeSet<String>,
    mode: Mode,
) -> bool {
    if is_of_history(conflict) {
        return false;
    }
    if conflict.kind == ConflictKind::RejectedRow.as_str() {
        let owner = conflict.also.as_deref().and_then(|also| also.strip_prefix("owner:"));
        return owner
            .is_none_or(|owner| mode.with_quarantined || !state.quarantined.contains(owner));
    }
    if conflict.kind == ConflictKind::DeleteBlocked.as_str() {
        let row = conflict.scope.strip_prefix("blocked:").unwrap_or_default();
        return state.given.contains(row);
    }
    let is_shared = |prefix| conflict.scope.starts_with(prefix);
    if is_shared("external_id:") || is_shared("contact_id:") {
        return shared.contains(&conflict.scope);
    }
    true
}

/// Conflicts about how a person and its profile are linked.
fn link_conflicts(decided: &Decided, state: &State, person: Option<&Person>) -> Vec<Conflict> {
    let owner = decided.owner.as_str();
    let mut conflicts = Vec::new();
    if let Some(others) = state.duplicates.get(owner) {
        conflicts.push(unify::duplicate_profile(owner, usize::try_from(*others).unwrap_or(0)));
    }
    let has_rows = !decided.rows.is_empty();
    match person.map(|person| person.state) {
        Some(PersonState::Waiting) if has_rows => conflicts.push(unify::missing_auth_user(owner)),
        Some(PersonState::Absent) if !has_rows => conflicts.push(unify::source_absent(owner)),
        _ => {}
    }
    conflicts
}
