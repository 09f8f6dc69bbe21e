//! The demonstration: a throwaway PostgreSQL, made-up customers, the daemon, live changes, a report. The
//! servers, the people and the changes come from `testkit`, which the tests and benchmarks use as well.

mod child;
mod report;
mod samples;
mod stage;

use std::time::{Duration, Instant};

use clap::Args;
use tokio_util::sync::CancellationToken;

use self::report::Measured;
use self::stage::Stage;
use crate::error::{Error, Result};

/// Transactions of each connection where nobody waits for the clock.
const SHORT_TRAFFIC: u64 = 50;

/// Connections that change the source at the same time.
const CONNECTIONS: u64 = 3;

/// The feeds of a demonstration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum DemoFeeds {
    /// Payments of Xendit and contacts of Systeme.io.
    Canonical,
    /// Four more, with the same people buying through several providers.
    More,
}

/// How the demonstration goes.
#[derive(Debug, Clone, Args)]
pub struct DemoOptions {
    /// End by itself once everything is in sync, with a burst of live changes in place of --seconds
    ///
    /// For scripts. Without it the servers and the daemon stay up after the report, so that you can try
    /// the other commands on them, until Ctrl-C.
    #[arg(long)]
    pub exit_after_sync: bool,

    /// Which feeds: the two of the canonical layout, or with orders, charges, leads and readers the six of more-feeds.toml
    #[arg(long, value_enum, default_value_t = DemoFeeds::Canonical)]
    pub feeds: DemoFeeds,

    /// The made-up people follow from this number: the same seed gives the same people
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    pub seed: u64,

    /// Contacts there before the daemon starts
    #[arg(long, default_value_t = 4_000, value_name = "ROWS",
          value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub contacts: u64,

    /// Payments there before the daemon starts
    #[arg(long, default_value_t = 6_000, value_name = "ROWS",
          value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub payments: u64,

    /// How long the source is changed while you watch
    #[arg(long, default_value_t = 20, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(0..=3_600))]
    pub seconds: u64,
}

/// Shows the product at work: a throwaway PostgreSQL, made-up rows, backfill, live changes, the outcome.
/// Everything is removed when it ends, however it ends.
///
/// # Errors
/// `Refused` with the package to install where there is no PostgreSQL; the daemon's last words where it
/// ends early.
pub async fn run(options: DemoOptions, shutdown: CancellationToken) -> Result<()> {
    tokio::select! {
        result = perform(&options, &shutdown) => result,
        () = shutdown.cancelled() => {
            eprintln!("stopped; the throwaway servers are being removed");
            Ok(())
        }
    }
}

async fn perform(options: &DemoOptions, shutdown: &CancellationToken) -> Result<()> {
    say("starting a throwaway PostgreSQL");
    let mut stage = Stage::set(options).await?;
    say(&format!("made up {} contacts and {} payments", options.contacts, options.payments));
    if options.feeds == DemoFeeds::More {
        say(&format!("and {} rows of four more feeds about the same people", stage.further_rows));
    }
    let started = Instant::now();
    stage.start_daemon()?;
    stage.show_backfill().await?;
    let backfill = started.elapsed();
    let rows = options.contacts + options.payments + stage.further_rows;
    say(&format!("backfilled {rows} rows in {:.1} s", backfill.as_secs_f64()));
    let (traffic, lag) = stage.live_traffic(options).await?;
    let waited = stage.catch_up().await?;
    say("caught up with the source");
    let measured = Measured { rows, backfill, traffic, lag, waited };
    print!("{}", report::text(&stage, &measured).await?);
    if !options.exit_after_sync {
        print!("{}", stage.invitation()?);
        stage.stay(shutdown).await?;
    }
    stage.end().await
}

/// A line of progress; the report alone goes to standard output.
fn say(line: &str) {
    eprintln!("• {line}");
}

impl DemoOptions {
    fn transactions(&self) -> u64 {
        if self.exit_after_sync { SHORT_TRAFFIC } else { u64::MAX }
    }

    fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

impl From<testkit::Error> for Error {
    fn from(error: testkit::Error) -> Self {
        match error {
            testkit::Error::Unavailable { context, cause } => Self::unavailable(context, cause),
            testkit::Error::Refused { problem, remedy } => Self::Refused { problem, remedy },
            testkit::Error::Failed { context, cause } => Self::failed(context, cause),
        }
    }
}
