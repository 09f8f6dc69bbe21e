//! The e-mail change rule (SPEC §4.3), judged per source transaction from narrow knowledge: how many facts
//! and contacts each key has, and which keys are aliases of which. Pure.
//!
//! Several source transactions share one target transaction, so the rule cannot look at the state before
//! and after the batch: it walks through the transactions and keeps the counts as it goes. Within one
//! transaction the order of the rows means nothing: the facts from before it and the contacts after it
//! decide.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::facts::EmailKey;

/// The name of a contact's source row, whose byte order decides which of several is shown.
pub type ContactRow = String;

/// What one source transaction did to the e-mail key of one row, in effect: a row has one transition in a
/// transaction, also where it was deleted and inserted again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// Number of the source transaction within the batch, ascending.
    pub tx: u32,
    /// The contact row; `None` for payments.
    pub contact: Option<ContactRow>,
    /// The key before, if the row was there and had one.
    pub old: Option<EmailKey>,
    /// The key after, if the row is there and has one.
    pub new: Option<EmailKey>,
    /// An `email` decision made the change, or its reversal did: a person moves as ever, but there is
    /// nothing left to decide (SPEC §7).
    pub decided: bool,
}

impl Transition {
    /// A contact that one source transaction gave another address.
    #[must_use]
    pub fn contact(contact: ContactRow, old: EmailKey, new: EmailKey) -> Self {
        Self { tx: 0, contact: Some(contact), old: Some(old), new: Some(new), decided: false }
    }
}

/// How many rows carry a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Contacts and payments.
    pub facts: i64,
    /// Contacts alone.
    pub contacts: i64,
}

/// What is known of the keys that the moves of a batch involve, and of all keys with the same person.
#[derive(Debug, Clone, Default)]
pub struct Knowledge {
    /// The person of each key that is an alias; a key that is not here is its own person.
    roots: HashMap<EmailKey, EmailKey>,
    /// The aliases of each person.
    members: HashMap<EmailKey, Vec<EmailKey>>,
    /// Rows by key, before aliases, as of before the transaction that is judged.
    counts: HashMap<EmailKey, Counts>,
    /// Keys whose alias the rule itself made.
    automatic: HashSet<EmailKey>,
}

/// What the rule decides, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The person `from` becomes `to`; `reopened` is the alias that led from `to` to `from` until now.
    Move {
        /// The person until now.
        from: EmailKey,
        /// The person from now on.
        to: EmailKey,
        /// An automatic alias of `to` that must be reverted first: the address came back.
        reopened: bool,
    },
    /// The contact alone moves, and `to` is a new person: others of `from` stay where they are.
    Split {
        /// The person that the contact left.
        from: EmailKey,
        /// The person that the contact became.
        to: EmailKey,
        /// The contact; of several that went the same way the first in byte order.
        contact: ContactRow,
    },
    /// Both persons have facts: nothing is merged.
    Collision {
        /// The person that the contact left.
        from: EmailKey,
        /// The person that the contact joined.
        to: EmailKey,
        /// The contact; of several that went the same way the first in byte order.
        contact: ContactRow,
    },
}

impl Knowledge {
    /// `roots` are the aliases with the person each ends at, `automatic` those that the rule made,
    /// `counts` the rows of each key before aliases. All keys of transitions that [`may_move`], and all
    /// keys with the same person as one of them, must be known; a key without counts has no row.
    pub fn new(
        roots: impl IntoIterator<Item = (EmailKey, EmailKey)>,
        automatic: impl IntoIterator<Item = EmailKey>,
        counts: impl IntoIterator<Item = (EmailKey, Counts)>,
    ) -> Self {
        let mut known = Self {
            automatic: automatic.into_iter().collect(),
            counts: counts.into_iter().collect(),
            ..Self::default()
        };
        for (key, root) in roots {
            known.counts.entry(key.clone()).or_default();
            known.counts.entry(root.clone()).or_default();
            known.members.entry(root.clone()).or_default().push(key.clone());
            known.roots.insert(key, root);
        }
        known
    }

    fn root<'a>(&'a self, key: &'a EmailKey) -> &'a EmailKey {
        self.roots.get(key).unwrap_or(key)
    }

