//! SPEC §4.2, §4.4 and the profile filter.

use super::*;
use crate::rules::ProfileFilter;
use crate::unify::Profile;

fn profile(contacts: Vec<Contact>, payments: Vec<Payment>) -> Profile {
    unified(contacts, payments).profile.unwrap()
}

fn named(base: Contact, first: Option<&str>, last: Option<&str>) -> Contact {
    Contact { first_name: first.map(Into::into), last_name: last.map(Into::into), ..base }
}

fn paid_by(base: Payment, first: &str, last: &str) -> Payment {
    Payment { first_name: some(first), last_name: some(last), ..base }
}

fn updated(key: &str, day: &str) -> Contact {
    Contact { updated_at: at(day), ..contact(key) }
}

#[test]
fn names_come_from_one_row_in_the_order_of_4_2() {
    let check = |contacts: Vec<Contact>, payments: Vec<Payment>, expected: (&str, &str)| {
        let profile = profile(contacts, payments);
        let names = (profile.first_name, profile.last_name);
        let text = |name: &str| (!name.is_empty()).then(|| name.to_owned());
        assert_eq!(names, (text(expected.0), text(expected.1)));
    };
    let (old, new) = (updated("1", "2025-01-01"), updated("2", "2025-02-01"));
    // The newest contact wins; one without a name is passed over; a half name is a name.
    check(
        vec![named(old.clone(), Some("Ann"), Some("Cruz")), named(new.clone(), Some("Ana"), None)],
        vec![],
        ("Ana", ""),
    );
    check(
        vec![named(old.clone(), Some("Ann"), Some("Cruz")), new.clone()],
        vec![],
        ("Ann", "Cruz"),
    );
    check(vec![named(old.clone(), None, Some("Cruz")), new], vec![], ("", "Cruz"));
    // NULL updated_at comes last, then created_at newest first, then the source key.
    check(
        vec![named(contact("0"), Some("Null"), None), named(old, Some("Ann"), None)],
        vec![],
        ("Ann", ""),
    );
    let created = |key: &str, day: &str, name: &str| {
        named(Contact { created_at: at(day), ..contact(key) }, Some(name), None)
    };
    check(
        vec![created("1", "2025-01-01", "Old"), created("2", "2025-01-02", "New")],
        vec![],
        ("New", ""),
    );
    check(
        vec![created("b", "2025-01-01", "B"), created("a", "2025-01-01", "A")],
        vec![],
        ("A", ""),
    );
    // Payments only if no contact has any name, successful ones first, then the newest.
    let failed = Payment { status: Status::Failed, ..paid("f", "2025-06-01") };
    let payments = || {
        vec![
            paid_by(failed.clone(), "Failed", "F"),
            paid_by(paid("a", "2025-01-01"), "Older", "O"),
            paid_by(paid("b", "2025-02-01"), "Newer", "N"),
            paid("c", "2025-03-01"),
        ]
    };
    check(vec![contact("1")], payments(), ("Newer", "N"));
    check(vec![named(contact("1"), Some("Ana"), None)], payments(), ("Ana", ""));
    check(vec![], vec![paid_by(failed, "Failed", "F")], ("Failed", "F"));
    // created stands in for paid_at; a settled_at does not.
    let by_created = Payment { created_at: at("2025-05-01"), ..payment("d") };
    let by_settled = Payment { settled_at: at("2025-06-01"), ..payment("e") };
    check(
        vec![],
        vec![paid_by(by_settled, "Settled", "S"), paid_by(by_created, "Created", "C")],
        ("Created", "C"),
    );
}

#[test]
fn phone_contact_id_and_tags_follow_4_2() {
    let first = Contact {
        contact_id: None,
        tags: vec!["b".into(), "VIP".into()],
        tags_text: some("VIP, b"),
        ..updated("1", "2025-02-01")
    };
    let second = Contact {
        contact_id: some("77"),
        phone: some("+639170000001"),
        tags: vec!["paidp2p".into(), "vip".into(), "Éa".into()],
        tags_text: some("other"),
        ..updated("2", "2025-01-01")
    };
    let payment = Payment { phone: some("+639170000002"), ..paid("p", "2025-03-01") };
    let both = profile(vec![second.clone(), first.clone()], vec![payment.clone()]);
    assert_eq!(both.phone, some("+639170000001"));
    assert_eq!(both.systemeio_id, some("77"));
    assert_eq!(both.systemeio_tags, some("VIP, b"));
    assert_eq!(both.tags, ["b", "PaidP2P", "VIP", "Éa"]);
    assert_eq!(&*both.acquisition_source, "systemeio");
    let alone = profile(vec![first.clone()], vec![payment]);
    assert_eq!(alone.phone, some("+639170000002"));
    // The first contact decides about systemeio_tags even if it has none.
    let blank = Contact { tags_text: None, ..first };
    assert_eq!(profile(vec![blank, second], vec![]).systemeio_tags, None);
}

