//! SPEC §4.3 and §7, as tables and over random histories.

use proptest::prelude::*;

use super::*;

fn key(name: &str) -> EmailKey {
    EmailKey::trusted(format!("{name}@example.com"))
}

/// `row` is a contact, or a payment where it begins with `p`.
fn change(tx: u32, row: &str, old: &str, new: &str) -> Transition {
    Transition {
        tx,
        contact: (!row.starts_with('p')).then(|| row.into()),
        old: (!old.is_empty()).then(|| key(old)),
        new: (!new.is_empty()).then(|| key(new)),
        decided: false,
    }
}

fn decided(tx: u32, row: &str, old: &str, new: &str) -> Transition {
    Transition { decided: true, ..change(tx, row, old, new) }
}

/// Each key with its contacts and payments.
fn known(counts: &[(&str, i64, i64)]) -> Knowledge {
    with_aliases(counts, &[], &[])
}

fn with_aliases(
    counts: &[(&str, i64, i64)],
    automatic: &[(&str, &str)],
    manual: &[(&str, &str)],
) -> Knowledge {
    let roots = automatic.iter().chain(manual).map(|(from, to)| (key(from), key(to)));
    let counts = counts.iter().map(|(name, contacts, payments)| {
        (key(name), Counts { facts: contacts + payments, contacts: *contacts })
    });
    Knowledge::new(roots, automatic.iter().map(|(from, _)| key(from)), counts)
}

fn moved(from: &str, to: &str) -> Step {
    Step::Move { from: key(from), to: key(to), reopened: false }
}

fn returned(from: &str, to: &str) -> Step {
    Step::Move { from: key(from), to: key(to), reopened: true }
}

fn split(from: &str, to: &str, row: &str) -> Step {
    Step::Split { from: key(from), to: key(to), contact: row.into() }
}

fn collided(from: &str, to: &str, row: &str) -> Step {
    Step::Collision { from: key(from), to: key(to), contact: row.into() }
}

/// The steps of one batch, which no order of the rows within a transaction changes.
fn check(what: &str, known: Knowledge, batch: &[Transition], expected: &[Step]) {
    assert_eq!(walk(batch, &mut known.clone()), expected, "{what}");
    let mut backwards = batch.to_vec();
    backwards.reverse();
    backwards.sort_by_key(|transition| transition.tx);
    assert_eq!(walk(&backwards, &mut known.clone()), expected, "{what}, backwards");
}

#[test]
fn one_contact_changes_its_address() {
    let to_b = [change(0, "1", "a", "b")];
    check("nobody at b", known(&[("a", 1, 0)]), &to_b, &[moved("a", "b")]);
    check("payments stay with a", known(&[("a", 1, 3)]), &to_b, &[moved("a", "b")]);
    check("another contact stays", known(&[("a", 2, 0)]), &to_b, &[split("a", "b", "1")]);
    check(
        "a contact is at b",
        known(&[("a", 1, 0), ("b", 1, 0)]),
        &to_b,
        &[collided("a", "b", "1")],
    );
    check(
        "a payment is at b",
        known(&[("a", 1, 0), ("b", 0, 1)]),
        &to_b,
        &[collided("a", "b", "1")],
    );
    check(
        "stays, and b is taken",
        known(&[("a", 2, 0), ("b", 1, 0)]),
        &to_b,
        &[collided("a", "b", "1")],
    );
    check("no change", known(&[("a", 1, 0)]), &[change(0, "1", "a", "a")], &[]);
    check("a key appears", known(&[]), &[change(0, "1", "", "a")], &[]);
    check("a key is lost", known(&[("a", 1, 0)]), &[change(0, "1", "a", "")], &[]);
    check("a payment", known(&[("a", 0, 1)]), &[change(0, "p", "a", "b")], &[]);
}

