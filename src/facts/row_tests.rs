//! Whole rows, in both layouts of SPEC §1.

use super::ColumnKind::{Instant, Json, Numeric, TextArray};
use super::*;
use crate::rules::Rules;

/// A feed named like the first ones.
pub(super) fn feed(name: &str, kind: FeedKind) -> Arc<FeedInfo> {
    Arc::new(FeedInfo {
        feed: Feed::new(if kind == FeedKind::Contact { 1 } else { 2 }),
        name: name.to_owned(),
        kind,
        primary: true,
        provider: name.into(),
        rank: 100,
    })
}

/// A layout with one column for each field, named like it; the first is the key.
fn layout<F: LogicalField + PartialEq>(
    feed: Arc<FeedInfo>,
    kinds: &[(F, ColumnKind)],
) -> Layout<F> {
    let kind = |field: &F| {
        kinds.iter().find(|(known, _)| known == field).map_or(ColumnKind::Text, |(_, kind)| *kind)
    };
    let columns = std::iter::once(Column { name: "id".into(), kind: ColumnKind::Text });
    let named =
        F::NAMES.iter().map(|(field, name)| Column { name: (*name).to_owned(), kind: kind(field) });
    let fields =
        F::NAMES.iter().enumerate().map(|(i, (field, _))| (*field, vec![Source::Column(i + 1)]));
    let columns = Columns::new(columns.chain(named).collect(), vec![0]);
    Layout::new(feed, columns, fields.collect(), FieldRules::default())
}

fn row<F: LogicalField + PartialEq>(layout: &Layout<F>, values: &[(F, &str)]) -> RawRow {
    let mut row = RawRow { values: vec![None; layout.columns.list.len()] };
    row.values[0] = Some("k1".to_owned());
    for (field, value) in values {
        row.values[field.index() + 1] = Some((*value).to_owned());
    }
    row
}

/// The fact of a payment in the canonical layout, where amounts are numeric and times are text.
fn paid(values: &[(PaymentField, &str)]) -> Payment {
    use PaymentField as P;
    let kinds = [
        (P::Amount, Numeric),
        (P::Fees, Numeric),
        (P::PaidAmount, Numeric),
        (P::SyncTimestamp, Instant),
    ];
    let layout = layout(feed("xendit", FeedKind::Payment), &kinds);
    payment(&row(&layout, values), &layout, &Rules::default())
}

fn known(values: &[(ContactField, &str)]) -> Contact {
    use ContactField as C;
    let layout = layout(
        feed("systemeio", FeedKind::Contact),
        &[(C::CreatedAt, Instant), (C::UpdatedAt, Instant), (C::SyncTimestamp, Instant)],
    );
    contact(&row(&layout, values), &layout, &Rules::default())
}

fn kinds(notes: &[Note]) -> Vec<(NoteKind, &str)> {
    notes.iter().map(|note| (note.kind, note.field.as_str())).collect()
}

#[test]
fn an_empty_payment_has_one_note_spec_3() {
    let empty = paid(&[]);
    assert_eq!(empty.email, Err(EmailReason::Missing));
    assert_eq!((empty.amount, empty.currency.as_str()), (None, "PHP"));
    assert_eq!(empty.status, Status::Unknown);
    assert_eq!(kinds(&empty.notes), [(NoteKind::CurrencyAssumed, "currency")]);
    let metadata = serde_json::json!({ "source": "xendit", "source_id": "k1" });
    assert_eq!(serde_json::to_value(&empty.metadata).unwrap(), metadata);
}

#[test]
fn null_words_give_no_note_spec_3() {
    use PaymentField as P;
    let nothing = [
        (P::Currency, "php"),
        (P::CustomerEmail, "n/a"),
        (P::CustomerPhone, "none"),
        (P::CustomerName, "--"),
        (P::Created, "-"),
        (P::PaidAt, " null "),
        (P::SettledAt, "\u{200b}"),
        (P::Updated, ""),
        (P::ExternalId, "undefined"),
        (P::Description, "."),
    ];
    let fact = paid(&nothing);
    assert_eq!(kinds(&fact.notes), []);
    assert_eq!((fact.external_id, fact.description, fact.created_at), (None, None, None));
}

