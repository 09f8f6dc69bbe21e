//! What each job does.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::queue::Waiting;
use super::summary::{as_json, counts, lines, of_report};
use super::{At, Job};
use crate::ask::{ask_daemon, open_target};
use crate::backup;
use crate::config::Config;
use crate::connect::connect;
use crate::decisions::{self, Command, Request};
use crate::error::{Error, Result};
use crate::lsn::Lsn;
use crate::pg::Db;
use crate::preview::{self, Limit};
use crate::report::store;
use crate::session;
use crate::store::backfill::{self, Progress};
use crate::store::conflict::open_by_kind;
use crate::store::halt;
use crate::store::operation_log::{Finish, Journal, Operation, Outcome};
use crate::validate::validate;
use crate::verify;

/// How often it is looked how far the daemon is.
const POLL: Duration = Duration::from_millis(300);
/// How long a command that the one writer carries out between two batches is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same of a rollback, which reads and writes whole tables.
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

    /// Has everything read again, and waits until it is.
    async fn populate(&self) -> Result<Value> {
        let db = open_target(self.config).await?;
        if !self.is_begun(&db).await? {
            let command = Command::of(Request::Reconcile);
            let answer = ask_daemon(&db, &command, &self.waiting.actor, PATIENCE).await?;
            // One that was asked for by an earlier attempt at this job is as good.
            if let Some(refused) = answer.filter(|answer| !answer.done)
                && !self.is_begun(&db).await?
            {
                return Err(refusal(&refused.text));
            }
        }
        loop {
            tokio::time::sleep(POLL).await;
            match backfill::progress(&db).await? {
                Some(at) if at.is_done() && self.is_begun(&db).await? => break,
                Some(at) => self.show_progress(&at),
                None => {}
            }
            require_not_halted(&db).await?;
        }
        self.populated(&db).await
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
        if !self.config.backup.enabled {
            return Err(Error::refused(
                "backups are switched off, and without one there is no way back",
                "set backup.enabled = true for the cut-over",
            ));
        }
        let db = open_target(self.config).await?;
        // One that was begun has passed its limits.
        if !self.is_begun(&db).await? {
            let found = self.predicted().await?;
            let mut passed = found.changes.halts.clone();
            for limit in &limits {
                passed.extend(limit.passed(&found.changes)?);
            }
            if !passed.is_empty() {
                return Err(Error::refused(
                    format!("limits are passed, and nothing was written: {}", passed.join("; ")),
                    "look at the dry run; raise the limits where that is meant",
                ));
            }
        }
        let mut summary = self.populate().await?;
        let is_sound = summary["validation"]["ok"] == true;
        summary["rolled_back"] = (!is_sound).into();
        if is_sound {
            return Ok(summary);
        }
        let run = summary["backup"].as_str().unwrap_or_default().to_owned();
        self.show(format!("the validation failed: back to {run}"));
        let back = self.roll_back(&run, false, false).await?;
        summary["answer"] = back["answer"].clone();
        Ok(summary)
    }

    /// Whether everything is being read, or was, since it was asked for.
    async fn is_begun(&self, db: &Db) -> Result<bool> {
        let sql = "select exists (select from tributary.backfill b, tributary.state s \
                   where b.started_at >= $1 and s.rolled_back is null)";
        let rows = db.query("target: reading the backfill", sql, &[&self.waiting.asked_at]).await?;
        Ok(rows.first().is_some_and(|row| row.get(0)))
    }

    /// What the backfill that is done did.
    async fn populated(&self, db: &Db) -> Result<Value> {
        let sql = "select max(id) from tributary.operation_log \
                   where operation = 'backfill' and outcome = 'done' and started_at >= $1";
        let rows =
            db.query("target: reading the operation log", sql, &[&self.waiting.asked_at]).await?;
        let entry: Option<i64> = rows.first().and_then(|row| row.get(0));
        let entry =
            entry.ok_or_else(|| Error::failed("the backfill", "it has no entry in the log"))?;
        self.show("the report".to_owned());
        let report = store::complete(self.config, entry, None).await?;
        let sql = "select run from tributary.backup where dropped_at is null and at >= $1 order by at desc limit 1";
        let rows = db.query("target: reading backups", sql, &[&self.waiting.asked_at]).await?;
        let mut summary = of_report(&report)?;
        summary["backup"] = as_json(&rows.first().map(|row| row.get::<_, String>(0)))?;
        summary["log_entry"] = entry.into();
        Ok(summary)
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
        let journal = Journal::begin(self.config, Operation::Verify, detail, actor).await;
        let verified = verify::verify(self.config, options, &show).await;
        let entry = journal.id();
        journal.close(&verified, verify::logged).await;
        let mut report = verified?;
        store::after_verification(self.config, entry, &report).await;
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
        let is_done = self.is_rolled_back(&db, run).await?;
        if is_done && !dry_run {
            return Ok(json!({ "run": run, "answer": "the target was rolled back to it" }));
        }
        let courses = decisions::courses(&self.config.rules.products);
        let plan = backup::planned(&db, run, &courses).await?;
        let mut summary = as_json(&plan)?;
        if !dry_run {
            let command = Command::of(Request::Rollback { run: run.to_owned(), discard });
            let answer = ask_daemon(&db, &command, &self.waiting.actor, LONG_PATIENCE).await?;
            match answer {
                Some(answer) if answer.done => summary["answer"] = answer.text.into(),
                Some(refused) => return Err(refusal(&refused.text)),
                None => return Err(Error::failed("a rollback", "the daemon has not answered")),
            }
        }
        Ok(summary)
    }

    /// Whether an earlier attempt at this job did it.
    async fn is_rolled_back(&self, db: &Db, run: &str) -> Result<bool> {
        let sql = "select exists (select from tributary.state s, tributary.operation_log l \
                   where s.rolled_back = $1 and l.operation = 'rollback' and l.outcome = 'done' \
                   and l.started_at >= $2 and l.detail ->> 'run' = $1)";
        let rows =
            db.query("target: reading the state", sql, &[&run, &self.waiting.asked_at]).await?;
        Ok(rows.first().is_some_and(|row| row.get(0)))
    }
}

/// What waits for an operator is not waited for.
async fn require_not_halted(db: &Db) -> Result<()> {
    match halt::recorded(db).await? {
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
