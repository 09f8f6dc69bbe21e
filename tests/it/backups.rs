//! The way back (SPEC §9): copies before a backfill, the rollback to them, and the log of what was done.

use std::os::unix::process::ExitStatusExt as _;

use serde_json::Value;

use crate::support::daemon::Daemon;
use crate::support::world::{World, set};

/// People of whom some are known to the application already, one of them in another spelling.
pub(crate) const ROWS: &str = "
    insert into xendit (id, external_id, status, amount, currency, customer_email, customer_name, description, created)
    select md5('x' || n)::uuid, 'order-' || n, 'PAID', 499, 'PHP', 'p' || n || '@example.com', 'Ana Cruz',
        'Papers to Profits', '2025-06-30T04:00:00Z'
    from generate_series(1, 60) as n;
    insert into systemeio (id, contact_id, email, first_name, last_name, tags)
    select md5('s' || n)::uuid, 'c' || n, 'p' || n || '@example.com', 'ana', 'cruz', 'PaidP2P'
    from generate_series(1, 60) as n";

/// A target as an application has it: columns missing, a trigger that notes the time, another table that refers to profiles,
/// test accounts.
pub(crate) const APPLICATION: &str = "
    create table unified_profiles (id uuid primary key default gen_random_uuid(), email text not null unique,
        first_name text, tier text default 'viewer', updated_at timestamptz, theme text);
    create function touch() returns trigger language plpgsql as
        $$ begin new.updated_at := clock_timestamp(); return new; end $$;
    create trigger touch before update on unified_profiles for each row execute function touch();
    create table orders (id int primary key, profile uuid references unified_profiles (id));
    insert into unified_profiles (email, first_name, theme)
    select case when n = 3 then 'P3@Example.com' else 'p' || n || '@example.com' end, 'old', 'dark'
    from generate_series(1, 20) as n;
    insert into unified_profiles (email) select 'test' || n || '@qa.example.com' from generate_series(1, 5) as n;
    insert into orders select row_number() over (), id from unified_profiles;
    create table transactions (id uuid primary key, user_id uuid references unified_profiles (id),
        amount numeric(10,2) not null, status text, note text);
    insert into transactions (id, user_id, amount, status, note)
    select md5('x' || n)::uuid, null, 1.50, 'test', 'kept' from generate_series(1, 4) as n;
    insert into transactions (id, amount) select gen_random_uuid(), n from generate_series(1, 3) as n";

const TABLES: [&str; 5] = ["unified_profiles", "transactions", "enrollments", "courses", "orders"];

/// Everything of the target tables: rows, columns, constraints, triggers, indexes.
pub(crate) async fn dump(world: &World) -> String {
    let mut all = String::new();
    for table in TABLES {
        let rows = format!("select string_agg(t::text, E'\\n' order by id) from {table} t");
        all.push_str(&world.target.value(&rows).await);
        let catalog = format!(
            "select string_agg(l, E'\\n' order by l) from (
                select concat_ws(' ', attnum, attname, atttypid::regtype, attnotnull) from pg_attribute
                where attrelid = '{table}'::regclass and not attisdropped
                union all select pg_get_constraintdef(oid) from pg_constraint where conrelid = '{table}'::regclass
                union all select pg_get_triggerdef(oid) || tgenabled::text from pg_trigger
                    where tgrelid = '{table}'::regclass and not tgisinternal
                union all select indexdef from pg_indexes where schemaname = 'public' and tablename = '{table}') c (l)"
        );
        all.push_str(&world.target.value(&catalog).await);
    }
    all
}

