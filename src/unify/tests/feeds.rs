//! What ranks, providers and primary feeds decide (SPEC §1, §4.2, §5).

use super::*;
use crate::unify::{explain, orphan_group_of_payment, scope_of_external_id, transaction_id};

fn lead(key: &str, name: &str, rank: u32) -> Contact {
    let feed = further(7, "leads", FeedKind::Contact, rank);
    Contact { feed, first_name: some(name), ..contact(key) }
}

fn of_shop(payment: Payment) -> Payment {
    Payment { feed: further(8, "shop", FeedKind::Payment, 100), ..payment }
}

#[test]
fn the_authority_of_a_feed_comes_before_times_4_2() {
    let check = |rank: u32, expected: &str, source: &str, why: &str| {
        let known =
            Contact { first_name: some("Ana"), updated_at: at("2025-06-30"), ..contact("1") };
        let group = group(vec![lead("2", "Lea", rank), known], vec![]);
        let profile = unify(&group, &context(), &Rules::default()).profile.unwrap();
        assert_eq!(profile.first_name.as_deref(), Some(expected), "rank {rank}");
        assert_eq!((&*profile.acquisition_source, &*profile.api_source), (source, source));
        let fields = explain(&group, &context(), &Rules::default()).fields;
        let name = fields.iter().find(|field| field.field == "first_name").unwrap();
        assert_eq!(name.candidates[0].why_lost.as_deref(), Some(why));
    };
    check(99, "Lea", "leads inc", "the feed systemeio has rank 100, after leads with 99");
    check(101, "Ana", "systemeio", "the feed leads has rank 101, after systemeio with 100");
    // Equal ranks go by name, not by number.
    check(
        100,
        "Lea",
        "leads inc",
        "the feeds have rank 100, and systemeio comes after leads by name",
    );
}

#[test]
fn a_contact_id_counts_in_the_primary_feed_only_4_2() {
    let lead = Contact { contact_id: some("9"), ..lead("2", "Lea", 1) };
    let known = Contact { contact_id: some("7"), ..contact("1") };
    let profile = unified(vec![lead.clone(), known], vec![]).profile.unwrap();
    assert_eq!(profile.systemeio_id.as_deref(), Some("7"));
    assert_eq!(unified(vec![lead], vec![]).profile.unwrap().systemeio_id, None);
}

#[test]
fn providers_are_those_of_the_feeds_5_2() {
    let ours = Payment { created_at: at("2025-02-01"), ..paid("1", "2025-02-01") };
    let theirs = of_shop(Payment { created_at: at("2025-03-01"), ..paid("2", "2025-01-01") });
    let unified = unified(vec![], vec![ours, theirs]);
    let profile = unified.profile.unwrap();
    // The earliest created for where the person came from, the earliest paid for the money.
    assert_eq!(&*profile.acquisition_source, "xendit");
    assert_eq!(profile.payment_source.as_deref(), Some("shop inc"));
    let mut providers: Vec<(&str, &str)> =
        unified.transactions.iter().map(|t| (t.source_key.as_str(), &*t.feed.provider)).collect();
    providers.sort_unstable();
    assert_eq!(providers, [("1", "xendit"), ("2", "shop inc")]);
}

#[test]
fn a_uuid_is_an_id_of_the_target_in_the_primary_feed_only_5_2() {
    let key = SourceKey("00000000-0000-4000-8000-000000000001".to_owned());
    assert_eq!(transaction_id(&feed(FeedKind::Payment), &key).to_string(), key.as_str());
    let shop = further(8, "shop", FeedKind::Payment, 100);
    let derived = crate::digest::uuid_v5(
        &crate::rules::NAMESPACE,
        b"shop:00000000-0000-4000-8000-000000000001",
    );
    assert_eq!(transaction_id(&shop, &key), derived);
    // The number of a feed is an installation's own: another one gives the same id.
    assert_eq!(transaction_id(&further(9, "shop", FeedKind::Payment, 1), &key), derived);
}

#[test]
fn payments_of_two_feeds_are_never_one_5_1() {
    let both = |a: Payment, b: Payment| {
        let external = |payment| Payment { external_id: some("e"), ..payment };
        unified(vec![], vec![external(a), external(b)]).transactions.len()
    };
    assert_eq!(both(payment("1"), payment("2")), 1);
    assert_eq!(both(payment("1"), of_shop(payment("1"))), 2);
    assert_eq!(both(of_shop(payment("1")), of_shop(payment("2"))), 1);
    let orphan = |payment| orphan_group_of_payment(&Payment { external_id: some("e"), ..payment });
    assert_eq!(orphan(of_shop(payment("1"))), orphan(of_shop(payment("2"))));
    assert_ne!(orphan(of_shop(payment("1"))), orphan(payment("1")));
    let lone = |payment| orphan_group_of_payment(&payment);
    assert_eq!(lone(of_shop(payment("1"))), "orphan shop:1");
    let shop = further(8, "shop", FeedKind::Payment, 100);
    assert_eq!(scope_of_external_id(&shop, "e"), "external_id:shop/e");
    assert_eq!(scope_of_external_id(&feed(FeedKind::Payment), "e"), "external_id:e");
}

#[test]
fn rows_of_several_feeds_are_in_the_order_of_their_names_4_2() {
    // As texts: `a1:x` is before `a:x`, whatever the numbers and keys.
    let of = |number: i16, name: &str, key: &str| Payment {
        feed: further(number, name, FeedKind::Payment, 100),
        first_name: some(name),
        ..payment(key)
    };
    let first = |payments: Vec<Payment>| unified(vec![], payments).profile.unwrap().first_name;
    assert_eq!(first(vec![of(3, "a", "1"), of(9, "a1", "2")]).as_deref(), Some("a1"));
    assert_eq!(first(vec![of(9, "b", "1"), of(3, "c", "1")]).as_deref(), Some("b"));
}
