//! The cut-over (SPEC §9): held, stopped, killed at each of its steps, and never half.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::backups::{APPLICATION, ROWS, dump};
use crate::support::daemon::Daemon;
use crate::support::eventually;
use crate::support::fingerprint::{assert_same, fingerprint};
use crate::support::world::{World, set};

async fn exits(world: &World, arguments: &[&str], code: i32) -> String {
    let output = world.run(arguments).await;
    let text = String::from_utf8_lossy(&[&*output.stdout, &*output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    text
}

async fn newest(world: &World) -> String {
    let backups = world.json(&["backups", "list", "--json"]).await;
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
        world.dies(&["cutover"], point).await;
        assert!(dump(&world).await == before, "{point}: something was written");
    }
    // From here on the same command goes on where it was.
    for point in ["groups-judged", "cutover-filled", "cutover-validated"] {
        world.dies(&["cutover"], point).await;
        assert!(dump(&world).await != before, "{point}: nothing was written");
    }
    exits(&world, &["cutover", "--abort-if", "insert>0"], 0).await;
    let done = dump(&world).await;
    let backups = world.json(&["backups", "list", "--json"]).await;
    assert_eq!(backups.as_array().map(Vec::len), Some(1), "{backups}");
    exits(&world, &["rollback", &newest(&world).await], 0).await;
    assert!(dump(&world).await == before, "the way back");

    // On request it goes back from the middle, to what was there before the attempt.
    world.dies(&["cutover"], "cutover-filled").await;
    assert!(dump(&world).await != before, "nothing was written");
    exits(&world, &["rollback", &newest(&world).await], 0).await;
    assert!(dump(&world).await == before, "the way back from the middle");

    // Where the validation fails it goes back by itself, also when it dies on the way.
    world.configure(|table| set(table, "validate", "people", vec![100, 200]));
    world.dies(&["cutover"], "rollback-restored").await;
    let people = "select count(*) from unified_profiles";
    assert_eq!(world.target.value(people).await, "65", "half of it was rolled back");
    let said = exits(&world, &["cutover"], 3).await;
    assert!(said.contains("the validation failed: the target was rolled back"), "{said}");
    assert!(dump(&world).await == before, "it did not go back");
    let status = world.json(&["status", "--json"]).await;
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

    // The same asked of a daemon, which dies between the rollback and its answer: the next one answers, and does nothing twice.
    world.configure(|table| set(table, "validate", "people", vec![100, 200]));
    let before = dump(&world).await;
    let point = [("TRIBUTARY_FAILPOINT", "command-answered:2")];
    let mut daemon = Daemon::start_with(&world, &point);
    daemon.wait_for_phase("streaming").await;
    let ask = r#"insert into tributary.command (request, actor)
        values ('{"job": {"do": "cutover", "limits": []}}', 'ana') returning id"#;
    let asked: i64 = world.target.connect().await.query_one(ask, &[]).await.unwrap().get(0);
    assert_eq!(daemon.ended().await.signal(), Some(6), "{}", daemon.log());
    let mut daemon = world.start();
    daemon.wait_for_phase("halted").await;
    let answer = format!("select answer from tributary.command where id = {asked} and ok");
    let is_answered = || async { !world.target.value(&answer).await.is_empty() };
    eventually("the job is answered", || daemon.log(), is_answered).await;
    let answer: Value = serde_json::from_str(&world.target.value(&answer).await).unwrap();
    assert_eq!(answer["rolled_back"], true, "{answer:#}");
    assert_eq!(answer["backup"].as_str(), Some(newest(&world).await.as_str()), "{answer:#}");
    assert_eq!(answer["validation"]["ok"], false, "{answer:#}");
    let handed =
        "select string_agg(request #>> '{request,do}', ' ' order by id) from tributary.command
        where actor = 'ana' and request ? 'request'";
    assert_eq!(world.target.value(handed).await, "reconcile rollback");
    assert!(dump(&world).await == before, "it is not what was there before");
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

/// The application's schema as pg_dump writes it; rows of a table in the order of their text, as a table has none.
fn pg_dump(world: &World) -> String {
    let bin = std::env::var_os("TRIBUTARY_PG_BIN").map(std::path::PathBuf::from);
    // Packages of the server alone have none.
    let own = bin.map(|bin| bin.join("pg_dump")).filter(|own| own.exists());
    let program = own.unwrap_or_else(|| "pg_dump".into());
    let url = world.target.url();
    let output = std::process::Command::new(program)
        .args(["--schema=public", "--dbname", &url])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let (mut dump, mut rows, mut copies) = (Vec::new(), Vec::new(), false);
    // A key that differs each time.
    for line in text
        .lines()
        .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"))
    {
        if line == "\\." {
            rows.sort_unstable();
            dump.append(&mut rows);
            copies = false;
        }
        if copies {
            rows.push(line);
        } else {
            dump.push(line);
        }
        copies |= line.starts_with("COPY ");
    }
    dump.join("\n")
}

/// A database as the application left it: half of the rows are test data, columns are missing, addresses are spelled otherwise,
/// tables and a view refer to it.
const LIVE: &str = "
    create table unified_profiles (id uuid primary key default gen_random_uuid(), email text not null unique,
        first_name text, tags text[], tier text default 'viewer', theme text, number serial);
    create table courses (id uuid primary key, title text not null, slug text unique);
    create table transactions (id uuid primary key, user_id uuid references unified_profiles (id),
        amount numeric(10,2) not null, status text, payment_provider text, payment_provider_id text, note text);
    create table enrollments (id uuid primary key default gen_random_uuid(), user_id uuid not null references unified_profiles (id),
        course_id uuid not null references courses (id), transaction_id uuid references transactions (id), status text,
        progress numeric default 0, unique (user_id, course_id));
    create table orders (id int primary key, profile uuid references unified_profiles (id),
        transaction uuid references transactions (id));
    create table certificates (enrollment uuid references enrollments (id) on delete cascade, text text);
    create view supporters as select id, email from unified_profiles where tier <> 'viewer';
    insert into courses values (md5('own')::uuid, 'Of the application', 'own');
    insert into unified_profiles (id, email, first_name, tags, tier, theme)
    select md5('p' || n)::uuid, case n % 3 when 0 then upper('p' || n || '@example.com') when 1 then 'p' || n || '@Example.com'
            else 'p' || n || '@example.com' end, 'old', '{Old}', case n % 2 when 0 then 'gold' else 'viewer' end, 'dark'
    from generate_series(1, 20) as n;
    insert into unified_profiles (email) select 'test' || n || '@qa.example.com' from generate_series(1, 20) as n;
    insert into transactions (id, user_id, amount, status, payment_provider, payment_provider_id, note)
    select md5('t' || n)::uuid, md5('p' || n)::uuid, 1.50, 'PAID', 'xendit', 'pi_' || n, 'kept' from generate_series(1, 10) as n;
    insert into transactions (id, amount, status) select gen_random_uuid(), n, 'test' from generate_series(1, 10) as n;
    insert into enrollments (user_id, course_id, transaction_id, status, progress)
    select md5('p' || n)::uuid, md5('own')::uuid, md5('t' || n)::uuid, 'active', n from generate_series(1, 10) as n;
    insert into orders select row_number() over (), id from unified_profiles;
    insert into orders select 100 + row_number() over (), null, id from transactions where note is not null;
    insert into certificates select id, 'done' from enrollments";

/// SPEC §7a and §9: look before, go gradually, go back.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_gone_through_gradually_goes_back_byte_for_byte() {
    let world = World::canonical(ROWS).await;
    world.source.execute("update xendit set payment_id = 'pi_' || substr(external_id, 7)").await;
    world.target.execute(LIVE).await;
    let before = pg_dump(&world);

    let shown = world.json(&["backfill", "--dry-run", "--json"]).await;
    let tables = &shown["tables"];
    let counts = |table: &str| {
        let of = |what: &str| tables[table][what].as_u64().unwrap();
        (of("insert"), tables[table]["update"]["total"].as_u64().unwrap(), of("unsupported"))
    };
    assert_eq!(counts("profiles"), (40, 20, 20), "{shown:#}");
    assert_eq!(counts("transactions"), (50, 10, 10), "{shown:#}");
    assert_eq!(counts("enrollments"), (60, 0, 10), "{shown:#}");
    assert!(pg_dump(&world) == before, "the dry run left something behind");

    // 10, 50 and 100 percent, beside the stream; each step is as the rules say.
    world.succeed(&["rollout", "10"]).await;
    assert!(pg_dump(&world) == before, "a rollout before the first backfill touched the tables");
    let mut daemon = world.start();
    daemon.wait_for_phase("streaming").await;
    let run = newest(&world).await;
    let mut people = 0;
    for percent in ["10", "50", "100"] {
        world.succeed(&["rollout", percent]).await;
        let now = "select count(*) from unified_profiles where last_api_sync_at is not null";
        let now: i64 = world.target.value(now).await.parse().unwrap();
        assert!(now > people, "{percent}: {people} {now}");
        people = now;
        // Transactions of the application are adopted of those who are in, and of nobody else.
        let strange = "select count(*) from transactions t join tributary.person o on o.profile_id = t.user_id
            where t.note = 'kept' and (t.amount = 499) <> (not o.outside)";
        assert_eq!(world.target.value(strange).await, "0", "{percent}");
        world.succeed(&["verify"]).await;
        let found = world.run(&["validate"]).await;
        assert_eq!(found.status.code(), Some(0), "{}", String::from_utf8_lossy(&found.stdout));
    }
    assert_eq!(people, 60);
    assert_eq!(
        world
            .target
            .value("select count(*) from transactions where note = 'kept' and amount = 499")
            .await,
        "10"
    );
    assert!(pg_dump(&world) != before);

    // Back, with a daemon that works, to what was there before any of it.
    let said = world.succeed(&["rollback", &run]).await;
    assert!(said.contains("is gone again"), "{said}");
    daemon.wait_for_phase("halted").await;
    assert!(daemon.status().await["halted"].to_string().contains("rolled_back"));
    let after = pg_dump(&world);
    let differs: Vec<_> =
        before.lines().zip(after.lines()).filter(|(a, b)| a != b).take(5).collect();
    assert!(after == before, "{differs:#?}");
}
