//! The cut-over (SPEC §9): held, stopped, killed at each of its steps, and never half.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::backups::{APPLICATION, ROWS, dump, json};
use crate::support::fingerprint::{assert_same, fingerprint};
use crate::support::world::{World, set};

async fn dies(world: &World, arguments: &[&str], point: &str) {
    let mut killed = world.command(arguments);
    let killed = killed.env("TRIBUTARY_FAILPOINT", point).output().await.unwrap();
    let log = String::from_utf8_lossy(&killed.stderr).into_owned();
    assert_eq!(killed.status.signal(), Some(6), "{point}: {log}");
}

async fn exits(world: &World, arguments: &[&str], code: i32) -> String {
    let output = world.run(arguments).await;
    let text = String::from_utf8_lossy(&[&*output.stdout, &*output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    text
}

async fn newest(world: &World) -> String {
    let backups = json(world, &["backups", "list", "--json"]).await;
    backups[0]["run"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_over_that_dies_goes_on_or_back_and_is_never_half() {
    let world = World::canonical(ROWS).await;
    world.target.execute(APPLICATION).await;
    world.succeed(&["migrate"]).await;
    let before = dump(&world).await;
    // Before the copies are there nothing is written; the dry run itself reads two chunks and one round of people.
    for point in ["slot-made", "cutover-scheduled", "backup-copied", "chunk-committed:3"] {
        dies(&world, &["cutover"], point).await;
        assert!(dump(&world).await == before, "{point}: something was written");
    }
    // From here on the same command goes on where it was.
    for point in ["people-committed", "cutover-filled", "cutover-validated"] {
        dies(&world, &["cutover"], point).await;
        assert!(dump(&world).await != before, "{point}: nothing was written");
    }
    exits(&world, &["cutover", "--abort-if", "insert>0"], 0).await;
    let done = dump(&world).await;
    let backups = json(&world, &["backups", "list", "--json"]).await;
    assert_eq!(backups.as_array().map(Vec::len), Some(1), "{backups}");
    exits(&world, &["rollback", &newest(&world).await], 0).await;
    assert!(dump(&world).await == before, "the way back");

    // On request it goes back from the middle, to what was there before the attempt.
    dies(&world, &["cutover"], "cutover-filled").await;
    assert!(dump(&world).await != before, "nothing was written");
    exits(&world, &["rollback", &newest(&world).await], 0).await;
    assert!(dump(&world).await == before, "the way back from the middle");

    // Where the validation fails it goes back by itself, also when it dies on the way.
    world.configure(|table| set(table, "validate", "people", vec![100, 200]));
    dies(&world, &["cutover"], "rollback-restored").await;
    let people = "select count(*) from unified_profiles";
    assert_eq!(world.target.value(people).await, "65", "half of it was rolled back");
    let said = exits(&world, &["cutover"], 3).await;
    assert!(said.contains("the validation failed: the target was rolled back"), "{said}");
    assert!(dump(&world).await == before, "it did not go back");
    let status = json(&world, &["status", "--json"]).await;
    assert!(status["halted"].to_string().contains("rolled_back"), "{status}");
    world.configure(|table| set(table, "validate", "people", vec![60, 60]));
    exits(&world, &["cutover"], 0).await;
    let again = "select string_agg(to_jsonb(p)::text, E'\\n' order by id) from (
        select id, email, first_name, tags, theme from unified_profiles) p";
    assert_eq!(world.target.value(people).await, "65");
    assert!(
        done.contains("p60@example.com")
            && world.target.value(again).await.contains("p60@example.com")
    );
    world.succeed(&["verify"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_over_is_held_by_a_file_and_stopped_by_a_limit_or_a_signal() {
    let world = World::canonical(ROWS).await;
    world.target.execute(APPLICATION).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hold");
    std::fs::write(&file, "").unwrap();
    let fingerprints =
        async || (fingerprint(&world.source).await, fingerprint(&world.target).await);
    let before = fingerprints().await;
    let product =
        ["--abort-if", "successful_payments.p2p<60", "--abort-if", "successful_payments.p2p>60"];
    let held = [&["cutover", "--hold-file", file.to_str().unwrap()], &product[..]].concat();
    let start = async || {
        let mut command = world.command(&held);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        while !lines
            .next_line()
            .await
            .unwrap()
            .expect("it was not held")
            .contains("held: remove the file")
        {}
        (child, lines)
    };
    // While it is held, nothing is written; a signal ends it, and nothing was.
    let (child, _lines) = start().await;
    assert_same(&before.0, &fingerprint(&world.source).await);
    let pid = child.id().unwrap().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status().await.unwrap();
    assert!(sent.success());
    let stopped = child.wait_with_output().await.unwrap();
    assert_eq!(stopped.status.code(), Some(1), "{stopped:?}");
    assert!(String::from_utf8_lossy(&stopped.stdout).contains("stopped"), "{stopped:?}");
    let after = fingerprints().await;
    assert_same(&before.0, &after.0);
    assert_same(&before.1, &after.1);
    // A range of a product that is passed.
    let said = exits(&world, &["cutover", "--abort-if", "successful_payments.p2p<61"], 3).await;
    assert!(said.contains("successful_payments.p2p: 60 is less than 61"), "{said}");
    let after = fingerprints().await;
    assert_same(&before.0, &after.0);
    assert_same(&before.1, &after.1);
    // Without the file it goes on.
    let (child, _lines) = start().await;
    std::fs::remove_file(&file).unwrap();
    let done = child.wait_with_output().await.unwrap();
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert_eq!(world.target.value("select count(*) from unified_profiles").await, "65");
}
