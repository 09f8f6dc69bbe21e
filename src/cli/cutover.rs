//! `tributary cutover`: the guarded first day.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::Context;
use super::output::print;
use super::progress::Bar;
use super::run::stop_on_signal;
use crate::ask::actor;
use crate::backup;
use crate::config::Config;
use crate::daemon;
use crate::decisions::{self, Command, Request};
use crate::error::{Error, Result};
use crate::failpoint;
use crate::http::Health;
use crate::pg::{Db, Tx};
use crate::preview::{self, Limit};
use crate::report::store;
use crate::session::{self, OnLock, Session, Watcher};
use crate::store::backfill::{self, Progress};
use crate::store::operation_log::{Finish, Journal, Operation, Operator, Outcome};
use crate::validate::{Validation, validate};

/// What the backup of this command is taken before.
const REASON: &str = "cutover";
/// How often the file that holds it is looked for.
const LOOK: Duration = Duration::from_millis(500);

const HELP: &str = "\
In this order, with no daemon running: preflight, dry run, limits, hold, backup, backfill, validation, report. Where the validation fails
the target is rolled back to the backup by itself. Interrupted, the same command goes on; `tributary rollback <run>` goes back.

Limits: `delete>N` (rows that go or that no source supports), `insert>N`, `update>N`, or a figure of the dry run's `business`
with < or >, such as `people<9000`; two of them are a range, of a product for instance `successful_payments.p2p<900` and
`successful_payments.p2p>1100`. What they are held against is `tributary backfill --dry-run --json`.

Exit codes: 0 done; 1 failed, refused or stopped by a signal; 3 a limit was passed and nothing was written, or the validation failed and the target is
as it was.

Examples:
  # Stop where more than 100 rows would go, or fewer than 9,000 people come; wait while the file is there
  tributary cutover --abort-if 'delete>100' --abort-if 'people<9000' --hold-file /run/tributary.hold";

/// Dry run against limits, backup, backfill, validation; back by itself where that fails
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    /// Waits after the dry run, before anything is written, while this file is there.
    #[arg(long, value_name = "FILE")]
    hold_file: Option<PathBuf>,
    /// Stops before anything is written where the dry run passes this limit; may be given several times.
    #[arg(long, value_name = "LIMIT", value_parser = Limit::parse)]
    abort_if: Vec<Limit>,
}

/// How it ended.
enum Ended {
    /// Everything is as it should be.
    Done(String, Validation),
    /// Limits were passed, and nothing was written.
    Aborted(Vec<String>),
    /// Points failed, and the target is as it was.
    Back(String, Validation),
    /// A signal came.
    Stopped,
}

/// Cuts over.
///
/// # Errors
/// Those of both servers; refusals with their remedy.
pub(super) async fn run(args: Args, context: &Context) -> Result<ExitCode> {
    let config = &context.config()?;
    backup::require_enabled(config)?;
    let shutdown = stop_on_signal()?;
    let interrupted = interrupted(config).await?;
    if interrupted.is_none() {
        match before_writing(&args, config, &shutdown).await? {
            None => {}
            Some(ended) => {
                let journal = Journal::begin(config, Operation::Cutover, json!({}), None).await;
                return close(journal, Ok(ended)).await;
            }
        }
    }
    let journal =
        Journal::begin(config, Operation::Cutover, json!({ "backup": interrupted }), None).await;
    let ended = write(config, &shutdown, interrupted).await;
    close(journal, ended).await
}

/// The backup of a cut-over that was interrupted: it has passed its limits, and nobody has rolled it back.
async fn interrupted(config: &Config) -> Result<Option<String>> {
    let Ok(db) = crate::ask::open_target(config).await else { return Ok(None) };
    let sql = "select b.run from tributary.backup b \
               join tributary.backfill f on f.generation = b.generation \
               where b.reason = $1 and b.dropped_at is null \
               and not exists (select from tributary.state where rolled_back is not null) \
               and not exists (select from tributary.operation_log o where o.operation = 'cutover' \
                   and o.outcome in ('done', 'refused') and o.finished_at > b.at) \
               order by b.at desc limit 1";
    let there = "select to_regclass('tributary.backup') is not null";
    let rows = db.query("target: looking for a cut-over", there, &[]).await?;
    if !rows.first().is_some_and(|row| row.get(0)) {
        return Ok(None);
    }
    let rows = db.query("target: looking for a cut-over", sql, &[&REASON]).await?;
    Ok(rows.first().map(|row| row.get(0)))
}

/// Dry run, limits, hold: nothing is written until this returns `None`.
async fn before_writing(
    args: &Args,
    config: &Config,
    shutdown: &CancellationToken,
) -> Result<Option<Ended>> {
    let bar = Bar::new();
    let show = |at: &Progress| bar.show(at);
    let options = preview::Options::default();
    let found = preview::dry_run(config, options, shutdown, &show).await?;
    let Some(found) = found.map(|found| found.changes) else { return Ok(Some(Ended::Stopped)) };
    let passed = preview::limits_passed(&found, &args.abort_if)?;
    if !passed.is_empty() {
        return Ok(Some(Ended::Aborted(passed)));
    }
    if let Some(file) = &args.hold_file {
        hold(file, shutdown).await;
    }
    Ok(shutdown.is_cancelled().then_some(Ended::Stopped))
}

