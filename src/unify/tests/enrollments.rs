//! SPEC §5.4.

use super::*;
use crate::unify::EnrollmentStatus::{Active, Expired, Revoked};
use crate::unify::{EnrollmentStatus, transaction_id};

type Expected<'a> = (&'a str, EnrollmentStatus, Option<&'a str>, Option<&'a str>);

/// Today is 2025-07-01; a period lasts 365 days.
fn check(payments: Vec<Payment>, expected: Option<Expected<'_>>, bought_again: bool) {
    let unified = unified(vec![], payments);
    let found: Vec<_> = unified
        .enrollments
        .iter()
        .map(|e| (e.transaction_id, e.status, e.start_date, e.expiry_date))
        .collect();
    let expected: Vec<_> = expected
        .into_iter()
        .map(|(key, status, start, expiry)| {
            let id = transaction_id(&feed(FeedKind::Payment), &SourceKey(key.to_owned()));
            (id, status, start.map(date), expiry.map(date))
        })
        .collect();
    assert_eq!(found, expected);
    let conflict = "duplicate_purchase review ana@example.com#p2p";
    assert_eq!(super::found(&unified).iter().any(|line| line == conflict), bought_again);
}

#[test]
fn the_last_opened_period_shows() {
    let first = || paid("a", "2025-01-10");
    check(vec![first()], Some(("a", Active, Some("2025-01-10"), Some("2026-01-10"))), false);
    // Bought again on the last day: still within.
    let old = || paid("a", "2023-01-10");
    let last_day = paid("b", "2024-01-10");
    let shown = ("a", Expired, Some("2023-01-10"), Some("2024-01-10"));
    check(vec![old(), last_day], Some(shown), true);
    // The day after: a new period, and nothing is double.
    let day_after = || paid("b", "2024-01-11");
    let shown = ("b", Expired, Some("2024-01-11"), Some("2025-01-10"));
    check(vec![day_after(), old()], Some(shown), false);
    // A third one is judged by the second period, not by the first.
    let third = paid("c", "2024-06-01");
    check(vec![third, day_after(), old()], Some(shown), true);
}

#[test]
fn expiry_is_judged_by_the_local_today() {
    // today − 365 days: the expiry date is today, which is not yet over.
    check(
        vec![paid("a", "2024-07-01")],
        Some(("a", Active, Some("2024-07-01"), Some("2025-07-01"))),
        false,
    );
    check(
        vec![paid("a", "2024-06-30")],
        Some(("a", Expired, Some("2024-06-30"), Some("2025-06-30"))),
        false,
    );
    // 16:00 UTC is the next day in Manila.
    let night = paid("a", "2024-06-30T16:00:00Z");
    check(vec![night], Some(("a", Active, Some("2024-07-01"), Some("2025-07-01"))), false);
}

#[test]
fn reversed_money_revokes_only_without_any_other() {
    let with = |status, base: Payment| Payment { status, ..base };
    let refunded = || with(Status::Refunded, paid("a", "2025-01-01"));
    let charged_back = with(Status::Chargeback, paid("b", "2024-12-01"));
    let shown = ("b", Revoked, Some("2024-12-01"), Some("2025-12-01"));
    check(vec![refunded(), charged_back], Some(shown), false);
    let later = paid("c", "2025-03-01");
    check(
        vec![refunded(), later],
        Some(("c", Active, Some("2025-03-01"), Some("2026-03-01"))),
        false,
    );
    let partly = with(Status::PartiallyRefunded, paid("d", "2025-02-01"));
    check(
        vec![refunded(), partly],
        Some(("d", Active, Some("2025-02-01"), Some("2026-02-01"))),
        false,
    );
    for status in [Status::Pending, Status::Failed, Status::Voided, Status::Unknown] {
        check(vec![with(status, paid("a", "2025-01-01"))], None, false);
    }
    check(vec![Payment { amount: None, ..paid("a", "2025-01-01") }], None, false);
}

#[test]
fn a_period_without_a_date_never_ends() {
    check(vec![payment("a")], Some(("a", Active, None, None)), false);
    // Unknown times come last, so they fall into the period that runs.
    let dated = paid("b", "2025-01-01");
    check(
        vec![payment("a"), dated],
        Some(("b", Active, Some("2025-01-01"), Some("2026-01-01"))),
        true,
    );
}

