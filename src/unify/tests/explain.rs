//! What `explain` shows is what `unify` chose.

use super::*;
use crate::rules::ProfileFilter;
use crate::unify::{Explanation, FieldExplanation, explain};

fn field<'a>(explanation: &'a Explanation, name: &str) -> &'a FieldExplanation {
    explanation.fields.iter().find(|field| field.field == name).unwrap()
}

#[test]
fn each_value_names_its_row_and_its_losers() {
    let new = Contact {
        last_name: some("Cruz"),
        contact_id: some("7"),
        tags: vec!["b".into()],
        updated_at: at("2025-02-01"),
        ..contact("new")
    };
    let old = Contact {
        first_name: some("Ann"),
        phone: some("+639170000001"),
        tags: vec!["a".into()],
        updated_at: at("2025-01-01"),
        ..contact("old")
    };
    let copy = |key: &str| Payment { external_id: some("INV-1"), ..paid(key, "2025-01-01") };
    let payments = vec![copy("a"), copy("b"), Payment { amount: None, ..payment("c") }];
    let group = group(vec![old, new], payments);
    let found = explain(&group, &context(), &Rules::default());
    assert_eq!(found.no_profile, None);

    let first_name = field(&found, "first_name");
    assert_eq!((&first_name.value, &first_name.source_row), (&None, &some("systemeio:new")));
    let lost = &first_name.candidates[0];
    assert_eq!((&lost.source_row[..], &lost.value), ("systemeio:old", &some("Ann")));
    assert_eq!(lost.why_lost.as_deref(), Some("its updated_at is older or missing"));
    let phone = field(&found, "phone");
    assert_eq!(phone.source_row, some("systemeio:old"));
    assert_eq!(phone.candidates[0].why_lost.as_deref(), Some("has no value"));
    assert_eq!(field(&found, "tags").value, some("a, b"));
    assert_eq!(field(&found, "cohort_date").source_row, some("xendit:a"));

    let payments: Vec<_> = found.payments.iter().map(|p| p.source_row.as_str()).collect();
    assert_eq!(payments, ["xendit:a", "xendit:b", "xendit:c"]);
    assert!(found.payments[0].transaction_id.is_some());
    assert_eq!(found.payments[0].local.as_deref(), Some("2025-01-01 12:00:00 +08:00"));
    assert_eq!(found.payments[0].utc.as_deref(), Some("2025-01-01T04:00:00Z"));
    assert!(found.payments[1].outcome.contains("the same payment as xendit:a"));
    assert!(found.payments[2].outcome.contains("amount is invalid"));

    let enrollment = &found.enrollments[0];
    assert_eq!((&enrollment.product[..], enrollment.status), ("p2p", "active"));
    assert_eq!(enrollment.reason, "access lasts until 2026-01-01; today is 2025-07-01");
    assert!(serde_json::to_value(&found).is_ok());
}

#[test]
fn a_contact_id_that_went_elsewhere_is_explained() {
    let group = group(vec![Contact { contact_id: some("7"), ..contact("1") }], vec![]);
    let holders = BTreeMap::from([("7".to_owned(), email("ben@example.com"))]);
    let context = Context { contact_id_holders: holders, ..context() };
    let found = explain(&group, &context, &Rules::default());
    let id = field(&found, "systemeio_id");
    assert_eq!((&id.value, &id.source_row), (&None, &None));
    assert!(id.candidates[0].why_lost.as_deref().unwrap().contains("ben@example.com"));
}

#[test]
fn nobody_is_explained_too() {
    let rules = Rules {
        profiles: ProfileFilter { tags: vec!["VIP".into()], or_payment: false },
        ..Rules::default()
    };
    for (group, rules) in [
        (orphans(vec![], vec![payment("a")]), &Rules::default()),
        (group(vec![], vec![]), &Rules::default()),
        (group(vec![contact("1")], vec![payment("a")]), &rules),
    ] {
        let found = explain(&group, &context(), rules);
        assert!(found.no_profile.is_some() && found.fields.is_empty());
        assert_eq!(found.payments.len(), group.payments.len());
    }
}
