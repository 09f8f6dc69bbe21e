//! An import under SIGKILL at moments that nobody chose.

use std::time::{Duration, Instant};

use testkit::exports::{Export, Options};
use testkit::random::Random;

use super::{APP, contents, export, plan_with_batches, report, with_tables};

/// How often it is killed.
const KILLS: u64 = 8;

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_killed_again_and_again_ends_as_one_that_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan_with_batches("app", 5, folder.path());
    let options = Options { records: 1500, seed: 4, damage: 0.15, mark: false };
    let file = export(Export::App, "app.json", &options, folder.path());
    let rejects = folder.path().join("rejects.jsonl");
    let (file, rejects) = (file.to_str().unwrap(), rejects.to_str().unwrap());
    let import = ["import", &plan, file, "--json", "--rejects", rejects];
    let whole = with_tables("app").await;
    let expected = report(&whole, &import, 0).await;
    let rejected = std::fs::read_to_string(rejects).unwrap();

    let world = with_tables("app").await;
    world.succeed(&["migrate"]).await;
    let client = world.target.connect().await;
    let mut random = Random::new(4, 1);
    for kill in 0..KILLS {
        // After some batches, wherever it is within the next one.
        let mut left = 1 + random.below(10);
        let cursor = "select coalesce(max(load * 1000000 + record), -1) from tributary.import_run";
        let mut last: i64 = client.query_one(cursor, &[]).await.unwrap().get(0);
        let mut child = world.command(&import).spawn().unwrap();
        let started = Instant::now();
        while left > 0 && child.try_wait().unwrap().is_none() {
            assert!(started.elapsed() < Duration::from_secs(60), "it does not go on: {last}");
            let now: i64 = client.query_one(cursor, &[]).await.unwrap().get(0);
            left -= u64::from(now != last);
            last = now;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        child.kill().await.unwrap();
        assert!(left == 0, "it ended before kill {kill}");
    }
    let done = report(&world, &import, 0).await;
    assert_eq!(done["resumed"], true);
    assert_eq!(done["loads"], expected["loads"]);
    assert_eq!(contents(&world, &APP).await, contents(&whole, &APP).await);
    let ids = "select md5(string_agg(t::text, '|' order by t::text)) from tributary.id_map t";
    assert_eq!(world.target.value(ids).await, whole.target.value(ids).await);
    assert_eq!(std::fs::read_to_string(rejects).unwrap(), rejected);
    let runs = "select string_agg(state, ' ') from tributary.import_run";
    assert_eq!(world.target.value(runs).await, "finished");
    // Every attempt is in the operation log.
    let entries = world.succeed(&["log", "--json"]).await;
    let entries: serde_json::Value = serde_json::from_str(&entries).unwrap();
    let outcomes =
        entries.as_array().unwrap().iter().map(|entry| entry["outcome"].as_str().unwrap());
    let interrupted = outcomes.filter(|outcome| *outcome == "interrupted").count();
    assert_eq!(interrupted as u64, KILLS, "{entries}");
}
