//! Changes of the source that no message of the stream carries (P18).

use std::time::Instant;

use crate::support::compare::assert_equals_fresh_backfill;
use crate::support::daemon::Daemon;
use crate::support::eventually;
use crate::support::world::{World, set};

pub(crate) const ROWS: &str = "
    insert into xendit (id, status, amount, fees, currency, customer_email, customer_name, description, created)
    select gen_random_uuid(), 'PAID', 1499, 20, 'PHP', 'p' || n || '@example.com', 'Ana Reyes', 'P2P', '2025-06-30T04:00:00Z'
    from generate_series(1, 200) as n;
    insert into systemeio (id, contact_id, email, first_name)
    select gen_random_uuid(), 'c' || n, 'p' || n || '@example.com', 'Ana' from generate_series(1, 200) as n";

/// Reconciles so far, once the last one is done.
const RECONCILES: &str = "select generation from tributary.backfill where phase = 'done'";

pub(crate) async fn reconciles(world: &World) -> i64 {
    world.target.value(RECONCILES).await.parse().unwrap_or(0)
}

/// Changes the source while the daemon is up, and while it is down; each time the feed is read once more, and no other.
async fn up_and_down(world: &World, mut daemon: Daemon, changes: &[&str; 2]) -> Daemon {
    let before = reconciles(world).await;
    let start = Instant::now();
    world.source.execute(changes[0]).await;
    let again = || async { reconciles(world).await > before };
    eventually(changes[0], || daemon.log(), again).await;
    // Fifteen seconds until it is noticed; a loaded machine gets more.
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
    settled(world, &mut daemon, changes[0], before + 1).await;

    assert_eq!(daemon.terminate().await.code(), Some(0));
    world.source.execute(changes[1]).await;
    let mut daemon = world.started().await;
    settled(world, &mut daemon, changes[1], before + 2).await;
    daemon
}