#[test]
fn notes_name_the_field_spec_6() {
    use PaymentField as P;
    let odd = [
        (P::CustomerEmail, "ana\u{200b}@example.com"),
        (P::CustomerName, "ANA PEÃ‘A"),
        (P::CustomerPhone, "123"),
        (P::Created, "6/5/2025"),
        (P::Updated, "2025-06-30 12:02 PST"),
        (P::PaidAt, "soon"),
        (P::SettledAt, "45838"),
        (P::PayoutAt, "never"),
        (P::AdjustedAt, "never"),
        (P::Amount, "NaN"),
    ];
    let fact = paid(&odd);
    let expected = [
        (NoteKind::Mojibake, "customer_name"),
        (NoteKind::InvisibleCharacter, "customer_email"),
        (NoteKind::InvalidPhone, "customer_phone"),
        (NoteKind::DateOnly, "created"),
        (NoteKind::AmbiguousDate, "created"),
        (NoteKind::TimezoneAbbreviation, "updated"),
        (NoteKind::UnparsableTimestamp, "paid_at"),
        (NoteKind::SpreadsheetDate, "settled_at"),
        (NoteKind::CurrencyAssumed, "currency"),
    ];
    assert_eq!(kinds(&fact.notes), expected);
    assert_eq!(
        (fact.first_name.as_deref(), fact.last_name.as_deref()),
        (Some("Ana"), Some("Peña"))
    );
    assert_eq!(fact.amount, None);
}

#[test]
fn metadata_of_a_payment_spec_5_2() {
    use PaymentField as P;
    let check = |field: P, raw: &str, expected: Option<&str>| {
        let metadata = paid(&[(field, raw)]).metadata;
        let found = metadata.get(field.name());
        assert_eq!(found, expected, "{raw}");
    };
    check(P::PaymentChannel, "PH_GCASH", Some("GCASH"));
    check(P::PaymentChannel, " ph_gcash ", Some("GCASH"));
    check(P::PaymentChannel, "ID_PH_DANA", Some("PH_DANA"));
    check(P::PaymentChannel, "GCASH", Some("GCASH"));
    check(P::PaymentChannel, "7E_ELEVEN", Some("7E_ELEVEN"));
    check(P::PaymentChannel, "EWALLET_GCASH", Some("EWALLET_GCASH"));
    check(P::PaidAmount, "1500.50", Some("1500.50"));
    // What cannot be read is evidence still.
    check(P::PaidAmount, "NaN", Some("NaN"));
    check(P::CustomerName, " ANA  CRUZ ", Some(" ANA  CRUZ "));
    check(P::Bank, "", Some(""));
    check(P::PayoutAt, "soon", Some("soon"));
    check(P::SyncTimestamp, "2025-06-30 12:02:24+08", None);
}

