//! Open conflicts, counted when somebody asks (SPEC §9): an answer is current, and costs the target at most
//! one query a second.

use std::time::Duration;

use deadpool_postgres::Pool;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Health;
use crate::config::Config;
use crate::connect::pool;
use crate::error::{Context as _, Error, Result};
use crate::unify::{ConflictKind, Severity};

/// How old a count may be.
const FRESH: Duration = Duration::from_secs(1);
/// How long an answer waits for the target; then it tells the count before.
const PATIENCE: Duration = Duration::from_secs(2);

/// Counts on a session of its own.
pub struct Counts {
    pool: Pool,
    counted_at: Mutex<Option<Instant>>,
}

impl Counts {
    /// Connects when first asked.
    ///
    /// # Errors
    /// [`Error::Config`] where the certificates file cannot be used.
    pub fn new(config: &Config) -> Result<Self> {
        let pool = pool(&config.target.server, "tributary status", 1)?;
        Ok(Self { pool, counted_at: Mutex::default() })
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
                counts.iter().filter(|(_, s, _)| *s == severity).map(|(_, _, n)| n).sum()
            };
            health.set_conflicts(of(Severity::Review), of(Severity::Info));
            crate::metrics::set_conflicts(&counts);
        }
    }

    async fn count(&self) -> Result<Vec<(ConflictKind, Severity, u64)>> {
        let what = "target: counting conflicts";
        let session = self.pool.get().await;
        let session = session.map_err(|error| Error::unavailable(what, error))?;
        let sql = "select kind, severity, count(*) from tributary.conflict \
                   where status = 'open' group by kind, severity";
        let statement = session.prepare_cached(sql).await.context(what)?;
        let rows = session.query(&statement, &[]).await.context(what)?;
        let counts = rows.iter().filter_map(|row| {
            let kind = ConflictKind::parse(row.get(0))?;
            let is_review = row.get::<_, &str>(1) == "review";
            let severity = if is_review { Severity::Review } else { Severity::Info };
            Some((kind, severity, row.get::<_, i64>(2).unsigned_abs()))
        });
        Ok(counts.collect())
    }
}
