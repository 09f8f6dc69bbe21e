//! Measures `tributary import` beside COPY of prepared CSV into the same tables, on a PostgreSQL that it starts itself.
//!
//! ```text
//! make bench-import                 an export of 100 MB
//! make bench-import MEGABYTES=1000
//! ```
//!
//! The export is an app's backup as `config/import/app.toml` reads it: ten arrays into eight tables with their keys,
//! references and unique indexes. What the import made of it is then copied out as CSV, the tables are emptied, and the CSV
//! is copied in again, as `\copy` does, in one transaction a table. So COPY has values, ids and references ready, and
//! checks nothing but the constraints.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read as _, Write as _};
use std::path::Path;
use std::pin::pin;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use clap::Parser;
use futures_util::{SinkExt as _, TryStreamExt as _};
use testkit::cluster::{Cluster, ClusterOptions};
use testkit::exports::{self, Export, Options};
use testkit::process::{Watchdog, peak_memory, tributary};
use tokio_postgres::Client;

const PLAN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/import/app.toml");
const SCHEMA: &str = include_str!("../../../config/import/app.sql");

/// In an order in which each is filled after those that it refers to, but for goals and their logs.
const TABLES: [&str; 8] =
    ["users", "accounts", "skills", "achievements", "habits", "habit_logs", "goals", "goal_logs"];

const DATABASE: &str = "app";

/// Bytes sent at once.
const PIECE: usize = 64 << 10;

/// How often the process is looked at.
const POLL: Duration = Duration::from_millis(20);

/// Measures `tributary import` beside COPY.
#[derive(Debug, Parser)]
#[command(name = "bench-import")]
struct Arguments {
    /// Size of the export
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    megabytes: u64,
    /// Share of damaged records, in percent. COPY is given what is left
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=90))]
    damage: u8,
    /// Fail where the import needs more memory than so many MiB
    #[arg(long, default_value_t = 64)]
    memory: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let cluster = Cluster::start(&ClusterOptions {
        durable: true,
        settings: Vec::new(),
        environment: Vec::new(),
    })?;
    cluster.create_database(DATABASE).await?;
    let client = cluster.connect(DATABASE).await?;
    client.batch_execute(SCHEMA).await?;
    let folder = cluster.directory().join("bench-import");
    std::fs::create_dir_all(&folder)?;
    let export = folder.join("export.json");
    let records = write(&export, &arguments)?;
    let bytes = std::fs::metadata(&export)?.len();
    println!("an export of {} with {records} records", megabytes(bytes));

    let imported = import(&cluster, &export)?;
    let rows = rows(&client).await?;
    println!("tributary import: {}", rate(rows, bytes, imported.took));
    for table in TABLES {
        copy_out(&client, table, &folder).await?;
    }
    let foreign = "goals_latest_log_id_fkey";
    let empty = format!(
        "truncate {}; alter table goals alter constraint {foreign} deferrable; checkpoint",
        TABLES.join(", ")
    );
    client.batch_execute(&empty).await?;
    let copied = copy_in(&client, &folder).await?;
    ensure!(crate::rows(&client).await? == rows, "COPY brought another number of rows");
    println!("copy of CSV:      {}", rate(rows, bytes, copied));
    let ratio = copied.as_secs_f64() / imported.took.as_secs_f64();
    println!("the import has {:.0} % of the rate of COPY", ratio * 100.0);
    let peak = imported.peak.context("this system does not say how much memory a process has")?;
    println!("its peak memory (VmHWM): {:.1} MiB", peak as f64 / 1024.0 / 1024.0);
    ensure!(peak <= arguments.memory << 20, "that is more than {} MiB", arguments.memory);
    Ok(())
}

fn rate(rows: i64, bytes: u64, took: Duration) -> String {
    let seconds = took.as_secs_f64();
    format!(
        "{rows} rows in {seconds:.1} s, {:.0} rows/s, {}/s of the export",
        rows as f64 / seconds,
        megabytes((bytes as f64 / seconds) as u64)
    )
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// Writes the export; how many records it has.
fn write(file: &Path, arguments: &Arguments) -> Result<u64> {
    let damage = f64::from(arguments.damage) / 100.0;
    let options = |records| Options { records, seed: 1, damage, mark: false };
    let mut sample = Vec::new();
    exports::write(Export::App, &options(10_000), &mut sample)?;
    let records = arguments.megabytes * 1_000_000 * 10_000 / sample.len() as u64;
    let mut to = BufWriter::new(File::create(file)?);
    exports::write(Export::App, &options(records), &mut to)?;
    to.flush()?;
    Ok(records)
}

/// How an import went.
struct Imported {
    took: Duration,
    /// The most memory that the process had.
    peak: Option<u64>,
}

fn import(cluster: &Cluster, export: &Path) -> Result<Imported> {
    let folder = export.parent().context("the export has no folder")?;
    let log = folder.join("tributary.log");
    let started = Instant::now();
    let mut child = Command::new(tributary()?)
        .args(["import", PLAN])
        .arg(export)
        .arg("--rejects")
        .arg(folder.join("rejects.jsonl"))
        .env("TRIBUTARY_TARGET_URL", cluster.url(DATABASE))
        .env_remove("TRIBUTARY_CONFIG")
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log)?)
        .spawn()
        .context("starting tributary")?;
    let mut watchdog = Watchdog::over(child.id())?;
    let mut peak = None;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        peak = peak.max(peak_memory(child.id()));
        std::thread::sleep(POLL);
    };
    let took = started.elapsed();
    watchdog.release();
    let said = std::fs::read_to_string(&log).unwrap_or_default();
    ensure!(status.success(), "tributary import: {status}\n{said}");
    Ok(Imported { took, peak })
}

async fn rows(client: &Client) -> Result<i64> {
    let mut rows = 0;
    for table in TABLES {
        let count = client.query_one(&format!("select count(*) from {table}"), &[]).await?;
        rows += count.get::<_, i64>(0);
    }
    Ok(rows)
}

async fn copy_out(client: &Client, table: &str, folder: &Path) -> Result<()> {
    let mut to = BufWriter::new(File::create(folder.join(format!("{table}.csv")))?);
    let from = client.copy_out(&format!("copy {table} to stdout (format csv)")).await?;
    let mut from = pin!(from);
    while let Some(piece) = from.try_next().await? {
        to.write_all(&piece)?;
    }
    Ok(to.flush()?)
}

/// Copies the files in. Goals and their logs refer to each other: of these two the references are checked at the end.
async fn copy_in(client: &Client, folder: &Path) -> Result<Duration> {
    let started = Instant::now();
    for table in TABLES {
        if table == "goals" {
            client.batch_execute("begin; set constraints all deferred").await?;
        }
        let mut file = BufReader::new(File::open(folder.join(format!("{table}.csv")))?);
        let to =
            client.copy_in::<_, Bytes>(&format!("copy {table} from stdin (format csv)")).await?;
        let mut to = pin!(to);
        loop {
            let mut piece = vec![0; PIECE];
            let read = file.read(&mut piece)?;
            if read == 0 {
                break;
            }
            piece.truncate(read);
            to.send(Bytes::from(piece)).await?;
        }
        to.finish().await?;
    }
    client.batch_execute("commit").await?;
    Ok(started.elapsed())
}
