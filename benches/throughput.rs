//! How fast the backfill and the stream are, on this machine, beside a job of plain SQL over the same rows.
//!
//! `cargo bench --bench throughput -- --contacts 200000 --payments 200000`
//!
//! Source and target are two databases of one throwaway server with fsync on. The stream is measured as a
//! catch-up: every row is changed while the daemon is down, then the time from its start until its checkpoint
//! has passed the last change is taken. Then single rows change, one after the other, and the time from each
//! commit at the source until the target has it is taken: the plain job would have to run whole for each.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use testkit::cluster::{Cluster, ClusterOptions, free_port};
use testkit::dirt::DirtRates;
use testkit::load;
use testkit::people::Population;
use testkit::source_schema::SourceLayout;
use tributary::lsn::Lsn;

/// Longest time that catching up may take.
const PATIENCE: Duration = Duration::from_secs(3_600);
/// Single changes whose way to the target is timed.
const SINGLE_CHANGES: usize = 200;

#[derive(Parser)]
struct Arguments {
    /// Contacts to make up
    #[arg(long, default_value_t = 200_000)]
    contacts: u64,
    /// Payments to make up
    #[arg(long, default_value_t = 200_000)]
    payments: u64,
    /// What cargo bench passes on
    #[arg(long, hide = true)]
    bench: bool,
}

struct Bench {
    cluster: Cluster,
    http: SocketAddr,
    rows: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let bench = Bench::prepare(&arguments).await?;
    let plain_first = bench.plain().await?;
    let backfill = bench.backfill()?;
    bench.report("backfill", backfill, plain_first);
    bench.change_every_row().await?;
    let (catch_up, daemon) = bench.catch_up().await?;
    let plain_again = bench.plain().await?;
    bench.report("catch-up", catch_up, plain_again);
    bench.single_changes(daemon, plain_again).await
}

impl Bench {
    async fn prepare(arguments: &Arguments) -> Result<Self> {
        let cores = std::thread::available_parallelism()?;
        let (contacts, payments) = (arguments.contacts, arguments.payments);
        println!("{contacts} contacts, {payments} payments, {cores} cores");
        let settings = vec![("shared_buffers".to_owned(), "512MB".to_owned())];
        let cluster = Cluster::start(&ClusterOptions { durable: true, settings })?;
        cluster.create_database("source").await?;
        cluster.create_database("target").await?;
        let source = cluster.connect("source").await?;
        load::create_tables(&source, SourceLayout::Canonical).await?;
        let people = (contacts * 4 / 5).max(1);
        let population = Population { seed: 1, people, dirt: DirtRates::default() };
        let layout = SourceLayout::Canonical;
        load::load(&source, layout, &population, 0..contacts, 0..payments).await?;
        source.batch_execute(include_str!("sql/batches.sql")).await?;
        let http = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        Ok(Self { cluster, http, rows: contacts + payments })
    }

    fn report(&self, what: &str, ours: Duration, plain: Duration) {
        let rate = |time: Duration| self.rows as f64 / time.as_secs_f64();
        let ratio = ours.as_secs_f64() / plain.as_secs_f64();
        println!(
            "{what}: {:.1} s, {:.0} rows/s; the plain SQL job {:.1} s, {:.0} rows/s; {ratio:.1} times its time",
            ours.as_secs_f64(),
            rate(ours),
            plain.as_secs_f64(),
            rate(plain),
        );
    }

    async fn plain(&self) -> Result<Duration> {
        let client = self.cluster.connect("source").await?;
        let start = Instant::now();
        client.batch_execute(include_str!("sql/plain.sql")).await.context("the plain SQL job")?;
        Ok(start.elapsed())
    }

    fn backfill(&self) -> Result<Duration> {
        let start = Instant::now();
        let output = self.command("backfill").output()?;
        let words = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "tributary backfill failed\n{words}");
        Ok(start.elapsed())
    }

    async fn change_every_row(&self) -> Result<()> {
        let client = self.cluster.connect("source").await?;
        client
            .batch_execute(include_str!("sql/change_every_row.sql"))
            .await
            .context("changing every row")
    }

    async fn catch_up(&self) -> Result<(Duration, Daemon)> {
        let source = self.cluster.connect("source").await?;
        let row = source.query_one("select pg_current_wal_lsn()::text", &[]).await?;
        let until = Lsn::parse(row.get(0));
        let target = self.cluster.connect("target").await?;
        let start = Instant::now();
        let mut daemon = Daemon(self.command("run").stderr(Stdio::null()).spawn()?);
        let sql = "select max(lsn)::text from tributary.checkpoint";
        loop {
            let row = target.query_one(sql, &[]).await?;
            if row.get::<_, Option<&str>>(0).and_then(Lsn::parse) >= until {
                return Ok((start.elapsed(), daemon));
            }
            if let Some(status) = daemon.0.try_wait()? {
                bail!("the daemon ended: {status}");
            }
            ensure!(start.elapsed() < PATIENCE, "the daemon never caught up");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn single_changes(&self, daemon: Daemon, plain: Duration) -> Result<()> {
        let source = self.cluster.connect("source").await?;
        let target = self.cluster.connect("target").await?;
        let ids = "select id from public.transactions order by id limit $1";
        let rows = target.query(ids, &[&(SINGLE_CHANGES as i64)]).await?;
        let change =
            "update public.xendit set amount = amount + 1 where id = $1 returning amount::text";
        let change = source.prepare(change).await?;
        let has_it = "select amount = $2::text::numeric from public.transactions where id = $1";
        let has_it = target.prepare(has_it).await?;
        let mut times = Vec::with_capacity(rows.len());
        for row in &rows {
            let id: uuid::Uuid = row.get(0);
            let amount: String = source.query_one(&change, &[&id]).await?.get(0);
            let start = Instant::now();
            while !target.query_one(&has_it, &[&id, &amount]).await?.get::<_, bool>(0) {
                ensure!(start.elapsed() < PATIENCE, "a change never came");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            times.push(start.elapsed());
        }
        drop(daemon);
        times.sort();
        let at = |share: usize| {
            times.get(times.len() * share / 100).copied().unwrap_or_default().as_secs_f64() * 1e3
        };
        let (half, most) = (at(50), at(95));
        let ratio = plain.as_secs_f64() * 1e3 / half.max(f64::EPSILON);
        println!(
            "one change: in the target after {half:.0} ms (median), {most:.0} ms (95 of 100); \
             the plain SQL job takes {ratio:.0} times as long"
        );
        Ok(())
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
        command
            .arg(name)
            .env("TRIBUTARY_CONFIG", concat!(env!("CARGO_MANIFEST_DIR"), "/config/tributary.toml"))
            .env("TRIBUTARY_SOURCE_URL", self.cluster.url("source"))
            .env("TRIBUTARY_TARGET_URL", self.cluster.url("target"))
            .env("TRIBUTARY_HTTP_LISTEN", self.http.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }
}

/// The running daemon, ended with the measurement.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
