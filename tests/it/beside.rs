//! What the daemon does beside the stream (SPEC §8, §9).

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tributary::config::Config;
use tributary::daemon::watchdog;
use tributary::http::Health;

use crate::support::compare::assert_equals_fresh_backfill;
use crate::support::daemon::Daemon;
use crate::support::world::{World, set};
use crate::support::{PATIENCE, eventually};

/// Payments of this many people.
fn payments(people: u32) -> String {
    format!(
        "insert into xendit (id, status, amount, currency, customer_email, created)
         select gen_random_uuid(), 'PAID', 499, 'PHP', 'p' || n || '@example.com', '2025-06-30T04:00:00Z'
         from generate_series(1, {people}) as n"
    )
}

/// Asks for a rebuild as the command does, and does not wait for the answer.
const ASK_FOR_REBUILD: &str = "insert into tributary.command (request, actor)
    values ('{\"request\": {\"do\": \"rebuild\"}, \"note\": null, \"conflict\": null}', 'test');
    notify tributary_command";

async fn is_true(world: &World, daemon: &Daemon, what: &str, sql: &str) {
    eventually(what, || daemon.log(), || async { world.target.value(sql).await == "true" }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_heard_of_at_once() {
    let world = World::canonical(&payments(20)).await;
    let _daemon = world.started().await;
    let start = Instant::now();
    for n in 1..=5 {
        let (a, b) = (format!("p{n}@example.com"), format!("p{}@example.com", n + 10));
        world.succeed(&["decisions", "add", "separate", &a, &b]).await;
    }
    // Without the notification each would wait for the next look, 5 s after the one before.
    assert!(start.elapsed() < Duration::from_secs(12), "{:?}", start.elapsed());
}

/// A rebuild is done in rounds: the stream goes on meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn changes_are_applied_while_everybody_is_recomputed() {
    let world = World::canonical(&payments(12_000)).await;
    let daemon = world.started().await;
    world.target.execute(ASK_FOR_REBUILD).await;
    let begun = "select phase = 'people' and next_owner is not null from tributary.backfill";
    is_true(&world, &daemon, "a round of the rebuild", begun).await;
    let change = "update xendit set amount = 500 where customer_email = 'p7@example.com'";
    world.source.execute(change).await;
    daemon.wait_until_caught_up(&world).await;
    let waits = "select finished_at is null from tributary.command";
    assert_eq!(world.target.value(waits).await, "true", "the rebuild ended before the change");
    let done = "select ok and finished_at is not null from tributary.command";
    is_true(&world, &daemon, "the answer", done).await;
    let changed = "select count(*) from transactions where amount = 500";
    assert_eq!(world.target.value(changed).await, "1");
}

/// SPEC §9: a reconcile that has read its feeds recomputes between batches, and the checkpoint goes on.
#[tokio::test(flavor = "multi_thread")]
async fn changes_are_applied_while_a_reconcile_recomputes() {
    let world = World::canonical(&payments(8_000)).await;
    let daemon = world.started().await;
    assert_eq!(daemon.terminate().await.code(), Some(0));
    world.drop_slot().await;
    world.source.execute("delete from xendit where customer_email = 'p9@example.com'").await;
    let mut daemon = world.start();
    let begun = "select phase = 'people' and next_owner is not null from tributary.backfill";
    is_true(&world, &daemon, "a round of the people", begun).await;
    let change = "update xendit set amount = 500 where customer_email = 'p7@example.com'";
    world.source.execute(change).await;
    daemon.wait_until_caught_up(&world).await;
    let phase = daemon.status().await["phase"].clone();
    let changed = "select count(*) from transactions where amount = 500";
    assert_eq!(world.target.value(changed).await, "1");
    assert_eq!(phase, "backfilling", "the reconcile ended before the change");
    daemon.wait_for_phase("streaming").await;
    assert_eq!(world.target.value("select phase from tributary.backfill").await, "done");
    assert_equals_fresh_backfill(&world).await;
}

/// Holds up a reconcile of a feed that has begun to read: chunks of one block, and then a lock of its table.
async fn held_up<'a>(
    world: &World,
    daemon: &Daemon,
    application: &'a mut tokio_postgres::Client,
    table: &str,
    begun: &str,
) -> tokio_postgres::Transaction<'a> {
    let start = Instant::now();
    // Closer than other waits: all chunks together take less than a second.
    while world.target.value(begun).await != "true" {
        assert!(start.elapsed() < PATIENCE, "nothing was read\n{}", daemon.log());
    }
    let held = application.transaction().await.unwrap();
    held.batch_execute(&format!("lock table {table} in access exclusive mode")).await.unwrap();
    assert_eq!(phase(world).await, "rows", "the feed was read before it could be held up");
    held
}

async fn phase(world: &World) -> String {
    world.target.value("select phase from tributary.backfill").await
}

