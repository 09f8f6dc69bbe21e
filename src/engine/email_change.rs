//! The e-mail change rule (SPEC §4.3), judged in commit order from narrow knowledge: how many facts each
//! key has, and which keys are aliases of which. Pure.
//!
//! Several source transactions share one target transaction, so the rule cannot look at the state before
//! and after the batch: it walks through the transactions and keeps the counts as it goes. What a
//! transaction itself adds is counted after its moves were judged, so that two contacts that swap their
//! addresses in one transaction find each other's facts "already" there.

use std::collections::{HashMap, HashSet};

use crate::facts::{EmailKey, SourceKey};

/// What one source transaction did to the e-mail key of one fact, in effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// Number of the source transaction within the batch, ascending.
    pub tx: u32,
    /// The contact row when the change can be a move; `None` for payments.
    pub contact: Option<SourceKey>,
    /// The key before, if the fact was there and had one.
    pub old: Option<EmailKey>,
    /// The key after, if the fact is there and has one.
    pub new: Option<EmailKey>,
}

impl Transition {
    /// A contact that one source transaction gave another address.
    #[must_use]
    pub fn contact(contact: SourceKey, old: EmailKey, new: EmailKey) -> Self {
        Self { tx: 0, contact: Some(contact), old: Some(old), new: Some(new) }
    }
}

/// What is known of the keys that the moves of a batch involve, and of all keys with the same person.
#[derive(Debug, Clone, Default)]
pub struct Knowledge {
    /// The person of each key that is an alias; a key that is not here is its own person.
    roots: HashMap<EmailKey, EmailKey>,
    /// The aliases of each person.
    members: HashMap<EmailKey, Vec<EmailKey>>,
    /// Facts by person.
    facts: HashMap<EmailKey, i64>,
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
    /// Both persons have facts: nothing is merged.
    Collision {
        /// The person that the contact left.
        from: EmailKey,
        /// The person that the contact joined.
        to: EmailKey,
        /// The contact.
        contact: SourceKey,
    },
}

impl Knowledge {
    /// `roots` are the aliases with the person each ends at, `automatic` those that the rule made,
    /// `facts` how many facts each key has before aliases.
    pub fn new(
        roots: impl IntoIterator<Item = (EmailKey, EmailKey)>,
        automatic: impl IntoIterator<Item = EmailKey>,
        facts: impl IntoIterator<Item = (EmailKey, i64)>,
    ) -> Self {
        let mut known = Self { automatic: automatic.into_iter().collect(), ..Self::default() };
        for (key, root) in roots {
            known.members.entry(root.clone()).or_default().push(key.clone());
            known.roots.insert(key, root);
        }
        for (key, count) in facts {
            *known.facts.entry(known.root(&key)).or_default() += count;
        }
        known
    }

    fn root(&self, key: &EmailKey) -> EmailKey {
        self.roots.get(key).unwrap_or(key).clone()
    }

    fn facts_of(&self, person: &EmailKey) -> i64 {
        self.facts.get(person).copied().unwrap_or(0)
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
        let facts = self.facts.remove(from).unwrap_or(0);
        *self.facts.entry(to.clone()).or_default() += facts;
        self.automatic.insert(from.clone());
    }

    fn count(&mut self, transition: &Transition) {
        for (key, by) in [(&transition.old, -1), (&transition.new, 1)] {
            if let Some(key) = key {
                let person = self.root(key);
                *self.facts.entry(person).or_default() += by;
            }
        }
    }
}

/// Judges all transitions of a batch; `transitions` are in commit order.
pub fn walk(transitions: &[Transition], known: &mut Knowledge) -> Vec<Step> {
    let mut steps = Vec::new();
    for transaction in transitions.chunk_by(|a, b| a.tx == b.tx) {
        for transition in transaction {
            steps.extend(judge(transition, known));
        }
        for transition in transaction {
            known.count(transition);
        }
    }
    steps
}

/// Whether a transition can be a move at all.
#[must_use]
pub fn may_move(transition: &Transition) -> bool {
    transition.contact.is_some()
        && transition.old.is_some()
        && transition.new.is_some()
        && transition.old != transition.new
}

