//! The three that follow a source: raw native replication, native replication with triggers, Tributary.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use testkit::load;
use testkit::source_schema::SourceLayout;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Statement};

use crate::arena::{Arena, Mark, until};
use crate::daemon::Daemon;
use crate::native::Subscription;

/// How often one that is awaited is asked whether it has failed.
const CHECKS: Duration = Duration::from_secs(1);

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Native,
    Triggers,
    Tributary,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Native, Self::Triggers, Self::Tributary];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Triggers => "triggers",
            Self::Tributary => "tributary",
        }
    }

    /// The table where a payment shows, and the column with its fees.
    pub(crate) fn payments(self) -> (&'static str, &'static str) {
        match self {
            Self::Native => ("public.xendit", "fees"),
            Self::Triggers | Self::Tributary => ("public.transactions", "payment_provider_fee"),
        }
    }
}

/// One of them, installed in a database of its own.
pub(crate) struct Competitor {
    pub(crate) kind: Kind,
    client: Client,
    /// Asks whether a mark is there; prepared once the tables are.
    statement: Option<Statement>,
    mover: Mover,
}

enum Mover {
    Native(Subscription),
    Tributary(Option<Daemon>),
}

impl Mover {
    /// Fails where it has.
    async fn check(&mut self, target: &Client) -> Result<()> {
        match self {
            Self::Native(subscription) => subscription.check(target).await,
            Self::Tributary(daemon) => daemon.as_mut().map_or(Ok(()), Daemon::check),
        }
    }
}

impl Competitor {
    /// Installs it on an empty source, so that every later row is a change to it, and leaves it stopped.
    pub(crate) async fn install(kind: Kind, arena: &Arena) -> Result<Self> {
        let mut competitor = Self::create(kind, arena).await?;
        if kind == Kind::Tributary {
            competitor.start_and_follow(arena).await?;
            competitor.stop(arena).await?;
        }
        Ok(competitor)
    }

    /// All three.
    pub(crate) async fn install_all(arena: &Arena) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for kind in Kind::ALL {
            let installed = Self::install(kind, arena).await;
            all.push(installed.with_context(|| format!("installing {}", kind.name()))?);
        }
        Ok(all)
    }

    /// Its database, and for a native one tables and subscription; Tributary has not run yet.
    pub(crate) async fn create(kind: Kind, arena: &Arena) -> Result<Self> {
        arena.target.create_database(kind.name()).await?;
        let client = arena.target.connect(kind.name()).await?;
        if kind == Kind::Tributary {
            return Ok(Self { kind, client, statement: None, mover: Mover::Tributary(None) });
        }
        load::create_tables(&client, SourceLayout::Canonical).await?;
        if kind == Kind::Triggers {
            let triggers = include_str!("../sql/triggers.sql");
            client.batch_execute(triggers).await.context("making the triggers")?;
        }
        let subscription = Subscription::create(arena, &client, kind.name()).await?;
        Ok(Self { kind, client, statement: None, mover: Mover::Native(subscription) })
    }

    pub(crate) async fn start(&mut self, arena: &Arena) -> Result<()> {
        match &mut self.mover {
            Mover::Native(subscription) => subscription.enable(&self.client).await,
            Mover::Tributary(daemon) => {
                *daemon = Some(Daemon::start(arena, self.kind.name(), "run")?);
                Ok(())
            }
        }
    }

    /// Starts it and waits until it follows the stream. The first mark may come with the backfill; the
    /// second one cannot.
    pub(crate) async fn start_and_follow(&mut self, arena: &Arena) -> Result<()> {
        let mark = arena.mark().await?;
        self.start(arena).await?;
        self.reach(arena, &mark, Instant::now()).await?;
        let mark = arena.mark().await?;
        self.reach(arena, &mark, Instant::now()).await?;
        Ok(())
    }

    /// Waits until everything up to the mark is in the target; gives the time from `start`.
    pub(crate) async fn reach(
        &mut self,
        arena: &Arena,
        mark: &Mark,
        start: Instant,
    ) -> Result<Duration> {
        let mut checked = Instant::now();
        let reached = until(self.kind.name(), start, arena.patience, async || {
            if checked.elapsed() > CHECKS {
                checked = Instant::now();
                self.mover.check(&self.client).await?;
            }
            has(&self.client, &mut self.statement, self.kind, mark).await
        });
        reached.await.with_context(|| format!("the target server says:\n{}", arena.target_log()))
    }

    /// Starts it on a backlog that ends with the mark; gives the time it takes.
    pub(crate) async fn catch_up(&mut self, arena: &Arena, mark: &Mark) -> Result<Duration> {
        let start = Instant::now();
        self.start(arena).await?;
        self.reach(arena, mark, start).await
    }

    /// Stops it. Gives the peak memory of the daemon since its start, in bytes.
    pub(crate) async fn stop(&mut self, arena: &Arena) -> Result<Option<u64>> {
        match &mut self.mover {
            Mover::Native(subscription) => {
                subscription.disable(arena, &self.client).await?;
                Ok(None)
            }
            Mover::Tributary(daemon) => {
                let peak = daemon.take().map(Daemon::stop).transpose()?;
                Ok(peak.flatten())
            }
        }
    }

    /// Suspends the running daemon, or lets it go on: a backlog without a start.
    pub(crate) fn suspend(&self, yes: bool) -> Result<()> {
        match &self.mover {
            Mover::Tributary(Some(daemon)) => daemon.suspend(yes),
            _ => Ok(()),
        }
    }

    /// The peak memory of the running daemon, in bytes.
    pub(crate) fn peak(&mut self) -> Option<u64> {
        match &mut self.mover {
            Mover::Tributary(Some(daemon)) => daemon.peak(),
            _ => None,
        }
    }

    /// What autovacuum would have done by the time of the next backlog.
    pub(crate) async fn vacuum(&self) -> Result<()> {
        Ok(self.client.batch_execute("vacuum (analyze)").await?)
    }

    /// Another connection to its target.
    pub(crate) async fn connect(&self, arena: &Arena) -> Result<Client> {
        Ok(arena.target.connect(self.kind.name()).await?)
    }
}

async fn has(
    client: &Client,
    prepared: &mut Option<Statement>,
    kind: Kind,
    mark: &Mark,
) -> Result<bool> {
    let statement = match prepared {
        Some(statement) => statement,
        None => match client.prepare(question(kind)).await {
            Ok(statement) => prepared.insert(statement),
            Err(error) if is_too_early(&error) => return Ok(false),
            Err(error) => return Err(error.into()),
        },
    };
    let row = match kind {
        Kind::Native | Kind::Triggers => client.query_one(statement, &[&mark.id]).await?,
        Kind::Tributary => client.query_one(statement, &[&mark.id, &mark.lsn]).await?,
    };
    Ok(row.get(0))
}

fn question(kind: Kind) -> &'static str {
    match kind {
        Kind::Native => "select exists (select from public.xendit where id = $1)",
        Kind::Triggers => "select exists (select from public.transactions where id = $1)",
        Kind::Tributary => include_str!("../sql/marked.sql"),
    }
}

/// Whether Tributary has not made its tables yet.
fn is_too_early(error: &tokio_postgres::Error) -> bool {
    [SqlState::UNDEFINED_TABLE, SqlState::INVALID_SCHEMA_NAME]
        .iter()
        .any(|state| error.code() == Some(state))
}
