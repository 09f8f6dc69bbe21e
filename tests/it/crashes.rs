//! What dies comes back, loses nothing and doubles nothing (P8, P12).

use std::time::Duration;

use testkit::cluster::StopMode;
use testkit::source_schema::SourceLayout;

use crate::support::compare::assert_equals_fresh_backfill;
use crate::support::daemon::Daemon;
use crate::support::eventually;
use crate::support::world::{Places, Traffic, World, dirty, set};

const TOUCH: &str =
    "update xendit set status = case status when 'PAID' then 'SETTLED' else 'PAID' end
                     where id::text like '3%'";

/// Contacts and payments of these scenarios.
const LOADED: (u64, u64) = (1_000, 2_000);

const ROWS_READ: &str = "tributary_backfill_rows_read_total";

async fn loaded(places: Places, seed: u64) -> World {
    let world = World::new(SourceLayout::Canonical, places).await;
    world.load(&dirty(seed, 800), LOADED.0, LOADED.1).await;
    world
}

/// Rows that may be read again after each kill: the chunks that were being read, and those that had
/// been read but not committed.
const ROWS_AGAIN: f64 = 4.0 * CHUNK as f64;

const CHUNK: i64 = 50;

#[tokio::test(flavor = "multi_thread")]
async fn sigkill_during_backfill_in_a_loop_resumes_and_converges() {
    let world = loaded(Places::Shared, 11).await;
    world.configure(|table| set(table, "run", "chunk_rows", CHUNK));
    let traffic = Traffic::start(&world, &dirty(11, 800), LOADED, Duration::from_millis(50));
    let (mut done, mut read, mut kills) = (0, 0.0, 0.0);
    for _ in 0..6 {
        let mut daemon = world.start();
        done = daemon.wait_for_rows(done + 375, done).await;
        read += daemon.metric(ROWS_READ).await;
        kills += 1.0;
        daemon.kill9().await;
    }
    let mut daemon = world.start();
    daemon.wait_for_rows(i64::MAX, done).await;
    read += daemon.metric(ROWS_READ).await;
    let inserted = traffic.end().await.total() as f64;
    let rows = (LOADED.0 + LOADED.1) as f64 + inserted;
    assert!(read <= rows + kills * ROWS_AGAIN, "{read} rows were read for {rows}");
    daemon.wait_until_caught_up(&world).await;
    drop(daemon);
    assert_equals_fresh_backfill(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigkill_during_streaming_in_a_loop_loses_and_doubles_nothing() {
    let world = loaded(Places::Shared, 12).await;
    let mut daemon = world.started().await;
    let traffic = Traffic::start(&world, &dirty(12, 800), LOADED, Duration::from_millis(10));
    for round in 0..8 {
        traffic.goes_on(&world, 20_000 * round).await;
        daemon.kill9().await;
        daemon = world.start();
        // Every other time it is killed on its way to the stream.
        if round % 2 == 0 {
            daemon.wait_for_phase("streaming").await;
        }
    }
    traffic.end().await;
    daemon.wait_until_caught_up(&world).await;
    assert_equals_fresh_backfill(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_of_either_server_while_streaming_is_survived() {
    let world = loaded(Places::TwoServers, 13).await;
    let mut daemon = world.started().await;
    for place in [&world.source, &world.target] {
        world.source.execute(TOUCH).await;
        place.cluster.restart(StopMode::Immediate).unwrap();
        world.source.execute(TOUCH).await;
        settled(&mut daemon, &world).await;
    }
    assert_equals_fresh_backfill(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminated_walsender_is_replaced() {
    let world = loaded(Places::Shared, 14).await;
    let mut daemon = world.started().await;
    let terminate = format!(
        "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = '{}'",
        world.slot
    );
    for _ in 0..3 {
        world.source.execute(TOUCH).await;
        world.source.execute(&terminate).await;
        settled(&mut daemon, &world).await;
    }
    assert_equals_fresh_backfill(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_slot_reconciles_with_the_deletes_that_were_missed() {
    let world = loaded(Places::Shared, 15).await;
    let daemon = world.started().await;
    assert_eq!(daemon.terminate().await.code(), Some(0));
    world.drop_slot().await;
    world.source.execute("delete from xendit where id::text like 'ab%'").await;
    world.source.execute("delete from systemeio where id::text like 'ab%'").await;
    world.source.execute(TOUCH).await;
    let _daemon = world.started().await;
    assert_equals_fresh_backfill(&world).await;
}

/// P12: the server itself gives up the log that the slot needs while the daemon is away.
#[tokio::test(flavor = "multi_thread")]
async fn an_invalidated_slot_reconciles() {
    let world = loaded(Places::TwoServers, 16).await;
    let daemon = world.started().await;
    assert_eq!(daemon.terminate().await.code(), Some(0));
    world.source.execute("alter system set max_slot_wal_keep_size = '1MB'").await;
    world.source.execute("select pg_reload_conf()").await;
    world.source.execute("delete from xendit where id::text like 'cd%'").await;
    let status =
        format!("select wal_status from pg_replication_slots where slot_name = '{}'", world.slot);
    for _ in 0..20 {
        world.source.execute(TOUCH).await;
        world.source.execute("select pg_switch_wal()").await;
        world.source.execute("checkpoint").await;
        if world.source.value(&status).await == "lost" {
            break;
        }
    }
    assert_eq!(world.source.value(&status).await, "lost");
    let _daemon = world.started().await;
    assert_equals_fresh_backfill(&world).await;
}

/// P1: what happened while a table was out of the publication is in no stream.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_out_of_the_publication_is_read_again() {
    let world = loaded(Places::Shared, 17).await;
    out_and_in(&world, "table xendit").await;
    let schemas = "select current_setting('server_version_num')::int >= 150000";
    if world.source.value(schemas).await == "true" {
        let world = loaded(Places::Shared, 19).await;
        let all = format!("create publication {} for tables in schema public", world.slot);
        world.source.execute(&all).await;
        out_and_in(&world, "tables in schema public").await;
    }
}

async fn out_and_in(world: &World, what: &str) {
    let mut daemon = world.started().await;
    let publication = |change: &str| format!("alter publication {} {change} {what}", world.slot);
    world.source.execute(&publication("drop")).await;
    world.source.execute("delete from xendit where id::text like 'ef%'").await;
    world.source.execute(TOUCH).await;
    world.source.execute(&publication("add")).await;
    let sql = "select count(*) from tributary.backfill where generation > 1 and phase = 'done'";
    let explain = || daemon.log();
    eventually("another backfill", explain, || async { world.target.value(sql).await == "1" })
        .await;
    settled(&mut daemon, world).await;
    assert_equals_fresh_backfill(world).await;
}

/// P11: also when the first daemon's last statement waits for a lock that the application holds.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_daemon_that_was_blocked_is_succeeded() {
    let world = loaded(Places::Shared, 18).await;
    let first = world.started().await;
    let mut application = world.target.connect().await;
    let held = application.transaction().await.unwrap();
    held.execute("select from transactions for update", &[]).await.unwrap();
    world.source.execute(TOUCH).await;
    let blocked = "select exists (select from pg_stat_activity where wait_event_type = 'Lock'
        and datname = current_database() and application_name = 'tributary')";
    let explain = || first.log();
    eventually("a blocked daemon", explain, || async {
        world.target.value(blocked).await == "true"
    })
    .await;
    first.kill9().await;
    let waiting = world.on_another_port();
    let mut second = waiting.start();
    // The promise is fifteen seconds; a loaded machine gets more.
    let start = std::time::Instant::now();
    second.wait_for_phase("streaming").await;
    assert!(start.elapsed().as_secs() < 30, "{:?}", start.elapsed());
    held.rollback().await.unwrap();
    settled(&mut second, &waiting).await;
    assert_equals_fresh_backfill(&waiting).await;
}

async fn settled(daemon: &mut Daemon, world: &World) {
    daemon.wait_until_caught_up(world).await;
    daemon.wait_for_phase("streaming").await;
}
