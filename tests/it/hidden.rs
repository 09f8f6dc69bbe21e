//! What the stream does not carry, or not in time: transactions that were open when their table was published, rows that changed
//! without their keys (P1, P18).

use crate::support::compare::assert_equals_fresh_backfill;
use crate::support::daemon::Daemon;
use crate::support::eventually;
use crate::support::world::{Places, World};

use super::noticed::{ROWS, reconciles};

/// Whether the daemon has looked for transactions that write to a feed.
const LOOKS: &str = "select exists (select from pg_stat_activity where datname = current_database()
    and query like '%l.virtualtransaction, l.pid%' and pid <> pg_backend_pid())";

/// The publication did not hold the table when a transaction wrote to it, which commits only after the table was put back.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_was_open_when_its_table_was_published_is_waited_for_p1() {
    let world = World::canonical(ROWS).await;
    let mut daemon = world.started().await;
    let before = reconciles(&world).await;
    let publication = |what: &str| format!("alter publication {} {what} table xendit", world.slot);
    world.source.execute(&publication("drop")).await;
    let mut application = world.source.connect().await;
    let open = application.transaction().await.unwrap();
    let writes = "update xendit set amount = 777 where customer_email = 'p1@example.com';
        delete from xendit where customer_email = 'p2@example.com'";
    open.batch_execute(writes).await.unwrap();
    world.source.execute(&publication("add")).await;
    let waits = || async { world.source.value(LOOKS).await == "true" };
    eventually("it looks for who writes to the feed", || daemon.log(), waits).await;
    // Another feed goes on meanwhile.
    let other = "update systemeio set first_name = 'Luz' where contact_id = 'c3'";
    world.source.execute(other).await;
    let shown = "select first_name = 'Luz' from unified_profiles where email = 'p3@example.com'";
    let goes_on = || async { world.target.value(shown).await == "true" };
    eventually("a change of the other feed", || daemon.log(), goes_on).await;
    assert_eq!(reconciles(&world).await, before, "it was read before: {}", daemon.log());
    assert_eq!(daemon.get("/livez").await.unwrap().0, 200);

    open.commit().await.unwrap();
    let again = || async { reconciles(&world).await > before };
    eventually("the feed is read", || daemon.log(), again).await;
    daemon.wait_for_phase("streaming").await;
    daemon.wait_until_caught_up(&world).await;
    let changed =
        "select count(*) filter (where amount = 777) || ' ' || count(*) from transactions";
    assert_eq!(world.target.value(changed).await, "1 199", "{}", daemon.log());
    assert_equals_fresh_backfill(&world).await;
}

/// A feed is new, and a transaction that wrote to its table before commits only later.
#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_is_new_waits_for_who_writes_to_it_p1() {
    let world = World::with_more_feeds(Places::Shared).await;
    let all = std::sync::Mutex::new(None);
    world.configure(|table| {
        *all.lock().unwrap() = table["feeds"].as_table_mut().unwrap().remove("purchase_leads");
    });
    let mut daemon = world.started().await;
    assert_eq!(daemon.terminate().await.code(), Some(0));
    let mut application = world.source.connect().await;
    let open = application.transaction().await.unwrap();
    let writes = "insert into purchase_leads (id, email, first_name)
        values (gen_random_uuid(), 'late@example.com', 'Tala')";
    open.batch_execute(writes).await.unwrap();
    world.configure(|table| {
        let feed = all.lock().unwrap().take().unwrap();
        table["feeds"].as_table_mut().unwrap().insert("purchase_leads".into(), feed);
    });
    daemon = world.start();
    daemon.wait_for_phase("backfilling").await;
    let waits = || async { world.source.value(LOOKS).await == "true" };
    eventually("it looks for who writes to the feed", || daemon.log(), waits).await;
    open.commit().await.unwrap();
    daemon.wait_for_phase("streaming").await;
    daemon.wait_until_caught_up(&world).await;
    let late = "select first_name from unified_profiles where email = 'late@example.com'";
    assert_eq!(world.target.value(late).await, "Tala", "{}", daemon.log());
}

async fn change_without_keys(world: &World, daemon: &mut Daemon, changes: &str) {
    let before = reconciles(world).await;
    world
        .source
        .execute(&format!(
            "alter table xendit replica identity using index by_business; {changes};
             alter table xendit replica identity default"
        ))
        .await;
    let again = || async { reconciles(world).await > before };
    eventually("the feed is read again", || daemon.log(), again).await;
    assert!(daemon.is_running(), "{}", daemon.log());
    daemon.wait_for_phase("streaming").await;
    daemon.wait_until_caught_up(world).await;
    assert_equals_fresh_backfill(world).await;
}

/// Rows change while the replica identity does not hold their keys, in transactions of every size, also over a crash.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_change_without_their_keys_are_read_again_p18() {
    let world = World::canonical(ROWS).await;
    world
        .source
        .execute(
            "update xendit set business_id = id::text;
             alter table xendit alter column business_id set not null;
             create unique index by_business on xendit (business_id)",
        )
        .await;
    let mut daemon = world.started().await;
    let small = "update xendit set amount = amount + 1 where customer_email < 'p15@example.com';
        delete from xendit where customer_email = 'p16@example.com'";
    change_without_keys(&world, &mut daemon, small).await;
    let large = "begin; update xendit set id = gen_random_uuid();
        insert into systemeio (id, email, first_name) select gen_random_uuid(), 'n' || n || '@example.com', 'Bea'
            from generate_series(1, 2000) n; commit";
    change_without_keys(&world, &mut daemon, large).await;

    assert_eq!(daemon.terminate().await.code(), Some(0));
    world
        .source
        .execute(
            "alter table xendit replica identity using index by_business;
             update xendit set amount = 5 where customer_email = 'p20@example.com';
             alter table xendit replica identity default",
        )
        .await;
    let before = reconciles(&world).await;
    world.dies(&["run"], "keyless-noted").await;
    let mut daemon = world.start();
    let again = || async { reconciles(&world).await > before };
    eventually("the feed is read again", || daemon.log(), again).await;
    daemon.wait_for_phase("streaming").await;
    daemon.wait_until_caught_up(&world).await;
    assert_equals_fresh_backfill(&world).await;
}
