//! What the daemon does by itself now and then: it verifies, and forgets what is closed for long (SPEC §9, §10).

use serde_json::Value;

use crate::support::eventually;
use crate::support::world::{World, set};

const ROWS: &str = "
    insert into systemeio (id, email, first_name, created_at)
    select gen_random_uuid(), 'p' || n || '@example.com', 'Ana', '2025-01-01Z' from generate_series(1, 30) as n";

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_verified_beside_the_stream() {
    let world = World::canonical(ROWS).await;
    world.configure(|table| set(table, "verify", "every", "1s"));
    let daemon = world.started().await;
    let differences = |rows: f64| {
        let daemon = &daemon;
        eventually(
            "a verification",
            || daemon.log(),
            move || async move {
                daemon.metric("tributary_verify_last_timestamp_seconds").await > 0.0
                    && daemon.metric("tributary_verify_differences").await == rows
            },
        )
    };
    differences(0.0).await;
    assert_eq!(daemon.metric("tributary_verify_unsettled").await, 0.0);
    world
        .target
        .execute("update unified_profiles set first_name = 'Planted' where email like 'p1@%'")
        .await;
    differences(1.0).await;
    let log = daemon.whole_log();
    assert!(log.contains("tributary verify") && !log.contains("Planted"), "{log}");
    world.succeed(&["verify", "--repair"]).await;
    differences(0.0).await;
    // What it found survives a restart: nothing is verified again before it is due.
    daemon.terminate().await;
    world.configure(|table| set(table, "verify", "every", "7d"));
    let ended = "select verification ->> 'ended_at' from tributary.state";
    let before = world.target.value(ended).await;
    let daemon = world.started().await;
    eventually(
        "the gauges",
        || daemon.log(),
        || async { daemon.metric("tributary_verify_last_timestamp_seconds").await > 0.0 },
    )
    .await;
    assert_eq!(daemon.metric("tributary_verified_share").await, 1.0);
    assert_eq!(world.target.value(ended).await, before);
}

/// More than one round, on a target without statistics.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_closed_for_long_goes_and_what_is_open_stays() {
    let world = World::canonical(ROWS).await;
    world.configure(|table| set(table, "retention", "days", 30));
    // A backfill closes conflicts of what is not there.
    world.started().await.terminate().await;
    let kept = "insert into tributary.conflict
          (kind, severity, status, subject, fingerprint, scope, evidence, evidence_digest, first_seen_at, resolved_at)
        select 'unlinked_payment', 'review', s, s || n, gen_random_uuid(), 'x', '{}', gen_random_uuid(), at,
          case when s = 'resolved' then at end
        from (values ('resolved', interval '40 days', 2500), ('resolved', '20 days', 3), ('open', '900 days', 5),
                ('dismissed', '900 days', 7)) as v (s, age, count),
          lateral (select now() - age) as a (at), lateral generate_series(1, count) as n;
        insert into tributary.command (request, actor, created_at, finished_at, ok)
        select '{}', 'ana', now() - age, case when ended then now() - age end, ended or null
        from (values (interval '40 days', true), ('20 days', true)) as v (age, ended), generate_series(1, 4);
        create table if not exists tributary.operation_log (id bigint generated always as identity primary key,
          operation text not null, started_at timestamptz not null default now(), outcome text, version text, config_hash text);
        insert into tributary.operation_log (operation, outcome, started_at, version, config_hash)
        select 'test', o, now() - age, '1', '1'
        from (values ('done', interval '40 days'), ('done', '1 day'), (null, '40 days')) as v (o, age)";
    world.target.execute(kept).await;
    let daemon = world.started().await;
    let left = "select jsonb_build_object(
        'conflicts', (select jsonb_object_agg(status, n) from (
           select status, count(*) as n from tributary.conflict where scope = 'x' group by 1) s),
        'commands', (select count(*) from tributary.command where actor = 'ana'),
        'log', (select count(*) from tributary.operation_log where operation = 'test'))";
    let expected = serde_json::json!(
        {"conflicts": {"resolved": 3, "open": 5, "dismissed": 7}, "commands": 4, "log": 2});
    let done = || async {
        let left: Value = serde_json::from_str(&world.target.value(left).await).unwrap();
        left == expected
    };
    eventually("what is closed for long is gone", || daemon.log(), done).await;
}

/// SPEC §2: a large table of the application is indexed while its writers go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_table_is_indexed_while_its_writers_go_on() {
    let world = World::canonical("select 1").await;
    world.succeed(&["migrate"]).await;
    let rows = "drop index tributary_transactions_user_id, tributary_transactions_payment_provider_id;
        insert into transactions (id, amount, description) select gen_random_uuid(), n, repeat('x', 250)
        from generate_series(1, 40000) as n";
    world.target.execute(rows).await;
    let open = world.target.connect().await;
    open.batch_execute(
        "begin; insert into transactions (id, amount) values (gen_random_uuid(), 1)",
    )
    .await
    .unwrap();
    let (migrated, ()) = tokio::join!(world.run(&["migrate"]), async {
        let builds = "select count(*) from pg_stat_activity where query like 'create index concurrently%user_id%'
            and datname = current_database() and wait_event_type = 'Lock'";
        let waits = || async { world.target.value(builds).await == "1" };
        crate::support::eventually("the index waits for what is open", String::new, waits).await;
        // A writer that comes later does not wait behind it.
        let write = "set statement_timeout = '5s'; insert into transactions (id, amount) values (gen_random_uuid(), 1)";
        world.target.connect().await.batch_execute(write).await.unwrap();
        open.batch_execute("commit").await.unwrap();
    });
    assert_eq!(migrated.status.code(), Some(0), "{migrated:?}");
    let valid = "select string_agg(indexrelid::regclass::text, ' ' order by indexrelid::regclass::text) from pg_index
        where indrelid = 'transactions'::regclass and indisvalid and not indisprimary";
    assert_eq!(
        world.target.value(valid).await,
        "tributary_transactions_payment_provider_id tributary_transactions_user_id"
    );
    let again = world.succeed(&["migrate"]).await;
    assert!(!again.contains("index"), "{again}");
}
