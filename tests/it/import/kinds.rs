//! Whatever the form of a file, the same records become the same rows; and each reason for which a record is rejected.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{counts, report, total};
use crate::support::world::World;

const TABLE: &str = "create table things (id uuid primary key, name text not null, amount numeric, seen timestamptz, \
    tags text[] not null default '{}', extra jsonb, parent_id uuid references things)";

const COLUMNS: &str = r#"
[[loads]]
from = "things"
into = "things"
sums = ["amount"]
[loads.columns]
id = ID
name = "name"
amount = "amount"
seen = "seen"
tags = { from = "tags", split = ",", default = "{}" }
extra = "extra"
parent_id = { from = "parent", references = "things", orphan = "null" }
"#;

/// Names with everything that a form must write in another way.
fn things() -> Vec<Value> {
    let names = ["Peña, \"Ana\"", "two\nlines; and\ta tab", " 'x' \\ back", "Ñandú €", "{[}]", "-"];
    let thing = |(at, name): (usize, &&str)| {
        json!({
            "id": format!("t-{at}"), "name": name, "amount": format!("{at}{}.50", "0".repeat(28)), "seen": "2024-06-03T08:00:00+08:00",
            "tags": "a, b", "extra": "{\"x\": [1.0, null]}", "parent": if at == 0 { Value::Null } else { json!("t-0") },
        })
    };
    names.iter().enumerate().map(thing).collect()
}

const FIELDS: [&str; 7] = ["id", "name", "amount", "seen", "tags", "extra", "parent"];

/// The records as separated values.
fn separated(delimiter: char, quote: char, null: &str, header: bool) -> String {
    let quoted = |text: &str| {
        let doubled = text.replace(quote, &format!("{quote}{quote}"));
        format!("{quote}{doubled}{quote}")
    };
    let line = |values: Vec<String>| values.join(&delimiter.to_string()) + "\r\n";
    let mut text = String::new();
    if header {
        text += &line(FIELDS.iter().map(|name| (*name).to_owned()).collect());
    }
    for thing in things() {
        let value = |name: &&str| thing[*name].as_str().map_or_else(|| null.to_owned(), quoted);
        text += &line(FIELDS.iter().map(value).collect());
    }
    text
}

fn gzip(parts: &[&[u8]]) -> Vec<u8> {
    let mut all = Vec::new();
    for part in parts {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(part).unwrap();
        all.extend(packed.finish().unwrap());
    }
    all
}

fn lines(end: &str) -> String {
    things().iter().map(|thing| thing.to_string() + end).collect()
}

