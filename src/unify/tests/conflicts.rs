//! SPEC §6.

use super::*;
use crate::facts::EmailReason;

/// The conflicts of one payment, but those that the test says nothing about.
fn check(payment: Payment, expected: &[&str]) {
    assert_eq!(found_but(&unified(vec![], vec![payment]), &["paid_at_inferred"]), expected);
}

#[test]
fn kinds_of_one_payment_row() {
    let base = || paid("a", "2025-01-01");
    let pending = || Payment { status: Status::Pending, ..base() };
    check(base(), &[]);
    check(Payment { amount: None, ..pending() }, &["invalid_amount review xendit:a"]);
    for amount in ["0", "-1"] {
        check(
            Payment { amount: money(amount), ..base() },
            &["non_positive_amount review xendit:a"],
        );
        check(Payment { amount: money(amount), ..pending() }, &[]);
    }
    check(Payment { currency: "USD".into(), ..base() }, &["currency_mismatch review xendit:a"]);
    check(Payment { currency: "USD".into(), ..pending() }, &[]);
    let underpaid = |text: &str, base: Payment| Payment { paid_amount: money(text), ..base };
    check(underpaid("999.99", base()), &["underpaid review xendit:a"]);
    check(underpaid("1000.00", base()), &[]);
    check(underpaid("1", pending()), &[]);
    check(underpaid("1", Payment { amount: None, ..base() }), &["invalid_amount review xendit:a"]);
    check(Payment { status: Status::Unknown, ..base() }, &["unmapped_status review xendit:a"]);
    check(Payment { products: vec![], ..base() }, &["unmapped_product review xendit:a"]);
    check(Payment { products: vec![], ..pending() }, &[]);
    let both = || vec!["p2p".to_owned(), "canva".to_owned()];
    check(Payment { products: both(), ..pending() }, &["multiple_products review xendit:a"]);
}

#[test]
fn temporal_order_needs_more_than_a_day() {
    let check = |created: &str, status, expected: &[&str]| {
        let paid = paid("a", "2025-01-01T00:00:00Z");
        check(Payment { created_at: at(created), status, ..paid }, expected);
    };
    check("2025-01-02T00:00:00Z", Status::Paid, &[]);
    check("2025-01-02T00:00:00.000001Z", Status::Paid, &["temporal_order review xendit:a"]);
    check("2025-02-01T00:00:00Z", Status::Refunded, &[]);
    // An inferred paid_at is not judged.
    let inferred =
        Payment { settled_at: at("2024-01-01"), created_at: at("2025-01-01"), ..payment("a") };
    super::conflicts::check(inferred, &[]);
}

#[test]
fn unlinked_rows_say_why() {
    let reasons = [EmailReason::Missing, EmailReason::Bidi, EmailReason::Confusable];
    for reason in reasons {
        let base = Payment { email: Err(reason), ..paid("a", "2025-01-01") };
        let raw = serde_json::json!({ "Email": "ana\u{202e}@example.com" });
        let base = Payment { raw: serde_json::from_value(raw).unwrap(), ..base };
        let contact = Contact { email: Err(reason), ..contact("1") };
        let unified = unify(&orphans(vec![contact], vec![base]), &context(), &Rules::default());
        let expected = ["unlinked_payment review xendit:a", "unusable_email info systemeio:1"];
        assert_eq!(found(&unified), expected);
        let evidence = &unified.conflicts[0].evidence;
        assert_eq!(evidence["reason"], reason.as_str());
        assert_eq!(evidence["raw"]["Email"], "ana\u{202e}@example.com");
        assert_eq!(evidence["visible"]["Email"], "ana<U+202E>@example.com");
        assert_eq!(evidence["payment"]["amount"], "1000");
        assert_eq!(evidence["enrollments_affected"], serde_json::json!(["p2p"]));
    }
    let failed =
        Payment { email: Err(EmailReason::Invalid), status: Status::Failed, ..payment("a") };
    let unified = unify(&orphans(vec![], vec![failed]), &context(), &Rules::default());
    assert_eq!(found(&unified), ["unlinked_payment info xendit:a"]);
}