#[test]
fn evidence_is_the_raw_row_by_column_name_spec_3() {
    use PaymentField as P;
    let values = [(P::Status, " Paid "), (P::Bank, ""), (P::SyncTimestamp, "2025-06-30")];
    let json = serde_json::to_string(&paid(&values).raw).unwrap();
    assert_eq!(json, r#"{"bank":"","id":"k1","status":" Paid "}"#);
    // What else the column of the synchronisation means is evidence.
    let columns = ["id", "at"].map(|name| Column { name: name.into(), kind: ColumnKind::Text });
    let row = RawRow { values: vec![Some("k1".into()), Some("2025-06-30".into())] };
    let raw = |key: Vec<usize>, fields| {
        let columns = Columns::new(columns.to_vec(), key);
        let feed = feed("xendit", FeedKind::Payment);
        let layout = Layout::new(feed, columns, fields, FieldRules::default());
        serde_json::to_string(&payment(&row, &layout, &Rules::default()).raw).unwrap()
    };
    let sync = (P::SyncTimestamp, vec![Source::Column(1)]);
    assert_eq!(raw(vec![0], vec![sync.clone()]), r#"{"id":"k1"}"#);
    let all = r#"{"at":"2025-06-30","id":"k1"}"#;
    assert_eq!(raw(vec![0, 1], vec![sync.clone()]), all);
    assert_eq!(raw(vec![0], vec![sync, (P::Created, vec![Source::Column(1)])]), all);
    assert_eq!(raw(vec![0], vec![]), all);
}

#[test]
fn every_field_has_its_index() {
    fn check<F: LogicalField + std::fmt::Debug>() {
        for (index, (field, name)) in F::NAMES.iter().enumerate() {
            assert_eq!((field.index(), field.name(), F::parse(name)), (index, *name, Some(*field)));
        }
    }
    check::<PaymentField>();
    check::<ContactField>();
}

#[test]
fn fields_of_a_payment_spec_5_2() {
    use PaymentField as P;
    let fact = paid(&[
        (P::PaymentMethod, " credit_card "),
        (P::FailureReason, "n/a"),
        (P::FailureCode, " INSUFFICIENT  BALANCE "),
        (P::Fees, "Infinity"),
        (P::Amount, "-1500.00"),
        (P::Currency, "usd"),
        (P::Status, "Partially-Refunded"),
        (P::SyncTimestamp, "2025-06-30 12:02:24+08"),
        (P::Description, "Payment for P2P &  more"),
    ]);
    assert_eq!(fact.payment_method.as_deref(), Some("CREDIT_CARD"));
    assert_eq!(fact.failure_reason.as_deref(), Some("INSUFFICIENT BALANCE"));
    assert_eq!((fact.fee, fact.amount.unwrap().to_string()), (None, "-1500.00".to_owned()));
    assert_eq!((fact.currency.as_str(), fact.status), ("USD", Status::PartiallyRefunded));
    assert_eq!(fact.synced_at.unwrap().to_string(), "2025-06-30T04:02:24Z");
    assert_eq!(fact.description.as_deref(), Some("Payment for P2P & more"));
    assert_eq!(fact.products, ["p2p"]);
    assert_eq!(fact.notes, []);
}

#[test]
fn the_timezone_column_is_for_local_times_only_spec_3_7() {
    use PaymentField as P;
    let check = |zone: &str, raw: &str, expected: &str, notes: &[NoteKind]| {
        let fact = paid(&[(P::Currency, "PHP"), (P::TimeZone, zone), (P::PaidAt, raw)]);
        assert_eq!(fact.paid_at.unwrap().to_string(), expected, "{raw} in {zone}");
        let found: Vec<NoteKind> = fact.notes.iter().map(|note| note.kind).collect();
        assert_eq!(found, notes, "{raw} in {zone}");
    };
    check("+0000 UTC", "2025-06-30 12:02", "2025-06-30T12:02:00Z", &[]);
    check(
        "+0000 UTC",
        "2025-06-30 12:02 PST",
        "2025-06-30T04:02:00Z",
        &[NoteKind::TimezoneAbbreviation],
    );
    check("+0000 UTC", "2025-06-30T12:02+09", "2025-06-30T03:02:00Z", &[]);
    check("Asia/Tokyo", "6/5/2025 1:00 PM", "2025-06-05T04:00:00Z", &[NoteKind::AmbiguousDate]);
    check(
        "Asia/Tokyo",
        "6/5/2025",
        "2025-06-04T15:00:00Z",
        &[NoteKind::DateOnly, NoteKind::AmbiguousDate],
    );
    check("Asia/Tokyo", "45838", "2025-06-29T16:00:00Z", &[NoteKind::SpreadsheetDate]);
    check(
        "nowhere",
        "6/5/2025 1:00 PM",
        "2025-06-05T05:00:00Z",
        &[NoteKind::TimezoneAssumed, NoteKind::AmbiguousDate],
    );
    check("nowhere", "2025-06-30", "2025-06-29T16:00:00Z", &[NoteKind::DateOnly]);
}

#[test]
fn a_contact_row_spec_3() {
    use ContactField as C;
    let fact = known(&[
        (C::Email, "Ana <ANA@Example.com>"),
        (C::FirstName, "ANA"),
        (C::LastName, "dela cruz"),
        (C::Phone, "0917 123 4567"),
        (C::Tags, "vip , paidp2p"),
        (C::ContactId, " 77 "),
        (C::CreatedAt, "2025-06-30 12:02:24.5+08"),
        (C::UpdatedAt, "1999-06-30 12:02:24+08"),
        (C::SyncTimestamp, "2025-07-01 00:00:00+00"),
    ]);
    assert_eq!(fact.email.map(|key| key.to_string()), Ok("ana@example.com".to_owned()));
    assert_eq!(fact.first_name.as_deref(), Some("Ana"));
    assert_eq!(fact.last_name.as_deref(), Some("Dela Cruz"));
    assert_eq!(fact.phone.as_deref(), Some("+639171234567"));
    assert_eq!(
        (fact.tags, fact.tags_text.as_deref()),
        (vec!["PaidP2P".into(), "vip".into()], Some("vip , paidp2p"))
    );
    assert_eq!(fact.contact_id.as_deref(), Some("77"));
    // An instant column is taken as it is, whatever its year.
    assert_eq!(fact.updated_at.unwrap().to_string(), "1999-06-30T04:02:24Z");
    assert_eq!((fact.synced_at, fact.notes), (None, vec![]));
}

#[test]
fn tags_that_are_a_list_of_no_known_form_are_noted_spec_3_6() {
    use ContactField as C;
    let fact = known(&[(C::Tags, "[vip, gold]")]);
    assert_eq!(fact.tags, Vec::<String>::new());
    assert_eq!(fact.tags_text.as_deref(), Some("[vip, gold]"));
    assert_eq!(kinds(&fact.notes), [(NoteKind::UnreadableTags, "tags")]);
    for readable in ["[]", "{}", "n/a", "['vip']", "{vip}"] {
        assert_eq!(kinds(&known(&[(C::Tags, readable)]).notes), [], "{readable}");
    }
    let of_kind = |kind, text| {
        let layout = layout(feed("systemeio", FeedKind::Contact), &[(C::Tags, kind)]);
        contact(&row(&layout, &[(C::Tags, text)]), &layout, &Rules::default())
    };
    assert_eq!(of_kind(TextArray, "{\"a, b\",c}").tags, ["a, b", "c"]);
    assert_eq!(of_kind(Json, "[\"a, b\", {\"name\": \"c\"}]").tags, ["a, b", "c"]);
    assert_eq!(kinds(&of_kind(Json, "3").notes), [(NoteKind::UnreadableTags, "tags")]);
}

#[test]
fn the_first_usable_column_wins_spec_1() {
    let names = ["Email", "Date Registered", "Customer Email"];
    let columns = names.map(|name| Column {
        name: name.to_owned(),
        kind: if name == "Date Registered" { Instant } else { ColumnKind::Text },
    });
    let fields = vec![
        (ContactField::Email, vec![Source::Column(2), Source::Column(0)]),
        (ContactField::CreatedAt, vec![Source::Column(1)]),
    ];
    let columns = Columns::new(columns.to_vec(), vec![0, 1]);
    let feed = feed("systemeio", FeedKind::Contact);
    let layout = Layout::new(feed, columns, fields, FieldRules::default());
    let check = |values: [Option<&str>; 3], expected: Result<&str, EmailReason>| {
        let row = RawRow { values: values.map(|v| v.map(str::to_owned)).to_vec() };
        let fact = contact(&row, &layout, &Rules::default());
        assert_eq!(fact.email.as_ref().map(EmailKey::as_str).map_err(|reason| *reason), expected);
        fact
    };
    let at = Some("2025-06-30 12:02:24+08");
    let fact = check([Some("Ana@Example.com"), at, Some("n/a")], Ok("ana@example.com"));
    // The key is the text itself, with instants in UTC.
    assert_eq!(fact.key.as_str(), "Ana@Example.com|2025-06-30T04:02:24Z");
    assert_eq!(fact.raw.get("Email"), Some("Ana@Example.com"));
    check([Some("ana@example.com"), at, Some("not an address")], Ok("ana@example.com"));
    check([Some("ana@example.com"), at, Some("ben@example.com")], Ok("ben@example.com"));
    check([Some("ana@"), at, None], Err(EmailReason::Invalid));
    check([Some("ana"), at, Some("a@x.ph b@x.ph")], Err(EmailReason::Multiple));
    check([None, at, Some(" ")], Err(EmailReason::Missing));
}

/// Values that were stored with other columns must not be taken for those of these.
#[test]
fn a_layout_is_named_by_its_stored_columns() {
    let digest = |columns: &[(&str, ColumnKind)], fields: Vec<(ContactField, Vec<usize>)>| {
        let column =
            |(name, kind): &(&str, ColumnKind)| Column { name: (*name).into(), kind: *kind };
        let columns = Columns::new(columns.iter().map(column).collect(), vec![0]);
        let fields = fields
            .into_iter()
            .map(|(field, at)| (field, at.into_iter().map(Source::Column).collect()));
        let feed = feed("systemeio", FeedKind::Contact);
        Layout::new(feed, columns, fields.collect(), FieldRules::default()).digest
    };
    let text = ColumnKind::Text;
    let columns = [("id", text), ("a", text), ("b", text)];
    let names = |first, last| {
        vec![(ContactField::FirstName, vec![first]), (ContactField::LastName, vec![last])]
    };
    let known = digest(&columns, names(1, 2));
    // Which field a column is for is no matter of what is stored.
    assert_eq!(digest(&columns, names(2, 1)), known);
    assert_ne!(digest(&[("id", text), ("b", text), ("a", text)], names(1, 2)), known);
    assert_ne!(digest(&[("id", text), ("a", ColumnKind::Json), ("b", text)], names(1, 2)), known);
    let sync = vec![(ContactField::FirstName, vec![1]), (ContactField::SyncTimestamp, vec![2])];
    assert_ne!(digest(&columns, sync), known);
}

#[test]
fn a_key_that_may_be_a_customers_value_is_known_p14() {
    let check = |key: &[usize], fields: Vec<(PaymentField, Vec<Source>)>, expected: bool| {
        let columns =
            ["id", "email", "at"].map(|name| Column { name: name.into(), kind: ColumnKind::Text });
        let columns = Columns::new(columns.to_vec(), key.to_vec());
        let feed = feed("xendit", FeedKind::Payment);
        let layout = Layout::new(feed, columns, fields, FieldRules::default());
        assert_eq!(layout.key_is_a_value(), expected, "{key:?}");
    };
    use PaymentField as P;
    let ids =
        || vec![(P::PaymentId, vec![Source::Column(0)]), (P::ExternalId, vec![Source::Column(0)])];
    let with = |field, sources| {
        let mut all = ids();
        all.push((field, sources));
        all
    };
    check(&[0], ids(), false);
    check(&[0], vec![], false);
    check(&[0], with(P::CustomerEmail, vec![Source::Column(1)]), false);
    check(&[0, 2], with(P::CustomerEmail, vec![Source::Column(1)]), false);
    check(&[0, 1], with(P::CustomerEmail, vec![Source::Column(1)]), true);
    check(&[0, 2], with(P::Created, vec![Source::Column(1), Source::Column(2)]), true);
    check(&[0], with(P::Description, vec![Source::Value("x".into()), Source::Column(0)]), true);
}