#[test]
fn a_transaction_is_judged_as_a_whole() {
    let two = || known(&[("a", 2, 1)]);
    let both = [change(0, "1", "a", "b"), change(0, "2", "a", "b")];
    check("all contacts of a move together", two(), &both, &[moved("a", "b")]);
    let three = known(&[("a", 3, 0)]);
    check("two of three", three, &both, &[split("a", "b", "1")]);
    let one_leaves = [change(0, "1", "a", "b"), change(0, "2", "a", "")];
    check("the other is deleted", two(), &one_leaves, &[moved("a", "b")]);
    let one_elsewhere = [change(0, "1", "a", "b"), change(0, "2", "a", "c")];
    let steps = [moved("a", "b"), split("b", "c", "2")];
    check("two ways: the first moves the person", two(), &one_elsewhere, &steps);
    let taken_elsewhere = known(&[("a", 2, 0), ("b", 1, 0)]);
    let steps = [collided("a", "b", "1"), moved("a", "c")];
    check("two ways, one taken", taken_elsewhere, &one_elsewhere, &steps);
    let arrives = [change(0, "1", "a", "b"), change(0, "2", "", "a")];
    check("a contact arrives at a", known(&[("a", 1, 0)]), &arrives, &[split("a", "b", "1")]);
    let payment_arrives = [change(0, "1", "a", "b"), change(0, "p", "", "a")];
    check("a payment arrives at a", known(&[("a", 1, 0)]), &payment_arrives, &[moved("a", "b")]);
    for row in ["2", "p"] {
        let joined = [change(0, "1", "a", "b"), change(0, row, "", "b")];
        check("a new row at b", known(&[("a", 1, 0)]), &joined, &[collided("a", "b", "1")]);
    }
    let payment_too = [change(0, "1", "a", "b"), change(0, "p", "a", "b")];
    check("its payment goes along", known(&[("a", 1, 1)]), &payment_too, &[moved("a", "b")]);
    let left = [change(0, "1", "a", "b"), change(0, "2", "b", "")];
    let at_b = known(&[("a", 1, 0), ("b", 1, 0)]);
    check("b is left in the same transaction", at_b, &left, &[collided("a", "b", "1")]);
    let from_two = [change(0, "1", "a", "b"), change(0, "2", "c", "b")];
    let steps = [collided("a", "b", "1"), collided("c", "b", "2")];
    check("two people to one", known(&[("a", 1, 0), ("c", 1, 0)]), &from_two, &steps);
}

#[test]
fn swaps_and_chains_merge_nobody() {
    let pair = || known(&[("a", 1, 0), ("b", 1, 0)]);
    let swap = [change(0, "1", "a", "b"), change(0, "2", "b", "a")];
    check("swap", pair(), &swap, &[collided("a", "b", "1"), collided("b", "a", "2")]);
    let chain = [change(0, "1", "a", "b"), change(0, "2", "b", "c")];
    check("chain", pair(), &chain, &[collided("a", "b", "1"), split("b", "c", "2")]);
    let chain = [change(0, "1", "b", "c"), change(1, "2", "a", "b")];
    check("chain, one by one", pair(), &chain, &[moved("b", "c"), collided("a", "c", "2")]);
}

#[test]
fn an_address_that_comes_back_turns_the_alias_around() {
    let there_and_back = [change(0, "1", "a", "b"), change(1, "1", "b", "a")];
    let steps = [moved("a", "b"), returned("b", "a")];
    check("there and back", known(&[("a", 1, 2)]), &there_and_back, &steps);
    let mut after = known(&[("a", 1, 2)]);
    walk(&there_and_back, &mut after);
    assert_eq!(after.root(&key("b")), &key("a"));
    let back = [change(0, "1", "b", "a")];
    let counts = [("a", 0, 1), ("b", 1, 1)];
    let automatic = || with_aliases(&counts, &[("a", "b")], &[]);
    check("payments at b go along", automatic(), &back, &[returned("b", "a")]);
    let manual = with_aliases(&counts, &[], &[("a", "b")]);
    check("an operator's alias stays", manual, &back, &[]);
    let two = || with_aliases(&[("a", 0, 0), ("b", 2, 0)], &[("a", "b")], &[]);
    check("another contact stays at b", two(), &back, &[]);
    let both = [change(0, "1", "b", "a"), change(0, "2", "b", "a")];
    check("both come back", two(), &both, &[returned("b", "a")]);
    let and_on = [change(0, "1", "b", "a"), change(0, "2", "b", "c")];
    check("one comes back", two(), &and_on, &[returned("b", "a"), split("a", "c", "2")]);
    let second = [change(0, "1", "a", "b"), change(1, "1", "b", "c"), change(2, "1", "c", "a")];
    let steps = [moved("a", "b"), moved("b", "c"), returned("c", "a")];
    check("round trip", known(&[("a", 1, 0)]), &second, &steps);
}

