//! A reader that has seen enough (`| head`) ends nothing badly.

use std::process::Stdio;

use crate::support::world::World;

/// The writing end of a pipe that nobody reads.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pipe_is_the_end_of_a_result_and_no_failure() {
    let world = World::canonical("select 1").await;
    world.succeed(&["migrate"]).await;
    world.succeed(&["backfill"]).await;
    let commands: [&[&str]; 11] = [
        &["migrate"],
        &["backfill", "--dry-run"],
        &["backfill"],
        &["check"],
        &["status"],
        &["status", "--json"],
        &["config", "show"],
        &["completions", "bash"],
        &["conflicts", "list"],
        &["decisions", "list", "--json"],
        &["slot", "drop"],
    ];
    for arguments in commands {
        let mut command = world.command(arguments);
        let output = command.stdout(closed()).output().await.unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}\n{errors}");
        assert!(!errors.contains("panicked"), "{arguments:?}\n{errors}");
    }
    // What was asked for was done all the same.
    let slot =
        format!("select count(*) from pg_replication_slots where slot_name = '{}'", world.slot);
    assert_eq!(world.source.value(&slot).await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_nobody_reads_still_has_its_exit_code() {
    let world = World::canonical("select 1").await;
    let cases: [(&[&str], i32); 3] = [
        (&["--config", "/nonexistent.toml", "config", "show"], 78),
        (&["accept"], 1),
        (&["no-such-command"], 2),
    ];
    for (arguments, code) in cases {
        let mut command = world.command(arguments);
        let status = command.stdout(closed()).stderr(closed()).status().await.unwrap();
        assert_eq!(status.code(), Some(code), "{arguments:?}");
    }
}
