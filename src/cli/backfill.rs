//! `tributary backfill`: the backfill alone, as a full reconcile.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::Context;
use super::output::{self, print};
use super::progress::Bar;
use super::run::stop_on_signal;
use crate::ask::{Patience, actor, ask, open_target};
use crate::backup;
use crate::config::Config;
use crate::connect::connect;
use crate::daemon;
use crate::decisions::{Command, Request};
use crate::error::{Error, Result};
use crate::http::Health;
use crate::pg::{Db, Tx};
use crate::preview::{self, Preview};
use crate::report::{Report, store};
use crate::session::{self, OnLock, Watcher};
use crate::store::backfill::{self, Progress};
use crate::targets::replace;

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
    /// Predict what would be written, and write nothing: the backfill works on temporary copies of the target.
    #[arg(long)]
    dry_run: bool,
    /// Remove the rows of the target tables that no source supports, unless other tables refer to them.
    #[arg(long)]
    replace: bool,
    /// Print one JSON object: rows by table, conflicts by kind, figures expected and found.
    #[arg(long)]
    json: bool,
    /// Write a report into a file, with totals, data quality and known problems beside these numbers: JSON, or a page where the
    /// name ends in .html.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// Reads the feeds and brings the targets in line. The slot is made if there is none and left for
/// `run`.
///
/// # Errors
/// Those of both servers; a refusal while a daemon works on this target.
pub(super) async fn run(args: Args, context: &Context) -> Result<ExitCode> {
    let config = &context.config()?;
    if args.dry_run {
        return predict(&args, config).await;
    }
    if let Some(code) = ask_after_a_rollback(config).await? {
        return Ok(code);
    }
    let shutdown = stop_on_signal()?;
    if args.replace {
        refuse_referenced(config, &shutdown).await?;
    }
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
    // Nothing has been written since the session was opened: the image below is of the moment of the backup.
    let is_measured = args.json || args.replace || args.report.is_some();
    if is_measured {
        preview::Before::take(&session.applier.db, &config.target).await?;
    }
    let started = Instant::now();
    let health =
        Arc::new(Health::new(&config.source.slot, Timestamp::now(), Duration::from_secs(60)));
    let bar = Bar::new();
    let show = |at: &Progress| bar.show(at);
    session.applier.keep_today().await?;
    session.applier.scan_profiles(&|| health.tick()).await?;
    let until = crate::backfill::Until::Done;
    let finished =
        daemon::backfill(config, &mut session, &health, &shutdown, daemon::Tell::by(&show), until)
            .await;
    if let Err(Error::Halted(halt)) = &finished {
        crate::pg::Tx::on(&session.applier.db).rollback().await?;
        crate::store::halt::record(&session.applier.db, Some(halt)).await?;
    }
    let finished = finished?;
    crate::store::checkpoint::flush(&session.applier.db).await?;
    if is_measured && finished {
        let options = preview::Options { replace: args.replace, report: false };
        let found = preview::measured(&mut session.applier, config, options, started).await?;
        crate::store::checkpoint::flush(&session.applier.db).await?;
        let made = store::complete_pending(config, &session.applier.db, Some(found.clone())).await;
        write_report(&args, config, || made)?;
        show_preview(&args, &found)?;
        return if found.references.is_empty() {
            Ok(ExitCode::SUCCESS)
        } else {
            Err(replace::refusal(&found.references))
        };
    }
    if finished {
        store::complete_pending(config, &session.applier.db, None).await;
    }
    let rows = backfill::progress(&session.applier.db).await?.map_or(0, |at| at.rows_done);
    let seconds = started.elapsed().as_secs_f64();
    let left_out = crate::store::row::left_out(session.applier.db.client()).await?;
    let left_out =
        left_out.iter().map(|(feed, why, rows)| format!("left out of {feed}: {rows} rows {why}\n"));
    let left_out: String = left_out.collect();
    print(&if finished {
        let rate = rows as f64 / seconds;
        format!("backfilled {rows} rows in {seconds:.1} s ({rate:.0} rows/s)\n{left_out}")
    } else if shutdown.is_cancelled() {
        format!("stopped after {rows} rows; run the same command to go on\n")
    } else {
        return Err(Error::refused(
            "a reconcile was asked for meanwhile, and nothing of it is read yet",
            "run the same command again, or start the daemon",
        ));
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Rows that nothing supports are removed at the end; whether other tables refer to them is predicted first, so that a
/// refusal finds everything as it was.
async fn refuse_referenced(config: &Config, shutdown: &CancellationToken) -> Result<()> {
    let options = preview::Options { replace: true, report: false };
    let found = preview::dry_run(config, options, shutdown, &|_| {}).await?;
    let found = found.map(|found| found.changes);
    match found.filter(|found| !found.references.is_empty()) {
        Some(found) => Err(replace::refusal(&found.references)),
        None => Ok(()),
    }
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
            backfill::schedule(db, config, crate::status::Stage::Rows).await?;
            false
        }
    };
    if !has_backup {
        backup::resume_after(db, reason).await?;
    }
    tx.commit().await
}

/// After a rollback the running daemon reads the feeds again when it is asked; `None`: there is no such daemon, or no more.
async fn ask_after_a_rollback(config: &Config) -> Result<Option<ExitCode>> {
    let Ok(db) = open_target(config).await else { return Ok(None) };
    if !session::is_locked(&db).await? || !crate::store::halt::is_rolled_back(&db).await? {
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
        if let Some(halt) = crate::store::halt::recorded(db.client()).await? {
            return Err(Error::Halted(Box::new(halt)));
        }
        if session::is_locked(&db).await? {
            seen = Instant::now();
        } else if seen.elapsed() >= CHANGES_SESSION {
            tracing::warn!("the daemon ended during the backfill; going on with it here");
            return Ok(None);
        }
    }
    Ok(Some(ExitCode::SUCCESS))
}

/// Predicts, and writes nothing.
async fn predict(args: &Args, config: &Config) -> Result<ExitCode> {
    let shutdown = stop_on_signal()?;
    // Both must be there: a prediction for one that is away would promise too much.
    for (server, name) in [(&config.source.server, "source"), (&config.target.server, "target")] {
        crate::retry::within(crate::retry::COMMAND_PATIENCE, || connect(server, "tributary", name))
            .await?;
    }
    let bar = Bar::new();
    let show = |at: &Progress| bar.show(at);
    let options = preview::Options { replace: args.replace, report: args.report.is_some() };
    let started_at = Timestamp::now();
    let found = preview::dry_run(config, options, &shutdown, &show).await;
    preview::log(config, started_at, None, &found).await;
    let Some(found) = found? else {
        print("stopped; nothing was written\n")?;
        return Ok(ExitCode::SUCCESS);
    };
    let preview::Predicted { changes, contents } = found;
    write_report(args, config, || Some(Report::predicted(changes.clone(), contents?)))?;
    show_preview(args, &changes)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the report where it is wanted.
fn write_report(args: &Args, config: &Config, made: impl FnOnce() -> Option<Report>) -> Result<()> {
    let Some(file) = &args.report else { return Ok(()) };
    let report = made().ok_or_else(|| {
        Error::failed("the report", "it could not be made; `tributary report` shows it later")
    })?;
    super::report::write(file, &report, &config.rules.zone)
}

fn show_preview(args: &Args, found: &Preview) -> Result<()> {
    print(&if args.json { output::json(found)? } else { rendered(found) })
}

fn rendered(found: &Preview) -> String {
    let mut tables =
        output::table(&["table", "insert", "update", "unchanged", "unsupported", "delete"]);
    let mut columns = output::table(&["changes in", "rows", "such as"]);
    for (name, table) in &found.tables {
        let counts =
            [table.insert, table.update.total, table.unchanged, table.unsupported, table.delete];
        let counts = counts.map(|count| count.to_string());
        tables.add_row(std::iter::once(name.clone()).chain(counts));
        let example = |of: &str| table.examples.get(of).map_or(String::new(), |ids| ids.join(", "));
        for (column, rows) in &table.update.by_column {
            columns.add_row([format!("{name}.{column}"), rows.to_string(), example(column)]);
        }
        if table.unsupported > 0 {
            let rows = table.unsupported.to_string();
            columns.add_row([format!("{name}: no source"), rows, example("unsupported")]);
        }
    }
    let mut conflicts = output::table(&["open conflicts", "count"]);
    for (kind, count) in &found.conflicts {
        conflicts.add_row([kind.clone(), count.to_string()]);
    }
    let mut business = output::table(&["figure", "expected", "found", "before"]);
    for (name, figure) in &found.business {
        let counts = [figure.expected, figure.found, figure.before].map(|count| count.to_string());
        business.add_row(std::iter::once(name.clone()).chain(counts));
    }
    let parts = [tables, columns, business, conflicts];
    let parts = parts.iter().filter(|table| table.row_count() > 0).map(output::text);
    format!("{}\n{}", parts.collect::<Vec<_>>().join("\n"), found.advice())
}