#[test]
fn only_one_course_counts_and_duplicates_open_nothing() {
    let ebook = Payment { products: vec!["canva".into()], ..paid("a", "2025-01-01") };
    let both = Payment { products: vec!["p2p".into(), "canva".into()], ..paid("b", "2025-01-01") };
    check(vec![ebook, both], None, false);
    let copy = |key: &str| Payment { external_id: some("INV-1"), ..paid(key, "2025-01-01") };
    check(
        vec![copy("a"), copy("b")],
        Some(("a", Active, Some("2025-01-01"), Some("2026-01-01"))),
        false,
    );
}

#[test]
fn cohorts_and_lifetime_access() {
    let mut rules = Rules::default();
    rules.products[0].access_days = None;
    let payments = vec![paid("a", "2019-12-31T16:30:00Z"), paid("b", "2025-01-01")];
    let unified = unify(&group(vec![], payments), &context(), &rules);
    let enrollment = &unified.enrollments[0];
    assert_eq!(enrollment.expiry_date, None);
    assert_eq!(enrollment.status, Active);
    assert_eq!(enrollment.course_id, rules.products[0].id);
    assert_eq!(enrollment.cohort_month.as_deref(), Some("2020-01"));
    assert_eq!(enrollment.cohort_quarter.as_deref(), Some("2020-Q1"));
    assert_eq!(super::found_but(&unified, &[]).len(), 1);
    // A length beyond the calendar is no reason to fail.
    rules.products[0].access_days = Some(u32::MAX);
    let far = unify(&group(vec![], vec![paid("a", "2025-01-01")]), &context(), &rules);
    assert_eq!(far.enrollments[0].expiry_date, None);
}

#[test]
fn of_one_instant_the_lower_id_opens_5_4() {
    let keys = ["0b6c2d1e-8f5a-4c3b-9d7e-1f2a3b4c5d6e", "f06c2d1e-8f5a-4c3b-9d7e-1f2a3b4c5d6e"];
    for [a, b] in [keys, [keys[1], keys[0]]] {
        let payments = vec![paid(a, "2025-01-01"), paid(b, "2025-01-01")];
        check(payments, Some((keys[0], Active, Some("2025-01-01"), Some("2026-01-01"))), true);
    }
    let reversed = keys.map(|key| Payment { status: Status::Refunded, ..paid(key, "2025-01-01") });
    let shown = (keys[0], Revoked, Some("2025-01-01"), Some("2026-01-01"));
    check(reversed.to_vec(), Some(shown), false);
}

#[test]
fn a_period_is_measured_in_local_days_5_4() {
    // Opened on 10 January 2023 in Manila, though it is still the 9th in UTC; bought again on the
    // last day, a minute before and at midnight.
    let old = || paid("a", "2023-01-09T16:00:00Z");
    let shown = ("a", Expired, Some("2023-01-10"), Some("2024-01-10"));
    check(vec![old(), paid("b", "2024-01-10T15:59:59Z")], Some(shown), true);
    let shown = ("b", Expired, Some("2024-01-11"), Some("2025-01-10"));
    check(vec![old(), paid("b", "2024-01-10T16:00:00Z")], Some(shown), false);
    // A reversed transaction opens nothing, so the later one is no second purchase.
    let reversed = Payment { status: Status::Chargeback, ..paid("r", "2025-01-01") };
    let shown = ("b", Active, Some("2025-02-01"), Some("2026-02-01"));
    check(vec![reversed, paid("b", "2025-02-01")], Some(shown), false);
    // paid_at may be inferred.
    let inferred = Payment { settled_at: at("2025-03-01"), ..payment("a") };
    check(vec![inferred], Some(("a", Active, Some("2025-03-01"), Some("2026-03-01"))), false);
}

#[test]
fn lifetime_access_has_one_period_5_4() {
    let mut rules = Rules::default();
    rules.products[0].access_days = None;
    let payments = vec![paid("a", "2001-01-01"), paid("b", "2025-01-01")];
    let unified = unify(&group(vec![], payments), &context(), &rules);
    assert_eq!(unified.enrollments[0].start_date, Some(date("2001-01-01")));
    assert_eq!(found(&unified), ["duplicate_purchase review ana@example.com#p2p"]);
}
