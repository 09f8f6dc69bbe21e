//! A run: check, then batch by batch with the cursor in the same transaction, then the report.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use crate::pg::Client;

use super::batch::{Mode, Work, has_plain_key};
use super::check::{Checked, Prepared, check};
use super::feed::{batches, ended};
use super::ids::Identity;
use super::plan::Plan;
use super::rejects;
use super::statements::Statements;
use super::store::{self, Cursor};
use super::summary::{Counts, Difference, LoadReport, Report, Sum};
use super::survey::Survey;
use crate::config::quote_identifier;
use crate::error::{Error, Result};
use crate::pg::{Db, Tx};

/// Most differences that a report lists.
const LISTED: usize = 1000;

/// Each look-up is narrow and has its index, which a planner without statistics must use.
const BY_INDEX: &str = "set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off; set jit = off; ";

/// The report reads whole tables.
const AS_USUAL: &str = "reset enable_seqscan; reset enable_hashjoin; reset enable_mergejoin; ";

/// How long another import of the same name is waited for.
const PATIENCE: &str = "30s";

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
    fn as_str(self) -> &'static str {
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
    if options.doing == Doing::Import && !has_schema(&client).await? {
        crate::migrate::migrate_schema(&mut client).await?;
    }
    let db = Arc::new(Db::new(client));
    lock(&db, &plan.import).await?;
    let mut run = Run::open(&db, &plan, &survey, prepared, options).await?;
    let outcome = run.carry_out(&survey, show).await;
    match outcome {
        Ok(()) => {}
        Err(error) => {
            // The connection may be gone by now, and the transaction with it.
            let _ = run.tx.clone().rollback().await;
            return Err(error);
        }
    }
    let mut report = run.report(options, &survey).await?;
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

async fn has_schema(client: &Client) -> Result<bool> {
    use crate::error::Context as _;
    let sql = "select to_regclass('tributary.import_run') is not null";
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
struct Step {
    checked: Arc<Checked>,
    statements: Statements,
    second: bool,
}

struct Run {
    plan: Arc<Plan>,
    doing: Doing,
    tx: Tx,
    steps: Vec<Step>,
    cursor: Cursor,
    differences: Vec<Difference>,
}

impl Run {
    async fn open(
        db: &Arc<Db>,
        plan: &Arc<Plan>,
        survey: &Survey,
        prepared: Prepared,
        options: &Options,
    ) -> Result<Self> {
        let mut steps = Vec::new();
        for second in [false, true] {
            for checked in &prepared.loads {
                if second && !checked.columns.iter().any(|bound| bound.deferred) {
                    continue;
                }
                let mut statements = Statements::new(checked, second);
                statements.prepare(db).await?;
                steps.push(Step { checked: Arc::new(checked.clone()), statements, second });
            }
        }
        let tx = Tx::on(db);
        tx.start("begin; set constraints all immediate").await?;
        if options.doing == Doing::DryRun && !has_schema(db.client()).await? {
            let schema = "create schema if not exists tributary; ";
            let tables = include_str!("../../migrations/0011_import.sql");
            tx.batch("target: preparing", &format!("{schema}{tables}")).await?;
        }
        let cursor = match options.doing {
            Doing::Compare => compared_with(&tx, plan, survey).await?,
            _ => {
                let tables: Vec<String> =
                    prepared.loads.iter().map(|load| load.load.table()).collect();
                let mut cursor =
                    store::begin(&tx, &plan.import, survey.fingerprint, &tables).await?;
                if options.doing == Doing::DryRun && cursor.resumed {
                    tracing::info!(
                        run = cursor.identity.run,
                        "an interrupted run is predicted from where it stopped"
                    );
                }
                if cursor.loads.is_empty() {
                    cursor.loads = loads(&prepared);
                }
                cursor
            }
        };
        let mut run = Self {
            plan: Arc::clone(plan),
            doing: options.doing,
            tx,
            steps,
            cursor,
            differences: Vec::new(),
        };
        if run.cursor.loads.is_empty() {
            run.cursor.loads = loads(&prepared);
        }
        run.before_first_write().await?;
        run.commit().await?;
        Ok(run)
    }

    /// Called once a run, in the transaction that begins it and before any row of a target table is written: copies of
    /// the tables for the way back belong here, under the number of the run.
    async fn before_first_write(&mut self) -> Result<()> {
        match self.doing {
            Doing::Compare => Ok(()),
            _ => store::advance(&self.tx, &self.cursor).await,
        }
    }

    async fn begin(&self) -> Result<()> {
        match self.doing {
            Doing::DryRun => Ok(()),
            _ => self.tx.start("begin; set constraints all immediate").await,
        }
    }

    /// A dry run goes on in the one transaction that is rolled back in the end.
    async fn commit(&self) -> Result<()> {
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
        }
        Ok(())
    }

    async fn batch(&mut self, made: Vec<super::row::Made>, last: u64) -> Result<()> {
        let Some(step) = self.steps.get(self.cursor.step) else { return Ok(()) };
        self.begin().await?;
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
        let outcome = work.apply(&self.tx, made, &mut counts).await?;
        if let Some(report) = self.cursor.loads.iter_mut().find(|report| report.load == load) {
            report.counts = counts;
        }
        self.cursor.record = last;
        let room = LISTED.saturating_sub(self.differences.len());
        self.differences.extend(outcome.differences.into_iter().take(room));
        if mode == Mode::Write {
            let name = if step.second { format!("{load} (references)") } else { load };
            store::refuse(&self.tx, &self.cursor.identity, &name, &outcome.refused).await?;
            store::advance(&self.tx, &self.cursor).await?;
        }
        self.commit().await
    }

    fn counts(&self, load: &str) -> Counts {
        let found = self.cursor.loads.iter().find(|report| report.load == load);
        found.map(|report| report.counts.clone()).unwrap_or_default()
    }

    /// Writes the file of rejected records and ends the run; a dry run is rolled back.
    async fn report(self, options: &Options, survey: &Survey) -> Result<Report> {
        self.begin().await?;
        self.tx.batch("target: reading the result", AS_USUAL).await?;
        let comparing = self.doing == Doing::Compare;
        let identity = &self.cursor.identity;
        let refusals =
            if comparing { Vec::new() } else { store::refusals(&self.tx, identity).await? };
        let mut report = Report {
            import: self.plan.import.clone(),
            run: (self.doing == Doing::Import).then_some(identity.run),
            mode: self.doing.as_str(),
            resumed: self.cursor.resumed,
            loads: self.cursor.loads.clone(),
            tables: self.tables().await?,
            sums: self.sums().await?,
            refusals,
            differences: self.differences.clone(),
            left_out: left_out(&self.plan, survey),
            rejects: None,
            seconds: 0.0,
        };
        if self.doing == Doing::Import {
            if !report.refusals.is_empty() {
                let name = format!("{}-rejects-{}.jsonl", self.plan.import, identity.run);
                let path = options.rejects.clone().unwrap_or_else(|| PathBuf::from(name));
                rejects::write(&self.tx, identity, &path).await?;
                report.rejects = Some(path.display().to_string());
            }
            store::finish(&self.tx, &self.cursor).await?;
            self.tx.clone().commit().await?;
        } else {
            self.tx.clone().rollback().await?;
        }
        Ok(report)
    }

    async fn tables(&self) -> Result<BTreeMap<String, i64>> {
        let mut tables = BTreeMap::new();
        for step in &self.steps {
            let name = step.checked.load.table();
            if !tables.contains_key(&name) {
                let sql = format!("select count(*) from {}", step.checked.table.name.quoted());
                let rows = self.tx.query("target: counting rows", &sql, &[]).await?;
                tables.insert(name, rows.first().map(|row| row.get(0)).unwrap_or_default());
            }
        }
        Ok(tables)
    }

    /// The chosen sums over the rows that this run brought, beside those over its records.
    async fn sums(&self) -> Result<Vec<Sum>> {
        let mut sums = Vec::new();
        for step in self.steps.iter().filter(|step| !step.second && has_plain_key(&step.checked)) {
            let load = &step.checked.load;
            for column in &load.sums {
                let sql = sum_sql(&step.checked, column);
                let space = load.old_id("");
                let params: [crate::pg::Param<'_>; 4] = [
                    &self.cursor.identity.import,
                    &load.table(),
                    &self.cursor.identity.run,
                    &space,
                ];
                let rows = self.tx.query("target: summing", &sql, &params).await?;
                let database = rows.first().and_then(|row| row.get(0));
                let file = self.counts(&load.name).sums.get(column).copied().unwrap_or_default();
                let (load, column) = (load.name.clone(), column.clone());
                sums.push(Sum { load, column, file, database: database.unwrap_or_default() });
            }
        }
        Ok(sums)
    }
}

