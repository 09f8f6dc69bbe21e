//! SPEC §5.1 and §5.2.

use super::*;
use crate::facts::EmailReason;
use crate::rules::TransactionFilter;
use crate::unify::{
    identity, orphan_group_of_payment, orphan_of_contact, single_product, transaction_id,
};

fn same(key: &str, payment_id: Option<&str>) -> Payment {
    Payment {
        external_id: some("INV-1"),
        payment_id: payment_id.map(Into::into),
        ..paid(key, "2025-01-01")
    }
}

#[test]
fn duplicates_are_one_payment_5_1() {
    let check = |payments: Vec<Payment>, survivors: &[&str]| {
        let lost = payments.len() - survivors.len();
        let unified = unified(vec![], payments);
        assert_eq!(keys(&unified), survivors);
        let notes = found(&unified);
        let notes = notes.iter().filter(|line| line.starts_with("duplicate_payment info xendit:"));
        assert_eq!(notes.count(), lost);
    };
    check(vec![same("b", Some("p")), same("a", Some("p"))], &["a"]);
    check(vec![same("a", None), same("b", None)], &["a"]);
    check(vec![same("a", Some("p")), same("b", None)], &["a"]);
    check(vec![same("a", Some("p")), same("b", Some("q"))], &["a", "b"]);
    // Two payment_ids: the rows without one are one payment of their own.
    let four = [("a", Some("p")), ("b", Some("q")), ("c", None), ("d", None)];
    check(four.map(|(key, id)| same(key, id)).to_vec(), &["a", "b", "c"]);
    // Under one payment_id or none, no other difference matters.
    let three = [("a", Some("p")), ("b", Some("p")), ("c", None)];
    check(three.map(|(key, id)| same(key, id)).to_vec(), &["a"]);
    // A payment_id of another amount is no payment_id of the set.
    let dearer = Payment { amount: money("2000"), ..same("z", Some("q")) };
    check(vec![same("a", Some("p")), same("b", None), dearer], &["a", "z"]);
    // No external_id: never duplicates.
    let bare = |key: &str| Payment { external_id: None, ..same(key, Some("p")) };
    check(vec![bare("a"), bare("b")], &["a", "b"]);
    // Any difference in amount (by value), currency or product keeps them apart.
    let amount = |key: &str, text: &str| Payment { amount: money(text), ..same(key, None) };
    check(vec![amount("a", "100"), amount("b", "100.00")], &["a"]);
    check(vec![amount("a", "100"), amount("b", "100.01")], &["a", "b"]);
    check(
        vec![same("a", None), Payment { currency: "USD".into(), ..same("b", None) }],
        &["a", "b"],
    );
    let products = |key: &str, codes: &[&str]| Payment {
        products: codes.iter().map(|code| (*code).to_owned()).collect(),
        ..same(key, None)
    };
    check(vec![products("a", &["p2p"]), products("b", &["canva"])], &["a", "b"]);
    check(vec![products("a", &[]), products("b", &["p2p", "canva"])], &["a"]);
    // An external_id is case-sensitive.
    check(
        vec![same("a", None), Payment { external_id: some("inv-1"), ..same("b", None) }],
        &["a", "b"],
    );
}

#[test]
fn the_survivor_is_first_by_rank_updated_created_key_5_1() {
    let check = |a: Payment, b: Payment, expected: &str| {
        assert_eq!(keys(&unified(vec![], vec![a, b])), [expected]);
    };
    let with = |key: &str, status| Payment { status, ..same(key, None) };
    let ranks: [&[Status]; 6] = [
        &[Status::Pending, Status::Unknown],
        &[Status::Failed, Status::Expired, Status::Voided],
        &[Status::Paid],
        &[Status::Settled],
        &[Status::PartiallyRefunded],
        &[Status::Refunded, Status::Chargeback],
    ];
    for pair in ranks.windows(2) {
        for (low, high) in pair[0].iter().flat_map(|low| pair[1].iter().map(move |h| (*low, *h))) {
            check(with("a", low), with("b", high), "b");
        }
    }
    let updated = |key: &str, day: &str| Payment { updated_at: at(day), ..same(key, None) };
    check(updated("a", "2025-01-01"), updated("b", "2025-01-02"), "b");
    check(same("a", None), updated("b", "2025-01-02"), "b");
    let created = |key: &str, day: &str| Payment { created_at: at(day), ..same(key, None) };
    check(created("a", "2025-01-01"), created("b", "2025-01-02"), "b");
    check(same("a", None), created("b", "2025-01-02"), "b");
}

