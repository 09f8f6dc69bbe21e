//! One leader, one installation, and nobody else's sessions (P7, P11, P17, P19).

use testkit::cluster::{self, StopMode};
use testkit::source_schema::SourceLayout;
use tokio_postgres::error::SqlState;
use tributary::config::{Schema, Server, TlsMode};
use tributary::error::SUPERSEDED;
use tributary::lsn::Lsn;
use tributary::pg::Client;
use tributary::source::Stream;
use tributary::store::epoch::begin_fenced;

use crate::support::compare::assert_equals_fresh_backfill;
use crate::support::daemon::{Daemon, checkpoint};
use crate::support::eventually;
use crate::support::world::{Places, World, dirty, set};

const ROWS: &str = "
    insert into xendit (id, status, amount, currency, customer_email, created)
    select gen_random_uuid(), 'PAID', 499, 'PHP', 'p' || n || '@example.com', '2025-06-30T04:00:00Z'
    from generate_series(1, 100) as n";
const TOUCH: &str = "update xendit set amount = amount + 1";
const INSERT: &str =
    "insert into courses (id, title) values (gen_random_uuid(), 'of a former daemon')";

/// A session on the target under this name.
async fn named(world: &World, name: &str) -> Client {
    let name = name.replace(' ', "%20");
    let url = format!("{}&application_name={name}", world.target.url());
    Client::new(cluster::connect(&url).await.unwrap(), Schema::default())
}

async fn epoch(world: &World) -> i64 {
    world.target.value("select epoch from tributary.installation").await.parse().unwrap()
}

