//! What the daemon does not do by itself (P9, P10), and how it ends.

use std::time::Instant;

use crate::support::daemon::{Daemon, checkpoint};
use crate::support::eventually;
use crate::support::world::{World, set};

const PAYMENTS: &str = "insert into xendit (id, status, amount, currency, customer_email, created)
    select gen_random_uuid(), 'PAID', 499, 'PHP', 'p' || n || '@example.com', '2025-06-30T04:00:00Z'
    from generate_series(1, 3000) as n";

#[tokio::test(flavor = "multi_thread")]
async fn truncate_halts_until_accepted() {
    halts_until_accepted("truncate xendit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mass_delete_halts_until_accepted() {
    halts_until_accepted("delete from xendit").await;
}

/// What is applied in parts by then is still there for whoever counts.
#[tokio::test(flavor = "multi_thread")]
async fn a_truncate_behind_deletes_of_its_transaction_halts_until_accepted() {
    halts_until_accepted("begin; delete from xendit; truncate xendit; commit").await;
}

/// The slot that brought the TRUNCATE is lost while an operator is waited for: the reconcile waits in its place.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_truncate_would_delete_is_not_swept_after_the_slot_was_lost_p9() {
    let world = World::canonical(&PAYMENTS.replace("3000", "30")).await;
    let mut daemon = world.started().await;
    world.source.execute("truncate xendit").await;
    daemon.wait_for_phase("halted").await;
    // A pause in front of it does not make it forgotten.
    world.succeed(&["pause"]).await;
    let is_paused = || async {
        daemon.status().await["halted"].as_str().is_some_and(|why| why.contains("paused by"))
    };
    eventually("the pause is shown", || daemon.log(), is_paused).await;
    assert_eq!(daemon.terminate().await.code(), Some(0));
    world.succeed(&["resume"]).await;
    world.drop_slot().await;
    let mut daemon = world.start();
    daemon.wait_for_phase("halted").await;
    assert_eq!(transactions(&world).await, "30");
    world.succeed(&["accept"]).await;
    daemon.wait_for_phase("streaming").await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(transactions(&world).await, "0");
}

/// A TRUNCATE that is not in the stream, as the table had another name, waits for an operator too.
#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_truncate_is_not_swept_by_itself_p9() {
    let world = World::canonical(&PAYMENTS.replace("3000", "30")).await;
    let mut daemon = world.started().await;
    let hidden =
        "alter table xendit rename to away; truncate away; alter table away rename to xendit";
    for statement in hidden.split(';') {
        world.source.execute(statement).await;
    }
    daemon.wait_for_phase("halted").await;
    assert_eq!(transactions(&world).await, "30");
    world.succeed(&["accept"]).await;
    daemon.wait_for_phase("streaming").await;
    daemon.wait_until_caught_up(&world).await;
    let none = || async { transactions(&world).await == "0" };
    eventually("no transactions", || daemon.log(), none).await;
}

/// What was read after a TRUNCATE that is still to be streamed is not what it deletes.
#[tokio::test(flavor = "multi_thread")]
async fn a_truncate_takes_nothing_that_was_read_after_it() {
    let world = World::canonical(&PAYMENTS.replace("3000", "30")).await;
    let daemon = world.started().await;
    assert_eq!(daemon.terminate().await.code(), Some(0));
    world.source.execute("truncate xendit").await;
    world.source.execute(&PAYMENTS.replace("3000", "20").replace("499", "500")).await;
    world.succeed(&["backfill"]).await;
    let rows = "select string_agg(id || ' ' || xmin::text, ' ' order by id) from transactions";
    let before = world.target.value(rows).await;
    assert_eq!(transactions(&world).await, "20");
    let _daemon = world.started().await;
    assert_eq!(world.target.value(rows).await, before);
}

