//! Servers that are there and do not do what they should: full, read-only, without a connection left, slow, or silent about
//! a COMMIT. It heals by itself, and is reported meanwhile (P8, P17).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use testkit::cluster::StopMode;
use testkit::source_schema::SourceLayout;
use tokio_postgres::Client;

use crate::support::compare::assert_equals_fresh_backfill;
use crate::support::daemon::Daemon;
use crate::support::eventually;
use crate::support::losing::{LosingProxy, Loss};
use crate::support::world::{Place, Places, World, dirty};

const TOUCH: &str = "update xendit set amount = amount + 1 where id::text < '8';
    update systemeio set first_name = initcap(first_name), last_name = coalesce(last_name, '') || 'x'";

/// Readiness says so within 30 s (SPEC §8); a loaded machine gets more.
const TOLD_WITHIN: Duration = Duration::from_secs(45);

/// Waits until `/readyz` is 503 with a reason that holds `word`.
async fn is_told(daemon: &Daemon, word: &str) {
    let start = Instant::now();
    let mut last = String::new();
    while start.elapsed() < TOLD_WITHIN {
        if let Some((503, body)) = daemon.get("/readyz").await {
            if body.contains(word) {
                assert_eq!(daemon.get("/livez").await.map(|(code, _)| code), Some(200));
                return;
            }
            last = body;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("/readyz never said {word:?} but {last}\n{}", daemon.log());
}

async fn heals(world: &World, daemon: &Daemon) {
    let is_ready = || async { daemon.get("/readyz").await.is_some_and(|(code, _)| code == 200) };
    eventually("a daemon that is ready again", || daemon.log(), is_ready).await;
    daemon.wait_until_caught_up(world).await;
}

/// Ends the sessions of the daemon, so that it must open others.
async fn cut(place: &Place) {
    place
        .execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'tributary%'")
        .await;
}

async fn set(place: &Place, setting: &str) {
    place.execute(&format!("alter system {setting}")).await;
    place.execute("select pg_reload_conf()").await;
}

/// Takes every connection that is left.
async fn occupied(place: &Place) -> Vec<Client> {
    let mut all = Vec::new();
    while let Ok(client) = place.cluster.connect("postgres").await {
        all.push(client);
    }
    all
}

/// A small file system, until it is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Below the folder of the server; `None` where this process may not mount.
    fn mounted(under: &Path) -> Option<Self> {
        let folder = under.join("small");
        std::fs::create_dir(&folder).unwrap();
        let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(under).unwrap());
        let options = format!("size=12m,mode=700,uid={owner}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&folder);
        let is_mounted = mount.output().is_ok_and(|output| output.status.success());
        is_mounted.then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the server may still have files open there.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_read_only_full_or_out_of_connections_is_waited_for_p8() {
    let world = World::new(SourceLayout::Canonical, Places::TwoServers).await;
    world.load(&dirty(41, 150), 200, 300).await;
    for place in [&world.source, &world.target] {
        let few = "alter system set max_connections = 30; alter system set superuser_reserved_connections = 0";
        for statement in few.split("; ") {
            place.execute(statement).await;
        }
        place.cluster.restart(StopMode::Fast).unwrap();
    }
    let daemon = world.started().await;

    // The source is only read.
    set(&world.source, "set default_transaction_read_only = on").await;
    set(&world.target, "set default_transaction_read_only = on").await;
    let written = format!("begin read write; {TOUCH}; commit");
    world.source.execute(&written).await;
    is_told(&daemon, "read-only").await;
    set(&world.target, "reset default_transaction_read_only").await;
    heals(&world, &daemon).await;
    set(&world.source, "reset default_transaction_read_only").await;

    for place in [&world.source, &world.target] {
        world.source.execute(TOUCH).await;
        let mut taken = occupied(place).await;
        for client in &taken[..1] {
            let all = "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'tributary%'";
            client.batch_execute(all).await.unwrap();
        }
        // What the daemon had is taken as well.
        taken.extend(occupied(place).await);
        is_told(&daemon, "53300").await;
        drop(taken);
        heals(&world, &daemon).await;
    }

    let Some(disk) = SmallDisk::mounted(world.target.cluster.directory()) else {
        eprintln!(
            "SKIPPED: a full disk, as this process may not mount a file system; run the tests as root for it"
        );
        return assert_equals_fresh_backfill(&world).await;
    };
    let space = format!("create tablespace small location '{}'", disk.0.display());
    world.target.cluster.execute("postgres", &space).await.unwrap();
    world.target.execute("alter table transactions set tablespace small").await;
    let filler = "create table filler tablespace small as select repeat('x', 7000) x from generate_series(1, 10)";
    world.target.execute(filler).await;
    while world
        .target
        .cluster
        .execute(&world.target.database, "insert into filler select x from filler limit 200")
        .await
        .is_ok()
    {}
    let many = "insert into xendit (id, status, amount, currency, customer_email, created)
        select gen_random_uuid(), 'PAID', 499, 'PHP', 'n' || n || '@example.com', '2025-06-30T04:00:00Z' from generate_series(1, 3000) n";
    world.source.execute(many).await;
    is_told(&daemon, "53100").await;
    world.target.execute("drop table filler").await;
    heals(&world, &daemon).await;
    world.target.execute("alter table transactions set tablespace pg_default").await;
    assert_equals_fresh_backfill(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_slow_or_loses_the_reply_to_a_commit_is_followed_p2() {
    let world = World::new(SourceLayout::Canonical, Places::TwoServers).await;
    world.load(&dirty(42, 150), 200, 300).await;
    set(&world.source, "set wal_sender_timeout = '2s'").await;
    let server = world.target.cluster.port();
    let proxy = LosingProxy::before(server).await;
    let url = proxy.url(&world.target.url(), server);
    // The backfill loses some as well.
    proxy.set(Loss::Reply);
    let mut daemon = Daemon::start_with(&world, &[("TRIBUTARY_TARGET_URL", &url)]);
    daemon.wait_for_phase("streaming").await;
    daemon.wait_until_caught_up(&world).await;
    assert!(proxy.has_happened());
    let written = "select sum(api_sync_version) from transactions where id::text < '8'";
    for loss in [Loss::Reply, Loss::Commit, Loss::Reply, Loss::Commit] {
        let before: i64 = world.target.value(written).await.parse().unwrap();
        proxy.set(loss);
        world.source.execute(TOUCH).await;
        let happened = || async { proxy.has_happened() };
        eventually("a commit is lost", || daemon.log(), happened).await;
        daemon.wait_until_caught_up(&world).await;
        // Exactly once in effect, whatever became of the first attempt: each row was written once, or is new.
        let rows = "select count(*) from transactions where id::text < '8'";
        let rows = world.target.value(rows).await;
        let after: i64 = world.target.value(written).await.parse().unwrap();
        assert_eq!((after - before).to_string(), rows, "{loss:?}");
    }

    // The source's patience ends long before the target lets the daemon go on.
    let reader =
        format!("select active_pid from pg_replication_slots where slot_name = '{}'", world.slot);
    let has_reader = || async { !world.source.value(&reader).await.is_empty() };
    eventually("a reader", || daemon.log(), has_reader).await;
    let before = world.source.value(&reader).await;
    let mut application = world.target.connect().await;
    let held = application.transaction().await.unwrap();
    held.execute("select from transactions for update", &[]).await.unwrap();
    for _ in 0..3 {
        world.source.execute(TOUCH).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    proxy.set(Loss::Slow);
    tokio::time::sleep(Duration::from_secs(2)).await;
    held.rollback().await.unwrap();
    world.source.execute(TOUCH).await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(world.source.value(&reader).await, before, "the stream was cut\n{}", daemon.log());
    proxy.set(Loss::Nothing);
    cut(&world.target).await;
    heals(&world, &daemon).await;
    assert_equals_fresh_backfill(&world).await;
}
