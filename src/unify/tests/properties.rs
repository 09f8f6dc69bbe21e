//! What holds for any facts.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::facts::EmailReason;
use crate::unify::{explain, scopes};

fn instants() -> impl Strategy<Value = Option<Timestamp>> {
    // Few values, so that ties are common.
    proptest::option::of(
        (0i64..900)
            .prop_map(|day| Timestamp::from_second(1_700_000_000 + day / 3 * 3 * 86_400).unwrap()),
    )
}

fn words(words: &'static [&'static str]) -> impl Strategy<Value = Option<String>> {
    proptest::option::of(select(words).prop_map(str::to_owned))
}

fn products() -> impl Strategy<Value = Vec<String>> {
    let lists: [&[&str]; 4] = [&["p2p"], &["canva"], &[], &["p2p", "canva"]];
    select(lists.to_vec()).prop_map(|list| list.iter().map(|code| (*code).to_owned()).collect())
}

fn amounts() -> impl Strategy<Value = Option<Decimal>> {
    select(vec!["", "0", "-5", "100", "100.00", "250.5"]).prop_map(|text| text.parse().ok())
}

fn all_notes() -> impl Strategy<Value = Vec<Note>> {
    let kinds = vec![NoteKind::UnparsableTimestamp, NoteKind::Mojibake, NoteKind::TimezoneAssumed];
    let fields = select(vec!["paid_at", "created", "customer_name"]);
    let one = (select(kinds), fields).prop_map(|(kind, field)| note(kind, field, "?\u{200b}"));
    proptest::collection::vec(one, 0..4)
}

prop_compose! {
    fn payments_of_one()(
        (external_id, payment_id) in (words(&["x", "y"]), words(&["p", "q"])),
        amount in amounts(),
        paid_amount in amounts(),
        currency in select(vec!["PHP", "USD"]),
        status in select(Status::ALL.to_vec()),
        products in products(),
        (first_name, last_name) in (words(&["Ana", "Ben"]), words(&["Cruz"])),
        (created_at, updated_at, paid_at, settled_at, synced_at) in
            (instants(), instants(), instants(), instants(), instants()),
        linked in any::<bool>(),
        notes in all_notes(),
    ) -> Payment {
        let email = if linked { Ok(email(ANA)) } else { Err(EmailReason::Missing) };
        Payment {
            email, external_id, payment_id, amount, paid_amount, status, products, first_name,
            last_name, created_at, updated_at, paid_at, settled_at, synced_at, notes,
            currency: currency.to_owned(),
            ..payment("")
        }
    }
}

prop_compose! {
    fn contacts_of_one()(
        (contact_id, first_name, phone) in
            (words(&["1", "2"]), words(&["Ana", "Carl"]), words(&["+639170000001"])),
        tags in proptest::collection::vec(select(vec!["vip", "VIP", "PaidP2P", "x"]), 0..3),
        (created_at, updated_at, synced_at) in (instants(), instants(), instants()),
        notes in all_notes(),
    ) -> Contact {
        let tags = tags.into_iter().map(str::to_owned).collect();
        Contact {
            contact_id, first_name, phone, tags, created_at, updated_at, synced_at, notes,
            ..contact("")
        }
    }
}

prop_compose! {
    fn groups()(
        contacts in proptest::collection::vec(contacts_of_one(), 0..4),
        payments in proptest::collection::vec(payments_of_one(), 0..8),
        person in proptest::bool::weighted(0.8),
    ) -> Group {
        let mut group = if person { group(contacts, payments) } else { orphans(contacts, payments) };
        for (i, contact) in group.contacts.iter_mut().enumerate() {
            contact.key = SourceKey(format!("c{i}"));
        }
        for (i, payment) in group.payments.iter_mut().enumerate() {
            payment.key = SourceKey(format!("p{i}"));
        }
        group
    }
}

fn group_and_shuffle() -> impl Strategy<Value = (Group, Group)> {
    groups().prop_flat_map(|group| {
        let contacts = Just(group.contacts.clone()).prop_shuffle();
        let payments = Just(group.payments.clone()).prop_shuffle();
        (Just(group), contacts, payments).prop_map(|(group, contacts, payments)| {
            let shuffled = Group { owner: group.owner.clone(), contacts, payments };
            (group, shuffled)
        })
    })
}

