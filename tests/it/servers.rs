//! Servers that are there and do not work (P8, P17): the daemon says what it waits for, `/readyz` is 503 for as long as nothing
//! is committed, and it goes on by itself.

use std::time::{Duration, Instant};

use testkit::source_schema::SourceLayout;

use crate::noticed::ROWS;
use crate::preflight::{reader, writer};
use crate::readiness::{is_ready, turns_unready};
use crate::support::compare::assert_equals_fresh_backfill;
use crate::support::daemon::Daemon;
use crate::support::eventually;
use crate::support::fault_proxy::{Fault, FaultProxy};
use crate::support::full_disk::FullDisk;
use crate::support::world::{Places, World, start_cluster};

/// Payments of new people.
fn payments(name: &str, rows: u32) -> String {
    format!(
        "insert into xendit (id, status, amount, currency, customer_email, description, created)
         select gen_random_uuid(), 'PAID', 499, 'PHP', '{name}' || n || '@example.com', repeat(md5(n::text), 8),
                '2025-06-30T04:00:00Z'
         from generate_series(1, {rows}) as n"
    )
}

/// It is not ready within 30 s, and stays so over several attempts.
async fn stays_unready(daemon: &Daemon, reason: &str) {
    turns_unready(daemon, "/readyz", reason).await;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(4) {
        let (code, body) = daemon.get("/readyz").await.unwrap();
        let status = daemon.status().await;
        assert_eq!(code, 503, "{body} {status}\n{}", daemon.log());
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    assert_eq!(daemon.get("/livez").await.map(|(code, _)| code), Some(200));
    let log = daemon.log();
    assert!(log.contains("trying again") && log.contains(reason), "{log}");
}

async fn heals(daemon: &Daemon, world: &World) {
    is_ready(daemon, "/readyz").await;
    daemon.wait_until_caught_up(world).await;
}

/// The target's while it is streamed to and while it is backfilled, and the source's while a large transaction is decoded.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_is_waited_for() {
    const FULL: &str = "SQLSTATE 53100";
    let (cluster, disk) = FullDisk::server(&[("logical_decoding_work_mem", "64kB")]);
    let world = World::on(cluster, cluster).await;
    world.source.execute(ROWS).await;
    let database = "select oid from pg_database where datname = current_database()";
    let target = format!("/base/{}/", world.target.value(database).await);
    let mut daemon = world.started().await;
    disk.fill(&target);
    world.source.execute(&payments("streamed", 1_500)).await;
    stays_unready(&daemon, FULL).await;
    disk.empty();
    heals(&daemon, &world).await;

    disk.fill("/pg_replslot/");
    world.source.execute(&payments("spilled", 3_000)).await;
    stays_unready(&daemon, FULL).await;
    disk.empty();
    heals(&daemon, &world).await;

    daemon.kill9().await;
    let fresh = world.with_fresh_target().await;
    fresh.succeed(&["migrate"]).await;
    disk.fill(&format!("/base/{}/", fresh.target.value(database).await));
    daemon = fresh.start();
    stays_unready(&daemon, FULL).await;
    disk.empty();
    heals(&daemon, &fresh).await;
    drop(daemon);
    world.started().await.kill9().await;
    assert_equals_fresh_backfill(&world).await;
}

/// As after a fail-over: the target is a standby until it is promoted. Of the source only the publication is ever written.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_may_only_be_read_is_waited_for() {
    let world = World::new(SourceLayout::Canonical, Places::TwoServers).await;
    world.source.execute(ROWS).await;
    let read_only =
        format!("alter database {} set default_transaction_read_only = on", world.source.database);
    world.source.execute(&read_only).await;
    let refused = world.run(&["run"]).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("run on the source as the owner"), "{said}");
    let written = async |sql: &str| {
        let client = world.source.connect().await;
        client.batch_execute("set default_transaction_read_only = off").await.unwrap();
        client.batch_execute(sql).await.unwrap();
    };
    written(&format!("create publication {} for table xendit, systemeio", world.slot)).await;
    let daemon = world.started().await;

    world.target.cluster.restart_as_standby().unwrap();
    written("update systemeio set first_name = 'Ben'").await;
    stays_unready(&daemon, "SQLSTATE 25006").await;
    world.target.execute("select pg_promote()").await;
    heals(&daemon, &world).await;
    // A fresh backfill makes a publication of its own.
    written(&read_only.replace("= on", "= off")).await;
    assert_equals_fresh_backfill(&world).await;
}

