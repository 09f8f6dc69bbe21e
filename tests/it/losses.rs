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

/// P13: the largest values of a row that is too large are left out, whether it is read or streamed, as long as it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_too_large_counts_without_its_largest_values_p13() {
    let [long, longer] =
        [3_000, 3_500].map(|length| Random::new(5, length).incompressible(length as usize));
    let insert = |n: u32, description: &str, bank: &str| {
        format!(
            "insert into xendit (id, status, amount, currency, customer_email, description, bank, created) values
             ('00000000-0000-4000-8000-00000000000{n}', 'PAID', 499, 'PHP', 'p{n}@example.com', '{description}', '{bank}',
              '2025-06-30T04:00:00Z')"
        )
    };
    let update =
        |n: u32, what: &str| format!("update xendit set {what} where id::text like '%00{n}'");
    let world = World::canonical(&insert(1, &longer, &long)).await;
    world.configure(|table| set(table, "run", "max_row_bytes", 4_096));
    let mut daemon = world.started().await;
    let rejected = "select string_agg(subject, ' ' order by subject) from tributary.conflict
        where kind = 'rejected_row' and status = 'open' and evidence ->> 'reason' like '%run.max_row_bytes%'";
    let texts = "select string_agg(coalesce(length(description), 0) || '+' || coalesce(length(metadata ->> 'bank'), 0), ' '
        order by payment_provider_id) from transactions where status = 'PAID'";
    let row = |n: u32| format!("xendit:00000000-0000-4000-8000-00000000000{n}");
    let check = async |expected_texts: &str, expected_rows: &[u32]| {
        assert_eq!(world.target.value(texts).await, expected_texts);
        let rows: Vec<String> = expected_rows.iter().map(|&n| row(n)).collect();
        assert_eq!(world.target.value(rejected).await, rows.join(" "));
        let verified = world.run(&["verify"]).await;
        let text = String::from_utf8_lossy(&verified.stdout).into_owned();
        assert!(text.ends_with("no differences\n"), "{text}");
    };
    check("0+3000", &[1]).await;
    world.source.execute(&insert(2, &long, &longer)).await;
    // The stream leaves large values out that stay as they are.
    world.source.execute(&update(1, "status = 'SETTLED', amount = 500")).await;
    world.source.execute(&update(1, "status = 'PAID'")).await;
    daemon.wait_until_caught_up(&world).await;
    check("0+3000 3000+0", &[1, 2]).await;
    // What was left out is read again where the rest became smaller, and the other way round.
    world.source.execute(&update(1, "bank = 'BPI'")).await;
    world.source.execute(&update(2, "description = 'Papers to Profits'")).await;
    daemon.wait_until_caught_up(&world).await;
    check("3500+3 17+3500", &[]).await;
    world.source.execute(&update(1, &format!("bank = '{longer}'"))).await;
    world.source.execute(&update(2, &format!("description = '{longer}'"))).await;
    daemon.wait_until_caught_up(&world).await;
    check("0+3500 0+3500", &[1, 2]).await;
    // A higher limit: the feed is read again.
    assert_eq!(daemon.terminate().await.code(), Some(0));
    world.configure(|_| {});
    daemon = world.started().await;
    let none = || async { world.target.value(rejected).await.is_empty() };
    eventually("rows read again", || daemon.log(), none).await;
    check("3500+3500 3500+3500", &[]).await;
    assert_equals_fresh_backfill(&world).await;
}