async fn logs(daemon: &Daemon, what: &str) {
    let explain = || daemon.log();
    eventually(what, explain, || async { daemon.log().contains(what) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_of_a_former_daemon_commits_nothing_after_a_take_over_p11() {
    let world = World::canonical(ROWS).await;
    let daemon = world.started().await;
    let former = epoch(&world).await;
    // Another connection of the daemon, in the middle of its work while the process hangs.
    let writer = named(&world, "tributary").await;
    begin_fenced(&writer, former).await.unwrap();
    writer.execute(INSERT, &[]).await.unwrap();
    daemon.kill9().await;
    let daemon = world.started().await;
    assert!(epoch(&world).await > former);
    assert!(writer.batch_execute("commit").await.is_err(), "{}", daemon.log());
    let written = "select count(*) from courses where title = 'of a former daemon'";
    assert_eq!(world.target.value(written).await, "0");
    // One that begins only now is refused.
    let late = named(&world, "tributary").await;
    let refused = late.batch_execute(&format!("begin; select tributary.fence({former})")).await;
    assert_eq!(refused.unwrap_err().code(), Some(&SqlState::from_code(SUPERSEDED)));
}

/// A snapshot from before a transaction waited for its epoch would not show that another daemon took over.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_sets_another_isolation_is_written_all_the_same_p11() {
    let world = World::canonical(ROWS).await;
    world.succeed(&["migrate"]).await;
    let set = "do $$ begin execute format('alter database %I set default_transaction_isolation = serializable', \
               current_database()); end $$";
    world.target.execute(set).await;
    let refuse = "create function refuse() returns trigger language plpgsql as $$ begin
            if current_setting('transaction_isolation') <> 'read committed' then
                raise exception 'isolation %', current_setting('transaction_isolation');
            end if;
            return new;
        end $$;
        create trigger refuse before insert or update on transactions for each row execute function refuse()";
    world.target.execute(refuse).await;
    let daemon = world.started().await;
    world.source.execute(TOUCH).await;
    daemon.wait_until_caught_up(&world).await;
    let changed = "select count(*) from transactions where amount = 500";
    assert_eq!(world.target.value(changed).await, "100", "{}", daemon.log());
    assert_eq!(
        world.target.value("select current_setting('transaction_isolation')").await,
        "serializable"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_take_over_ends_no_session_of_anybody_else_p19() {
    let world = World::canonical(ROWS).await;
    let daemon = world.started().await;
    let stranger = named(&world, "report").await;
    begin_fenced(&stranger, epoch(&world).await).await.unwrap();
    daemon.kill9().await;
    let daemon = world.start();
    logs(&daemon, "not this daemon's").await;
    stranger.batch_execute("commit").await.unwrap();
    let mut daemon = daemon;
    daemon.wait_for_phase("streaming").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_with_another_slot_is_refused_and_not_queued_p11() {
    let world = World::canonical(ROWS).await;
    let daemon = world.started().await;
    let world = world.on_another_port();
    let slot = world.slot.clone();
    world.configure(|table| set(table, "source", "slot", "another_slot"));
    for command in [&["run"][..], &["backfill"]] {
        let refused = world.run(command).await;
        let errors = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{errors}");
        assert!(errors.contains(&slot) && errors.contains("slot drop"), "{errors}");
    }
    // The one that works is retired: its schema is free.
    world.configure(|_| {});
    assert_eq!(daemon.terminate().await.code(), Some(0));
    world.succeed(&["slot", "drop"]).await;
    let another = format!("{slot}_2");
    world.configure(|table| {
        set(table, "source", "slot", another.clone());
        set(table, "source", "publication", another.clone());
    });
    let mut daemon = world.start();
    daemon.wait_for_phase("streaming").await;
    drop(daemon);
    world.succeed(&["slot", "drop"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_with_other_rules_or_another_source_says_so_p11() {
    let world = World::canonical(ROWS).await;
    let _daemon = world.started().await;
    let world = world.on_another_port();
    let mut equal = world.start();
    equal.wait_for_phase("waiting_for_lock").await;
    logs(&equal, "waiting for it to end").await;
    assert!(!equal.log().contains("differ"), "{}", equal.log());
    drop(equal);
    world.configure(|table| set(table, "rules", "time_zone", "UTC"));
    let standby = world.start();
    logs(&standby, "the rules of this standby differ").await;
    drop(standby);
    // The same slot of another source.
    let other = World::canonical(ROWS).await;
    let mut command = world.command(&["run"]);
    let refused = command.env("TRIBUTARY_SOURCE_URL", other.source.url()).output().await.unwrap();
    let errors = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{errors}");
    assert!(errors.contains("another source server or database"), "{errors}");
}

/// Reads the slot of a world under this name, once its last reader has left it.
async fn reader(world: &World, name: &str, from: Lsn) -> Stream {
    let slot = &world.slot;
    let free = format!("select not active from pg_replication_slots where slot_name = '{slot}'");
    let is_free = || async { world.source.value(&free).await == "true" };
    eventually("a slot without a reader", String::new, is_free).await;
    let url = world.source.url().replace("?sslmode=disable", "");
    let (postgres, schema) = (url.parse().unwrap(), Schema::default());
    let server =
        Server { postgres, tls: TlsMode::Disable, ca_file: None, client_cert: None, schema };
    Stream::open(&server, name, &world.slot, &world.slot, from).await.unwrap()
}

async fn reader_of_slot(world: &World) -> String {
    let slot = &world.slot;
    let sql = format!("select active_pid from pg_replication_slots where slot_name = '{slot}'");
    world.source.value(&sql).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_somebody_else_reads_is_waited_for_p19() {
    let world = World::canonical(ROWS).await;
    let daemon = world.started().await;
    assert_eq!(daemon.terminate().await.code(), Some(0));
    let at = checkpoint(&world.target, &world.slot).await.unwrap();
    let id =
        world.target.value("select replace(id::text, '-', '') from tributary.installation").await;
    let earlier = epoch(&world).await;
    // Anybody, also an older version, another installation, and a later leader of this one.
    let other = "0".repeat(32);
    for name in [
        "report".to_owned(),
        "tributary".to_owned(),
        format!("tributary {other} 1"),
        format!("tributary {id} 1000"),
    ] {
        let mut stranger = reader(&world, &name, at).await;
        let pid = reader_of_slot(&world).await;
        let mut daemon = world.start();
        logs(&daemon, "another reader has the slot").await;
        assert_eq!(reader_of_slot(&world).await, pid, "{name}");
        stranger.stop().await;
        daemon.wait_for_phase("streaming").await;
        assert_eq!(daemon.terminate().await.code(), Some(0));
    }
    // A walsender of its own whose client vanished is ended at once.
    let at = checkpoint(&world.target, &world.slot).await.unwrap();
    let _former = reader(&world, &format!("tributary {id} {earlier}"), at).await;
    let mut daemon = world.start();
    daemon.wait_for_phase("streaming").await;
    assert!(daemon.log().contains("reader of a former daemon"), "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_the_target_does_not_fight_for_the_slot_p19() {
    let world = World::canonical(ROWS).await;
    let daemon = world.started().await;
    assert_eq!(daemon.terminate().await.code(), Some(0));
    let copy = world.with_copied_target().await;
    let daemon = world.started().await;
    let reading = reader_of_slot(&world).await;
    let of_copy = copy.start();
    logs(&of_copy, "another reader has the slot").await;
    assert_eq!(reader_of_slot(&world).await, reading);
    // Also once the original is ahead, and while it is away.
    world.source.execute(TOUCH).await;
    daemon.wait_until_caught_up(&world).await;
    let confirmed = format!(
        "select confirmed_flush_lsn > '{}' from pg_replication_slots where slot_name = '{}'",
        checkpoint(&copy.target, &copy.slot).await.unwrap(),
        world.slot
    );
    let explain = || daemon.log();
    eventually("a confirmation", explain, || async {
        world.source.value(&confirmed).await == "true"
    })
    .await;
    assert_eq!(reader_of_slot(&world).await, reading);
    of_copy.kill9().await;
    assert_eq!(daemon.terminate().await.code(), Some(0));
    let refused = copy.run(&["run"]).await;
    let errors = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{errors}");
    assert!(errors.contains("is a copy"), "{errors}");
    // The original goes on.
    let _daemon = world.started().await;
    assert_equals_fresh_backfill(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn making_a_slot_behind_a_long_transaction_says_so_and_resumes_p17() {
    let world = World::new(SourceLayout::Canonical, Places::TwoServers).await;
    world.load(&dirty(41, 100), 100, 100).await;
    let long = world.source.connect().await;
    long.batch_execute("set application_name = 'nightly'; begin; create table t (x int)")
        .await
        .unwrap();
    let daemon = world.start();
    logs(&daemon, "waits for transactions of the source").await;
    logs(&daemon, "nightly").await;
    assert_eq!(daemon.get("/livez").await.map(|(code, _)| code), Some(200));
    daemon.kill9().await;
    let daemon = world.start();
    logs(&daemon, "waits for transactions of the source").await;
    // A signal does not wait for the transaction.
    assert_eq!(daemon.terminate().await.code(), Some(0));
    let mut daemon = world.start();
    logs(&daemon, "nightly").await;
    long.batch_execute("commit").await.unwrap();
    daemon.wait_for_phase("streaming").await;
    daemon.wait_until_caught_up(&world).await;
    assert_equals_fresh_backfill(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_survives_a_crash_of_the_target_p7() {
    let world = World::new(SourceLayout::Canonical, Places::TwoServers).await;
    world.source.execute(ROWS).await;
    // What is not flushed by its commit is lost.
    world.target.execute("alter system set wal_writer_delay = '10s'").await;
    world.target.execute("select pg_reload_conf()").await;
    let daemon = world.started().await;
    for n in 1..=3 {
        let (a, b) = (format!("p{n}@example.com"), format!("q{n}@example.com"));
        world.succeed(&["decisions", "add", "separate", &a, &b]).await;
        world.target.cluster.restart(StopMode::Immediate).unwrap();
        let made = world.target.value("select count(*) from tributary.decision").await;
        assert_eq!(made, n.to_string(), "{}", daemon.log());
    }
    let mut daemon = daemon;
    daemon.wait_for_phase("streaming").await;
}
