//! Trouble with the slot (P12): recognised before a change is applied, healed or refused with its remedy.

use std::time::Duration;

use testkit::source_schema::SourceLayout;

use crate::support::compare::assert_equals_fresh_backfill;
use crate::support::eventually;
use crate::support::world::{Places, World, dirty, set};

async fn loaded(places: Places, seed: u64) -> World {
    let world = World::new(SourceLayout::Canonical, places).await;
    world.load(&dirty(seed, 60), 80, 120).await;
    world
}

/// Changes of every kind, which a slot that is moved over them hides.
const HIDDEN: &str = "
    delete from xendit where ctid in (select ctid from xendit limit 5);
    update systemeio set first_name = 'Hidden' where ctid in (select ctid from systemeio limit 5);
    insert into systemeio (id, email, first_name) values (gen_random_uuid(), 'hidden@example.com', 'Hidden')";

async fn advance(world: &World) {
    let advance = format!("pg_replication_slot_advance('{}', pg_current_wal_lsn())", world.slot);
    world.source.value(&format!("(select end_lsn from {advance})")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_was_advanced_beyond_the_checkpoint_is_replaced_p12() {
    // Making a slot waits for every transaction of its server.
    let world = loaded(Places::TwoServers, 61).await;
    // Before anything was streamed, while the backfill writes people: the stream would begin too late.
    world.succeed(&["migrate"]).await;
    let hold = "create function hold() returns trigger language plpgsql as $$ begin
          if exists (select from tributary.backfill where phase = 'people') then
            perform pg_advisory_xact_lock_shared(77);
          end if;
          return null;
        end $$;
        create trigger hold before insert on unified_profiles for each statement execute function hold()";
    world.target.execute(hold).await;
    let holder = world.target.connect().await;
    holder.batch_execute("select pg_advisory_lock(77)").await.unwrap();
    let mut daemon = world.start();
    let held = "select exists (select from pg_locks where locktype = 'advisory' and objid = 77 and not granted)";
    eventually(
        "the rows are read",
        || daemon.log(),
        || async { world.target.value(held).await == "true" },
    )
    .await;
    world.source.execute(HIDDEN).await;
    advance(&world).await;
    holder.batch_execute("select pg_advisory_unlock(77)").await.unwrap();
    daemon.wait_for_phase("streaming").await;
    daemon.wait_until_caught_up(&world).await;
    daemon.wait_for_phase("streaming").await;
    assert_eq!(
        world
            .target
            .value("select count(*) from unified_profiles where email = 'hidden@example.com'")
            .await,
        "1",
        "{}",
        daemon.log()
    );
    assert_equals_fresh_backfill(&world).await;
    // While the daemon is away.
    daemon.terminate().await;
    world.source.execute(&HIDDEN.replace("hidden@", "hidden2@")).await;
    world.slot_is_free().await;
    advance(&world).await;
    let daemon = world.started().await;
    assert!(daemon.whole_log().contains("confirmed past the checkpoint"), "{}", daemon.log());
    assert_equals_fresh_backfill(&world).await;
}

/// A slot that is somebody else's is never dropped, and nothing is applied.
#[tokio::test(flavor = "multi_thread")]
async fn a_slot_of_another_plugin_or_database_is_refused_p12() {
    let world = loaded(Places::Shared, 62).await;
    world.started().await.terminate().await;
    let slot = &world.slot;
    let drop = format!("select pg_drop_replication_slot('{slot}')");
    let elsewhere = world.with_fresh_target().await;
    for (place, make, expected) in [
        (
            &world.source,
            format!("select pg_create_physical_replication_slot('{slot}')"),
            "output plugin",
        ),
        (
            &world.source,
            format!("select pg_create_logical_replication_slot('{slot}', 'test_decoding')"),
            "output plugin",
        ),
        (
            &elsewhere.target,
            format!("select pg_create_logical_replication_slot('{slot}', 'pgoutput')"),
            "is not of its database",
        ),
    ] {
        world.drop_slot().await;
        if place.connect().await.batch_execute(&make).await.is_err() {
            // The server's packages of test_decoding need not be installed.
            world
                .source
                .execute(&format!("select pg_create_physical_replication_slot('{slot}')"))
                .await;
        }
        let output = world.run(&["run"]).await;
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.contains(expected) && errors.contains("source.slot"), "{errors}");
        let there = format!("select count(*) from pg_replication_slots where slot_name = '{slot}'");
        assert_eq!(world.source.value(&there).await, "1");
        if expected != "output plugin" {
            elsewhere.target.execute(&drop).await;
        }
    }
    // Once it is away, everything is read with a new one.
    world.source.execute(HIDDEN).await;
    let _daemon = world.started().await;
    assert_equals_fresh_backfill(&world).await;
}

/// While the daemon waits for an operator, the source keeps its log: beyond the limit it gives the slot up.
#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_keeps_too_much_log_is_given_up_and_everything_reconciled() {
    let world = loaded(Places::TwoServers, 63).await;
    world.configure(|table| {
        set(table, "guard", "delete_rows", 0);
        set(table, "guard", "delete_percent", 1);
        set(table, "source", "give_up_slot_mb", 8);
    });
    let mut daemon = world.started().await;
    let has_log = || async {
        let log = &daemon.status().await["slot_log"];
        log["wal_status"] == "reserved" && log["retained_bytes"].as_u64().is_some()
    };
    eventually("what the slot keeps is told", || daemon.log(), has_log).await;
    assert!(daemon.metric("tributary_slot_wal_status").await > 0.0);
    assert!(world.succeed(&["status"]).await.contains("slot keeps"));
    world
        .source
        .execute("delete from xendit where ctid in (select ctid from xendit limit 40)")
        .await;
    daemon.wait_for_phase("halted").await;
    let made = format!(
        "select confirmed_flush_lsn from pg_replication_slots where slot_name = '{}'",
        world.slot
    );
    let before = world.source.value(&made).await;
    // 12 MiB.
    world
        .source
        .execute(
            "create table fill as select repeat('x', 1000) as t from generate_series(1, 12000)",
        )
        .await;
    let given_up = || async {
        let now = world.source.value(&made).await;
        daemon.whole_log().contains("gave the slot up") && !now.is_empty() && now != before
    };
    eventually("the slot is given up and made again", || daemon.log(), given_up).await;
    // What is to be deleted is still under the guard.
    daemon.wait_for_phase("halted").await;
    let explain = || daemon.log();
    eventually("accepted", explain, || async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        world.run(&["accept"]).await.status.success()
    })
    .await;
    daemon.wait_for_phase("streaming").await;
    daemon.wait_until_caught_up(&world).await;
    assert_equals_fresh_backfill(&world).await;
}
