//! What `check` tries and `run` refuses, each with its remedy (SPEC §9, P12, P20).

use crate::check::points;
use crate::noticed::ROWS;
use crate::support::compare::assert_equals_fresh_backfill;
use crate::support::daemon::Daemon;
use crate::support::eventually;
use crate::support::world::{World, set};

/// `check` fails in one point, which begins like this.
async fn fails(world: &World, target: Option<&str>, expected: &str) {
    let (code, points) = points(world, target).await;
    assert_eq!(code, Some(3), "{points:?}");
    assert!(points.iter().any(|point| point.starts_with(expected)), "{points:?}");
}

/// A role of the target that may write as far as grants go.
pub(crate) async fn writer(world: &World) -> (String, String) {
    world.succeed(&["migrate"]).await;
    world.configure(|table| set(table, "run", "migrate", false));
    let role = format!("writer_of_{}", world.slot);
    let grants = format!(
        "create role {role} login password 'secret';
         grant all on schema tributary to {role}; grant all on all tables in schema tributary to {role};
         grant all on all sequences in schema tributary to {role};
         grant all on unified_profiles, transactions, enrollments, courses to {role};"
    );
    world.target.execute(&grants).await;
    let url = world.target.url_as(&role, "secret");
    (role, url)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_checked_later_is_refused_and_the_remedy_helps_p12() {
    let world = World::canonical(
        "alter table xendit drop constraint xendit_pkey, add primary key (id) deferrable",
    )
    .await;
    fails(
        &world,
        None,
        "source.xendit.replica_identity: public.xendit has no usable replica identity",
    )
    .await;
    let refused = world.run(&["run"]).await;
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    let (_, statement) = said.split_once("run on the source: ").unwrap();
    let (statement, _) = statement.split_once(" (the primary key").unwrap();
    // The application goes on meanwhile.
    world.source.execute(ROWS).await;
    world.source.execute("update xendit set amount = 5").await;
    world.source.execute(statement).await;
    assert_eq!(points(&world, None).await, (Some(0), vec![]));
    let _daemon = world.started().await;
    assert_eq!(
        world.target.value("select count(*) from transactions where amount = 5").await,
        "200"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_in_another_encoding_is_refused() {
    let world = World::canonical(ROWS).await;
    let name = format!("latin_{}", world.slot);
    let create = format!("create database {name} template template0 encoding 'LATIN1' locale 'C'");
    world.target.cluster.execute("postgres", &create).await.unwrap();
    let url = world.target.cluster.url(&name);
    fails(&world, Some(&url), "target.encoding: the encoding of the database is LATIN1").await;
    let mut command = world.command(&["run"]);
    let refused = command.env("TRIBUTARY_TARGET_URL", &url).output().await.unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("LATIN1") && said.contains("remedy"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_cannot_write_is_told_what_to_run_p20() {
    let world = World::canonical(ROWS).await;
    let (role, url) = writer(&world).await;
    assert_eq!(points(&world, Some(&url)).await, (Some(0), vec![]));
    let cases = [
        (
            format!("revoke delete on transactions from {role}"),
            "target.transactions.privileges",
            format!("grant delete on transactions to {role}"),
        ),
        (
            format!("alter role {role} set default_transaction_read_only = on"),
            "target.read_only",
            format!("alter role {role} reset default_transaction_read_only"),
        ),
        (
            "alter table unified_profiles alter column systemeio_id type bigint using null".to_owned(),
            "target.unified_profiles.types: columns of public.unified_profiles have types that no value of theirs fits: \
             systemeio_id (bigint)",
            "alter table unified_profiles alter column systemeio_id type text".to_owned(),
        ),
        (
            "alter table transactions alter column api_sync_version drop default, alter column api_sync_version type text"
                .to_owned(),
            "target.transactions.types",
            "alter table transactions alter column api_sync_version type int using null".to_owned(),
        ),
        (
            "alter table transactions drop column fiscal_year, add column fiscal_year int generated always as (2025) stored"
                .to_owned(),
            "target.transactions.generated: columns of public.transactions that the daemon writes are generated: fiscal_year",
            "alter table transactions alter column fiscal_year drop expression".to_owned(),
        ),
    ];
    for (change, expected, mended) in cases {
        world.target.execute(&change).await;
        fails(&world, Some(&url), expected).await;
        halts_until(&world, &url, &mended).await;
        assert_eq!(points(&world, Some(&url)).await, (Some(0), vec![]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_policies_hide_are_noticed_p20() {
    let world = World::canonical(ROWS).await;
    let (role, url) = writer(&world).await;
    let policies = format!(
        "alter table transactions enable row level security;
         create policy reading on transactions for select to {role} using (true);
         create policy adding on transactions for insert to {role} with check (true)"
    );
    world.target.execute(&policies).await;
    fails(
        &world,
        Some(&url),
        "target.transactions.rows: writes to public.transactions do not reach",
    )
    .await;
    let mended =
        format!("create policy rest on transactions to {role} using (true) with check (true)");
    halts_until(&world, &url, &mended).await;
    assert_eq!(points(&world, Some(&url)).await, (Some(0), vec![]));
    assert_eq!(world.target.value("select count(*) from transactions").await, "200");
}

/// A table that drops every row: no row of it is at fault.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_drops_every_row_halts_until_it_is_fixed_p20() {
    let world = World::canonical(ROWS).await;
    let mut daemon = world.started().await;
    let drops = "create or replace function dropped() returns trigger language plpgsql as 'begin return null; end';
         create trigger dropping before insert or update or delete on transactions for each row execute function dropped()";
    let mended = "drop trigger dropping on transactions";
    world.target.execute(drops).await;
    world.source.execute("update xendit set amount = 7").await;
    daemon.wait_for_phase("halted").await;
    let reason = daemon.status().await["halted"].to_string();
    assert!(reason.contains("transactions") && reason.contains("return the row"), "{reason}");
    let rejected = "select count(*) from tributary.conflict where kind = 'rejected_row'";
    assert_eq!(world.target.value(rejected).await, "0");
    // Also where it starts like that.
    assert_eq!(daemon.terminate().await.code(), Some(0));
    let mut daemon = world.start();
    daemon.wait_for_phase("halted").await;
    world.target.execute(mended).await;
    daemon.wait_for_phase("streaming").await;
    daemon.wait_until_caught_up(&world).await;
    let changed = "select count(*) from transactions where amount = 7";
    assert_eq!(world.target.value(changed).await, "200");
    assert_eq!(world.target.value(rejected).await, "0");
}

/// `run` stays up halted with the remedy, has written nothing, and works once it is fixed.
async fn halts_until(world: &World, url: &str, mended: &str) {
    let mut daemon = Daemon::start_with(world, &[("TRIBUTARY_TARGET_URL", url)]);
    daemon.wait_for_phase("halted").await;
    let reason = daemon.status().await["halted"].to_string();
    assert!(reason.contains("remedy: run on the target"), "{reason}");
    let code = async |path| daemon.get(path).await.map(|(code, _)| code);
    assert_eq!((code("/livez").await, code("/readyz").await), (Some(200), Some(503)));
    world.target.execute(mended).await;
    daemon.wait_for_phase("streaming").await;
    daemon.wait_until_caught_up(world).await;
    assert_eq!(daemon.terminate().await.code(), Some(0));
}

/// A role of the source that may do all that is needed, with a password and a limit of connections.
pub(crate) async fn reader(world: &World, password: &str, limit: i32) -> String {
    let role = format!("reader_of_{}", world.slot);
    // One by one, so that no locks add up beside what the server does on its own.
    for sql in [
        format!(
            "create role {role} login replication connection limit {limit} password '{password}'"
        ),
        format!("grant select on xendit, systemeio to {role}"),
        format!("create publication {} for table xendit, systemeio", world.slot),
    ] {
        world.source.execute(&sql).await;
    }
    role
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_with_too_few_connections_is_told_so() {
    let world = World::canonical(ROWS).await;
    let role = reader(&world, "secret", 1).await;
    let source = world.source.url_as(&role, "secret");
    let output =
        world.command(&["check"]).env("TRIBUTARY_SOURCE_URL", &source).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("FAIL source.connections") && said.contains("CONNECTION LIMIT -1"),
        "{said}"
    );
    let mut daemon = Daemon::start_with(&world, &[("TRIBUTARY_SOURCE_URL", &source)]);
    daemon.wait_for_phase("halted").await;
    assert_eq!(daemon.get("/readyz").await.map(|(code, _)| code), Some(503));
    assert!(daemon.status().await["halted"].to_string().contains("CONNECTION LIMIT -1"));
    world.source.execute(&format!("alter role {role} connection limit -1")).await;
    daemon.wait_for_phase("streaming").await;
    daemon.wait_until_caught_up(&world).await;
    assert_equals_fresh_backfill(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_must_be_prepared_streams() {
    let world = World::canonical(ROWS).await;
    let role = reader(&world, "se\u{a0}cret", -1).await;
    let source = world.source.url_as(&role, "se%C2%A0cret");
    let mut daemon = Daemon::start_with(&world, &[("TRIBUTARY_SOURCE_URL", &source)]);
    daemon.wait_for_phase("streaming").await;
    world.source.execute("update xendit set amount = 6").await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(
        world.target.value("select count(*) from transactions where amount = 6").await,
        "200"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_first_start_waits_for_is_named_and_the_process_counts_as_alive_p17() {
    let world = World::canonical(ROWS).await;
    let open = world.source.connect().await;
    open.batch_execute("begin; update xendit set amount = 8").await.unwrap();
    let pid: i32 = open.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
    let mut daemon = world.start();
    let named = format!("process {pid} ");
    eventually("a named blocker", || daemon.log(), || async { daemon.log().contains(&named) })
        .await;
    let code = async |path| daemon.get(path).await.map(|(code, _)| code);
    assert_eq!((code("/livez").await, code("/readyz").await), (Some(200), Some(503)));
    open.batch_execute("commit").await.unwrap();
    daemon.wait_for_phase("streaming").await;
    daemon.wait_until_caught_up(&world).await;
    assert_equals_fresh_backfill(&world).await;
}