#[test]
fn notes_are_one_conflict_a_kind_and_row() {
    let notes = vec![
        note(NoteKind::DateOnly, "paid_at", "2025-01-01"),
        note(NoteKind::DateOnly, "created", "2025-01-01"),
        note(NoteKind::TimezoneAssumed, "created", "x"),
        note(NoteKind::CurrencyAssumed, "currency", ""),
        note(NoteKind::Mojibake, "customer_name", "PeÃ±a"),
    ];
    let unified = unified(vec![], vec![Payment { notes, ..paid("a", "2025-01-01") }]);
    assert_eq!(found(&unified), ["mojibake info xendit:a", "date_only info xendit:a"]);
    let fields = &unified.conflicts[1].evidence["fields"];
    assert_eq!((&fields[0]["field"], &fields[1]["field"]), (&"created".into(), &"paid_at".into()));
}

#[test]
fn unparsable_timestamps_are_one_conflict_a_field() {
    let check = |field: &str, status, severity: &str| {
        let notes = vec![note(NoteKind::UnparsableTimestamp, field, "soon")];
        let payment = Payment { notes, status, ..paid("a", "2025-01-01") };
        let expected = format!("unparsable_timestamp {severity} xendit:a#{field}");
        super::conflicts::check(payment, &[&expected]);
    };
    check("paid_at", Status::Paid, "review");
    check("created", Status::Settled, "review");
    check("settled_at", Status::Paid, "info");
    check("paid_at", Status::Refunded, "info");
    let notes = vec![note(NoteKind::UnparsableTimestamp, "created_at", "infinity")];
    let unified = unified(vec![Contact { notes, ..contact("1") }], vec![]);
    assert_eq!(found(&unified), ["unparsable_timestamp info systemeio:1#created_at"]);
    assert_eq!(unified.conflicts[0].scope, "owner:ana@example.com");
}

#[test]
fn row_kinds_are_judged_whether_or_not_the_row_gives_a_transaction() {
    let copy = |key: &str| Payment {
        external_id: some("INV-1"),
        currency: "USD".into(),
        ..paid(key, "2025-01-01")
    };
    let unified = unified(vec![], vec![copy("a"), copy("b")]);
    let expected = [
        "currency_mismatch review xendit:a",
        "currency_mismatch review xendit:b",
        "duplicate_payment info xendit:b",
    ];
    assert_eq!(found(&unified), expected);
    assert_eq!(unified.conflicts[2].scope, "owner:ana@example.com");
    assert_eq!(unified.conflicts[2].evidence["survivor"]["source_row"], "xendit:a");
}

#[test]
fn unreadable_tags_are_an_info_note() {
    let notes = vec![note(NoteKind::UnreadableTags, "tags", "[A, B")];
    let unified = unified(vec![Contact { notes, ..contact("1") }], vec![]);
    assert_eq!(found(&unified), ["unreadable_tags info systemeio:1"]);
    let fields = serde_json::json!([{ "field": "tags", "raw": "[A, B" }]);
    assert_eq!(unified.conflicts[0].evidence["fields"], fields);
}

#[test]
fn tags_and_payments_should_agree() {
    let check = |contacts: Vec<Contact>, payments: Vec<Payment>, expected: &[&str]| {
        assert_eq!(found(&unified(contacts, payments)), expected);
    };
    let pay = || vec![paid("a", "2025-01-01")];
    let with = |status| vec![Payment { status, ..paid("a", "2025-01-01") }];
    check(vec![tagged("1", &["PAIDP2P"])], pay(), &[]);
    let missing_payment = "tag_without_payment info ana@example.com#p2p";
    let missing_tag = "payment_without_tag info ana@example.com#p2p";
    check(vec![tagged("1", &["PaidP2P"])], vec![], &[missing_payment]);
    check(vec![tagged("1", &["PaidP2P"])], with(Status::Pending), &[missing_payment]);
    check(vec![tagged("1", &["PaidP2P"])], with(Status::Refunded), &[]);
    let canva = "tag_without_payment info ana@example.com#canva";
    check(vec![contact("1"), tagged("2", &["PaidCanva"])], vec![], &[canva]);
    check(vec![tagged("1", &["PaidP2P2"])], pay(), &[missing_tag]);
    check(vec![contact("1")], pay(), &[missing_tag]);
    check(vec![contact("1")], with(Status::Refunded), &[]);
    // A payment that names both products is of neither.
    let both = Payment { products: vec!["p2p".into(), "canva".into()], ..paid("a", "2025-01-01") };
    let expected = ["multiple_products review xendit:a", missing_payment];
    check(vec![tagged("1", &["PaidP2P"])], vec![both], &expected);
    // Without an amount there is no transaction.
    let invalid = Payment { amount: None, ..paid("a", "2025-01-01") };
    let expected = ["invalid_amount review xendit:a", missing_payment];
    check(vec![tagged("1", &["PaidP2P"])], vec![invalid], &expected);
    check(vec![], pay(), &[]);
}

