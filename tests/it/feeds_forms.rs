//! Rows as real shops, card processors and mailing lists write them (SPEC §1, §3), by a backfill and live.

use crate::support::compare::assert_equals_fresh_backfill;
use crate::support::world::{Places, World};

/// Two feeds beside the six: tags as JSON objects with epochs in milliseconds, and tags as an array with epochs in seconds.
const TABLES: &str = "
    create table crm (id bigint primary key, data jsonb, tags jsonb, created bigint, stage text, bot boolean);
    create table newsletter (id int primary key, address text, full_name text, labels text[], joined bigint)";

const FEEDS: &str = r#"
    [crm]
    kind = "contact"
    primary = false
    rank = 20
    skip = [{ field = "contact_id", equals = ["demo"] }, { column = "bot", equals = [true] }]
    [crm.columns]
    contact_id = "stage"
    email = { column = "data", path = ["contact", "email"] }
    name = { column = "data", path = ["contact", "name"] }
    tags = "tags"
    created_at = "created"
    [newsletter]
    kind = "contact"
    primary = false
    [newsletter.columns]
    email = "address"
    name = "full_name"
    tags = "labels"
    created_at = "joined""#;

/// Payments and contacts of every form; the numbers and addresses begin with `n`.
fn rows(n: u32) -> String {
    let order = |id: u32,
                 email: &str,
                 status: &str,
                 cancelled: &str,
                 test: bool,
                 customer: &str,
                 items: &str| {
        format!(
            "insert into shopify_orders values ({n}0{id}, '#{n}0{id}', {email}, null, '{status}', 'PHP', '499.00',
                 '2025-06-01T00:00:00Z', '2025-06-01T00:00:00Z', '2025-06-01T01:00:00Z', {cancelled}, {test}, {customer}, '{items}');"
        )
    };
    let p2p = r#"[{"title": "Papers to Profits"}]"#;
    let both = r#"[{"title": "Canva Ebook"}, {"title": "Papers to Profits"}]"#;
    let twice = r#"[{"title": "Papers to Profits"}, {"title": "P2P, as a gift"}]"#;
    let mugs = r#"[{"title": "A mug"}, {"title": "Another"}]"#;
    let (null, json_null) = ("null", "'null'");
    let inside = format!(r#"'{{"email": "O5.{n}@Example.com"}}'"#);
    let mail = |local: &str| format!("'{local}.{n}@example.com'");
    let charge = |id: &str,
                  amount: i64,
                  currency: &str,
                  refunded: bool,
                  email: &str,
                  billing: &str| {
        format!(
            "insert into stripe_charges values ('{n}{id}', {amount}, '{currency}', 'succeeded', {refunded}, 1748750000, {email},
                 {billing}, 'p2p', '{{}}');"
        )
    };
    let billing = format!(r#"'{{"email": "bill.{n}@example.com", "name": "Ben dela Cruz"}}'"#);
    let excluded = "'shop@test.example'";
    [
        order(1, &mail("o1"), "paid", null, false, null, twice),
        order(2, &mail("o2"), "paid", null, false, null, both),
        order(3, &mail("o3"), "paid", null, false, null, mugs),
        order(4, &mail("o4"), "partially_refunded", null, false, json_null, p2p),
        order(5, null, "paid", null, false, &inside, p2p),
        order(6, null, "paid", null, false, json_null, p2p),
        order(7, &mail("o7"), "paid", "now()", false, null, p2p),
        order(8, &mail("o8"), "paid", null, true, null, p2p),
        order(9, excluded, "paid", null, false, null, p2p),
        order(10, &mail("o10"), "exchanged", null, false, null, "[]"),
        charge("php", 49_900, "php", false, &mail("c1"), null),
        charge("jpy", 49_900, "jpy", false, &mail("c1"), null),
        charge("kwd", 49_900, "kwd", false, null, &billing),
        charge("xyz", 49_900, "xyz", false, &mail("c1"), null),
        charge("ref", 49_900, "php", true, &mail("c2"), json_null),
        format!(
            r#"insert into crm values
                 ({n}1, '{{"contact": {{"email": "k1.{n}@example.com", "name": "REYES, ANA"}}}}',
                  '[{{"id": 1, "name": "paidp2p"}}, {{"name": "a, b"}}, null]', 1748750000123, 'lead', false),
                 ({n}2, '{{"contact": null}}', '[]', 1748750000123, 'lead', false),
                 ({n}3, '{{"contact": {{"email": "k3.{n}@example.com"}}}}', null, 1748750000123, 'demo', false),
                 ({n}4, '{{"contact": {{"email": "k4.{n}@example.com"}}}}', null, 1748750000123, 'lead', true),
                 ({n}5, '{{"contact": {{"email": "k5.{n}@example.com"}}}}', 'null', null, null, null);
               insert into newsletter values
                 ({n}1, 'k1.{n}@example.com', 'Anna R.', '{{"a, b",VIP,NULL}}', 1748740000),
                 ({n}2, 'qa+1@example.com', 'Q A', '{{}}', 1748740000),
                 ({n}3, 'l3.{n}@example.com', 'Lea de los Santos Jr.', null, 17);"#
        ),
    ]
    .concat()
}

