//! Figures that the documents give: small here, at full size by variables of the environment.

use std::process::Stdio;
use std::time::{Duration, Instant};

use testkit::process::peak_memory;
use testkit::source_schema::SourceLayout;

use crate::support::setting;
use crate::support::world::{Places, World, dirty};

/// SPEC §8, P13, in MiB. A build for tests maps far more of its program.
fn most_memory() -> u64 {
    if std::env::var_os("TRIBUTARY_TEST_BINARY").is_some() { 64 } else { 128 }
}

/// `DRY_RUN_ROWS=200000` contacts and as many payments, in a target that has all of them already.
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_needs_little_memory_p13() {
    let rows = setting("DRY_RUN_ROWS", 1_500);
    let world = World::new(SourceLayout::Canonical, Places::Shared).await;
    world.load(&dirty(7, rows / 2), rows, rows).await;
    world.source.execute("analyze").await;
    world.succeed(&["backfill"]).await;
    world
        .source
        .execute("update xendit set amount = amount + 1 where substr(id::text, 1, 1) < '4'")
        .await;
    let mut command = world.command(&["backfill", "--dry-run", "--json"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let (pid, started) = (child.id().unwrap(), Instant::now());
    let ended = tokio::spawn(child.wait_with_output());
    let mut most = 0;
    while !ended.is_finished() {
        most = most.max(peak_memory(pid).unwrap_or(0));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let output = ended.await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["estimate"]["rows"].as_u64(), Some(2 * rows), "{shown:#}");
    println!(
        "dry run of 2 x {rows} rows: {:.1} MiB, {:.1} s",
        most as f64 / 1024.0 / 1024.0,
        started.elapsed().as_secs_f64()
    );
    assert!(most > 0 && most >> 20 < most_memory(), "{most} bytes");
}

/// `LARGE_ROWS` payments with 1 MiB each, in one block of their table: too much for one chunk of the backfill; what updates leave
/// out of them is too much to be filled at once, in one source transaction and in many that wait together; and too much for one
/// page of a rebuild.
#[tokio::test(flavor = "multi_thread")]
async fn large_values_that_updates_leave_out_are_applied_apart_p13() {
    let rows = setting("LARGE_ROWS", 40);
    let large = "(select string_agg(md5(n || ' ' || k), '') from generate_series(1, 32768) k)";
    let world = World::canonical(&format!(
        "insert into xendit (id, status, amount, currency, customer_email, description, created)
         select md5('x' || n)::uuid, 'PAID', 499, 'PHP', 'p' || n % 20 || '@example.com', {large}, '2025-06-30T04:00:00Z'
         from generate_series(1, {rows}) n"
    ))
    .await;
    let daemon = world.started().await;
    let show = |what: &str| {
        let peak = peak_memory(daemon.pid()).unwrap() >> 20;
        println!("{rows} payments of 1 MiB {what}: {peak} MiB at most so far");
        peak
    };
    show("backfilled");
    let sum = "select sum(amount) from transactions where length(description) = 1048576";
    assert_eq!(world.target.value(sum).await, (499 * rows).to_string());
    daemon.signal("STOP").await;
    world.source.execute("update xendit set amount = 500").await;
    for n in 1..=rows {
        let one = format!("update xendit set amount = 501 where id = md5('x{n}')::uuid");
        world.source.execute(&one).await;
    }
    // In one transaction twice, the second time under other addresses.
    world
        .source
        .execute(
            "begin; update xendit set amount = 502;
             update xendit set customer_email = 'q' || customer_email, amount = 503 where customer_email like 'p1%'; commit",
        )
        .await;
    daemon.signal("CONT").await;
    daemon.wait_until_caught_up(&world).await;
    show("updated");
    let expected = "select sum(amount)::text from xendit";
    let expected = world.source.value(expected).await;
    assert_eq!(world.target.value(sum).await, expected);
    world.succeed(&["rebuild"]).await;
    assert_eq!(world.target.value(sum).await, expected);
    let most = show("recomputed");
    assert!(most < most_memory(), "{most} MiB");
}

/// `REPORT_PEOPLE=10000 REPORT_KEEP=report` keeps the page as report.html, to be looked at.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_made_quickly_and_stays_small_spec_9() {
    let people = setting("REPORT_PEOPLE", 300);
    let world = World::new(SourceLayout::Canonical, Places::Shared).await;
    world.load(&dirty(9, people), people * 6 / 5, people).await;
    world.source.execute("analyze").await;
    for _ in 0..3 {
        world.succeed(&["backfill"]).await;
    }
    let conflicts =
        world.target.value("select count(*) from tributary.conflict where status = 'open'").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.html");
    let started = Instant::now();
    world.succeed(&["report", "--html", file.to_str().unwrap()]).await;
    let seconds = started.elapsed().as_secs_f64();
    let page = std::fs::read_to_string(&file).unwrap();
    println!(
        "report of {people} people, {conflicts} open conflicts: {} KiB, {seconds:.2} s",
        page.len() / 1024
    );
    if let Ok(name) = std::env::var("REPORT_KEEP") {
        std::fs::copy(&file, format!("{name}.html")).unwrap();
    }
    // It does not grow with the number of people: examples, months and trend are bounded.
    assert!(
        page.len() < 512 * 1024 && page.contains("@media print") && page.contains("<svg"),
        "{}",
        page.len()
    );
    assert!(conflicts.parse::<u64>().unwrap() > people / 20, "{conflicts}");
}