fn utf16(text: &str) -> Vec<u8> {
    [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

/// Windows-1252 of what is in the names.
fn latin(text: &str) -> Vec<u8> {
    let byte = |c: char| if c == '€' { 0x80 } else { u8::try_from(u32::from(c)).unwrap() };
    text.chars().map(byte).collect()
}

/// File names, contents, what the plan says of the input.
fn forms() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let array = Value::from(things());
    let members: serde_json::Map<String, Value> = things()
        .into_iter()
        .map(|mut thing| {
            let id = thing["id"].as_str().unwrap().to_owned();
            thing.as_object_mut().unwrap().remove("id");
            (id, thing)
        })
        .collect();
    let of = |text: String| text.into_bytes();
    let marked = |text: String| [b"\xef\xbb\xbf", text.as_bytes()].concat();
    let csv = separated(',', '"', "", true);
    let (first, second) = csv.as_bytes().split_at(csv.len() / 2);
    vec![
        ("backup.json", marked(json!({ "v": 1, "things": array }).to_string()), ""),
        (
            "deep.json",
            of(json!({ "a": { "b.c": { "x": array } } }).to_string()),
            "path = [\"a\", \"b.c\", \"x\"]",
        ),
        ("storage.json", of(json!({ "things": array.to_string() }).to_string()), ""),
        (
            "twice.json",
            of(format!(
                "{{\"things\":{},\"things\":{}}}",
                json!(things()[..2]),
                json!(things()[2..])
            )),
            "",
        ),
        (
            "members.json",
            of(json!({ "things": members }).to_string()),
            "members = true\nkey = \"@key\"",
        ),
        ("things.json", of(format!("\n {array:#} \n")), ""),
        ("array.json", utf16(&array.to_string()), "file = \"arr*.json\""),
        ("things.jsonl", of(lines("\r\n\r\n")), ""),
        ("last.ndjson", of(lines("\n").trim_end().to_owned()), "file = \"last.ndjson\""),
        ("things.csv", of(csv.clone()), ""),
        (
            "excel.csv",
            marked(format!("sep=;\r\n{}", separated(';', '"', "", true))),
            "file = \"excel.csv\"\ndelimiter = \";\"",
        ),
        (
            "old.txt",
            latin(&separated('\t', '\'', "\\N", false)),
            "file = \"old.txt\"\nformat = \"csv\"\ndelimiter = \"\\t\"\nquote = \"'\"\nnull = [\"\\\\N\"]\n\
          encoding = \"windows-1252\"\nheader = [\"id\", \"name\", \"amount\", \"seen\", \"tags\", \"extra\", \"parent\"]",
        ),
        ("wide.csv", utf16(&csv), "file = \"wide.csv\""),
        ("things.csv.gz", gzip(&[first, second]), ""),
        ("packed.json.gz", gzip(&[json!({ "things": array }).to_string().as_bytes()]), ""),
    ]
}

fn write(folder: &Path, name: &str, contents: &[u8]) -> String {
    let path = folder.join(name);
    std::fs::write(&path, contents).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_records_in_any_form_are_the_same_rows() {
    let world = World::with_target(TABLE).await;
    let folder = tempfile::tempdir().unwrap();
    for (at, (name, contents, input)) in forms().iter().enumerate() {
        let id = if input.contains("members") { "\"@key\"" } else { "\"id\"" };
        let columns = COLUMNS.replace("ID", id);
        let plan = format!("import = \"kinds\"\n[inputs.things]\n{input}\n{columns}");
        let plan = write(folder.path(), "plan.toml", plan.as_bytes());
        let file = write(folder.path(), name, contents);
        let done = report(&world, &["import", &plan, &file, "--json"], 0).await;
        let found = counts(&done, "things to public.things");
        let wanted = if at == 0 { "inserted" } else { "unchanged" };
        assert_eq!((&found["read"], &found[wanted]), (&6.into(), &6.into()), "{name}: {done}");
        assert_eq!(found["linked"], if at == 0 { 5 } else { 0 }, "{name}: {done}");
        // More digits than a number of any language has.
        assert_eq!(done["sums"][0]["file"], "150000000000000000000000000003.00", "{name}: {done}");
        assert_eq!(done["sums"][0]["database"], done["sums"][0]["file"]);
    }
    let names = world.target.value("select jsonb_agg(name order by amount) from things").await;
    let expected: Vec<Value> = things().iter().map(|thing| thing["name"].clone()).collect();
    assert_eq!(serde_json::from_str::<Value>(&names).unwrap(), Value::from(expected));
    let extra = "select min(extra::text) || count(distinct seen) from things";
    assert_eq!(world.target.value(extra).await, "{\"x\": [1.0, null]}1");
}

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

/// What cannot be read to its end ends the import before anything is written, with the file and the place.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_damaged_as_a_whole_is_refused_before_anything_is_written() {
    let world = World::with_target(TABLE).await;
    let folder = tempfile::tempdir().unwrap();
    let plan = format!("import = \"damaged\"\n{}", COLUMNS.replace("ID", "\"id\""));
    let plan = write(folder.path(), "plan.toml", plan.as_bytes());
    let packed = gzip(&[json!({ "things": things() }).to_string().as_bytes()]);
    let whole = json!({ "things": things() }).to_string();
    let deep = format!("{{\"things\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let cases: [(&str, Vec<u8>, &str); 7] = [
        ("half.json.gz", packed[..packed.len() - 20].to_vec(), "half.json.gz"),
        ("rubbish.json.gz", [&packed[..], b"rubbish"].concat(), "rubbish.json.gz"),
        ("half.json", whole.as_bytes()[..whole.len() / 2].to_vec(), "no JSON at byte"),
        ("empty.json", Vec::new(), "no JSON at byte"),
        ("two.json", format!("{whole}{whole}").into_bytes(), "goes on behind its end"),
        ("unknown.bin", whole.clone().into_bytes(), "the form of this file is unknown"),
        ("other.json", b"{\"thing\":[]}".to_vec(), "did you mean \"things\"?"),
    ];
    for (name, contents, problem) in cases {
        let file = write(folder.path(), name, &contents);
        let output = world.run(&["import", &plan, &file]).await;
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && errors.contains(problem), "{name}: {errors}");
    }
    // A pipe could be read once only.
    let pipe = PathBuf::from(write(folder.path(), "things.json", b"")).with_extension("jsonl");
    make_pipe(&pipe);
    let output = world.run(&["import", &plan, pipe.to_str().unwrap()]).await;
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && errors.contains("no regular file"), "{errors}");
    // A record that is nothing but brackets is one rejected record.
    let file = write(folder.path(), "deep.json", deep.as_bytes());
    let done = report(&world, &["import", &plan, &file, "--json", "--dry-run"], 0).await;
    assert_eq!((total(&done, "read"), total(&done, "rejected")), (1, 1), "{done}");
    assert_eq!(world.target.value("to_regclass('tributary.import_run')").await, "");
}

fn make_pipe(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
}
