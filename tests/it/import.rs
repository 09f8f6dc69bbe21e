//! `tributary import`: both shipped plans on made-up exports, damaged in every way.

mod foreign;
mod forms;
mod killed;
mod kinds;
mod there_before;
mod way_back;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use testkit::exports::{self, Export, Options};

use crate::support::setting;
use crate::support::world::{Places, World};
use there_before::there_before;

fn shipped(name: &str) -> String {
    format!("{}/config/import/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A world whose target has the tables of a shipped plan.
async fn with_tables(plan: &str) -> World {
    let world = World::new(testkit::source_schema::SourceLayout::Canonical, Places::Shared).await;
    world.target.execute(&std::fs::read_to_string(shipped(&format!("{plan}.sql"))).unwrap()).await;
    world
}

async fn report(world: &World, arguments: &[&str], code: i32) -> Value {
    let output = world.run(arguments).await;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "tributary {arguments:?}\n{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn counts<'r>(report: &'r Value, load: &str) -> &'r Value {
    let found = report["loads"].as_array().unwrap().iter().find(|found| found["load"] == load);
    &found.unwrap_or_else(|| panic!("{load}: {report}"))["counts"]
}

fn total(report: &Value, outcome: &str) -> u64 {
    let loads = report["loads"].as_array().unwrap().iter();
    loads.map(|load| load["counts"][outcome].as_u64().unwrap()).sum()
}

/// Everything in the tables of a plan.
async fn contents(world: &World, tables: &[&str]) -> String {
    let mut text = String::new();
    for table in tables {
        let all = format!("select md5(string_agg(t::text, '|' order by t::text)) from {table} t");
        writeln!(text, "{table} {}", world.target.value(&all).await).unwrap();
    }
    text
}

const APP: [&str; 8] =
    ["users", "accounts", "skills", "achievements", "habits", "habit_logs", "goals", "goal_logs"];

const SCHOOL: [&str; 11] = [
    "users",
    "teachers",
    "classrooms",
    "classes",
    "students",
    "student_contacts",
    "attendance",
    "grades",
    "private_lessons",
    "payment_obligations",
    "payments",
];

#[tokio::test(flavor = "multi_thread")]
async fn an_apps_backup_becomes_rows_and_a_second_run_changes_nothing() {
    let world = with_tables("app").await;
    let folder = tempfile::tempdir().unwrap();
    let rejects = folder.path().join("rejects.jsonl");
    let rejects = rejects.to_str().unwrap();
    let (plan, sample) = (shipped("app.toml"), shipped("app-sample.json"));
    let import = ["import", &plan, &sample, "--json", "--rejects", rejects];
    let predicted = report(&world, &["import", &plan, &sample, "--json", "--dry-run"], 0).await;
    assert_eq!(world.target.value("to_regclass('tributary.id_map')").await, "");
    assert_eq!(world.target.value("select count(*) from users").await, "0");
    let done = report(&world, &import, 0).await;
    assert_eq!(predicted["loads"], done["loads"]);
    assert_eq!(predicted["refusals"], done["refusals"]);
    let users = counts(&done, "users to public.users");
    assert_eq!((users["inserted"].as_u64(), users["rejected"].as_u64()), (Some(2), Some(1)));
    assert_eq!(users["duplicates"], 1);
    assert_eq!(counts(&done, "skills to public.skills")["duplicates"], 1);
    assert_eq!(counts(&done, "accounts to public.accounts")["orphaned"], 1);
    let row = "select level || ' ' || experience || ' ' || coins || ' ' || (email_verified_at = created_at) \
               from users where email = 'ana@example.com'";
    assert_eq!(world.target.value(row).await, "7 12500 1499.50 true");
    let linked =
        "select count(*) from goals g join goal_logs l on l.id = g.latest_log_id and l.amount = 50";
    assert_eq!(world.target.value(linked).await, "1");
    let parent = "select p.name from skills s join skills p on p.id = s.parent_id";
    assert_eq!(world.target.value(parent).await, "Music");
    let before = contents(&world, &APP).await;
    let again = report(&world, &import, 0).await;
    assert_eq!(
        (total(&again, "inserted"), total(&again, "updated"), total(&again, "linked")),
        (0, 0, 0)
    );
    assert_eq!(contents(&world, &APP).await, before);
    let compare = ["import", &plan, &sample, "--json", "--compare"];
    assert_eq!(report(&world, &compare, 0).await["differences"], serde_json::json!([]));
    world.target.execute("update goals set title = 'other' where target = 12").await;
    let found = report(&world, &compare, 3).await;
    assert_eq!(found["differences"][0]["columns"], serde_json::json!(["title"]));

    // What was rejected is corrected and imported again; what was not corrected is rejected again.
    let text = std::fs::read_to_string(rejects).unwrap();
    std::fs::write(rejects, text.replace("not an address", "cara@example.com")).unwrap();
    let second = folder.path().join("second.jsonl");
    let second = second.to_str().unwrap();
    let corrected =
        report(&world, &["import", &plan, rejects, "--json", "--rejects", second], 0).await;
    let users = counts(&corrected, "users to public.users");
    assert_eq!((&users["inserted"], &users["duplicates"]), (&1.into(), &1.into()), "{corrected}");
    assert_eq!(counts(&corrected, "progress to public.users")["updated"], 0);
    assert_eq!(counts(&corrected, "progress to public.users")["unchanged"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_checked_before_anything_is_written() {
    let world = with_tables("app").await;
    let folder = tempfile::tempdir().unwrap();
    let plan = folder.path().join("plan.toml");
    let text = std::fs::read_to_string(shipped("app.toml")).unwrap();
    let text = text
        .replace("unlocked_at = \"unlockedAt\"", "unlocked = \"unlockdAt\"")
        .replace("path = \"tables.habits\"", "path = \"tables.habit\"")
        .replace("\"tables.sessions\" =", "\"tables.sesions\" =");
    std::fs::write(&plan, text).unwrap();
    let output = world.run(&["import", plan.to_str().unwrap(), &shipped("app-sample.json")]).await;
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{errors}");
    for part in [
        "no such column; did you mean \"unlocked_at\"?",
        "no field \"unlockdAt\"",
        "is in none of the files; did you mean \"tables.habits\"?",
        "tables.sessions: is in the files and not in the plan",
        "the column unlocked_at may not be NULL",
    ] {
        let part = part.replace("no field", "no record of achievements has a field");
        assert!(errors.contains(&part), "{part} is missing in\n{errors}");
    }
    assert_eq!(world.target.value("select count(*) from users").await, "0");
    // A file that ends in its middle.
    let half = folder.path().join("half.json");
    let sample = std::fs::read_to_string(shipped("app-sample.json")).unwrap();
    std::fs::write(&half, &sample[..sample.len() / 2]).unwrap();
    let output = world.run(&["import", &shipped("app.toml"), half.to_str().unwrap()]).await;
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && errors.contains("no JSON at byte"), "{errors}");
    assert_eq!(world.target.value("select count(*) from users").await, "0");
}

/// Everything in the tables of a plan, row by row as COPY writes it, and what the import keeps of itself.
async fn dump(world: &World, tables: &[&str]) -> Vec<u8> {
    use futures_util::TryStreamExt as _;
    let client = world.target.connect().await;
    let mut all = Vec::new();
    let own = ["id_map", "import_reject"]
        .map(|name| format!("select t::text from tributary.{name} t order by 1"));
    let tables = tables.iter().map(|table| format!("select * from {table} t order by t::text"));
    for sql in tables.chain(own) {
        let copied = client.copy_out(&format!("copy ({sql}) to stdout")).await.unwrap();
        let parts: Vec<_> = copied.try_collect().await.unwrap();
        all.extend(parts.concat());
        all.extend(b"\n--\n");
    }
    all
}

/// How many records: 3,000, or what the environment says.
fn records() -> u64 {
    setting("IMPORT_RECORDS", 3000)
}

fn export(of: Export, name: &str, options: &Options, folder: &Path) -> PathBuf {
    let file = folder.join(name);
    let mut to = std::io::BufWriter::new(std::fs::File::create(&file).unwrap());
    exports::write(of, options, &mut to).unwrap();
    std::io::Write::flush(&mut to).unwrap();
    file
}

/// A shipped plan with small transactions.
fn plan_with_small_batches(name: &str, folder: &Path) -> String {
    plan_with_batches(name, 200, folder)
}

fn plan_with_batches(name: &str, batch: u32, folder: &Path) -> String {
    let plan = folder.join(format!("{name}.toml"));
    let text = std::fs::read_to_string(shipped(&format!("{name}.toml"))).unwrap();
    std::fs::write(&plan, text.replacen("zone =", &format!("batch = {batch}\nzone ="), 1)).unwrap();
    plan.to_str().unwrap().to_owned()
}

fn assert_adds_up(report: &Value) {
    for load in report["loads"].as_array().unwrap() {
        let of = |outcome: &str| load["counts"][outcome].as_u64().unwrap();
        let rows = of("inserted") + of("updated") + of("unchanged");
        let sum = rows + of("filtered") + of("rejected") + of("orphaned") + of("duplicates");
        assert_eq!(sum, of("read"), "{load}");
    }
    for sum in report["sums"].as_array().unwrap() {
        let number = |key: &str| sum[key].as_str().unwrap().parse::<f64>().unwrap();
        assert!((number("file") - number("database")).abs() < f64::EPSILON, "{sum}");
    }
}

/// Counts add up to the last record, a comparison finds nothing, a second run changes nothing, and a rollback of a corrected
/// export, or of one on rows that were there before, brings everything back byte for byte.
async fn survives(of: Export, name: &str, tables: &[&str]) {
    let world = with_tables(name).await;
    let folder = tempfile::tempdir().unwrap();
    let plan = plan_with_small_batches(name, folder.path());
    let rejects = folder.path().join("rejects.jsonl");
    let first = Options { records: records(), seed: 1, damage: 0.15, mark: true };
    let file = export(of, "first.json", &first, folder.path());
    // Cut off in its middle: nothing is written.
    let whole = std::fs::read(&file).unwrap();
    let cut = folder.path().join("cut.json");
    std::fs::write(&cut, &whole[..whole.len() * 2 / 3]).unwrap();
    let output = world.run(&["import", &plan, cut.to_str().unwrap()]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    world.succeed(&["migrate"]).await;
    let empty = dump(&world, tables).await;
    let arguments = |file: &Path| {
        let file = file.to_str().unwrap().to_owned();
        let rejects = rejects.to_str().unwrap().to_owned();
        ["import".to_owned(), plan.clone(), file, "--json".into(), "--rejects".into(), rejects]
    };
    let import = arguments(&file);
    let import: Vec<&str> = import.iter().map(String::as_str).collect();
    let done = report(&world, &import, 0).await;
    assert_adds_up(&done);
    for outcome in ["rejected", "orphaned", "duplicates", "nulled", "inserted"] {
        assert!(total(&done, outcome) > 3, "{outcome}: {done}");
    }
    let compare = ["import", &plan, file.to_str().unwrap(), "--json", "--compare"];
    let compared = report(&world, &compare, 0).await;
    assert_eq!(compared["differences"], serde_json::json!([]));
    assert!(
        compared["keys"].as_array().unwrap().iter().all(|key| key["broken"] == 0),
        "{compared}"
    );
    let again = report(&world, &import, 0).await;
    assert_eq!((total(&again, "inserted"), total(&again, "updated")), (0, 0));
    assert_eq!(again["backup"], Value::Null, "nothing was changed");

    // Another export changes rows and adds some; it is taken back.
    let before = dump(&world, tables).await;
    let second = Options { records: records() * 11 / 10, seed: 2, ..first };
    let other = arguments(&export(of, "second.json", &second, folder.path()));
    let other: Vec<&str> = other.iter().map(String::as_str).collect();
    let changed = report(&world, &other, 0).await;
    assert_adds_up(&changed);
    assert!(total(&changed, "updated") > 3 && total(&changed, "inserted") > 3, "{changed}");
    let run = changed["backup"].as_str().unwrap();
    let logged = world.succeed(&["log", "show", &changed["log"].to_string()]).await;
    assert!(logged.contains("import") && logged.contains(run), "{logged}");
    assert!(dump(&world, tables).await != before, "nothing was changed");
    // It dies before the commit: nothing has happened.
    let mut dying = world.command(&["rollback", run]);
    let ended = dying.env("TRIBUTARY_FAILPOINT", "import-rolled-back").status().await.unwrap();
    let killed = std::os::unix::process::ExitStatusExt::signal(&ended);
    if std::env::var_os("TRIBUTARY_TEST_BINARY").is_none() {
        assert_eq!(killed, Some(6));
    }
    // A binary without failpoints has ended.
    if killed.is_some() {
        world.succeed(&["rollback", run]).await;
    }
    assert!(dump(&world, tables).await == before, "the rows differ");
    let compared = report(&world, &compare, 0).await;
    assert_eq!(compared["differences"], serde_json::json!([]));
    let (keep, put_back, kept) = there_before(of);
    world.target.execute(keep).await;
    world.succeed(&["rollback", done["backup"].as_str().unwrap()]).await;
    assert!(dump(&world, tables).await == empty, "the rows differ");

    // Some rows were there before the import, with other values; others are none of its.
    world.target.execute(put_back).await;
    let before = dump(&world, tables).await;
    let anew = report(&world, &import, 0).await;
    assert_eq!(total(&anew, "inserted") + kept, total(&done, "inserted"), "{anew}");
    assert!(total(&anew, "updated") >= kept, "{anew}");
    world.succeed(&["rollback", anew["backup"].as_str().unwrap()]).await;
    assert!(dump(&world, tables).await == before, "the rows differ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_school_adds_up_compares_and_is_rolled_back_byte_for_byte() {
    survives(Export::School, "school", &SCHOOL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_app_adds_up_compares_and_is_rolled_back_byte_for_byte() {
    survives(Export::App, "app", &APP).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_dies_anywhere_ends_as_one_that_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan_with_small_batches("app", folder.path());
    let options = Options { records: 1500, seed: 3, damage: 0.15, mark: false };
    let file = export(Export::App, "app.json", &options, folder.path());
    let rejects = folder.path().join("rejects.jsonl");
    let import =
        ["import", &plan, file.to_str().unwrap(), "--json", "--rejects", rejects.to_str().unwrap()];
    let whole = with_tables("app").await;
    let expected = report(&whole, &import, 0).await;
    let rejected = std::fs::read_to_string(&rejects).unwrap();
    // It needs neither a source nor a configuration.
    let world = with_tables("app").await;
    for point in crate::failpoints::IMPORT.iter().filter(|point| **point != "import-rolled-back") {
        let mut dying = world.command(&import);
        dying.env_remove("TRIBUTARY_CONFIG").env_remove("TRIBUTARY_SOURCE_URL");
        let ended = dying.env("TRIBUTARY_FAILPOINT", point).output().await.unwrap();
        let killed = std::os::unix::process::ExitStatusExt::signal(&ended.status);
        assert_eq!(killed, Some(6), "{point}: {ended:?}");
    }
    // The last of them died behind its commit: what follows is a second run.
    let done = report(&world, &import, 0).await;
    assert_eq!((total(&done, "inserted"), total(&done, "updated")), (0, 0), "{done}");
    assert_eq!(
        total(&done, "unchanged"),
        total(&expected, "inserted") + total(&expected, "updated") + total(&expected, "unchanged")
    );
    let lines = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(lines(&std::fs::read_to_string(&rejects).unwrap()), lines(&rejected));
    assert_eq!(contents(&world, &APP).await, contents(&whole, &APP).await);
    let runs = "select string_agg(state, ' ' order by run) from tributary.import_run";
    assert_eq!(world.target.value(runs).await, "finished finished");
    let entries = world.json(&["log", "--json"]).await;
    let outcomes =
        entries.as_array().unwrap().iter().map(|entry| entry["outcome"].as_str().unwrap());
    let interrupted = outcomes.filter(|outcome| *outcome == "interrupted").count();
    assert!(interrupted >= 5, "{entries}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_export_is_described_and_the_proposed_plan_imports_it() {
    let world = with_tables("app").await;
    let folder = tempfile::tempdir().unwrap();
    let sample = shipped("app-sample.json");
    let described = world.succeed(&["import", "--audit", &sample]).await;
    for part in [
        "tables.users: 4 records, key id",
        "refers to tables.goals",
        "broken JSON as text",
        "1 repeated",
    ] {
        assert!(described.contains(part), "{part} is missing in\n{described}");
    }
    assert!(!described.contains("example.com"), "{described}");
    let tables = "users,accounts,habits,goals,goal_logs";
    let proposed = world.succeed(&["import", "--propose", tables, &sample]).await;
    // The edits that a person makes: what an address is, and a status in other words.
    let edited = proposed.replace(
        "status = \"status\"",
        "status = { from = \"status\", map = { active = \"active\", completed = \"done\" } }",
    );
    let plan = folder.path().join("plan.toml");
    std::fs::write(&plan, edited).unwrap();
    let rejects = folder.path().join("rejects.jsonl");
    let import = [
        "import",
        plan.to_str().unwrap(),
        &sample,
        "--json",
        "--rejects",
        rejects.to_str().unwrap(),
    ];
    let output = world.run(&import).await;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{errors}\n{proposed}");
    let done: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(total(&done, "inserted"), 3 + 1 + 1 + 2 + 2, "{done}\n{proposed}");
}
