//! Each reason for which a record is rejected.

use std::path::Path;

use serde_json::{Value, json};

use super::forms::write;
use super::{report, total};
use crate::support::world::World;

const KINDS: &str = "create type colour as enum ('red', 'blue'); create domain short as text check (length(value) < 4); \
    create table others (id uuid primary key, code text not null unique); \
    insert into others values ('00000000-0000-4000-8000-0000000000aa', 'there'); \
    create table kinds (id uuid primary key, email text unique, phone text, word text, u uuid, b boolean, at timestamptz, \
        day date, n int, small smallint, amount numeric(5, 2), name varchar(3), j jsonb, a int[], c colour, s short, \
        other_id uuid references others, parent_id uuid references kinds, note text, check (n <> 13)); \
    create unique index kinds_word on kinds (lower(word)); \
    create table days (day date primary key, n int); create table parts (id uuid primary key, kind_id uuid not null references kinds, must int not null); \
    create function drop_it() returns trigger language plpgsql as $$ begin return null; end $$; \
    create trigger drop_it before insert on kinds for each row when (new.note = 'dropme') execute function drop_it()";

const KINDS_PLAN: &str = r##"
import = "kinds"
[inputs.kinds]
left_out = ["extra"]
[[loads]]
from = "kinds"
into = "kinds"
[loads.columns]
id = "id"
email = { from = "email", as = "email" }
phone = { from = "phone", as = "phone" }
word = { from = "word", map = { Alpha = "alpha", ALPHA = "Alpha", beta = "beta" } }
u = "u"
b = "b"
at = "at"
day = "day"
n = "n"
small = "small"
amount = "amount"
name = "name"
j = "j"
a = "a"
c = "c"
s = "s"
note = "note"
other_id = { from = "other", references = "others", by = "code" }
parent_id = { from = "parent", references = "kinds", orphan = "null" }
[[loads]]
from = "kinds"
each = "parts"
into = "parts"
[loads.columns]
id = { join = ["..id", "#"] }
kind_id = { from = "..id", references = "kinds" }
must = "..must"
[[loads]]
from = "days"
into = "days"
[loads.columns]
day = "day"
n = "n"
[[loads]]
from = "fillers"
into = "kinds"
merge = true
[loads.columns]
id = "id"
note = "note"
"##;