#[test]
fn the_newest_successful_payment_may_disagree_about_the_name() {
    let ana = || Contact {
        first_name: some("Ana"),
        last_name: some("dela Cruz"),
        ..tagged("1", &["PaidP2P"])
    };
    let by = |key: &str, day: &str, first: &str, last: &str| Payment {
        first_name: some(first),
        last_name: some(last),
        external_id: some(key),
        products: vec!["canva".into()],
        ..paid(key, day)
    };
    let check = |payments: Vec<Payment>, disagrees: bool| {
        let unified = unified(vec![ana()], payments);
        let lines = found_but(&unified, &["tag_without", "payment_without"]);
        let expected: &[&str] =
            if disagrees { &["name_disagreement info ana@example.com"] } else { &[] };
        assert_eq!(lines, expected);
    };
    check(vec![by("a", "2025-01-01", "Ben", "Santos")], true);
    check(vec![by("a", "2025-01-01", "BEN", "CRUZ")], false);
    check(vec![by("a", "2025-01-01", "Ben", "Cruz-Santos")], true);
    // Only the newest successful one is looked at, even where it has no name.
    let ben = || by("a", "2025-01-01", "Ben", "Santos");
    check(vec![ben(), by("b", "2025-01-02", "Ana", "Santos")], false);
    let nameless = Payment { products: vec!["canva".into()], ..paid("b", "2025-01-02") };
    check(vec![ben(), nameless], false);
    let failed = Payment { status: Status::Failed, ..by("b", "2025-01-02", "Ana", "X") };
    check(vec![ben(), failed], true);
    // A row that gives no transaction is a payment still; without paid_at, created says how new it is.
    let unbooked = Payment { amount: None, ..by("b", "2025-01-02", "Ana", "X") };
    let lines = found_but(&unified(vec![ana()], vec![ben(), unbooked]), &["tag_", "payment_"]);
    assert_eq!(lines, ["invalid_amount review xendit:b"]);
    let settled = Payment {
        paid_at: None,
        settled_at: at("2025-06-01"),
        created_at: at("2024-12-31"),
        ..by("b", "2025-01-02", "Ana", "X")
    };
    let lines =
        found_but(&unified(vec![ana()], vec![ben(), settled]), &["tag_", "payment_", "paid_at"]);
    assert_eq!(lines, ["name_disagreement info ana@example.com"]);
    // Words are split at spaces, and a particle is a word.
    check(vec![by("a", "2025-01-01", "Maria", "DELA Rosa")], false);
    check(vec![by("a", "2025-01-01", "Ana-Maria", "Rosa")], true);
    // Without a name of its own the profile has the payment's.
    assert_eq!(found(&unified(vec![], vec![ben()])), Vec::<String>::new());
}