#[test]
fn aliases_are_one_person() {
    let alias = |counts: &[(&str, i64, i64)]| with_aliases(counts, &[], &[("b", "c")]);
    let to_b = [change(0, "1", "a", "b")];
    let taken = alias(&[("a", 1, 0), ("c", 0, 1)]);
    check("the person of b is taken", taken, &to_b, &[collided("a", "c", "1")]);
    let free = alias(&[("a", 1, 0)]);
    check("the person of b has no fact", free, &to_b, &[moved("a", "c")]);
    let to_d = [change(0, "1", "c", "d")];
    let kept = alias(&[("b", 1, 0), ("c", 1, 0)]);
    check("a contact stays at the alias", kept, &to_d, &[split("c", "d", "1")]);
    let within = [change(0, "1", "b", "c")];
    check("within the person", alias(&[("b", 1, 0)]), &within, &[]);
}

#[test]
fn what_an_earlier_transaction_of_the_batch_did_counts() {
    let taken = [change(0, "2", "", "b"), change(1, "1", "a", "b")];
    check("taken", known(&[("a", 1, 0)]), &taken, &[collided("a", "b", "1")]);
    let freed = [change(0, "2", "b", ""), change(1, "1", "a", "b")];
    check("freed", known(&[("a", 1, 0), ("b", 1, 0)]), &freed, &[moved("a", "b")]);
    let left = [change(0, "2", "a", ""), change(1, "1", "a", "b")];
    check("left", known(&[("a", 2, 0)]), &left, &[moved("a", "b")]);
    let one_by_one = [change(0, "1", "a", "b"), change(1, "2", "a", "b")];
    let steps = [split("a", "b", "1"), collided("a", "b", "2")];
    check("one by one", known(&[("a", 2, 0)]), &one_by_one, &steps);
}

#[test]
fn an_email_decision_moves_and_asks_nothing_spec_7() {
    let to_b = [decided(0, "1", "a", "b")];
    check("move", known(&[("a", 1, 1)]), &to_b, &[moved("a", "b")]);
    check("no split", known(&[("a", 2, 0)]), &to_b, &[]);
    check("no collision", known(&[("a", 1, 0), ("b", 1, 0)]), &to_b, &[]);
    let with_another = [decided(0, "1", "a", "b"), change(0, "2", "a", "b")];
    check("another row asks", known(&[("a", 3, 0)]), &with_another, &[split("a", "b", "2")]);
    check("all of them", known(&[("a", 2, 0)]), &with_another, &[moved("a", "b")]);
}