#[test]
fn a_contact_id_of_somebody_else_is_not_replaced_by_the_next_one() {
    let contacts = || {
        vec![
            Contact { contact_id: some("1"), ..updated("a", "2025-02-01") },
            Contact { contact_id: some("2"), ..updated("b", "2025-01-01") },
        ]
    };
    let check = |id: &str, holder: &str, expected: Option<&str>| {
        let holders = BTreeMap::from([(id.to_owned(), email(holder))]);
        let context = Context { contact_id_holders: holders, ..context() };
        let unified = unify(&group(contacts(), vec![]), &context, &Rules::default());
        assert_eq!(unified.profile.unwrap().systemeio_id.as_deref(), expected, "{id} {holder}");
    };
    check("1", ANA, Some("1"));
    check("1", "ben@example.com", None);
    check("2", "ben@example.com", Some("1"));
}

#[test]
fn cohort_and_payment_source_are_of_the_earliest_money() {
    let check = |payments: Vec<Payment>, cohort: Option<&str>, source: Option<&str>| {
        let profile = profile(vec![], payments);
        assert_eq!(profile.cohort_date, cohort.map(date));
        assert_eq!(profile.payment_source.as_deref(), source);
        assert_eq!(&*profile.api_source, "xendit");
    };
    let with = |status, base: Payment| Payment { status, ..base };
    check(vec![with(Status::Pending, paid("a", "2025-01-01"))], None, None);
    check(vec![with(Status::Voided, paid("a", "2025-01-01"))], None, None);
    // A refund does not rewrite the cohort.
    check(
        vec![with(Status::Refunded, paid("a", "2024-12-01")), paid("b", "2025-01-01")],
        Some("2024-12-01"),
        Some("xendit"),
    );
    // The local date: late on the 31st in UTC is New Year in Manila.
    check(vec![paid("a", "2024-12-31T16:00:00Z")], Some("2025-01-01"), Some("xendit"));
    // paid_at may be inferred; an invalid amount is no transaction.
    let inferred = Payment { updated_at: at("2025-02-02"), ..payment("a") };
    check(vec![inferred], Some("2025-02-02"), Some("xendit"));
    check(vec![Payment { amount: None, ..paid("a", "2025-01-01") }], None, None);
    check(vec![payment("a")], None, Some("xendit"));
}

#[test]
fn created_and_last_active_span_all_facts() {
    let contact = Contact {
        created_at: at("2025-03-01"),
        updated_at: at("2025-04-01"),
        synced_at: at("2020-01-01"),
        ..contact("1")
    };
    let payment = Payment { created_at: at("2025-02-01"), ..paid("a", "2025-05-01") };
    let both = profile(vec![contact.clone()], vec![payment]);
    assert_eq!((both.created_at, both.last_active_at), (at("2025-02-01"), at("2025-05-01")));
    // sync_timestamp only if nothing else is there.
    let bare = Contact { created_at: None, updated_at: None, ..contact };
    let synced = Payment { synced_at: at("2021-01-01"), ..super::payment("a") };
    let profile = profile(vec![bare], vec![synced]);
    assert_eq!((profile.created_at, profile.last_active_at), (at("2020-01-01"), None));
}

#[test]
fn the_profile_filter_leaves_transactions_and_row_conflicts() {
    let check = |tags: &[&str], or_payment: bool, contacts, payments, included: bool| {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        let rules = Rules { profiles: ProfileFilter { tags, or_payment }, ..Rules::default() };
        let unified = unify(&group(contacts, payments), &context(), &rules);
        assert_eq!(unified.profile.is_some(), included);
        unified
    };
    check(&[], false, vec![contact("1")], vec![], true);
    check(&["VIP"], false, vec![tagged("1", &["vip"])], vec![], true);
    check(&["VIP"], false, vec![tagged("1", &["vip2"])], vec![], false);
    check(&["VIP"], true, vec![contact("1")], vec![paid("a", "2025-01-01")], true);
    let out = vec![tagged("1", &["PaidCanva"])];
    let twice = vec![
        paid("a", "2025-01-01"),
        Payment { currency: "USD".into(), ..paid("b", "2025-01-02") },
    ];
    let left_out = check(&["VIP"], false, out, twice, false);
    assert_eq!(keys(&left_out), ["a", "b"]);
    assert_eq!(left_out.enrollments, []);
    assert_eq!(found(&left_out), ["currency_mismatch review xendit:b"]);
    // Nobody is there (SPEC §4.5).
    check(&[], false, vec![], vec![], false);
}

#[test]
fn rows_without_a_person_give_transactions_only() {
    let payments = vec![paid("a", "2025-01-01")];
    let unified = unify(&orphans(vec![], payments), &context(), &Rules::default());
    assert_eq!(unified.profile, None);
    assert_eq!(unified.enrollments, []);
    assert_eq!(keys(&unified), ["a"]);
}
