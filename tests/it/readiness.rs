//! Readiness is true in every phase (SPEC §9, P17), and one row holds nobody up (P10).

use std::time::{Duration, Instant};

use testkit::cluster::StopMode;
use testkit::load;
use testkit::source_schema::SourceLayout;

use crate::noticed::ROWS;
use crate::support::compare::assert_equals_fresh_backfill;
use crate::support::daemon::Daemon;
use crate::support::eventually;
use crate::support::world::{Places, World, set};

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_away_during_a_backfill_shows_in_readyz() {
    let world = World::new(SourceLayout::Canonical, Places::TwoServers).await;
    world.source.execute(&ROWS.replace("1, 200", "1, 4000")).await;
    world.configure(|table| set(table, "run", "chunk_rows", 20));
    let mut daemon = world.start();
    daemon.wait_for_rows(500, 0).await;
    let code = async |path| daemon.get(path).await.map(|(code, _)| code);
    assert_eq!(code("/readyz").await, Some(200));
    world.source.cluster.stop(StopMode::Immediate).unwrap();
    let start = Instant::now();
    eventually("503", || daemon.log(), || async { code("/readyz").await == Some(503) }).await;
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    // It stays so while nothing works.
    let mut ready = 0;
    while start.elapsed() < Duration::from_secs(8) {
        ready += u32::from(code("/readyz").await == Some(200));
        assert_eq!(code("/livez").await, Some(200));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(ready, 0, "{}", daemon.log());
    world.source.cluster.start_again().unwrap();
    daemon.wait_for_phase("streaming").await;
    daemon.wait_until_caught_up(&world).await;
    assert_equals_fresh_backfill(&world).await;
}

/// `/readyz` turns 503 within 30 s of the fault, `/livez` stays 200.
pub(crate) async fn turns_unready(daemon: &Daemon, path: &str, reason: &str) {
    let start = Instant::now();
    let is_unready = || async {
        let answer = daemon.get(path).await;
        answer.is_some_and(|(code, body)| code == 503 && body.contains(reason))
    };
    eventually(reason, || daemon.log(), is_unready).await;
    assert!(start.elapsed() < Duration::from_secs(30), "{reason}: {:?}", start.elapsed());
    assert_eq!(daemon.get("/livez").await.map(|(code, _)| code), Some(200));
}

pub(crate) async fn is_ready(daemon: &Daemon, path: &str) {
    let is_ready = || async { daemon.get(path).await.map(|(code, _)| code) == Some(200) };
    eventually("it is ready", || daemon.log(), is_ready).await;
}

/// A statement that waits for a lock of the application; a standby that watches the daemon; a target that is read-only.
async fn a_blocked_target() {
    let world = World::canonical(&ROWS.replace("1, 200", "1, 20")).await;
    let daemon = world.started().await;
    let standby_world = world.standby();
    let mut standby = standby_world.start();
    standby.wait_for_phase("waiting_for_lock").await;
    is_ready(&daemon, "/readyz").await;
    is_ready(&standby, "/readyz?standby=1").await;
    turns_unready(&standby, "/readyz", "another daemon works").await;
    assert_eq!(daemon.metric("tributary_is_leader").await, 1.0);
    assert_eq!(standby.metric("tributary_is_leader").await, 0.0);

    let application = world.target.connect().await;
    application.batch_execute("begin; lock unified_profiles").await.unwrap();
    world.source.execute("update systemeio set first_name = 'Ben'").await;
    tokio::join!(
        turns_unready(&daemon, "/readyz", "stands still"),
        turns_unready(&standby, "/readyz?standby=1", "stands still"),
    );
    assert_eq!(daemon.metric("tributary_frozen").await, 1.0);
    application.batch_execute("rollback").await.unwrap();
    tokio::join!(is_ready(&daemon, "/readyz"), is_ready(&standby, "/readyz?standby=1"));

    // A failed-over target, as it shows: sessions end, and new ones may not write.
    standby.kill9().await;
    let name = &world.target.database;
    let read_only = format!("alter database {name} set default_transaction_read_only = on");
    world.target.execute(&read_only).await;
    let end = format!(
        "select pg_terminate_backend(pid) from pg_stat_activity
         where datname = '{name}' and application_name like 'tributary%'"
    );
    world.target.execute(&end).await;
    turns_unready(&daemon, "/readyz", "read_only").await;
    assert_eq!(daemon.metric("tributary_is_leader").await, 0.0, "its session is closed");
    let writable = format!("alter database {name} reset default_transaction_read_only");
    world.source.execute(&writable).await;
    is_ready(&daemon, "/readyz").await;
    assert_eq!(daemon.metric("tributary_is_leader").await, 1.0);
    daemon.wait_until_caught_up(&world).await;
    assert_equals_fresh_backfill(&world).await;
}

/// A walsender that sends nothing, and a source that is gone.
async fn a_frozen_stream() {
    let world = World::new(SourceLayout::Canonical, Places::TwoServers).await;
    world.source.execute(&ROWS.replace("1, 200", "1, 20")).await;
    let daemon = world.started().await;
    is_ready(&daemon, "/readyz").await;
    let sender = world.source.value("select pid from pg_stat_replication").await;
    let signal = async |name: &str| {
        let sent =
            tokio::process::Command::new("kill").args([name, sender.as_str()]).status().await;
        assert!(sent.unwrap().success());
    };
    signal("-STOP").await;
    world.source.execute("update systemeio set first_name = 'Ben'").await;
    turns_unready(&daemon, "/readyz", "stands still").await;
    signal("-CONT").await;
    is_ready(&daemon, "/readyz").await;

    world.source.cluster.stop(StopMode::Immediate).unwrap();
    turns_unready(&daemon, "/readyz", "starting").await;
    world.source.cluster.start_again().unwrap();
    is_ready(&daemon, "/readyz").await;
    daemon.wait_until_caught_up(&world).await;
    let read = || async { daemon.metric("tributary_slot_active").await == 1.0 };
    eventually("the slot is read", || daemon.log(), read).await;
    world.source.execute("update systemeio set last_name = 'Cruz'").await;
    daemon.wait_until_caught_up(&world).await;
    for name in [
        "tributary_stage_seconds_count",
        "tributary_commit_delay_seconds_count",
        "tributary_batch_bytes_sum",
        "tributary_source_commit_timestamp_seconds",
        "tributary_checkpoint_timestamp_seconds",
        "tributary_progress_timestamp_seconds",
        "tributary_errors_total",
        "tributary_password_expiry_timestamp_seconds",
        "process_resident_memory_bytes",
    ] {
        assert!(daemon.metric(name).await > 0.0, "{name}");
    }
    for name in
        ["tributary_conflict_oldest_review_timestamp_seconds", "tributary_quarantined_owners"]
    {
        assert_eq!(daemon.metric(name).await, 0.0, "{name}");
    }
}

/// Both wait for most of their time.
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_does_not_get_on_is_not_ready_p17() {
    tokio::join!(a_blocked_target(), a_frozen_stream());
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_text_hold_nobody_up_p10() {
    let mut world = World::canonical("select 1").await;
    let name = format!("ascii_{}", world.slot);
    let create =
        format!("create database {name} template template0 encoding 'SQL_ASCII' locale 'C'");
    world.source.cluster.execute("postgres", &create).await.unwrap();
    world.source.database = name;
    load::create_tables(&world.source.connect().await, world.layout).await.unwrap();
    world.source.execute(ROWS).await;
    let broken = "update systemeio set first_name = convert_from('\\x5065f161', 'SQL_ASCII')
        where contact_id = 'c";
    world.source.execute(&format!("{broken}1'")).await;
    let daemon = world.started().await;
    world.source.execute(&format!("{broken}2'")).await;
    world.source.execute("update systemeio set first_name = 'Peña' where contact_id = 'c3'").await;
    daemon.wait_until_caught_up(&world).await;
    let names = "select string_agg(first_name, ' ' order by email) from unified_profiles
        where email in ('p1@example.com', 'p2@example.com', 'p3@example.com')";
    assert_eq!(world.target.value(names).await, "Pe\u{fffd}a Pe\u{fffd}a Peña", "{}", daemon.log());
    // Each such row is a conflict, until its bytes are corrected.
    let rejected = "select string_agg(evidence #>> '{fields,0,field}', ',') from tributary.conflict
        where kind = 'rejected_row' and severity = 'review' and status = 'open'";
    assert_eq!(world.target.value(rejected).await, "first_name,first_name");
    assert_equals_fresh_backfill(&world).await;
    let output = world.succeed(&["verify"]).await;
    assert!(output.ends_with("no differences\n"), "{output}");
    world.source.execute("update systemeio set first_name = 'Peña' where contact_id = 'c1'").await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(world.target.value(rejected).await, "first_name");
}