const CONTACTS: &str =
    "insert into systemeio (id, contact_id, email, first_name)
     select gen_random_uuid(), 'c' || n, 'p' || n || '@example.com', 'Ana' from generate_series(1, 20) as n";

/// P2, P18: the other feeds go on while one is read again; what the reconcile has to judge as a whole waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_reconcile_of_one_feed_leaves_the_others_streaming_p18() {
    let world = World::canonical(&format!("{}; {CONTACTS}", payments(20_000))).await;
    world.configure(|table| set(table, "run", "chunk_rows", 1));
    let mut daemon = world.started().await;
    let profile = "select id from unified_profiles where email = 'p7@example.com'";
    let profile = world.target.value(profile).await;
    let altered = "alter table xendit rename to elsewhere;
        update elsewhere set amount = 700 where customer_email in ('p1@example.com', 'p19999@example.com');
        alter table elsewhere rename to xendit";
    world.source.execute(altered).await;
    let begun = "select phase = 'rows' and next_block > 0 from tributary.backfill";
    let mut application = world.source.connect().await;
    let held = held_up(&world, &daemon, &mut application, "xendit", begun).await;
    let contact = "insert into systemeio (id, contact_id, email, first_name)
        values (gen_random_uuid(), 'new', 'new@example.com', 'Tala');
        update systemeio set first_name = 'Luz' where contact_id = 'c1'";
    world.source.execute(contact).await;
    let shown = "select count(*) = 2 from unified_profiles
        where (email, first_name) in (('new@example.com', 'Tala'), ('p1@example.com', 'Luz'))";
    is_true(&world, &daemon, "changes of the other feed", shown).await;
    assert_eq!(phase(&world).await, "rows");
    assert_eq!(daemon.status().await["phase"], "backfilling");
    let moves = "update systemeio set email = 'moved@example.com' where contact_id = 'c7'";
    world.source.execute(moves).await;
    held.rollback().await.unwrap();
    daemon.wait_for_phase("streaming").await;
    daemon.wait_until_caught_up(&world).await;
    let moved = "select id from unified_profiles where email = 'moved@example.com'";
    assert_eq!(world.target.value(moved).await, profile);
    let found = "select count(*) from transactions where amount = 700";
    assert_eq!(world.target.value(found).await, "2");
    assert_equals_fresh_backfill(&world).await;
}

