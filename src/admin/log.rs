//! The operation log, with filters in the address, and its export.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::auth::View;
use super::layout::{Failure, Page, encoded, inert, render};
use super::state::Admin;
use crate::error::{Error, Result};
use crate::pg::Db;
use crate::store::operation_log::{self, Entry, Filter, Operation, Outcome};

/// Entries of a page.
const SHOWN: i64 = 100;
/// Entries of an export: what a year of work leaves.
const EXPORTED: i64 = 100_000;

#[derive(Deserialize, Default)]
pub(super) struct Wanted {
    #[serde(default)]
    operation: String,
    #[serde(default)]
    outcome: String,
}

impl Wanted {
    fn filter(&self, limit: i64) -> Filter {
        let one =
            |text: &String| Some(text.clone()).filter(|t| !t.is_empty()).into_iter().collect();
        Filter {
            operations: one(&self.operation),
            outcomes: one(&self.outcome),
            limit: Some(limit),
            ..Filter::default()
        }
    }
}

#[derive(Template)]
#[template(path = "admin/log.html")]
struct LogPage {
    page: Page,
    wanted: Wanted,
    query: String,
    operations: Vec<&'static str>,
    outcomes: [&'static str; 7],
    entries: Vec<Entry>,
}

impl LogPage {
    fn by<'e>(&self, entry: &'e Entry) -> &'e str {
        by(entry)
    }
}

pub(super) async fn list(
    View(who): View,
    State(admin): State<Arc<Admin>>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Failure> {
    let entries = entries(&admin, &wanted, SHOWN).await?;
    let query =
        format!("operation={}&outcome={}", encoded(&wanted.operation), encoded(&wanted.outcome));
    let operations = Operation::ALL.map(Operation::as_str).to_vec();
    let page = Page::new(&who, "log", "Operation log");
    Ok(render(&LogPage { page, wanted, query, operations, outcomes: Outcome::SHOWN, entries }))
}

async fn entries(admin: &Admin, wanted: &Wanted, limit: i64) -> Result<Vec<Entry>> {
    let db = Db::new(admin.read().await?);
    operation_log::list(&db, &wanted.filter(limit)).await
}

pub(super) async fn json(
    View(_): View,
    State(admin): State<Arc<Admin>>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Failure> {
    let entries = entries(&admin, &wanted, EXPORTED).await?;
    let text = serde_json::to_string_pretty(&entries);
    let text = text.map_err(|error| Error::failed("writing JSON", error))?;
    Ok(download("application/json", "operation-log.json", text))
}

pub(super) async fn csv(
    View(_): View,
    State(admin): State<Arc<Admin>>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Failure> {
    let entries = entries(&admin, &wanted, EXPORTED).await?;
    Ok(download("text/csv; charset=utf-8", "operation-log.csv", table(&entries)?))
}

fn table(entries: &[Entry]) -> Result<String> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    let failed = |error: &dyn std::fmt::Display| Error::failed("writing CSV", error.to_string());
    let heads = [
        "id",
        "operation",
        "outcome",
        "started_at",
        "finished_at",
        "by",
        "processed",
        "failed",
        "errors",
    ];
    csv.write_record(heads).map_err(|error| failed(&error))?;
    for entry in entries {
        let number = |count: Option<i64>| count.map(|n| n.to_string()).unwrap_or_default();
        let record = [
            entry.id.to_string(),
            entry.operation.clone(),
            entry.outcome.clone(),
            entry.started_at.to_string(),
            entry.finished_at.map(|at| at.to_string()).unwrap_or_default(),
            inert(by(entry)),
            number(entry.processed),
            number(entry.failed),
            inert(&entry.errors.join("; ")),
        ];
        csv.write_record(record).map_err(|error| failed(&error))?;
    }
    let bytes = csv.into_inner().map_err(|error| failed(&error))?;
    String::from_utf8(bytes).map_err(|error| failed(&error))
}

/// Who did it.
fn by(entry: &Entry) -> &str {
    let named = entry.asked_by.as_deref().or(entry.os_user.as_deref());
    named.unwrap_or(&entry.database_user)
}

fn download(kind: &'static str, name: &str, text: String) -> Response {
    let disposition = format!("attachment; filename=\"{name}\"");
    ([(header::CONTENT_TYPE, kind.to_owned()), (header::CONTENT_DISPOSITION, disposition)], text)
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_formula_is_a_text() {
        for (text, expected) in [("=1+1", "'=1+1"), ("@x", "'@x"), ("a=1", "a=1"), ("", "")] {
            assert_eq!(inert(text), expected);
        }
    }
}
