//! Open conflicts and rows that are left out, counted when somebody asks (SPEC §9): an answer is current, and costs the
//! target at most one query of each kind a second.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Health;
use crate::config::Config;
use crate::connect::{Pool, pool};
use crate::error::{Context as _, Result};
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
            let of = |severity: Severity| -> u64 {
                counts.iter().filter(|(_, s, _, _)| *s == severity).map(|(_, _, n, _)| n).sum()
            };
            health.set_conflicts(of(Severity::Review), of(Severity::Info));
            let seen =
                counts.iter().filter(|(_, s, _, _)| *s == Severity::Review).map(|(.., at)| *at);
            let oldest = seen.reduce(f64::min).unwrap_or(0.0);
            crate::metrics::set_oldest_review(oldest);
            let counts: Vec<_> =
                counts.into_iter().map(|count| (count.0, count.1, count.2)).collect();
            crate::metrics::set_conflicts(&counts);
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

    /// Of each kind and severity how many are open, and when the first of them was seen.
    async fn count(&self) -> Result<Vec<(ConflictKind, Severity, u64, f64)>> {
        let what = "target: counting conflicts";
        let session = self.pool().get(what).await?;
        let sql = "select kind, severity, count(*), \
                   extract(epoch from min(first_seen_at))::float8 from tributary.conflict \
                   where status = 'open' group by kind, severity";
        let statement = session.prepare_cached(sql).await.context(what)?;
        let rows = session.query(&statement, &[]).await.context(what)?;
        let counts = rows.iter().filter_map(|row| {
            let kind = ConflictKind::parse(row.get(0))?;
            let is_review = row.get::<_, &str>(1) == "review";
            let severity = if is_review { Severity::Review } else { Severity::Info };
            Some((kind, severity, row.get::<_, i64>(2).unsigned_abs(), row.get(3)))
        });
        let counts = counts.collect();
        let sql = "select count(*) from tributary.quarantine";
        let quarantined = session.query_one(sql, &[]).await.context(what)?.get::<_, i64>(0);
        crate::metrics::set_quarantined(quarantined.unsigned_abs());
        Ok(counts)
    }
}

fn of_target(config: &Config) -> Result<Pool> {
    pool(&config.target.server, "tributary status", 1)
}
