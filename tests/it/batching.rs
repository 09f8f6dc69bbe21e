//! A batch is what has arrived while the one before was being applied.

use testkit::source_schema::SourceLayout;

use crate::support::compare::assert_equals_fresh_backfill;
use crate::support::daemon::Daemon;
use crate::support::eventually;
use crate::support::world::{Places, World};

const BATCHES: &str = "tributary_batches_total";

/// Inserts payments, each in a transaction of its own.
fn one_by_one(first: u32, last: u32) -> String {
    format!(
        "do $$ begin for n in {first} .. {last} loop
           insert into xendit (id, status, amount, currency, customer_email, created)
           values (gen_random_uuid(), 'PAID', 499, 'PHP', 'p' || n || '@example.com', '2025-06-30T04:00:00Z');
           commit;
         end loop; end $$"
    )
}

async fn blocked(world: &World, daemon: &Daemon) {
    let blocked = "select exists (select from pg_stat_activity where wait_event_type = 'Lock'
        and datname = current_database() and application_name = 'tributary')";
    eventually(
        "a blocked daemon",
        || daemon.log(),
        || async { world.target.value(blocked).await == "true" },
    )
    .await;
}

/// Waits until the source has sent all that is committed now.
async fn sent(world: &World, daemon: &Daemon) {
    let until = world.source.lsn().await;
    let sent = format!(
        "select exists (select from pg_stat_replication r join pg_replication_slots s
         on s.active_pid = r.pid where s.slot_name = '{}' and r.sent_lsn >= '{until}')",
        world.slot
    );
    eventually(
        "everything sent",
        || daemon.log(),
        || async { world.source.value(&sent).await == "true" },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_while_a_batch_is_applied_is_the_next_batch() {
    let world = World::canonical("select 1").await;
    let daemon = world.started().await;
    let mut application = world.target.connect().await;
    let held = application.transaction().await.unwrap();
    held.batch_execute("lock table transactions in exclusive mode").await.unwrap();
    world.source.execute(&one_by_one(1, 1)).await;
    blocked(&world, &daemon).await;
    let before = daemon.metric(BATCHES).await;
    world.source.execute(&one_by_one(2, 3_000)).await;
    sent(&world, &daemon).await;
    held.rollback().await.unwrap();
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(world.target.value("select count(*) from transactions").await, "3000");
    let batches = daemon.metric(BATCHES).await - before;
    assert!(
        batches <= 10.0,
        "3,000 transactions that waited took {batches} batches {}",
        daemon.log()
    );
    assert_equals_fresh_backfill(&world).await;
}

/// P8: a batch that takes longer than `wal_sender_timeout` does not cost the connection.
#[tokio::test(flavor = "multi_thread")]
async fn the_source_is_answered_while_a_long_batch_is_applied() {
    let world = World::new(SourceLayout::Canonical, Places::TwoServers).await;
    world.source.execute("alter system set wal_sender_timeout = '2s'").await;
    world.source.execute("select pg_reload_conf()").await;
    let daemon = world.started().await;
    let mut application = world.target.connect().await;
    let held = application.transaction().await.unwrap();
    held.batch_execute("lock table transactions in exclusive mode").await.unwrap();
    world.source.execute(&one_by_one(1, 10)).await;
    blocked(&world, &daemon).await;
    let walsender = world.source.value("select min(pid) from pg_stat_replication").await;
    let since = world.source.value("select clock_timestamp()").await;
    let answered = format!(
        "select count(*) from pg_stat_replication
         where pid = {walsender} and reply_time > '{since}'::timestamptz + interval '6 s'"
    );
    eventually(
        "an answer three timeouts later",
        || daemon.log(),
        || async { world.source.value(&answered).await == "1" },
    )
    .await;
    held.rollback().await.unwrap();
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(world.source.value("select min(pid) from pg_stat_replication").await, walsender);
    assert_eq!(world.target.value("select count(*) from transactions").await, "10");
}

/// P7: what is on the target's disk is confirmed by itself, also while nothing more is written.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_target_has_flushed_is_confirmed() {
    let world = World::new(SourceLayout::Canonical, Places::TwoServers).await;
    let daemon = world.started().await;
    world.source.execute(&one_by_one(1, 50)).await;
    let until = world.source.lsn().await;
    let confirmed = format!(
        "select confirmed_flush_lsn >= '{until}' from pg_replication_slots where slot_name = '{}'",
        world.slot
    );
    eventually(
        "the confirmation",
        || daemon.log(),
        || async { world.source.value(&confirmed).await == "true" },
    )
    .await;
    daemon.wait_until_caught_up(&world).await;
}
