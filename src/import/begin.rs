//! The transaction that begins a run or goes on with one: the cursor, and the copies of the tables for the way back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::check::{Checked, Prepared};
use super::ids::Identity;
use super::plan::Plan;
use super::run::{DURABLE, Doing, Options, Run, Step, is_true};
use super::statements::Statements;
use super::store::{self, Cursor};
use super::summary::{Counts, LoadReport};
use super::survey::Survey;
use super::write::Trust;
use crate::backup::{self, OfImport, OfTable, Wanted};
use crate::config::Backups;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::pg::{Client, Db, Tx};

impl Run {
    pub(super) async fn open(
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
        // One snapshot of all tables for the copies of them.
        let begin = match options.doing {
            Doing::Import => "begin isolation level repeatable read; set constraints all immediate",
            _ => DURABLE,
        };
        tx.start(begin).await?;
        if options.doing == Doing::DryRun && !has_schema(db.client()).await? {
            let schema = db.client().schema().quoted();
            let schema = format!("create schema if not exists {schema}; ");
            let tables = include_str!("../../migrations/0011_import.sql");
            tx.batch("target: preparing", &format!("{schema}{tables}")).await?;
        }
        let cursor = match options.doing {
            Doing::Compare => compared_with(&tx, plan, survey).await?,
            _ => {
                let tables = prepared.loads.iter().map(|load| load.load.table());
                let tables: Vec<String> = tables.collect::<BTreeSet<_>>().into_iter().collect();
                let cursor = store::begin(&tx, &plan.import, survey.fingerprint, &tables).await?;
                if options.doing == Doing::DryRun && cursor.resumed {
                    tracing::info!(
                        run = cursor.identity.run,
                        "an interrupted run is predicted from where it stopped"
                    );
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
            trust: Trust::default(),
        };
        if run.cursor.loads.is_empty() {
            run.cursor.loads = loads(&prepared);
        }
        run.before_first_write(&options.backups).await?;
        failpoint::hit("import-prepared");
        run.commit().await?;
        failpoint::hit("import-begun");
        Ok(run)
    }

    /// Called in the transaction that begins a run or goes on with one, before any row of a target table is written.
    async fn before_first_write(&mut self, backups: &Backups) -> Result<()> {
        if self.doing == Doing::Compare {
            return Ok(());
        }
        store::advance(&self.tx, &self.cursor).await?;
        if self.doing == Doing::DryRun || self.cursor.resumed {
            return Ok(());
        }
        if !backups.enabled {
            tracing::warn!("backups are switched off: there is no way back from this import");
            return Ok(());
        }
        self.back_up(backups).await
    }

    /// Copies the tables of the plan, under the number of the run.
    async fn back_up(&self, backups: &Backups) -> Result<()> {
        let mut tables: Vec<OfTable> = Vec::new();
        let mut columns: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for step in &self.steps {
            let checked = &step.checked;
            let role = checked.load.table();
            let written = checked.columns.iter().map(|bound| bound.column.name.clone());
            columns.entry(role.clone()).or_default().extend(written);
            if !tables.iter().any(|known| known.role == role) {
                let table = checked.table.name.quoted();
                let key = checked.key.iter().filter_map(|at| checked.columns.get(*at));
                let key = key.map(|bound| bound.column.name.clone()).collect();
                tables.push(OfTable {
                    role,
                    table,
                    key: checked.table.primary_key().unwrap_or(key),
                });
            }
        }
        let identity = &self.cursor.identity;
        let columns = columns.into_iter().map(|(role, names)| (role, names.into_iter().collect()));
        let import = OfImport {
            name: self.plan.import.clone(),
            run: identity.run,
            columns: columns.collect(),
        };
        let reason = format!("import {}", self.plan.import);
        let wanted = Wanted { reason: &reason, generation: None, import: Some(import), tables };
        backup::copies(backups, self.tx.db(), &wanted).await.map(drop)
    }
}

async fn has_schema(client: &Client) -> Result<bool> {
    is_true(client, "select to_regclass('tributary.import_run') is not null").await
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
