//! SPEC §3.6, form by form.

use proptest::prelude::*;

use super::*;
use crate::rules::Rules;

fn check_of(kind: ColumnKind, raw: &str, expected: Option<&[&str]>) {
    let found = tags(raw, kind, &Rules::default().known_tags);
    assert_eq!(found.tags, expected.unwrap_or_default(), "{raw}");
    assert_eq!(found.unreadable, expected.is_none(), "{raw}");
}

fn check(raw: &str, expected: &[&str]) {
    check_of(ColumnKind::Text, raw, Some(expected));
}

#[test]
fn comma_separated_tags() {
    check("paidp2p, VIP", &["PaidP2P", "VIP"]);
    check("VIP,vip, Vip", &["VIP"]);
    check("PaidP2P2, xPaidP2P", &["PaidP2P2", "xPaidP2P"]);
    check("b, A, _c, Z", &["_c", "A", "b", "Z"]);
    check(" \u{feff}VIP\u{200b} ,, n/a, null,-", &["VIP"]);
    check("Gold  member,gold\tMember", &["Gold member"]);
    check("", &[]);
    check("n/a", &[]);
    check("ÉCOLE,école", &["ÉCOLE"]);
    check("é, z, É, a", &["a", "z", "é"]);
    check("VIP, [a], {b}", &["[a]", "VIP", "{b}"]);
    check("VIP; gold", &["VIP; gold"]);
    check("'a', 'b'", &["'a'", "'b'"]);
}

