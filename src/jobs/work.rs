//! What each job does.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::handed::{self, Step};
use super::queue::Waiting;
use super::summary::{as_json, counts, lines, of_report};
use super::{At, Job};
use crate::ask::{self, open_target};
use crate::backup;
use crate::config::Config;
use crate::connect::connect;
use crate::decisions::{self, Command, Request};
use crate::error::{Error, Result};
use crate::lsn::Lsn;
use crate::pg::Db;
use crate::preview::{self, Limit};
use crate::report::{Report, store};
use crate::session;
use crate::store::backfill::{self, Progress};
use crate::store::conflict::open_by_kind;
use crate::store::halt;
use crate::store::operation_log::{Finish, Journal, Operation, Outcome};
use crate::validate::validate;
use crate::verify;

/// How often it is looked how far the daemon is.
const POLL: Duration = Duration::from_millis(300);
/// How long a reconcile waits for the writer to be free until a halt counts as the reason that it is not.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long any command waits: a rollback reads and writes whole tables, and a first backfill comes before all commands. A backfill
/// that does not come further is waited for as long.
const LONG_PATIENCE: Duration = Duration::from_secs(3_600);
/// How long a checkpoint that stands still is waited for.
const STANDSTILL: Duration = Duration::from_secs(120);
/// Differences that are named.
const EXAMPLES: usize = 20;

/// One job under way.
pub(super) struct Work<'a> {
    pub(super) config: &'a Config,
    pub(super) waiting: &'a Waiting,
    pub(super) at: &'a At,
}

