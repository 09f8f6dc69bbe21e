//! `tributary backfill`: the backfill alone, as a full reconcile.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::Context;
use super::output::print;
use super::progress::Bar;
use super::run::stop_on_signal;
use crate::backfill::{self, Progress};
use crate::config::{Config, Target};
use crate::connect::connect;
use crate::error::{Error, Result};
use crate::http::Health;
use crate::pipeline;
use crate::session::{self, OnLock, Watcher};
use crate::source::{preflight, slot, snapshot};

/// Read the feeds and bring the target in line with them, without following the stream
///
/// The first time it fills the target; later it is a full reconcile that also finds what was missed. An
/// interrupted one is resumed. The replication slot is made if there is none, and left for `run`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print what would be read and from where, and write nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Reads the feeds and brings the targets in line. The slot is made if there is none and left for
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
    let under_way = backfill::progress(&session.applier.db).await?.filter(|at| !at.is_done());
    match &under_way {
        Some(at) => {
            tracing::info!(
                stage = at.stage.as_str(),
                rows_done = at.rows_done,
                "resuming a backfill"
            );
        }
        _ => backfill::schedule(&session.applier.db, config, backfill::Stage::Rows).await?,
    }
    let started = Instant::now();
    let health =
        Arc::new(Health::new(&config.source.slot, Timestamp::now(), Duration::from_secs(60)));
    let bar = Bar::new();
    let show = |at: &Progress| bar.show(at);
    session.applier.set_today(Timestamp::now());
    session.applier.scan_profiles(&|| health.tick()).await?;
    let until = backfill::Until::Done;
    let finished = pipeline::backfill(config, &mut session, &health, &shutdown, &show, until).await;
    if let Err(Error::Halted(halt)) = &finished {
        crate::pg::Tx::on(&session.applier.db).rollback().await?;
        crate::halt::record(&session.applier.db, Some(halt)).await?;
    }
    let finished = finished?;
    crate::store::checkpoint::flush(&session.applier.db).await?;
    let rows = backfill::progress(&session.applier.db).await?.map_or(0, |at| at.rows_done);
    let seconds = started.elapsed().as_secs_f64();
    let left_out = crate::store::row::left_out(session.applier.db.client()).await?;
    let left_out =
        left_out.iter().map(|(feed, why, rows)| format!("left out of {feed}: {rows} rows {why}\n"));
    let left_out: String = left_out.collect();
    print(&if finished {
        let rate = rows as f64 / seconds;
        format!("backfilled {rows} rows in {seconds:.1} s ({rate:.0} rows/s)\n{left_out}")
    } else {
        format!("stopped after {rows} rows; run the same command to go on\n")
    })?;
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
    let mut lines = Vec::new();
    for feed in &config.source.feeds {
        let (name, table) = (&feed.name, &feed.table);
        let plan = snapshot::plan(&source, table).await?;
        let (rows, blocks) = (plan.rows_estimated, plan.blocks);
        lines.push(format!("read {table} ({name}): about {rows} rows, {blocks} blocks"));
    }
    let slot_is_there = slot::state(&source, &config.source.slot).await?.is_some();
    let verb = if slot_is_there { "use" } else { "make" };
    lines.push(format!("{verb} the slot {}", config.source.slot));
    let Target { profiles, transactions, enrollments, courses, .. } = &config.target;
    let tables = [profiles, transactions, enrollments, courses];
    lines.extend(tables.map(|table| format!("write {table}")));
    for finding in preflight(&source, &config.source).await?.iter().filter(|f| !f.ok) {
        lines.push(format!("problem: {}: {}", finding.name, finding.detail));
    }
    lines.push("nothing was written\n".to_owned());
    print(&lines.join("\n"))?;
    Ok(ExitCode::SUCCESS)
}
