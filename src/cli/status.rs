//! `tributary status`: what the daemon is doing, asked over HTTP, else read from the target.

use std::process::ExitCode;

use super::Context;
use super::output::{self, print};
use crate::config::Config;
use crate::connect::{connect, pool};
use crate::error::{Context as _, Result};
use crate::http;
use crate::lsn::Lsn;
use crate::pg::Client;
use crate::session;
use crate::source::{slot, slot_log};
use crate::status::{LeftOut, Phase, Rollout, SlotLog, Status, left_out};
use crate::store;
use crate::store::halt;

/// Show phase, checkpoint, lag, backfill progress and open conflicts
///
/// Asks the running daemon over HTTP; where none answers, reads the databases.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Prints the status.
///
/// # Errors
/// Those of the target, when no daemon answers.
pub(super) async fn run(args: Args, context: &Context) -> Result<ExitCode> {
    let config = &context.config()?;
    let (status, running) = match ask(config).await {
        Some(status) => (status, true),
        None => (read(config).await?, false),
    };
    if args.json {
        print(&output::json(&status)?)?;
    } else {
        print(&render(&status, running))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The running daemon's own answer. Another daemon may listen there: its slot shows which it is.
async fn ask(config: &Config) -> Option<Status> {
    let answer =
        http::fetch(config.http_listen, "/status", config.http_access.token()).await.ok()?;
    let status: Status = serde_json::from_str(&answer.body).ok()?;
    (status.slot == config.source.slot).then_some(status)
}

async fn read(config: &Config) -> Result<Status> {
    let sessions = pool(&config.target.server, "tributary status", 1)?;
    let opened =
        crate::retry::within(crate::retry::COMMAND_PATIENCE, || sessions.get("target: connecting"));
    let target = opened.await?;
    let mut status = Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        slot: config.source.slot.clone(),
        ..Status::default()
    };
    let migrated = target
        .query_one("select to_regclass('tributary.state') is not null", &[])
        .await
        .context("target: looking for schema tributary")?;
    if migrated.get(0) {
        fill(&target, config, &mut status).await?;
    }
    if let Ok(source) = connect(&config.source.server, "tributary status", "source").await {
        status.source_lsn = slot::current_lsn(&source).await.ok();
        let looked = slot_log::look(&source, &config.source.slot).await;
        status.slot_log = looked.ok().flatten().map(|(_, log)| log);
    }
    status.measure_lag();
    Ok(status)
}

async fn fill(target: &Client, config: &Config, status: &mut Status) -> Result<()> {
    let what = "target: reading the status";
    status.checkpoint_lsn = session::checkpoint(target, &config.source.slot).await?;
    if let Some(halt) = halt::recorded(target).await? {
        status.phase = Phase::Halted;
        status.halted = Some(halt.reason());
    }
    let sql = "select rows_done, rows_estimated from tributary.backfill";
    if let Some(row) = target.query_opt(sql, &[]).await.context(what)? {
        status.backfill.rows_done = row.get::<_, i64>(0).unsigned_abs();
        status.backfill.rows_estimated = row.get::<_, i64>(1).unsigned_abs();
    }
    let sql = "select count(*) filter (where severity = 'review'), \
               count(*) filter (where severity = 'info') \
               from tributary.conflict where status = 'open'";
    let row = target.query_one(sql, &[]).await.context(what)?;
    status.conflicts.review = row.get::<_, i64>(0).unsigned_abs();
    status.conflicts.info = row.get::<_, i64>(1).unsigned_abs();
    let feeds = config.source.feeds.iter().map(|feed| feed.name.as_str());
    status.left_out = left_out(feeds, store::row::left_out(target).await?);
    status.rollout = store::outside::count(target).await?.into();
    Ok(())
}

fn slot_log_line(log: &SlotLog) -> String {
    let mut line = format!("{} bytes of log", log.retained_bytes);
    match (log.wal_status.as_deref(), log.safe_bytes) {
        (Some("lost"), _) => line.push_str(", and is lost"),
        (_, Some(bytes)) => line.push_str(&format!(", safe for {bytes} bytes more")),
        _ => {}
    }
    if let Some(seconds) = log.seconds_to_loss {
        line.push_str(&format!(", about {seconds:.0} s at the present rate"));
    }
    line
}

fn render(status: &Status, running: bool) -> String {
    let lsn = |lsn: Option<Lsn>| lsn.map_or_else(|| "none".to_owned(), |lsn| lsn.to_string());
    let daemon = if running { status.phase.as_str() } else { "no daemon answers" };
    let mut text = format!(
        "daemon      {daemon}\nslot        {}\ncheckpoint  {}\nsource      {}\nlag         {} bytes, {} s\n\
         backfill    {} of about {} rows\nconflicts   {} to review, {} notes\n",
        status.slot,
        lsn(status.checkpoint_lsn),
        lsn(status.source_lsn),
        status.lag_bytes.map_or_else(|| "unknown".to_owned(), |bytes| bytes.to_string()),
        status.lag_seconds.map_or_else(|| "unknown".to_owned(), |s| format!("{s:.1}")),
        status.backfill.rows_done,
        status.backfill.rows_estimated,
        status.conflicts.review,
        status.conflicts.info,
    );
    if let Some(log) = &status.slot_log {
        text.push_str(&format!("slot keeps  {}\n", slot_log_line(log)));
    }
    for (feed, rows) in status.left_out.iter().filter(|(_, rows)| **rows != LeftOut::default()) {
        let LeftOut { skipped, excluded } = rows;
        text.push_str(&format!(
            "left out    {feed}: {skipped} rows skipped, {excluded} excluded by their address\n"
        ));
    }
    if status.rollout != Rollout::default() {
        let Rollout { percent, outside } = status.rollout;
        text.push_str(&format!(
            "rollout     {percent} percent; not written: {} profiles, {} transactions, {} enrollments\n",
            outside.profiles, outside.transactions, outside.enrollments
        ));
    }
    if let Some(reason) = &status.halted {
        text.push_str(&format!("halted      {reason}\n"));
    }
    if let Some(reason) = &status.unresolved {
        text.push_str(&format!("unresolved  {reason}\n"));
    }
    if status.conflicts.review > 0 {
        text.push_str("next        tributary conflicts list --severity review\n");
    }
    text
}
