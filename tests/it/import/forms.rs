//! Whatever the form of a file, the same records become the same rows; and a file that is damaged as a whole is refused.

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

pub(super) fn write(folder: &Path, name: &str, contents: &[u8]) -> String {
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
