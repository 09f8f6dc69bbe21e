//! The previous format of the configuration, in which `[source.xendit]` and `[source.systemeio]` were the only two
//! tables. It is refused with the text to paste in its place, and `config upgrade` writes it.

use std::fmt::Write as _;

use toml::{Table, Value};

use crate::error::Error;

/// The two tables of the previous format, with what they carry.
const TABLES: [(&str, &str); 2] = [("xendit", "payment"), ("systemeio", "contact")];

/// Whether a file is of the previous format.
pub(super) fn is_previous(table: &Table) -> bool {
    let source = table.get("source").and_then(Value::as_table);
    source.is_some_and(|source| TABLES.iter().any(|(name, _)| source.contains_key(*name)))
}

/// The refusal with what to write instead.
pub(super) fn refusal(name: &str, table: &Table) -> Error {
    Error::Config(format!(
        "{name}: [source.xendit] and [source.systemeio] are of the previous format; `tributary config upgrade` brings \
         the file up to date, or write in their place:\n\n{}",
        replacement(table)
    ))
}

/// The feeds that the two tables are in the new format. Both were there, also where the file named one of them.
pub(super) fn replacement(table: &Table) -> String {
    let source = table.get("source").and_then(Value::as_table);
    let mut text = String::new();
    for (name, kind) in TABLES {
        let old = source.and_then(|source| source.get(name)).and_then(Value::as_table);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "[feeds.{name}]\nkind = \"{kind}\"");
        let entries = || old.into_iter().flatten();
        for (key, value) in entries().filter(|(_, value)| !value.is_table()) {
            let _ = writeln!(text, "{} = {value}", key_text(key));
        }
        for (key, value) in entries() {
            let Some(inner) = value.as_table() else { continue };
            let _ = writeln!(text, "\n[feeds.{name}.{}]", key_text(key));
            for (key, value) in inner {
                let _ = writeln!(text, "{} = {value}", key_text(key));
            }
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// A file of the previous format in the new one, with its comments; `None` where it is no such file.
#[must_use]
pub fn upgraded(text: &str) -> Option<String> {
    let table: Table = text.parse().ok()?;
    if !is_previous(&table) {
        return None;
    }
    let mut lines = Vec::new();
    let mut named = Vec::new();
    for line in text.lines() {
        let (renamed, begins) = header(line);
        lines.push(renamed);
        if let Some(name) = begins {
            let (_, kind) = TABLES.iter().find(|(known, _)| *known == name)?;
            lines.push(format!("kind = \"{kind}\""));
            named.push(name);
        }
    }
    let mut new = lines.join("\n");
    new.push('\n');
    // The table of a header that was left out, or of one that only stood in front of its columns.
    for (name, kind) in TABLES {
        if !named.contains(&name) {
            let _ = write!(new, "\n[feeds.{name}]\nkind = \"{kind}\"\n");
        }
    }
    let parsed: Table = new.parse().ok()?;
    let same = |name: &str| {
        let old = table.get("source").and_then(|source| source.get(name)).and_then(Value::as_table);
        let mut old = old.cloned().unwrap_or_default();
        let kind = TABLES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)?;
        old.insert("kind".into(), kind.into());
        (parsed.get("feeds")?.get(name)?.as_table()? == &old).then_some(())
    };
    let is_whole = !is_previous(&parsed) && TABLES.iter().all(|(name, _)| same(name).is_some());
    // A file that writes its tables in another way, such as inline, loses its comments.
    Some(if is_whole { new } else { rewritten(table) })
}

/// A line with the header of one of the two tables under its new name, and the table that begins with it.
fn header(line: &str) -> (String, Option<&'static str>) {
    let trimmed = line.trim_start();
    for (name, _) in TABLES {
        for old in [format!("[source.{name}]"), format!("[source.{name}.")] {
            if let Some(rest) = trimmed.strip_prefix(&old) {
                let begins = old.ends_with(']').then_some(name);
                let end = if begins.is_some() { "]" } else { "." };
                return (format!("[feeds.{name}{end}{rest}"), begins);
            }
        }
    }
    (line.to_owned(), None)
}

fn rewritten(mut table: Table) -> String {
    let mut feeds = Table::new();
    for (name, kind) in TABLES {
        let source = table.get_mut("source").and_then(Value::as_table_mut);
        let old = source.and_then(|source| source.remove(name));
        let mut feed = old.and_then(|old| old.as_table().cloned()).unwrap_or_default();
        feed.insert("kind".into(), kind.into());
        feeds.insert(name.into(), feed.into());
    }
    table.insert("feeds".into(), feeds.into());
    table.to_string()
}

fn key_text(key: &str) -> String {
    if super::section::is_bare(key) { key.to_owned() } else { format!("{key:?}") }
}
