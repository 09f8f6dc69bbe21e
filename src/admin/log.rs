//! The operation log, with filters in the address, and its export.

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Deserialize;

use super::auth::View;
use super::layout::{Failure, Page, encoded, inert, render};
use super::reports;
use super::state::Admin;
use crate::error::{Error, Result};
use crate::pg::Db;
use crate::store::operation_log::{self, Entry, Filter, Operation, Outcome};

/// Entries of a page.
const SHOWN: i64 = 100;
/// Entries of an export that are held at once.
const HELD: i64 = 500;

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Wanted {
    operation: String,
    outcome: String,
    /// Local days, the last one included.
    from: String,
    to: String,
    text: String,
}

impl Wanted {
    /// What cannot be read is left out.
    fn filter(&self, zone: &TimeZone, limit: i64) -> Filter {
        let given = |text: &String| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let begins = |date: Date| date.to_zoned(zone.clone()).ok().map(|at| at.timestamp());
        let day = |text: &String| text.parse::<Date>().ok();
        Filter {
            operations: given(&self.operation).into_iter().collect(),
            outcomes: given(&self.outcome).into_iter().collect(),
            since: day(&self.from).and_then(begins),
            until: day(&self.to).and_then(|day| day.tomorrow().ok()).and_then(begins),
            text: given(&self.text),
            id: None,
            before: None,
            limit: Some(limit),
        }
    }

    /// As an address has it.
    fn encoded(&self) -> String {
        let fields = [
            ("operation", &self.operation),
            ("outcome", &self.outcome),
            ("from", &self.from),
            ("to", &self.to),
            ("text", &self.text),
        ];
        let given = fields.iter().filter(|(_, value)| !value.is_empty());
        given
            .map(|(name, value)| format!("{name}={}", encoded(value)))
            .collect::<Vec<_>>()
            .join("&")
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
    /// Entries that have a report.
    reports: Vec<i64>,
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
    let numbers: Vec<i64> = entries.iter().map(|entry| entry.id).collect();
    let reports = reports::among(&Db::new(admin.read().await?), &numbers).await?;
    let query = wanted.encoded();
    let operations = Operation::ALL.map(Operation::as_str).to_vec();
    let page = Page::new(&who, "log", "Operation log");
    let outcomes = Outcome::SHOWN;
    Ok(render(&LogPage { page, wanted, query, operations, outcomes, entries, reports }))
}

async fn entries(admin: &Admin, wanted: &Wanted, limit: i64) -> Result<Vec<Entry>> {
    let db = Db::new(admin.read().await?);
    let current = admin.current();
    operation_log::list(&db, &wanted.filter(&current.config.rules.zone, limit)).await
}

pub(super) async fn json(
    View(_): View,
    State(admin): State<Arc<Admin>>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Failure> {
    let body = export(&admin, &wanted, "[\n", "\n]\n", |entries, is_first| {
        let mut text = String::new();
        for (at, entry) in entries.iter().enumerate() {
            let line = serde_json::to_string(entry);
            text.push_str(if is_first && at == 0 { "" } else { ",\n" });
            text.push_str(&line.map_err(|error| Error::failed("writing JSON", error))?);
        }
        Ok(text)
    });
    Ok(download("application/json", "operation-log.json", body.await?))
}

pub(super) async fn csv(
    View(_): View,
    State(admin): State<Arc<Admin>>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Failure> {
    let body = export(&admin, &wanted, HEAD, "", |entries, _| table(entries));
    Ok(download("text/csv; charset=utf-8", "operation-log.csv", body.await?))
}

/// Everything that matches, a page at a time, between a beginning and an end. `write` is told whether it is the first page.
async fn export(
    admin: &Admin,
    wanted: &Wanted,
    begin: &'static str,
    end: &'static str,
    write: fn(&[Entry], bool) -> Result<String>,
) -> Result<Body> {
    let db = Arc::new(Db::new(admin.read().await?));
    let filter = wanted.filter(&admin.current().config.rules.zone, HELD);
    let pages = stream::try_unfold(Some(None), move |before: Option<Option<i64>>| {
        let (db, filter) = (Arc::clone(&db), Filter { before: before.flatten(), ..filter.clone() });
        async move {
            let Some(from) = before else { return Ok::<_, Error>(None) };
            let entries = operation_log::list(&db, &filter).await?;
            let mut text = if from.is_none() { begin.to_owned() } else { String::new() };
            text.push_str(&write(&entries, from.is_none())?);
            let next =
                entries.last().filter(|_| entries.len() as i64 == HELD).map(|last| Some(last.id));
            if next.is_none() {
                text.push_str(end);
            }
            Ok(Some((text, next)))
        }
    });
    Ok(Body::from_stream(pages))
}

const HEAD: &str = "id,operation,outcome,started_at,finished_at,by,processed,failed,errors\n";

fn table(entries: &[Entry]) -> Result<String> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    let failed = |error: &dyn std::fmt::Display| Error::failed("writing CSV", error.to_string());
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

pub(super) fn download(kind: &'static str, name: &str, body: impl Into<Body>) -> Response {
    let disposition = format!("attachment; filename=\"{name}\"");
    let headers =
        [(header::CONTENT_TYPE, kind.to_owned()), (header::CONTENT_DISPOSITION, disposition)];
    (headers, body.into()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_local_and_the_last_one_is_included() {
        let wanted = |from: &str, to: &str| Wanted {
            from: from.into(),
            to: to.into(),
            text: "a&b".into(),
            ..Wanted::default()
        };
        let zone = TimeZone::get("Asia/Manila").unwrap();
        let filter = wanted("2025-06-30", "2025-06-30").filter(&zone, 1);
        let at = |text: &str| Some(text.parse().unwrap());
        assert_eq!(filter.since, at("2025-06-29T16:00:00Z"));
        assert_eq!(filter.until, at("2025-06-30T16:00:00Z"));
        let filter = wanted("yesterday", "").filter(&zone, 1);
        assert_eq!((filter.since, filter.until, filter.operations.len()), (None, None, 0));
        assert_eq!(wanted("2025-06-30", "").encoded(), "from=2025-06-30&text=a%26b");
    }

    #[test]
    fn a_formula_is_a_text() {
        for (text, expected) in [("=1+1", "'=1+1"), ("@x", "'@x"), ("a=1", "a=1"), ("", "")] {
            assert_eq!(inert(text), expected);
        }
    }
}
