//! The continuous mode of `verify` (SPEC §9): everything is verified once in `verify.every`, beside the stream, on sessions
//! of its own, a page at a time with rests between.
//!
//! It writes nothing but its result, and repairs nothing: that is `tributary verify --repair`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Options, Report, Table, verify};
use crate::config::Config;
use crate::connect::connect;
use crate::error::{Context as _, Error, Result};
use crate::http::Health;
use crate::metrics;
use crate::status::Phase;
use crate::store::epoch::begin_fenced;
use crate::thread::Thread;

/// Three quarters of its time it leaves the servers to others.
const REST: u32 = 3;
/// How often the gauges are set, and it is looked whether a verification is due.
const TICK: Duration = Duration::from_secs(5);
/// How long after one that failed, or could not settle anything, the next is tried.
const RETRY: Duration = Duration::from_secs(60);
const WHAT: &str = "target: recording a verification";

/// Begins, where the configuration asks for it.
///
/// # Errors
/// Where the system gives no thread.
pub fn start(config: &Config, health: &Arc<Health>) -> Result<Option<Thread>> {
    let Some(every) = config.verify_every else { return Ok(None) };
    let verifier = Continuous { config: config.clone(), health: Arc::clone(health), every };
    Thread::start("verify", move || verifier.run()).map(Some)
}

/// The last complete verification, as it is recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Last {
    began_at: Timestamp,
    ended_at: Timestamp,
    unsettled: u64,
    /// Differing rows by table.
    differences: BTreeMap<String, u64>,
}

struct Continuous {
    config: Config,
    /// Whether this daemon streams: a standby verifies nothing.
    health: Arc<Health>,
    every: Duration,
}