/// A field of a record with its value, and what is reported: outcome, column, reason, the key of the other side.
type Case = (&'static str, &'static str, &'static str, &'static str, &'static str);

#[rustfmt::skip]
const CASES: &[Case] = &[
    ("email", r#""no address""#, "rejected", "email", "not an email address"),
    ("phone", r#""call me""#, "rejected", "phone", "not a phone number"),
    ("word", r#""gamma""#, "rejected", "word", "not among the texts that the plan maps"),
    ("name", r#""a\u0000""#, "rejected", "name", "holds a character that PostgreSQL does not store"),
    ("j", r#"{"a":"\u0000"}"#, "rejected", "j", "holds a character that PostgreSQL does not store"),
    ("u", r#""7""#, "rejected", "u", "not a uuid"),
    ("b", "2", "rejected", "b", "not a boolean"),
    ("at", r#""soon""#, "rejected", "at", "not a timestamp"),
    ("day", r#""2024-02-30""#, "rejected", "day", "not a date"),
    ("n", r#""many""#, "rejected", "n", "not a number"),
    ("n", "1.5", "rejected", "n", "not a whole number"),
    ("n", "12345678901234567890", "rejected", "n", "too large for the column"),
    ("small", "32768", "rejected", "small", "too large for the column"),
    ("name", r#""four""#, "rejected", "name", "longer than the column"),
    ("j", r#""{\"a\":""#, "rejected", "j", "broken JSON"),
    ("a", r#""[1,""#, "rejected", "a", "broken JSON"),
    ("a", r#""{1,2""#, "rejected", "a", "not an array"),
    ("c", r#""green""#, "rejected", "c", "not a value of the column's type"),
    ("must", "null", "rejected", "must", "it has no value, and the column may not be NULL"),
    ("id", "null", "rejected", "id", "the key is missing"),
    ("parts", "7", "rejected", "", "its list is none"),
    ("other", r#""nobody""#, "orphaned", "other_id", "refers to nothing"),
    ("parent", r#""nobody""#, "nulled", "parent_id", "refers to nothing; the reference became NULL"),
    ("id", r#""k-0""#, "duplicate", "", "the same id"),
    ("email", r#""K0@example.com""#, "duplicate", "", "the same values of the unique index kinds_email_key"),
    ("word", r#""ALPHA""#, "duplicate", "", "the same values of the unique index kinds_word"),
    // What only the server knows.
    ("amount", "1000", "rejected", "", "refused by the target: "),
    ("n", "13", "rejected", "", "refused by the target: "),
    ("s", r#""four""#, "rejected", "", "refused by the target: "),
    ("a", r#"["x"]"#, "rejected", "", "refused by the target: "),
    ("note", r#""dropme""#, "rejected", "", "refused by the target: a trigger, rule or policy of the table drops or hides the row"),
];

/// The record of a case: whole but for one field. The first is whole.
fn record(number: usize, case: Option<&Case>) -> String {
    let mut fields = vec![
        ("id", format!("\"k-{number}\"")),
        ("email", format!("\"k{number}@example.com\"")),
        ("word", if number == 0 { "\"Alpha\"".to_owned() } else { "null".to_owned() }),
        ("other", "\"there\"".to_owned()),
        ("a", "[1,null]".to_owned()),
        ("must", "1".to_owned()),
        ("parts", "[{}]".to_owned()),
        ("extra", "\"left out\"".to_owned()),
    ];
    for name in [
        "phone", "u", "b", "at", "day", "n", "small", "amount", "name", "j", "c", "s", "note",
        "parent",
    ] {
        fields.push((name, "null".to_owned()));
    }
    if let Some((name, value, ..)) = case {
        for field in fields.iter_mut().filter(|field| field.0 == *name) {
            field.1 = (*value).to_owned();
        }
    }
    let members: Vec<String> =
        fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_reason_for_a_rejection_is_named_once_and_nothing_else_is_rejected() {
    let world = World::with_target(KINDS).await;
    let folder = tempfile::tempdir().unwrap();
    let mut bytes: Vec<Vec<u8>> = vec![record(0, None).into_bytes()];
    bytes
        .extend(CASES.iter().enumerate().map(|(at, case)| record(at + 1, Some(case)).into_bytes()));
    let broken: [(Vec<u8>, &str); 5] = [
        (b"[7]".to_vec(), "not a JSON object"),
        (b"{\"id\":\"k\"".to_vec(), "not a JSON object"),
        (
            [record(900, None).replace("left", "\u{1}").as_bytes(), b""].concat(),
            "not a JSON object",
        ),
        (b"{\"id\":\"\xff\"}".to_vec(), "not UTF-8"),
        (
            format!("{{\"id\":\"k-901\",\"extra\":\"{}\"}}", "x".repeat(100 << 20)).into_bytes(),
            "larger than 8 MiB",
        ),
    ];
    bytes.extend(broken.iter().map(|(bytes, _)| bytes.clone()));
    bytes.push(record(902, None).replace("k-902", &"k".repeat(1001)).into_bytes());
    let file = write(folder.path(), "kinds.jsonl", &bytes.join(&b'\n'));
    let fillers = "id,note\nk-0,filled\nk-1000,nobody\nk-0,too,many\n";
    let fillers = write(folder.path(), "fillers.csv", fillers.as_bytes());
    let plan = write(folder.path(), "plan.toml", KINDS_PLAN.as_bytes());
    let rejects = folder.path().join("rejects.jsonl");
    let rejects = rejects.to_str().unwrap();
    let days = "day,n\n2024-06-03,1\n\"June 3, 2024\",2\n2024-06-04,3\n";
    let days = write(folder.path(), "days.csv", days.as_bytes());
    let import = ["import", &plan, &file, &fillers, &days, "--json", "--rejects", rejects];
    let done = report(&world, &import, 0).await;
    super::assert_adds_up(&done);
    let listed = done["refusals"].as_array().unwrap();
    let of = |load: &str, record: usize| -> Vec<&Value> {
        let is_it = |found: &&Value| {
            let name = found["load"].as_str().unwrap().trim_end_matches(" (references)");
            name == load && found["record"] == record
        };
        listed.iter().filter(is_it).collect()
    };
    let first = "kinds to public.kinds";
    for (at, (field, value, outcome, column, reason)) in CASES.iter().enumerate() {
        // The list of a record is another load.
        let load =
            if ["parts", "must"].contains(field) { "kinds.parts to public.parts" } else { first };
        let [found] = of(load, at + 2)[..] else { panic!("{field} {value}: {listed:#?}") };
        assert_eq!(found["outcome"], *outcome, "{field} {value}: {found}");
        assert_eq!(
            found["field"].as_str().unwrap_or_default(),
            *column,
            "{field} {value}: {found}"
        );
        assert!(found["reason"].as_str().unwrap().starts_with(reason), "{field} {value}: {found}");
        let names_other_side = found["other_key"].is_string();
        assert_eq!(names_other_side, *outcome == "duplicate", "{field} {value}: {found}");
        // A value of a record is in no message (P14).
        let shown = found["reason"].to_string();
        assert!(!shown.contains(value.trim_matches('"')) || value.len() < 4, "{value}: {shown}");
    }
    let behind = CASES.len() + 2;
    for (at, (_, reason)) in broken.iter().enumerate() {
        let [found] = of(first, behind + at)[..] else { panic!("{reason}: {listed:#?}") };
        assert_eq!((&found["outcome"], &found["reason"]), (&"rejected".into(), &(*reason).into()));
    }
    let [found] = of(first, behind + broken.len())[..] else { panic!("{listed:#?}") };
    assert_eq!(found["reason"], "the key is longer than 1,000 bytes");
    let to_fill = "fillers to public.kinds";
    assert_eq!(of(to_fill, 2)[0]["reason"], "there is no row to fill");
    assert_eq!(of(to_fill, 3)[0]["reason"], "its number of values differs from the header's");
    // One row in two forms of its key.
    assert_eq!(of("days to public.days", 2)[0]["reason"], "the same id");
    let compared =
        report(&world, &["import", &plan, &file, &fillers, &days, "--json", "--compare"], 0).await;
    assert_eq!(compared["differences"], json!([]));

    // Every reason that the code knows is among them.
    let shown = done["refusals"].to_string();
    for source in
        [include_str!("../../../src/import/convert.rs"), include_str!("../../../src/import/row.rs")]
    {
        for found in source
            .split("Err(\"")
            .skip(1)
            .chain(source.split("ok_or(\"").skip(1))
            .chain(source.split("refuse(\"").skip(1))
        {
            let reason = found.split('"').next().unwrap();
            assert!(shown.contains(reason), "{reason:?} is untested");
        }
    }
    // Rejected again, each of them, and nothing new.
    let second = folder.path().join("second.jsonl");
    let again = ["import", &plan, rejects, "--json", "--rejects", second.to_str().unwrap()];
    let again = report(&world, &again, 0).await;
    super::assert_adds_up(&again);
    assert_eq!((total(&again, "inserted"), total(&again, "updated")), (0, 0), "{again}");
    let kept = |path: &Path| -> Vec<(Value, Value)> {
        let text = std::fs::read_to_string(path).unwrap();
        let line = |line: &str| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            (line["load"].take(), line["record"].take())
        };
        text.lines().skip(1).map(line).collect()
    };
    let (first, second) = (kept(Path::new(rejects)), kept(&second));
    assert_eq!(total(&again, "read"), first.len() as u64, "{again}");
    assert!(first == second, "{} of {} are rejected again", second.len(), first.len());
}
