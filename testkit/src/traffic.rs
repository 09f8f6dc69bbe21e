//! Random changes to a source database, on several connections at once.
//!
//! What is changed follows from the seed; in which order the connections' transactions commit does not,
//! and that is the point: whatever the order, the targets must come out as a fresh backfill's.

mod statements;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;

use self::statements::{Author, Change};
use crate::cluster::connect;
use crate::error::{Context as _, Error, Result};
use crate::people::Population;
use crate::random::Random;
use crate::source_schema::SourceLayout;

/// Row numbers set apart for the rows that one connection inserts.
const NUMBERS_PER_CONNECTION: u64 = 1_000_000;

/// Most changes of one transaction.
const CHANGES_PER_TRANSACTION: u64 = 5;

const WHAT: &str = "making live changes";

/// Which changes are made.
#[derive(Debug, Clone)]
pub struct LiveTraffic {
    /// The source database.
    pub url: String,
    /// Its layout.
    pub layout: SourceLayout,
    /// Whose rows are there.
    pub population: Population,
    /// Contacts there at the start: the numbers from 0 to below this.
    pub contacts: u64,
    /// Payments there at the start.
    pub payments: u64,
    /// What is changed follows from it.
    pub seed: u64,
    /// Connections that work at the same time.
    pub connections: u64,
    /// Most transactions of each connection.
    pub transactions: u64,
    /// Pause of each connection between two transactions.
    pub pause: Duration,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrafficCount {
    /// Transactions that committed.
    pub committed: u64,
    /// Transactions rolled back on purpose, and those that the server chose in a deadlock.
    pub rolled_back: u64,
    /// Savepoints rolled back within transactions that went on.
    pub savepoints_rolled_back: u64,
    /// Changes of committed transactions, by what they were.
    pub changes: BTreeMap<&'static str, u64>,
}

impl LiveTraffic {
    /// Makes changes on all connections until each has made its number, or until `stop`. A transaction
    /// that has begun is ended in either case.
    ///
    /// # Errors
    /// Those of the server, other than the deadlocks and key collisions that random changes lead to.
    pub async fn run(&self, stop: &CancellationToken) -> Result<TrafficCount> {
        let mut workers = JoinSet::new();
        for number in 0..self.connections {
            let mut worker = Worker::new(self, number).await?;
            let stop = stop.clone();
            workers.spawn(async move { worker.run(&stop).await.map(|()| worker.count) });
        }
        let mut count = TrafficCount::default();
        while let Some(result) = workers.join_next().await {
            count.add(result.map_err(|error| Error::failed(WHAT, error))??);
        }
        Ok(count)
    }
}

impl TrafficCount {
    /// All changes of committed transactions.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.changes.values().sum()
    }

    fn add(&mut self, other: Self) {
        self.committed += other.committed;
        self.rolled_back += other.rolled_back;
        self.savepoints_rolled_back += other.savepoints_rolled_back;
        for (name, count) in other.changes {
            *self.changes.entry(name).or_default() += count;
        }
    }
}

impl fmt::Display for TrafficCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (total, committed, back) = (self.total(), self.committed, self.rolled_back);
        let savepoints = self.savepoints_rolled_back;
        write!(f, "{total} changes in {committed} transactions; ")?;
        write!(f, "{back} transactions and {savepoints} savepoints rolled back")
    }
}

/// How a transaction ends.
enum End {
    Commit,
    /// The last changes are undone, the others committed.
    SavepointRolledBack,
    Rollback,
}

/// One connection.
struct Worker {
    client: Client,
    author: Author,
    random: Random,
    transactions: u64,
    pause: Duration,
    count: TrafficCount,
}

impl Worker {
    async fn new(traffic: &LiveTraffic, number: u64) -> Result<Self> {
        let client = connect(&traffic.url).await?;
        // Deadlocks are a part of the game, waiting for them is not.
        client.batch_execute("set deadlock_timeout = '20ms'").await.context(WHAT)?;
        let rows = traffic.contacts.max(traffic.payments);
        let author = Author {
            layout: traffic.layout,
            population: traffic.population.clone(),
            contacts: traffic.contacts,
            payments: traffic.payments,
            first_own: rows + number * NUMBERS_PER_CONNECTION,
            own_contacts: 0,
            own_payments: 0,
            addresses: 0,
        };
        Ok(Self {
            client,
            author,
            random: Random::new(traffic.seed, 1_000 + number),
            transactions: traffic
                .transactions
                .min(NUMBERS_PER_CONNECTION / CHANGES_PER_TRANSACTION),
            pause: traffic.pause,
            count: TrafficCount::default(),
        })
    }