#[test]
fn an_invalid_amount_gives_no_transaction_and_is_no_duplicate_5_1() {
    let invalid = |key: &str| Payment { amount: None, ..same(key, None) };
    let unified = unified(vec![], vec![invalid("a"), invalid("b"), same("c", None)]);
    assert_eq!(keys(&unified), ["c"]);
    let expected = ["invalid_amount review xendit:a", "invalid_amount review xendit:b"];
    assert_eq!(found(&unified), expected);
}

#[test]
fn transaction_ids_5_2() {
    let check = |key: &str, taken: bool| {
        let id = transaction_id(&feed(FeedKind::Payment), &SourceKey(key.to_owned()));
        assert_eq!(id.to_string() == key, taken, "{key}");
    };
    check("0b6c2d1e-8f5a-4c3b-9d7e-1f2a3b4c5d6e", true);
    let upper = "0B6C2D1E-8F5A-4C3B-9D7E-1F2A3B4C5D6E";
    for key in ["INV-1", "", "0b6c2d1e8f5a4c3b9d7e1f2a3b4c5d6e", upper, "a|b"] {
        check(key, false);
        let name = format!("xendit:{key}");
        let expected = crate::digest::uuid_v5(&crate::rules::NAMESPACE, name.as_bytes());
        assert_eq!(transaction_id(&feed(FeedKind::Payment), &SourceKey(key.to_owned())), expected);
    }
}

#[test]
fn paid_at_is_inferred_for_money_only_5_2() {
    let check = |base: Payment, expected: Option<&str>, noted: bool| {
        let unified = unified(vec![], vec![base]);
        assert_eq!(unified.transactions[0].paid_at, expected.and_then(at));
        let notes = found(&unified);
        assert_eq!(notes.iter().any(|line| line.starts_with("paid_at_inferred info")), noted);
    };
    let full = Payment {
        settled_at: at("2025-01-03"),
        updated_at: at("2025-01-04"),
        created_at: at("2025-01-01"),
        ..payment("a")
    };
    check(Payment { paid_at: at("2025-01-02"), ..full.clone() }, Some("2025-01-02"), false);
    check(full.clone(), Some("2025-01-03"), true);
    let unsettled = Payment { settled_at: None, ..full };
    check(unsettled.clone(), Some("2025-01-04"), true);
    let created = Payment { updated_at: None, ..unsettled.clone() };
    check(created.clone(), Some("2025-01-01"), true);
    let synced = Payment { created_at: None, synced_at: at("2025-01-09"), ..created };
    check(synced, Some("2025-01-09"), true);
    check(payment("a"), None, false);
    for status in [Status::Refunded, Status::Chargeback, Status::Settled] {
        check(Payment { status, ..unsettled.clone() }, Some("2025-01-04"), true);
    }
    for status in [Status::Pending, Status::Voided, Status::Failed, Status::Unknown] {
        check(Payment { status, ..unsettled.clone() }, None, false);
    }
}

#[test]
fn instants_of_a_transaction_5_2() {
    let base =
        || Payment { created_at: at("2025-01-01"), updated_at: at("2025-01-02"), ..payment("a") };
    let updated = at("2025-01-02");
    let check = |status, expected: [bool; 3]| {
        let t = only(Payment { status, ..base() });
        let found = [t.refunded_at, t.cancelled_at, t.failed_at];
        assert_eq!(found, expected.map(|set| updated.filter(|_| set)), "{status:?}");
    };
    check(Status::Refunded, [true, false, false]);
    check(Status::Voided, [false, true, false]);
    check(Status::Failed, [false, false, true]);
    for status in [Status::Paid, Status::Chargeback, Status::PartiallyRefunded, Status::Expired] {
        check(status, [false; 3]);
    }
    // updated_at, else created_at, else sync_timestamp.
    let failed = Payment { status: Status::Failed, ..payment("a") };
    let created = only(Payment { created_at: at("2025-01-01"), ..failed.clone() });
    assert_eq!((created.updated_at, created.failed_at), (at("2025-01-01"), at("2025-01-01")));
    let synced = only(Payment { synced_at: at("2025-01-05"), ..failed });
    assert_eq!((synced.created_at, synced.failed_at), (at("2025-01-05"), at("2025-01-05")));
}

#[test]
fn the_provider_id_and_product_of_a_transaction_5_2() {
    let ids = [(some("pay"), some("ext"), "pay"), (None, some("ext"), "ext"), (None, None, "a")];
    for (payment_id, external_id, expected) in ids {
        let found = only(Payment { payment_id, external_id, ..payment("a") });
        assert_eq!(found.payment_provider_id, expected);
    }
    let course = only(payment("a"));
    assert_eq!(course.product_name.as_deref(), Some("Papers to Profits"));
    assert_eq!(course.product_type.as_deref(), Some("course"));
    assert_eq!(course.product_id, Rules::default().product("p2p").map(|p| p.id));
    let both = Payment { products: vec!["p2p".into(), "canva".into()], ..payment("a") };
    assert_eq!(single_product(&both), None);
    assert_eq!(only(both).product_id, None);
}

