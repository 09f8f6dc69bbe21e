//! Six feeds at once (SPEC §1): whatever happens to them, the targets are what a fresh backfill gives (P3).

use crate::support::compare::assert_equals_fresh_backfill;
use crate::support::feeds::{Changes, fill};
use crate::support::world::{Places, World, set};

async fn six_feeds_converge(places: Places, seed: u64) {
    let world = World::with_more_feeds(places).await;
    world.configure(|table| set(table, "run", "chunk_rows", 20));
    fill(&world, seed).await;
    let changes = Changes::start(&world, seed).await;
    changes.go_on(100).await;
    let mut daemon = world.start();
    daemon.wait_for_phase("streaming").await;
    changes.go_on(600).await;
    changes.end().await;
    daemon.wait_until_caught_up(&world).await;
    let rows = "select string_agg(n::text, ' ' order by feed) from \
                (select feed, count(*) as n from tributary.source_row group by feed) f";
    eprintln!("rows by feed: {}", world.target.value(rows).await);
    assert_equals_fresh_backfill(&world).await;
    let metrics = daemon.get("/metrics").await.unwrap().1;
    for feed in ["ebook_contacts", "purchase_leads", "shopify_orders", "stripe_charges", "xendit"] {
        assert!(metrics.contains(&format!("source=\"{feed}\"")), "{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn six_feeds_converge_in_one_database() {
    six_feeds_converge(Places::OneDatabase, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn six_feeds_converge_between_two_servers() {
    six_feeds_converge(Places::TwoServers, 2).await;
}

/// One person buys through three providers, and two contact feeds know her.
#[tokio::test(flavor = "multi_thread")]
async fn one_person_through_three_providers_is_one_profile() {
    let world = World::with_more_feeds(Places::Shared).await;
    world
        .source
        .execute(
            r#"insert into stripe_charges values ('ch_1', 49900, 'php', 'succeeded', false, 1748750000, 'ana@example.com',
                 '{"name": "Ana Stripe"}', 'P2P', '{}');
               insert into shopify_orders values (7, '#1001', null, null, 'paid', 'PHP', '499.00', '2025-07-01T00:00:00Z',
                 '2025-07-01T00:00:00Z', '2025-07-01T00:00:00Z', null, false, '{"email": "Ana@example.com"}',
                 '[{"title": "Papers to Profits"}]');
               insert into xendit (id, status, amount, currency, customer_email, description, created, paid_at) values
                 ('00000000-0000-4000-8000-000000000001', 'PAID', 499, 'PHP', 'ana@example.com', 'p2p',
                  '2025-08-01T00:00:00Z', '2025-08-01T00:00:00Z');
               insert into ebook_contacts values ('ana@example.com', 'Ana Ebook', '2025-01-01T00:00:00Z');
               insert into purchase_leads values ('00000000-0000-4000-8000-000000000002', 'ana@example.com', null, null,
                 '0917 123 4567', '/', '2025-02-01T00:00:00Z')"#,
        )
        .await;
    let daemon = world.started().await;
    let value = async |sql: &str| world.target.value(sql).await;
    assert_eq!(value("select count(*) from unified_profiles").await, "1");
    // The name is of the first contact that has one, the source of the first contact; money comes from Stripe first.
    let profile = "select concat_ws(' ', first_name, last_name, phone, acquisition_source, api_source, payment_source, \
                   cohort_date, systemeio_id) from unified_profiles";
    assert_eq!(value(profile).await, "Ana Ebook +639171234567 website website stripe 2025-06-01");
    let transactions = "select string_agg(concat_ws(' ', payment_provider, api_source, amount, metadata ->> 'source'), ', ' \
                        order by paid_at) from transactions";
    let expected = "stripe stripe 499.00 stripe_charges, shopify shopify 499.00 shopify_orders, xendit xendit 499 xendit";
    assert_eq!(value(transactions).await, expected);
    let enrollments = "select count(*) || ' ' || min(t.payment_provider) from enrollments e \
                       join transactions t on t.id = e.transaction_id";
    assert_eq!(value(enrollments).await, "1 stripe");
    let ids = "select string_agg((id = '00000000-0000-4000-8000-000000000001')::text, ' ' order by paid_at) from transactions";
    assert_eq!(value(ids).await, "false false true");

    let told = world.succeed(&["explain", "ana@example.com"]).await;
    for part in [
        "stripe_charges:ch_1",
        "ebook_contacts:ana@example.com",
        "has rank 60, after purchase_leads with 50",
    ] {
        assert!(told.contains(part), "{part} not in\n{told}");
    }
    // A contact of the first feed takes over, live.
    world
        .source
        .execute(
            "insert into systemeio (id, contact_id, email, first_name, updated_at) \
             values (gen_random_uuid(), 'c1', 'ana@example.com', 'Anna', '2020-01-01')",
        )
        .await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(value(profile).await, "Anna +639171234567 systemeio systemeio stripe 2025-06-01 c1");
    assert_equals_fresh_backfill(&world).await;
}
