//! Columns and types as data.

use super::*;
use crate::config::Config;
use crate::facts::FeedKind;

fn existing() -> Vec<Column> {
    let column = |(name, base): (&str, &str)| Column { name: name.into(), kind: kind(base) };
    [("id", "uuid"), ("amount", "numeric"), ("Customer Email", "text"), ("Email", "text")]
        .map(column)
        .to_vec()
}

/// The only feed of a configuration with these lines in its table.
fn feed(lines: &str) -> FeedConfig {
    let text = format!(
        "[source]\nurl = \"host=/run/s user=u\"\n[target]\nurl = \"host=/run/t user=u\"\n\
         [feeds.xendit]\nkind = \"payment\"\n{lines}"
    );
    Config::parse(&text, &|_| None).unwrap().source.feeds.remove(0)
}

fn info() -> Arc<FeedInfo> {
    Arc::new(FeedInfo {
        feed: crate::facts::Feed::new(2),
        name: "xendit".into(),
        kind: FeedKind::Payment,
        primary: true,
        provider: "xendit".into(),
        rank: 100,
    })
}

#[test]
fn numbers_each_column_once_key_first_spec_1() {
    use crate::facts::PaymentField::{Amount, CustomerEmail, Status};
    let feed = feed(
        "key = [\"Email\"]\ncolumns = { amount = \"amount\", customer_email = [\"Customer Email\", \"Email\"] }",
    );
    let layout = assemble(&feed, &info(), &existing()).unwrap();
    let FeedLayout::Payment(layout) = layout else { panic!("{layout:?}") };
    let names: Vec<_> = layout.columns.list.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["Email", "amount", "Customer Email"]);
    assert_eq!(layout.columns.key, [0]);
    assert_eq!(layout.of(CustomerEmail), [Source::Column(2), Source::Column(0)]);
    assert_eq!(layout.of(Status), []);
    assert_eq!(layout.of(Amount), [Source::Column(1)]);
    assert_eq!(layout.columns.list[1].kind, ColumnKind::Numeric);
}

#[test]
fn types_are_read_as_what_they_are_spec_1() {
    for (base_type, expected) in [
        ("text", ColumnKind::Text),
        ("uuid", ColumnKind::Text),
        ("int8", ColumnKind::Numeric),
        ("timestamptz", ColumnKind::Instant),
        ("timestamp", ColumnKind::Text),
        ("_text", ColumnKind::TextArray),
        ("_varchar", ColumnKind::TextArray),
        ("_int4", ColumnKind::Text),
        ("json", ColumnKind::Json),
        ("jsonb", ColumnKind::Json),
        ("bool", ColumnKind::Boolean),
    ] {
        assert_eq!(kind(base_type), expected, "{base_type}");
    }
}

#[test]
fn a_missing_column_names_the_nearest_and_who_wants_it_spec_1() {
    let check = |lines: &str, expected: &str| {
        let error = assemble(&feed(lines), &info(), &existing()).unwrap_err();
        assert!(matches!(error, Error::Config(_)));
        assert_eq!(error.to_string(), expected);
    };
    check(
        "columns = { customer_email = \"emial\" }",
        "the source table public.xendit has no column emial; the nearest is Email (feeds.xendit.columns.customer_email)",
    );
    check(
        "columns = { customer_email = \"customer email\" }",
        "the source table public.xendit has no column customer email; the nearest is Customer Email (feeds.xendit.columns.customer_email)",
    );
    check(
        "key = [\"idd\"]\ncolumns = {}",
        "the source table public.xendit has no column idd; the nearest is id (feeds.xendit.key)",
    );
    check(
        "skip = [{ column = \"test\", equals = [\"true\"] }]\ncolumns = {}",
        "the source table public.xendit has no column test; the nearest is id (feeds.xendit.skip)",
    );
}

#[test]
fn a_type_that_a_field_cannot_be_read_from_is_refused_spec_1() {
    let check = |field: &str, (base, kind_of, category): (&str, &str, &str), refused: bool| {
        let feed = feed(&format!("columns = {{ {field} }}"));
        let column = Column { name: "c".into(), kind: kind(base) };
        let class = (kind_of.to_owned(), category.to_owned());
        let known = Existing { column, base_type: base.into(), class, generated: false };
        let found = refuse_types(&feed, &[known]);
        assert_eq!(found.is_err(), refused, "{field} {base}: {found:?}");
        if let Err(error) = found {
            let text = error.to_string();
            let named = field.split(' ').next().unwrap();
            let path = format!("(feeds.xendit.columns.{named})");
            assert!(text.contains("column c of the source table public.xendit"), "{text}");
            assert!(text.contains(base) && text.ends_with(&path), "{text}");
        }
    };
    let (text, bytea) = (("text", "b", "S"), ("bytea", "b", "U"));
    let (money, number, flag) = (("money", "b", "N"), ("int8", "b", "N"), ("bool", "b", "B"));
    let (jsonb, texts) = (("jsonb", "b", "U"), ("_text", "b", "A"));
    let (record, hstore) = (("address", "c", "C"), ("hstore", "b", "U"));
    for class in [bytea, record, hstore, ("int4range", "r", "R"), ("point", "b", "G")] {
        check("bank = \"c\"", class, true);
        check("customer_email = \"c\"", class, true);
        check("status = { column = \"c\", when = { \"*\" = \"paid\" } }", class, true);
    }
    for class in [text, number, jsonb, ("varchar", "b", "S"), ("my_enum", "e", "E")] {
        check("amount = \"c\"", class, false);
    }
    for class in [money, flag, texts, ("timestamptz", "b", "D"), ("uuid", "b", "U")] {
        check("amount = \"c\"", class, true);
    }
    check("bank = \"c\"", money, false);
    for class in [text, number, jsonb, ("timestamptz", "b", "D"), ("date", "b", "D")] {
        check("paid_at = \"c\"", class, false);
    }
    for class in [money_time(), flag, texts, ("time", "b", "D"), ("interval", "b", "T")] {
        check("paid_at = \"c\"", class, true);
    }
    for class in [text, number, jsonb, texts, flag, ("uuid", "b", "U"), ("inet", "b", "I")] {
        check("description = \"c\"", class, false);
    }
    check("description = \"c\"", ("_int4", "b", "A"), true);
    check("bank = \"c\"", ("_int4", "b", "A"), false);
    check("customer_email = { column = \"c\", path = [\"a\"] }", jsonb, false);
    check("customer_email = { column = \"c\", path = [\"a\"] }", text, false);
    check("customer_email = { column = \"c\", path = [\"a\"] }", number, true);
    check("status = { column = \"c\", when = { \"*\" = \"paid\" } }", ("time", "b", "D"), false);
}

/// PostgreSQL counts money among the numbers, but a time is no money.
fn money_time() -> (&'static str, &'static str, &'static str) {
    ("money", "b", "N")
}