impl Work<'_> {
    /// Carries it out, and returns the summary.
    ///
    /// # Errors
    /// Those of both servers; refusals with their remedy.
    pub(super) async fn run(&self, job: &Job) -> Result<Value> {
        let started = Instant::now();
        let (name, dry_run, mut summary) = match job {
            Job::PopulateCleanData { dry_run: true } => {
                ("populate_clean_data", true, self.predict().await?)
            }
            Job::PopulateCleanData { dry_run: false } => {
                ("populate_clean_data", false, self.populate().await?)
            }
            Job::SyncNewData { dry_run } => ("sync_new_data", *dry_run, self.sync(*dry_run).await?),
            Job::Verify { dry_run } => ("verify", *dry_run, self.verify(*dry_run).await?),
            Job::Cutover { limits } => ("cutover", false, self.cut_over(limits).await?),
            Job::RollbackRun { run, dry_run, discard_application_changes: discard } => {
                ("rollback_run", *dry_run, self.roll_back(run, *dry_run, *discard).await?)
            }
        };
        summary["operation"] = name.into();
        summary["dry_run"] = dry_run.into();
        summary["request"] = self.waiting.id.into();
        summary["duration_seconds"] = started.elapsed().as_secs_f64().into();
        summary["counts"] = counts(&summary["tables"]);
        summary["lines"] = lines(&summary).into();
        Ok(summary)
    }

    fn show(&self, text: String) {
        if let Ok(mut at) = self.at.lock() {
            *at = Some(text);
        }
    }

    fn show_progress(&self, at: &Progress) {
        self.show(format!(
            "{}: {} rows of about {}",
            at.stage.as_str(),
            at.rows_done,
            at.rows_estimated
        ));
    }

    /// The dry run of a backfill, as it is answered.
    async fn predict(&self) -> Result<Value> {
        let found = self.predicted().await?;
        let mut summary = as_json(&found.changes)?;
        let validation = found.contents.and_then(|contents| contents.validation);
        summary["validation"] = as_json(&validation)?;
        Ok(summary)
    }

    async fn predicted(&self) -> Result<preview::Predicted> {
        let (started_at, never) = (Timestamp::now(), CancellationToken::new());
        let show = |at: &Progress| self.show_progress(at);
        let options = preview::Options { replace: false, report: true };
        let found = preview::dry_run(self.config, options, &never, &show).await;
        preview::log(self.config, started_at, Some(&self.waiting.actor), &found).await;
        found?.ok_or_else(|| Error::failed("a dry run", "it was stopped"))
    }

    /// Has everything read again, waits until it is, and returns what that did.
    async fn populate(&self) -> Result<Value> {
        let db = open_target(self.config).await?;
        self.carried_out(&db, Step::Reconcile, Request::Reconcile).await?;
        self.until_done(&db).await?;
        let entry = self.entry(&db).await?;
        self.show("the report".to_owned());
        self.populated(&db, &store::complete(self.config, entry, None).await?).await
    }

    /// Has the writer carry a command out, once for all attempts at this job, and returns what it answered.
    async fn carried_out(&self, db: &Db, step: Step, request: Request) -> Result<String> {
        let command = handed::hand_on(db, self.waiting, step, &Command::of(request)).await?;
        let started = Instant::now();
        loop {
            match ask::answer(db, command).await? {
                Some(answer) if answer.done => return Ok(answer.text),
                Some(refused) => return Err(refusal(&refused.text)),
                None => {}
            }
            // A rollback is carried out in front of a halt too, and takes its time.
            if step == Step::Reconcile && started.elapsed() >= PATIENCE {
                require_not_halted(db).await?;
            }
            if started.elapsed() >= LONG_PATIENCE {
                let seconds = LONG_PATIENCE.as_secs();
                return Err(Error::refused(
                    format!("the daemon has not carried out request {command} in {seconds} s"),
                    "it stays queued and is carried out when the daemon is free; `tributary status` shows what it does",
                ));
            }
            if let Some(at) = backfill::progress(db).await?.filter(|at| !at.is_done()) {
                self.show_progress(&at);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until the backfill that the daemon has begun is done. One that does not come further is not waited for without
    /// end.
    async fn until_done(&self, db: &Db) -> Result<()> {
        let (mut last, mut moved) = (None, Instant::now());
        loop {
            let at = backfill::progress(db).await?;
            if at.as_ref().is_some_and(Progress::is_done) {
                return Ok(());
            }
            require_not_halted(db).await?;
            if at != last {
                (last, moved) = (at, Instant::now());
                if let Some(at) = &last {
                    self.show_progress(at);
                }
            } else if moved.elapsed() >= LONG_PATIENCE {
                return Err(Error::refused(
                    format!("the backfill has stood still for {} s", LONG_PATIENCE.as_secs()),
                    "`tributary status` and the daemon's log show why; it goes on once the cause is removed",
                ));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// The guarded first day beside a daemon: nothing is written where a limit is passed, and what was written goes back where
    /// the validation fails.
    async fn cut_over(&self, limits: &[String]) -> Result<Value> {
        let detail = json!({ "command": self.waiting.id });
        let actor = Some(self.waiting.actor.as_str());
        let journal = Journal::begin(self.config, Operation::Cutover, detail, actor).await;
        let done = self.guarded(limits).await;
        let end = |ended: &Value| {
            let back = ended["rolled_back"] == true;
            let outcome = if back { Outcome::Refused } else { Outcome::Done };
            Finish::new(outcome).with(json!({ "backup": ended["backup"] }))
        };
        journal.close(&done, end).await;
        done
    }

    async fn guarded(&self, limits: &[String]) -> Result<Value> {
        let limits = limits.iter().map(|limit| Limit::parse(limit));
        let limits = limits.collect::<std::result::Result<Vec<_>, _>>();
        let limits = limits.map_err(|problem| Error::refused(problem, "correct the limits"))?;
        let db = open_target(self.config).await?;
        // An earlier attempt found that the validation fails: what it validated is no more.
        let goes_back = handed::find(&db, self.waiting, Step::Rollback).await?.is_some();
        let mut summary = if goes_back {
            self.recorded(&db).await?
        } else {
            self.require_within(&db, &limits).await?;
            self.populate().await?
        };
        let is_sound = !goes_back && summary["validation"]["ok"] == true;
        summary["rolled_back"] = (!is_sound).into();
        if is_sound {
            return Ok(summary);
        }
        let run = summary["backup"].as_str().unwrap_or_default().to_owned();
        self.show(format!("the validation failed: back to {run}"));
        let back = Request::Rollback { run, discard: false };
        summary["answer"] = self.carried_out(&db, Step::Rollback, back).await?.into();
        Ok(summary)
    }

    /// Refuses to begin where there is no way back, or where the dry run passes a limit. What was begun has passed all that.
    async fn require_within(&self, db: &Db, limits: &[Limit]) -> Result<()> {
        if handed::find(db, self.waiting, Step::Reconcile).await?.is_some() {
            return Ok(());
        }
        backup::require_enabled(self.config)?;
        let passed = preview::limits_passed(&self.predicted().await?.changes, limits)?;
        if passed.is_empty() {
            return Ok(());
        }
        Err(Error::refused(
            format!("limits are passed, and nothing was written: {}", passed.join("; ")),
            "look at the dry run; raise the limits where that is meant",
        ))
    }

    /// The log's entry of the backfill that this job asked for and that is done.
    async fn entry(&self, db: &Db) -> Result<i64> {
        let sql = "select min(id) from tributary.operation_log \
                   where operation = 'backfill' and outcome = 'done' and started_at >= $1";
        let rows =
            db.query("target: reading the operation log", sql, &[&self.waiting.asked_at]).await?;
        let entry: Option<i64> = rows.first().and_then(|row| row.get(0));
        entry.ok_or_else(|| Error::failed("the backfill", "it has no entry in the log"))
    }

    /// What that backfill did, from its report.
    async fn populated(&self, db: &Db, report: &Report) -> Result<Value> {
        let sql = "select run from tributary.backup where dropped_at is null and import is null and at >= $1 order by at limit 1";
        let rows = db.query("target: reading backups", sql, &[&self.waiting.asked_at]).await?;
        let mut summary = of_report(report)?;
        summary["backup"] = as_json(&rows.first().map(|row| row.get::<_, String>(0)))?;
        summary["log_entry"] = as_json(&report.entry)?;
        Ok(summary)
    }

    /// The same of one that is rolled back or about to be, as it was stored before that.
    async fn recorded(&self, db: &Db) -> Result<Value> {
        let report = store::load(db, Some(self.entry(db).await?)).await?;
        let report = report.ok_or_else(|| Error::failed("the backfill", "its report is gone"))?;
        self.populated(db, &report).await
    }

    /// Waits until all that is committed at the source now is applied; a dry run says how far that is.
    async fn sync(&self, dry_run: bool) -> Result<Value> {
        let db = open_target(self.config).await?;
        halt::refuse_rolled_back(&db).await?;
        let source = connect(&self.config.source.server, "tributary jobs", "source").await?;
        let until = verify::source_position(&source).await?;
        let slot = &self.config.source.slot;
        let before = session::checkpoint(db.client(), slot).await?.unwrap_or_default();
        let (mut checkpoint, mut moved) = (before, Instant::now());
        while !dry_run && checkpoint < until {
            self.show(format!("checkpoint {checkpoint} of {until}"));
            require_not_halted(&db).await?;
            if moved.elapsed() >= STANDSTILL {
                return Err(Error::refused(
                    format!(
                        "the checkpoint has stood still at {checkpoint} for {} s",
                        STANDSTILL.as_secs()
                    ),
                    "`tributary status` shows what the daemon does; a backfill must have been read first",
                ));
            }
            tokio::time::sleep(POLL).await;
            let now = session::checkpoint(db.client(), slot).await?.unwrap_or_default();
            if now != checkpoint {
                (checkpoint, moved) = (now, Instant::now());
            }
        }
        let mut summary = json!({
            "source_lsn": until.to_string(),
            "checkpoint_lsn": checkpoint.to_string(),
            "behind_bytes": bytes_between(if dry_run { before } else { checkpoint }, until),
            "caught_up_bytes": bytes_between(before, checkpoint),
            "tables": self.written_since(&db).await?,
            "conflicts": as_json(&open_by_kind(db.client()).await?)?,
        });
        if !dry_run {
            summary["validation"] = as_json(&validate(self.config, &db).await?)?;
        }
        Ok(summary)
    }

    /// Rows, and of them those that were written since it was asked for; NULL where the application's column is no time.
    async fn written_since(&self, db: &Db) -> Result<Value> {
        let target = &self.config.target;
        let mut tables = json!({});
        for (name, table, column) in [
            ("profiles", &target.profiles, "last_api_sync_at"),
            ("transactions", &target.transactions, "last_api_sync_at"),
            ("enrollments", &target.enrollments, "updated_at"),
        ] {
            let sql = format!(
                "select count(*), count(*) filter (where {column}::timestamptz >= $1) from {}",
                table.quoted()
            );
            let rows = db.query("target: counting rows", &sql, &[&self.waiting.asked_at]).await?;
            let count = |at: usize| rows.first().map_or(0, |row| row.get::<_, i64>(at));
            tables[name] = json!({ "rows": count(0), "written": count(1) });
        }
        Ok(tables)
    }

    /// Compares everything; without `dry_run`, what differs is repaired.
    async fn verify(&self, dry_run: bool) -> Result<Value> {
        let options = verify::Options { show_values: false, examples: EXAMPLES, rest: 0 };
        let show = |stage: &'static str, done: u64| self.show(format!("{stage}: {done}"));
        let actor = Some(self.waiting.actor.as_str());
        let detail = json!({ "command": self.waiting.id });
        let by = (actor, detail);
        let mut report = store::verified(self.config, options, by, &show).await?;
        let before = report.differences;
        if !dry_run && before > 0 {
            let repaired = verify::repair(self.config, &report, options, actor, &show).await?;
            report = repaired.map_err(|reason| refusal(&reason))?;
        }
        let db = open_target(self.config).await?;
        let mut summary = as_json(&report)?;
        summary["repaired"] = json!(if dry_run { 0 } else { before });
        summary["conflicts"] = as_json(&open_by_kind(db.client()).await?)?;
        summary["validation"] = as_json(&validate(self.config, &db).await?)?;
        Ok(summary)
    }

    async fn roll_back(&self, run: &str, dry_run: bool, discard: bool) -> Result<Value> {
        let db = open_target(self.config).await?;
        let is_begun = handed::find(&db, self.waiting, Step::Rollback).await?.is_some();
        // What was begun may be done: then there is nothing left to plan.
        let mut summary = if is_begun {
            json!({ "run": run })
        } else {
            let courses = decisions::courses(&self.config.rules.products);
            as_json(&backup::planned(&db, run, &courses).await?)?
        };
        if !dry_run {
            let back = Request::Rollback { run: run.to_owned(), discard };
            summary["answer"] = self.carried_out(&db, Step::Rollback, back).await?.into();
        }
        Ok(summary)
    }
}

/// What waits for an operator is not waited for.
async fn require_not_halted(db: &Db) -> Result<()> {
    match halt::recorded(db.client()).await? {
        None => Ok(()),
        Some(halt) => Err(Error::refused(
            format!("the daemon halted: {}", halt.reason()),
            "look at `tributary status`; what was asked for goes on once the halt is ended",
        )),
    }
}

/// What the writer answered, with its remedy.
fn refusal(text: &str) -> Error {
    match text.split_once("\n  remedy: ") {
        Some((problem, remedy)) => Error::refused(problem.to_owned(), remedy.to_owned()),
        None => Error::refused(text.to_owned(), "remove the cause, then repeat"),
    }
}

fn bytes_between(from: Lsn, to: Lsn) -> u64 {
    to.0.saturating_sub(from.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_the_writer_keeps_its_remedy() {
        let text = "a backfill is under way\n  remedy: wait";
        assert_eq!(refusal(text).to_string(), text);
        assert!(refusal("no").to_string().starts_with("no\n  remedy: "));
    }
}