const TRANSACTIONS: &str = "
    select string_agg(concat_ws(' ', t.payment_provider_id, coalesce(split_part(p.email, '.', 1), '-'), t.amount, t.currency,
            t.status, coalesce(t.product_name, '-'), to_char(t.paid_at at time zone 'UTC', 'DD HH24:MI:SS')), E'\\n'
            order by t.payment_provider_id collate \"C\")
    from transactions t left join unified_profiles p on p.id = t.user_id where t.payment_provider_id like ";

const CONFLICTS: &str = "
    select string_agg(concat_ws(' ', kind, subject, evidence ->> 'reason'), E'\\n' order by kind, subject collate \"C\")
    from tributary.conflict where status = 'open' and (subject like 'shopify%:N%' or subject like 'stripe%:N%' or subject like '%:N_'
        or subject like 'newsletter:N_#%')
        and kind not in ('paid_at_inferred', 'possible_duplicate')";

const PROFILES: &str = "
    select string_agg(concat_ws(' ', split_part(email, '.', 1), coalesce(first_name, '-'), coalesce(last_name, '-'), tags::text,
        to_char(created_at at time zone 'UTC', 'DD HH24:MI:SS.MS')), E'\\n' order by email collate \"C\")
    from unified_profiles where email like '%.N@example.com' and email like any (array['k%', 'l%', 'bill%'])";

async fn check(world: &World, n: u32) {
    let texts = |sql: &str| {
        let sql = sql.replace('N', &n.to_string());
        async move { world.target.value(&sql).await }
    };
    let transactions = world.target.value(&format!("{TRANSACTIONS} '{n}%'")).await;
    let expected = format!(
        "{n}01 o1 499.00 PHP PAID Papers to Profits 01 01:00:00\n\
         {n}010 o10 499.00 PHP UNKNOWN - 01 01:00:00\n\
         {n}02 o2 499.00 PHP PAID - 01 01:00:00\n\
         {n}03 o3 499.00 PHP PAID - 01 01:00:00\n\
         {n}04 o4 499.00 PHP PARTIALLY_REFUNDED Papers to Profits 01 01:00:00\n\
         {n}05 o5 499.00 PHP PAID Papers to Profits 01 01:00:00\n\
         {n}06 - 499.00 PHP PAID Papers to Profits 01 01:00:00\n\
         {n}07 o7 499.00 PHP VOIDED Papers to Profits 01 01:00:00\n\
         {n}jpy c1 49900 JPY PAID Papers to Profits 01 03:53:20\n\
         {n}kwd bill 49.900 KWD PAID Papers to Profits 01 03:53:20\n\
         {n}php c1 499.00 PHP PAID Papers to Profits 01 03:53:20\n\
         {n}ref c2 499.00 PHP REFUNDED Papers to Profits 01 03:53:20"
    );
    assert_eq!(transactions, expected);
    let conflicts = texts(CONFLICTS).await;
    let expected = format!(
        "currency_mismatch stripe_charges:{n}jpy\n\
         currency_mismatch stripe_charges:{n}kwd\n\
         currency_mismatch stripe_charges:{n}xyz\n\
         excluded_row newsletter:{n}2\n\
         excluded_row shopify_orders:{n}09\n\
         invalid_amount stripe_charges:{n}xyz\n\
         multiple_products shopify_orders:{n}02\n\
         unlinked_payment shopify_orders:{n}06 missing\n\
         unmapped_product shopify_orders:{n}03\n\
         unmapped_status shopify_orders:{n}010\n\
         unparsable_timestamp newsletter:{n}3#created_at\n\
         unusable_email crm:{n}2 missing"
    );
    assert_eq!(conflicts, expected);
    let profiles = texts(PROFILES).await;
    let profiles: Vec<&str> = profiles.lines().collect();
    assert_eq!(
        profiles[..2],
        [
            "bill Ben dela Cruz {} 01 03:53:20.000",
            "k1 Ana Reyes {\"a, b\",PaidP2P,VIP} 01 01:06:40.000"
        ]
    );
    // Neither has a date that can be read: they are created when they are written.
    assert!(profiles[2].starts_with("k5 - - {} "), "{profiles:?}");
    assert!(profiles[3].starts_with("l3 Lea de los Santos Jr. {} "), "{profiles:?}");
    assert_eq!(profiles.len(), 4, "{profiles:?}");
    let courses = format!(
        "select string_agg(split_part(p.email, '.', 1) || ' ' || e.status, ' ' order by p.email collate \"C\")
         from enrollments e join unified_profiles p on p.id = e.user_id where p.email like '%.{n}@example.com'"
    );
    // Bought again in other currencies within the year, which opens no second period.
    let active = "bill expired c1 expired c2 revoked o1 expired o4 expired o5 expired";
    let found = world.target.value(&courses).await.replace("active", "expired");
    assert_eq!(found, active);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_real_life_are_read_by_a_backfill_and_live() {
    let world = World::with_more_feeds(Places::Shared).await;
    world.configure(|table| {
        let feeds = table["feeds"].as_table_mut().unwrap();
        feeds.extend(FEEDS.parse::<toml::Table>().unwrap());
    });
    world.source.execute(TABLES).await;
    world.source.execute(&rows(1)).await;
    let daemon = world.started().await;
    check(&world, 1).await;
    world.source.execute(&rows(2)).await;
    daemon.wait_until_caught_up(&world).await;
    check(&world, 2).await;
    // What a row was does not show any more once it is another.
    let others = "
        update shopify_orders set test = not test where id in (103, 108);
        update shopify_orders set email = 'o9.1@example.com' where id = 109;
        update stripe_charges set currency = 'kwd' where id = '1xyz';
        update stripe_charges set billing_details = null where id = '1kwd';
        update crm set tags = '[{\"name\": \"Canva\"}]', bot = true where id = 11;
        update crm set bot = false where id = 14;
        update newsletter set labels = array['x', 'VIP'] where id = 11;
        update newsletter set joined = 1748740000 where id in (13, 23);
        update crm set created = 1748740000000 where id in (15, 25)";
    world.source.execute(others).await;
    daemon.wait_until_caught_up(&world).await;
    let ids =
        "select string_agg(payment_provider_id || ' ' || amount, ', ' order by payment_provider_id)
        from transactions where payment_provider_id in ('103', '108', '109', '1xyz')";
    assert_eq!(world.target.value(ids).await, "108 499.00, 109 499.00, 1xyz 49.900");
    let people = "select string_agg(concat_ws(' ', split_part(email, '.', 1), first_name, tags::text), ', ' order by email)
        from unified_profiles where email in ('k1.1@example.com', 'k4.1@example.com')";
    assert_eq!(world.target.value(people).await, "k1 Anna {VIP,x}, k4 {}");
    assert_equals_fresh_backfill(&world).await;
}
