//! Rows as shops, card processors and mailing lists write them (SPEC §1, §3.6 to §3.8), form by form.

use super::ColumnKind::{Boolean, Instant, Json, Numeric, Text, TextArray};
use super::row_tests::feed;
use super::*;
use crate::rules::Rules;

use ContactField as C;
use PaymentField as P;

/// The columns of a form: name and kind.
type Kinds<'k> = &'k [(&'k str, ColumnKind)];

fn columns(kinds: Kinds<'_>) -> Columns {
    let column = |(name, kind): &(&str, ColumnKind)| Column { name: (*name).into(), kind: *kind };
    Columns::new(kinds.iter().map(column).collect(), vec![0])
}

fn row(values: &[Option<&str>]) -> RawRow {
    RawRow { values: values.iter().map(|value| value.map(str::to_owned)).collect() }
}

fn path(column: usize, steps: &[&str]) -> Source {
    let part = Part::Path(steps.iter().map(|step| (*step).to_owned()).collect());
    Source::Derived { column, part, when: None }
}

fn when(column: usize, texts: &[(&str, &str)], any: Option<&str>) -> Source {
    let texts = texts.iter().map(|(text, means)| ((*text).to_owned(), (*means).to_owned()));
    let when = When { texts: texts.collect(), any: any.map(str::to_owned) };
    Source::Derived { column, part: Part::Whole, when: Some(when) }
}

fn of_contact(kinds: Kinds<'_>, fields: Vec<(C, Vec<Source>)>, skip: Vec<Skip<C>>) -> Layout<C> {
    let rules = FieldRules { skip, ..FieldRules::default() };
    Layout::new(feed("leads", FeedKind::Contact), columns(kinds), fields, rules)
}

fn of_payment(kinds: Kinds<'_>, fields: Vec<(P, Vec<Source>)>, rules: FieldRules<P>) -> Layout<P> {
    Layout::new(feed("orders", FeedKind::Payment), columns(kinds), fields, rules)
}

fn one_contact(kind: ColumnKind, fields: Vec<(C, Vec<Source>)>, text: &str) -> Contact {
    let layout = of_contact(&[("id", Text), ("x", kind)], fields, vec![]);
    contact(&row(&[Some("1"), Some(text)]), &layout, &Rules::default())
}

#[test]
fn tags_of_every_column_type_spec_3_6() {
    let check = |kind: ColumnKind, source: Source, text: &str, expected: &[&str]| {
        let fact = one_contact(kind, vec![(C::Tags, vec![source])], text);
        assert_eq!(fact.tags, expected, "{text}");
        assert_eq!(fact.notes, [], "{text}");
    };
    let whole = || Source::Column(1);
    let objects = r#"[{"id": 7, "name": "paidp2p"}, {"name": "a, b"}, {"id": 8}, null, 3, "VIP"]"#;
    check(Json, whole(), objects, &["a, b", "PaidP2P", "VIP"]);
    check(Text, whole(), objects, &["a, b", "PaidP2P", "VIP"]);
    check(Json, whole(), "null", &[]);
    check(Json, whole(), "{}", &[]);
    check(Json, whole(), r#""vip, gold""#, &["gold", "vip"]);
    check(
        TextArray,
        whole(),
        r#"{paidp2p,"a, b",NULL,"say \"x\"",""}"#,
        &["a, b", "PaidP2P", "say \"x\""],
    );
    check(TextArray, whole(), "{}", &[]);
    check(TextArray, whole(), "[0:1]={b,a}", &["a", "b"]);
    // A list inside of a larger value is the same list.
    check(
        Json,
        path(1, &["tags"]),
        &format!(r#"{{"tags": {objects}}}"#),
        &["a, b", "PaidP2P", "VIP"],
    );
    check(Json, path(1, &["tags"]), r#"{"tags": null}"#, &[]);
    check(Json, path(1, &["tags"]), r#"{"tags": "vip,gold"}"#, &["gold", "vip"]);
    check(Json, path(1, &["*", "slug"]), r#"[{"slug": "b"}, {"slug": "a"}]"#, &["a", "b"]);
}

#[test]
fn epochs_in_number_columns_spec_3_7() {
    let check = |kind: ColumnKind, source: Source, text: &str, expected: Option<&str>| {
        let fact = one_contact(kind, vec![(C::CreatedAt, vec![source])], text);
        assert_eq!(fact.created_at.map(|at| at.to_string()).as_deref(), expected, "{text}");
        let notes: Vec<NoteKind> = fact.notes.iter().map(|note| note.kind).collect();
        let noted = expected.is_none().then_some(NoteKind::UnparsableTimestamp);
        assert_eq!(notes, Vec::from_iter(noted), "{text}");
    };
    let whole = || Source::Column(1);
    check(Numeric, whole(), "1748750000", Some("2025-06-01T03:53:20Z"));
    check(Numeric, whole(), "1748750000123", Some("2025-06-01T03:53:20.123Z"));
    check(Text, whole(), "1748750000", Some("2025-06-01T03:53:20Z"));
    check(Json, path(1, &["created"]), r#"{"created": 1748750000}"#, Some("2025-06-01T03:53:20Z"));
    check(
        Json,
        path(1, &["created"]),
        r#"{"created": "1748750000123"}"#,
        Some("2025-06-01T03:53:20.123Z"),
    );
    check(Json, whole(), "1748750000", Some("2025-06-01T03:53:20Z"));
    // Microseconds, and seconds beyond every payment.
    check(Numeric, whole(), "1748750000123456", None);
    check(Numeric, whole(), "9999999999", None);
    check(Numeric, whole(), "0", None);
    check(Numeric, whole(), "-1748750000", None);
}

#[test]
fn amounts_in_minor_units_follow_the_currency_spec_1() {
    let kinds = [("id", Text), ("amount", Numeric), ("currency", Text), ("note", Text)];
    let fields = vec![
        (P::Amount, vec![Source::Column(1)]),
        (P::PaidAmount, vec![Source::Column(1)]),
        (P::Fees, vec![Source::Column(3)]),
        (P::Currency, vec![Source::Column(2)]),
    ];
    let rules = FieldRules { amount_unit: AmountUnit::Minor, ..FieldRules::default() };
    let layout = of_payment(&kinds, fields, rules);
    let check = |amount: &str, currency: Option<&str>, expected: Option<&str>| {
        let row = row(&[Some("1"), Some(amount), currency, Some(amount)]);
        let fact = payment(&row, &layout, &Rules::default());
        for (name, found) in
            [("amount", fact.amount), ("paid", fact.paid_amount), ("fee", fact.fee)]
        {
            assert_eq!(
                found.map(|value| value.to_string()).as_deref(),
                expected,
                "{name} {amount} {currency:?}"
            );
        }
        // What is shown of a transaction is the amount that people mean; what cannot be read is evidence as it was.
        assert_eq!(fact.metadata.get("paid_amount"), Some(expected.unwrap_or(amount)));
        fact
    };
    check("49900", Some("php"), Some("499.00"));
    check("-49900", Some("PHP"), Some("-499.00"));
    check("49900", Some(" jpy "), Some("49900"));
    check("49900", Some("kwd"), Some("49.900"));
    check("5", Some("bhd"), Some("0.005"));
    check("0", Some("kwd"), Some("0.000"));
    // Without a currency it is the configured one.
    assert_eq!(check("49900", None, Some("499.00")).currency, "PHP");
    for unknown in ["xyz", "btc", "₱", "peso"] {
        let fact = check("49900", Some(unknown), None);
        assert_eq!(fact.currency, unknown.to_uppercase());
    }
    check("49900.5", Some("php"), Some("499.005"));
    check("99999999999999999", Some("php"), Some("999999999999999.99"));
    check("100000000000000000", Some("php"), None);
    check("NaN", Some("php"), None);
}

const ORDER: [(&str, ColumnKind); 10] = [
    ("id", Numeric),
    ("email", Text),
    ("financial_status", Text),
    ("cancelled_at", Instant),
    ("test", Boolean),
    ("customer", Json),
    ("line_items", Json),
    ("billing", Json),
    ("refunded", Boolean),
    ("tags", TextArray),
];

fn order_fields() -> Vec<(P, Vec<Source>)> {
    vec![
        (
            P::Status,
            vec![
                when(3, &[], Some(ANY_CANCELLED)),
                when(8, &[("true", "refunded")], None),
                Source::Column(2),
            ],
        ),
        (P::CustomerEmail, vec![Source::Column(1), path(5, &["email"]), path(7, &["email"])]),
        (P::CustomerName, vec![path(5, &["name"]), path(7, &["name"])]),
        (P::Description, vec![path(6, &["*", "title"])]),
    ]
}

const ANY_CANCELLED: &str = "cancelled";

/// An order of which these columns have a value.
fn order(values: &[(&str, &str)]) -> RawRow {
    let value = |name: &str| values.iter().find(|(known, _)| *known == name).map(|(_, text)| *text);
    row(&ORDER.map(|(name, _)| if name == "id" { Some("1") } else { value(name) }))
}

fn ordered(values: &[(&str, &str)]) -> Payment {
    let layout = of_payment(&ORDER, order_fields(), FieldRules::default());
    payment(&order(values), &layout, &Rules::default())
}

#[test]
fn products_of_line_items_spec_3_11() {
    let check = |items: &str, products: &[&str], description: Option<&str>| {
        let fact = ordered(&[("line_items", items)]);
        assert_eq!(fact.products, products, "{items}");
        assert_eq!(fact.description.as_deref(), description, "{items}");
    };
    check(
        r#"[{"title": "Papers to Profits"}, {"title": "P2P (gift)"}]"#,
        &["p2p"],
        Some("Papers to Profits, P2P (gift)"),
    );
    check(
        r#"[{"title": "Canva Ebook"}, {"title": "Papers to Profits"}]"#,
        &["p2p", "canva"],
        Some("Canva Ebook, Papers to Profits"),
    );
    check(r#"[{"title": "Mug"}, {"title": "Shirt"}]"#, &[], Some("Mug, Shirt"));
    // No product is made of the end of one item and the start of the next.
    check(r#"[{"title": "Papers"}, {"price": "1"}, {"title": null}]"#, &[], Some("Papers"));
    for none in ["[]", "null", "{}", r#"[{"price": "1"}]"#, r#"[{"title": null}]"#] {
        check(none, &[], None);
    }
}

#[test]
fn emails_and_names_from_where_they_are_spec_1() {
    let check = |values: &[(&str, &str)],
                 email: Result<&str, EmailReason>,
                 name: (Option<&str>, Option<&str>)| {
        let fact = ordered(values);
        assert_eq!(
            fact.email.as_ref().map(EmailKey::as_str).map_err(|reason| *reason),
            email,
            "{values:?}"
        );
        assert_eq!((fact.first_name.as_deref(), fact.last_name.as_deref()), name, "{values:?}");
        assert!(
            fact.notes.iter().all(|note| note.kind == NoteKind::CurrencyAssumed),
            "{:?}",
            fact.notes
        );
    };
    let billing = ("billing", r#"{"email": "Bill@Example.com", "name": "DELA CRUZ, ANA"}"#);
    let ana = (Some("Ana"), Some("Dela Cruz"));
    for nothing in
        ["null", "{}", r#"{"email": null, "name": ""}"#, r#"{"email": "n/a"}"#, "[]", "3"]
    {
        check(&[("customer", nothing), billing], Ok("bill@example.com"), ana);
        check(&[("customer", nothing)], Err(EmailReason::Missing), (None, None));
    }
    check(&[billing], Ok("bill@example.com"), ana);
    check(&[("email", "oops"), billing], Ok("bill@example.com"), ana);
    check(&[("email", "oops")], Err(EmailReason::Invalid), (None, None));
    let customer = ("customer", r#"{"email": "c@example.com", "name": "Ben"}"#);
    check(&[customer, billing], Ok("c@example.com"), (Some("Ben"), None));
    check(
        &[("email", "me@example.com"), customer, billing],
        Ok("me@example.com"),
        (Some("Ben"), None),
    );
}

#[test]
fn statuses_by_when_spec_1() {
    let check = |values: &[(&str, &str)], expected: Status| {
        assert_eq!(ordered(values).status, expected, "{values:?}");
    };
    let (paid, cancelled) =
        (("financial_status", "paid"), ("cancelled_at", "2025-06-01 00:00:00+00"));
    check(&[paid], Status::Paid);
    check(&[paid, cancelled], Status::Voided);
    check(&[paid, cancelled, ("refunded", "t")], Status::Voided);
    check(&[paid, ("refunded", "t")], Status::Refunded);
    // A text that is not mapped is no answer: the next source is asked.
    check(&[paid, ("refunded", "f")], Status::Paid);
    check(
        &[("financial_status", "partially_refunded"), ("refunded", "f")],
        Status::PartiallyRefunded,
    );
    check(&[("refunded", "f")], Status::Unknown);
    check(&[("financial_status", "exchanged")], Status::Unknown);
}

#[test]
fn when_reads_texts_of_every_column_type_spec_1() {
    let check = |kind: ColumnKind, source: Source, text: &str, expected: Option<&str>| {
        let fact = one_contact(
            kind,
            vec![(C::ContactId, vec![source, Source::Value("next".into())])],
            text,
        );
        assert_eq!(fact.contact_id.as_deref(), Some(expected.unwrap_or("next")), "{text}");
    };
    let named = || when(1, &[("true", "yes"), ("1", "one"), ("A b", "text")], None);
    let any = || when(1, &[("true", "yes")], Some("any"));
    check(Boolean, named(), "t", Some("yes"));
    check(Boolean, named(), "f", None);
    check(Boolean, any(), "f", Some("any"));
    check(Numeric, named(), "1", Some("one"));
    check(Text, named(), " A\u{a0} b ", Some("text"));
    check(Text, named(), "a b", None);
    check(Text, any(), "n/a", None);
    check(Text, any(), "", None);
    check(Instant, any(), "2025-06-01 00:00:00+00", Some("any"));
    check(Json, named(), "true", Some("yes"));
    check(Json, named(), "\"A b\"", Some("text"));
    check(Json, any(), "null", None);
    check(TextArray, named(), "{\"A b\"}", Some("text"));
    check(TextArray, any(), "{}", None);
    // A value of `when` is read by the field's rule like any other.
    let null = || when(1, &[("x", "n/a")], None);
    check(Text, null(), "x", None);
}

#[test]
fn names_are_split_where_there_are_no_parts_spec_1() {
    let kinds = [("id", Text), ("first", Text), ("last", Text), ("name", Text), ("other", Json)];
    let fields = vec![
        (C::FirstName, vec![Source::Column(1)]),
        (C::LastName, vec![Source::Column(2)]),
        (C::Name, vec![Source::Column(3), path(4, &["name"])]),
    ];
    let layout = of_contact(&kinds, fields, vec![]);
    let check = |values: [Option<&str>; 4], expected: (Option<&str>, Option<&str>)| {
        let [first, last, name, other] = values;
        let fact =
            contact(&row(&[Some("1"), first, last, name, other]), &layout, &Rules::default());
        assert_eq!((fact.first_name.as_deref(), fact.last_name.as_deref()), expected, "{values:?}");
    };
    check([None, None, Some("juan DELA cruz jr."), None], (Some("Juan"), Some("DELA cruz jr.")));
    check([None, None, Some("REYES, ANA"), None], (Some("Ana"), Some("Reyes")));
    check([None, None, Some("Ana"), None], (Some("Ana"), None));
    check([Some("Bea"), None, Some("Ana Reyes"), None], (Some("Bea"), None));
    check([None, Some("Lim"), Some("Ana Reyes"), None], (None, Some("Lim")));
    check([Some("n/a"), Some("."), Some("Ana Reyes"), None], (Some("Ana"), Some("Reyes")));
    check(
        [None, None, Some("ana@example.com"), Some(r#"{"name": "Ana Lim"}"#)],
        (Some("Ana"), Some("Lim")),
    );
    check([None, None, None, Some("null")], (None, None));
}

#[test]
fn rows_are_skipped_by_field_and_by_column_spec_1() {
    let skips = |of: SkipOf<P>, equals: &[&str], values: &[(&str, &str)]| {
        let equals = equals.iter().map(|text| (*text).to_owned()).collect();
        let rules = FieldRules { skip: vec![Skip { of, equals }], ..FieldRules::default() };
        let layout = of_payment(&ORDER, order_fields(), rules);
        skips_payment(&order(values), &layout, &Rules::default())
    };
    let column = |column| SkipOf::Source(Source::Derived { column, part: Part::Whole, when: None });
    assert!(skips(column(4), &["true"], &[("test", "t")]));
    assert!(!skips(column(4), &["true"], &[("test", "f")]));
    assert!(!skips(column(4), &["true"], &[]));
    assert!(skips(column(4), &["false", "true"], &[("test", "f")]));
    assert!(skips(column(2), &["draft"], &[("financial_status", " draft\u{200b} ")]));
    // Exact: neither case nor a part.
    assert!(!skips(column(2), &["draft"], &[("financial_status", "Draft")]));
    assert!(!skips(column(2), &["draft"], &[("financial_status", "drafts")]));
    assert!(skips(column(2), &[ANY], &[("financial_status", "x")]));
    assert!(!skips(column(2), &[ANY], &[("financial_status", "n/a")]));
    assert!(skips(column(5), &["wholesale"], &[("customer", "\"wholesale\"")]));
    assert!(skips(column(9), &["test"], &[("tags", "{test}")]));
    assert!(skips(
        SkipOf::Source(path(5, &["vip"])),
        &["true"],
        &[("customer", r#"{"vip": true}"#)]
    ));
    assert!(!skips(SkipOf::Source(path(5, &["vip"])), &["true"], &[("customer", "null")]));
    // By a field: the text of the source that wins.
    let status = || SkipOf::Field(P::Status);
    assert!(skips(status(), &["paid"], &[("financial_status", "paid")]));
    assert!(!skips(status(), &["paid"], &[("financial_status", "paid"), ("refunded", "t")]));
    assert!(skips(status(), &["refunded"], &[("financial_status", "paid"), ("refunded", "t")]));
    let contact_skips = |kind: ColumnKind, text: &str, equals: &str| {
        let skip = Skip { of: SkipOf::Field(C::OptinEmail), equals: vec![equals.to_owned()] };
        let fields = vec![(C::OptinEmail, vec![Source::Column(1)])];
        let layout = of_contact(&[("id", Text), ("x", kind)], fields, vec![skip]);
        skips_contact(&row(&[Some("1"), Some(text)]), &layout, &Rules::default())
    };
    // A field that is taken as it is: by the words of `when` too.
    assert!(contact_skips(Boolean, "f", "false"));
    assert!(!contact_skips(Boolean, "f", "f"));
    assert!(contact_skips(Json, "\"no\"", "no"));
    assert!(contact_skips(TextArray, "{no}", "no"));
    let email = || SkipOf::Field(P::CustomerEmail);
    let billing = ("billing", r#"{"email": "qa@example.com"}"#);
    assert!(skips(email(), &["qa@example.com"], &[("email", "oops"), billing]));
    assert!(!skips(email(), &["qa@example.com"], &[("email", "me@example.com"), billing]));
    assert!(!skips(email(), &[ANY], &[]));
    let fact = |equals: &str, tags: &str| {
        let skip = Skip { of: SkipOf::Field(C::Name), equals: vec![equals.to_owned()] };
        let layout = of_contact(
            &[("id", Text), ("name", Text)],
            vec![(C::Name, vec![Source::Column(1)])],
            vec![skip],
        );
        skips_contact(&row(&[Some("1"), Some(tags)]), &layout, &Rules::default())
    };
    assert!(fact("Test User", "Test  User"));
    assert!(!fact("Test User", "test user"));
}
