//! `docs/logs.md` lists the events that the code logs, and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::support::files;

/// Level and message of an event, with the names of its fields.
type Events = BTreeMap<(String, String), BTreeSet<String>>;

const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The arguments of a macro, of the text behind its opening parenthesis.
fn arguments(text: &str) -> Vec<String> {
    let (mut depth, mut quoted, mut escaped) = (1, false, false);
    let mut found = vec![String::new()];
    for c in text.chars() {
        if quoted {
            quoted = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else {
            match c {
                '"' => quoted = true,
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth -= 1,
                _ => {}
            }
        }
        if depth == 0 {
            break;
        }
        if c == ',' && depth == 1 && !quoted {
            found.push(String::new());
        } else if let Some(last) = found.last_mut() {
            last.push(c);
        }
    }
    found.iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

/// A string literal without quotes, escapes and line ends.
fn literal(text: &str) -> String {
    let inner = text.trim().strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let inner = inner.unwrap_or_else(|| panic!("an event without a message: {text}"));
    let lines = inner.split("\\\n").enumerate();
    let joined: String =
        lines.map(|(n, line)| if n == 0 { line } else { line.trim_start() }).collect();
    joined.replace("\\\"", "\"")
}

fn logged() -> Events {
    let mut found = Vec::new();
    files(&root().join("src"), &["rs"], &mut found);
    let mut events = Events::new();
    for file in found {
        let text = std::fs::read_to_string(&file).unwrap();
        for level in LEVELS {
            let opening = format!("{level}!(");
            for (at, _) in text.match_indices(&opening) {
                let before = text[..at].ends_with("tracing::");
                // `anyhow`'s and `std`'s macros have no such names; an import would hide an event from here.
                assert!(before, "{}: write tracing::{level}!", file.display());
                let mut parts = arguments(&text[at + opening.len()..]);
                let message = literal(&parts.pop().unwrap());
                let where_is = file.display();
                assert!(
                    !message.contains('{'),
                    "{where_is}: a value belongs into a field: {message}"
                );
                let names = parts.iter().map(|part| {
                    let name = part.split('=').next().unwrap_or_default().trim();
                    name.trim_start_matches(['%', '?']).to_owned()
                });
                events.entry((level.to_owned(), message)).or_default().extend(names);
            }
        }
    }
    events
}

fn documented() -> Events {
    let text = std::fs::read_to_string(root().join("docs/logs.md")).unwrap();
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<&str> =
            line.strip_prefix('|')?.strip_suffix('|')?.split(" | ").map(str::trim).collect();
        let [level, message, fields, meaning] = cells[..] else { return None };
        if !LEVELS.contains(&level) {
            return None;
        }
        assert!(meaning.len() > 5, "{message} is not explained");
        let fields = fields.split(", ").map(|field| field.trim_matches('`').to_owned());
        let fields = fields.filter(|field| !field.is_empty()).collect();
        Some(((level.to_owned(), message.to_owned()), fields))
    });
    rows.collect()
}

#[test]
fn each_event_is_in_the_table_and_the_reverse() {
    let (logged, documented) = (logged(), documented());
    assert!(logged.len() > 60, "the events were not found: {}", logged.len());
    let row = |((level, message), fields): (&(String, String), &BTreeSet<String>)| {
        let fields: Vec<String> = fields.iter().map(|field| format!("`{field}`")).collect();
        format!("| {level} | {message} | {} | … |", fields.join(", "))
    };
    let missing: Vec<String> = logged
        .iter()
        .filter(|(key, fields)| documented.get(*key) != Some(*fields))
        .map(row)
        .collect();
    let stale: Vec<String> =
        documented.iter().filter(|(key, _)| !logged.contains_key(*key)).map(row).collect();
    assert!(missing.is_empty(), "docs/logs.md lacks\n{}", missing.join("\n"));
    assert!(stale.is_empty(), "docs/logs.md has what the code does not log:\n{}", stale.join("\n"));
}
