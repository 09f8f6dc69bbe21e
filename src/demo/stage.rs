//! The servers, the databases, the daemon and the traffic of a demonstration.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use testkit::cluster::{Cluster, ClusterOptions, free_port};
use testkit::dirt::DirtRates;
use testkit::people::Population;
use testkit::source_schema::SourceLayout;
use testkit::traffic::{LiveTraffic, TrafficCount};
use testkit::{load, more_feeds};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use super::child::Daemon;
use super::{CONNECTIONS, DemoFeeds, DemoOptions, say};
use crate::config::Schema;
use crate::error::{Context as _, Error, Result};
use crate::lsn::Lsn;
use crate::status::{Phase, Status};

/// The shipped configurations, whose URLs the environment replaces.
const CONFIG: &str = include_str!("../../config/tributary.toml");
const MORE_FEEDS: &str = include_str!("../../config/more-feeds.toml");

const SOURCE: &str = "source";
const TARGET: &str = "target";

/// How often the daemon is asked how it is.
const POLL: Duration = Duration::from_millis(100);

/// Longest wait for the backfill, and for the stream to catch up.
const PATIENCE: Duration = Duration::from_secs(600);

/// Pause of each connection between two transactions: busy, and yet to be followed with the eye.
const PAUSE: Duration = Duration::from_millis(20);

/// Everything a demonstration needs; gone when dropped.
pub(super) struct Stage {
    // The daemon is dropped before the servers that it talks to.
    daemon: Option<Daemon>,
    pub(super) source: Client,
    pub(super) target: crate::pg::Client,
    /// Rows of the feeds beside the canonical ones.
    pub(super) further_rows: u64,
    pub(super) feeds: DemoFeeds,
    population: Population,
    listen: SocketAddr,
    cluster: Cluster,
}

impl Stage {
    /// Starts the server and loads the made-up rows.
    pub(super) async fn set(options: &DemoOptions) -> Result<Self> {
        let start = tokio::task::spawn_blocking(|| Cluster::start(&ClusterOptions::default()));
        let cluster = start
            .await
            .map_err(|error| Error::failed("starting a throwaway PostgreSQL", error))??;
        cluster.create_database(SOURCE).await?;
        cluster.create_database(TARGET).await?;
        let source = cluster.connect(SOURCE).await?;
        let target = crate::pg::Client::new(cluster.connect(TARGET).await?, Schema::default());
        let people = (options.contacts * 4 / 5).max(1);
        let population = Population { seed: options.seed, people, dirt: DirtRates::default() };
        load::create_tables(&source, SourceLayout::Canonical).await?;
        let (contacts, payments) = (0..options.contacts, 0..options.payments);
        load::load(&source, SourceLayout::Canonical, &population, contacts, payments).await?;
        let (config, further_rows) = match options.feeds {
            DemoFeeds::Canonical => (CONFIG, 0),
            DemoFeeds::More => (MORE_FEEDS, more_feeds::load(&source, options.seed).await?),
        };
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let feeds = options.feeds;
        let daemon = None;
        let stage =
            Self { daemon, source, target, further_rows, feeds, population, listen, cluster };
        stage.write("tributary.toml", config)?;
        Ok(stage)
    }

    pub(super) fn start_daemon(&mut self) -> Result<()> {
        let log = self.cluster.directory().join("tributary.log");
        self.daemon = Some(Daemon::start(&self.environment(), self.listen, &log)?);
        Ok(())
    }