#[test]
fn evidence_changes_only_with_its_cause() {
    let judged = |touched: &str, today: &str| {
        let old = Contact { updated_at: at("2025-02-01"), ..tagged("1", &["PaidCanva"]) };
        let new = Contact { updated_at: at(touched), ..contact("2") };
        let context = Context { today: date(today), ..context() };
        let payments = vec![paid("a", "2025-01-01"), paid("b", "2025-01-02")];
        unify(&group(vec![old, new], payments), &context, &Rules::default()).conflicts
    };
    let before = judged("2025-01-01", "2025-07-01");
    assert_eq!(before.len(), 3);
    assert_eq!(before, judged("2025-03-01", "2029-01-01"));
    // 100 and 100.00 are one amount.
    let usd = |text: &str| {
        let odd =
            Payment { currency: "USD".into(), amount: money(text), ..paid("a", "2025-01-01") };
        unified(vec![], vec![odd]).conflicts
    };
    assert_eq!(usd("100"), usd("100.00"));
}

#[test]
fn evidence_is_bounded() {
    let many: Vec<Payment> = (0..2_000).map(|i| paid(&format!("{i:04}"), "2025-01-01")).collect();
    let contacts = (0..200).map(|i| contact(&format!("{i:04}"))).collect();
    let raw = (0..300).map(|i| (format!("column {i}"), "x".repeat(10_000))).collect();
    let orphan = Payment { email: Err(EmailReason::Invalid), raw, ..paid("a", "2025-01-01") };
    let orphan = orphans(vec![], vec![orphan]);
    let mut found = unified(contacts, many).conflicts;
    found.extend(unify(&orphan, &context(), &Rules::default()).conflicts);
    let kinds: Vec<&str> = found.iter().map(|conflict| conflict.kind.as_str()).collect();
    assert_eq!(kinds, ["duplicate_purchase", "payment_without_tag", "unlinked_payment"]);
    for conflict in &found {
        let length = conflict.evidence.to_string().len();
        assert!(length < 50_000, "{}: {length} bytes", conflict.kind);
    }
    assert_eq!(found[0].evidence["periods"]["shown"][0]["bought_again"]["total"], 1_999);
    let cut = found[2].evidence["raw"]["column 0"].as_str().unwrap();
    assert_eq!((cut.chars().count(), cut.ends_with('…')), (501, true));
}

#[test]
fn everything_found_by_unifying_has_the_scope_of_the_owner() {
    let odd = |key: &str| Payment {
        email: Err(EmailReason::Invalid),
        status: Status::Unknown,
        notes: vec![note(NoteKind::DateOnly, "created", "2025-01-01")],
        external_id: some("INV-1"),
        ..payment(key)
    };
    let group = orphans(vec![], vec![odd("a"), odd("b")]);
    let found = unify(&group, &context(), &Rules::default()).conflicts;
    assert_eq!(found.len(), 7);
    assert_eq!(crate::unify::scopes(&group), ["owner:orphan xendit:a"]);
    assert!(found.iter().all(|conflict| conflict.scope == "owner:orphan xendit:a"));
}

/// A dismissal holds while the evidence is the same, so its text must not change with the program.
#[test]
fn the_text_of_evidence_is_pinned() {
    let names = |first: &str| (some(first), some("Cruz"));
    let (first_name, last_name) = names("Ana");
    let ana = Contact {
        first_name,
        last_name,
        contact_id: some("7"),
        ..tagged("1", &["PaidCanva", "VIP"])
    };
    let (first_name, last_name) = (some("Ben"), None);
    let raw = [("Amount".to_owned(), "1,000".to_owned()), ("e".to_owned(), "\u{200b}".to_owned())];
    let ben = Payment {
        first_name,
        last_name,
        currency: "USD".into(),
        external_id: some("INV-1"),
        created_at: at("2025-01-01T00:00:00.5Z"),
        raw: raw.into_iter().collect(),
        notes: vec![note(NoteKind::DateOnly, "created", "2025-01-01")],
        ..paid("a", "2025-01-01")
    };
    let again = Payment { external_id: None, ..paid("b", "2025-02-01") };
    let copy = Payment { ..ben.clone() };
    let copy = Payment { key: SourceKey("c".to_owned()), updated_at: None, notes: vec![], ..copy };
    let found = unified(vec![ana], vec![ben, again, copy]).conflicts;
    let lines = found.iter().map(|c| format!("{} {}\n{}\n", c.kind, c.subject, c.evidence));
    insta::assert_snapshot!(lines.collect::<String>());
}
