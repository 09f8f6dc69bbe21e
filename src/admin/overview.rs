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
use super::kept::{Kept, Kind};
use super::layout::{Page, render};
use super::problems::{self, Problem};
use super::progress::Progress;
use super::state::Admin;
use crate::error::Result;
use crate::pg::Db;
use crate::report::chart::thousands;
use crate::status::{SlotLog, Status};
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
    problems: Vec<Problem>,
    lag: Chart,
    retained: Chart,
    rate: Chart,
    /// How much log the slot may still keep, and until when.
    forecast: Option<String>,
    feeds: Vec<Fed>,
    /// `None`: the target does not answer.
    stored: Option<Stored>,
    reviews: u64,
}

struct Stored {
    conflicts: Vec<Kind>,
    operations: Vec<Entry>,
    progress: Option<Progress>,
    problems: Vec<Problem>,
}

/// A feed with what it holds and brings.
struct Fed {
    name: String,
    kind: &'static str,
    rows: String,
    changes: u64,
    last: String,
}

pub(super) async fn overview(View(who): View, State(admin): State<Arc<Admin>>) -> Response {
    let status = admin.health.status();
    let stored = tokio::time::timeout(PATIENCE, stored(&admin)).await;
    let stored = stored.ok().and_then(Result::ok);
    let mut problems = problems::of_status(&status);
    match &stored {
        Some(stored) => problems.extend(stored.problems.iter().cloned()),
        None => problems.push(Problem {
            what: "The target does not answer: conflicts and operations cannot be shown.".into(),
            remedy: "The daemon tries again by itself; see whether the server runs.".into(),
            link: None,
        }),
    }
    let of_review = |kinds: &[Kind]| {
        kinds.iter().filter(|kind| kind.severity == "review").map(|kind| kind.count).sum()
    };
    let reviews = stored.as_ref().map_or(0, |stored| of_review(&stored.conflicts));
    let (lag, retained) = (admin.history.lag(), admin.history.retained());
    let rate = admin.history.rate();
    let forecast = status.slot_log.as_ref().map(forecast);
    let feeds = feeds(&admin);
    let page = Page::new(&who, "overview", "Overview");
    render(&OverviewPage {
        page,
        status,
        problems,
        lag,
        retained,
        rate,
        forecast,
        feeds,
        stored,
        reviews,
    })
}

async fn stored(admin: &Admin) -> Result<Stored> {
    let db = Db::new(admin.read().await?);
    let filter = Filter { limit: Some(LATEST), ..Filter::default() };
    Ok(Stored {
        conflicts: admin.kept.kinds(&db).await?,
        operations: operation_log::list(&db, &filter).await?,
        progress: Progress::read(&db).await?,
        problems: problems::of_target(&db).await?,
    })
}

/// The configured feeds, with rows as last counted and what came since the start of the daemon.
fn feeds(admin: &Arc<Admin>) -> Vec<Fed> {
    let counted = Kept::rows(admin);
    let current = admin.current();
    let zone = &current.config.rules.zone;
    let of = |feed: &crate::config::FeedConfig| {
        let seen = admin.health.changes().of(&feed.name);
        let rows = match &counted {
            None => "being counted".to_owned(),
            Some(all) => all
                .iter()
                .find(|rows| rows.feed == feed.name)
                .map_or_else(|| "0".to_owned(), |rows| thousands(rows.rows.unsigned_abs())),
        };
        let local = |at: jiff::Timestamp| at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S");
        let last = seen.last.map_or_else(String::new, |at| local(at).to_string());
        Fed {
            name: feed.name.clone(),
            kind: feed.fields.kind().as_str(),
            rows,
            changes: seen.rows,
            last,
        }
    };
    current.config.source.feeds.iter().map(of).collect()
}

/// How much more log the slot may keep, and when that is used up.
fn forecast(log: &SlotLog) -> String {
    let Some(safe) = log.safe_bytes else {
        return "no limit (max_slot_wal_keep_size)".to_owned();
    };
    let mebibytes = thousands(safe / 1_048_576);
    match log.seconds_to_loss {
        None => format!("{mebibytes} MiB more, no end in sight"),
        Some(seconds) if seconds < 5_400.0 => {
            format!("{mebibytes} MiB more, used up in {:.0} min", seconds / 60.0)
        }
        Some(seconds) => format!("{mebibytes} MiB more, used up in {:.0} h", seconds / 3_600.0),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forecast_says_how_much_and_until_when() {
        let check = |safe_bytes: Option<u64>, seconds_to_loss: Option<f64>, expected: &str| {
            let log = SlotLog { safe_bytes, seconds_to_loss, ..SlotLog::default() };
            assert_eq!(forecast(&log), expected);
        };
        check(None, None, "no limit (max_slot_wal_keep_size)");
        check(Some(2 << 30), None, "2,048 MiB more, no end in sight");
        check(Some(2 << 20), Some(600.0), "2 MiB more, used up in 10 min");
        check(Some(2 << 20), Some(36_000.0), "2 MiB more, used up in 10 h");
    }
}