async fn hold(file: &Path, shutdown: &CancellationToken) {
    if file.exists() {
        tracing::info!(file = %file.display(), "held: remove the file to go on");
    }
    while file.exists() && !shutdown.is_cancelled() {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Backup, backfill, validation, and the way back.
async fn write(
    config: &Config,
    shutdown: &CancellationToken,
    interrupted: Option<String>,
) -> Result<Ended> {
    let opened = crate::retry::within(crate::retry::COMMAND_PATIENCE, || {
        session::open(config, OnLock::Refuse, shutdown, &Watcher::NOBODY)
    });
    let Some(mut session) = opened.await? else { return Ok(Ended::Stopped) };
    let db = Arc::clone(&session.applier.db);
    let under_way = backfill::progress(&db).await?.filter(|at| !at.is_done());
    if interrupted.is_none() {
        // One that `run` left unfinished starts over: the copies are to be of what is there now.
        super::backfill::schedule(config, &db, None, REASON).await?;
        failpoint::hit("cutover-scheduled");
    }
    if interrupted.is_none() || under_way.is_some() {
        backup::take_if_due(config, &session.applier, session.leadership.epoch).await?;
        if !fill(config, &mut session, shutdown).await? {
            return Ok(Ended::Stopped);
        }
        failpoint::hit("cutover-filled");
    }
    let run = match interrupted {
        Some(run) => run,
        None => newest(&db).await?,
    };
    let found = validate(config, &db).await?;
    // Of what the backfill wrote, also where it does not stay.
    store::complete_pending(config, &db, None).await;
    failpoint::hit("cutover-validated");
    if found.ok {
        return Ok(Ended::Done(run, found));
    }
    back(config, &db, &run).await?;
    Ok(Ended::Back(run, found))
}

async fn newest(db: &Db) -> Result<String> {
    let backups = backup::list(db).await?;
    let found = backups.into_iter().find(|backup| backup.reason == REASON);
    found
        .map(|backup| backup.run)
        .ok_or_else(|| Error::failed("target: looking for the backup", "there is none"))
}

async fn fill(
    config: &Config,
    session: &mut Session,
    shutdown: &CancellationToken,
) -> Result<bool> {
    let slot = &config.source.slot;
    let health = Arc::new(Health::new(slot, Timestamp::now(), Duration::from_secs(60)));
    let bar = Bar::new();
    let show = |at: &Progress| bar.show(at);
    session.applier.keep_today().await?;
    session.applier.scan_profiles(&|| {}).await?;
    let until = crate::backfill::Until::Done;
    let filled =
        daemon::backfill(config, session, &health, shutdown, daemon::Tell::by(&show), until).await;
    if let Err(Error::Halted(halt)) = &filled {
        Tx::on(&session.applier.db).rollback().await?;
        crate::store::halt::record(&session.applier.db, Some(halt)).await?;
    }
    let filled = filled?;
    crate::store::checkpoint::flush(&session.applier.db).await?;
    Ok(filled)
}

/// As `tributary rollback`, on this session, which holds the lock.
async fn back(config: &Config, db: &Arc<Db>, run: &str) -> Result<()> {
    let (operator, actor) = (Operator::of(config), actor(db, None).await?);
    let command = Command::of(Request::Rollback { run: run.to_owned(), discard: false });
    decisions::execute_on_target(config, db, &operator, &command, &actor).await.map(drop)
}

async fn close(journal: Journal, ended: Result<Ended>) -> Result<ExitCode> {
    let detail = |run: &str, found: &Validation| -> Value {
        let failed: Vec<_> = found.points.iter().filter(|point| !point.ok).collect();
        json!({ "backup": run, "failed_points": failed })
    };
    let (end, text, code) = match &ended {
        Err(error) => (Finish::failed(error), String::new(), ExitCode::FAILURE),
        Ok(Ended::Stopped) => (
            Finish::new(Outcome::Stopped),
            "stopped; the same command goes on\n".to_owned(),
            // Whatever follows a cut-over must not follow this.
            ExitCode::FAILURE,
        ),
        Ok(Ended::Aborted(passed)) => (
            Finish { errors: passed.clone(), ..Finish::new(Outcome::Refused) },
            format!("aborted, nothing was written:\n  {}\n", passed.join("\n  ")),
            super::output::exit(false),
        ),
        Ok(Ended::Done(run, found)) => (
            Finish::new(Outcome::Done)
                .counted(found.points.len() as u64, 0)
                .with(detail(run, found)),
            format!(
                "cut over; backup {run} is the way back\n{}start the daemon: tributary run\n",
                super::validate::render(found)
            ),
            ExitCode::SUCCESS,
        ),
        Ok(Ended::Back(run, found)) => (
            Finish::new(Outcome::Refused)
                .counted(found.points.len() as u64, found.failed as u64)
                .with(detail(run, found)),
            format!(
                "{}the validation failed: the target was rolled back to backup {run}\n",
                super::validate::render(found)
            ),
            super::output::exit(false),
        ),
    };
    journal.finish(&end).await;
    print(&text)?;
    ended.map(|_| code)
}
