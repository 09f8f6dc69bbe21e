//! `rollout N`: in steps, without reading the source again (SPEC §7a).

use std::process::Stdio;

use serde_json::Value;
use testkit::source_schema::SourceLayout;

use crate::support::compare::assert_equals_fresh_backfill;
use crate::support::eventually;
use crate::support::world::{Places, World, dirty};

const WRITTEN: &str =
    "select (select count(*) from unified_profiles) || ' ' || (select count(*) from transactions)
    || ' ' || (select count(*) from enrollments)";

async fn rollout(world: &World, percent: &str) -> Value {
    world.json(&["rollout", percent, "--json"]).await
}

fn outside(shown: &Value, table: &str) -> i64 {
    shown["rollout"]["outside"][table].as_i64().unwrap()
}

async fn count(world: &World, table: &str) -> i64 {
    world.target.value(&format!("select count(*) from {table}")).await.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_in_steps_ends_as_a_fresh_backfill_spec_7a() {
    let world = World::new(SourceLayout::Canonical, Places::Shared).await;
    world.load(&dirty(23, 70), 80, 100).await;
    // A rehearsal: everything is decided, nothing is written.
    world.succeed(&["migrate"]).await;
    rollout(&world, "0").await;
    let daemon = world.started().await;
    let population = dirty(23, 70);
    let client = world.source.connect().await;
    testkit::load::append(&client, world.layout, &population, 80..110, 100..160).await.unwrap();
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(world.target.value(WRITTEN).await, "0 0 0");
    assert!(count(&world, "tributary.person").await > 20);
    assert!(count(&world, "tributary.conflict").await > 5);
    world.succeed(&["verify"]).await;
    // A decision about two who are outside writes nothing either, nor does the way back.
    let person = "select email_key from tributary.person where state = 'present' and outside order by email_key";
    let first = world.target.value(&format!("{person} limit 1")).await;
    let second = world.target.value(&format!("{person} offset 1 limit 1")).await;
    world.succeed(&["decisions", "add", "alias", &first, &second]).await;
    assert_eq!(world.target.value(WRITTEN).await, "0 0 0");
    let id = world.target.value("select max(id) from tributary.decision").await;
    world.succeed(&["decisions", "revert", &id]).await;
    assert_eq!(world.target.value(WRITTEN).await, "0 0 0");
    let outsiders = "select count(*) from tributary.person where not outside";
    assert_eq!(world.target.value(outsiders).await, "0");
    let read = daemon.metric("tributary_backfill_rows_read_total").await;
    let rehearsed = rollout(&world, "0").await;
    let all = (outside(&rehearsed, "profiles"), outside(&rehearsed, "transactions"));

    let mut before = (0, 0);
    for percent in ["10", "50"] {
        let shown = rollout(&world, percent).await;
        let written =
            (count(&world, "unified_profiles").await, count(&world, "transactions").await);
        assert!(
            written.0 >= before.0 && written.1 >= before.1,
            "{percent}: {before:?} {written:?}"
        );
        assert_eq!(
            (written.0 + outside(&shown, "profiles"), written.1 + outside(&shown, "transactions")),
            all,
            "{percent}"
        );
        assert!(0 < written.1 && written.1 < all.1, "{percent}: {written:?} of {all:?}");
        world.succeed(&["verify"]).await;
        before = written;
    }
    // Of two who become one, one of whom is in, both are in.
    let out = world.target.value(&format!("{person} limit 1")).await;
    let within = person.replace("and outside", "and not outside");
    let within = world.target.value(&format!("{within} limit 1")).await;
    world.succeed(&["decisions", "add", "alias", &within, &out]).await;
    let sql = format!("select not outside from tributary.person where email_key = '{out}'");
    assert_eq!(world.target.value(&sql).await, "true");
    let sql = format!("select count(*) from unified_profiles where email = '{out}'");
    assert_eq!(world.target.value(&sql).await, "1");
    world.succeed(&["verify"]).await;

    // The stream goes on for both; who was in stays in at another address.
    world.source.execute("update systemeio set email = 'x' || n || '@example.net', contact_id = 'swap' || n
        from (select id, row_number() over (order by id) as n from systemeio) o where o.id = systemeio.id and o.n <= 30").await;
    world.source.execute("update xendit set amount = amount + 1 where amount > 0").await;
    world
        .source
        .execute("delete from xendit where id in (select id from xendit order by id limit 20)")
        .await;
    daemon.wait_until_caught_up(&world).await;
    world.succeed(&["verify"]).await;
    let status = daemon.status().await;
    assert_eq!(status["rollout"]["percent"], 50, "{status}");

    // Narrowing writes nothing back, and says what remains.
    let was = world.target.value(WRITTEN).await;
    let shown = rollout(&world, "10").await;
    assert_eq!(world.target.value(WRITTEN).await, was);
    assert!(shown["remains"]["profiles"].as_i64() > Some(0), "{shown}");
    world.succeed(&["verify"]).await;
    // Payments that go meanwhile leave the transactions of those outside, which go when their people come in again.
    let outsiders = "select t.id from transactions t join tributary.person o on o.profile_id = t.user_id and o.outside
        where t.api_source = 'xendit'";
    let left = world.target.value(&format!("select count(*) from ({outsiders}) t")).await;
    assert_ne!(left, "0");
    // So do payments without a person, which come in by themselves.
    let nobodys = "from transactions where user_id is null and api_source = 'xendit'";
    let all =
        world.target.value(&format!("select string_agg(quote_literal(id), ',') {nobodys}")).await;
    let half = |half: i32| {
        let of =
            "select id, row_number() over (order by id) % 2 as half from transactions where id in";
        format!(
            "select string_agg(quote_literal(id), ',') from ({of} (select id from ({outsiders} order by t.id limit 24) t) \
             union all {of} (select id {nobodys})) t where half = {half}"
        )
    };
    let (together, in_parts) =
        (world.target.value(&half(0)).await, world.target.value(&half(1)).await);
    world.source.execute(&format!("delete from xendit where id in ({together})")).await;
    // The second half in a transaction that is too large for memory.
    let touch = "update xendit set amount = amount;".repeat(10);
    world
        .source
        .execute(&format!("begin; {touch} delete from xendit where id in ({in_parts}); commit"))
        .await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(world.target.value(&format!("select count(*) from ({outsiders}) t")).await, left);
    assert_ne!(world.target.value(&format!("select count(*) {nobodys}")).await, "0");
    world.succeed(&["verify"]).await;

    assert_eq!(daemon.metric("tributary_backfill_rows_read_total").await, read);
    // Killed while it removes what was left behind, it goes on from there.
    let slow = "create function slow() returns trigger language plpgsql as
        $$ begin if old.phase = 'left_behind' then perform pg_sleep(3); end if; return new; end $$;
        create trigger slow before update on tributary.backfill for each row execute function slow()";
    world.target.execute(slow).await;
    let mut whole = world.command(&["rollout", "100"]).stdout(Stdio::null()).spawn().unwrap();
    eventually(
        "what was left behind",
        || daemon.log(),
        || async {
            world.target.value("select phase from tributary.backfill").await == "left_behind"
        },
    )
    .await;
    daemon.kill9().await;
    whole.kill().await.unwrap();
    world.target.execute("drop trigger slow on tributary.backfill").await;
    let daemon = world.started().await;

    let shown = rollout(&world, "100").await;
    assert_eq!((outside(&shown, "profiles"), outside(&shown, "transactions")), (0, 0), "{shown}");
    assert_eq!(shown["remains"]["profiles"], 0, "{shown}");
    assert_eq!(
        world.target.value(&format!("select count(*) {nobodys} and id in ({all})")).await,
        "0"
    );
    world.succeed(&["verify"]).await;
    assert_eq!(daemon.metric("tributary_backfill_rows_read_total").await, 0.0);
    assert_eq!(daemon.terminate().await.code(), Some(0));
    assert_equals_fresh_backfill(&world).await;
}

/// A payment and a contact of `pN@example.com`.
const PEOPLE: &str = "insert into xendit (id, status, amount, currency, customer_email, created)
    select gen_random_uuid(), 'PAID', 499, 'PHP', 'p' || n || '@example.com', '2025-06-30T04:00:00Z'
    from generate_series(1, 40) as n;
    insert into systemeio (id, contact_id, email, created_at)
    select gen_random_uuid(), 'c' || n, 'p' || n || '@example.com', '2025-01-01Z'
    from generate_series(1, 40) as n;";

/// What is left behind of somebody outside goes with the join that brings the person in, and stays with the move that does not.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_left_behind_goes_when_its_person_comes_in_with_another_spec_7a() {
    let world = World::canonical(PEOPLE).await;
    let daemon = world.started().await;
    rollout(&world, "50").await;
    let one = |outside: &str| {
        format!(
            "select email_key from tributary.person where state = 'present' and {outside} order by email_key limit 1"
        )
    };
    let (out, within) =
        (world.target.value(&one("outside")).await, world.target.value(&one("not outside")).await);
    let transaction = |email: &str| {
        format!(
            "select t.id from transactions t join tributary.person p on p.profile_id = t.user_id where p.email_key = '{email}'"
        )
    };
    let left = world.target.value(&transaction(&out)).await;
    world.source.execute(&format!("delete from xendit where id = '{left}'")).await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(world.target.value(&transaction(&out)).await, left);
    world.succeed(&["decisions", "add", "alias", &out, &within]).await;
    let there = |id: &str| format!("select count(*) from transactions where id = '{id}'");
    assert_eq!(world.target.value(&there(&left)).await, "0");
    world.succeed(&["verify"]).await;

    rollout(&world, "0").await;
    let out = world.target.value(&one("outside and email_key like 'p2%'")).await;
    let left = world.target.value(&transaction(&out)).await;
    let touch = "update xendit set amount = amount;".repeat(30);
    let moves = format!("update systemeio set email = 'moved@example.com' where email = '{out}'");
    let delete = format!("delete from xendit where id = '{left}'");
    world.source.execute(&format!("begin; {touch} {moves}; {delete}; commit")).await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(world.target.value(&there(&left)).await, "1");
    let found = format!("select count(*) from tributary.person_search where email_key = '{out}'");
    assert_eq!(world.target.value(&found).await, "0");
    world.succeed(&["verify"]).await;
    rollout(&world, "100").await;
    assert_eq!(world.target.value(&there(&left)).await, "0");
    assert_eq!(daemon.terminate().await.code(), Some(0));
    assert_equals_fresh_backfill(&world).await;
}

/// Who comes in again has the own systemeio_id that the row holds already, and takes no payment from who is in without a trace.
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_in_again_keeps_what_is_its_own_spec_7a() {
    let people = "insert into systemeio (id, email, contact_id, first_name)
        select gen_random_uuid(), 'p' || n || '@example.com', 'c' || n, 'Ana' from generate_series(1, 20) n;
        insert into xendit (id, status, amount, currency, customer_email, description, created)
        select gen_random_uuid(), 'PAID', 499, 'PHP', 'p' || n || '@example.com', 'Papers to Profits',
            '2025-06-30T04:00:00Z' from generate_series(1, 20) n";
    let world = World::canonical(people).await;
    let daemon = world.started().await;
    rollout(&world, "0").await;
    rollout(&world, "50").await;
    let without = "select count(*) from unified_profiles where systemeio_id is null";
    assert_eq!(world.target.value(without).await, "0");
    world.succeed(&["verify"]).await;
    // A payment moves to somebody who is outside.
    let one = "select email_key from tributary.person where {} order by email_key limit 1";
    let within = world.target.value(&one.replace("{}", "not outside")).await;
    let out = world.target.value(&one.replace("{}", "outside")).await;
    let of = format!(
        "select count(*) from transactions t join unified_profiles p on p.id = t.user_id where p.email = '{within}'"
    );
    assert_eq!(world.target.value(&of).await, "1");
    let changed = format!("update xendit set amount = 500 where customer_email = '{within}'");
    world.source.execute(&changed).await;
    daemon.wait_until_caught_up(&world).await;
    let moves = format!(
        "update xendit set customer_email = '{out}', amount = 777 where customer_email = '{within}'"
    );
    world.source.execute(&moves).await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(world.target.value(&of).await, "0");
    world.succeed(&["verify"]).await;
    // A value that a row outside holds is left out, which is no difference.
    let held = format!(
        "update systemeio set contact_id = (select contact_id from systemeio where email = '{out}')
         where email = '{within}'; update systemeio set contact_id = 'other' where email = '{out}'"
    );
    world.source.execute(&held).await;
    daemon.wait_until_caught_up(&world).await;
    world.succeed(&["verify"]).await;
    rollout(&world, "100").await;
    world.succeed(&["verify"]).await;
    assert_equals_fresh_backfill(&world).await;
}