async fn refused(world: &World, arguments: &[&str]) -> String {
    let output = world.run(arguments).await;
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_target_comes_back_as_it_was_and_the_daemon_waits() {
    let world = World::canonical(ROWS).await;
    world.target.execute(APPLICATION).await;
    world.succeed(&["migrate"]).await;
    let before = dump(&world).await;
    // It dies in the middle of taking the copies, which are taken once.
    let mut daemon = Daemon::start_with(&world, &[("TRIBUTARY_FAILPOINT", "backup-copied")]);
    assert_eq!(daemon.ended().await.signal(), Some(6));
    assert!(dump(&world).await == before, "the tables differ");
    let mut daemon = world.started().await;
    let backups = world.json(&["backups", "list", "--json"]).await;
    assert_eq!(backups.as_array().map(Vec::len), Some(1), "{backups}");
    let run = backups[0]["run"].as_str().unwrap().to_owned();
    assert_eq!(
        (&backups[0]["rows"], &backups[0]["reason"]),
        (&33.into(), &"first backfill".into())
    );
    let others = "select count(*) from information_schema.role_table_grants
                  where table_schema like 'tributary_backup_%' and grantee <> grantor";
    assert_eq!(world.target.value(others).await, "0");
    assert!(dump(&world).await != before, "nothing was written");

    // What the application writes since is not lost unnoticed.
    world
        .target
        .execute("update enrollments set progress = 7 where id = (select id from enrollments order by id limit 1)")
        .await;
    world
        .target
        .execute("insert into transactions (id, amount) values (md5('app')::uuid, 5)")
        .await;
    world
        .target
        .execute("update unified_profiles set tier = 'gold' where email = 'p1@example.com'")
        .await;
    let told = refused(&world, &["rollback", &run]).await;
    for part in ["progress", "rows that it inserted in 1 rows", "tier that it changed in 1 rows"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    // A row of another table that refers to a profile which would go is never deleted.
    world.target.execute("insert into orders select 99, id from unified_profiles where email = 'p50@example.com'").await;
    let told = refused(&world, &["rollback", &run, "--discard-application-changes"]).await;
    assert!(told.contains("orders"), "{told}");
    world.target.execute("delete from orders where id = 99").await;
    let plan = world.json(&["rollback", &run, "--dry-run", "--json"]).await;
    assert_eq!(plan["tables"][0]["delete"], 40, "{plan}");

    // The daemon dies before the commit: nothing has happened. The command then does it by itself.
    daemon.kill9().await;
    let rolled_back = dump(&world).await;
    daemon = Daemon::start_with(&world, &[("TRIBUTARY_FAILPOINT", "rollback-restored")]);
    daemon.wait_for_phase("streaming").await;
    let back = ["rollback", run.as_str(), "--discard-application-changes"];
    let (_, answer) = tokio::join!(
        async {
            assert_eq!(daemon.ended().await.signal(), Some(6));
            assert!(dump(&world).await == rolled_back, "a part was rolled back");
        },
        world.run(&back)
    );
    assert_eq!(answer.status.code(), Some(0), "{answer:?}");
    let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
    assert!(answer.contains("rolled back"), "{answer}");
    assert!(dump(&world).await == before, "the tables differ");

    // It waits, also over a restart, and nobody decides meanwhile.
    let mut daemon = world.start();
    daemon.wait_for_phase("halted").await;
    assert!(daemon.status().await["halted"].to_string().contains("rolled_back"));
    world.source.execute("update systemeio set first_name = 'Bea'").await;
    let told =
        refused(&world, &["decisions", "add", "separate", "p1@example.com", "p2@example.com"])
            .await;
    assert!(told.contains("rolled_back"), "{told}");
    refused(&world, &["accept"]).await;
    assert!(dump(&world).await == before, "the tables differ");
    world.succeed(&["backfill"]).await;
    daemon.wait_for_phase("streaming").await;
    daemon.wait_until_caught_up(&world).await;
    world.succeed(&["verify"]).await;
    let points = world.json(&["validate", "--json"]).await;
    assert!(points["ok"] == true && points["points"].as_array().unwrap().len() > 20, "{points}");
    assert!(world.succeed(&["validate", "--sql"]).await.contains("\\set profiles"));
    world.target.execute("update transactions set amount = -1 where status = 'PAID'").await;
    let wrong = world.run(&["validate"]).await;
    assert_eq!(wrong.status.code(), Some(3), "{wrong:?}");

    // Through the daemon, too; the newest stay.
    world.configure(|table| set(table, "backup", "keep", 1));
    world.succeed(&["rollback", &run]).await;
    daemon.wait_for_phase("halted").await;
    assert!(dump(&world).await == before, "the tables differ");
    daemon.kill9().await;
    world.succeed(&["backfill"]).await;
    let backups = world.json(&["backups", "list", "--json"]).await;
    assert_eq!(backups.as_array().map(Vec::len), Some(1), "{backups}");
    assert_eq!(backups[0]["reason"], "backfill");
    reported(&world).await;
    leaves_the_way_out(&world, backups[0]["run"].as_str().unwrap()).await;
    logged(&world).await;
}

/// Copies as files, and without room none.
async fn leaves_the_way_out(world: &World, run: &str) {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("out");
    let to = to.to_str().unwrap();
    let files = world.json(&["backups", "export", run, to, "--json"]).await;
    assert_eq!(
        (files.as_array().map(Vec::len), &files[0]["rows"]),
        (Some(4), &25.into()),
        "{files}"
    );
    refused(world, &["backups", "export", run, to]).await;
    world.target.execute("alter table transactions add column large text; alter table transactions alter large set storage external").await;
    world.target.execute("update transactions set large = repeat('x', 2000000)").await;
    world.configure(|table| set(table, "backup", "max_mib", 1));
    let told = refused(world, &["backfill"]).await;
    assert!(told.contains("bytes") && told.contains("max_mib"), "{told}");
    world.succeed(&["backups", "drop", run]).await;
    refused(world, &["backups", "drop", run]).await;
    let left = "select count(*) from pg_namespace where nspname like 'tributary_backup_%'";
    assert_eq!(world.target.value(left).await, "0");
}

/// Who did what, with what outcome.
async fn logged(world: &World) {
    let log = world.json(&["log", "--json", "--limit", "100"]).await;
    let log = log.as_array().unwrap();
    let count = |operation: &str, outcome: &str| {
        let is = |e: &&Value| e["operation"] == operation && e["outcome"] == outcome;
        log.iter().filter(is).count()
    };
    assert_eq!(count("backfill", "done"), 3, "{log:#?}");
    assert_eq!(count("rollback", "done"), 2);
    assert_eq!(count("rollback", "refused"), 2);
    assert_eq!(count("migrate", "done"), 1);
    assert_eq!(count("verify", "done"), 1);
    assert_eq!((count("backup", "done"), count("backup", "refused")), (3, 1));
    let first = log.iter().rfind(|entry| entry["operation"] == "backfill").unwrap();
    assert_eq!((&first["processed"], &first["failed"]), (&120.into(), &0.into()), "{first}");
    let text = world.succeed(&["log", "export"]).await;
    assert_eq!(text.lines().count(), log.len());
    assert!(!text.contains("example.com"), "{text}");
    let id = first["id"].to_string();
    assert!(world.succeed(&["log", "show", &id]).await.contains("backfill"));
    assert!(world.succeed(&["log", "--since", "2100-01-01"]).await.contains("nothing"));
}

/// What the last backfill left behind, as JSON, text and a page; each run has its own.
async fn reported(world: &World) {
    let report = world.json(&["report", "--json"]).await;
    assert_eq!(report["operation"], "backfill", "{report:#}");
    let feeds: Vec<&Value> =
        report["feeds"].as_array().unwrap().iter().map(|f| &f["rows"]).collect();
    assert_eq!(feeds, [&Value::from(60), &Value::from(60)]);
    let totals = &report["totals"];
    assert_eq!(totals["before"]["rows"]["profiles"], 25, "{totals:#}");
    assert_eq!(totals["after"]["rows"]["profiles"], 65, "{totals:#}");
    assert_eq!(report["written"]["profiles"]["inserted"], 40, "{report:#}");
    // Also the profile that spells the address otherwise, which came back with the rollback and is found by a scan of its own.
    assert_eq!(report["written"]["profiles"]["updated"], 20, "{report:#}");
    let months = totals["after"]["transactions"]["month"].as_array().unwrap();
    let june = months.iter().find(|month| month["key"] == "2025-06").unwrap();
    assert_eq!((&june["successful"], &june["amounts"]["PHP"]), (&60.into(), &"29940.00".into()));
    let with_person =
        |measure: &&Value| measure["name"] == "payments_with_person" && measure["good"] == 60;
    assert!(report["quality"].as_array().unwrap().iter().any(|m| with_person(&m)), "{report:#}");
    assert!(report["trend"].as_array().unwrap().len() >= 2, "{report:#}");
    assert!(report["validation"]["points"].as_array().unwrap().len() > 20, "{report:#}");
    assert!(!report.to_string().contains("example.com"), "{report:#}");
    let earlier = report["trend"][0]["entry"].to_string();
    assert_eq!(world.json(&["report", &earlier, "--json"]).await["entry"].to_string(), earlier);
    assert!(refused(world, &["report", "999999"]).await.contains("no report"));
    assert!(world.succeed(&["report"]).await.contains("DATA QUALITY"));
    let folder = tempfile::tempdir().unwrap();
    for (file, arguments) in [
        ("stored.html", &["report", "--html"][..]),
        ("dry.html", &["backfill", "--dry-run", "--report"][..]),
    ] {
        let file = folder.path().join(file);
        world.succeed(&[arguments, &[file.to_str().unwrap()]].concat()).await;
        let page = std::fs::read_to_string(file).unwrap();
        assert!(page.contains("<svg") && page.contains("Data quality"), "{page}");
        assert!(!page.contains("example.com"), "{page}");
    }
}

/// A cut-over that stops at a limit, one that goes back because its validation fails, and one that is done.
#[tokio::test(flavor = "multi_thread")]
async fn a_cut_over_stops_goes_back_or_is_done() {
    let world = World::canonical(ROWS).await;
    world.target.execute(APPLICATION).await;
    world.succeed(&["migrate"]).await;
    let before = dump(&world).await;
    let stopped = world.run(&["cutover", "--abort-if", "insert>5"]).await;
    assert_eq!(stopped.status.code(), Some(3), "{stopped:?}");
    assert!(dump(&world).await == before, "something was written");
    world.configure(|table| set(table, "validate", "people", vec![100, 200]));
    let failed = world.run(&["cutover"]).await;
    assert_eq!(failed.status.code(), Some(3), "{failed:?}");
    assert!(dump(&world).await == before, "it did not go back");
    // It dies once the copies are there (the dry run has read two chunks): the next attempt goes on, past its limits.
    world.configure(|table| set(table, "validate", "people", vec![60, 60]));
    world.dies(&["cutover"], "chunk-committed:3").await;
    world.succeed(&["cutover", "--abort-if", "insert>0"]).await;
    let backups = world.json(&["backups", "list", "--json"]).await;
    assert_eq!(backups.as_array().map(Vec::len), Some(2), "{backups}");
    let log = world.json(&["log", "--operation", "cutover", "--json"]).await;
    let outcomes: Vec<&str> =
        log.as_array().unwrap().iter().filter_map(|entry| entry["outcome"].as_str()).collect();
    assert_eq!(outcomes, ["done", "interrupted", "refused", "refused"], "{log}");
    let run = backups[0]["run"].as_str().unwrap();
    world.succeed(&["rollback", run]).await;
    assert!(dump(&world).await == before, "the way back");
}

/// A course that was added before the backup stays where rows of the application refer to it since.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_takes_no_rows_along_that_refer_to_a_course() {
    let world = World::canonical(ROWS).await;
    world.target.execute(APPLICATION).await;
    let courses =
        "create table courses (id uuid primary key, title text not null, slug text unique)";
    world.target.execute(courses).await;
    world.succeed(&["backfill"]).await;
    let lessons =
        "create table lessons (n int, course uuid references courses (id) on delete cascade);
        insert into lessons select 1, id from courses";
    world.target.execute(lessons).await;
    let count = "select count(*) from lessons";
    let before = world.target.value(count).await;
    assert_ne!(before, "0");
    let backups = world.json(&["backups", "list", "--json"]).await;
    let run = backups[0]["run"].as_str().unwrap();
    let said = world.succeed(&["rollback", run]).await;
    assert_eq!(world.target.value(count).await, before, "{said}");
    assert!(said.contains("stays: rows refer to it"), "{said}");
}

/// The answer to the first one may be lost. What the backfill had added to the tables is gone, and the copies cannot be compared with them.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_is_asked_for_twice_is_done_once() {
    let world = World::canonical(ROWS).await;
    world.target.execute(APPLICATION).await;
    world.succeed(&["backfill"]).await;
    let backups = world.json(&["backups", "list", "--json"]).await;
    let run = backups[0]["run"].as_str().unwrap();
    world.succeed(&["rollback", run]).await;
    let profiles = "select string_agg(p::text, ' ' order by id) from unified_profiles p";
    let before = world.target.value(profiles).await;
    let again = world.succeed(&["rollback", run]).await;
    assert!(again.contains("before, and tributary has written nothing since"), "{again}");
    let shown = world.succeed(&["rollback", run, "--dry-run"]).await;
    assert!(shown.contains("nothing was written"), "{shown}");
    assert_eq!(world.target.value(profiles).await, before);
    let validated = world.run(&["validate"]).await;
    let errors = String::from_utf8_lossy(&validated.stderr).into_owned();
    assert!(errors.contains("remedy: a table was altered or dropped"), "{errors}");
    world.succeed(&["backfill"]).await;
    world.succeed(&["verify"]).await;
}
