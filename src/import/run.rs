//! A run: check, then batch by batch with the cursor in the same transaction, then the report.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use crate::pg::Client;

use super::batch::{Mode, Work};
use super::check::{Checked, Prepared, check};
use super::feed::{batches, ended};
use super::plan::Plan;
use super::statements::Statements;
use super::store::{self, Cursor};
use super::summary::{Counts, Difference, Report};
use super::survey::Survey;
use super::write::Trust;
use crate::backup;
use crate::config::Backups;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::pg::{Db, Tx};
use crate::store::operation_log::{self, Finish, Operation, Operator};

/// Most differences that a report lists.
const LISTED: usize = 1000;

/// Each look-up is narrow and has its index, which a planner without statistics must use.
const BY_INDEX: &str = "set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off; set jit = off; ";

/// How long another import of the same name is waited for.
const PATIENCE: &str = "30s";

/// How a batch begins. Where the server dies the last batches may be lost, each with its cursor; the transaction that ends
/// the run makes them all last.
const BATCH: &str = "begin; set local synchronous_commit = off; set constraints all immediate";

/// How every other transaction begins.
pub(super) const DURABLE: &str =
    "begin; set local synchronous_commit = on; set constraints all immediate";

/// What a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// Imports.
    Import,
    /// Imports in a transaction that is rolled back.
    DryRun,
    /// Compares every record with the database.
    Compare,
}

impl Doing {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Import => "import",
            Self::DryRun => "dry_run",
            Self::Compare => "compare",
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// The plan.
    pub plan: PathBuf,
    /// The files.
    pub files: Vec<PathBuf>,
    /// What is done.
    pub doing: Doing,
    /// Copies of the tables for the way back.
    pub backups: Backups,
    /// Where rejected records are written; none: `<import>-rejects-<run>.jsonl` in the current folder.
    pub rejects: Option<PathBuf>,
}

/// Where a run is.
#[derive(Debug, Clone)]
pub struct Progress {
    /// The load.
    pub load: String,
    /// Records done of all loads.
    pub done: u64,
    /// Records of all loads.
    pub of: u64,
}

