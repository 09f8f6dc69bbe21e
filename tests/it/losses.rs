//! What once lost data (P1, P6).

use std::time::Duration;

use testkit::random::Random;
use testkit::source_schema::SourceLayout;

use crate::support::compare::assert_equals_fresh_backfill;
use crate::support::eventually;
use crate::support::world::{Places, World, dirty, set};

const ROWS: &str = "
    insert into xendit (id, status, amount, currency, customer_email, created)
    select gen_random_uuid(), 'PAID', 499, 'PHP', 'p' || n || '@example.com', '2025-06-30T04:00:00Z'
    from generate_series(1, 200) as n;
    insert into systemeio (id, contact_id, email, first_name)
    select gen_random_uuid(), 'c' || n, 'p' || n || '@example.com', 'Ana'
    from generate_series(1, 200) as n";

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_that_is_killed_at_random_moments_fills_the_targets_p1() {
    let world = World::canonical(ROWS).await;
    let mut random = Random::new(7, 1);
    for _ in 0..12 {
        let daemon = world.start();
        tokio::time::sleep(Duration::from_millis(random.below(500))).await;
        daemon.kill9().await;
    }
    let _daemon = world.started().await;
    assert_eq!(world.target.value("select count(*) from transactions").await, "200");
    assert_equals_fresh_backfill(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_that_was_refused_fills_the_targets_p1() {
    let world = World::canonical(ROWS).await;
    world.succeed(&["migrate"]).await;
    world.configure(|table| set(table, "run", "migrate", false));
    world.target.execute("alter table enrollments rename to enrollments_elsewhere").await;
    assert_eq!(world.run(&["run"]).await.status.code(), Some(1));
    world.target.execute("alter table enrollments_elsewhere rename to enrollments").await;
    let _daemon = world.started().await;
    assert_eq!(world.target.value("select count(*) from transactions").await, "200");
    assert_equals_fresh_backfill(&world).await;
}

/// Versions before this rule could leave a checkpoint and nothing that was to be read.
#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_without_a_backfill_is_due_for_one_p1() {
    let world = World::canonical(ROWS).await;
    world.succeed(&["migrate"]).await;
    let slot = &world.slot;
    let publish = format!("create publication {slot} for table xendit, systemeio");
    world.source.execute(&publish).await;
    let make = format!("pg_create_logical_replication_slot('{slot}', 'pgoutput')");
    let lsn = world.source.value(&format!("select lsn from {make}")).await;
    let keep = format!("insert into tributary.checkpoint (slot, lsn) values ('{slot}', '{lsn}')");
    world.target.execute(&keep).await;
    let _daemon = world.started().await;
    assert_eq!(world.target.value("select count(*) from transactions").await, "200");
    assert_equals_fresh_backfill(&world).await;
}

/// P6: the value of the insert is carried over an update of another column and of the key, in one transaction
/// and in several, in one batch and in several.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_value_survives_updates_of_other_columns_and_of_the_key_p6() {
    let world = World::new(SourceLayout::Canonical, Places::Shared).await;
    world.load(&dirty(21, 50), 20, 20).await;
    let text = Random::new(1, 1).incompressible(100_000);
    let id = |n: u32, key: u32| format!("'00000000-0000-4000-8000-{key:08}{n:04}'");
    let insert = |n: u32| {
        format!(
            "insert into xendit (id, status, amount, currency, customer_email, description, created)
             values ({}, 'PENDING', 499, 'PHP', 'large{n}@example.com', '{text}', '2025-06-30T04:00:00Z')",
            id(n, 0)
        )
    };
    let update = |n: u32| format!("update xendit set status = 'PAID' where id = {}", id(n, 0));
    let rekey = |n: u32, from: u32| {
        format!("update xendit set id = {} where id = {}", id(n, from + 1), id(n, from))
    };
    let all = |n: u32| [insert(n), update(n), rekey(n, 0), rekey(n, 1)];

    // Stored by the backfill, then changed.
    world.source.execute(&insert(1)).await;
    let mut daemon = world.started().await;
    world.source.execute(&[update(1), rekey(1, 0), rekey(1, 1)].join("; ")).await;
    // In one transaction, and each statement in a batch of its own.
    world.source.execute(&all(2).join("; ")).await;
    for statement in all(3) {
        world.source.execute(&statement).await;
        daemon.wait_until_caught_up(&world).await;
    }
    // In several transactions of one batch, and over a restart.
    daemon.terminate().await;
    for statement in all(4) {
        world.source.execute(&statement).await;
    }
    world.source.execute(&insert(5)).await;
    daemon = world.started().await;
    daemon.kill9().await;
    world.source.execute(&[update(5), rekey(5, 0), rekey(5, 1)].join("; ")).await;
    // In small batches while the source has long moved on: no key is there any more to ask for.
    world.source.execute(&all(6)[..3].join("; ")).await;
    world.source.execute(&rekey(6, 1)).await;
    for statement in all(7) {
        world.source.execute(&statement).await;
    }
    world.configure(|table| set(table, "run", "batch_rows", 1));
    daemon = world.started().await;

    let whole = format!(
        "select count(*) from transactions where status = 'PAID' and description = '{text}'"
    );
    assert_eq!(world.target.value(&whole).await, "7", "{}", daemon.log());
    assert_equals_fresh_backfill(&world).await;
}

/// Stored values of another version or with other columns hold nobody up: the rows are read from the source again.
#[tokio::test(flavor = "multi_thread")]
async fn stored_rows_that_cannot_be_read_are_read_again() {
    let world = World::canonical(
        "insert into systemeio (id, email, first_name)
            select gen_random_uuid(), 'a' || n || '@example.com', 'Ana' from generate_series(1, 3) as n;
         insert into xendit (id, status, amount, currency, customer_email, created)
            select gen_random_uuid(), 'PAID', 499, 'PHP', 'a' || n || '@example.com', '2025-06-30T04:00:00Z'
            from generate_series(1, 3) as n",
    )
    .await;
    let daemon = world.started().await;
    assert_eq!(daemon.terminate().await.code(), Some(0));
    world.target.execute("update tributary.source_row set raw = '\\x0100' where feed = 2").await;
    world.source.execute("update systemeio set first_name = 'Tala'").await;
    // The batch is applied, and the rows are due to be read when the daemon starts the next time at the latest.
    let daemon = world.started().await;
    assert_eq!(daemon.terminate().await.code(), Some(0));
    let daemon = world.started().await;
    let names = "select string_agg(distinct first_name, ' ') from unified_profiles";
    let explain = || daemon.log();
    let read = || async { world.target.value(names).await == "Tala" };
    eventually("rows read again", explain, read).await;
    let incomplete = "select count(*) from tributary.source_row where not complete";
    assert_eq!(world.target.value(incomplete).await, "0");
    assert_equals_fresh_backfill(&world).await;
}
