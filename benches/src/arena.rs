//! The servers of one measurement, the source tables and what is done to them.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use testkit::cluster::{Cluster, ClusterOptions};
use testkit::dirt::DirtRates;
use testkit::load;
use testkit::people::Population;
use testkit::source_schema::SourceLayout;
use tokio_postgres::Client;
use uuid::Uuid;

/// Rows of each table in one transaction of a backlog, as a sync job writes them.
const ROWS_PER_TRANSACTION: usize = 100;

/// How often a condition is looked at: far below every time that is measured with it.
const POLL: Duration = Duration::from_millis(5);

/// Above all made-up fees.
const FIRST_VALUE: i64 = 1_000_000;

const SOURCE: &str = "source";
const LAYOUT: SourceLayout = SourceLayout::Canonical;

/// Name of the publication that native subscriptions read.
pub(crate) const PUBLICATION: &str = "native";

/// Where the databases are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Places {
    OneServer,
    TwoServers,
}

impl Places {
    pub(crate) const BOTH: [Self; 2] = [Self::OneServer, Self::TwoServers];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::OneServer => "one server",
            Self::TwoServers => "two servers",
        }
    }
}

/// A source database with empty tables, and a server for targets.
pub(crate) struct Arena {
    pub(crate) client: Client,
    pub(crate) population: Population,
    pub(crate) patience: Duration,
    source: Arc<Cluster>,
    pub(crate) target: Arc<Cluster>,
    /// Values given so far.
    values: AtomicI64,
}

/// The end of a backlog.
#[derive(Debug, Clone)]
pub(crate) struct Mark {
    /// The last payment.
    pub(crate) id: Uuid,
    /// A position just below its commit.
    pub(crate) lsn: String,
}

impl Arena {
    pub(crate) async fn open(places: Places, people: u64, patience: Duration) -> Result<Self> {
        let source = start_server()?;
        let target = match places {
            Places::OneServer => Arc::clone(&source),
            Places::TwoServers => start_server()?,
        };
        source.create_database(SOURCE).await?;
        let client = source.connect(SOURCE).await?;
        load::create_tables(&client, LAYOUT).await?;
        let publication = format!("create publication {PUBLICATION} for table xendit, systemeio");
        client.batch_execute(&publication).await?;
        let population = Population { seed: 1, people: people.max(1), dirt: DirtRates::default() };
        let values = AtomicI64::new(FIRST_VALUE);
        Ok(Self { client, population, patience, source, target, values })
    }

    pub(crate) fn url(&self) -> String {
        self.source.url(SOURCE)
    }

    /// Another connection to the source.
    pub(crate) async fn connect(&self) -> Result<Client> {
        Ok(self.source.connect(SOURCE).await?)
    }

    /// New rows in many transactions.
    pub(crate) async fn append(&self, contacts: Range<u64>, payments: Range<u64>) -> Result<()> {
        let mut contacts = batches(contacts);
        let mut payments = batches(payments);
        loop {
            let (some, more) = (contacts.next(), payments.next());
            if some.is_none() && more.is_none() {
                return Ok(());
            }
            self.append_at_once(some.unwrap_or(0..0), more.unwrap_or(0..0)).await?;
        }
    }

    /// New rows in one transaction.
    pub(crate) async fn append_at_once(
        &self,
        contacts: Range<u64>,
        payments: Range<u64>,
    ) -> Result<()> {
        Ok(load::append(&self.client, LAYOUT, &self.population, contacts, payments).await?)
    }

    /// Updates every row of both tables, in many transactions.
    pub(crate) async fn change_every_row(&self) -> Result<()> {
        for sql in
            [include_str!("../sql/change_batches.sql"), include_str!("../sql/change_every_row.sql")]
        {
            self.client.batch_execute(sql).await.context("changing every row")?;
        }
        Ok(())
    }

    /// A number above all before it: what is written with it is a change for whoever comes next.
    pub(crate) fn new_value(&self) -> i64 {
        self.values.fetch_add(1, Ordering::Relaxed)
    }

    /// Commits the last row of a backlog.
    pub(crate) async fn mark(&self) -> Result<Mark> {
        let row = self.client.query_one(include_str!("../sql/mark.sql"), &[]).await?;
        Ok(Mark { id: row.get(0), lsn: row.get(1) })
    }

    /// Writes what is dirty to the disk, so that no competitor pays for the one before it. Only where the
    /// targets are empty: after a checkpoint, the first change of a page logs all of it.
    pub(crate) async fn settle(&self) -> Result<()> {
        for cluster in [&self.source, &self.target] {
            cluster.execute("postgres", "checkpoint").await?;
        }
        Ok(())
    }

    /// The end of the target server's log, for an error that needs explaining.
    pub(crate) fn target_log(&self) -> String {
        self.target.log()
    }
}

fn start_server() -> Result<Arc<Cluster>> {
    let settings = [
        ("shared_buffers", "512MB"),
        ("max_wal_size", "16GB"),
        ("checkpoint_timeout", "1h"),
        // The launcher starts at most one apply worker in this time.
        ("wal_retrieve_retry_interval", "1ms"),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    Ok(Arc::new(Cluster::start(&ClusterOptions {
        durable: true,
        settings,
        ..ClusterOptions::default()
    })?))
}

fn batches(rows: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let end = rows.end;
    let step = ROWS_PER_TRANSACTION as u64;
    rows.step_by(ROWS_PER_TRANSACTION).map(move |start| start..(start + step).min(end))
}

/// Looks until the condition holds; gives the time from `start`.
pub(crate) async fn until<F>(
    what: &str,
    start: Instant,
    patience: Duration,
    mut condition: F,
) -> Result<Duration>
where
    F: AsyncFnMut() -> Result<bool>,
{
    while !condition().await? {
        ensure!(start.elapsed() < patience, "{what}: not after {} s", patience.as_secs());
        tokio::time::sleep(POLL).await;
    }
    Ok(start.elapsed())
}
