//! The SQL entry points (SPEC §9): what is asked in psql, the running daemon does.

use serde_json::Value;
use tokio_postgres::Client;

use crate::support::eventually;
use crate::support::world::World;

const ROWS: &str = "
    insert into xendit (id, external_id, status, amount, currency, customer_email, description, created)
    select md5('x' || n)::uuid, 'o' || n, 'PAID', 499, 'PHP', 'p' || n || '@example.com', 'Papers to Profits',
        '2025-06-30T04:00:00Z'
    from generate_series(1, 30) as n;
    insert into systemeio (id, contact_id, email, first_name, tags)
    select md5('s' || n)::uuid, 'c' || n, 'p' || n || '@example.com', 'Ana', 'PaidP2P' from generate_series(1, 30) as n";

async fn call(client: &Client, procedure: &str) -> Result<Value, tokio_postgres::Error> {
    let row = client.query_one(&format!("call tributary.{procedure}"), &[]).await?;
    Ok(row.get(0))
}

fn message(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_by_sql_the_daemon_does() {
    let world = World::canonical(ROWS).await;
    world.succeed(&["migrate"]).await;
    let client = world.target.connect().await;

    // Without a daemon: a clear error, and what reads at once reads.
    let refused = call(&client, "populate_clean_data()").await.unwrap_err();
    assert_eq!(message(&refused), "no tributary daemon works on this target");
    let status = "select tributary.status() ->> 'phase'";
    assert_eq!(world.target.value(status).await, "stopped");
    let refused = client.query("select * from tributary.validate()", &[]).await.unwrap_err();
    assert!(message(&refused).contains("no tributary daemon"), "{refused:?}");
    // Nobody else may execute any of it, but for what reads no row.
    let role = format!("editor_{}", world.slot);
    world
        .target
        .execute(&format!("create role {role}; grant usage on schema tributary to {role}"))
        .await;
    let may = format!(
        "select count(*) from pg_proc where pronamespace = 'tributary'::regnamespace and proname not in ('fence', 'metadata')
         and has_function_privilege('{role}', oid, 'execute')"
    );
    assert_eq!(world.target.value(&may).await, "0");

    let mut daemon = world.started().await;
    eventually(
        "the daemon serves",
        || daemon.log(),
        || async { world.target.value("select tributary.status() ->> 'daemon'").await == "true" },
    )
    .await;
    assert_eq!(world.target.value(status).await, "streaming");
    let failed = "select count(*) filter (where not ok) || ' of ' || (count(*) > 15) from tributary.validate()";
    assert_eq!(world.target.value(failed).await, "0 of true");

    // A dry run says what the application changed, and changes nothing.
    let edit = "update unified_profiles set first_name = 'Edited' where email in ('p1@example.com', 'p2@example.com')";
    world.target.execute(edit).await;
    let shown =
        call(&client, "populate_clean_data(dry_run => true, verbose => true, result => null)")
            .await
            .unwrap();
    assert_eq!(shown["tables"]["profiles"]["update"]["total"], 2, "{shown:#}");
    assert_eq!(shown["tables"]["transactions"]["unchanged"], 30, "{shown:#}");
    assert!(shown["validation"]["points"].as_array().unwrap().len() > 20, "{shown:#}");
    assert!(
        shown["duration_seconds"].as_f64() > Some(0.0) && shown["dry_run"] == true,
        "{shown:#}"
    );
    let differs = call(&client, "verify()").await.unwrap();
    assert_eq!(
        (&differs["differences"], &differs["repaired"]),
        (&2.into(), &0.into()),
        "{differs:#}"
    );
    let repaired = call(&client, "verify(dry_run => false)").await.unwrap();
    assert_eq!(
        (&repaired["differences"], &repaired["repaired"]),
        (&0.into(), &2.into()),
        "{repaired:#}"
    );

    for summary in [&shown, &differs, &repaired] {
        assert!(
            summary["counts"]["profiles"].is_object() && summary["validation"]["ok"].is_boolean(),
            "{summary:#}"
        );
    }

    // The real run takes a backup, and brings back what was edited.
    world.target.execute(edit).await;
    let done = call(&client, "populate_clean_data(dry_run => false)").await.unwrap();
    assert_eq!(done["tables"]["profiles"]["update"]["total"], 2, "{done:#}");
    assert_eq!(
        (&done["rows_read"], &done["validation"]["ok"]),
        (&60.into(), &true.into()),
        "{done:#}"
    );
    let edited = "select count(*) from unified_profiles where first_name = 'Edited'";
    assert_eq!(world.target.value(edited).await, "0");
    let run = done["backup"].as_str().unwrap().to_owned();
    daemon.wait_for_phase("streaming").await;

    // It waits for the stream. One at a time; whichever daemon answers, the caller gets the answer.
    let blocked = world.target.connect().await;
    blocked.batch_execute("begin; lock table unified_profiles in exclusive mode").await.unwrap();
    world.source.execute("update systemeio set first_name = 'Bea' where contact_id = 'c3'").await;
    let (synced, mut daemon) = tokio::join!(
        call(&client, "sync_new_data(dry_run => false)"),
        async {
            let second = world.target.connect().await;
            eventually("the request is begun", || daemon.log(), || async {
            world.target.value("select count(*) from tributary.command where finished_at is null and state is not null").await == "1"
        })
        .await;
            let refused = call(&second, "verify()").await.unwrap_err();
            assert!(message(&refused).contains("the daemon carries out request"), "{refused:?}");
            daemon.kill9().await;
            let next = world.start();
            blocked.batch_execute("commit").await.unwrap();
            next
        }
    );
    let synced = synced.unwrap();
    assert_eq!(synced["behind_bytes"], 0, "{synced:#}");
    assert_eq!(
        synced["tables"]["profiles"],
        serde_json::json!({ "rows": 30, "written": 1 }),
        "{synced:#}"
    );
    daemon.wait_for_phase("streaming").await;

    // Whoever was granted them, in the name of their own.
    let granted = format!(
        "grant execute on all routines in schema tributary to {role}; set session authorization {role}"
    );
    let editor = world.target.connect().await;
    editor.batch_execute(&granted).await.unwrap();
    assert!(call(&editor, "sync_new_data()").await.unwrap()["behind_bytes"].is_u64());
    let actor = format!(
        "select count(*) from tributary.command where actor = '{role}' and database_user = actor"
    );
    assert_eq!(world.target.value(&actor).await, "1");
    assert!(editor.query("select * from tributary.person", &[]).await.is_err());
    let block = editor.batch_execute("begin; call tributary.verify()").await.unwrap_err();
    assert_eq!(block.code().map(tokio_postgres::error::SqlState::code), Some("2D000"));

    // The way back, and on again.
    let plan = call(&client, &format!("rollback_run('{run}')")).await.unwrap();
    assert_eq!(plan["tables"][0]["update"], 3, "{plan:#}");
    let none = call(&client, "rollback_run('nothing')").await.unwrap_err();
    assert!(message(&none).contains("there is no backup of that name"), "{none:?}");
    call(&client, &format!("rollback_run('{run}', dry_run => false)")).await.unwrap();
    assert_eq!(world.target.value(edited).await, "2");
    assert_eq!(world.target.value("select tributary.status() ->> 'rolled_back'").await, run);
    let refused = call(&client, "sync_new_data()").await.unwrap_err();
    assert!(message(&refused).contains("rolled_back"), "{refused:?}");
    call(&client, "populate_clean_data(dry_run => false, verbose => false)").await.unwrap();
    daemon.wait_for_phase("streaming").await;
    assert_eq!(world.target.value(edited).await, "0");
    world.succeed(&["verify"]).await;
    let logged = "select string_agg(operation || ' ' || outcome, ', ' order by id) from tributary.operation_log
        where asked_by = session_user and operation in ('backfill', 'dry-run', 'verify', 'rollback')";
    assert_eq!(
        world.target.value(logged).await,
        "dry-run done, verify done, verify done, backfill done, rollback done, backfill done"
    );
    world.target.execute(&format!("drop owned by {role}; drop role {role}")).await;

    // What the writer refuses, the caller hears.
    world.target.execute("update tributary.backfill set phase = 'people'").await;
    let refused = call(&client, "populate_clean_data(dry_run => false)").await.unwrap_err();
    assert!(message(&refused).contains("a backfill is under way already"), "{refused:?}");
    world.target.execute("update tributary.backfill set phase = 'done'").await;

    // The record of a pause goes with the pause, not only once the backfill that was asked for meanwhile is done.
    world.succeed(&["pause"]).await;
    daemon.wait_for_phase("halted").await;
    let refused = call(&client, "populate_clean_data(dry_run => false)").await.unwrap_err();
    assert!(message(&refused).contains("the daemon halted"), "{refused:?}");
    let held = "begin; lock table tributary.source_row in exclusive mode";
    blocked.batch_execute(held).await.unwrap();
    world.succeed(&["resume"]).await;
    assert_eq!(world.target.value("select halted from tributary.state").await, "");
    daemon.wait_for_phase("backfilling").await;
    assert_eq!(world.target.value(status).await, "backfilling");
    blocked.batch_execute("commit").await.unwrap();
    daemon.wait_for_phase("streaming").await;
}