/// Carries an import out.
///
/// # Errors
/// [`Error::Config`] with every problem of the plan, before anything is written; those of the target and of the files.
pub async fn run(
    mut client: Client,
    options: &Options,
    show: &(dyn Fn(&Progress) + Sync),
) -> Result<Report> {
    let started = Instant::now();
    let plan = Arc::new(Plan::load(&options.plan)?);
    let surveyed = Arc::clone(&plan);
    let files = options.files.clone();
    let survey = tokio::task::spawn_blocking(move || Survey::of(&surveyed, &files));
    let survey = survey.await.map_err(|error| Error::failed("reading the files", error))??;
    let name = options.plan.display().to_string();
    let prepared = check(&plan, &name, &survey, &client).await?;
    if options.doing == Doing::Import && !may_be_rolled_back(&client).await? {
        crate::migrate::migrate_schema(&mut client).await?;
    }
    let db = Arc::new(Db::new(client));
    lock(&db, &plan.import).await?;
    let entry = match options.doing {
        Doing::Import => Some(begin_entry(&db, &plan).await?),
        _ => None,
    };
    let carried_out = carry_out(&db, &plan, &survey, prepared, options, entry, show).await;
    let mut report = match carried_out {
        Ok(report) => report,
        Err(error) => {
            // The connection may be gone by now, and the transaction with it.
            let _ = Tx::on(&db).rollback().await;
            if let Some(id) = entry {
                let _ = operation_log::finish(db.client(), id, &Finish::failed(&error)).await;
            }
            return Err(error);
        }
    };
    if options.doing == Doing::Import {
        failpoint::hit("import-finished");
        keep(&db, options, &mut report).await?;
    }
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

async fn carry_out(
    db: &Arc<Db>,
    plan: &Arc<Plan>,
    survey: &Survey,
    prepared: Prepared,
    options: &Options,
    entry: Option<i64>,
    show: &(dyn Fn(&Progress) + Sync),
) -> Result<Report> {
    let mut run = Run::open(db, plan, survey, prepared, options).await?;
    run.carry_out(survey, show).await?;
    run.report(options, survey, entry).await
}

/// The entry of the operation log. A resumed run begins a new one.
async fn begin_entry(db: &Db, plan: &Plan) -> Result<i64> {
    let rules = crate::digest::uuid_v5(&crate::rules::NAMESPACE, plan.text.as_bytes());
    let operator = Operator {
        os_user: operation_log::os_user(),
        asked_by: None,
        config_hash: rules.to_string(),
    };
    let detail = serde_json::json!({ "import": plan.import });
    operation_log::begin(db.client(), &operator, Operation::Import, &detail).await
}

/// Drops what the way back needs no more: earlier backups, and that of a run that changed nothing.
async fn keep(db: &Db, options: &Options, report: &mut Report) -> Result<()> {
    if !report.is_changed()
        && let Some(name) = report.backup.take()
    {
        backup::drop(db, &name).await?;
    }
    backup::retain(&options.backups, db, true).await
}

/// Whether the schema is as new as the way back from an import.
async fn may_be_rolled_back(client: &Client) -> Result<bool> {
    let sql = "select exists (select from pg_attribute where attrelid = to_regclass('tributary.backup') \
               and attname = 'import' and not attisdropped)";
    is_true(client, sql).await
}

pub(super) async fn is_true(client: &Client, sql: &str) -> Result<bool> {
    use crate::error::Context as _;
    let row = client.query_one(sql, &[]).await.context("target: looking for schema tributary")?;
    Ok(row.get(0))
}

/// One import of a name at a time; the lock goes with the session.
async fn lock(db: &Db, import: &str) -> Result<()> {
    const WHAT: &str = "target: waiting for another import of this name";
    db.batch(WHAT, &format!("set lock_timeout = '{PATIENCE}'")).await?;
    let sql = "select pg_advisory_lock(hashtextextended('tributary import ' || $1, 0))";
    let locked = db.query(WHAT, sql, &[&import]).await;
    locked.map_err(|error| match error {
        Error::Unavailable { context, cause, .. } => Error::refused(
            format!("{context}: {cause}"),
            "let the other import end; it is a session of the target named `tributary import`",
        ),
        other => other,
    })?;
    db.batch(WHAT, &format!("reset lock_timeout; {BY_INDEX}")).await
}

/// A load or its second pass.
pub(super) struct Step {
    pub(super) checked: Arc<Checked>,
    pub(super) statements: Statements,
    pub(super) second: bool,
}

pub(super) struct Run {
    pub(super) plan: Arc<Plan>,
    pub(super) doing: Doing,
    pub(super) tx: Tx,
    pub(super) steps: Vec<Step>,
    pub(super) cursor: Cursor,
    pub(super) differences: Vec<Difference>,
    pub(super) trust: Trust,
}

impl Run {
    pub(super) async fn begin(&self, begin: &str) -> Result<()> {
        match self.doing {
            Doing::DryRun => Ok(()),
            _ => self.tx.start(begin).await,
        }
    }

    /// A dry run goes on in the one transaction that is rolled back in the end.
    pub(super) async fn commit(&self) -> Result<()> {
        match self.doing {
            Doing::DryRun => Ok(()),
            _ => self.tx.clone().commit().await,
        }
    }

    async fn carry_out(
        &mut self,
        survey: &Survey,
        show: &(dyn Fn(&Progress) + Sync),
    ) -> Result<()> {
        let records = |step: &Step| {
            survey.inputs.get(&step.checked.load.from).map_or(0, |found| found.records)
        };
        let of = self.steps.iter().map(records).sum();
        while let Some(step) = self.steps.get(self.cursor.step) {
            let before: u64 = self.steps.iter().take(self.cursor.step).map(records).sum();
            let found = survey.inputs.get(&step.checked.load.from);
            let places = found.map(|found| found.places.clone()).unwrap_or_default();
            let after = self.cursor.record;
            let mut feed = batches(&self.plan, &step.checked, places, step.second, after);
            let load = step.checked.load.name.clone();
            while let Some(batch) = feed.recv().await {
                let batch = batch?;
                if batch.last == 0 {
                    return Err(ended());
                }
                self.batch(batch.made, batch.last).await?;
                let done = before + batch.last;
                show(&Progress { load: load.clone(), done, of });
            }
            self.cursor.step += 1;
            self.cursor.record = 0;
            self.trust = Trust::default();
        }
        survey.require_unchanged()
    }

    async fn batch(&mut self, made: Vec<super::row::Made>, last: u64) -> Result<()> {
        let Some(step) = self.steps.get(self.cursor.step) else { return Ok(()) };
        self.begin(BATCH).await?;
        let mode = if self.doing == Doing::Compare { Mode::Compare } else { Mode::Write };
        let load = step.checked.load.name.clone();
        let mut counts = self.counts(&load);
        let work = Work {
            checked: &step.checked,
            statements: &step.statements,
            identity: &self.cursor.identity,
            mode,
            second: step.second,
        };
        let outcome = work.apply(&self.tx, made, &mut counts, &mut self.trust).await?;
        if let Some(report) = self.cursor.loads.iter_mut().find(|report| report.load == load) {
            report.counts = counts;
        }
        self.cursor.record = last;
        let room = LISTED.saturating_sub(self.differences.len());
        self.differences.extend(outcome.differences.into_iter().take(room));
        if mode == Mode::Write {
            let name = work.name();
            store::refuse(&self.tx, &self.cursor.identity, &name, &outcome.refused).await?;
            store::advance(&self.tx, &self.cursor).await?;
            failpoint::hit("import-batch-written");
        }
        self.commit().await?;
        failpoint::hit("import-batch-committed");
        Ok(())
    }

    pub(super) fn counts(&self, load: &str) -> Counts {
        let found = self.cursor.loads.iter().find(|report| report.load == load);
        found.map(|report| report.counts.clone()).unwrap_or_default()
    }
}
