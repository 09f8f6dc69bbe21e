//! `[feeds.<name>]`: the tables that are read, and what their columns mean (SPEC §1).

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::mapping::{Fields, canonical, sources, table, written};
use super::rules::status_word_list;
use super::section::{Problems, Section, expect, nearest, text, texts};
use super::{FeedConfig, SkipRule, SkippedBy};
use crate::facts::{AmountUnit, FeedKind, MAX_ROW_BYTES};
use crate::rules::Status;

/// Most feeds of a configuration.
const MOST_FEEDS: usize = 64;

/// Longest name of a feed.
const LONGEST_NAME: usize = 32;

/// The rank of a feed that names none.
const DEFAULT_RANK: u32 = 100;

/// The feeds with defaults of their own: what they are, and in what order they are read.
const KNOWN: [(&str, FeedKind); 2] =
    [("systemeio", FeedKind::Contact), ("xendit", FeedKind::Payment)];

/// All feeds in the order of their names, with problems. Without any table there are the two that have defaults.
pub(super) fn feeds(section: &mut Section<'_>, problems: &mut Problems) -> Vec<FeedConfig> {
    let empty = Table::new();
    let written: BTreeMap<&str, &Table> = if section.is_present() {
        let tables = section.entries().filter_map(|(name, value)| {
            let path = section.path_of(name);
            let wanted = format!("a table: [{path}]");
            Some((name, expect(value.as_table(), value, &path, &wanted, problems)?))
        });
        tables.collect()
    } else {
        KNOWN.iter().map(|(name, _)| (*name, &empty)).collect()
    };
    let path = section.path();
    if written.is_empty() {
        problems.add(path, "names no feed; write [feeds.<name>] with kind, table, key and columns");
    }
    if written.len() > MOST_FEEDS {
        problems.add(path, format!("names {} feeds; at most {MOST_FEEDS} can be", written.len()));
    }
    let mut found = Vec::new();
    for (name, table) in written {
        let path = section.path_of(name);
        if !is_name(name) {
            problems.add(&path, "the name of a feed is 1 to 32 of a-z, 0-9 and _");
            continue;
        }
        found.extend(feed(name, Section::element(path, table), problems));
    }
    let mut feeds: Vec<FeedConfig> = found.iter().map(|(feed, _)| feed.clone()).collect();
    decide_primaries(&mut feeds, &found, problems);
    for (index, feed) in feeds.iter().enumerate() {
        let same = |other: &&FeedConfig| other.table == feed.table && !feed.table.name.is_empty();
        if let Some(other) = feeds[..index].iter().find(same) {
            let problem = format!("is the table of {} too: {}", other.name, written_of(feed));
            problems.add(&format!("feeds.{}.table", feed.name), problem);
        }
    }
    feeds
}

fn written_of(feed: &FeedConfig) -> String {
    written(&feed.table)
}

fn is_name(name: &str) -> bool {
    let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(known)
}

/// A feed, and what its file says of `primary`.
fn feed(
    name: &str,
    mut section: Section<'_>,
    problems: &mut Problems,
) -> Option<(FeedConfig, Option<bool>)> {
    let known = KNOWN.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind);
    let kind = kind(&mut section, problems).or(known);
    if kind.is_none() && section.value("kind").is_none() {
        problems.add(&section.path_of("kind"), "is missing; write \"contact\" or \"payment\"");
    }
    let provider = section.text("provider", problems).map_or(name, str::trim).to_owned();
    let rank = section.number("rank", 0..=1_000_000, problems).unwrap_or(DEFAULT_RANK);
    let primary = section.flag("primary", problems);
    let table = table(&mut section, "table", &format!("public.{name}"), problems);
    let key = key(&mut section, problems);
    let amount_unit = amount_unit(&mut section, problems);
    let status_words = status_words(section.section("status_words", problems), problems);
    let mut columns = section.section("columns", problems);
    if !columns.is_present() && known.is_none() && section.value("columns").is_none() {
        problems.add(&section.path_of("columns"), "is missing: which field is in which column");
    }
    let (skip_path, skips) = (section.path_of("skip"), section.value("skip"));
    let unit_path = section.path_of("amount_unit");
    let words_path = section.path_of("status_words");
    section.finish(problems);
    let kind = kind?;
    let fields =
        if columns.is_present() { sources(kind, &mut columns, problems) } else { canonical(kind) };
    if kind == FeedKind::Contact && amount_unit == AmountUnit::Minor {
        problems.add(&unit_path, "is for payments: a contact has no amounts");
    }
    if kind == FeedKind::Contact && !status_words.is_empty() {
        problems.add(&words_path, "is for payments: a contact has no status");
    }
    let skip = skips.map(|value| skip(value, &skip_path, &fields, problems)).unwrap_or_default();
    let feed = FeedConfig {
        name: name.to_owned(),
        provider,
        rank,
        primary: false,
        table,
        key,
        fields,
        amount_unit,
        status_words,
        skip,
        max_row_bytes: MAX_ROW_BYTES,
    };
    Some((feed, primary))
}

fn kind(section: &mut Section<'_>, problems: &mut Problems) -> Option<FeedKind> {
    let path = section.path_of("kind");
    let word = section.text("kind", problems)?;
    let kind = FeedKind::parse(word);
    if kind.is_none() {
        let hint = nearest(word, FeedKind::ALL.into_iter().map(FeedKind::as_str));
        problems.add(&path, format!("must be \"contact\" or \"payment\", not {word:?}{hint}"));
    }
    kind
}

fn key(section: &mut Section<'_>, problems: &mut Problems) -> Vec<String> {
    let path = section.path_of("key");
    let key = section.texts("key", problems).unwrap_or_else(|| vec!["id".into()]);
    if key.is_empty() {
        problems.add(&path, "must name a column");
    }
    if let Some(twice) = super::mapping::repeated(&key) {
        problems.add(&path, format!("names {twice:?} twice"));
    }
    key
}

