//! The queue: its pages, bulk decisions on all that match, the export.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::body::Body;
use axum::extract::{Query as InAddress, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;

use super::filter::Query;
use super::reader;
use crate::admin::kept::Kind;
use crate::admin::layout::inert;
use crate::admin::state::ANSWERED;
use crate::admin::{Admin, Decide, Failure, Page, View, render, requests, see_other};
use crate::ask::Asked;
use crate::decisions::preview::MOST;
use crate::decisions::{Command, Request};
use crate::error::Result;
use crate::facts::visible;
use crate::pg::Db;
use crate::review::queue::{self, About, COUNTED, Direction, Entry, Filter, PAGE, Place, Status};
use crate::review::summary::summary;
use crate::review::ways::{self, Choice};
use crate::unify::ConflictKind;

/// Conflicts that one dismissal takes: the stream waits for it.
const BATCH: usize = 1_000;
/// Batches that one request carries out, so that a browser does not give up.
const BATCHES: usize = 5;

#[derive(Template)]
#[template(path = "admin/review/list.html")]
struct ListPage {
    page: Page,
    rows: Vec<Shown>,
    status: &'static str,
    severity: &'static str,
    order: &'static str,
    chosen_kind: String,
    chosen_feed: String,
    days: String,
    amount: String,
    query: String,
    text: String,
    q: String,
    kinds: Vec<(String, u64)>,
    feeds: Vec<String>,
    reviews: u64,
    notes: u64,
    matching: String,
    next: Option<String>,
    is_first: bool,
    may_decide: bool,
    may_separate: bool,
    notice: Option<String>,
    bulk: Option<Bulk>,
}

/// A conflict as a row.
struct Shown {
    id: i64,
    kind: String,
    subject: String,
    about: String,
    amount: String,
    since: String,
}

/// A bulk decision that waits to be confirmed.
struct Bulk {
    action: String,
    dismisses: bool,
    note: String,
    matching: String,
    exact: usize,
    refused: usize,
    counts: Vec<(&'static str, usize)>,
}

impl Shown {
    fn of(entry: &Entry, zone: &jiff::tz::TimeZone) -> Self {
        let conflict = &entry.conflict;
        let since = conflict.first_seen_at.to_zoned(zone.clone());
        Self {
            id: conflict.id,
            kind: conflict.kind.clone(),
            subject: visible(&conflict.subject),
            about: summary(&conflict.kind, &conflict.evidence),
            amount: if entry.amount.is_zero() { String::new() } else { entry.amount.to_string() },
            since: since.strftime("%Y-%m-%d %H:%M").to_string(),
        }
    }
}

pub(super) async fn list(
    View(who): View,
    State(admin): State<Arc<Admin>>,
    InAddress(query): InAddress<Query>,
) -> std::result::Result<Response, Failure> {
    let page = Page::new(&who, "conflicts", "Review");
    Ok(render(&listed(&admin, page, who.may_decide(), &query, None, None).await?))
}

async fn listed(
    admin: &Admin,
    page: Page,
    may_decide: bool,
    query: &Query,
    notice: Option<String>,
    bulk: Option<Bulk>,
) -> Result<ListPage> {
    let config = &admin.current().config;
    let db = &*reader(admin).await?;
    let filter = query.filter(&admin.searches);
    let from = Place::parse(&query.after, filter.order);
    let mut entries = queue::page(db, &filter, from.as_ref(), Direction::Forward, PAGE + 1).await?;
    let has_more = entries.len() > PAGE;
    entries.truncate(PAGE);
    let counts = admin.kept.kinds(db).await?;
    let of = |severity: &str| -> u64 {
        counts.iter().filter(|kind| kind.severity == severity).map(|kind| kind.count).sum()
    };
    let shown = counts.iter().filter(|kind| kind.severity == filter.severity.as_str());
    let is_all = from.is_none() && !has_more;
    let matching = match (&filter.about, is_all) {
        (_, true) => entries.len().to_string(),
        // Counting would read every subject once more.
        (About::Part(_), false) => format!("more than {PAGE}"),
        // Counted already.
        _ if filter.is_of_kind_alone() => {
            let is_chosen = |kind: &Kind| filter.kind.is_none_or(|k| k.as_str() == kind.kind);
            shown
                .clone()
                .filter(|kind| is_chosen(kind))
                .map(|kind| kind.count)
                .sum::<u64>()
                .to_string()
        }
        _ => counted(queue::matching(db, &filter).await?),
    };
    let last = entries.last().map(|entry| entry.place(filter.order).encoded());
    let is_forgotten = filter.about == About::Nothing;
    let notice = notice.or_else(|| is_forgotten.then(|| FORGOTTEN.to_owned()));
    let is_pair = filter.kind.is_some_and(|kind| kind == ConflictKind::PossibleDuplicate);
    Ok(ListPage {
        rows: entries.iter().map(|entry| Shown::of(entry, &config.rules.zone)).collect(),
        kinds: shown.map(|kind| (kind.kind.clone(), kind.count)).collect(),
        feeds: config.source.feeds.iter().map(|feed| feed.name.clone()).collect(),
        reviews: of("review"),
        notes: of("info"),
        matching,
        next: last.filter(|_| has_more),
        is_first: from.is_none(),
        may_decide: may_decide && filter.status == Status::Open,
        may_separate: is_pair,
        query: query.encoded(&filter),
        text: query.text(&admin.searches),
        q: query.q.clone(),
        status: filter.status.as_str(),
        severity: filter.severity.as_str(),
        order: filter.order.as_str(),
        chosen_kind: filter.kind.map(|kind| kind.as_str().to_owned()).unwrap_or_default(),
        chosen_feed: filter.feed.clone().unwrap_or_default(),
        days: filter.days.map(|days| days.to_string()).unwrap_or_default(),
        amount: filter.amount.map(|amount| amount.to_string()).unwrap_or_default(),
        page,
        notice,
        bulk,
    })
}

const FORGOTTEN: &str =
    "What was searched for is not known any more, as after a restart: search again.";

fn counted(matching: i64) -> String {
    if matching > COUNTED { format!("more than {COUNTED}") } else { matching.to_string() }
}

#[derive(Deserialize)]
pub(super) struct Search {
    text: String,
}

/// Remembers what is searched for, and goes on under a name of it.
pub(super) async fn search(
    View(_): View,
    State(admin): State<Arc<Admin>>,
    InAddress(query): InAddress<Query>,
    Form(Search { text }): Form<Search>,
) -> Response {
    let text = text.trim();
    let q = if text.is_empty() { String::new() } else { admin.searches.add(text) };
    let query = Query { q, ..query };
    see_other(&format!("/admin/conflicts?{}", query.encoded(&query.filter(&admin.searches))))
}

#[derive(Deserialize)]
pub(super) struct BulkForm {
    action: String,
    #[serde(default)]
    note: String,
    #[serde(default)]
    confirmed: bool,
}

/// A decision about all that match: first what it would come to, then, confirmed, as much as a request may take.
pub(super) async fn bulk(
    Decide(who): Decide,
    State(admin): State<Arc<Admin>>,
    InAddress(query): InAddress<Query>,
    Form(form): Form<BulkForm>,
) -> std::result::Result<Response, Failure> {
    let filter = Filter { status: Status::Open, ..query.filter(&admin.searches) };
    let page = Page::new(&who, "conflicts", "Review");
    if filter.about == About::Nothing {
        return Ok(render(&listed(&admin, page, true, &query, None, None).await?));
    }
    let note = form.note.trim();
    let says = |text: &str| Some(text.to_owned());
    if form.action == "dismiss" && note.is_empty() {
        let notice = says("A dismissal needs a reason.");
        return Ok(render(&listed(&admin, page, true, &query, notice, None).await?));
    }
    let db = reader(&admin).await?;
    if !form.confirmed {
        let commands = next_commands(&db, &filter, &form.action, note, MOST).await?;
        let preview = match admin.preview(commands, &who).await? {
            Ok(preview) => preview,
            Err(reason) => {
                return Ok(render(&listed(&admin, page, true, &query, Some(reason), None).await?));
            }
        };
        let bulk = Bulk {
            action: form.action.clone(),
            dismisses: form.action == "dismiss",
            note: note.to_owned(),
            matching: counted(queue::matching(&db, &filter).await?),
            exact: if form.action == "dismiss" { BATCH } else { preview.decisions.len() },
            refused: preview.decisions.iter().filter(|would| !would.done).count(),
            counts: preview.counts.iter().map(|count| (count.table.as_str(), count.rows)).collect(),
        };
        return Ok(render(&listed(&admin, page, true, &query, None, Some(bulk)).await?));
    }
    let (mut done, mut refused, mut waiting) = (0, 0, None);
    'batches: for _ in 0..BATCHES {
        let commands = next_commands(&db, &filter, &form.action, note, MOST).await?;
        if commands.is_empty() {
            break;
        }
        let before = done;
        for command in commands {
            let size = match &command.request {
                Request::Dismiss { conflicts } => conflicts.len(),
                _ => 1,
            };
            match admin.ask(command, &who, ANSWERED).await? {
                Asked::Queued { answer: Some(answer), .. } if answer.done => done += size,
                // The others would only wait behind it.
                Asked::Queued { answer: None, command } => {
                    waiting = Some(command);
                    break 'batches;
                }
                Asked::Queued { .. } | Asked::Refused(_) => refused += size,
            }
        }
        if done == before {
            break;
        }
    }
    admin.kept.forget_kinds().await;
    if let Some(command) = waiting {
        return Ok(requests::see(command));
    }
    let rest = queue::matching(&db, &filter).await?;
    let mut notice = format!("{done} decided");
    if refused > 0 {
        notice.push_str(&format!(", {refused} refused"));
    }
    if rest > 0 {
        notice.push_str(&format!("; {} still match: send it again for them", counted(rest)));
    }
    Ok(render(&listed(&admin, page, true, &query, Some(notice), None).await?))
}

/// The next commands of a bulk decision: one dismissal of many, or one decision each.
async fn next_commands(
    db: &Db,
    filter: &Filter,
    action: &str,
    note: &str,
    most: usize,
) -> Result<Vec<Command>> {
    let note = (!note.is_empty()).then(|| note.to_owned());
    if action == "dismiss" {
        let entries = queue::page(db, filter, None, Direction::Forward, BATCH).await?;
        let conflicts: Vec<i64> = entries.iter().map(|entry| entry.conflict.id).collect();
        let request = Request::Dismiss { conflicts };
        let command = Command { request, note, conflict: None };
        return Ok(if entries.is_empty() { Vec::new() } else { vec![command] });
    }
    let entries = queue::page(db, filter, None, Direction::Forward, most).await?;
    let commands = entries.iter().filter_map(|entry| {
        let kind = entry.conflict.kind().ok()?;
        let request = ways::request(kind, &entry.conflict.evidence, &Choice::Separate).ok()?;
        Some(Command { request, note: note.clone(), conflict: Some(entry.conflict.id) })
    });
    Ok(commands.collect())
}

/// All that match as CSV, page by page.
pub(super) async fn export(
    View(_): View,
    State(admin): State<Arc<Admin>>,
    InAddress(query): InAddress<Query>,
) -> std::result::Result<Response, Failure> {
    let db = reader(&admin).await?;
    let filter = query.filter(&admin.searches);
    let pages = stream::try_unfold(Some(None), move |from: Option<Option<Place>>| {
        let (db, filter) = (Arc::clone(&db), filter.clone());
        async move {
            let Some(from) = from else { return Ok::<_, crate::error::Error>(None) };
            let entries =
                queue::page(&db, &filter, from.as_ref(), Direction::Forward, BATCH).await?;
            let mut text = if from.is_none() { HEAD.to_owned() } else { String::new() };
            entries.iter().for_each(|entry| text.push_str(&line(entry)));
            let is_last = entries.len() < BATCH;
            let next = entries.last().map(|entry| entry.place(filter.order));
            Ok(Some((text, if is_last { None } else { Some(next) })))
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"conflicts.csv\""),
    ];
    Ok((headers, Body::from_stream(pages)).into_response())
}

const HEAD: &str =
    "id,kind,severity,status,subject,about,amount,first_seen_at,last_seen_at,evidence\r\n";

fn line(entry: &Entry) -> String {
    let conflict = &entry.conflict;
    let cells = [
        conflict.id.to_string(),
        conflict.kind.clone(),
        conflict.severity.clone(),
        conflict.status.clone(),
        conflict.subject.clone(),
        summary(&conflict.kind, &conflict.evidence),
        entry.amount.to_string(),
        conflict.first_seen_at.to_string(),
        conflict.last_seen_at.to_string(),
        conflict.evidence.to_string(),
    ];
    cells.map(|value| cell(&value)).join(",") + "\r\n"
}

fn cell(value: &str) -> String {
    format!("\"{}\"", inert(value).replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_never_a_formula() {
        let check = |value: &str, expected: &str| assert_eq!(cell(value), expected);
        check("=HYPERLINK(\"x\")", "\"'=HYPERLINK(\"\"x\"\")\"");
        check("@SUM(1)", "\"'@SUM(1)\"");
        check("-1.50", "\"-1.50\"");
        check("-1+2", "\"'-1+2\"");
        check("maria, cruz", "\"maria, cruz\"");
    }
}
