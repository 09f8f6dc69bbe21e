//! Carries out what the e-mail change rule decides (SPEC §4.3): aliases, persons, owners of rows.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::Applier;
use crate::engine::email_change::{self, Counts, Knowledge, Step, Transition};
use crate::engine::rows::Touched;
use crate::engine::versions::RowVersion;
use crate::engine::{RowId, StoredRow};
use crate::error::Result;
use crate::facts::{EmailKey, FeedKind, canonical_key};
use crate::pg::{Group, Tx};
use crate::store::{self, alias::Roots};
use crate::targets::{Merge, Merger, forget_waiting};
use crate::unify::{self, Conflict};

/// Who automatic decisions are recorded for.
const ACTOR: &str = "tributary";

/// A move of a person: from, to, and whether an automatic alias led from `to` to `from` until now.
type Move = (EmailKey, EmailKey, bool);

impl Applier {
    /// Judges transitions in commit order and carries the moves out. The rows in `stored` are then whose they are.
    /// Returns the persons of `emails`, where anybody moved.
    pub(super) async fn change_emails(
        &mut self,
        tx: &Tx,
        transitions: &[Transition],
        emails: &[String],
        stored: &mut HashMap<RowId, StoredRow>,
        touched: &mut Touched,
    ) -> Result<Option<Roots>> {
        let known = self.counted(tx, transitions).await?;
        let mut moving = Moving { emails, stored, touched, roots: None };
        self.follow(tx, transitions, known.into(), &mut moving).await?;
        Ok(moving.roots)
    }

