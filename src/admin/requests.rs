//! What was asked of the daemon: that it waits, how far it is, and what became of it. A request that is not answered while
//! somebody waits is neither done nor lost, and is shown here.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::Row;

use super::auth::View;
use super::layout::{self, Failure, Page, render, see_other};
use super::log;
use super::progress::Progress;
use super::state::Admin;
use crate::error::{Error, Result};
use crate::pg::Db;

const WHAT: &str = "target: reading requests";
/// Requests that the panel shows.
const LATEST: i64 = 8;

/// A request as it is shown. Its answer may name customers.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    pub(super) id: i64,
    /// What was asked for, in words.
    pub(super) what: String,
    pub(super) actor: String,
    pub(super) asked_at: Timestamp,
    pub(super) finished_at: Option<Timestamp>,
    done: bool,
    answer: Value,
    /// How far a job is.
    at: Option<String>,
    /// What goes on from it.
    next: Next,
    note: Option<String>,
    conflict: Option<i64>,
}

/// What somebody may want after the report of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Nothing,
    /// The backfill that was predicted.
    Backfill,
    /// The repair of what differs.
    Repair,
    /// The rollback that was looked at.
    Rollback,
}

/// A table of a report: what becomes of the rows of each target table.
#[derive(Debug, PartialEq, Eq)]
struct Table {
    heads: Vec<String>,
    rows: Vec<(String, Vec<String>)>,
}

impl Shown {
    fn of(row: &Row) -> Self {
        let request: Value = row.get(1);
        let text = |pointer: &str| request.pointer(pointer).and_then(Value::as_str);
        let dry = request.pointer("/job/dry_run").and_then(Value::as_bool);
        let word = text("/job/do").or_else(|| text("/request/do")).unwrap_or("unknown");
        let done = row.get::<_, Option<bool>>(5).unwrap_or(false);
        let answer: Value = row.get::<_, Option<Value>>(6).unwrap_or_default();
        let next = match (word, dry) {
            ("populate_clean_data", Some(true)) => Next::Backfill,
            ("verify", Some(true)) if answer["differences"].as_u64() > Some(0) => Next::Repair,
            ("rollback_run", Some(true)) => Next::Rollback,
            _ => Next::Nothing,
        };
        Self {
            id: row.get(0),
            what: words(word, dry),
            actor: row.get(2),
            asked_at: row.get(3),
            finished_at: row.get(4),
            done,
            answer,
            at: row.get(7),
            next: if done { next } else { Next::Nothing },
            note: text("/note").map(str::to_owned),
            conflict: request.get("conflict").and_then(Value::as_i64),
        }
    }

    /// What became of it, as a word of the style sheet.
    pub(super) fn state(&self) -> &'static str {
        match (self.finished_at, self.done) {
            (None, _) => "waiting",
            (Some(_), true) => "done",
            (Some(_), false) => "refused",
        }
    }

    /// The answer in words.
    fn text(&self) -> String {
        let shown = self.table();
        // What the table shows is not said again.
        let is_shown = |line: &&str| {
            let name = line.split_once(": ").map(|(name, _)| name);
            shown
                .iter()
                .flat_map(|table| &table.rows)
                .any(|(table, _)| Some(table.as_str()) == name)
        };
        let lines = self.answer["lines"].as_array().into_iter().flatten();
        let lines = lines.filter_map(Value::as_str).filter(|line| !is_shown(line));
        let plain = |line| match line {
            "nothing was changed; dry_run => false does it" => "nothing was changed",
            line => line,
        };
        let mut lines: Vec<&str> = lines.map(plain).collect();
        lines.extend(self.answer["answer"].as_str());
        match self.answer.as_str() {
            Some(text) => text.to_owned(),
            None => lines.join("\n"),
        }
    }

    /// Whether the answer is a report.
    fn is_report(&self) -> bool {
        self.done && self.answer.is_object()
    }

    /// Rows by table and what becomes of them.
    fn table(&self) -> Option<Table> {
        table(&self.answer["counts"])
    }

    /// The backup of a rollback.
    fn run(&self) -> &str {
        self.answer["run"].as_str().or(self.answer["backup"].as_str()).unwrap_or_default()
    }
}

/// What was asked for, as the panels name it.
fn words(word: &str, dry: Option<bool>) -> String {
    match (word, dry) {
        ("populate_clean_data", Some(true)) => "dry run of a backfill".to_owned(),
        ("populate_clean_data", _) => "backfill".to_owned(),
        ("verify", Some(false)) => "verify and repair".to_owned(),
        ("rollback_run", Some(true)) => "what a rollback would do".to_owned(),
        ("rollback_run", _) => "rollback".to_owned(),
        _ => word.replace('_', " "),
    }
}

