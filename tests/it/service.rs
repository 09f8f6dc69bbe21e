//! What the service manager and who asks over HTTP rely on (SPEC §9): the notify protocol, reloads, the token.

use std::time::Duration;

use tokio::net::UnixDatagram;

use crate::support::daemon::Daemon;
use crate::support::world::{World, set};
use crate::support::{PATIENCE, eventually};

/// The service manager's end of the notify socket.
struct Manager(UnixDatagram);

impl Manager {
    async fn next(&self) -> String {
        let mut message = vec![0; 4096];
        let bytes = self.0.recv(&mut message).await.unwrap();
        String::from_utf8(message[..bytes].to_vec()).unwrap()
    }

    /// Waits for a message; gives all of it.
    async fn hears(&self, part: &str) -> String {
        let heard = async {
            loop {
                let message = self.next().await;
                if message.contains(part) {
                    return message;
                }
            }
        };
        tokio::time::timeout(PATIENCE / 4, heard).await.unwrap_or_else(|_| panic!("never: {part}"))
    }

    /// Has the daemon reload, and waits until it says that this is over.
    async fn reloads(&self, daemon: &Daemon) {
        daemon.signal("HUP").await;
        let message = self.hears("RELOADING=1").await;
        assert!(message.contains("MONOTONIC_USEC="), "{message}");
        self.hears("READY=1").await;
    }
}

async fn says(daemon: &Daemon, parts: &[&str]) {
    let is_there = |line: &str| parts.iter().all(|part| line.contains(part));
    let what = parts.join(" ");
    eventually(&what, || daemon.log(), || async { daemon.whole_log().lines().any(is_there) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_manager_is_informed_and_a_reload_is_validated() {
    let world = World::canonical("select 1").await;
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("notify");
    let manager = Manager(UnixDatagram::bind(&socket).unwrap());
    let token = folder.path().join("token");
    std::fs::write(&token, "a-token-of-20-signs!\n").unwrap();
    let with_token = |table: &mut toml::Table| {
        set(table, "http", "token_file", token.to_str().unwrap());
    };
    world.configure(with_token);
    let variables = [
        ("NOTIFY_SOCKET", socket.to_str().unwrap()),
        ("WATCHDOG_USEC", "900000"),
        ("RUST_LOG", ""),
    ];
    let daemon = Daemon::start_with(&world, &variables);
    // Fed while it starts, too.
    manager.hears("STATUS=starting").await;
    manager.hears("WATCHDOG=1").await;
    manager.hears("READY=1").await;
    manager.hears("STATUS=streaming").await;
    let fed = tokio::time::Instant::now();
    for _ in 0..3 {
        manager.hears("WATCHDOG=1").await;
    }
    assert!(fed.elapsed() < Duration::from_millis(1_800), "{:?}", fed.elapsed());

    // SPEC §9: a token guards all but the probes; the command presents it.
    let code = async |path| daemon.get(path).await.map(|(code, _)| code);
    assert_eq!(code("/livez").await, Some(200));
    assert_eq!(code("/readyz").await, Some(200));
    assert_eq!((code("/metrics").await, code("/status").await), (Some(401), Some(401)));
    let status = world.succeed(&["status", "--json"]).await;
    assert!(status.contains("started_at") && status.contains("\"streaming\""), "{status}");

    std::fs::write(world.config(), "[run]\nbatch_rows = \"many\"").unwrap();
    manager.reloads(&daemon).await;
    says(&daemon, &["ERROR", "not valid; nothing was changed", "run.batch_rows"]).await;

    world.configure(|table| {
        with_token(table);
        set(table, "source", "slot", "another");
        set(table, "run", "batch_rows", 7);
    });
    manager.reloads(&daemon).await;
    says(&daemon, &["ERROR", "need a restart; nothing was changed", "source.slot"]).await;

    assert!(!daemon.whole_log().contains("DEBUG"));
    world.configure(|table| {
        with_token(table);
        set(table, "run", "batch_rows", 7);
        set(table, "log", "level", "tributary=debug");
    });
    manager.reloads(&daemon).await;
    says(&daemon, &["INFO", "in force from here on", "log.level", "run.batch_rows"]).await;
    let rows = "insert into systemeio (id, contact_id, email)
        select gen_random_uuid(), 'c' || n, 'p' || n || '@example.com' from generate_series(1, 3) as n";
    world.source.execute(rows).await;
    daemon.wait_until_caught_up(&world).await;
    says(&daemon, &["DEBUG", "applied a batch"]).await;
    assert!(!daemon.whole_log().contains("example.com"), "P14");

    daemon.signal("TERM").await;
    manager.hears("STOPPING=1").await;
    assert_eq!(daemon.terminate().await.code(), Some(0));
}

/// What would be open to the network starts only by an explicit word.
#[tokio::test(flavor = "multi_thread")]
async fn the_endpoint_is_not_open_to_the_network_by_accident() {
    let world = World::canonical("select 1").await;
    let mut command = world.command(&["run"]);
    command.env("TRIBUTARY_HTTP_LISTEN", format!("0.0.0.0:{}", world.http));
    let output = command.output().await.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{errors}");
    assert!(errors.contains("token_file") && errors.contains("without_token"), "{errors}");
}

/// P17: the watchdog is fed while a statement waits for the application, and starved once the main loop hangs.
#[tokio::test(flavor = "multi_thread")]
async fn a_main_loop_that_hangs_starves_the_watchdog() {
    let world = World::canonical("select 1").await;
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("notify");
    let manager = Manager(UnixDatagram::bind(&socket).unwrap());
    let variables = [
        ("NOTIFY_SOCKET", socket.to_str().unwrap()),
        ("WATCHDOG_USEC", "600000"),
        ("TRIBUTARY_FAILPOINT", "batch-applied:1:hang"),
        ("TRIBUTARY_FAILPOINT_SILENCE_MS", "3000"),
    ];
    let mut daemon = Daemon::start_with(&world, &variables);
    daemon.wait_for_phase("streaming").await;
    let code = async |path| daemon.get(path).await.map(|(code, _)| code);

    // Honest work, for longer than the main loop may be silent: the application has the table locked.
    let application = world.target.connect().await;
    application.batch_execute("begin; lock unified_profiles").await.unwrap();
    world
        .source
        .execute("insert into systemeio (id, email) values (gen_random_uuid(), 'a@example.com')")
        .await;
    let waited = tokio::time::Instant::now();
    while waited.elapsed() < Duration::from_secs(4) {
        manager.hears("WATCHDOG=1").await;
        assert_eq!(code("/livez").await, Some(200), "{}", daemon.log());
    }
    application.batch_execute("rollback").await.unwrap();

    says(&daemon, &["failpoint", "batch-applied"]).await;
    let hung = tokio::time::Instant::now();
    eventually(
        "it counts as dead",
        || daemon.log(),
        || async { code("/livez").await == Some(503) },
    )
    .await;
    assert!(hung.elapsed() < Duration::from_secs(6), "{:?}", hung.elapsed());
    // What was sent before then is read; nothing follows, for three times the limit of the service manager.
    let starved = async {
        while tokio::time::timeout(Duration::from_millis(1_800), manager.next()).await.is_ok() {}
    };
    tokio::time::timeout(Duration::from_secs(8), starved).await.expect("the watchdog is fed");
    assert!(daemon.is_running(), "the service manager ends it, not the daemon itself");
    daemon.kill9().await;
}
