//! `tributary import`: both shipped plans on made-up exports, damaged in every way.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::support::world::{Places, World};

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

/// A school's local storage with this many students, about a fifth of the records damaged.
fn school(students: usize, folder: &Path) -> PathBuf {
    use serde_json::json;
    let mut arrays: Vec<(&str, Vec<String>)> = Vec::new();
    let teachers = (0..students / 20 + 2).map(|n| {
        json!({"id": n.to_string(), "fullName": format!("Teacher {n}"), "email": format!("t{n}@example.com"),
            "createdAt": "2020-05-01", "hiredOn": "May 6, 2019", "subjects": ["Math"], "active": n % 2,
            "mentorId": (n + 1).to_string()}).to_string()
    });
    arrays.push(("teachers", teachers.collect()));
    arrays.push((
        "classrooms",
        (0..5)
            .map(|n| json!({"id": n, "name": format!("Room {n}"), "capacity": 30}).to_string())
            .collect(),
    ));
    let classes = (0..20).map(|n| {
        json!({"id": format!("c{n}"), "name": format!("Class {n}"), "teacherId": "0", "classroomId": n % 7,
            "schedule": if n % 3 == 0 { json!("{\"mon\":\"08:00\"}") } else { json!({"tue": "09:00"}) }}).to_string()
    });
    arrays.push(("classes", classes.collect()));
    let people = (0..students).map(|n| {
        let email = if n % 23 == 7 { "s1@example.com".to_owned() } else { format!("S{n}@Example.com") };
        let enrolled = match n % 5 {
            0 => json!("2024-06-03T08:00:00"),
            1 => json!(1_717_372_800_000_u64 + n as u64),
            2 => json!(1_717_372_800 + n),
            3 => json!("06/03/2024 9:30 AM"),
            _ if n % 31 == 4 => json!("soon"),
            _ => json!("2024-06-03 08:00:00+08"),
        };
        let id = if n % 41 == 40 { format!("s{}", n - 1) } else { format!("s{n}") };
        if n % 53 == 52 {
            return format!("{{\"id\":\"s{n}\",\"fullName\":}}");
        }
        json!({"id": id, "fullName": format!("ANA REYES {n}"), "email": email, "phone": "0917 123 4567",
            "classId": format!("c{}", n % 22), "birthdate": "5/4/2010", "enrolledAt": enrolled, "createdAt": null,
            "active": if n % 37 == 36 { json!("perhaps") } else { json!(n % 2) }, "address": {"city": "Cebu"}, "photoUrl": "",
            "parents": [{"name": "Rosa", "phone": ""}], "emergencyContacts": []}).to_string()
    });
    arrays.push(("students", people.collect()));
    let attendance = (0..students).map(|n| {
        json!({"studentId": format!("s{n}"), "classId": format!("c{}", n % 20), "date": "2024-06-10",
            "status": if n % 29 == 28 { "unknown" } else { "present" }, "note": null}).to_string()
    });
    arrays.push(("attendance", attendance.collect()));
    let grades = (0..students).map(|n| {
        json!({"id": format!("g{n}"), "studentId": format!("s{}", n * 3 / 2), "classId": "c1", "subject": "Math",
            "score": if n % 19 == 18 { json!(400) } else { json!(format!("{}.5", n % 99)) }, "gradedAt": null}).to_string()
    });
    arrays.push(("grades", grades.collect()));
    arrays.push(("privateLessons", vec![]));
    let obligations = (0..students).map(|n| {
        json!({"id": format!("o{n}"), "studentId": format!("s{n}"), "amount": "1,500.00", "dueDate": "2024-07-01",
            "status": "PAID"}).to_string()
    });
    arrays.push(("paymentObligations", obligations.collect()));
    let payments = (0..students).map(|n| {
        json!({"id": format!("p{n}"), "obligationId": format!("o{n}"), "amount": n, "paidAt": 1_717_372_800 + n,
            "method": "Cash", "reference": format!("R{}", n - n % 17 / 16)}).to_string()
    });
    arrays.push(("payments", payments.collect()));
    // Some values of a local storage are texts that hold JSON, some are plain.
    let mut text = String::from("{\"theme\":\"dark\"");
    for (at, (name, records)) in arrays.iter().enumerate() {
        let array = format!("[{}]", records.join(",\n"));
        let array = if at % 2 == 0 { Value::from(array).to_string() } else { array };
        write!(text, ",\n\"{name}\":{array}").unwrap();
    }
    text.push('}');
    let file = folder.join("school.json");
    std::fs::write(&file, text).unwrap();
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_export_adds_up_to_the_last_record_whenever_the_import_is_killed() {
    let students: usize = std::env::var("IMPORT_STUDENTS").map_or(800, |n| n.parse().unwrap());
    let world = with_tables("school").await;
    let folder = tempfile::tempdir().unwrap();
    let file = school(students, folder.path());
    let plan = folder.path().join("plan.toml");
    let text = std::fs::read_to_string(shipped("school.toml")).unwrap();
    std::fs::write(&plan, text.replace("[left_out]", "batch = 100\n[left_out]")).unwrap();
    let (plan, file) = (plan.to_str().unwrap(), file.to_str().unwrap());
    let rejects = folder.path().join("rejects.jsonl");
    let import = ["import", plan, file, "--json", "--rejects", rejects.to_str().unwrap()];

    // A target of its own shows what an import without a kill gives.
    let whole = with_tables("school").await;
    let expected = report(&whole, &import, 0).await;
    let printed = folder.path().join("report.json");
    let mut kills = 0;
    let done = loop {
        // A pipe that nobody reads would hold the process back.
        let to = std::fs::File::create(&printed).unwrap();
        let mut child = world.command(&import).stdout(to).spawn().unwrap();
        let pause = Duration::from_millis(300 + 100 * kills);
        if let Ok(ended) = tokio::time::timeout(pause, child.wait()).await {
            assert_eq!(ended.unwrap().code(), Some(0));
            let text = std::fs::read_to_string(&printed).unwrap();
            break serde_json::from_str::<Value>(&text).unwrap();
        }
        child.kill().await.unwrap();
        kills += 1;
    };
    assert!(kills >= 2, "the import was never killed");
    assert_eq!(done["loads"], expected["loads"]);
    assert_eq!(done["refusals"], expected["refusals"]);
    assert_eq!(contents(&world, &SCHOOL).await, contents(&whole, &SCHOOL).await);
    for outcome in ["rejected", "orphaned", "duplicates", "inserted"] {
        assert!(total(&done, outcome) > 10, "{outcome}: {done}");
    }
    for load in done["loads"].as_array().unwrap() {
        let name = load["load"].as_str().unwrap();
        let of = |outcome: &str| load["counts"][outcome].as_u64().unwrap();
        let rows = of("inserted") + of("updated") + of("unchanged");
        let sum = rows + of("filtered") + of("rejected") + of("orphaned") + of("duplicates");
        assert_eq!(sum, of("read"), "{name}");
    }
    assert_eq!(counts(&done, "students to public.students")["read"], students);
    for sum in done["sums"].as_array().unwrap() {
        let number = |key: &str| sum[key].as_str().unwrap().parse::<f64>().unwrap();
        assert!((number("file") - number("database")).abs() < f64::EPSILON, "{sum}");
    }
    let compared = report(&world, &["import", plan, file, "--json", "--compare"], 0).await;
    assert_eq!(compared["differences"], serde_json::json!([]));
    let again = report(&world, &import, 0).await;
    assert_eq!((total(&again, "inserted"), total(&again, "updated")), (0, 0));
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
