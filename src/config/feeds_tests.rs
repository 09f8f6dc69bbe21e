//! `[feeds.<name>]` as data: a piece of a file and what comes of it (SPEC §1).

use super::tests::{BOTH, URLS, feed, parse};
use super::*;
use crate::facts::{FeedKind, When};

const MORE: &str = include_str!("../../config/more-feeds.toml");

#[test]
fn every_error_names_feed_field_and_the_nearest_name() {
    let check = |text: &str, expected: &str| {
        let message = parse(&format!("{text}\n{URLS}"), &[]).unwrap_err();
        assert!(message.contains(expected), "{text}\ngave: {message}\nnot: {expected}");
    };
    let shop = |rest: &str| format!("[feeds.shop]\nkind = \"payment\"\n{rest}");
    check("[feeds]", "feeds: names no feed");
    check("feeds = 1", "feeds: must be a table: [feeds], not 1");
    check("[feeds]\nshop = 1", "feeds.shop: must be a table: [feeds.shop], not 1");
    check("[feeds.Shop]", "feeds.Shop: the name of a feed is 1 to 32 of a-z, 0-9 and _");
    check(&format!("[feeds.{}]", "a".repeat(33)), "the name of a feed is 1 to 32");
    let many: String = (0..65)
        .map(|n| format!("[feeds.f{n}]\nkind='contact'\nprimary=false\ncolumns={{}}\n"))
        .collect();
    check(&many, "feeds: names 65 feeds; at most 64 can be");
    check("[feeds.shop]\ncolumns = {}", "feeds.shop.kind: is missing; write \"contact\" or");
    check(
        "[feeds.shop]\nkind = \"payments\"\ncolumns = {}",
        "feeds.shop.kind: must be \"contact\" or \"payment\", not \"payments\"; did you mean \"payment\"?",
    );
    check(&shop(""), "feeds.shop.columns: is missing");
    check(
        &shop("columns = {}\ncolums = {}"),
        "feeds.shop.colums: unknown key; did you mean \"columns\"?",
    );
    check(&shop("columns = {}\nrank = -1"), "feeds.shop.rank: must be a whole number");
    check(&shop("columns = {}\nprimary = 1"), "feeds.shop.primary: must be true or false, not 1");
    check(&shop("columns = {}\nkey = [\"a\", \"a\"]"), "feeds.shop.key: names \"a\" twice");
    check(
        &shop("columns = {}\namount_unit = \"minr\""),
        "feeds.shop.amount_unit: must be \"major\" or \"minor\", not \"minr\"; did you mean \"minor\"?",
    );
    check(
        &shop("columns = {}\nstatus_words = { PAYD = [\"x\"] }"),
        "feeds.shop.status_words.PAYD: unknown status; did you mean \"PAID\"?",
    );
    check(
        "[feeds.c]\nkind = \"contact\"\ncolumns = {}\namount_unit = \"minor\"",
        "feeds.c.amount_unit: is for payments",
    );
    check(
        "[feeds.c]\nkind = \"contact\"\ncolumns = { amount = \"a\" }",
        "feeds.c.columns.amount: unknown field",
    );
    let field = |rest: &str| shop(&format!("columns = {{ {rest} }}"));
    check(
        &field("statsu = \"s\""),
        "feeds.shop.columns.statsu: unknown field; did you mean \"status\"?",
    );
    check(&field("status = 1"), "feeds.shop.columns.status: must be a column, a list, {");
    check(&field("status = []"), "feeds.shop.columns.status: names no column");
    check(&field("status = [\"a\", \"a\"]"), "feeds.shop.columns.status: names \"a\" twice");
    check(&field("status = [\"a\", [\"b\"]]"), "feeds.shop.columns.status[1]: must be a column");
    check(
        &field("status = { colum = \"a\" }"),
        "feeds.shop.columns.status.colum: unknown key; did you mean \"column\"?",
    );
    check(
        &field("status = { path = [\"a\"] }"),
        "feeds.shop.columns.status: must be a column, a list",
    );
    check(
        &field("status = { value = \"PAID\", column = \"a\" }"),
        "feeds.shop.columns.status: must be a column, a list",
    );
    check(
        &field("status = { column = \"a\", path = \"b\" }"),
        "feeds.shop.columns.status.path: must be a list",
    );
    check(
        &field("status = { column = \"a\", when = {} }"),
        "feeds.shop.columns.status.when: must be a table of texts",
    );
    check(
        &field("status = { column = \"a\", when = { \"n/a\" = \"x\" } }"),
        "feeds.shop.columns.status.when.\"n/a\": reads as no value at all",
    );
    check(
        &field("status = [{ value = \"PAID\" }, \"status\"]"),
        "feeds.shop.columns.status[1]: is never asked: the constant before it is always there",
    );
    let skip = |rest: &str| shop(&format!("columns = {{ status = \"s\" }}\nskip = [{{ {rest} }}]"));
    check(&shop("columns = {}\nskip = \"test\""), "feeds.shop.skip: must be a list of { column");
    check(&skip("equals = [\"x\"]"), "feeds.shop.skip[0]: must name either a field or a column");
    check(&skip("column = \"t\""), "feeds.shop.skip[0].equals: is missing");
    check(
        &skip("field = \"statsu\", equals = [\"x\"]"),
        "feeds.shop.skip[0].field: \"statsu\" is no field; did you mean \"status\"?",
    );
    check(
        &skip("field = \"bank\", equals = [\"x\"]"),
        "feeds.shop.skip[0].field: \"bank\" has no source in columns",
    );
    check(
        "[rules.exclude]\nemail = []",
        "rules.exclude.email: unknown key; did you mean \"emails\"?",
    );
    check("[rules.exclude]\nemails = [\"*\"]", "rules.exclude.emails: \"*\" matches every address");
    check(
        "[feeds.a]\nkind='contact'\ncolumns={}\ntable='t'\n[feeds.b]\nkind='contact'\nprimary=true\ncolumns={}\ntable='public.t'",
        "feeds.b.table: is the table of a too: public.t",
    );
}

