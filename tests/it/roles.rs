//! Least privilege: the roles of `deploy/sql/roles.sql` are enough, and nobody else reads what is stored.

use crate::check::points;
use crate::support::daemon::Daemon;
use crate::support::world::{World, set};

const ROLES: &str = include_str!("../../deploy/sql/roles.sql");

const ROWS: &str = "
    insert into xendit (id, status, amount, currency, customer_email, created)
    select gen_random_uuid(), 'PAID', 499, 'PHP', 'p' || n || '@example.com', '2025-06-30T04:00:00Z'
    from generate_series(1, 50) as n;
    insert into systemeio (id, contact_id, email, first_name)
    select gen_random_uuid(), 'c' || n, 'p' || n || '@example.com', 'Ana' from generate_series(1, 50) as n";

#[tokio::test(flavor = "multi_thread")]
async fn three_roles_with_little_are_enough_and_nobody_else_reads() {
    let world = World::canonical(ROWS).await;
    for place in [&world.source, &world.target] {
        // Twice, as an operator may.
        place.execute(ROLES).await;
        place.execute(ROLES).await;
    }
    for role in ["tributary_stream", "tributary_migrate", "tributary_apply"] {
        world.source.execute(&format!("alter role {role} password 'secret'")).await;
    }
    let publication = format!(
        "create publication {} for table xendit, systemeio with (publish = 'insert, update, delete, truncate')",
        world.slot
    );
    world.source.execute(&publication).await;
    world.configure(|table| set(table, "run", "migrate", false));
    let source = world.source.url_as("tributary_stream", "secret");
    let target = world.target.url_as("tributary_apply", "secret");
    let command = |arguments: &[&str], target: &str| {
        let mut command = world.command(arguments);
        command.env("TRIBUTARY_SOURCE_URL", &source).env("TRIBUTARY_TARGET_URL", target);
        command
    };
    let run = async |arguments: &[&str], target: &str| {
        let output = command(arguments, target).output().await.unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    let migrated = run(&["migrate"], &world.target.url_as("tributary_migrate", "secret")).await;
    assert_eq!(migrated.0, Some(0), "{}", migrated.1);

    let urls = [("TRIBUTARY_SOURCE_URL", source.as_str()), ("TRIBUTARY_TARGET_URL", &target)];
    let mut daemon = Daemon::start_with(&world, &urls);
    daemon.wait_for_phase("streaming").await;
    world.source.execute("update systemeio set first_name = 'Ben'").await;
    world.source.execute("delete from xendit where customer_email = 'p1@example.com'").await;
    daemon.wait_until_caught_up(&world).await;
    let (code, said) = run(&["verify"], &target).await;
    assert_eq!(code, Some(0), "{said}\n{}", daemon.log());
    let (code, said) = run(&["check"], &target).await;
    assert_eq!(code, Some(0), "{said}");

    // What the role cannot see must not be deleted with a transaction.
    let receipts = "create table receipts (n int, transaction_id uuid references transactions on delete cascade);
        insert into receipts select 1, id from transactions";
    world.target.execute(receipts).await;
    world.source.execute("delete from xendit where customer_email = 'p2@example.com'").await;
    daemon.wait_until_caught_up(&world).await;
    let voided = "select count(*) from transactions where status = 'VOIDED'";
    assert_eq!(world.target.value(voided).await, "1", "{}", daemon.log());
    // Where the server itself refuses, it is asked.
    world.target.execute("drop table receipts; create table receipts (n int, transaction_id uuid references transactions);
        insert into receipts select 1, id from transactions").await;
    world.source.execute("delete from xendit where customer_email = 'p3@example.com'").await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(world.target.value(voided).await, "2", "{}", daemon.log());
    world.target.execute("drop table receipts").await;

    // What each may not.
    let denied =
        "select count(*) from unnest(array['tributary_stream', 'anon', 'authenticated']) as r,
        unnest(array['tributary.source_row', 'tributary.conflict', 'tributary.person']) as t
        where to_regrole(r) is not null and has_schema_privilege(r, 'tributary', 'usage')";
    assert_eq!(world.target.value(denied).await, "0");
    let may_write = "has_table_privilege('tributary_stream', 'xendit', 'insert, update, delete')";
    assert_eq!(world.source.value(may_write).await, "false");
    let may_make = "has_schema_privilege('tributary_apply', 'tributary', 'create')";
    assert_eq!(world.target.value(may_make).await, "false");

    let anonymous =
        "do $$ begin create role anon; exception when duplicate_object then null; end $$";
    world.target.execute(anonymous).await;
    for opening in [
        "grant usage on schema tributary to anon",
        "grant select on tributary.source_row to public",
        "grant select (key) on tributary.source_row to anon",
    ] {
        world.target.execute(opening).await;
        let (code, failed) = points(&world, None).await;
        assert!(
            code == Some(3) && failed.iter().any(|p| p.starts_with("target.privacy")),
            "{failed:?}"
        );
        let (_, said) = run(&["check"], &target).await;
        let remedy =
            said.lines().find_map(|line| line.trim().strip_prefix("remedy: run on the target: "));
        world.target.execute(remedy.expect("a remedy")).await;
        assert_eq!(run(&["check"], &target).await.0, Some(0));
    }
    assert_eq!(daemon.terminate().await.code(), Some(0));
}
