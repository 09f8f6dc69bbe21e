//! Daemons that hang (SIGSTOP) and come back after another one has taken over (P11).

use testkit::source_schema::SourceLayout;

use crate::support::compare::assert_equals_fresh_backfill;
use crate::support::eventually;
use crate::support::world::{Places, World, dirty, set};

/// Ends the session that holds the writer's lock, as a server does that has lost its client.
const END_LEADER: &str = "select count(pg_terminate_backend(pid)) from pg_locks
    where locktype = 'advisory' and granted and objsubid = 1 and mode = 'ExclusiveLock'
      and database = (select oid from pg_database where datname = current_database())";

#[derive(Clone, Copy, PartialEq, Eq)]
enum During {
    Backfill,
    Stream,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_stopped_in_its_backfill_commits_nothing_after_a_take_over_p11() {
    comes_back_second(During::Backfill).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_stopped_while_it_streams_commits_nothing_after_a_take_over_p11() {
    comes_back_second(During::Stream).await;
}

async fn comes_back_second(during: During) {
    let world = World::new(SourceLayout::Canonical, Places::Shared).await;
    world.configure(|table| set(table, "run", "chunk_rows", 100));
    world.load(&dirty(61, 500), 1_000, 1_500).await;
    let mut first = world.start();
    if during == During::Backfill {
        first.wait_for_rows(300, 0).await;
    } else {
        first.wait_for_phase("streaming").await;
        // Behind by a transaction that is applied in parts.
        world.source.execute(&large("a")).await;
        world.source.execute("update xendit set amount = amount + 1").await;
    }
    first.signal("STOP").await;
    let world = world.on_another_port();
    let mut second = world.start();
    second.wait_for_phase("waiting_for_lock").await;
    let epoch = "select coalesce(max(epoch), 0) from tributary.installation";
    let before: i64 = world.target.value(epoch).await.parse().unwrap();
    assert_eq!(world.target.value(END_LEADER).await, "1");
    second.wait_for_phase("streaming").await;
    // What the first may still hold in memory is older than these.
    world.source.execute("delete from xendit where id::text like 'b%'").await;
    world.source.execute(&large("b")).await;
    second.wait_until_caught_up(&world).await;
    let after: i64 = world.target.value(epoch).await.parse().unwrap();
    assert!(after > before, "a take-over raises the epoch");
    first.signal("CONT").await;
    let explain = || first.log();
    let waits = || async { first.status().await["phase"] == "waiting_for_lock" };
    eventually("the first daemon as a standby", explain, waits).await;
    assert_eq!(world.target.value(epoch).await, after.to_string(), "{}", first.log());
    world.source.execute("update systemeio set first_name = 'Tala'").await;
    second.wait_until_caught_up(&world).await;
    drop((first, second));
    assert_equals_fresh_backfill(&world).await;
}

/// More payments than a batch holds, of people of their own.
fn large(name: &str) -> String {
    format!(
        "insert into xendit (id, status, amount, currency, customer_email, created)
         select gen_random_uuid(), 'PAID', 499, 'PHP', '{name}' || n || '@example.com', '2025-06-30T04:00:00Z'
         from generate_series(1, 2500) as n"
    )
}