/// A row and where it goes; an empty key is none.
type Write = (usize, &'static str);

/// Rows by number, the first contacts and the others payments, with the key of each.
#[derive(Debug, Clone)]
struct World {
    rows: [&'static str; 8],
    aliases: Vec<(EmailKey, EmailKey, bool)>,
}

const CONTACTS: usize = 5;

impl World {
    fn knowledge(&self) -> Knowledge {
        let mut counts: HashMap<EmailKey, Counts> = HashMap::new();
        for (row, name) in self.rows.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            let counts = counts.entry(key(name)).or_default();
            counts.facts += 1;
            counts.contacts += i64::from(row < CONTACTS);
        }
        let roots = self.aliases.iter().map(|(from, to, _)| (from.clone(), to.clone()));
        let automatic = self.aliases.iter().filter(|(_, _, automatic)| *automatic);
        Knowledge::new(roots, automatic.map(|(from, _, _)| from.clone()), counts)
    }

    /// The transitions of one transaction, a row at most once.
    fn apply(&mut self, tx: u32, writes: &[Write]) -> Vec<Transition> {
        let before = self.rows;
        for (row, name) in writes {
            self.rows[*row] = name;
        }
        let touched: BTreeSet<usize> = writes.iter().map(|(row, _)| *row).collect();
        let name = |row: usize| format!("{}{row}", if row < CONTACTS { "" } else { "p" });
        touched.into_iter().map(|row| change(tx, &name(row), before[row], self.rows[row])).collect()
    }

    fn carry_out(&mut self, steps: &[Step]) {
        for step in steps {
            let Step::Move { from, to, .. } = step else { continue };
            self.aliases.retain(|(alias, _, _)| alias != to);
            for (_, root, _) in self.aliases.iter_mut().filter(|(_, root, _)| root == from) {
                root.clone_from(to);
            }
            self.aliases.push((from.clone(), to.clone(), true));
        }
    }

    fn root(&self, name: &str) -> EmailKey {
        let key = key(name);
        let alias = self.aliases.iter().find(|(alias, _, _)| *alias == key);
        alias.map_or(key, |(_, root, _)| root.clone())
    }

    /// Rows of a person, of the contacts alone or of all.
    fn rows_of(&self, rows: &[&str; 8], person: &EmailKey, limit: usize) -> usize {
        let named = rows[..limit].iter().filter(|name| !name.is_empty());
        named.filter(|name| self.root(name) == *person).count()
    }
}

fn histories() -> impl Strategy<Value = (World, Vec<Vec<Write>>)> {
    let keys = || proptest::sample::select(vec!["", "a", "b", "c", "d"]);
    let rows = proptest::array::uniform8(keys());
    let writes = proptest::collection::vec((0_usize..8, keys()), 1..5);
    let manual = proptest::option::of(Just((key("d"), key("a"), false)));
    (rows, manual, proptest::collection::vec(writes, 1..6)).prop_map(|(rows, manual, history)| {
        (World { rows, aliases: manual.into_iter().collect() }, history)
    })
}

proptest! {
    #[test]
    fn histories_are_judged_as_their_transactions_one_by_one((world, history) in histories()) {
        let mut batch = Vec::new();
        let mut one_by_one = Vec::new();
        let mut now = world.clone();
        for (tx, writes) in (0..).zip(&history) {
            let before = now.clone();
            let transitions = now.apply(tx, writes);
            let mut known = before.knowledge();
            let steps = walk(&transitions, &mut known);
            let mut shuffled = transitions.clone();
            shuffled.reverse();
            prop_assert_eq!(&walk(&shuffled, &mut before.knowledge()), &steps);
            now.carry_out(&steps);
            for (key, counts) in &known.counts {
                let expected = now.knowledge().counts.get(key).copied().unwrap_or_default();
                prop_assert_eq!(*counts, expected, "{}", key);
                prop_assert!(counts.contacts >= 0 && counts.facts >= counts.contacts);
            }
            batch.extend(transitions);
            one_by_one.extend(steps);
        }
        // Other keys than those of moves are not needed, and are not counted.
        prop_assert_eq!(walk(&batch, &mut world.knowledge()), one_by_one);
    }

    /// Where one contact changes its address and nothing else happens, the rule is what SPEC §4.3 says.
    #[test]
    fn a_single_change_has_the_outcome_of_the_letter(
        (world, history) in histories(),
        row in 0..CONTACTS,
        name in proptest::sample::select(vec!["a", "b", "c", "d", "e"]),
    ) {
        let mut world = world;
        for writes in &history {
            let mut known = world.knowledge();
            let steps = walk(&world.apply(0, writes), &mut known);
            world.carry_out(&steps);
        }
        let old = world.rows[row];
        prop_assume!(!old.is_empty());
        let before = world.clone();
        let steps = walk(&world.apply(0, &[(row, name)]), &mut before.knowledge());
        let (from, to) = (before.root(old), before.root(name));
        prop_assume!(from != to);
        let contact = row.to_string();
        let taken = before.rows_of(&before.rows, &to, 8) > 0;
        let stays = before.rows_of(&world.rows, &from, CONTACTS) > 0;
        let expected = match (taken, stays) {
            (true, _) => Step::Collision { from, to, contact },
            (false, true) => Step::Split { from, to, contact },
            (false, false) => Step::Move { from, to, reopened: false },
        };
        prop_assert_eq!(steps, [expected]);
    }
}
