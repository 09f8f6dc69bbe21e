//! However changes arrive, the targets are what a fresh backfill gives (P1, P3).

use std::time::Duration;

use testkit::source_schema::SourceLayout;

use crate::support::compare::assert_equals_fresh_backfill;
use crate::support::world::{Places, Traffic, World, dirty, set};

/// Contacts and payments that are there before the first change.
const LOADED: (u64, u64) = (500, 1_000);

/// Log that the changes before the daemon's start, and those after its backfill, fill at least.
const LOG_BYTES: u64 = 100_000;

/// Changes come from several connections before the daemon starts, during its backfill and in the stream.
async fn changes_before_during_and_after_the_backfill_converge(
    layout: SourceLayout,
    places: Places,
    seeds: std::ops::Range<u64>,
) {
    for seed in seeds {
        let world = World::new(layout, places).await;
        world.configure(|table| set(table, "run", "chunk_rows", 50));
        let population = dirty(seed, 400);
        world.load(&population, LOADED.0, LOADED.1).await;
        let traffic = Traffic::start(&world, &population, LOADED, Duration::from_millis(20));
        traffic.goes_on(&world, LOG_BYTES).await;
        let mut daemon = world.start();
        daemon.wait_for_phase("streaming").await;
        traffic.goes_on(&world, LOG_BYTES).await;
        let count = traffic.end().await;
        daemon.wait_until_caught_up(&world).await;
        eprintln!("seed {seed}: {count}");
        assert_equals_fresh_backfill(&world).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_the_canonical_layout_converge() {
    let (layout, places) = (SourceLayout::Canonical, Places::Shared);
    changes_before_during_and_after_the_backfill_converge(layout, places, 1..4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_within_one_database_converge() {
    let (layout, places) = (SourceLayout::Canonical, Places::OneDatabase);
    changes_before_during_and_after_the_backfill_converge(layout, places, 4..6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_between_two_servers_converge() {
    let (layout, places) = (SourceLayout::Canonical, Places::TwoServers);
    changes_before_during_and_after_the_backfill_converge(layout, places, 6..7).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_the_legacy_layout_converge() {
    let (layout, places) = (SourceLayout::Legacy, Places::Shared);
    changes_before_during_and_after_the_backfill_converge(layout, places, 7..9).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_the_legacy_layout_within_one_database_converge() {
    let (layout, places) = (SourceLayout::Legacy, Places::OneDatabase);
    changes_before_during_and_after_the_backfill_converge(layout, places, 9..10).await;
}