/// What a job counted of each table ([`crate::jobs`]), in the columns that there is something of.
fn table(counts: &Value) -> Option<Table> {
    let known = [
        ("rows", "rows"),
        ("insert", "insert"),
        ("update", "update"),
        ("unchanged", "unchanged"),
        ("unsupported", "unsupported"),
        ("delete", "delete"),
        ("differ", "rows that differ"),
    ];
    let tables = counts.as_object()?;
    let is_there = |(key, _): &(&str, &str)| tables.values().any(|of| of[*key].is_u64());
    let shown: Vec<(&str, &str)> = known.into_iter().filter(is_there).collect();
    if shown.is_empty() {
        return None;
    }
    let cell = |value: &Value| value.as_u64().map_or_else(String::new, |n| n.to_string());
    let rows = tables
        .iter()
        .map(|(name, of)| (name.clone(), shown.iter().map(|(key, _)| cell(&of[*key])).collect()));
    let rows = rows.collect();
    Some(Table { rows, heads: shown.into_iter().map(|(_, head)| head.to_owned()).collect() })
}

const COLUMNS: &str = "id, request, actor, created_at, finished_at, ok, answer, state ->> 'at'";

async fn find(db: &Db, id: i64) -> Result<Option<Shown>> {
    let sql = format!("select {COLUMNS} from tributary.command where id = $1");
    Ok(db.query(WHAT, &sql, &[&id]).await?.first().map(Shown::of))
}

/// The newest requests, and before them all that wait. Decisions are left to the queue and the log.
pub(super) async fn latest(db: &Db) -> Result<Vec<Shown>> {
    let sql = format!(
        "(select {COLUMNS} from tributary.command where finished_at is null order by id limit 50) union all \
         (select {COLUMNS} from (select * from tributary.command order by id desc limit 200) c \
          where finished_at is not null and (request ? 'job' or request -> 'request' ->> 'do' in \
            ('accept', 'rebuild', 'rollout', 'rollback', 'backfill', 'reconcile', 'pause', 'resume')) \
          order by id desc limit {LATEST})"
    );
    Ok(db.query(WHAT, &sql, &[]).await?.iter().map(Shown::of).collect())
}

/// Goes on with what became of a request.
pub(super) fn see(command: i64) -> Response {
    see_other(&format!("/admin/requests/{command}"))
}

#[derive(Template)]
#[template(path = "admin/request.html")]
struct RequestPage {
    page: Page,
    may_operate: bool,
    request: Shown,
    progress: Option<Progress>,
}

pub(super) async fn show(
    View(who): View,
    State(admin): State<Arc<Admin>>,
    Path(id): Path<i64>,
) -> std::result::Result<Response, Failure> {
    let db = Db::new(admin.read().await?);
    let Some(request) = find(&db, id).await? else { return Ok(layout::not_found(&who)) };
    let waits = request.finished_at.is_none();
    let progress = if waits { Progress::read(&db).await? } else { None };
    let page = Page::new(&who, "control", format!("Request {id}: {}", request.what));
    Ok(render(&RequestPage { page, may_operate: who.may_operate(), request, progress }))
}

/// The whole report of a job, to keep.
pub(super) async fn json(
    View(who): View,
    State(admin): State<Arc<Admin>>,
    Path(id): Path<i64>,
) -> std::result::Result<Response, Failure> {
    let db = Db::new(admin.read().await?);
    let Some(request) = find(&db, id).await?.filter(Shown::is_report) else {
        return Ok(layout::not_found(&who));
    };
    let text = serde_json::to_string_pretty(&request.answer);
    let text = text.map_err(|error| Error::failed("writing JSON", error))?;
    Ok(log::download("application/json", &format!("request-{id}.json"), text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_has_the_columns_that_it_knows() {
        let predicted = json!({
            "profiles": { "insert": 3, "update": 2, "written": 5 },
            "enrollments": { "insert": 0, "update": 0 },
        });
        let shown = table(&predicted).unwrap();
        assert_eq!(shown.heads, ["insert", "update"]);
        let row = ("profiles".to_owned(), vec!["3".to_owned(), "2".to_owned()]);
        assert!(shown.rows.contains(&row), "{shown:?}");
        assert_eq!(table(&json!({})), None);
        let differing = json!({ "profiles": { "differ": 3 }, "people": { "differ": 0 } });
        let differing = table(&differing).unwrap();
        assert_eq!(differing.heads, ["rows that differ"]);
    }

    #[test]
    fn a_job_is_named_as_the_panels_name_it() {
        assert_eq!(words("populate_clean_data", Some(true)), "dry run of a backfill");
        assert_eq!(words("verify", Some(true)), "verify");
        assert_eq!(words("rollout", None), "rollout");
    }
}