    /// A sum over all keys of a person.
    fn sum(&self, person: &EmailKey, of_key: impl Fn(&EmailKey) -> i64) -> i64 {
        let aliases = self.members.get(person).into_iter().flatten();
        std::iter::once(person).chain(aliases).map(of_key).sum()
    }

    fn facts_of(&self, person: &EmailKey) -> i64 {
        self.sum(person, |key| self.counts.get(key).map_or(0, |counts| counts.facts))
    }

    /// From now on everything of person `from` is `to`'s.
    fn join(&mut self, from: &EmailKey, to: &EmailKey) {
        let mut moved = self.members.remove(from).unwrap_or_default();
        moved.push(from.clone());
        moved.retain(|key| key != to);
        for key in &moved {
            self.roots.insert(key.clone(), to.clone());
        }
        self.roots.remove(to);
        self.members.entry(to.clone()).or_default().extend(moved);
        self.automatic.insert(from.clone());
    }

    /// Keys that no move involves are not counted.
    fn count(&mut self, transition: &Transition) {
        for (key, by) in [(&transition.old, -1), (&transition.new, 1)] {
            if let Some(counts) = key.as_ref().and_then(|key| self.counts.get_mut(key)) {
                counts.facts += by;
                counts.contacts += if transition.contact.is_some() { by } else { 0 };
            }
        }
    }
}

/// Judges all transitions of a batch; `transitions` are in commit order.
pub fn walk(transitions: &[Transition], known: &mut Knowledge) -> Vec<Step> {
    for transition in transitions.iter().filter(|transition| may_move(transition)) {
        for key in transition.old.iter().chain(&transition.new) {
            known.counts.entry(key.clone()).or_default();
        }
    }
    let mut steps = Vec::new();
    for transaction in transitions.chunk_by(|a, b| a.tx == b.tx) {
        if transaction.iter().any(may_move) {
            let contacts = ContactsAfter::new(transaction);
            steps.extend(turns(transaction, &contacts, known));
            steps.extend(changes(transaction, &contacts, known));
        }
        for transition in transaction {
            known.count(transition);
        }
    }
    steps
}

/// Keys that one source transaction of the batch brings and a later one moves away from, each with the numbers of the first and of that one.
#[must_use]
pub fn moved_after_they_came(transitions: &[Transition]) -> Vec<(&EmailKey, u32, u32)> {
    let mut came: HashMap<&EmailKey, u32> = HashMap::new();
    let moved = transitions.iter().filter_map(|transition| {
        if let Some(new) = &transition.new {
            came.entry(new).or_insert(transition.tx);
        }
        let (_, old, _) = change_of_contact(transition)?;
        let came = *came.get(old)?;
        (came < transition.tx).then_some((old, came, transition.tx))
    });
    moved.collect()
}

/// Whether a transition can be a move at all.
#[must_use]
pub fn may_move(transition: &Transition) -> bool {
    change_of_contact(transition).is_some()
}

/// The contact that has another key now, with the key before and after.
fn change_of_contact(transition: &Transition) -> Option<(&ContactRow, &EmailKey, &EmailKey)> {
    let (contact, old) = (transition.contact.as_ref()?, transition.old.as_ref()?);
    let new = transition.new.as_ref().filter(|new| *new != old)?;
    Some((contact, old, new))
}

/// By how many contacts a transaction changes each key.
struct ContactsAfter<'a>(HashMap<&'a EmailKey, i64>);

impl<'a> ContactsAfter<'a> {
    fn new(transaction: &'a [Transition]) -> Self {
        let mut changes = HashMap::new();
        for transition in transaction.iter().filter(|transition| transition.contact.is_some()) {
            for (key, by) in [(&transition.old, -1), (&transition.new, 1)] {
                if let Some(key) = key {
                    *changes.entry(key).or_default() += by;
                }
            }
        }
        Self(changes)
    }

    /// Contacts of a person after the transaction.
    fn of(&self, person: &EmailKey, known: &Knowledge) -> i64 {
        known.sum(person, |key| self.at(key, known))
    }

