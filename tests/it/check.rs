//! `tributary check` names what is wrong, with a remedy each.

use crate::support::world::{World, set};

/// Runs `check` and returns its exit code and the points that failed.
pub(crate) async fn points(world: &World, target: Option<&str>) -> (Option<i32>, Vec<String>) {
    let mut command = world.command(&["check"]);
    if let Some(url) = target {
        command.env("TRIBUTARY_TARGET_URL", url);
    }
    let output = command.output().await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let failed = said.matches("\n     remedy: ").count();
    let points: Vec<String> =
        said.lines().filter_map(|line| line.strip_prefix("FAIL ")).map(str::to_owned).collect();
    assert_eq!(points.len(), failed, "{said}");
    (output.status.code(), points)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_point_that_fails_is_told_with_its_remedy() {
    let world = World::canonical("select 1").await;
    assert_eq!(points(&world, None).await, (Some(0), vec![]));
    let failed = async |target: Option<&str>, expected: &str| {
        let (code, points) = points(&world, target).await;
        assert_eq!(code, Some(3), "{points:?}");
        assert!(points.iter().any(|point| point.starts_with(expected)), "{points:?}");
    };

    let url = world.target.url();
    failed(Some(&url.replace(&world.target.database, "nowhere")), "target: target: connecting")
        .await;

    world.source.execute("alter table xendit set unlogged").await;
    failed(None, "source.xendit.replica_identity: public.xendit is unlogged").await;
    world.source.execute("alter table xendit set logged").await;
    world.source.execute("alter table xendit drop constraint xendit_pkey").await;
    failed(None, "source.xendit.replica_identity").await;
    // Under FULL too, two rows of one key would be taken for one.
    let full = "alter table xendit replica identity full";
    world.source.execute(full).await;
    for unusable in [
        "create unique index unusable on xendit (id) where amount > 0",
        "create unique index unusable on xendit (lower(id::text))",
        "create unique index unusable on xendit (external_id)",
        "alter table xendit add constraint unusable unique (id) deferrable",
        "alter table xendit alter column id drop not null, add constraint unusable unique (id)",
    ] {
        world.source.execute(unusable).await;
        failed(None, "source.xendit.replica_identity: no unique index").await;
        world.source.execute("alter table xendit drop constraint if exists unusable").await;
        world.source.execute("drop index if exists unusable").await;
    }
    let remedy =
        "alter table xendit alter column id set not null; create unique index on xendit (id)";
    world.source.execute(remedy).await;
    assert_eq!(points(&world, None).await, (Some(0), vec![]));
    world.source.execute("alter table xendit replica identity default").await;
    world.source.execute("alter table xendit add primary key (id)").await;

    let slot = format!("select pg_create_logical_replication_slot('{}', 'pgoutput')", world.slot);
    world.source.execute(&slot).await;
    failed(None, "target.checkpoint").await;
    world.succeed(&["slot", "drop"]).await;

    world.succeed(&["migrate"]).await;
    let role = format!("reader_of_{}", world.slot);
    world.target.execute(&format!("create role {role} login password 'secret'")).await;
    let theirs = world.target.url_as(&role, "secret");
    failed(Some(&theirs), "target schema: the role may not").await;

    world.configure(|table| set(table, "source", "slot", "Not A Slot"));
    let (code, _) = points(&world, None).await;
    assert!(matches!(code, Some(3 | 78)), "{code:?}");
}

/// What a database or role has as its default is for the application.
#[tokio::test(flavor = "multi_thread")]
async fn settings_of_the_database_change_no_command() {
    let rows = "insert into systemeio (id, contact_id, email, first_name)
        select md5('s' || n)::uuid, 'c' || n, 'p' || n || '@example.com', 'Ana' from generate_series(1, 3000) n";
    let world = World::canonical(rows).await;
    let later =
        world.source.value("select current_setting('server_version_num')::int >= 170000").await;
    // The last one: it holds for what is set here too.
    let later = (later == "true").then_some("transaction_timeout = '20ms'");
    let settings = [
        "idle_in_transaction_session_timeout = '1ms'",
        "quote_all_identifiers = on",
        "statement_timeout = '1ms'",
    ];
    for place in [&world.source, &world.target] {
        for setting in settings.into_iter().chain(later) {
            place.execute(&format!("alter database \"{}\" set {setting}", place.database)).await;
        }
    }
    let commands: [&[&str]; 10] = [
        &["migrate"],
        &["check"],
        &["backfill"],
        &["backfill", "--dry-run"],
        &["validate"],
        &["conflicts", "list", "--email", "p5@example.com"],
        &["status"],
        &["explain", "p5@example.com"],
        &["verify"],
        &["rebuild"],
    ];
    for arguments in commands {
        world.succeed(arguments).await;
    }
    let reported = world.json(&["report", "--json"]).await;
    assert!(reported.is_object(), "{reported}");
}

/// A mistyped address of the target costs the source nothing, and the error has a remedy.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_dropped_where_the_target_is_not_there() {
    let world = World::canonical("select 1").await;
    world.succeed(&["backfill"]).await;
    let url = world.target.url();
    let (address, database) = url.rsplit_once('/').unwrap();
    let options = database.split_once('?').map(|(_, options)| format!("?{options}"));
    let missing = format!("{address}/no_such_database{}", options.unwrap_or_default());
    for arguments in [&["slot", "drop"][..], &["validate"], &["log"]] {
        let mut command = world.command(arguments);
        let output = command.env("TRIBUTARY_TARGET_URL", &missing).output().await.unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{arguments:?} {errors}");
        assert!(
            errors.contains("remedy: correct database, user and password in the [target]"),
            "{errors}"
        );
    }
    let slots = "select count(*) from pg_replication_slots where database = current_database()";
    assert_eq!(world.source.value(slots).await, "1");
    assert_eq!(world.source.value("select count(*) from pg_publication").await, "1");
    // The log of the source is freed where that is asked for, and a daemon that comes back reads everything again.
    let mut command = world.command(&["slot", "drop", "--without-target"]);
    let output = command.env("TRIBUTARY_TARGET_URL", &missing).output().await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(world.source.value(slots).await, "0");
    assert_eq!(world.source.value("select count(*) from pg_publication").await, "0");
    let row = "insert into systemeio (id, email, first_name) values (gen_random_uuid(), 'ana@example.com', 'Ana')";
    world.source.execute(row).await;
    let _daemon = world.started().await;
    assert_eq!(world.target.value("select count(*) from unified_profiles").await, "1");
}