/// As after a fail-over: of the source's hosts a standby comes first, which takes no writes and has no slot.
#[tokio::test(flavor = "multi_thread")]
async fn the_stream_comes_from_the_host_of_the_role_that_is_asked_for() {
    let world = World::new(SourceLayout::Canonical, Places::TwoServers).await;
    world.source.execute(ROWS).await;
    let standby = start_cluster(true);
    standby.create_database(&world.source.database).await.unwrap();
    let (user, _) =
        world.source.url().split_once('@').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let password = user.rsplit(':').next().unwrap();
    let same = format!("alter role postgres password '{password}'");
    standby.execute("postgres", &same).await.unwrap();
    standby.restart_as_standby().unwrap();
    let (port, database) = (world.source.cluster.port(), &world.source.database);
    let url = world.source.url().replacen(
        &format!(":{port}/"),
        &format!(":{},127.0.0.1:{port}/", standby.port()),
        1,
    );
    let url = format!(
        "{url}{}target_session_attrs=read-write",
        if url.contains('?') { '&' } else { '?' }
    );
    assert!(url.contains(database.as_str()) && url.contains(','), "{url}");
    let mut daemon = Daemon::start_with(&world, &[("TRIBUTARY_SOURCE_URL", &url)]);
    daemon.wait_for_phase("streaming").await;
    world.source.execute("update systemeio set first_name = 'Ben'").await;
    daemon.wait_until_caught_up(&world).await;
    let others = "select count(*) from unified_profiles where first_name <> 'Ben'";
    assert_eq!(world.target.value(others).await, "0", "{}", daemon.log());
}

/// Each role's limit, one server after the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_a_connection_to_spare_is_waited_for() {
    let world = World::canonical(ROWS).await;
    let (writing, target) = writer(&world).await;
    let reading = reader(&world, "secret", -1).await;
    let source = world.source.url_as(&reading, "secret");
    let variables =
        [("TRIBUTARY_TARGET_URL", target.as_str()), ("TRIBUTARY_SOURCE_URL", source.as_str())];
    let mut daemon = Daemon::start_with(&world, &variables);
    daemon.wait_for_phase("streaming").await;
    for (place, role) in [(&world.target, writing), (&world.source, reading)] {
        let limit = |limit: i32| format!("alter role {role} connection limit {limit}");
        place.execute(&limit(0)).await;
        let end = format!(
            "select pg_terminate_backend(pid) from pg_stat_activity where usename = '{role}'"
        );
        place.execute(&end).await;
        world.source.execute("update systemeio set first_name = first_name || 'a'").await;
        stays_unready(&daemon, "SQLSTATE 53300").await;
        place.execute(&limit(-1)).await;
        heals(&daemon, &world).await;
    }
    assert_equals_fresh_backfill(&world).await;
}

/// Whether a COMMIT was carried out is not known; either way its changes are there once (P8). A slow target is no fault.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_outcome_is_unknown_counts_once_p8() {
    let mut world = World::canonical(ROWS).await;
    let port = world.target.cluster.port();
    let proxy = FaultProxy::before(port).await;
    world.target_url = Some(proxy.url(&world.target.url(), port));
    let mut daemon = world.started().await;
    for round in 0..6 {
        proxy.set(if round % 2 == 0 { Fault::LoseReply } else { Fault::LoseRequest });
        let change = format!(
            "update xendit set amount = amount + 1; {};
             delete from systemeio where ctid in (select ctid from systemeio limit 2)",
            payments(&format!("round{round}-"), 20)
        );
        world.source.execute(&change).await;
        eventually("a lost commit", || daemon.log(), || async { proxy.is_over() }).await;
        daemon.wait_until_caught_up(&world).await;
    }
    assert!(daemon.metric("tributary_reconnects_total").await >= 6.0, "{}", daemon.log());
    // A large transaction commits at its end.
    proxy.set(Fault::LoseReply);
    world.source.execute(&payments("large", 4_500)).await;
    eventually("a lost commit", || daemon.log(), || async { proxy.is_over() }).await;
    daemon.wait_until_caught_up(&world).await;
    is_ready(&daemon, "/readyz").await;
    proxy.set(Fault::Slow);
    for round in 0..3 {
        let few = "where customer_email like 'p1%'";
        world.source.execute(&format!("update xendit set amount = {round} {few}")).await;
        let ready = daemon.get("/readyz").await;
        assert_eq!(ready.as_ref().map(|(code, _)| *code), Some(200), "{ready:?}");
    }
    daemon.wait_until_caught_up(&world).await;
    proxy.set(Fault::None);
    // Nor does a backfill mind.
    daemon.kill9().await;
    world.drop_slot().await;
    proxy.set(Fault::LoseReply);
    daemon = world.start();
    eventually("a lost commit", || daemon.log(), || async { proxy.is_over() }).await;
    daemon.wait_for_phase("streaming").await;
    daemon.wait_until_caught_up(&world).await;
    assert_equals_fresh_backfill(&world).await;
    world.target_url = None;
    let verified = world.succeed(&["verify"]).await;
    assert!(verified.ends_with("no differences\n"), "{verified}");
}
