//! What a run reports: counts, sums, keys, rejected records. It ends the run.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::json;

use super::batch::has_plain_key;
use super::check::Checked;
use super::plan::Plan;
use super::run::{DURABLE, Doing, Options, Run};
use super::summary::{Report, Sum, TableReport};
use super::survey::Survey;
use super::{keys, rejects, store};
use crate::config::quote_identifier;
use crate::error::Result;
use crate::failpoint;
use crate::pg::{Param, Tx};
use crate::store::operation_log::{self, Finish, Outcome};

/// The report reads whole tables.
const AS_USUAL: &str = "reset enable_seqscan; reset enable_hashjoin; reset enable_mergejoin; ";

impl Run {
    /// Writes the file of rejected records and ends the run; a dry run is rolled back.
    pub(super) async fn report(
        self,
        options: &Options,
        survey: &Survey,
        entry: Option<i64>,
    ) -> Result<Report> {
        self.begin(DURABLE).await?;
        self.tx.batch("target: reading the result", AS_USUAL).await?;
        let comparing = self.doing == Doing::Compare;
        let identity = &self.cursor.identity;
        let refusals =
            if comparing { Vec::new() } else { store::refusals(&self.tx, identity).await? };
        let checked = self.steps.iter().filter(|step| !step.second);
        let checked: Vec<&Checked> = checked.map(|step| &*step.checked).collect();
        let mut report = Report {
            import: self.plan.import.clone(),
            run: (self.doing == Doing::Import).then_some(identity.run),
            mode: self.doing.as_str(),
            resumed: self.cursor.resumed,
            loads: self.cursor.loads.clone(),
            backup: None,
            log: entry,
            tables: self.tables().await?,
            keys: if comparing { keys::broken(&self.tx, &checked).await? } else { Vec::new() },
            sums: self.sums().await?,
            refusals,
            differences: self.differences.clone(),
            left_out: left_out(&self.plan, survey),
            rejects: None,
            seconds: 0.0,
        };
        if self.doing != Doing::Import {
            self.tx.clone().rollback().await?;
            return Ok(report);
        }
        if !report.refusals.is_empty() {
            let name = format!("{}-rejects-{}.jsonl", self.plan.import, identity.run);
            let path = options.rejects.clone().unwrap_or_else(|| PathBuf::from(name));
            rejects::write(&self.tx, identity, &path).await?;
            report.rejects = Some(path.display().to_string());
            failpoint::hit("import-rejects-written");
        }
        report.backup = backup_of(&self.tx, identity.run).await?;
        store::finish(&self.tx, &self.cursor).await?;
        if let Some(id) = entry {
            operation_log::finish(self.tx.db().client(), id, &end(&report)).await?;
        }
        failpoint::hit("import-finishing");
        self.tx.clone().commit().await?;
        Ok(report)
    }

    async fn tables(&self) -> Result<BTreeMap<String, TableReport>> {
        let mut tables: BTreeMap<String, TableReport> = BTreeMap::new();
        for step in self.steps.iter().filter(|step| !step.second) {
            let name = step.checked.load.table();
            let counts = self.counts(&step.checked.load.name);
            if let Some(known) = tables.get_mut(&name) {
                known.add(&counts);
                continue;
            }
            let sql = format!("select count(*) from {}", step.checked.table.name.quoted());
            let rows = self.tx.query("target: counting rows", &sql, &[]).await?;
            let rows = rows.first().map(|row| row.get(0)).unwrap_or_default();
            let mut table = TableReport { rows, ..TableReport::default() };
            table.add(&counts);
            tables.insert(name, table);
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
                let params: [Param<'_>; 4] = [
                    &self.cursor.identity.import,
                    &load.table(),
                    &self.cursor.identity.run,
                    &space,
                ];
                let rows = self.tx.query("target: summing", &sql, &params).await?;
                let database = rows.first().and_then(|row| row.get::<_, Option<String>>(0));
                let file = self.counts(&load.name).sums.get(column).cloned();
                let number = |found: Option<String>| found.unwrap_or_else(|| "0".to_owned());
                let (file, database) = (number(file), number(database));
                sums.push(Sum { load: load.name.clone(), column: column.clone(), file, database });
            }
        }
        Ok(sums)
    }
}

/// The backup that was taken before a run, where it is still there.
async fn backup_of(tx: &Tx, run: i64) -> Result<Option<String>> {
    let sql = "select run from tributary.backup \
               where dropped_at is null and (import ->> 'run')::bigint = $1 order by at desc limit 1";
    let rows = tx.query("target: reading backups", sql, &[&run]).await?;
    Ok(rows.first().map(|row| row.get(0)))
}

/// What the operation log keeps of it: counts, and no key or value of a record.
fn end(report: &Report) -> Finish {
    let read = report.loads.iter().map(|load| load.counts.read).sum();
    let detail = json!({
        "run": report.run, "resumed": report.resumed, "backup": report.backup, "tables": report.tables,
        "loads": report.loads, "sums": report.sums, "rejects": report.rejects.is_some()
    });
    Finish::new(Outcome::Done).counted(read, report.refused()).with(detail)
}

fn sum_sql(checked: &Checked, column: &str) -> String {
    let keys = checked.key.iter().filter_map(|at| checked.columns.get(*at));
    let keys: Vec<String> =
        keys.map(|bound| format!("t.{}::text", quote_identifier(&bound.column.name))).collect();
    format!(
        "select sum(t.{}::numeric)::text from {} t where concat_ws('|', {}) in (select m.new_id from tributary.id_map m \
         where m.import = $1 and m.table_name = $2 and m.run = $3 and m.old_id ^@ $4)",
        quote_identifier(column),
        checked.table.name.quoted(),
        keys.join(", ")
    )
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
