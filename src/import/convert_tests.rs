use super::super::record::Fields;
use super::*;

/// The column as the plan writes it, held against one record.
fn check(column: &str, kind: Kind, record: &str, expected: Result<Option<&str>, &str>) {
    let table: toml::Table = format!("column = {column}").parse().unwrap();
    let mut problems = crate::config::section::Problems::default();
    let value = &table["column"];
    let parsed = super::super::column::column("c", value, "c".into(), &mut problems);
    let column = parsed.unwrap_or_else(|| panic!("{column}: {:?}", problems.reported));
    assert!(problems.reported.is_empty(), "{:?}", problems.reported);
    let view = View::record(Fields::read(record).unwrap());
    let found = super::value(&column, &kind, &view, &Rules::default());
    let found = found.map(|(text, _)| text);
    assert_eq!(
        found.as_ref().map(Option::as_deref).map_err(|r| *r),
        expected,
        "{column:?} of {record}"
    );
}

#[test]
fn values_become_the_columns_type() {
    check("'a'", Kind::Bool, r#"{"a":1}"#, Ok(Some("true")));
    check("'a'", Kind::Bool, r#"{"a":0}"#, Ok(Some("false")));
    check("'a'", Kind::Bool, r#"{"a":1.0}"#, Ok(Some("true")));
    check("'a'", Kind::Bool, r#"{"a":"Yes"}"#, Ok(Some("true")));
    check("'a'", Kind::Bool, r#"{"a":10}"#, Err("not a boolean"));
    check("'a'", Kind::Bool, r#"{"a":"maybe"}"#, Err("not a boolean"));
    check("'a'", Kind::Bool, r#"{"a":""}"#, Ok(None));
    check("'a'", Kind::Integer(32), r#"{"a":"1,200"}"#, Ok(Some("1200")));
    check("'a'", Kind::Integer(16), r#"{"a":40000}"#, Err("too large for the column"));
    check("'a'", Kind::Integer(32), r#"{"a":1.5}"#, Err("not a whole number"));
    check(
        "'a'",
        Kind::Numeric,
        r#"{"a":12345678901234567890.10}"#,
        Ok(Some("12345678901234567890.10")),
    );
    check("'a'", Kind::Numeric, r#"{"a":"₱1,499.50"}"#, Ok(Some("1499.50")));
    check("{ from = 'a', unit = 'minor' }", Kind::Numeric, r#"{"a":149950}"#, Ok(Some("1499.50")));
    check("'a'", Kind::Numeric, r#"{"a":"a lot"}"#, Err("not a number"));
    check("'a'", Kind::Json, r#"{"a":"{\"b\":1}"}"#, Ok(Some(r#"{"b":1}"#)));
    check("'a'", Kind::Json, r#"{"a":"{\"b\":"}"#, Err("broken JSON"));
    check("'a'", Kind::Array, r#"{"a":["x","y \"z"]}"#, Ok(Some(r#"{"x","y \"z"}"#)));
    check("{ from = 'a', split = ';' }", Kind::Array, r#"{"a":"x; y"}"#, Ok(Some(r#"{"x","y"}"#)));
    check("'a'", Kind::Text(Some(3)), r#"{"a":"four"}"#, Err("longer than the column"));
    check(
        "'a'",
        Kind::Text(None),
        r#"{"a":"a\u0000b"}"#,
        Err("holds a character that PostgreSQL does not store"),
    );
    check(
        "'a'",
        Kind::Enum(vec!["open".into()]),
        r#"{"a":"shut"}"#,
        Err("not a value of the column's type"),
    );
    check(
        "'a'",
        Kind::Uuid,
        r#"{"a":"8A1F0000-0000-4000-8000-000000000001"}"#,
        Ok(Some("8a1f0000-0000-4000-8000-000000000001")),
    );
}

#[test]
fn times_are_read_by_spec_3_7() {
    check("'a'", Kind::Instant, r#"{"a":1751256144}"#, Ok(Some("2025-06-30T04:02:24Z")));
    check("'a'", Kind::Instant, r#"{"a":"1751256144000"}"#, Ok(Some("2025-06-30T04:02:24Z")));
    check("'a'", Kind::Instant, r#"{"a":"2025-06-30 12:02"}"#, Ok(Some("2025-06-30T04:02:00Z")));
    check(
        "{ from = 'a', zone = 'UTC' }",
        Kind::Instant,
        r#"{"a":"2025-06-30 12:02"}"#,
        Ok(Some("2025-06-30T12:02:00Z")),
    );
    check("'a'", Kind::Local, r#"{"a":"2025-06-30T04:02:24Z"}"#, Ok(Some("2025-06-30T12:02:24")));
    check("'a'", Kind::Instant, r#"{"a":"soon"}"#, Err("not a timestamp"));
    check("'a'", Kind::Date, r#"{"a":"5/4/1990"}"#, Ok(Some("1990-05-04")));
    check("'a'", Kind::Date, r#"{"a":"1990-05-04T16:00:00.000Z"}"#, Ok(Some("1990-05-05")));
    check("'a'", Kind::Date, r#"{"a":"30 February 2001"}"#, Err("not a date"));
    check(
        "{ from = 'c', when = 'v' }",
        Kind::Instant,
        r#"{"c":1751256144,"v":1}"#,
        Ok(Some("2025-06-30T04:02:24Z")),
    );
    check("{ from = 'c', when = 'v' }", Kind::Instant, r#"{"c":1751256144,"v":0}"#, Ok(None));
}

#[test]
fn texts_are_changed_as_the_plan_says() {
    let text = || Kind::Text(None);
    check("'a'", text(), r#"{"a":" x "}"#, Ok(Some(" x ")));
    check("{ from = 'a', trim = true }", text(), r#"{"a":" x "}"#, Ok(Some("x")));
    check("{ from = ['a', 'b'], trim = true }", text(), r#"{"a":" ","b":"y"}"#, Ok(Some("y")));
    check(
        "{ from = 'a', clean = true, default = 'none' }",
        text(),
        r#"{"a":"N/A"}"#,
        Ok(Some("none")),
    );
    check(
        "{ from = 'a', name = 'last' }",
        text(),
        r#"{"a":"JUAN DELA CRUZ"}"#,
        Ok(Some("Dela Cruz")),
    );
    check("{ join = ['a', 'b'], separator = '-' }", text(), r#"{"a":"x","b":2}"#, Ok(Some("x-2")));
    check(
        "{ from = 'a', map = { p = 'paid', '*' = 'other' } }",
        text(),
        r#"{"a":"q"}"#,
        Ok(Some("other")),
    );
    check(
        "{ from = 'a', map = { p = 'paid' } }",
        text(),
        r#"{"a":"q"}"#,
        Err("not among the texts that the plan maps"),
    );
    check(
        "{ from = 'a', map = { p = 'paid' }, invalid = 'null' }",
        text(),
        r#"{"a":"q"}"#,
        Ok(None),
    );
    check(
        "{ from = 'a', as = 'email' }",
        text(),
        r#"{"a":" Ana@Example.com "}"#,
        Ok(Some("ana@example.com")),
    );
    check("{ value = 'student' }", text(), "{}", Ok(Some("student")));
}

#[test]
fn numbers_keep_every_digit() {
    let check = |kind: Kind, json: &str, expected| {
        check("'a'", kind, &format!("{{\"a\":{json}}}"), expected);
    };
    // Beyond what a float holds, and beyond what a payment is.
    check(Kind::Integer(64), "9007199254740993", Ok(Some("9007199254740993")));
    check(Kind::Integer(64), "\"1541815603606036480\"", Ok(Some("1541815603606036480")));
    check(Kind::Integer(64), "-9223372036854775808", Ok(Some("-9223372036854775808")));
    check(Kind::Integer(64), "9223372036854775808", Err("too large for the column"));
    check(Kind::Integer(64), &"9".repeat(60), Err("too large for the column"));
    check(Kind::Integer(32), "-0", Ok(Some("0")));
    check(Kind::Integer(32), "1e3", Ok(Some("1000")));
    check(Kind::Integer(32), "1.0", Ok(Some("1")));
    check(Kind::Integer(32), "1e-3", Err("not a whole number"));
    check(Kind::Integer(32), "1e99", Err("too large for the column"));
    check(
        Kind::Numeric,
        "\"12345678901234567.8901234567891\"",
        Ok(Some("12345678901234567.8901234567891")),
    );
    check(Kind::Numeric, "-1.5E+3", Ok(Some("-1.5E+3")));
    check(Kind::Float, "1e308", Ok(Some("1e308")));
    check(Kind::Float, "\"NaN\"", Err("not a number"));
    check(Kind::Float, "\"Infinity\"", Err("not a number"));
    check(
        Kind::Array,
        "[12345678901234567890123,-0,1e2,null]",
        Ok(Some(r#"{"12345678901234567890123","-0","1e2",NULL}"#)),
    );
    check(
        Kind::Json,
        r#"{"b":12345678901234567890123}"#,
        Ok(Some(r#"{"b":12345678901234567890123}"#)),
    );
}

#[test]
fn other_countries_write_commas_and_points() {
    let comma = "{ from = 'a', decimal = ',' }";
    check(comma, Kind::Numeric, r#"{"a":"1.234,50"}"#, Ok(Some("1234.50")));
    check(comma, Kind::Numeric, r#"{"a":"-0,5"}"#, Ok(Some("-0.5")));
    check(comma, Kind::Numeric, r#"{"a":"1.234"}"#, Ok(Some("1234")));
    check(comma, Kind::Integer(32), r#"{"a":"1 234,0"}"#, Ok(Some("1234")));
    check(comma, Kind::Numeric, r#"{"a":"1,2,3"}"#, Err("not a number"));
    // A number of JSON has its point before the fraction, whatever is done to texts.
    check(comma, Kind::Numeric, r#"{"a":1.5}"#, Ok(Some("1.5")));
    check(comma, Kind::Integer(32), r#"{"a":12.0}"#, Ok(Some("12")));
    let trimmed = "{ from = 'a', decimal = ',', trim = true }";
    check(trimmed, Kind::Numeric, r#"{"a":1.5}"#, Ok(Some("1.5")));
    check(trimmed, Kind::Numeric, r#"{"a":" 1,5 "}"#, Ok(Some("1.5")));
    check("'a'", Kind::Numeric, r#"{"a":"1.234,50"}"#, Err("not a number"));
    check("'a'", Kind::Date, r#"{"a":"7.3.2024"}"#, Ok(Some("2024-03-07")));
    check("'a'", Kind::Date, r#"{"a":"31.12.1999"}"#, Ok(Some("1999-12-31")));
    check("'a'", Kind::Date, r#"{"a":"31.13.2024"}"#, Err("not a date"));
    check("'a'", Kind::Instant, r#"{"a":"07.03.2024 08:30"}"#, Ok(Some("2024-03-07T00:30:00Z")));
}

#[test]
fn the_character_0_is_found_wherever_it_hides() {
    let nul = "holds a character that PostgreSQL does not store";
    check("'a'", Kind::Json, r#"{"a":{"b":"x\u0000"}}"#, Err(nul));
    check("'a'", Kind::Json, r#"{"a":{"b":"x\\u0000"}}"#, Ok(Some(r#"{"b":"x\\u0000"}"#)));
    check("'a'", Kind::Json, r#"{"a":"{\"b\":\"\\u0000\"}"}"#, Err(nul));
    check("'a'", Kind::Array, r#"{"a":["x","\u0000"]}"#, Err(nul));
    check("'a'", Kind::Uuid, r#"{"a":"\u0000x"}"#, Err(nul));
}
