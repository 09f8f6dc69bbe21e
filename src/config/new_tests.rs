//! Tables as data.

use super::*;

fn table(name: &str, key: &[&str], columns: &[(&str, &str)]) -> FoundTable {
    let (schema, name) = name.split_once('.').unwrap_or(("public", name));
    FoundTable {
        table: TableName { schema: schema.into(), name: name.into() },
        columns: columns.iter().map(|(name, base)| ((*name).into(), (*base).into())).collect(),
        key: key.iter().map(|name| (*name).into()).collect(),
    }
}

fn charges(name: &str, amount: &str) -> FoundTable {
    let columns = [
        ("id", "text"),
        ("amount", amount),
        ("currency", "text"),
        ("status", "text"),
        ("refunded", "bool"),
        ("created", "int8"),
        ("receipt_email", "text"),
        ("billing_details", "jsonb"),
        ("description", "text"),
        ("metadata", "jsonb"),
        ("secret", "bytea"),
    ];
    table(name, &["id"], &columns)
}

fn leads(name: &str, key: &[&str]) -> FoundTable {
    let text = |name| (name, "text");
    let names = ["id", "email", "first_name", "last_name", "phone", "created_at"];
    table(name, key, &names.map(text))
}

/// The text and what it configures.
fn made(tables: &[FoundTable]) -> (String, Config) {
    let text = new_config(tables).unwrap();
    let env = |name: &str| name.ends_with("_URL").then(|| "host=/x user=x".to_owned());
    let env = |name: &str| if name.starts_with("TRIBUTARY") { None } else { env(name) };
    let config = Config::parse(&text, &env).unwrap_or_else(|error| panic!("{error}\n{text}"));
    (text, config)
}

fn names(config: &Config) -> Vec<(&str, bool)> {
    config.source.feeds.iter().map(|feed| (feed.name.as_str(), feed.primary)).collect()
}

#[test]
fn the_forms_are_those_that_are_shipped() {
    for form in forms().unwrap() {
        let columns = form.columns();
        let types = columns.iter().map(|column| {
            let of = form.fields.named();
            let mut sources = of.iter().flat_map(|(_, sources)| *sources);
            let is_json = sources.any(|source| {
                source.column() == Some(column)
                    && matches!(source, FieldSource::Derived { path: Some(_), .. })
            });
            (
                *column,
                if is_json {
                    "jsonb"
                } else if *column == "amount" {
                    "int8"
                } else {
                    "text"
                },
            )
        });
        let key: Vec<&str> = form.key.iter().map(String::as_str).collect();
        let found = table(&form.table.name, &key, &types.collect::<Vec<_>>());
        let (text, config) = made(&[found]);
        let feed = &config.source.feeds[0];
        assert!(!text.contains("NOT SURE: m") && !text.contains("columns of this form"), "{text}");
        assert_eq!(feed.fields, form.fields, "{text}");
        assert_eq!(
            (&feed.name, &feed.provider, &feed.key),
            (&form.name, &form.provider, &form.key)
        );
        assert_eq!((&feed.skip, &feed.status_words), (&form.skip, &form.status_words));
        assert_eq!(
            (feed.amount_unit, feed.rank, &feed.table),
            (form.amount_unit, form.rank, &form.table)
        );
    }
}

#[test]
fn what_is_not_sure_is_marked() {
    let check = |found: FoundTable, expected: &str| {
        let (text, _) = made(&[found]);
        assert!(text.contains(&format!("# NOT SURE: {expected}")), "{expected}\n{text}");
    };
    check(charges("stripe_charges", "numeric"), "the amounts are no whole numbers");
    check(charges("raw.payments", "int8"), "it has the columns of stripe_charges");
    check(charges("stripe_charges", "int8"), "primary for ever");
    check(leads("purchase_leads", &[]), "the table has no primary key");
    check(leads("purchase_leads", &["email"]), "the key is that of the table");
    let mut without = charges("stripe_charges", "int8");
    without.columns.retain(|(name, _)| name != "receipt_email");
    check(without, "columns of this form that the table has not: receipt_email");
    check(table("x", &["id"], &[("id", "int4")]), "no table looks like a feed");
}

#[test]
fn a_table_like_many_others_is_not_read_unless_asked_for() {
    let (text, config) = made(&[charges("stripe_charges", "int8"), leads("users", &["id"])]);
    assert_eq!(names(&config), [("stripe_charges", true)]);
    for line in [
        "# NOT SURE: many tables have such columns: is this one like purchase_leads?",
        "# [feeds.purchase_leads]",
        "# email = \"email\"",
    ] {
        assert!(text.lines().any(|known| known == line), "{line}\n{text}");
    }
    let marks = text.replace("# [feeds", "[feeds").replace("# kind", "kind");
    assert!(marks.contains("[feeds.purchase_leads.columns]"), "{marks}");
}

#[test]
fn several_tables_of_one_form_have_names_of_their_own() {
    let tables = [
        charges("stripe_charges", "int8"),
        charges("old.stripe_charges", "int8"),
        charges("Stripe Charges 2024!", "int8"),
    ];
    let (text, config) = made(&tables);
    assert_eq!(
        names(&config),
        [("stripe_charges", true), ("stripe_charges_2", false), ("stripe_charges_2024_", false)]
    );
    assert_eq!(text.matches("several tables look like stripe_charges").count(), 3, "{text}");
}

#[test]
fn other_tables_are_named_and_targets_are_not() {
    let tables = [
        table("odd\nname", &[], &[("a\"b", "text"), ("c", "text")]),
        table("transactions", &["id"], &[("id", "uuid"), ("amount", "numeric")]),
        charges("stripe_charges", "int8"),
    ];
    let (text, _) = made(&tables);
    assert!(text.contains("#   public.odd name (a\"b, c)"), "{text}");
    assert!(!text.contains("public.transactions"), "{text}");
    assert!(text.contains("# not read: secret"), "{text}");
}