async fn halts_until_accepted(statement: &str) {
    let world = World::canonical(PAYMENTS).await;
    let mut daemon = world.started().await;
    world.source.execute(statement).await;
    daemon.wait_for_phase("halted").await;
    let code = async |path| daemon.get(path).await.map(|(code, _)| code);
    assert_eq!((code("/livez").await, code("/readyz").await), (Some(200), Some(503)));
    assert!((daemon.metric("tributary_halted").await - 1.0).abs() < f64::EPSILON);
    assert_eq!(transactions(&world).await, "3000");
    // A pause is a halt of its own in front of it, and leads back to it.
    let reads = |text: &'static str| {
        let daemon = &daemon;
        move || async move {
            daemon.status().await["halted"].as_str().is_some_and(|why| why.contains(text))
        }
    };
    world.succeed(&["pause"]).await;
    eventually("the pause is shown", || daemon.log(), reads("paused by")).await;
    assert_eq!(world.run(&["accept"]).await.status.code(), Some(1));
    world.succeed(&["resume"]).await;
    eventually("the halt is shown", || daemon.log(), reads("tributary accept")).await;
    assert_eq!(transactions(&world).await, "3000");
    world.succeed(&["accept"]).await;
    daemon.wait_for_phase("streaming").await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(transactions(&world).await, "0");
    assert_eq!(world.run(&["accept"]).await.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_transaction_that_changes_every_key_deletes_nothing() {
    let world = World::canonical(PAYMENTS).await;
    world.configure(|table| set(table, "run", "batch_rows", 700));
    let daemon = world.started().await;
    world.source.execute("update xendit set id = gen_random_uuid(), amount = 500").await;
    daemon.wait_until_caught_up(&world).await;
    let changed = "select count(*) from transactions where amount = 500";
    assert_eq!(transactions(&world).await, "3000");
    assert_eq!(world.target.value(changed).await, "3000");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_a_transaction_adds_do_not_hide_those_it_deletes() {
    let world = World::canonical(PAYMENTS).await;
    world.configure(|table| set(table, "run", "batch_rows", 700));
    let mut daemon = world.started().await;
    let add = PAYMENTS.replace("generate_series(1, 3000)", "generate_series(3001, 6000)");
    let delete = "delete from xendit where id in (select id from xendit limit 1500)";
    world.source.execute(&format!("begin; {delete}; {add}; commit")).await;
    daemon.wait_for_phase("halted").await;
    assert_eq!(transactions(&world).await, "3000");
    world.succeed(&["accept"]).await;
    daemon.wait_for_phase("streaming").await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(transactions(&world).await, "4500");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_deferred_constraint_of_the_application_refuses_is_set_aside() {
    let world = World::canonical(PAYMENTS).await;
    world.succeed(&["migrate"]).await;
    world
        .target
        .execute(
            "create function refuse() returns trigger language plpgsql as $$ begin
               if new.amount = 777 then raise exception using errcode = 'APP01', message = 'no'; end if;
               return null;
             end $$;
             create constraint trigger refuse after insert or update on transactions
               deferrable initially deferred for each row execute function refuse();
             create table tier (name text primary key);
             insert into tier values ('viewer'), ('499'), ('500');
             alter table transactions add column tier text generated always as (amount::text) stored
               references tier deferrable initially deferred",
        )
        .await;
    let daemon = world.started().await;
    for (n, amount) in [(1, 777), (2, 778)] {
        let email = format!("p{n}@example.com");
        let update =
            format!("update xendit set amount = {amount} where customer_email = '{email}'");
        world.source.execute(&update).await;
    }
    world.source.execute("update xendit set amount = 500 where amount = 499").await;
    daemon.wait_until_caught_up(&world).await;
    let others = "select count(*) from transactions where amount = 500";
    assert_eq!(world.target.value(others).await, "2998");
    let rejected =
        "select count(*) from tributary.conflict where kind = 'rejected_row' and status = 'open'";
    assert_eq!(world.target.value(rejected).await, "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_the_target_rejects_is_set_aside_and_all_others_go_on() {
    let world = World::canonical(PAYMENTS).await;
    let daemon = world.started().await;
    world.target.execute("alter table transactions add check (amount < 1000000)").await;
    world
        .source
        .execute(
            "update xendit set amount = 500; update xendit set amount = 2000000
        where customer_email = 'p1@example.com'",
        )
        .await;
    daemon.wait_until_caught_up(&world).await;
    let others = "select count(*) from transactions where amount = 500";
    assert_eq!(world.target.value(others).await, "2999");
    let rejected =
        "select count(*) from tributary.conflict where kind = 'rejected_row' and status = 'open'";
    assert_eq!(world.target.value(rejected).await, "1");
    world.source.execute("update xendit set amount = 501 where amount = 2000000").await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(world.target.value(rejected).await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_leaves_with_exit_code_0_and_all_committed() {
    let world = World::canonical(PAYMENTS).await;
    let daemon = world.started().await;
    world.source.execute("update xendit set status = 'SETTLED'").await;
    daemon.wait_until_caught_up(&world).await;
    let before = checkpoint(&world.target, &world.slot).await;
    let start = Instant::now();
    assert_eq!(daemon.terminate().await.code(), Some(0));
    // The promise is five seconds; a loaded machine gets more.
    assert!(start.elapsed().as_secs() < 15, "{:?}", start.elapsed());
    assert!(checkpoint(&world.target, &world.slot).await >= before);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_configuration_usage_and_dead_servers_have_their_exit_codes() {
    let world = World::canonical("select 1").await;
    assert_eq!(world.run(&["no-such-command"]).await.status.code(), Some(2));
    let start = Instant::now();
    let mut dead = world.command(&["check"]);
    let dead = dead.env("TRIBUTARY_TARGET_URL", "postgresql://postgres@127.0.0.1:1/postgres");
    assert_eq!(dead.output().await.unwrap().status.code(), Some(69));
    assert!(start.elapsed().as_secs() < 12, "{:?}", start.elapsed());
    world.configure(|table| set(table, "run", "chunk_rwos", 5));
    assert_eq!(world.run(&["check"]).await.status.code(), Some(78));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_transaction_is_not_split() {
    let world = World::canonical("select 1").await;
    world.configure(|table| set(table, "run", "batch_rows", 700));
    let daemon = world.started().await;
    world.source.execute(PAYMENTS).await;
    eventually(
        "all rows of the transaction",
        || daemon.log(),
        || async {
            let count = transactions(&world).await;
            assert!(count == "0" || count == "3000", "a part of a transaction is visible: {count}");
            count == "3000"
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_daemons_one_works_and_the_other_takes_over() {
    let world = World::canonical(PAYMENTS).await;
    let first = world.started().await;
    let waiting = world.on_another_port();
    let mut second = Daemon::start(&waiting);
    second.wait_for_phase("waiting_for_lock").await;
    first.kill9().await;
    let start = Instant::now();
    second.wait_for_phase("streaming").await;
    // The promise is fifteen seconds; a loaded machine gets more.
    assert!(start.elapsed().as_secs() < 30, "{:?}", start.elapsed());
    waiting.source.execute("delete from xendit where customer_email < 'p11'").await;
    second.wait_until_caught_up(&waiting).await;
    let rows = waiting.source.value("select count(*) from xendit").await;
    assert_eq!(transactions(&waiting).await, rows);
}

async fn transactions(world: &World) -> String {
    world.target.value("select count(*) from transactions").await
}

/// A pause holds the stream up, and not what operators ask for.
#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_and_a_rollout_are_carried_out_while_the_stream_is_paused() {
    let rows = "insert into systemeio (id, contact_id, email, first_name)
        select md5('s' || n)::uuid, 'c' || n, 'p' || n || '@example.com', 'Ana' from generate_series(1, 40) n;
        insert into xendit (id, status, amount, currency, description, customer_email, created)
        select md5('x')::uuid, 'PAID', 499, 'PHP', 'Papers to Profits', 'p1@example.com', '2025-06-30T04:00:00Z'";
    let world = World::canonical(rows).await;
    let mut daemon = world.started().await;
    world.succeed(&["pause"]).await;
    daemon.wait_for_phase("halted").await;
    // One that is started while it is paused knows the date.
    assert_eq!(daemon.terminate().await.code(), Some(0));
    let mut daemon = world.start();
    daemon.wait_for_phase("halted").await;
    let enrolled = "select string_agg(status, ' ') from enrollments";
    assert_eq!(world.target.value(enrolled).await, "expired");
    world.target.execute("update unified_profiles set first_name = 'Bea'").await;
    let answer = world.succeed(&["rebuild"]).await;
    assert!(answer.contains("everybody is recomputed"), "{answer}");
    let named = "select string_agg(distinct first_name, ' ') from unified_profiles";
    assert_eq!(world.target.value(named).await, "Ana");
    assert_eq!(world.target.value(enrolled).await, "expired");
    world.succeed(&["rollout", "50"]).await;
    world.succeed(&["rollout", "100"]).await;
    assert_eq!(daemon.status().await["phase"], "halted");
    world.source.execute("update systemeio set first_name = 'Cora'").await;
    world.succeed(&["resume"]).await;
    daemon.wait_for_phase("streaming").await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(world.target.value(named).await, "Cora");
    world.succeed(&["verify"]).await;
}