fn sum_sql(checked: &Checked, column: &str) -> String {
    let keys = checked.key.iter().filter_map(|at| checked.columns.get(*at));
    let keys: Vec<String> =
        keys.map(|bound| format!("t.{}::text", quote_identifier(&bound.column.name))).collect();
    format!(
        "select sum(t.{}::numeric) from {} t where concat_ws('|', {}) in (select m.new_id from tributary.id_map m \
         where m.import = $1 and m.table_name = $2 and m.run = $3 and m.old_id ^@ $4)",
        quote_identifier(column),
        checked.table.name.quoted(),
        keys.join(", ")
    )
}

fn loads(prepared: &Prepared) -> Vec<LoadReport> {
    let report = |checked: &Checked| LoadReport {
        load: checked.load.name.clone(),
        table: checked.load.table(),
        counts: Counts::default(),
    };
    prepared.loads.iter().map(report).collect()
}

/// What a comparison holds the records against: the last run, with what it refused.
async fn compared_with(tx: &Tx, plan: &Plan, survey: &Survey) -> Result<Cursor> {
    let nothing = || {
        Error::refused(
            format!("nothing was imported yet under the name {}", plan.import),
            "run the import first; --dry-run predicts it",
        )
    };
    if !has_schema(tx.db().client()).await? {
        return Err(nothing());
    }
    let (run, same) =
        store::last(tx, &plan.import, survey.fingerprint).await?.ok_or_else(nothing)?;
    if !same {
        tracing::warn!(
            "the files or the plan differ from those of the last run; what it refused is expected as rows"
        );
    }
    let run = if same { run } else { 0 };
    let identity = Identity { import: plan.import.clone(), run };
    Ok(Cursor { identity, step: 0, record: 0, loads: Vec::new(), resumed: false })
}

/// What the plan leaves out, as the report lists it.
fn left_out(plan: &Plan, survey: &Survey) -> BTreeMap<String, String> {
    let mut left_out = plan.left_out.clone();
    left_out.retain(|name, _| survey.others.contains_key(name));
    for input in plan.inputs.values().filter(|input| !input.left_out.is_empty()) {
        left_out.insert(format!("{} fields", input.name), input.left_out.join(", "));
    }
    left_out
}
