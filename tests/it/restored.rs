//! A source that was restored to an older state (P12, P18).

use testkit::cluster::StopMode;
use testkit::source_schema::SourceLayout;

use crate::noticed::{ROWS, reconciles};
use crate::support::compare::assert_equals_fresh_backfill;
use crate::support::daemon::Daemon;
use crate::support::world::{Places, World};

const CHANGE: &str = "update xendit set amount = amount + 1;
    delete from xendit where id in (select id from xendit limit 5);
    insert into xendit (id, status, amount, currency, customer_email, created)
    select gen_random_uuid(), 'PAID', 7, 'PHP', 'later' || n || '@example.com', '2025-06-30T04:00:00Z'
    from generate_series(1, 30) n";

async fn world() -> World {
    let world = World::new(SourceLayout::Canonical, Places::TwoServers).await;
    world.source.execute(ROWS).await;
    world
}

async fn changed_after_a_copy(world: &World) {
    let source = world.source.cluster;
    source.stop(StopMode::Fast).unwrap();
    source.save().unwrap();
    source.start_again().unwrap();
    for _ in 0..20 {
        world.source.execute(CHANGE).await;
    }
}

/// The source goes on from a copy that was made before these changes, which the daemon has applied.
async fn applied_what_is_undone(world: &World, daemon: &mut Daemon) {
    changed_after_a_copy(world).await;
    daemon.wait_for_phase("streaming").await;
    daemon.wait_until_caught_up(world).await;
}

async fn reconciled(world: &World, daemon: &mut Daemon, before: i64) {
    daemon.wait_for_phase("streaming").await;
    daemon.wait_until_caught_up(world).await;
    assert!(reconciles(world).await > before, "{}", daemon.log());
    assert_equals_fresh_backfill(world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_restored_under_the_daemon_is_read_again_p18() {
    let world = world().await;
    let mut daemon = world.started().await;
    applied_what_is_undone(&world, &mut daemon).await;
    let before = reconciles(&world).await;
    let source = world.source.cluster;
    source.stop(StopMode::Fast).unwrap();
    source.restore().unwrap();
    source.start_again().unwrap();
    world.source.execute(CHANGE).await;
    reconciled(&world, &mut daemon, before).await;
    assert!(daemon.log().contains("restored to an older state"), "{}", daemon.log());
    // And a crash is no restore.
    let before = reconciles(&world).await;
    world.source.execute(CHANGE).await;
    source.restart(StopMode::Immediate).unwrap();
    world.source.execute(CHANGE).await;
    daemon.wait_for_phase("streaming").await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(reconciles(&world).await, before, "{}", daemon.log());
    assert_equals_fresh_backfill(&world).await;
}

/// By the time the daemon looks, the log of the restored server ends beyond the checkpoint.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_source_that_went_on_is_read_again_p18() {
    let world = world().await;
    let mut daemon = world.started().await;
    applied_what_is_undone(&world, &mut daemon).await;
    // What is noted now and then has been noted.
    let noted = "select source_next_xid from tributary.installation";
    let until: i64 =
        world.source.value("pg_snapshot_xmax(pg_current_snapshot())").await.parse().unwrap();
    crate::support::eventually(
        "noted",
        || daemon.log(),
        || async {
            world.target.value(noted).await.parse::<i64>().is_ok_and(|noted| noted >= until)
        },
    )
    .await;
    let end = world.source.lsn().await;
    assert_eq!(daemon.terminate().await.code(), Some(0));
    let before = reconciles(&world).await;
    let source = world.source.cluster;
    source.stop(StopMode::Fast).unwrap();
    source.restore().unwrap();
    source.start_again().unwrap();
    world
        .source
        .execute("create table filler as select repeat('x', 1000) from generate_series(1, 3000)")
        .await;
    assert!(world.source.lsn().await > end);
    world.source.execute("delete from xendit where id in (select id from xendit limit 3)").await;
    let mut daemon = world.started().await;
    reconciled(&world, &mut daemon, before).await;
}

/// What was read before the source was restored is not what it has: nothing is streamed yet, so only the backfill knows.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_restored_during_the_first_backfill_is_read_again_p18() {
    let world = world().await;
    world.dies(&["run"], "first-checkpoint-committed").await;
    changed_after_a_copy(&world).await;
    let source = world.source.cluster;
    world.dies(&["run"], "people-committed").await;
    source.stop(StopMode::Fast).unwrap();
    source.restore().unwrap();
    source.start_again().unwrap();
    let daemon = world.started().await;
    assert!(daemon.log().contains("restored to an older state"), "{}", daemon.log());
    daemon.wait_until_caught_up(&world).await;
    assert_equals_fresh_backfill(&world).await;
}