#[test]
fn fiscal_years_are_named_after_their_end_5_2() {
    let check = |start: u8, paid_at: &str, expected: (i32, i32)| {
        let rules = Rules { fiscal_year_start_month: start, ..Rules::default() };
        let group = group(vec![], vec![paid("a", paid_at)]);
        let transaction = unify(&group, &context(), &rules).transactions.remove(0);
        let found = (transaction.fiscal_year.unwrap(), transaction.fiscal_quarter.unwrap());
        assert_eq!(found, expected, "{start} {paid_at}");
    };
    check(1, "2025-01-01", (2025, 1));
    check(1, "2025-12-31", (2025, 4));
    check(1, "2025-12-31T16:00:00Z", (2026, 1));
    check(7, "2025-06-30", (2025, 4));
    check(7, "2025-07-01", (2026, 1));
    check(4, "2025-03-31", (2025, 4));
    check(12, "2025-12-01", (2026, 1));
    let unpaid = Payment { created_at: at("2025-05-01"), status: Status::Pending, ..payment("a") };
    assert_eq!((only(unpaid).fiscal_quarter, only(payment("a")).fiscal_year), (Some(2), None));
}

#[test]
fn the_transaction_filter_keeps_row_conflicts() {
    let check = |statuses, products: Option<&[&str]>, expected: &[&str], enrolled: bool| {
        let products = products.map(|codes| codes.iter().map(|c| (*c).to_owned()).collect());
        let transactions = TransactionFilter { statuses, products };
        let rules = Rules { transactions, ..Rules::default() };
        let odd = Payment {
            currency: "USD".into(),
            products: vec!["canva".into()],
            ..paid("b", "2025-02-01")
        };
        let group = group(vec![], vec![paid("a", "2025-01-01"), odd]);
        let unified = unify(&group, &context(), &rules);
        assert_eq!(keys(&unified), expected);
        assert_eq!(!unified.enrollments.is_empty(), enrolled);
        assert_eq!(found(&unified), ["currency_mismatch review xendit:b"]);
    };
    check(None, None, &["a", "b"], true);
    check(None, Some(&["canva"]), &["b"], false);
    check(Some(vec![Status::Settled]), None, &[], false);
    check(Some(vec![Status::Paid]), Some(&["p2p"]), &["a"], true);
}

#[test]
fn orphans_that_could_be_duplicates_share_an_owner() {
    let orphan = |key: &str, payment_id| Payment {
        email: Err(EmailReason::Missing),
        ..same(key, payment_id)
    };
    let one = orphan_group_of_payment(&orphan("a", Some("p")));
    assert_eq!(one, orphan_group_of_payment(&orphan("b", None)));
    assert!(one.starts_with("orphans ") && one.len() < 60);
    let dearer = Payment { amount: money("1000.5"), ..orphan("b", None) };
    assert_ne!(one, orphan_group_of_payment(&dearer));
    let same_value = Payment { amount: money("1000.00"), ..orphan("b", None) };
    assert_eq!(one, orphan_group_of_payment(&same_value));
    for alone in [Payment { amount: None, ..orphan("b", None) }, payment("b")] {
        assert_eq!(orphan_group_of_payment(&alone), "orphan xendit:b");
    }
    assert_eq!(orphan_of_contact(&contact("1")), "orphan systemeio:1");
    let long = "k".repeat(5000);
    assert!(orphan_of_contact(&contact(&long)).len() < 80);
}

#[test]
fn identity_is_what_one_external_id_must_agree_in() {
    let ana = Owner::Person(email(ANA));
    let id = |owner: &Owner, payment: Payment| identity(owner, &payment);
    let base = id(&ana, same("a", None));
    assert_eq!(base, id(&ana, Payment { status: Status::Failed, ..same("b", Some("p")) }));
    assert_eq!(base, id(&ana, Payment { amount: money("1000.0"), ..same("b", None) }));
    let nobody = |text: &str| Owner::Orphans(text.to_owned());
    assert_eq!(id(&nobody("orphan a"), same("a", None)), id(&nobody("orphan b"), same("a", None)));
    for other in [
        id(&nobody("orphan a"), same("a", None)),
        id(&ana, Payment { amount: None, ..same("a", None) }),
        id(&ana, Payment { currency: "USD".into(), ..same("a", None) }),
        id(&ana, Payment { products: vec![], ..same("a", None) }),
    ] {
        assert_ne!(base, other);
    }
}
