//! `tributary config new` looks at a database, and what it writes runs (SPEC §9).

use testkit::source_schema::SourceLayout;

use crate::support::feeds::fill;
use crate::support::world::{Places, World, dirty, set};

/// The text that is written for the source of this world.
async fn written(world: &World) -> String {
    world.succeed(&["config", "new"]).await
}

/// Takes the text as the configuration of the world, with its slot.
fn use_it(world: &World, text: &str) {
    world.configure(|table| {
        *table = text.parse().unwrap();
        set(table, "source", "slot", world.slot.clone());
        set(table, "source", "publication", world.slot.clone());
    });
}

const PROFILES: &str = "select md5(string_agg(to_jsonb(p)::text, '' order by email)) from
    (select email, first_name, last_name, phone, tags, acquisition_source, payment_source, cohort_date, systemeio_id from unified_profiles) p";
const TRANSACTIONS: &str = "select md5(string_agg(to_jsonb(t)::text, '' order by id)) from
    (select id, amount, currency, status, payment_provider, payment_provider_id, product_name, paid_at from transactions) t";

/// Runs the shipped configuration and the written one, each into a target of its own: the same comes out.
async fn same_as_shipped(world: &World) {
    let text = written(world).await;
    let fresh = world.with_fresh_target().await;
    fresh.succeed(&["migrate"]).await;
    fresh.succeed(&["backfill"]).await;
    fresh.succeed(&["slot", "drop"]).await;
    use_it(world, &text);
    world.succeed(&["config", "show"]).await;
    let check = world.succeed(&["check"]).await;
    assert!(!check.contains("FAIL"), "{check}");
    let daemon = world.started().await;
    for sql in [PROFILES, TRANSACTIONS] {
        let (new, shipped) = (world.target.value(sql).await, fresh.target.value(sql).await);
        assert!(!new.is_empty() && new == shipped, "{sql}\n{text}");
    }
    assert_eq!(daemon.terminate().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_for_six_feeds_is_written_and_runs() {
    let world = World::with_more_feeds(Places::Shared).await;
    world.configure(|table| drop(table["rules"].as_table_mut().unwrap().remove("exclude")));
    fill(&world, 5).await;
    world.source.execute("create table audit (at timestamptz, what text); create view seen as select * from audit").await;
    let text = written(&world).await;
    for name in [
        "xendit",
        "systemeio",
        "shopify_orders",
        "stripe_charges",
        "purchase_leads",
        "ebook_contacts",
    ] {
        assert!(text.contains(&format!("\n[feeds.{name}]\n")), "{name}\n{text}");
    }
    assert!(text.contains("#   public.audit (at, what)") && !text.contains("seen"), "{text}");
    assert!(text.contains("# not read: source_page"), "{text}");
    assert!(!text.contains("NOT SURE: "), "{text}");
    same_as_shipped(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_for_the_legacy_layout_is_written_and_runs() {
    let world = World::new(SourceLayout::Legacy, Places::Shared).await;
    world.load(&dirty(3, 40), 50, 60).await;
    let text = written(&world).await;
    assert!(text.contains("key = [\"Email\", \"Date Registered\"]"), "{text}");
    assert!(text.contains("\nexternal_id = \"External ID\"\n"), "{text}");
    same_as_shipped(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_sure_is_marked_and_the_rest_runs() {
    let world = World::new(SourceLayout::Canonical, Places::OneDatabase).await;
    world.succeed(&["migrate"]).await;
    world
        .source
        .execute(
            "drop table xendit;
             create schema raw;
             create table raw.\"Charges\" (like_id text, amount bigint, currency text, status text, created bigint, receipt_email text,
                 billing_details jsonb, description text, metadata jsonb, refunded boolean, id text primary key);
             insert into raw.\"Charges\" values ('', 49900, 'php', 'succeeded', 1748750000, 'ana@example.com', null, 'p2p', '{}', false, 'ch_1');
             create table users (id int primary key, email text, name text, created_at timestamptz)",
        )
        .await;
    let text = written(&world).await;
    for line in [
        "# NOT SURE: it has the columns of stripe_charges: is the provider stripe?",
        "table = \"raw.Charges\"",
        "# NOT SURE: many tables have such columns: is this one like ebook_contacts?",
        "# [feeds.ebook_contacts]",
        "primary = true",
    ] {
        assert!(text.lines().any(|known| known == line), "{line}\n{text}");
    }
    // The tables of the target are no feeds.
    assert!(!text.contains("unified_profiles") && !text.contains("tributary.feed"), "{text}");
    use_it(&world, &text);
    let _daemon = world.started().await;
    let sql = "select string_agg(t.payment_provider || ' ' || t.amount || ' ' || p.email, ',') from transactions t
        join unified_profiles p on p.id = t.user_id";
    assert_eq!(world.target.value(sql).await, "stripe 499.00 ana@example.com");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_not_named_or_away_is_told() {
    let world = World::canonical("select 1").await;
    let mut command = world.command(&["config", "new"]);
    let output =
        command.env_remove("TRIBUTARY_SOURCE_URL").env_remove("SOURCE_URL").output().await.unwrap();
    assert_eq!(output.status.code(), Some(78));
    let away = ["config", "new", "--source", "host=127.0.0.1 port=1 user=x sslmode=disable"];
    assert_eq!(world.run(&away).await.status.code(), Some(69));
    // No password is repeated.
    let wrong = world.run(&["config", "new", "--source", "mysql://u:s3cret@h/d"]).await;
    assert_eq!(wrong.status.code(), Some(78));
    assert!(!String::from_utf8_lossy(&wrong.stderr).contains("s3cret"));
}
