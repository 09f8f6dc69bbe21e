//! `tributary backfill`: the backfill alone, as a full reconcile.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::Context;
use super::progress::Bar;
use super::run::stop_on_signal;
use crate::backfill::{self, Progress};
use crate::config::Config;
use crate::connect::connect;
use crate::error::{Error, Result};
use crate::facts::Feed;
use crate::http::Health;
use crate::pipeline;
use crate::session::{self, OnLock, Watcher};
use crate::source::{preflight, slot, snapshot};

/// Read both source tables and bring the target in line with them, without following the stream
///
/// The first time it fills the target; later it is a full reconcile that also finds what was missed. An
/// interrupted one is resumed. The replication slot is made if there is none, and left for `run`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print what would be read and from where, and write nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Reads both source tables and brings the targets in line. The slot is made if there is none and left for
/// `run`.
///
/// # Errors
/// Those of both servers; a refusal while a daemon works on this target.
pub(super) async fn run(args: Args, context: &Context) -> Result<ExitCode> {
    let config = &context.config()?;
    if args.dry_run {
        return plan(config).await;
    }
    let shutdown = stop_on_signal()?;
    let opened = crate::retry::within(crate::retry::COMMAND_PATIENCE, || {
        session::open(config, OnLock::Refuse, &shutdown, &Watcher::NOBODY)
    });
    let Some(mut session) = opened.await? else { return Ok(ExitCode::SUCCESS) };
    let under_way = backfill::progress(&session.writer.db).await?.filter(|at| at.phase != "done");
    match &under_way {
        Some(at) if at.phase != "people" || at.rows_done > 0 => {
            tracing::info!(phase = at.phase, rows_done = at.rows_done, "resuming a backfill");
        }
        _ => backfill::schedule(&session.writer, config, "contacts").await?,
    }
    let started = Instant::now();
    let health =
        Arc::new(Health::new(&config.source.slot, Timestamp::now(), Duration::from_secs(60)));
    let bar = Bar::new();
    let show = |at: &Progress| bar.show(at);
    session.writer.set_today(Timestamp::now());
    session.writer.learn_profiles(&|| health.tick()).await?;
    let finished = pipeline::backfill(config, &mut session, &health, &shutdown, &show).await;
    if let Err(Error::Halted(halt)) = &finished {
        session.writer.rollback().await?;
        crate::halt::record(&session.writer.db, Some(halt)).await?;
    }
    let finished = finished?;
    session.writer.flush_target().await?;
    let rows = backfill::progress(&session.writer.db).await?.map_or(0, |at| at.rows_done);
    let seconds = started.elapsed().as_secs_f64();
    if finished {
        println!("backfilled {rows} rows in {seconds:.1} s ({:.0} rows/s)", rows as f64 / seconds);
    } else {
        println!("stopped after {rows} rows; run the same command to go on");
    }
    Ok(ExitCode::SUCCESS)
}

async fn plan(config: &Config) -> Result<ExitCode> {
    let opened = crate::retry::within(crate::retry::COMMAND_PATIENCE, || {
        connect(&config.source.server, "tributary", "source")
    });
    let source = opened.await?;
    // Nothing is asked of the target; but a plan for one that is away would promise too much.
    crate::retry::within(crate::retry::COMMAND_PATIENCE, || {
        connect(&config.target.server, "tributary", "target")
    })
    .await?;
    for table in Feed::ALL {
        let name = match table {
            Feed::Systemeio => &config.source.systemeio.table,
            Feed::Xendit => &config.source.xendit.table,
        };
        let plan = snapshot::plan(&source, name).await?;
        println!(
            "read {name} ({table}): about {} rows, {} blocks",
            plan.rows_estimated, plan.blocks
        );
    }
    match slot::state(&source, &config.source.slot).await? {
        Some(_) => println!("use the slot {}", config.source.slot),
        None => println!("make the slot {}", config.source.slot),
    }
    for table in [
        &config.target.profiles,
        &config.target.transactions,
        &config.target.enrollments,
        &config.target.courses,
    ] {
        println!("write {table}");
    }
    for finding in preflight(&source, &config.source).await?.iter().filter(|f| !f.ok) {
        println!("problem: {}: {}", finding.name, finding.detail);
    }
    println!("nothing was written");
    Ok(ExitCode::SUCCESS)
}