    fn at(&self, key: &EmailKey, known: &Knowledge) -> i64 {
        let before = known.counts.get(key).map_or(0, |counts| counts.contacts);
        before + self.0.get(key).copied().unwrap_or(0)
    }
}

/// Addresses that came back: an automatic alias of the person is the address of all contacts again, and the
/// person goes back to it. What an operator made an alias stays one.
fn turns(
    transaction: &[Transition],
    after: &ContactsAfter<'_>,
    known: &mut Knowledge,
) -> Vec<Step> {
    let mut back: BTreeSet<(EmailKey, EmailKey)> = BTreeSet::new();
    for (_, old, new) in transaction.iter().filter_map(change_of_contact) {
        let (from, to) = (known.root(old), known.root(new));
        let returns = from == to && new != from && known.automatic.contains(new);
        if returns && after.of(from, known) == after.at(new, known) {
            back.insert((from.clone(), new.clone()));
        }
    }
    let mut steps = Vec::new();
    for (from, to) in back {
        known.automatic.remove(&to);
        known.join(&from, &to);
        steps.push(Step::Move { from, to, reopened: true });
    }
    steps
}

/// All contacts that went from one person to another.
struct Change {
    from: EmailKey,
    to: EmailKey,
    /// Another than `from` is or was at `to`.
    taken: bool,
    first: ContactRow,
    /// The first contact that no decision sent there.
    undecided: Option<ContactRow>,
}

fn changes(
    transaction: &[Transition],
    after: &ContactsAfter<'_>,
    known: &mut Knowledge,
) -> Vec<Step> {
    let mut steps = Vec::new();
    for change in collect(transaction, known) {
        // An earlier change may have renamed either.
        let (from, to) = (known.root(&change.from).clone(), known.root(&change.to).clone());
        if !change.taken && after.of(&from, known) == 0 {
            known.join(&from, &to);
            steps.push(Step::Move { from, to, reopened: false });
        } else if let Some(contact) = change.undecided {
            steps.push(if change.taken {
                Step::Collision { from, to, contact }
            } else {
                Step::Split { from, to, contact }
            });
        }
    }
    steps
}

/// The changes of a transaction in the order of their first contacts.
fn collect(transaction: &[Transition], known: &Knowledge) -> Vec<Change> {
    let origins = origins(transaction, known);
    let mut changes: BTreeMap<(&EmailKey, &EmailKey), Change> = BTreeMap::new();
    for transition in transaction {
        let Some((contact, old, new)) = change_of_contact(transition) else { continue };
        let (from, to) = (known.root(old), known.root(new));
        if from == to {
            continue;
        }
        let change = changes.entry((from, to)).or_insert_with(|| Change {
            from: from.clone(),
            to: to.clone(),
            taken: known.facts_of(to) > 0 || origins.get(to) != Some(&Origin::Only(Some(from))),
            first: contact.clone(),
            undecided: None,
        });
        let earlier = |known: &ContactRow| known <= contact;
        if !earlier(&change.first) {
            change.first = contact.clone();
        }
        if !transition.decided && !change.undecided.as_ref().is_some_and(earlier) {
            change.undecided = Some(contact.clone());
        }
    }
    let mut changes: Vec<Change> = changes.into_values().collect();
    changes.sort_by(|a, b| a.first.cmp(&b.first));
    changes
}

/// Whose the rows were that are at a person after a transaction that brought them there.
#[derive(Debug, PartialEq, Eq)]
enum Origin<'a> {
    /// All of one person, or of none.
    Only(Option<&'a EmailKey>),
    Several,
}

fn origins<'a>(
    transaction: &'a [Transition],
    known: &'a Knowledge,
) -> HashMap<&'a EmailKey, Origin<'a>> {
    let mut origins: HashMap<&EmailKey, Origin<'_>> = HashMap::new();
    for transition in transaction {
        let Some(new) = &transition.new else { continue };
        let from = transition.old.as_ref().map(|old| known.root(old));
        let origin = origins.entry(known.root(new)).or_insert(Origin::Only(from));
        if *origin != Origin::Only(from) {
            *origin = Origin::Several;
        }
    }
    origins
}

#[cfg(test)]
#[path = "email_change_tests.rs"]
mod tests;
