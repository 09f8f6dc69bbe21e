//! Readiness tells the truth in every phase (SPEC §9, P17), and one row holds nobody up (P10).

use std::time::{Duration, Instant};

use testkit::cluster::StopMode;
use testkit::load;
use testkit::source_schema::SourceLayout;

use crate::noticed::ROWS;
use crate::support::compare::assert_equals_fresh_backfill;
use crate::support::eventually;
use crate::support::world::{Places, World, set};

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_away_during_a_backfill_shows_in_readyz() {
    let world = World::new(SourceLayout::Canonical, Places::TwoServers).await;
    world.source.execute(&ROWS.replace("1, 200", "1, 4000")).await;
    world.configure(|table| set(table, "run", "chunk_rows", 20));
    let mut daemon = world.start();
    daemon.wait_for_rows(500, 0).await;
    let code = async |path| daemon.get(path).await.map(|(code, _)| code);
    assert_eq!(code("/readyz").await, Some(200));
    world.source.cluster.stop(StopMode::Immediate).unwrap();
    let start = Instant::now();
    eventually("503", || daemon.log(), || async { code("/readyz").await == Some(503) }).await;
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    // It stays so while nothing works.
    let mut ready = 0;
    while start.elapsed() < Duration::from_secs(8) {
        ready += u32::from(code("/readyz").await == Some(200));
        assert_eq!(code("/livez").await, Some(200));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(ready, 0, "{}", daemon.log());
    world.source.cluster.start_again().unwrap();
    daemon.wait_for_phase("streaming").await;
    daemon.wait_until_caught_up(&world).await;
    assert_equals_fresh_backfill(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_text_hold_nobody_up_p10() {
    let mut world = World::canonical("select 1").await;
    let name = format!("ascii_{}", world.slot);
    let create =
        format!("create database {name} template template0 encoding 'SQL_ASCII' locale 'C'");
    world.source.cluster.execute("postgres", &create).await.unwrap();
    world.source.database = name;
    load::create_tables(&world.source.connect().await, world.layout).await.unwrap();
    world.source.execute(ROWS).await;
    let broken = "update systemeio set first_name = convert_from('\\x5065f161', 'SQL_ASCII')
        where contact_id = 'c";
    world.source.execute(&format!("{broken}1'")).await;
    let daemon = world.started().await;
    world.source.execute(&format!("{broken}2'")).await;
    world.source.execute("update systemeio set first_name = 'Peña' where contact_id = 'c3'").await;
    daemon.wait_until_caught_up(&world).await;
    let names = "select string_agg(first_name, ' ' order by email) from unified_profiles
        where email in ('p1@example.com', 'p2@example.com', 'p3@example.com')";
    assert_eq!(world.target.value(names).await, "Pe\u{fffd}a Pe\u{fffd}a Peña", "{}", daemon.log());
    // Each such row is a conflict, until its bytes are corrected.
    let rejected = "select string_agg(evidence #>> '{fields,0,field}', ',') from tributary.conflict
        where kind = 'rejected_row' and severity = 'review' and status = 'open'";
    assert_eq!(world.target.value(rejected).await, "first_name,first_name");
    assert_equals_fresh_backfill(&world).await;
    let output = world.succeed(&["verify"]).await;
    assert!(output.ends_with("no differences\n"), "{output}");
    world.source.execute("update systemeio set first_name = 'Peña' where contact_id = 'c1'").await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(world.target.value(rejected).await, "first_name");
}
