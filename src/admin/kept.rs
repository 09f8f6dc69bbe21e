//! Counts that take too long for a page, kept for a while: rows by feed, open conflicts by kind.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::state::Admin;
use crate::error::Result;
use crate::http::open_conflicts;
use crate::pg::Db;

/// How old the counts of conflicts may be: as old as those of `/status`.
const FRESH: Duration = Duration::from_secs(1);
/// How old the counts of rows may be at least,
const ROWS_FRESH: Duration = Duration::from_secs(30);
/// and, as counting reads an index of all rows, it takes one part in this many of the time at most.
const ROWS_SHARE: u32 = 50;

/// Open conflicts of a kind.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Kind {
    pub(super) kind: String,
    pub(super) severity: &'static str,
    pub(super) count: u64,
    /// Age of the oldest.
    pub(super) hours: f64,
}

/// Rows of a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rows {
    pub(super) feed: String,
    pub(super) kind: String,
    pub(super) rows: i64,
}

/// What was counted last.
#[derive(Default)]
pub(super) struct Kept {
    kinds: tokio::sync::Mutex<Option<(Instant, Vec<Kind>)>>,
    rows: Mutex<Counted>,
}

#[derive(Default)]
struct Counted {
    rows: Option<Vec<Rows>>,
    /// When they are counted again; `None`: at once.
    due: Option<Instant>,
    is_counting: bool,
}

impl Kept {
    /// Open conflicts by kind, those to review and the most frequent first. Whoever comes while they are counted waits for
    /// the same answer.
    pub(super) async fn kinds(&self, db: &Db) -> Result<Vec<Kind>> {
        let mut kept = self.kinds.lock().await;
        if let Some((at, kinds)) = kept.as_ref()
            && at.elapsed() < FRESH
        {
            return Ok(kinds.clone());
        }
        let now = Timestamp::now();
        let kinds = open_conflicts(db.client()).await?.into_iter().map(|open| Kind {
            kind: open.kind,
            severity: open.severity.as_str(),
            count: open.count,
            hours: now.duration_since(open.oldest).as_secs_f64().max(0.0) / 3600.0,
        });
        let kinds: Vec<Kind> = kinds.collect();
        *kept = Some((Instant::now(), kinds.clone()));
        Ok(kinds)
    }

    /// What somebody decided shows at once.
    pub(super) async fn forget_kinds(&self) {
        *self.kinds.lock().await = None;
    }

    /// Rows by feed as last counted; `None`: they are being counted for the first time. What is too old is counted again
    /// beside the page.
    pub(super) fn rows(admin: &Arc<Admin>) -> Option<Vec<Rows>> {
        let now = Instant::now();
        let mut counted = admin.kept.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = counted.due.is_none_or(|due| now >= due);
        if is_due && !counted.is_counting {
            counted.is_counting = true;
            let admin = Arc::clone(admin);
            tokio::spawn(async move {
                let found = count_rows(&admin).await;
                let mut counted = admin.kept.rows.lock().unwrap_or_else(PoisonError::into_inner);
                counted.is_counting = false;
                counted.due =
                    Instant::now().checked_add(ROWS_FRESH.max(now.elapsed() * ROWS_SHARE));
                match found {
                    Ok(rows) => counted.rows = Some(rows),
                    Err(error) => tracing::debug!(%error, "admin: rows are counted later"),
                }
            });
        }
        counted.rows.clone()
    }
}

async fn count_rows(admin: &Admin) -> Result<Vec<Rows>> {
    let db = Db::new(admin.read().await?);
    let sql = "select f.name, f.kind, (select count(*) from tributary.source_row r where r.feed = f.number) \
               from tributary.feed f order by f.number";
    let rows = db.query("target: counting rows", sql, &[]).await?;
    let of =
        |row: &tokio_postgres::Row| Rows { feed: row.get(0), kind: row.get(1), rows: row.get(2) };
    Ok(rows.iter().map(of).collect())
}