    /// Watches the backfill until the daemon streams.
    pub(super) async fn show_backfill(&mut self) -> Result<()> {
        let bar = bar();
        let start = Instant::now();
        loop {
            let status = self.status().await?;
            bar.set_length(status.backfill.rows_estimated.max(status.backfill.rows_done));
            bar.set_position(status.backfill.rows_done);
            match status.phase {
                Phase::Streaming => break bar.finish_and_clear(),
                Phase::Halted => {
                    let reason = status.halted.unwrap_or_default();
                    return Err(Error::failed("the daemon halted", reason));
                }
                _ => within(start, "the backfill")?,
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Changes the source and watches the daemon follow; gives what was done and the longest lag seen.
    pub(super) async fn live_traffic(
        &mut self,
        options: &DemoOptions,
    ) -> Result<(TrafficCount, f64)> {
        let traffic = LiveTraffic {
            url: self.cluster.url(SOURCE),
            layout: SourceLayout::Canonical,
            population: self.population.clone(),
            contacts: options.contacts,
            payments: options.payments,
            seed: options.seed,
            connections: CONNECTIONS,
            transactions: options.transactions(),
            pause: PAUSE,
        };
        let duration = if options.exit_after_sync { PATIENCE } else { options.duration() };
        if !options.exit_after_sync {
            say(&format!("changing the source for {} s", options.seconds));
        }
        let stop = CancellationToken::new();
        let (start, mut longest) = (Instant::now(), 0.0_f64);
        let mut shown_at = Instant::now();
        let most = if self.feeds == DemoFeeds::More { options.transactions() } else { 0 };
        let url = self.cluster.url(SOURCE);
        let further = more_feeds::change(&url, options.seed, most, PAUSE, &stop);
        let running = async {
            let (mut count, further) = tokio::try_join!(traffic.run(&stop), further)?;
            if most > 0 {
                count.committed += further;
                count.changes.insert("further feeds changed", further);
            }
            Ok::<_, Error>(count)
        };
        tokio::pin!(running);
        loop {
            tokio::select! {
                count = &mut running => return Ok((count?, longest)),
                () = tokio::time::sleep(POLL) => {}
            }
            let status = self.status().await?;
            longest = longest.max(status.lag_seconds.unwrap_or_default());
            if start.elapsed() >= duration {
                stop.cancel();
            } else if shown_at.elapsed() >= Duration::from_secs(5) {
                shown_at = Instant::now();
                say(&following(&status));
            }
        }
    }

    /// Waits until everything committed at the source by now is in the target; gives how long that took.
    pub(super) async fn catch_up(&mut self) -> Result<Duration> {
        let start = Instant::now();
        let what = "asking how far the daemon is";
        let row =
            self.source.query_one("select pg_current_wal_lsn()::text", &[]).await.context(what)?;
        let until = Lsn::parse(row.get(0));
        let sql = "select max(lsn)::text from tributary.checkpoint";
        loop {
            let row = self.target.query_one(sql, &[]).await.context(what)?;
            if row.get::<_, Option<&str>>(0).and_then(Lsn::parse) >= until {
                return Ok(start.elapsed());
            }
            self.status().await?;
            within(start, "catching up")?;
            tokio::time::sleep(POLL / 5).await;
        }
    }

    /// What to type in another terminal, with the settings in a file to read in.
    pub(super) fn invitation(&self) -> Result<String> {
        let mut lines = String::new();
        for (name, value) in self.environment() {
            // Writing to a String cannot fail.
            let _ = writeln!(lines, "export {name}='{value}'");
        }
        let file = self.write("env", &lines)?;
        Ok(format!(
            "\nThe servers and the daemon stay up until Ctrl-C. In another terminal, as the same user:\n\n  \
             . {}\n  tributary status\n  tributary conflicts list\n  psql \"$TRIBUTARY_TARGET_URL\"\n\n",
            file.display()
        ))
    }

    /// Waits for Ctrl-C, or the daemon's end.
    pub(super) async fn stay(&mut self, shutdown: &CancellationToken) -> Result<()> {
        while !shutdown.is_cancelled() {
            self.status().await?;
            tokio::time::sleep(POLL * 10).await;
        }
        Ok(())
    }

    /// Ends the daemon, then the server.
    pub(super) async fn end(mut self) -> Result<()> {
        match &mut self.daemon {
            Some(daemon) => daemon.stop().await,
            None => Ok(()),
        }
    }

    async fn status(&mut self) -> Result<Status> {
        let Some(daemon) = &mut self.daemon else { return Ok(Status::default()) };
        Ok(daemon.status().await?.unwrap_or_default())
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        let config = self.cluster.directory().join("tributary.toml");
        vec![
            ("TRIBUTARY_CONFIG", config.to_string_lossy().into_owned()),
            ("TRIBUTARY_SOURCE_URL", self.cluster.url(SOURCE)),
            ("TRIBUTARY_TARGET_URL", self.cluster.url(TARGET)),
            ("TRIBUTARY_HTTP_LISTEN", self.listen.to_string()),
        ]
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.cluster.directory().join(name);
        std::fs::write(&path, text)
            .map_err(|error| Error::failed(format!("writing {}", path.display()), error))?;
        Ok(path)
    }
}

fn within(start: Instant, what: &str) -> Result<()> {
    if start.elapsed() < PATIENCE {
        return Ok(());
    }
    Err(Error::failed(what, format!("not done after {} s", PATIENCE.as_secs())))
}

fn following(status: &Status) -> String {
    let lag = status.lag_seconds.unwrap_or_default();
    let bytes = status.lag_bytes.unwrap_or_default();
    let (review, info) = (status.conflicts.review, status.conflicts.info);
    format!(
        "{}: {lag:.2} s and {bytes} bytes behind; {review} conflicts, {info} notes",
        status.phase
    )
}

/// A bar on a terminal, nothing otherwise.
fn bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::no_length();
    match ProgressStyle::with_template("  {wide_bar} {human_pos}/{human_len} rows  {per_sec}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