#[test]
fn at_most_one_feed_of_each_kind_is_the_primary_one() {
    let check = |feeds: &[(&str, &str)], expected: Result<&[&str], &str>| {
        let text: String = feeds
            .iter()
            .map(|(name, more)| {
                format!("[feeds.{name}]\nkind = \"payment\"\ncolumns = {{}}\n{more}\n")
            })
            .collect();
        let found = parse(&format!("{URLS}\n{text}"), &[]).map(|config| {
            let primary = config.source.feeds.into_iter().filter(|feed| feed.primary);
            primary.map(|feed| feed.name).collect::<Vec<String>>()
        });
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{feeds:?}"),
            (Err(message), Err(part)) => assert!(message.contains(part), "{feeds:?}: {message}"),
            (found, _) => panic!("{feeds:?}: {found:?}"),
        }
    };
    check(&[("a", "")], Ok(&["a"]));
    check(&[("a", "primary = false")], Ok(&[]));
    check(&[("a", ""), ("xendit", "")], Ok(&["xendit"]));
    check(&[("a", "primary = true"), ("xendit", "")], Ok(&["a"]));
    check(&[("a", ""), ("xendit", "primary = false")], Ok(&[]));
    check(&[("a", ""), ("b", "")], Err("feeds: which feed of payments is the primary one?"));
    check(&[("a", ""), ("b", "primary = true")], Ok(&["b"]));
    check(&[("a", "primary = false"), ("b", "primary = false")], Ok(&[]));
    check(
        &[("a", "primary = true"), ("b", "primary = true")],
        Err("feeds.b.primary: is true, and that of a is too"),
    );
    // That xendit is its name does not make a feed of contacts one of payments.
    let text = "[feeds.xendit]\nkind = 'contact'\ncolumns = {}\n[feeds.other]\nkind = 'contact'\ncolumns = {}";
    assert!(parse(&format!("{URLS}\n{text}"), &[]).unwrap_err().contains("which feed of contacts"));
}

