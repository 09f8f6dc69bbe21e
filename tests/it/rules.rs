//! A changed rule is noticed at the next start, and nothing stays half old, half new.

use std::time::Duration;

use crate::support::compare::assert_targets_equal;
use crate::support::world::{Places, Traffic, World, dirty, set};
use testkit::source_schema::SourceLayout;

/// What an operator changes.
type Change = fn(&mut toml::Table);

fn product<'a>(table: &'a mut toml::Table, code: &str) -> &'a mut toml::Table {
    let products = table["rules"]["products"].as_array_mut().unwrap();
    let product = products.iter_mut().find(|p| p["code"].as_str() == Some(code)).unwrap();
    product.as_table_mut().unwrap()
}

fn phrases(table: &mut toml::Table) {
    let phrases = ["papers to profits", "p2p", "webinar"].map(toml::Value::from).to_vec();
    product(table, "p2p").insert("phrases".into(), phrases.into());
}

fn access_days(table: &mut toml::Table) {
    product(table, "p2p").insert("access_days".into(), 30.into());
}

fn zone(table: &mut toml::Table) {
    set(table, "rules", "time_zone", "UTC");
}

fn fewer(table: &mut toml::Table) {
    let rules = table["rules"].as_table_mut().unwrap();
    let profiles = rules.entry("profiles").or_insert_with(|| toml::Table::new().into());
    let profiles = profiles.as_table_mut().unwrap();
    profiles.insert("tags".into(), vec![toml::Value::from("PaidP2P")].into());
    profiles.insert("or_payment".into(), false.into());
    let transactions = rules.entry("transactions").or_insert_with(|| toml::Table::new().into());
    let statuses = ["PAID", "SETTLED"].map(toml::Value::from).to_vec();
    transactions.as_table_mut().unwrap().insert("statuses".into(), statuses.into());
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_changed_rule_the_targets_equal_a_fresh_backfill_under_it() {
    let population = dirty(11, 120);
    let rows = (200, 300);
    let world = World::new(SourceLayout::Canonical, Places::Shared).await;
    world.load(&population, rows.0, rows.1).await;
    let daemon = world.started().await;
    daemon.terminate().await;
    let changes: [(&str, Change); 4] =
        [("phrases", phrases), ("access_days", access_days), ("zone", zone), ("fewer", fewer)];
    for (what, change) in changes {
        world.configure(change);
        let traffic = Traffic::start(&world, &population, rows, Duration::from_millis(20));
        let mut daemon = world.start();
        traffic.goes_on(&world, 50_000).await;
        traffic.end().await;
        daemon.wait_for_phase("streaming").await;
        daemon.wait_until_caught_up(&world).await;
        let fresh = world.with_fresh_target().await;
        fresh.configure(change);
        fresh.succeed(&["migrate"]).await;
        crate::support::compare::copy_decisions(&world.target, &fresh.target).await;
        fresh.succeed(&["backfill"]).await;
        fresh.succeed(&["slot", "drop"]).await;
        println!("{what}");
        assert_targets_equal(&world.target, &fresh.target, world.layout).await;
        daemon.terminate().await;
    }
}