async fn settled(world: &World, daemon: &mut Daemon, change: &str, expected: i64) {
    daemon.wait_for_phase("streaming").await;
    daemon.wait_until_caught_up(world).await;
    assert_eq!(reconciles(world).await, expected, "{change}\n{}", daemon.log());
    let feeds = "select feeds from tributary.backfill";
    assert_eq!(world.target.value(feeds).await, "{2}", "{change}");
    assert_equals_fresh_backfill(world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_altered_is_read_again_p18() {
    let world = World::canonical(ROWS).await;
    let mut daemon = world.started().await;
    let renamed =
        "alter table xendit rename to elsewhere; update elsewhere set amount = amount + 1;
        delete from elsewhere where id in (select id from elsewhere limit 3);
        alter table elsewhere rename to xendit";
    daemon = up_and_down(&world, daemon, &[renamed, renamed]).await;
    let retyped = [
        "alter table xendit alter column amount type text using to_char(amount, 'FM9,999.00')",
        "alter table xendit alter column amount type bigint using replace(amount, ',', '')::numeric::bigint",
    ];
    daemon = up_and_down(&world, daemon, &retyped).await;
    let with_default = "update xendit set fees = 1 where id in (select id from xendit limit 50);
        alter table xendit drop column fees;
        update xendit set description = 'canva' where id in (select id from xendit limit 50);
        alter table xendit add column fees numeric default ";
    let added = [format!("{with_default} 9.99"), format!("{with_default} 7.77")];
    daemon = up_and_down(&world, daemon, &[&added[0], &added[1]]).await;
    let exchanged = "alter table xendit rename column description to x;
        alter table xendit rename column customer_name to description;
        alter table xendit rename column x to customer_name";
    daemon = up_and_down(&world, daemon, &[exchanged, exchanged]).await;
    world
        .source
        .execute(
            "create type state as enum ('PAID', 'EXPIRED'); create domain state_domain as state;
             create domain state_of_a_row as state_domain;
             alter table xendit alter column status type state_of_a_row using status::state",
        )
        .await;
    let seen = reconciles(&world).await;
    let retyped = || async { reconciles(&world).await > seen };
    eventually("the column with another type", || daemon.log(), retyped).await;
    settled(&world, &mut daemon, "a domain", seen + 1).await;
    let labels = [
        "alter type state rename value 'PAID' to 'REFUNDED'",
        "alter type state rename value 'REFUNDED' to 'PAID'",
    ];
    daemon = up_and_down(&world, daemon, &labels).await;
    // What changes no value: nothing at all, or one reconcile.
    let idle = "analyze xendit; grant select on xendit to public; create index on xendit (status); reindex table xendit;
        alter table xendit add column another text; update xendit set amount = amount + 1";
    for statement in idle.split(';') {
        world.source.execute(statement).await;
    }
    let rewritten = ["vacuum full xendit", "cluster xendit using xendit_pkey"];
    up_and_down(&world, daemon, &rewritten).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_replaced_is_read_again_p18() {
    let replaced = "create table n (like xendit including all);
        insert into n select * from xendit where id::text > '8';
        insert into n (id, status, amount, currency, customer_email, created) select gen_random_uuid(), 'PAID', 1, 'PHP',
            'new' || n || '@example.com', '2025-06-30T04:00:00Z' from generate_series(1, 20) n;
        insert into xendit (id, status, amount, currency, customer_email, created) values
            (gen_random_uuid(), 'PAID', 1, 'PHP', 'lost@example.com', '2025-06-30T04:00:00Z');
        drop table xendit; alter table n rename to xendit;
        update xendit set amount = 2 where id::text > 'c'";
    let world = World::canonical(ROWS).await;
    let daemon = world.started().await;
    let daemon = up_and_down(&world, daemon, &[replaced, replaced]).await;
    let lost = "select count(*) from unified_profiles p where email = 'lost@example.com'
        and not exists (select from tributary.person o where o.profile_id = p.id and o.state = 'absent')";
    assert_eq!(world.target.value(lost).await, "0", "{}", daemon.log());

    let world = World::canonical(ROWS).await;
    world.source.execute(&format!("create publication {} for all tables", world.slot)).await;
    let mut daemon = world.started().await;
    daemon = up_and_down(&world, daemon, &[replaced, replaced]).await;
    let unlogged = "alter table xendit set unlogged; update xendit set amount = amount + 1;
        delete from xendit where id in (select id from xendit limit 3); alter table xendit set logged";
    up_and_down(&world, daemon, &[unlogged, unlogged]).await;
}

const PARTITIONED: &str = "
    alter table xendit rename to plain;
    create table xendit (like plain, primary key (id, currency)) partition by list (currency);
    create table php partition of xendit for values in ('PHP');
    create table usd partition of xendit for values in ('USD');
    create table eur (like xendit including all);
    insert into eur select * from plain; update eur set currency = 'EUR';
    insert into xendit select * from plain; update plain set id = gen_random_uuid(), currency = 'USD';
    insert into xendit select * from plain; drop table plain";

#[tokio::test(flavor = "multi_thread")]
async fn partitions_come_and_go_p18() {
    let world = World::canonical(&format!("{ROWS}; {PARTITIONED}")).await;
    let mut daemon = world.started().await;
    assert_eq!(world.target.value("select count(*) from transactions").await, "400");
    let attach = "alter table xendit attach partition eur for values in ('EUR')";
    let detach = "alter table xendit detach partition eur";
    daemon = up_and_down(&world, daemon, &[attach, detach]).await;
    assert_eq!(world.target.value("select count(*) from transactions").await, "400");
    // One without rows changes nothing.
    let empty = "create table jpy partition of xendit for values in ('JPY')";
    world.source.execute(empty).await;
    let noted = "select publication from tributary.state";
    let before = world.target.value(noted).await;
    eventually("noted", || daemon.log(), || async { world.target.value(noted).await != before })
        .await;
    let yen = "insert into xendit (id, status, amount, currency, customer_email, created)
        values (gen_random_uuid(), 'PAID', 1, 'JPY', 'yen@example.com', '2025-06-30T04:00:00Z')";
    world.source.execute(yen).await;
    daemon = up_and_down(&world, daemon, &[attach, "drop table eur"]).await;
    assert_eq!(world.target.value("select count(*) from transactions").await, "401");

    // A TRUNCATE of one waits for an operator, up and down.
    world.source.execute("truncate usd").await;
    accepted(&world, &mut daemon, "401", "201").await;
    assert_eq!(daemon.terminate().await.code(), Some(0));
    world.source.execute("truncate php").await;
    accepted(&world, &mut world.start(), "201", "1").await;
}

/// The daemon halts in front of 200 deletes, and makes them once an operator accepts them.
async fn accepted(world: &World, daemon: &mut Daemon, before: &str, after: &str) {
    daemon.wait_for_phase("halted").await;
    let reason = daemon.status().await["halted"].to_string();
    assert!(reason.contains("200 of") && reason.contains("xendit"), "{reason}");
    assert_eq!(world.target.value("select count(*) from transactions").await, before);
    world.succeed(&["accept"]).await;
    daemon.wait_for_phase("streaming").await;
    daemon.wait_until_caught_up(world).await;
    assert_eq!(world.target.value("select count(*) from transactions").await, after);
    assert_equals_fresh_backfill(world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_or_cannot_be_followed_halts_until_it_is_mended_p18() {
    let world = World::canonical(ROWS).await;
    let mut daemon = world.started().await;
    let cases = [
        (
            "create table spare as table xendit; drop table xendit",
            "no table public.xendit",
            "alter table spare rename to xendit; alter table xendit add primary key (id)",
        ),
        (
            "alter table xendit rename column amount to gone",
            "no column amount",
            "alter table xendit rename column gone to amount",
        ),
        (
            "create table child () inherits (xendit); insert into child select * from xendit",
            "child tables",
            "alter table child no inherit xendit",
        ),
    ];
    for (change, problem, mended) in cases {
        world.source.execute(change).await;
        daemon.wait_for_phase("halted").await;
        let reason = daemon.status().await["halted"].to_string();
        assert!(reason.contains(problem) && reason.contains("remedy"), "{reason}");
        let code = async |path| daemon.get(path).await.map(|(code, _)| code);
        assert_eq!((code("/livez").await, code("/readyz").await), (Some(200), Some(503)));
        assert_eq!(world.target.value("select count(*) from transactions").await, "200");
        world.source.execute(mended).await;
        daemon.wait_for_phase("streaming").await;
        daemon.wait_until_caught_up(&world).await;
        assert_equals_fresh_backfill(&world).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_during_a_backfill_is_noticed_p18() {
    let world = World::canonical(&ROWS.replace("1, 200", "1, 4000")).await;
    world.configure(|table| set(table, "run", "chunk_rows", 20));
    let mut daemon = world.start();
    daemon.wait_for_rows(4_500, 0).await;
    assert_eq!(daemon.status().await["phase"], "backfilling");
    world
        .source
        .execute(
            "create table n (like xendit including all);
             insert into n select * from xendit where id::text > '2';
             drop table xendit; alter table n rename to xendit;
             alter table systemeio rename to elsewhere; update elsewhere set first_name = 'Tala' where id::text > 'e';
             alter table elsewhere rename to systemeio",
        )
        .await;
    // Nothing is committed before it is noticed, and from then on the phase says that a reconcile is due.
    daemon.wait_until_caught_up(&world).await;
    daemon.wait_for_phase("streaming").await;
    assert_equals_fresh_backfill(&world).await;
}

/// What is scheduled while the rest of another reconcile runs beside the stream is read, not taken for a part of that.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_noticed_while_everybody_is_recomputed_is_read_p18() {
    let world = World::canonical(ROWS).await;
    let daemon = world.started().await;
    // Each step of a recompute takes so long that what is due comes in between.
    let slow = "create function slow() returns trigger language plpgsql as $$ begin
          if new.phase in ('people', 'left_out', 'pairs', 'conflicts', 'done') then perform pg_sleep(1.2); end if;
          return new;
        end $$;
        create trigger slow before update on tributary.backfill for each row execute function slow()";
    world.target.execute(slow).await;
    let mut rebuild =
        world.command(&["rebuild"]).stdout(std::process::Stdio::null()).spawn().unwrap();
    let recomputes = "select phase in ('shared', 'people') from tributary.backfill";
    eventually(
        "a recompute",
        || daemon.log(),
        || async { world.target.value(recomputes).await == "true" },
    )
    .await;
    daemon.kill9().await;
    rebuild.kill().await.unwrap();
    let replaced = "begin; create table n (like xendit including all);
        insert into n select * from xendit where id::text > '8';
        insert into n (id, status, amount, currency, customer_email, created) select gen_random_uuid(), 'PAID', 1, 'PHP',
            'new' || n || '@example.com', '2025-06-30T04:00:00Z' from generate_series(1, 20) n;
        drop table xendit; alter table n rename to xendit; commit";
    world.source.execute(replaced).await;
    let mut daemon = world.started().await;
    daemon.wait_for_phase("streaming").await;
    let new = "select count(*) from unified_profiles where email like 'new%'";
    assert_eq!(world.target.value(new).await, "20", "{}", daemon.log());
    assert_equals_fresh_backfill(&world).await;
}
