//! The overview: what the daemon does, what is wrong, what waits for a person.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use super::auth::View;
use super::history::Chart;
use super::layout::{Page, render};
use super::state::Admin;
use crate::error::{Context as _, Result};
use crate::pg::Db;
use crate::status::{Phase, Status};
use crate::store::operation_log::{self, Entry, Filter};

/// How often it is looked whether a page is to be brought up to date.
const LOOK: Duration = Duration::from_secs(2);
/// How long a page waits for the target.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
/// Operations that are shown.
const LATEST: i64 = 8;

#[derive(Template)]
#[template(path = "admin/overview.html")]
struct OverviewPage {
    page: Page,
    status: Status,
    problems: Vec<String>,
    lag: Chart,
    retained: Chart,
    /// `None`: the target does not answer.
    stored: Option<Stored>,
}

struct Stored {
    conflicts: Vec<Kind>,
    operations: Vec<Entry>,
}

struct Kind {
    kind: String,
    severity: String,
    count: i64,
    hours: f64,
}

pub(super) async fn overview(View(who): View, State(admin): State<Arc<Admin>>) -> Response {
    let status = admin.health.status();
    let stored = tokio::time::timeout(PATIENCE, stored(&admin)).await;
    let stored = stored.ok().and_then(Result::ok);
    let mut problems = problems(&status);
    if stored.is_none() {
        problems
            .push("The target does not answer: conflicts and operations cannot be shown.".into());
    }
    let (lag, retained) = (admin.history.lag(), admin.history.retained());
    let page = Page::new(&who, "overview", "Overview");
    render(&OverviewPage { page, status, problems, lag, retained, stored })
}

async fn stored(admin: &Admin) -> Result<Stored> {
    let db = Db::new(admin.read().await?);
    let sql = "select kind, severity, count(*), \
               (extract(epoch from now() - min(first_seen_at)) / 3600)::float8 \
               from tributary.conflict where status = 'open' group by kind, severity \
               order by severity desc, count(*) desc";
    let rows = db.client().query(sql, &[]).await.context("target: counting conflicts")?;
    let conflicts = rows.iter().map(|row| Kind {
        kind: row.get(0),
        severity: row.get(1),
        count: row.get(2),
        hours: row.get(3),
    });
    let filter = Filter { limit: Some(LATEST), ..Filter::default() };
    Ok(Stored {
        conflicts: conflicts.collect(),
        operations: operation_log::list(&db, &filter).await?,
    })
}

/// What needs somebody, each with its remedy.
fn problems(status: &Status) -> Vec<String> {
    let mut all: Vec<String> =
        [&status.halted, &status.unresolved].into_iter().flatten().cloned().collect();
    all.extend(status.frozen_because.clone());
    if status.phase == Phase::WaitingForLock {
        all.push("Another daemon works on this target; this one waits to take over.".into());
    }
    if let Some(log) = &status.slot_log {
        if log.wal_status.as_deref() == Some("lost") {
            all.push(
                "The slot is lost: the daemon makes another one and reads the feeds again.".into(),
            );
        } else if let Some(seconds) = log.seconds_to_loss {
            all.push(format!(
                "At the present rate the slot is lost in {:.0} minutes: see why the daemon falls behind, or raise \
                 max_slot_wal_keep_size of the source.",
                seconds / 60.0
            ));
        }
    }
    all
}

/// An event each time the state has changed. A session that ends ends the stream at its next request.
pub(super) async fn events(View(_): View, State(admin): State<Arc<Admin>>) -> Response {
    let seen = admin.health.status();
    let changes = stream::unfold((admin, seen), async |(admin, seen)| {
        loop {
            tokio::time::sleep(LOOK).await;
            let now = admin.health.status();
            if now != seen {
                let event = Event::default().event("changed").data("");
                return Some((Ok::<_, Infallible>(event), (admin, now)));
            }
        }
    });
    Sse::new(changes).keep_alive(KeepAlive::default()).into_response()
}
