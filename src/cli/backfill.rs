//! `tributary backfill`: the backfill alone, as a full reconcile.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::Context;
use super::output::print;
use super::progress::Bar;
use super::run::stop_on_signal;
use crate::ask::{Patience, actor, ask, open_target};
use crate::backfill::{self, Progress};
use crate::backup;
use crate::config::{Config, Target};
use crate::connect::connect;
use crate::decisions::{Command, Request};
use crate::error::{Error, Result};
use crate::http::Health;
use crate::pg::{Db, Tx};
use crate::pipeline;
use crate::session::{self, OnLock, Watcher};
use crate::source::{preflight, slot, snapshot};

/// What the backup of this command is taken before.
const REASON: &str = "backfill";
/// How often it is looked how far a daemon is.
const POLL: Duration = Duration::from_millis(500);
/// How long nobody may hold the lock while the daemon begins a new session, or another one takes over.
const CHANGES_SESSION: Duration = Duration::from_secs(20);

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
    if let Some(code) = ask_after_a_rollback(config).await? {
        return Ok(code);
    }
    let shutdown = stop_on_signal()?;
    let opened = crate::retry::within(crate::retry::COMMAND_PATIENCE, || {
        session::open(config, OnLock::Refuse, &shutdown, &Watcher::NOBODY)
    });
    let Some(mut session) = opened.await? else { return Ok(ExitCode::SUCCESS) };
    let under_way = backfill::progress(&session.applier.db).await?.filter(|at| !at.is_done());
    if let Some(at) = &under_way {
        tracing::info!(stage = at.stage.as_str(), rows_done = at.rows_done, "resuming a backfill");
    }
    schedule(config, &session.applier.db, under_way.as_ref(), REASON).await?;
    backup::take_if_due(config, &session.applier, session.leadership.epoch).await?;
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

/// Has everything read again, unless an earlier attempt is to be gone on with, and a backup taken first: both are due in one
/// commit. What was interrupted after its backup has it.
pub(super) async fn schedule(
    config: &Config,
    db: &Arc<Db>,
    under_way: Option<&Progress>,
    reason: &str,
) -> Result<()> {
    let tx = Tx::on(db);
    tx.start("begin").await?;
    let has_backup = match under_way {
        Some(at) => {
            let sql = "select exists (select from tributary.backup where generation = $1)";
            let rows = tx.query("target: looking for a backup", sql, &[&at.generation]).await?;
            rows.first().is_some_and(|row| row.get(0))
        }
        None => {
            backfill::schedule(db, config, backfill::Stage::Rows).await?;
            false
        }
    };
    if !has_backup {
        backup::resume_after(db, reason).await?;
    }
    tx.commit().await
}

/// After a rollback the running daemon reads the feeds again when it is asked; `None`: there is no such daemon.
async fn ask_after_a_rollback(config: &Config) -> Result<Option<ExitCode>> {
    let Ok(db) = open_target(config).await else { return Ok(None) };
    if !session::is_locked(&db).await? || crate::halt::rolled_back(&db).await?.is_none() {
        return Ok(None);
    }
    let actor = actor(&db, None).await?;
    let command = Command::of(Request::Backfill);
    let answer = ask(config, &db, &command, &actor, Patience::Minute).await?;
    if !answer.done {
        print(&format!("refused: {}\n", answer.text))?;
        return Ok(Some(ExitCode::FAILURE));
    }
    let (bar, mut seen) = (Bar::new(), Instant::now());
    loop {
        tokio::time::sleep(POLL).await;
        let Some(at) = backfill::progress(&db).await? else { break };
        bar.show(&at);
        if at.is_done() {
            print(&format!("the daemon has read {} rows\n", at.rows_done))?;
            break;
        }
        if let Some(halt) = crate::halt::recorded(&db).await? {
            return Err(Error::Halted(Box::new(halt)));
        }
        if session::is_locked(&db).await? {
            seen = Instant::now();
        } else if seen.elapsed() >= CHANGES_SESSION {
            return Err(Error::refused(
                "the daemon ended during the backfill",
                "repeat the command: it goes on with it",
            ));
        }
    }
    Ok(Some(ExitCode::SUCCESS))
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
