//! Open conflicts and rows that are left out, counted when somebody asks (SPEC §9): an answer is current, and costs the
//! target at most one query of each kind a second.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Health;
use crate::config::Config;
use crate::connect::{Pool, pool};
use crate::error::{Context as _, Result};
use crate::pg::Client;
use crate::status::{Rollout, left_out};
use crate::unify::{ConflictKind, Severity};

/// How old a count may be.
const FRESH: Duration = Duration::from_secs(1);
/// How long an answer waits for the target; then it tells the count before.
const PATIENCE: Duration = Duration::from_secs(2);

/// How much longer than it took to count rows is waited before they are counted again: there may be many.
const SHARE: u32 = 20;

/// Counts on a session of its own.
pub struct Counts {
    pool: RwLock<Pool>,
    /// Those of the configuration.
    feeds: Vec<String>,
    counted_at: Mutex<Option<Instant>>,
    /// When rows are to be counted again.
    rows_due: Mutex<Option<Instant>>,
}

impl Counts {
    /// Connects when first asked.
    ///
    /// # Errors
    /// [`crate::error::Error::Config`] where the certificates file cannot be used.
    pub fn new(config: &Config) -> Result<Self> {
        let pool = RwLock::new(of_target(config)?);
        let feeds = config.source.feeds.iter().map(|feed| feed.name.clone()).collect();
        Ok(Self { pool, feeds, counted_at: Mutex::default(), rows_due: Mutex::default() })
    }

    /// Takes the password of now.
    ///
    /// # Errors
    /// As [`Counts::new`].
    pub fn reconfigure(&self, config: &Config) -> Result<()> {
        let pool = of_target(config)?;
        *self.pool.write().unwrap_or_else(PoisonError::into_inner) = pool;
        Ok(())
    }

    /// A pool is a handle.
    fn pool(&self) -> Pool {
        self.pool.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Brings the counts of the daemon's state up to date, unless they are.
    pub(super) async fn refresh(&self, health: &Health) {
        let mut counted_at = self.counted_at.lock().await;
        if counted_at.is_some_and(|at| at.elapsed() < FRESH) {
            return;
        }
        let counted = tokio::time::timeout(PATIENCE, self.count()).await;
        // A target that is away, or not migrated yet, is not asked again at once either.
        *counted_at = Some(Instant::now());
        if let Ok(Ok(counts)) = counted {
            let of =
                |severity: Severity| counts.iter().filter(move |open| open.severity == severity);
            let number = |severity| of(severity).map(|open| open.count).sum::<u64>();
            health.set_conflicts(number(Severity::Review), number(Severity::Info));
            let oldest = of(Severity::Review).map(|open| open.oldest).min();
            let seconds = oldest.map(|at| at.as_millisecond() as f64 / 1000.0);
            crate::metrics::set_oldest_review(seconds.unwrap_or(0.0));
            let known = counts.iter().filter_map(|open| {
                Some((ConflictKind::parse(&open.kind)?, open.severity, open.count))
            });
            crate::metrics::set_conflicts(&known.collect::<Vec<_>>());
        }
        let pool = self.pool().status();
        crate::metrics::set_pool(pool.size, pool.available, pool.waiting);
        self.refresh_rows(health).await;
    }

    async fn refresh_rows(&self, health: &Health) {
        let mut due = self.rows_due.lock().await;
        let begun = Instant::now();
        if due.is_some_and(|due| begun < due) {
            return;
        }
        let counted = tokio::time::timeout(PATIENCE, self.count_rows()).await;
        let pause = FRESH.max(begun.elapsed().saturating_mul(SHARE));
        *due = begun.checked_add(pause);
        if let Ok(Ok((counted, rollout))) = counted {
            health.set_rollout(rollout);
            health.set_left_out(left_out(self.feeds.iter().map(String::as_str), counted));
        }
    }

    async fn count_rows(&self) -> Result<(Vec<(String, String, u64)>, Rollout)> {
        let session = self.pool().get("target: counting rows").await?;
        let rollout = Rollout::from(crate::store::outside::count(&session).await?);
        Ok((crate::store::row::left_out(&session).await?, rollout))
    }

    async fn count(&self) -> Result<Vec<Open>> {
        let what = "target: counting conflicts";
        let session = self.pool().get(what).await?;
        let counts = open_conflicts(&session).await?;
        let sql = "select count(*) from tributary.quarantine";
        let quarantined = session.query_one(sql, &[]).await.context(what)?.get::<_, i64>(0);
        crate::metrics::set_quarantined(quarantined.unsigned_abs());
        Ok(counts)
    }
}

/// Open conflicts of a kind and severity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) kind: String,
    pub(crate) severity: Severity,
    pub(crate) count: u64,
    /// When the first of them was seen.
    pub(crate) oldest: Timestamp,
}

/// Open conflicts by kind, those to review and the most frequent first.
///
/// # Errors
/// Those of the target.
pub(crate) async fn open_conflicts(client: &Client) -> Result<Vec<Open>> {
    let what = "target: counting conflicts";
    let sql = "select kind, severity = 'review', count(*), min(first_seen_at) from tributary.conflict \
               where status = 'open' group by kind, severity order by severity desc, count(*) desc, kind";
    let statement = client.prepare_cached(sql).await.context(what)?;
    let rows = client.query(&statement, &[]).await.context(what)?;
    let open = |row: &tokio_postgres::Row| Open {
        kind: row.get(0),
        severity: if row.get(1) { Severity::Review } else { Severity::Info },
        count: row.get::<_, i64>(2).unsigned_abs(),
        oldest: row.get(3),
    };
    Ok(rows.iter().map(open).collect())
}

fn of_target(config: &Config) -> Result<Pool> {
    pool(&config.target.server, "tributary status", 1)
}