    async fn run(&mut self, stop: &CancellationToken) -> Result<()> {
        for _ in 0..self.transactions {
            if stop.is_cancelled() {
                break;
            }
            let mut made = Vec::new();
            match self.transaction(&mut made).await {
                Ok(true) => {
                    self.count.committed += 1;
                    for change in made {
                        *self.count.changes.entry(change.name()).or_default() += 1;
                    }
                }
                Ok(false) => self.count.rolled_back += 1,
                Err(error) if is_collision(&error) => {
                    self.client.batch_execute("rollback").await.context(WHAT)?;
                    self.count.rolled_back += 1;
                }
                Err(error) => return Err(Error::postgres(WHAT, &error)),
            }
            tokio::select! {
                () = tokio::time::sleep(self.pause) => {}
                () = stop.cancelled() => {}
            }
        }
        Ok(())
    }

    /// Whether it was committed; `made` are the changes that then hold.
    async fn transaction(&mut self, made: &mut Vec<Change>) -> Result<bool, tokio_postgres::Error> {
        let end = match self.random.below(10) {
            0 => End::Rollback,
            1 | 2 => End::SavepointRolledBack,
            _ => End::Commit,
        };
        self.client.batch_execute("begin").await?;
        made.extend(self.changes().await?);
        if matches!(end, End::SavepointRolledBack) {
            self.client.batch_execute("savepoint before").await?;
            self.changes().await?;
            self.client.batch_execute("rollback to before").await?;
            made.extend(self.changes().await?);
            self.count.savepoints_rolled_back += 1;
        }
        let commits = !matches!(end, End::Rollback);
        self.client.batch_execute(if commits { "commit" } else { "rollback" }).await?;
        Ok(commits)
    }

    /// Some random changes, statement by statement, so that the connections' changes interleave.
    async fn changes(&mut self) -> Result<Vec<Change>, tokio_postgres::Error> {
        let mut made = Vec::new();
        for _ in 0..=self.random.below(CHANGES_PER_TRANSACTION) {
            let change = Change::pick(&mut self.random);
            for statement in self.author.statements(change, &mut self.random) {
                self.client.batch_execute(&statement).await?;
            }
            made.push(change);
        }
        Ok(made)
    }
}

fn is_collision(error: &tokio_postgres::Error) -> bool {
    [SqlState::T_R_DEADLOCK_DETECTED, SqlState::UNIQUE_VIOLATION]
        .iter()
        .any(|state| error.code() == Some(state))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Cluster, ClusterOptions};
    use crate::dirt::DirtRates;
    use crate::load;

    #[tokio::test(flavor = "multi_thread")]
    async fn changes_of_every_kind_reach_both_layouts() {
        let cluster = Cluster::start(&ClusterOptions::default()).unwrap();
        for (name, layout) in [("c", SourceLayout::Canonical), ("l", SourceLayout::Legacy)] {
            cluster.create_database(name).await.unwrap();
            let client = cluster.connect(name).await.unwrap();
            load::create_tables(&client, layout).await.unwrap();
            let population = Population { seed: 3, people: 150, dirt: DirtRates::heavy() };
            load::load(&client, layout, &population, 0..200, 0..400).await.unwrap();
            let traffic = LiveTraffic {
                url: cluster.url(name),
                layout,
                population,
                contacts: 200,
                payments: 400,
                seed: 4,
                connections: 4,
                transactions: 150,
                pause: Duration::ZERO,
            };
            let count = traffic.run(&CancellationToken::new()).await.unwrap();
            assert_eq!(count.committed + count.rolled_back, 600, "{count:?}");
            assert_eq!(count.changes.len(), Change::ALL.len(), "{layout:?} {count:?}");
            assert!(count.savepoints_rolled_back > 0, "{count:?}");
            let stopped = CancellationToken::new();
            stopped.cancel();
            assert_eq!(traffic.run(&stopped).await.unwrap(), TrafficCount::default());
        }
    }
}