fn amount_unit(section: &mut Section<'_>, problems: &mut Problems) -> AmountUnit {
    let path = section.path_of("amount_unit");
    match section.text("amount_unit", problems) {
        None | Some("major") => AmountUnit::Major,
        Some("minor") => AmountUnit::Minor,
        Some(other) => {
            let hint = nearest(other, ["major", "minor"].into_iter());
            problems.add(&path, format!("must be \"major\" or \"minor\", not {other:?}{hint}"));
            AmountUnit::Major
        }
    }
}

/// Words beside those of `[rules.status_words]`.
fn status_words(mut section: Section<'_>, problems: &mut Problems) -> BTreeMap<String, Status> {
    status_word_list(&mut section, problems, |_| {})
}

fn skip(value: &Value, path: &str, fields: &Fields, problems: &mut Problems) -> Vec<SkipRule> {
    let wanted = "a list of { column = …, equals = […] }";
    let list = expect(value.as_array(), value, path, wanted, problems);
    let rules = list.into_iter().flatten().enumerate().filter_map(|(index, value)| {
        let path = format!("{path}[{index}]");
        let table = expect(value.as_table(), value, &path, wanted, problems)?;
        skip_rule(Section::element(path, table), fields, problems)
    });
    rules.collect()
}

fn skip_rule(
    mut section: Section<'_>,
    fields: &Fields,
    problems: &mut Problems,
) -> Option<SkipRule> {
    let field = section.text("field", problems).map(str::to_owned);
    let column = section.text("column", problems).map(str::to_owned);
    let steps = section.texts("path", problems);
    let equals_path = section.path_of("equals");
    let equals = section.value("equals").map(|value| equals(value, &equals_path, problems));
    let (path, field_path) = (section.path().to_owned(), section.path_of("field"));
    section.finish(problems);
    if equals.as_ref().is_none_or(Vec::is_empty) {
        problems.add(
            &equals_path,
            "is missing: the texts of rows that are skipped, such as [\"true\"]",
        );
    }
    let of = match (field, column) {
        (Some(name), None) => {
            if !fields.is_field(&name) {
                let hint = nearest(&name, fields.names());
                problems.add(&field_path, format!("{name:?} is no field{hint}"));
            } else if !fields.named().iter().any(|(known, _)| *known == name) {
                let problem = format!("{name:?} has no source in columns; name a column instead");
                problems.add(&field_path, problem);
            }
            if steps.is_some() {
                problems.add(&path, "has a path, which goes with a column");
            }
            SkippedBy::Field(name)
        }
        (None, Some(column)) => SkippedBy::Column { column, path: steps },
        _ => {
            problems.add(&path, "must name either a field or a column");
            return None;
        }
    };
    Some(SkipRule { of, equals: equals? })
}

/// Texts, clean as those of the rows are; `true` and `false` may stand without quotes.
fn equals(value: &Value, path: &str, problems: &mut Problems) -> Vec<String> {
    let one = |value: &Value| match value {
        Value::Boolean(flag) => Some(flag.to_string()),
        Value::Integer(number) => Some(number.to_string()),
        _ => None,
    };
    let list = match value.as_array() {
        Some(list) => list.as_slice(),
        None if value.is_str() || one(value).is_some() => std::slice::from_ref(value),
        None => return texts(value, path, problems).unwrap_or_default(),
    };
    let each = list.iter().enumerate().filter_map(|(index, value)| {
        let path = format!("{path}[{index}]");
        let text = one(value).or_else(|| Some(text(value, &path, problems)?.to_owned()))?;
        let clean = crate::facts::clean(&text);
        if clean.is_none() {
            problems.add(&path, "reads as no value at all");
        }
        clean
    });
    each.collect()
}

/// At most one feed of each kind is the primary one: as written, else the one that has defaults, else the only one.
fn decide_primaries(
    feeds: &mut [FeedConfig],
    found: &[(FeedConfig, Option<bool>)],
    problems: &mut Problems,
) {
    for kind in FeedKind::ALL {
        let of_kind: Vec<usize> =
            (0..feeds.len()).filter(|at| feeds[*at].fields.kind() == kind).collect();
        let named: Vec<usize> =
            of_kind.iter().copied().filter(|at| found[*at].1 == Some(true)).collect();
        if let [first, second, ..] = named.as_slice() {
            let problem = format!(
                "is true, and that of {} is too: at most one feed of {}s is the primary one",
                feeds[*first].name,
                kind.as_str()
            );
            problems.add(&format!("feeds.{}.primary", feeds[*second].name), problem);
        }
        let may_be = |at: &&usize| found[**at].1.is_none();
        let is_known = |at: &&usize| KNOWN.contains(&(feeds[**at].name.as_str(), kind));
        let open: Vec<usize> = of_kind.iter().filter(may_be).copied().collect();
        let primary = match (named.first(), of_kind.as_slice()) {
            (Some(named), _) => Some(*named),
            (None, [only]) => Some(*only).filter(|only| open.contains(only)),
            (None, _) => {
                let known = open.iter().find(is_known).copied();
                // With `primary = false` for all of them but one or none, that is an answer too.
                if known.is_none() && open.len() > 1 {
                    let names: Vec<&str> = open.iter().map(|at| feeds[*at].name.as_str()).collect();
                    let problem = format!(
                        "which feed of {}s is the primary one? Write primary = true for one of {}, or primary = \
                         false for each",
                        kind.as_str(),
                        names.join(", ")
                    );
                    problems.add("feeds", problem);
                }
                known
            }
        };
        if let Some(primary) = primary {
            feeds[primary].primary = true;
        }
    }
}
