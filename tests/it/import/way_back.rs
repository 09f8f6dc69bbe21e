//! The rollback of an import: refused where it would lose what is not the import's.

use serde_json::Value;

use super::{APP, contents, report, shipped, with_tables};
use crate::support::world::World;

/// The error of a rollback that must be refused, and that must change nothing.
async fn refused(world: &World, arguments: &[&str]) -> String {
    let before = contents(world, &APP).await;
    let output = world.run(arguments).await;
    assert!(!output.status.success(), "{arguments:?}: {output:?}");
    assert_eq!(contents(world, &APP).await, before, "{arguments:?} changed something");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_would_lose_what_is_not_the_imports_is_refused() {
    let world = with_tables("app").await;
    world
        .target
        .execute(
            "alter table users add note text, add seen int default 1; \
             create table bills (user_id uuid references users); \
             create table marks (goal_id uuid references goals on delete cascade)",
        )
        .await;
    let empty = contents(&world, &APP).await;
    let folder = tempfile::tempdir().unwrap();
    let rejects = folder.path().join("rejects.jsonl");
    let (plan, sample) = (shipped("app.toml"), shipped("app-sample.json"));
    let import = ["import", &plan, &sample, "--json", "--rejects", rejects.to_str().unwrap()];
    let done = report(&world, &import, 0).await;
    let run = done["backup"].as_str().unwrap();
    let rollback = ["rollback", run];
    let discard = ["rollback", run, "--discard-application-changes"];

    // A run that nobody knows, and an import that is under way.
    let errors = refused(&world, &["rollback", "20000101_000000"]).await;
    assert!(errors.contains("no backup of that name"), "{errors}");
    let other = world.target.connect().await;
    let lock = "pg_advisory_lock(hashtextextended('tributary import app', 0))";
    other.batch_execute(&format!("select {lock}")).await.unwrap();
    let errors = refused(&world, &discard).await;
    assert!(errors.contains("the import app is under way"), "{errors}");
    other.batch_execute("select pg_advisory_unlock_all()").await.unwrap();
    // A table whose columns are not what they were.
    world.target.execute("alter table goals rename due_on to due").await;
    let errors = refused(&world, &discard).await;
    assert!(errors.contains("the column due_on of") && errors.contains("is gone"), "{errors}");
    world.target.execute("alter table goals rename due to due_on").await;

    // Rows that the application added, in columns and tables that the import does not fill.
    world
        .target
        .execute(
            "insert into habits (id, user_id, title, schedule, is_archived, created_at) \
                 select gen_random_uuid(), id, 'Own', '{}', false, now() from users limit 1; \
             update users set note = 'called', seen = 2 where email = 'ana@example.com'; \
             insert into marks select id from goals limit 1",
        )
        .await;
    let errors = refused(&world, &rollback).await;
    for part in [
        "\"habits\": rows that it inserted in 1 rows",
        "column note that it wrote in rows that were added since in 1 rows",
        "column seen that it wrote in rows that were added since in 1 rows",
        "rows of marks refer that would go with them in 1 rows",
        "--discard-application-changes",
    ] {
        assert!(errors.contains(part), "{part} is missing in\n{errors}");
    }
    let plan: Value =
        serde_json::from_str(&world.succeed(&["rollback", run, "--dry-run", "--json"]).await)
            .unwrap();
    let blocks = |one: &&Value| one["blocks"] == true;
    assert_eq!(plan["application"].as_array().unwrap().iter().filter(blocks).count(), 0, "{plan}");
    // What would have to go first, no word helps against.
    world.target.execute("insert into bills select id from users limit 1").await;
    let errors = refused(&world, &discard).await;
    assert!(errors.contains("to which rows of bills refer in 1 rows"), "{errors}");
    assert!(!errors.contains("rows that it inserted"), "{errors}");
    world.target.execute("delete from bills").await;
    world.succeed(&discard).await;
    assert_eq!(contents(&world, &APP).await, empty);
    assert_eq!(world.target.value("select count(*) from marks").await, "0");
    assert_eq!(world.target.value("select count(*) from tributary.id_map").await, "0");
    // The same import starts from there, with the same ids.
    let again = report(&world, &import, 0).await;
    assert_eq!(again["loads"], done["loads"]);
}