fn judge(transition: &Transition, known: &mut Knowledge) -> Option<Step> {
    let (contact, old, new) = match transition {
        Transition { contact: Some(contact), old: Some(old), new: Some(new), .. } if old != new => {
            (contact, old, new)
        }
        _ => return None,
    };
    let (from, to) = (known.root(old), known.root(new));
    if from == to {
        // The new address is an earlier one of the same person. Where the rule itself made it an alias,
        // the person goes back to it; what an operator decided stays.
        if *new == from || !known.automatic.remove(new) {
            return None;
        }
        known.join(&from, new);
        return Some(Step::Move { from, to: new.clone(), reopened: true });
    }
    if known.facts_of(&to) > 0 {
        return Some(Step::Collision { from, to, contact: contact.clone() });
    }
    known.join(&from, &to);
    Some(Step::Move { from, to, reopened: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> EmailKey {
        EmailKey::trusted(format!("{name}@example.com"))
    }

    fn change(tx: u32, row: &str, old: &str, new: &str) -> Transition {
        Transition {
            tx,
            contact: Some(SourceKey(row.into())),
            old: (!old.is_empty()).then(|| key(old)),
            new: (!new.is_empty()).then(|| key(new)),
        }
    }

    fn known(facts: &[(&str, i64)]) -> Knowledge {
        Knowledge::new([], [], facts.iter().map(|(name, count)| (key(name), *count)))
    }

    fn moved(from: &str, to: &str, reopened: bool) -> Step {
        Step::Move { from: key(from), to: key(to), reopened }
    }

    fn collided(from: &str, to: &str, row: &str) -> Step {
        Step::Collision { from: key(from), to: key(to), contact: SourceKey(row.into()) }
    }

    #[test]
    fn a_move_or_a_collision_by_what_is_there_already() {
        let table = [
            (
                "nobody at b",
                known(&[("a", 1), ("b", 0)]),
                vec![change(0, "1", "a", "b")],
                vec![moved("a", "b", false)],
            ),
            (
                "payments stay with a",
                known(&[("a", 3), ("b", 0)]),
                vec![change(0, "1", "a", "b")],
                vec![moved("a", "b", false)],
            ),
            (
                "b is taken",
                known(&[("a", 1), ("b", 1)]),
                vec![change(0, "1", "a", "b")],
                vec![collided("a", "b", "1")],
            ),
            ("no change", known(&[("a", 1)]), vec![change(0, "1", "a", "a")], vec![]),
            ("a key appears", known(&[("a", 0)]), vec![change(0, "1", "", "a")], vec![]),
            ("a key is lost", known(&[("a", 1)]), vec![change(0, "1", "a", "")], vec![]),
        ];
        for (what, mut known, transitions, expected) in table {
            assert_eq!(walk(&transitions, &mut known), expected, "{what}");
        }
    }

    #[test]
    fn two_contacts_that_swap_addresses_in_one_transaction_stay_two_people() {
        let mut known = known(&[("a", 1), ("b", 1)]);
        let swap = [change(0, "1", "a", "b"), change(0, "2", "b", "a")];
        assert_eq!(walk(&swap, &mut known), [collided("a", "b", "1"), collided("b", "a", "2")]);
    }

    #[test]
    fn an_address_that_comes_back_turns_the_alias_around() {
        let mut known = known(&[("a", 1), ("b", 0)]);
        let there_and_back = [change(0, "1", "a", "b"), change(1, "1", "b", "a")];
        assert_eq!(
            walk(&there_and_back, &mut known),
            [moved("a", "b", false), moved("b", "a", true)]
        );
        assert_eq!(known.root(&key("b")), key("a"));
    }

    #[test]
    fn what_an_earlier_transaction_of_the_batch_did_counts() {
        let mut first = known(&[("a", 1), ("b", 0)]);
        let taken = [change(0, "2", "", "b"), change(1, "1", "a", "b")];
        assert_eq!(walk(&taken, &mut first), [collided("a", "b", "1")]);
        let mut second = known(&[("a", 1), ("b", 1)]);
        let freed = [change(0, "2", "b", ""), change(1, "1", "a", "b")];
        assert_eq!(walk(&freed, &mut second), [moved("a", "b", false)]);
    }

    #[test]
    fn two_contacts_of_one_person_move_together() {
        let mut known = known(&[("a", 2), ("b", 0)]);
        let both = [change(0, "1", "a", "b"), change(0, "2", "a", "b")];
        assert_eq!(walk(&both, &mut known), [moved("a", "b", false)]);
    }
}