impl Continuous {
    async fn run(self) {
        let mut last = None;
        let mut is_read = false;
        loop {
            let result = match (self.health.phase(), is_read) {
                (Phase::Streaming, true) => self.step(&mut last).await,
                (Phase::Streaming, false) => {
                    self.read().await.map(|found| (last, is_read) = (found, true))
                }
                // Whoever streams meanwhile records its own.
                (phase, _) => {
                    is_read = false;
                    if phase == Phase::WaitingForLock {
                        metrics::forget_verified();
                    }
                    Ok(())
                }
            };
            let pause = match result {
                Ok(()) => TICK.min(self.every),
                Err(error) => {
                    tracing::warn!(%error, "the verification beside the stream is tried again");
                    RETRY
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Sets the gauges, and verifies where that is due.
    async fn step(&self, last: &mut Option<Last>) -> Result<()> {
        let now = Timestamp::now();
        if let Some(last) = last {
            let tables = last.differences.iter().map(|(table, rows)| (table.as_str(), *rows));
            metrics::set_verified(tables, last.unsettled, last.ended_at);
        }
        metrics::set_verified_share(share(last.as_ref(), 0.0, now, self.every));
        if last.as_ref().is_some_and(|last| age(last.began_at, now) < self.every) {
            return Ok(());
        }
        let epoch = self.epoch().await?;
        let total = self.total().await?;
        let highest = Mutex::new(0.0);
        let show = |stage: &'static str, done: u64| {
            let Ok(mut highest) = highest.lock() else { return };
            *highest = f64::max(*highest, total.fraction(stage, done));
            let share = share(last.as_ref(), *highest, Timestamp::now(), self.every);
            metrics::set_verified_share(share);
        };
        let options = Options { show_values: false, examples: 0, rest: REST };
        let report = verify(&self.config, options, &show).await?;
        if !report.streaming || self.health.phase() != Phase::Streaming {
            return Err(Error::unavailable(
                "verifying beside the stream",
                "the daemon did not stream all the time",
            ));
        }
        let found = Last::of(&report, now);
        self.record(epoch, &found).await?;
        if report.differences > 0 {
            let (differences, unsettled) = (report.differences, report.unsettled);
            tracing::warn!(
                differences,
                unsettled,
                "rows differ from what the source and the rules say: `tributary verify` shows them"
            );
        }
        *last = Some(found);
        Ok(())
    }

    async fn read(&self) -> Result<Option<Last>> {
        let client = connect(&self.config.target.server, "tributary verify", "target").await?;
        let sql = "select verification from tributary.state";
        let row = client.query_one(sql, &[]).await.context(WHAT)?;
        let value: Option<serde_json::Value> = row.get(0);
        // One of another form is as good as none.
        Ok(value.and_then(|value| serde_json::from_value(value).ok()))
    }

    async fn epoch(&self) -> Result<i64> {
        let client = connect(&self.config.target.server, "tributary verify", "target").await?;
        let sql = "select epoch from tributary.installation";
        Ok(client.query_one(sql, &[]).await.context(WHAT)?.get(0))
    }

    /// Only where no other daemon took over since it began.
    async fn record(&self, epoch: i64, last: &Last) -> Result<()> {
        let value = serde_json::to_value(last).map_err(|error| Error::failed(WHAT, error))?;
        let client = connect(&self.config.target.server, "tributary verify", "target").await?;
        begin_fenced(&client, epoch).await?;
        let sql = "update tributary.state set verification = $1";
        client.execute(sql, &[&value]).await.context(WHAT)?;
        client.batch_execute("commit").await.context(WHAT)
    }

    /// How much there is to verify.
    async fn total(&self) -> Result<Total> {
        let what = "target: counting what is to be verified";
        let client = connect(&self.config.target.server, "tributary verify", "target").await?;
        let sql = format!(
            "select (select count(*) from tributary.source_row), (select count(*) from tributary.person), \
             (select count(*) from {})",
            self.config.target.transactions.quoted()
        );
        let row = client.query_one(&sql, &[]).await.context(what)?;
        let count = |index| row.get::<_, i64>(index) as f64;
        Ok(Total { rows: count(0), people: count(1), transactions: count(2) })
    }
}

impl Last {
    fn of(report: &Report, began_at: Timestamp) -> Self {
        let tables = Table::ALL.iter();
        Self {
            began_at,
            ended_at: Timestamp::now(),
            unsettled: report.unsettled,
            differences: tables
                .map(|table| (table.as_str().to_owned(), report.tables.of(*table)))
                .collect(),
        }
    }
}

/// The units of each stage.
struct Total {
    rows: f64,
    people: f64,
    transactions: f64,
}

impl Total {
    /// How much of everything is verified when this many units of a stage are. Rows take about half of the time.
    fn fraction(&self, stage: &str, done: u64) -> f64 {
        let (before, weight, total) = match stage {
            "source rows" => (0.0, 0.5, self.rows),
            "people" => (0.5, 0.4, self.people),
            "transactions" => (0.9, 0.1, self.transactions),
            _ => return 0.0,
        };
        before + weight * (done as f64 / total.max(1.0)).min(1.0)
    }
}

/// The share of everything that was verified within `every` before `now`. What the present verification has not come to
/// yet was verified by the last one, which took the same order.
fn share(last: Option<&Last>, verified: f64, now: Timestamp, every: Duration) -> f64 {
    let Some(last) = last else { return verified };
    let (began, ended) = (age(last.began_at, now), age(last.ended_at, now));
    let took = began.saturating_sub(ended).as_secs_f64();
    let too_old = began.saturating_sub(every).as_secs_f64();
    let expired =
        if took > 0.0 { (too_old / took).min(1.0) } else { f64::from(u8::from(too_old > 0.0)) };
    1.0 - (expired - verified).max(0.0)
}

fn age(of: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(of)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_share_is_what_was_verified_within_the_time() {
        let last = Last {
            began_at: at(1_000),
            ended_at: at(1_100),
            unsettled: 0,
            differences: BTreeMap::new(),
        };
        let check = |last: Option<&Last>, verified: f64, now: i64, expected: f64| {
            let share = share(last, verified, at(now), Duration::from_secs(500));
            assert!((share - expected).abs() < 1e-9, "{verified} {now}: {share}");
        };
        check(None, 0.0, 1_200, 0.0);
        check(None, 0.25, 1_200, 0.25);
        check(Some(&last), 0.0, 1_200, 1.0);
        check(Some(&last), 0.0, 1_500, 1.0);
        // A tenth of it is older than the time.
        check(Some(&last), 0.0, 1_510, 0.9);
        // The next one has come to that already.
        check(Some(&last), 0.1, 1_510, 1.0);
        check(Some(&last), 0.5, 1_600, 0.5);
        check(Some(&last), 0.5, 9_000, 0.5);
        check(Some(&last), 1.0, 9_000, 1.0);
    }

    #[test]
    fn a_stage_counts_for_its_part_of_everything() {
        let total = Total { rows: 100.0, people: 10.0, transactions: 0.0 };
        let check = |stage: &str, done: u64, expected: f64| {
            let fraction = total.fraction(stage, done);
            assert!((fraction - expected).abs() < 1e-9, "{stage} {done}: {fraction}");
        };
        check("source rows", 0, 0.0);
        check("source rows", 50, 0.25);
        check("source rows", 900, 0.5);
        check("people", 5, 0.7);
        check("transactions", 1, 1.0);
        check("waiting for the checkpoint", 9, 0.0);
    }
}
