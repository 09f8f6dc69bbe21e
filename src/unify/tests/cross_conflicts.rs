//! SPEC §6: what is judged across people, and between the product and its target.

use super::*;
use crate::unify::{
    ConflictKind, ExternalIdSide, Severity, contact_id_collision, delete_blocked,
    duplicate_external_id, duplicate_profile, email_change_collision, email_change_split,
    incomplete_row, missing_auth_user, possible_duplicate, rejected_row, source_absent,
};

#[test]
fn cross_person_kinds_have_stable_bounded_evidence() {
    let side = |row: &str, person: Option<&str>, amount: &str| ExternalIdSide {
        source_row: row.to_owned(),
        person: person.map(Into::into),
        amount: money(amount),
        currency: "PHP".to_owned(),
        product: None,
        payment_id: None,
        status: "PAID".to_owned(),
    };
    let (a, b) = (side("xendit:a", Some(ANA), "1.0"), side("xendit:b", None, "1"));
    let found =
        duplicate_external_id(&feed(FeedKind::Payment), "v", &[b.clone(), a.clone()], false)
            .unwrap();
    assert_eq!(
        Some(&found),
        duplicate_external_id(&feed(FeedKind::Payment), "v", &[a, b], false).as_ref()
    );
    assert_eq!((found.subject.as_str(), found.severity), ("external_id:v", Severity::Review));
    assert_eq!(found.evidence["differs_in"], serde_json::json!(["person"]));
    let many: Vec<_> =
        (0..50).map(|i| side(&format!("xendit:{i}"), None, &i.to_string())).collect();
    let found = duplicate_external_id(&feed(FeedKind::Payment), "v", &many, false).unwrap();
    assert_eq!(found.evidence["sides"].as_array().unwrap().len(), 10);
    assert_eq!(found.evidence["more"], true);

    let people = ["z@example.com".to_owned(), ANA.to_owned()];
    let found = contact_id_collision("9", ANA, &people, false);
    assert_eq!(found.scope, "contact_id:9");
    assert_eq!(found.evidence["people"], serde_json::json!([ANA, "z@example.com"]));
}

#[test]
fn payments_with_one_external_id_differ_in_what_spec_6_names() {
    let base = ExternalIdSide {
        source_row: "xendit:a".to_owned(),
        person: some(ANA),
        amount: money("1"),
        currency: "PHP".to_owned(),
        product: some("p2p"),
        payment_id: some("py-1"),
        status: "PAID".to_owned(),
    };
    let check = |other: ExternalIdSide, expected: &[&str]| {
        let other = ExternalIdSide { source_row: "xendit:b".to_owned(), ..other };
        let found =
            duplicate_external_id(&feed(FeedKind::Payment), "v", &[base.clone(), other], false);
        let fields = found.map(|conflict| conflict.evidence["differs_in"].clone());
        let expected = (!expected.is_empty()).then(|| serde_json::json!(expected));
        assert_eq!(fields, expected);
    };
    check(base.clone(), &[]);
    check(ExternalIdSide { amount: money("1.00"), ..base.clone() }, &[]);
    check(ExternalIdSide { status: "EXPIRED".to_owned(), ..base.clone() }, &[]);
    check(ExternalIdSide { payment_id: None, ..base.clone() }, &[]);
    check(ExternalIdSide { payment_id: some("py-2"), ..base.clone() }, &["payment_id"]);
    check(ExternalIdSide { person: None, ..base.clone() }, &["person"]);
    check(ExternalIdSide { amount: None, ..base.clone() }, &["amount"]);
    check(ExternalIdSide { product: None, ..base.clone() }, &["product"]);
    let usd = ExternalIdSide { currency: "USD".to_owned(), amount: money("2"), ..base.clone() };
    check(usd, &["amount", "currency"]);
    assert_eq!(duplicate_external_id(&feed(FeedKind::Payment), "v", &[], false), None);
}

#[test]
fn subjects_and_scopes_of_the_other_constructors() {
    let check = |found: crate::unify::Conflict, kind, severity, subject: &str, scope: &str| {
        assert_eq!((found.kind, found.severity), (kind, severity));
        assert_eq!((found.subject.as_str(), found.scope.as_str()), (subject, scope));
        assert!(found.evidence.is_object());
    };
    use ConflictKind as K;
    use Severity::{Info, Review};
    check(
        possible_duplicate("b@x.ph", "a@x.ph", "c"),
        K::PossibleDuplicate,
        Review,
        "a@x.ph|b@x.ph",
        "pair:b@x.ph",
    );
    let collision = email_change_collision("b@x.ph", "a@x.ph", "systemeio:1");
    check(collision, K::EmailChangeCollision, Review, "b@x.ph|a@x.ph", "collision:b@x.ph|a@x.ph");
    let blocked = delete_blocked("xendit:a", uuid::Uuid::nil(), "public.receipts");
    check(blocked, K::DeleteBlocked, Review, "xendit:a", "blocked:xendit:a");
    let split = email_change_split("b@x.ph", "a@x.ph", "systemeio:1");
    check(split, K::EmailChangeSplit, Review, "b@x.ph|a@x.ph", "split:b@x.ph|a@x.ph");
    let incomplete = incomplete_row("incomplete 1", "xendit:a");
    check(incomplete, K::IncompleteRow, Review, "xendit:a", "owner:incomplete 1");
    check(source_absent(ANA), K::SourceAbsent, Info, ANA, "owner:ana@example.com");
    check(missing_auth_user(ANA), K::MissingAuthUser, Info, ANA, "owner:ana@example.com");
    check(duplicate_profile(ANA, 2), K::DuplicateProfile, Review, ANA, "owner:ana@example.com");
    check(
        rejected_row("xendit:a", "23514"),
        K::RejectedRow,
        Review,
        "xendit:a",
        "rejected:xendit:a",
    );
}