/// SPEC §4.3: whom the reconcile found moved is not decided by a batch before the reconcile has judged it.
#[tokio::test(flavor = "multi_thread")]
async fn people_whose_address_the_reconcile_found_changed_wait_for_it_spec_4_3() {
    let contacts = CONTACTS.replace("20)", "20000)");
    let world = World::canonical(&format!("{contacts}; {}; analyze", payments(20))).await;
    world.configure(|table| set(table, "run", "chunk_rows", 1));
    let mut daemon = world.started().await;
    let profile = "select id from unified_profiles where email = 'p1@example.com'";
    let profile = world.target.value(profile).await;
    // The row that moves stays in the first block, where there is room for it.
    let altered = "alter table systemeio rename to elsewhere;
        delete from elsewhere where contact_id in ('c2', 'c3'); vacuum elsewhere;
        update elsewhere set email = 'moved@example.com' where contact_id = 'c1';
        alter table elsewhere rename to systemeio";
    for statement in altered.split(';') {
        world.source.execute(statement).await;
    }
    let begun = "select phase = 'rows' and exists (select from tributary.email_before) from tributary.backfill";
    let mut application = world.source.connect().await;
    let held = held_up(&world, &daemon, &mut application, "systemeio", begun).await;
    let pays = "insert into xendit (id, status, amount, currency, customer_email, created) values
        (gen_random_uuid(), 'PAID', 499, 'PHP', 'p1@example.com', '2025-06-30T04:00:00Z'),
        (gen_random_uuid(), 'PAID', 499, 'PHP', 'p4@example.com', '2025-06-30T04:00:00Z')";
    world.source.execute(pays).await;
    held.rollback().await.unwrap();
    daemon.wait_for_phase("streaming").await;
    daemon.wait_until_caught_up(&world).await;
    let moved = "select id from unified_profiles where email = 'moved@example.com'";
    assert_eq!(world.target.value(moved).await, profile);
    let paid = format!("select count(*) from transactions where user_id = '{profile}'");
    assert_eq!(world.target.value(&paid).await, "2");
    assert_equals_fresh_backfill(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_was_interrupted_is_not_done_twice() {
    let world = World::canonical(&payments(100)).await;
    let daemon = world.started().await;
    let mut application = world.target.connect().await;
    let held = application.transaction().await.unwrap();
    held.batch_execute("lock table unified_profiles in access exclusive mode").await.unwrap();
    world.target.execute(ASK_FOR_REBUILD).await;
    let begun = "select phase = 'people' from tributary.backfill";
    is_true(&world, &daemon, "a rebuild", begun).await;
    let started_at = "select started_at from tributary.backfill";
    let before = world.target.value(started_at).await;
    daemon.kill9().await;
    held.rollback().await.unwrap();
    let daemon = world.started().await;
    let done = "select ok and finished_at is not null from tributary.command";
    is_true(&world, &daemon, "the answer", done).await;
    assert_eq!(world.target.value(started_at).await, before);
    assert_eq!(world.target.value("select phase from tributary.backfill").await, "done");
    assert_equals_fresh_backfill(&world).await;
}

/// What no row explains is tried a bounded number of times; then somebody must look.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_always_refused_halts_with_a_remedy() {
    let world = World::canonical(&payments(5)).await;
    let mut daemon = world.started().await;
    world
        .target
        .execute(
            "create function refuse() returns trigger language plpgsql as
               $$ begin raise exception using errcode = '0A000', message = 'no'; end $$;
             create constraint trigger refuse after update on tributary.checkpoint
               deferrable initially deferred for each row execute function refuse()",
        )
        .await;
    world.source.execute("update xendit set amount = 500").await;
    daemon.wait_for_phase("halted").await;
    let code = async |path| daemon.get(path).await.map(|(code, _)| code);
    assert_eq!((code("/livez").await, code("/readyz").await), (Some(200), Some(503)));
    assert!((daemon.metric("tributary_halted").await - 1.0).abs() < f64::EPSILON);
    let reason = daemon.status().await["halted"].to_string();
    assert!(reason.contains("remedy") && reason.contains("0A000"), "{reason}");
    assert!(world.succeed(&["status"]).await.contains("halted"));
    // There is nothing to accept, and it is known also while no daemon runs.
    assert_eq!(world.run(&["accept"]).await.status.code(), Some(1));
    assert_eq!(daemon.terminate().await.code(), Some(0));
    let status = world.succeed(&["status"]).await;
    assert!(status.contains("no daemon answers") && status.contains("halted      "), "{status}");
    assert!(status.contains("0A000"), "{status}");
    let mut daemon = world.start();
    daemon.wait_for_phase("streaming").await;
    assert!(daemon.status().await["unresolved"].to_string().contains("0A000"));
    world.target.execute("drop trigger refuse on tributary.checkpoint").await;
    daemon.wait_until_caught_up(&world).await;
    let over = "select halted is null from tributary.state";
    is_true(&world, &daemon, "the end of the halt", over).await;
    assert!(daemon.status().await["unresolved"].is_null());
    assert_equals_fresh_backfill(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_counts_conflicts_when_it_is_asked() {
    let world = World::canonical(&payments(5)).await;
    let daemon = world.started().await;
    let review = async || daemon.status().await["conflicts"]["review"].as_u64().unwrap();
    let before = review().await;
    let open =
        "insert into tributary.conflict (kind, severity, status, subject, fingerprint, scope,
            evidence, evidence_digest)
        select 'possible_duplicate', 'review', 'open', 's' || n, gen_random_uuid(), 's', '{}',
            gen_random_uuid() from generate_series(1, 3) as n";
    world.target.execute(open).await;
    let start = Instant::now();
    while review().await != before + 3 {
        assert!(start.elapsed() < Duration::from_secs(3), "the count is old");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// P17: a statement that takes long is no hang, and silence without one is.
#[tokio::test(flavor = "multi_thread")]
async fn a_loop_that_waits_for_a_server_is_alive() {
    let world = World::canonical(&payments(1)).await;
    let environment = |name: &str| match name {
        "TRIBUTARY_SOURCE_URL" => Some(world.source.url()),
        "TRIBUTARY_TARGET_URL" => Some(world.target.url()),
        _ => None,
    };
    let config = Config::load(Some(&world.config()), &environment).unwrap();
    let bound = Duration::from_millis(200);
    let health = Arc::new(Health::new(&world.slot, Timestamp::now(), bound));
    while health.silence() <= bound {
        tokio::time::sleep(bound / 10).await;
    }
    watchdog::look(&config, &health).await;
    assert!(health.silence() > bound, "nothing works, and the loop counts as alive");
    let mut application = world.target.connect().await;
    let held = application.transaction().await.unwrap();
    held.batch_execute("select pg_advisory_xact_lock(1)").await.unwrap();
    let writer =
        tributary::connect::connect(&config.target.server, "tributary", "target").await.unwrap();
    let waiting =
        tokio::spawn(async move { writer.execute("select pg_advisory_lock(1)", &[]).await });
    let blocked = "select exists (select from pg_stat_activity where wait_event_type = 'Lock'
        and datname = current_database() and application_name = 'tributary')";
    eventually("a writer that waits", String::new, || async {
        world.target.value(blocked).await == "true"
    })
    .await;
    let before = health.silence();
    watchdog::look(&config, &health).await;
    assert!(health.silence() < before, "a loop that waits for a lock counts as hanging");
    waiting.abort();
}
