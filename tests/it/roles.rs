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

/// What was granted may be taken away while it works: it waits, halted, until that is back (P20), and what a policy refuses of
/// one row is a conflict (P10).
#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_away_while_it_works_halts_it_until_it_is_back_p20() {
    let world = World::canonical(ROWS).await;
    for place in [&world.source, &world.target] {
        place.execute(ROLES).await;
    }
    let (stream, apply) = (format!("{}_stream", world.slot), format!("{}_apply", world.slot));
    world
        .source
        .execute(&format!(
            "create role {stream} login replication password 'secret' in role tributary_stream;
             grant select on xendit, systemeio to {stream};
             create publication {} for table xendit, systemeio with (publish = 'insert, update, delete, truncate')",
            world.slot
        ))
        .await;
    world
        .target
        .execute(&format!("create role {apply} login password 'secret' in role tributary_apply"))
        .await;
    world.configure(|table| set(table, "run", "migrate", false));
    world.succeed(&["migrate"]).await;
    world.target.execute(ROLES).await;
    let source = world.source.url_as(&stream, "secret");
    let target = world.target.url_as(&apply, "secret");
    let urls = [("TRIBUTARY_SOURCE_URL", source.as_str()), ("TRIBUTARY_TARGET_URL", &target)];
    let mut daemon = Daemon::start_with(&world, &urls);
    daemon.wait_for_phase("streaming").await;

    let named = "select string_agg(distinct first_name, ' ') from unified_profiles";
    let revoke = "revoke update on unified_profiles from tributary_apply";
    world.target.execute(revoke).await;
    world.source.execute("update systemeio set first_name = 'Ben'").await;
    daemon.wait_for_phase("halted").await;
    assert_eq!(world.target.value(named).await, "Ana");
    world.target.execute(&revoke.replace("revoke", "grant").replace("from", "to")).await;
    daemon.wait_for_phase("streaming").await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(world.target.value(named).await, "Ben");

    let policy = "alter table unified_profiles enable row level security;
        create policy all_but_one on unified_profiles using (true) with check (email not like '%@blocked.example.com')";
    world.target.execute(policy).await;
    let people = "insert into systemeio (id, email, first_name) values
        (gen_random_uuid(), 'a@blocked.example.com', 'Cora'), (gen_random_uuid(), 'b@example.com', 'Cora')";
    world.source.execute(people).await;
    daemon.wait_until_caught_up(&world).await;
    let written = "select string_agg(email, ' ') from unified_profiles where first_name = 'Cora'";
    assert_eq!(world.target.value(written).await, "b@example.com", "{}", daemon.log());
    let refused =
        "select count(*) from tributary.conflict where kind = 'rejected_row' and status = 'open'";
    assert_eq!(world.target.value(refused).await, "1");

    let taken = format!(
        "alter role {stream} nologin;
         select pg_terminate_backend(pid) from pg_stat_activity where usename = '{stream}'"
    );
    world.source.execute(&taken).await;
    daemon.wait_for_phase("halted").await;
    world.source.execute(&format!("alter role {stream} login")).await;
    daemon.wait_for_phase("streaming").await;
    world.source.execute("update systemeio set first_name = 'Dan'").await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(world.target.value(named).await, "Dan");
    assert_eq!(daemon.terminate().await.code(), Some(0));
}
