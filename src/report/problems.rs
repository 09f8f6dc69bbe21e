//! The inventory of known problems: open conflicts and notes by kind, with examples by the keys of their source rows.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::advice;
use crate::engine::Feeds;
use crate::error::{Context as _, Result};
use crate::pg::Client;
use crate::unify::ConflictKind;

const WHAT: &str = "target: known problems";
/// Examples of each kind.
const EXAMPLES: i64 = 5;
/// Source rows of each example.
const ROWS: usize = 4;

/// Open conflicts or notes of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Problem {
    /// As `conflicts list --kind` takes it.
    pub kind: String,
    /// In words.
    pub title: String,
    /// How it is prevented.
    pub advice: String,
    /// Open ones that a person must decide.
    pub review: u64,
    /// Open ones that are only to know.
    pub info: u64,
    /// Those that were dismissed.
    pub dismissed: u64,
    /// When the oldest open one was first seen.
    pub oldest: Option<Timestamp>,
    /// Some of them.
    pub examples: Vec<Example>,
}

impl Problem {
    /// Open ones.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.review + self.info
    }
}

/// One conflict.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Example {
    /// As `conflicts show` takes it; the conflict of a dry run is not there.
    pub conflict: i64,
    /// Its source rows, as log lines name them (P14).
    pub rows: Vec<String>,
    /// What it is about, where values were asked for. Never stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
}

/// Reads the inventory, most urgent first.
///
/// # Errors
/// Those of the target.
pub async fn read(client: &Client, feeds: &Feeds) -> Result<Vec<Problem>> {
    let rows = client.query(include_str!("sql/problems.sql"), &[]).await.context(WHAT)?;
    let mut problems = Vec::new();
    for row in &rows {
        let kind: String = row.get(0);
        let (title, advice) = match ConflictKind::parse(&kind) {
            Some(kind) => advice::of(kind),
            None => (kind.as_str(), ""),
        };
        let count = |at: usize| row.get::<_, i64>(at).unsigned_abs();
        problems.push(Problem {
            title: title.to_owned(),
            advice: advice.to_owned(),
            review: count(1),
            info: count(2),
            dismissed: count(3),
            oldest: row.get(4),
            examples: examples(client, feeds, &kind).await?,
            kind,
        });
    }
    Ok(problems)
}

async fn examples(client: &Client, feeds: &Feeds, kind: &str) -> Result<Vec<Example>> {
    let sql = "select id, subject, evidence from tributary.conflict \
               where kind = $1 and status = 'open' order by severity desc, id limit $2";
    let mut examples = Vec::new();
    for row in client.query(sql, &[&kind, &EXAMPLES]).await.context(WHAT)? {
        let (subject, evidence): (String, Value) = (row.get(1), row.get(2));
        let mut rows = named(feeds, &subject, &evidence);
        if rows.is_empty() {
            rows = of_people(client, feeds, &subject).await?;
        }
        rows.truncate(ROWS);
        examples.push(Example { conflict: row.get(0), rows, about: None });
    }
    Ok(examples)
}

/// The rows that a conflict names: its subject, or those of its sides.
fn named(feeds: &Feeds, subject: &str, evidence: &Value) -> Vec<String> {
    let mut found = BTreeSet::new();
    let row = subject.split('#').next().unwrap_or(subject);
    if feeds.row_id(row).is_some() {
        found.insert(feeds.discreet_name(row));
    }
    collect(feeds, evidence, &mut found);
    found.into_iter().collect()
}

/// Every `source_row` of the evidence.
fn collect(feeds: &Feeds, value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                match value.as_str().filter(|_| name == "source_row") {
                    Some(row) if feeds.row_id(row).is_some() => {
                        found.insert(feeds.discreet_name(row));
                    }
                    _ => collect(feeds, value, found),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| collect(feeds, value, found)),
        _ => {}
    }
}

/// The first rows of the people that a subject names: `<email>`, `<email>#<product>` or `<emailA>|<emailB>`.
async fn of_people(client: &Client, feeds: &Feeds, subject: &str) -> Result<Vec<String>> {
    let people: Vec<&str> = subject.split('#').next().unwrap_or(subject).split('|').collect();
    // All rows of an owner before their order: a plan may walk the key, which is in that order, through the rows of everybody.
    let sql = "select f.name || ':' || r.key from unnest($1::text[]) with ordinality as o (owner, at) \
               cross join lateral (select feed, key \
                   from (select feed, key from tributary.source_row where owner = o.owner offset 0) own \
                   order by feed, key limit 2) r \
               join tributary.feed f on f.number = r.feed order by o.at, r.feed, r.key";
    let rows = client.query(sql, &[&people]).await.context(WHAT)?;
    Ok(rows.iter().map(|row| feeds.discreet_name(row.get(0))).collect())
}

/// Adds what each example is about: values of customers, for who asked.
///
/// # Errors
/// Those of the target.
pub async fn reveal(client: &Client, problems: &mut [Problem]) -> Result<()> {
    let ids: Vec<i64> =
        problems.iter().flat_map(|problem| &problem.examples).map(|one| one.conflict).collect();
    let sql = "select id, subject from tributary.conflict where id = any($1)";
    let rows = client.query(sql, &[&ids]).await.context(WHAT)?;
    let about: std::collections::HashMap<i64, String> =
        rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    for example in problems.iter_mut().flat_map(|problem| &mut problem.examples) {
        example.about = about.get(&example.conflict).cloned();
    }
    Ok(())
}
