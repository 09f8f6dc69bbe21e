//! What the one who runs the daemon relies on (P9 to P15, SPEC §9).

use crate::support::compare::assert_equals_fresh_backfill;
use crate::support::world::{World, set};

const ROWS: &str = "
    insert into xendit (id, status, amount, currency, customer_email, created)
    select gen_random_uuid(), 'PAID', 499, 'PHP', 'p' || n || '@example.com', '2025-06-30T04:00:00Z'
    from generate_series(1, 3000) as n;
    insert into systemeio (id, contact_id, email, first_name)
    select gen_random_uuid(), 'c' || n, 'p' || n || '@example.com', 'Ana'
    from generate_series(1, 3000) as n";

/// One accept lets the whole source transaction pass, also after a restart in front of it.
async fn one_accept_is_enough(statements: &str) {
    let world = World::canonical(ROWS).await;
    let mut daemon = world.started().await;
    world.source.execute(statements).await;
    daemon.wait_for_phase("halted").await;
    daemon.kill9().await;
    daemon = world.start();
    daemon.wait_for_phase("halted").await;
    let reason = daemon.status().await["halted"].to_string();
    assert!(reason.contains("xendit") && reason.contains("systemeio"), "{reason}");
    world.succeed(&["accept"]).await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(world.target.value("select count(*) from transactions").await, "0");
    assert_equals_fresh_backfill(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncate_of_both_tables_is_one_halt() {
    one_accept_is_enough("truncate xendit, systemeio").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mass_delete_from_both_tables_is_one_halt() {
    one_accept_is_enough("begin; delete from xendit; delete from systemeio; commit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncate_and_a_mass_delete_in_one_transaction_are_accepted_one_after_the_other() {
    let world = World::canonical(ROWS).await;
    let mut daemon = world.started().await;
    world.source.execute("begin; truncate xendit; delete from systemeio; commit").await;
    daemon.wait_for_phase("halted").await;
    world.succeed(&["accept"]).await;
    crate::support::eventually(
        "the second halt",
        || daemon.log(),
        || async { daemon.status().await["halted"].to_string().contains("deletes 3000") },
    )
    .await;
    world.succeed(&["accept"]).await;
    daemon.wait_until_caught_up(&world).await;
    assert_equals_fresh_backfill(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_of_both_tables_is_one_halt() {
    let world = World::canonical(ROWS).await;
    let daemon = world.started().await;
    assert_eq!(daemon.terminate().await.code(), Some(0));
    world.drop_slot().await;
    world.source.execute("truncate xendit, systemeio").await;
    let mut daemon = world.start();
    daemon.wait_for_phase("halted").await;
    assert_eq!(world.target.value("select count(*) from transactions").await, "3000");
    // What is asked for meanwhile must not make the sweep forget any row.
    assert_eq!(world.run(&["rebuild"]).await.status.code(), Some(1));
    let key = world.target.value("select min(key) from tributary.source_row where feed = 2").await;
    world.succeed(&["decisions", "add", "product", &format!("xendit:{key}"), "canva"]).await;
    world.succeed(&["accept"]).await;
    daemon.wait_for_phase("streaming").await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(world.target.value("select count(*) from transactions").await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_does_not_take_the_place_of_an_unfinished_backfill() {
    let world = World::canonical(ROWS).await;
    world.configure(|table| set(table, "run", "chunk_rows", 20));
    let mut daemon = world.start();
    let before = daemon.wait_for_rows(200, 0).await;
    assert_eq!(daemon.terminate().await.code(), Some(0));
    let phase = world.target.value("select phase from tributary.backfill").await;
    assert_eq!(phase, "rows", "after {before} rows");
    assert_eq!(world.run(&["rebuild"]).await.status.code(), Some(1));
    let _daemon = world.started().await;
    assert_equals_fresh_backfill(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_deleted_and_inserted_again_in_one_transaction_do_not_halt() {
    let world = World::canonical(&ROWS.replace("3000", "8000")).await;
    let daemon = world.started().await;
    world
        .source
        .execute(
            "begin; create temp table kept as table xendit; delete from xendit;
             insert into xendit select * from kept; commit",
        )
        .await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(world.target.value("select count(*) from transactions").await, "8000");
    assert_equals_fresh_backfill(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_needs_both_servers() {
    let world = World::canonical(ROWS).await;
    for variable in ["TRIBUTARY_SOURCE_URL", "TRIBUTARY_TARGET_URL"] {
        let mut dead = world.command(&["backfill", "--dry-run"]);
        let dead = dead.env(variable, "postgresql://postgres@127.0.0.1:1/postgres");
        assert_eq!(dead.output().await.unwrap().status.code(), Some(69), "{variable}");
    }
}

/// Statistics are not gathered within a transaction, so a plan must not depend on them (P13).
#[tokio::test(flavor = "multi_thread")]
async fn a_large_transaction_does_not_scan_what_it_writes_round_by_round() {
    let world = World::canonical("select 1").await;
    let daemon = world.started().await;
    world.source.execute(&ROWS.replace("3000", "15000")).await;
    daemon.wait_until_caught_up(&world).await;
    // Counters are reported after the end of a transaction, all of them together.
    let reported =
        "select n_tup_ins from pg_stat_user_tables where relid = 'tributary.source_row'::regclass";
    crate::support::eventually(
        "the counters of the transaction",
        || daemon.log(),
        || async { world.target.value(reported).await == "30000" },
    )
    .await;
    let scanned =
        "select string_agg(relid::regclass || ' ' || seq_tup_read, ', ') from pg_stat_user_tables
        where seq_tup_read > 15000 and relid in ('tributary.source_row'::regclass,
            'tributary.person'::regclass, 'tributary.conflict'::regclass,
            'unified_profiles'::regclass, 'transactions'::regclass)";
    assert_eq!(world.target.value(scanned).await, "", "rows were read by scanning");
}