#[test]
fn more_feeds_are_read_as_they_are_written() {
    let config = parse(MORE, &BOTH).unwrap();
    let names: Vec<&str> = config.source.feeds.iter().map(|feed| feed.name.as_str()).collect();
    let expected = [
        "ebook_contacts",
        "purchase_leads",
        "shopify_orders",
        "stripe_charges",
        "systemeio",
        "xendit",
    ];
    assert_eq!(names, expected);
    let primary: Vec<&str> =
        config.source.feeds.iter().filter(|f| f.primary).map(|f| f.name.as_str()).collect();
    assert_eq!(primary, ["systemeio", "xendit"]);
    let stripe = feed(&config, "stripe_charges");
    assert_eq!((stripe.provider.as_str(), stripe.rank), ("stripe", 100));
    assert_eq!((stripe.amount_unit, stripe.fields.kind()), (AmountUnit::Minor, FeedKind::Payment));
    let source = |feed: &FeedConfig, field: &str, at: usize| {
        let named = feed.fields.named();
        named.iter().find(|(name, _)| *name == field).unwrap().1[at].clone()
    };
    let refunded = When { texts: vec![("true".into(), "refunded".into())], any: None };
    let expected =
        FieldSource::Derived { column: "refunded".into(), path: None, when: Some(refunded) };
    assert_eq!(source(stripe, "status", 0), expected);
    assert_eq!(source(stripe, "payment_method", 0), FieldSource::Value("CARD".into()));
    let shopify = feed(&config, "shopify_orders");
    let path = Some(vec!["*".to_owned(), "title".to_owned()]);
    let expected = FieldSource::Derived { column: "line_items".into(), path, when: None };
    assert_eq!(source(shopify, "description", 0), expected);
    let of = SkippedBy::Column { column: "test".into(), path: None };
    assert_eq!(shopify.skip, [SkipRule { of, equals: vec!["true".into()] }]);
    assert_eq!(shopify.status_words.get("authorized"), Some(&Status::Pending));
    assert!(shopify.columns().contains(&"test"));
    assert_eq!(config.rules.exclude.len(), 2);
    // What is shown is read as the same.
    let again = parse(&config.to_toml().replace("***", "x"), &[]).unwrap();
    assert_eq!(format!("{:?}", again.source.feeds), format!("{:?}", config.source.feeds));
    assert_eq!(again.rules_hash(), config.rules_hash());
}

/// What the shipped files were in the previous format.
fn previous(text: &str) -> String {
    let text = text.replace("kind = \"payment\"\n", "").replace("kind = \"contact\"\n", "");
    text.replace("[feeds.", "[source.")
}

#[test]
fn the_previous_format_is_refused_with_the_new_text() {
    let legacy = include_str!("../../config/legacy-csv.toml");
    let old = previous(legacy);
    let message = parse(&old, &BOTH).unwrap_err();
    assert!(message.contains("`tributary config upgrade`"), "{message}");
    let (_, paste) = message.split_once("\n\n").unwrap();
    let pasted = parse(&format!("{paste}\n{URLS}"), &[]).unwrap();
    let now = parse(legacy, &BOTH).unwrap();
    assert_eq!(format!("{:?}", pasted.source.feeds), format!("{:?}", now.source.feeds));
    // And written with its comments.
    let upgraded = upgraded(&old).unwrap();
    assert_eq!(upgraded, legacy);
    assert_eq!(super::upgraded(legacy), None);
    assert_eq!(super::upgraded("nonsense ="), None);
}

#[test]
fn any_way_of_writing_the_previous_format_is_brought_up_to_date() {
    let check = |old: &str, contains: &[&str]| {
        let new = upgraded(old).unwrap();
        let config = parse(&format!("{new}\n[target]\nurl = \"host=/run/t user=u\""), &[]).unwrap();
        assert_eq!(config.source.feeds.len(), 2, "{new}");
        assert_eq!(feed(&config, "xendit").table.name, "payments", "{new}");
        assert_eq!(feed(&config, "systemeio").table.name, "systemeio", "{new}");
        for part in contains {
            assert!(new.contains(part), "{new}");
        }
    };
    let url = "url = \"host=/run/s user=u\"";
    check(&format!("[source]\n{url} # here\n\n[source.xendit]\ntable = \"payments\""), &["# here"]);
    check(
        &format!(
            "[source]\n{url}\n[source.xendit]\ntable = \"payments\"\n[source.xendit.columns]\nstatus = \"Status\" # theirs"
        ),
        &["[feeds.xendit.columns]\nstatus = \"Status\" # theirs", "[feeds.systemeio]"],
    );
    check(
        &format!("[source]\n{url}\nxendit = {{ table = \"payments\" }}"),
        &["kind = \"payment\""],
    );
    check(&format!("source.{url}\nsource.xendit.table = \"payments\""), &["kind = \"payment\""]);
}