    /// As [`Applier::change_emails`], of a part of the changes of a large transaction or a reconcile whose rows are stored
    /// already: counts are those of the whole, facts as they were before it or came from elsewhere, contacts as they are,
    /// less what these transitions changed. Rows of a generation before this are no longer in the source.
    pub(super) async fn change_emails_within(
        &mut self,
        tx: &Tx,
        transitions: &[Transition],
        generation: i64,
        touched: &mut Touched,
    ) -> Result<()> {
        let mut known = self.counted(tx, transitions).await?;
        let sql = include_str!("sql/open_counts.sql");
        let params: [crate::pg::Param<'_>; 3] = [&known.keys, &known.persons, &generation];
        for row in tx.query("target: counting changed rows", sql, &params).await? {
            let (left, came, absent): (i64, i64, i64) = (row.get(1), row.get(2), row.get(3));
            let (later, later_contacts): (i64, i64) = (row.get(4), row.get(5));
            if let Some(counts) = known.counts.get_mut(&EmailKey::trusted(row.get(0))) {
                counts.facts += left - came - later;
                counts.contacts -= absent + later_contacts;
            }
        }
        for transition in transitions {
            for (key, by) in [(&transition.old, -1), (&transition.new, 1)] {
                if let Some(counts) = key.as_ref().and_then(|key| known.counts.get_mut(key)) {
                    counts.contacts -= by;
                }
            }
        }
        let stored = &mut HashMap::new();
        let mut moving = Moving { emails: &[], stored, touched, roots: None };
        self.follow(tx, transitions, known.into(), &mut moving).await
    }

    async fn follow(
        &mut self,
        tx: &Tx,
        transitions: &[Transition],
        mut known: Knowledge,
        moving: &mut Moving<'_>,
    ) -> Result<()> {
        let steps = email_change::walk(transitions, &mut known);
        let mut conflicts: Vec<(Conflict, Option<String>)> = Vec::new();
        let mut wave: Vec<Move> = Vec::new();
        for step in steps {
            match step {
                Step::Collision { from, to, contact: row } => {
                    let conflict = unify::email_change_collision(from.as_str(), to.as_str(), &row);
                    conflicts.push(concerning(conflict, &from, &to));
                    moving.touched.owners.extend([from.to_string(), to.to_string()]);
                }
                Step::Split { from, to, contact: row } => {
                    let conflict = unify::email_change_split(from.as_str(), to.as_str(), &row);
                    conflicts.push(concerning(conflict, &from, &to));
                    moving.touched.owners.extend([from.to_string(), to.to_string()]);
                }
                Step::Move { from, to, reopened } => {
                    let named: HashSet<&EmailKey> =
                        wave.iter().flat_map(|(from, to, _)| [from, to]).collect();
                    if named.contains(&from) || named.contains(&to) {
                        self.carry_out(tx, std::mem::take(&mut wave), moving).await?;
                    }
                    wave.push((from, to, reopened));
                }
            }
        }
        self.carry_out(tx, wave, moving).await?;
        if !conflicts.is_empty() {
            self.has_partners = true;
            self.open_conflicts(tx, conflicts).await?;
        }
        Ok(())
    }

    /// A decision gave rows other addresses: contacts move their persons, and nothing is suggested (SPEC §7).
    pub(super) async fn move_decided(
        &mut self,
        tx: &Tx,
        placed: &mut [(RowId, StoredRow, RowVersion)],
        touched: &mut Touched,
    ) -> Result<()> {
        let transitions: Vec<Transition> = placed
            .iter()
            .filter(|(id, _, _)| self.env.feeds.kind(id.0) == FeedKind::Contact)
            .filter_map(|(id, row, version)| {
                let (old, new) = (row.email.clone()?, version.email()?.clone());
                let row = self.env.feeds.source_row(id);
                Some(Transition { decided: true, ..Transition::contact(row, old, new) })
            })
            .collect();
        if !transitions.iter().any(email_change::may_move) {
            return Ok(());
        }
        let mut stored: HashMap<RowId, StoredRow> =
            placed.iter().map(|(id, row, _)| (id.clone(), row.clone())).collect();
        self.change_emails(tx, &transitions, &[], &mut stored, touched).await?;
        for (id, row, _) in placed {
            if let Some(moved) = stored.remove(id) {
                *row = moved;
            }
        }
        Ok(())
    }

    /// What is stored of the keys that moves involve, and of all keys with the same person.
    async fn counted(&self, tx: &Tx, transitions: &[Transition]) -> Result<Counted> {
        let involved: BTreeSet<&EmailKey> = transitions
            .iter()
            .filter(|transition| email_change::may_move(transition))
            .flat_map(|transition| transition.old.iter().chain(&transition.new))
            .collect();
        let keys: Vec<String> = involved.iter().map(std::string::ToString::to_string).collect();
        let sql = include_str!("../store/sql/row_counts.sql");
        let rows = tx.query("target: counting rows of persons", sql, &[&keys]).await?;
        let mut counted = Counted::default();
        for row in rows {
            let (key, person): (String, String) = (row.get(0), row.get(1));
            let counts = Counts { facts: row.get(3), contacts: row.get(4) };
            counted.counts.insert(EmailKey::trusted(key.clone()), counts);
            if let Some(automatic) = row.get::<_, Option<bool>>(2) {
                let (from, root) = (EmailKey::trusted(key.clone()), person.clone());
                counted.aliases.push((from, EmailKey::trusted(root), automatic));
            }
            counted.keys.push(key);
            counted.persons.push(person);
        }
        Ok(counted)
    }

    /// Carries out moves that name each person once, as sets.
    async fn carry_out(&mut self, tx: &Tx, wave: Vec<Move>, moving: &mut Moving<'_>) -> Result<()> {
        if wave.is_empty() {
            return Ok(());
        }
        let from: Vec<&str> = wave.iter().map(|(from, _, _)| from.as_str()).collect();
        let to: Vec<&str> = wave.iter().map(|(_, to, _)| to.as_str()).collect();
        let canonical: Vec<String> = wave.iter().map(|(_, to, _)| canonical_key(to)).collect();
        let reopened = wave.iter().filter(|(_, _, reopened)| *reopened);
        let reopened: Vec<&str> = reopened.map(|(_, to, _)| to.as_str()).collect();
        let mut group = Group::default();
        store::alias::revert_automatic(&mut group, &reopened, ACTOR);
        forget_waiting(&mut group, from.iter().chain(&to).map(|key| (*key).to_owned()).collect());
        let onto_people = store::alias::record_moves(tx, group, &from, &to, ACTOR).await?;
        // The rare pairs where both have a profile are joined one by one; the others move as a set.
        let merger = Merger { tx, tables: &self.tables, came_in: &self.came_in };
        for (id, from, to) in onto_people {
            merger.join_people(&from, &to, Merge::KeepFrom, id).await?;
        }
        let mut group = Group::default();
        store::alias::rename_persons(&mut group, &from, &to, canonical);
        let Moving { emails, stored, touched, roots } = moving;
        *roots = Some(store::alias::hand_over(tx, group, (&from, &to), emails, touched).await?);
        let by_from: HashMap<&str, &str> = from.iter().copied().zip(to.iter().copied()).collect();
        for row in stored.values_mut() {
            if let Some(to) = by_from.get(row.owner.as_str()) {
                row.owner = (*to).to_owned();
                row.outcome = None;
            } else if to.contains(&row.owner.as_str()) {
                row.outcome = None;
            }
        }
        let named = || from.iter().chain(&to).map(|key| (*key).to_owned());
        touched.owners.extend(named());
        touched.people.extend(named());
        Ok(())
    }
}

/// What moves are carried out on.
struct Moving<'a> {
    /// Addresses whose persons are asked for,
    emails: &'a [String],
    /// and those persons after the last move.
    roots: Option<Roots>,
    /// Stored rows, which get other owners.
    stored: &'a mut HashMap<RowId, StoredRow>,
    touched: &'a mut Touched,
}

/// E-mail keys with the rows that carry them.
#[derive(Default)]
struct Counted {
    /// Those that are aliases, with their persons, and whether the rule made the alias.
    aliases: Vec<(EmailKey, EmailKey, bool)>,
    /// The keys,
    keys: Vec<String>,
    /// and the person of each.
    persons: Vec<String>,
    counts: HashMap<EmailKey, Counts>,
}

impl From<Counted> for Knowledge {
    fn from(known: Counted) -> Self {
        let roots = known.aliases.iter().map(|(from, root, _)| (from.clone(), root.clone()));
        let automatic = known.aliases.iter().filter(|alias| alias.2).map(|alias| alias.0.clone());
        Self::new(roots, automatic, known.counts)
    }
}

/// A conflict between two persons: either one's change may settle it.
fn concerning(conflict: Conflict, from: &EmailKey, to: &EmailKey) -> (Conflict, Option<String>) {
    let conflict = Conflict { scope: format!("collision:{from}"), ..conflict };
    (conflict, Some(format!("collision:{to}")))
}