#[test]
fn json_arrays() {
    check("[]", &[]);
    check(r#"["vip", "CANVA", "vip"]"#, &["Canva", "vip"]);
    check(
        r#"[{"id": 1, "name": "imported"}, "New", 3, null, ["x"], {"name": 4}]"#,
        &["Imported", "New"],
    );
    check(r#" ["Gold, silver"] "#, &["Gold, silver"]);
    check(r#"[1e999, "big", {"name": "x", "of": -1e999}, {"name": 1e999}]"#, &["big", "x"]);
    check("\u{feff}[\"A\"]", &["A"]);
    check("[\"A\tB\",\n\"C\"]", &["A B", "C"]);
    check(r#"["\u00e9t\u00e9", "a\u200bb"]"#, &["ab", "été"]);
    check("[1, true, null]", &[]);
    check(r#"[{"id": 1}]"#, &[]);
    check(r#"["n/a", "", "x"]"#, &["x"]);
}

#[test]
fn json_strings_that_hold_an_array() {
    check(r#""[\"A\", \"b\"]""#, &["A", "b"]);
    check(r#""[]""#, &[]);
    check(r#"" [{\"name\": \"A\"}] ""#, &["A"]);
    // Any other JSON string is a text like any other.
    check(r#""A, B""#, &["\"A", "B\""]);
    check(r#""A"#, &["\"A"]);
    check(r#""['A']""#, &["\"['A']\""]);
}

#[test]
fn postgres_arrays() {
    check(r#"{a,"b, c"}"#, &["a", "b, c"]);
    check("{}", &[]);
    check("{ a , b c }", &["a", "b c"]);
    check(r#"{NULL,"null",VIP}"#, &["VIP"]);
    check(r#"{"say \"hi\"","back\\slash",a\,b}"#, &["a,b", "back\\slash", "say \"hi\""]);
    check("{{a,b},{c,d}}", &["a", "b", "c", "d"]);
    check("[0:1]={a,b}", &["a", "b"]);
    check("{paidp2p,PAIDP2P}", &["PaidP2P"]);
    check("{name: A}", &["name: A"]);
}

#[test]
fn python_lists() {
    check("['a', 'b, c']", &["a", "b, c"]);
    check(r#"['a', "it's", u'b']"#, &["a", "b", "it's"]);
    check("[{'id': 1, 'name': 'VIP'}, {'id': 2, 'name': 'canva'}]", &["Canva", "VIP"]);
    check("[{'name': 'a', 'active': True, 'of': None, 'x': [1, (2, -3.5e1)]},]", &["a"]);
    check(
        r"['it\'s', 'a\\b', '\u00e9', '\xe9\U0001f600', 'a\nb']",
        &["a b", "a\\b", "it's", "é", "é😀"],
    );
    check("['a', None, 3, {'id': 4}, {}, ['b']]", &["a"]);
    check("[{'name': None, 'name': 'a'}]", &["a"]);
}

#[test]
fn lists_that_fit_no_form() {
    for raw in [
        r#"["\ud800"]"#,
        r#"["A","#,
        r#"{"name": "A"}"#,
        "[A], B",
        "[A, B]",
        "[",
        "{",
        "['a'",
        "['a' 'b']",
        "['a']x",
        "[,]",
        "['\\ud800']",
        "['\\x4']",
        "{a,}",
        "{,a}",
        "{a}b",
        r#"{"a"b}"#,
        "{a{b}}",
        "{a\\",
        "[0:x]={a}",
        "[datetime.date(2025, 1, 1)]",
        "[nan]",
        "[{'a'}]",
        "[{'name' 'a'}]",
        "{'a', 'b': 1",
    ] {
        check_of(ColumnKind::Text, raw, None);
    }
    for deep in ["[".repeat(100_000), "{".repeat(100_000), format!("['a', {}", "(".repeat(100_000))]
    {
        check_of(ColumnKind::Text, &deep, None);
    }
}

#[test]
fn columns_that_are_lists() {
    let array = |raw: &str, expected| check_of(ColumnKind::TextArray, raw, expected);
    array(r#"{a,"b, c",NULL,paidp2p}"#, Some(&["a", "b, c", "PaidP2P"]));
    array(r#"{"[\"x\"]"}"#, Some(&[r#"["x"]"#]));
    // PostgreSQL puts no other white space in quotes than that of ASCII.
    array("{VIP,\u{a0},\u{3000}}", Some(&["VIP"]));
    array("{}", Some(&[]));
    array("[2:3]={b,a}", Some(&["a", "b"]));
    array("a,b", None);
    let json = |raw: &str, expected| check_of(ColumnKind::Json, raw, expected);
    json(r#"["a", {"name": "b"}, 1]"#, Some(&["a", "b"]));
    json(r#""a, b""#, Some(&["a", "b"]));
    json(r#""['a', 'b']""#, Some(&["a", "b"]));
    json(r#""[A]""#, None);
    json("null", Some(&[]));
    json("{}", Some(&[]));
    json(r#"{"name": "a"}"#, None);
    json("3", None);
    json("true", None);
}

/// A PostgreSQL array with every element in quotes.
fn array_of(tags: &[String]) -> String {
    let quoted = |tag: &String| format!("\"{}\"", tag.replace('\\', "\\\\").replace('"', "\\\""));
    format!("{{{}}}", tags.iter().map(quoted).collect::<Vec<_>>().join(","))
}

proptest! {
    #[test]
    fn any_text_gives_stable_tags(raw in any::<String>()) {
        let once = tags(&raw, ColumnKind::Text, &[]).tags;
        let json = serde_json::to_string(&once).unwrap();
        let string = serde_json::to_string(&json).unwrap();
        let array = array_of(&once);
        for again in [json.as_str(), string.as_str(), array.as_str()] {
            prop_assert_eq!(&tags(again, ColumnKind::Text, &[]).tags, &once, "{}", again);
        }
        prop_assert_eq!(&tags(&array, ColumnKind::TextArray, &[]).tags, &once);
        prop_assert_eq!(&tags(&json, ColumnKind::Json, &[]).tags, &once);
    }

    #[test]
    fn near_lists_do_not_panic(raw in "[\\[{\"](u?['\"][a-zA-Zé, \\\\xu0-9]{0,6}['\"]|[a-c]{1,3}|None|name|[0-9.e-]{1,4}|[\\[\\]{}():=,\\\\ ]){0,12}[\\]}\"]?") {
        for kind in [ColumnKind::Text, ColumnKind::TextArray, ColumnKind::Json] {
            let found = tags(&raw, kind, &[]);
            prop_assert!(!found.unreadable || found.tags.is_empty());
        }
    }

    #[test]
    fn merging_agrees_with_lowercase_texts(texts in proptest::collection::vec("[aAbBéÉ]{1,2}", 0..8)) {
        let found = merged(texts.iter().cloned(), &[]);
        let mut expected = BTreeMap::new();
        for text in texts {
            expected.entry(text.to_lowercase()).or_insert(text);
        }
        prop_assert_eq!(found, expected.into_values().collect::<Vec<_>>());
    }
}