fn answer(group: &Group) -> Unified {
    let holders = BTreeMap::from([("1".to_owned(), email("ben@example.com"))]);
    let context = Context { contact_id_holders: holders, ..context() };
    unify(group, &context, &Rules::default())
}

proptest! {
    #[test]
    fn the_order_of_facts_never_matters((group, shuffled) in group_and_shuffle()) {
        prop_assert_eq!(answer(&group), answer(&shuffled));
        let rules = Rules::default();
        let explained = explain(&group, &context(), &rules);
        prop_assert_eq!(explained, explain(&shuffled, &context(), &rules));
    }

    #[test]
    fn every_conflict_is_unique_and_in_a_judged_scope(group in groups()) {
        let unified = answer(&group);
        let scopes: BTreeSet<String> = scopes(&group).into_iter().collect();
        let mut fingerprints = BTreeSet::new();
        for conflict in &unified.conflicts {
            prop_assert!(scopes.contains(&conflict.scope), "{}", conflict.scope);
            prop_assert!(fingerprints.insert(conflict.fingerprint()), "{}", conflict.subject);
        }
    }

    #[test]
    fn no_amount_is_invented_and_none_is_lost(group in groups()) {
        let unified = answer(&group);
        let mut amounts = BTreeMap::new();
        for payment in &group.payments {
            amounts.insert(payment.key.as_str(), payment.amount);
        }
        for transaction in &unified.transactions {
            let amount = amounts.remove(transaction.source_key.as_str()).flatten();
            prop_assert_eq!(amount.unwrap().to_string(), transaction.amount.to_string());
        }
        // Whatever gives no transaction is accounted for.
        let found = found(&unified);
        for key in amounts.keys() {
            let tells = |kind: &str| found.contains(&format!("{kind} xendit:{key}"));
            prop_assert!(tells("invalid_amount review") || tells("duplicate_payment info"));
        }
    }

    #[test]
    fn another_product_never_changes_an_enrollment(group in groups(), extra in payments_of_one()) {
        let p2p = |unified: Unified| {
            unified.enrollments.into_iter().find(|enrollment| enrollment.product == "p2p")
        };
        let mut more = group.clone();
        let products = vec!["canva".to_owned()];
        more.payments.push(Payment { products, key: SourceKey("extra".to_owned()), ..extra });
        prop_assert_eq!(p2p(answer(&group)), p2p(answer(&more)));
    }

    #[test]
    fn explain_shows_what_unify_chose(group in groups()) {
        let unified = answer(&group);
        let holders = BTreeMap::from([("1".to_owned(), email("ben@example.com"))]);
        let context = Context { contact_id_holders: holders, ..context() };
        let explained = explain(&group, &context, &Rules::default());
        let ids = |unified: &Unified| unified.transactions.iter().map(|t| t.id).collect();
        let ids: BTreeSet<_> = ids(&unified);
        let shown: BTreeSet<_> =
            explained.payments.iter().filter_map(|line| line.transaction_id).collect();
        prop_assert_eq!(ids, shown);
        prop_assert_eq!(explained.enrollments.len(), unified.enrollments.len());
        prop_assert_eq!(explained.no_profile.is_none(), unified.profile.is_some());
        for field in &explained.fields {
            let rows = group.contacts.len() + group.payments.len();
            prop_assert!(field.candidates.len() <= rows);
        }
    }
}

#[test]
fn ten_thousand_payments_of_one_person_are_unified() {
    let row = |i: usize| Payment {
        external_id: Some(format!("INV-{}", i % 2)),
        payment_id: Some(format!("{}", i % 5_000)),
        ..paid(&format!("{i:05}"), "2025-01-01")
    };
    let group = group(vec![contact("1")], (0..10_000).map(row).collect());
    let unified = unify(&group, &context(), &Rules::default());
    assert_eq!(unified.transactions.len(), 5_000);
}
