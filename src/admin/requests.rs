//! What was asked of the daemon: that it waits, and what became of it. A request that is not answered while somebody waits
//! is neither done nor lost, and is shown here.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::Row;

use super::auth::View;
use super::layout::{self, Failure, Page, render, see_other};
use super::progress::Progress;
use super::state::Admin;
use crate::error::Result;
use crate::pg::Db;

const WHAT: &str = "target: reading requests";
/// Requests that the panel shows.
const LATEST: i64 = 6;

/// A request as it is shown. Its answer may name customers.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    pub(super) id: i64,
    /// The word of what was asked for.
    pub(super) what: String,
    pub(super) actor: String,
    pub(super) asked_at: Timestamp,
    pub(super) finished_at: Option<Timestamp>,
    pub(super) done: bool,
    pub(super) answer: String,
    note: Option<String>,
    conflict: Option<i64>,
}

impl Shown {
    fn of(row: &Row) -> Self {
        let request: Value = row.get(1);
        let text = |pointer: &str| request.pointer(pointer).and_then(Value::as_str);
        Self {
            id: row.get(0),
            what: text("/request/do").unwrap_or("unknown").replace('_', " "),
            actor: row.get(2),
            asked_at: row.get(3),
            finished_at: row.get(4),
            done: row.get::<_, Option<bool>>(5).unwrap_or(false),
            answer: row.get::<_, Option<String>>(6).unwrap_or_default(),
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
}

const COLUMNS: &str = "id, request, actor, created_at, finished_at, ok, answer #>> '{}'";

async fn find(db: &Db, id: i64) -> Result<Option<Shown>> {
    let sql = format!("select {COLUMNS} from tributary.command where id = $1");
    Ok(db.query(WHAT, &sql, &[&id]).await?.first().map(Shown::of))
}

/// The newest requests, and before them all that wait.
pub(super) async fn latest(db: &Db) -> Result<Vec<Shown>> {
    let sql = format!(
        "(select {COLUMNS} from tributary.command where finished_at is null order by id limit 50) union all \
         (select {COLUMNS} from tributary.command where finished_at is not null order by id desc limit {LATEST})"
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
    let page = Page::new(&who, "control", format!("Request {id}"));
    Ok(render(&RequestPage { page, request, progress }))
}
