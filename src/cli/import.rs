//! `tributary import`: typed loads from exports.

mod bar;

use std::path::PathBuf;
use std::process::ExitCode;

use self::bar::Bar;
use super::Context;
use super::output::{cell, exit, json, print, table, text};
use crate::connect::connect;
use crate::error::{Error, Result};
use crate::import::audit::{Array, Audit, audit};
use crate::import::{self, Doing, Options, Report, without_zeros};

/// Refusals and differences that the report shows; `--json` has more.
const SHOWN: usize = 20;

/// Import JSON or CSV exports into PostgreSQL tables, as a plan maps them
///
/// The plan is checked against the files and the target before anything is written. Records that cannot be rows go to a
/// file that can be corrected and imported again. An interrupted import goes on where it stopped; a repeated one writes
/// only what differs. Only the target is connected to.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The plan, a TOML file, then the exports: .json, .jsonl or .csv, also .gz; with --audit the exports alone
    #[arg(required = true, value_name = "PLAN|FILE")]
    files: Vec<PathBuf>,
    /// Describe the exports: paths, types, keys, references, duplicates, broken records. Needs no plan and no server
    #[arg(long, conflicts_with_all = ["dry_run", "compare", "rejects"])]
    audit: bool,
    /// Print a commented plan for these tables of the target, from the exports. Needs no plan
    #[arg(long, value_name = "TABLES", value_delimiter = ',', conflicts_with_all = ["audit", "dry_run", "compare", "rejects", "json"])]
    propose: Vec<String>,
    /// Predict the outcome exactly, and write nothing
    #[arg(long, conflicts_with = "compare")]
    dry_run: bool,
    /// Compare every record, field by field, with what the database holds
    #[arg(long)]
    compare: bool,
    /// Where rejected records are written [default: <import>-rejects-<run>.jsonl]
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// Imports and reports.
///
/// # Errors
/// Those of the plan, the files and the target.
pub(super) async fn run(args: Args, context: &Context) -> Result<ExitCode> {
    if args.audit {
        let audit = read_only(args.files).await?;
        print(&if args.json { json(&audit)? } else { described(&audit) })?;
        return Ok(ExitCode::SUCCESS);
    }
    let target = context.target()?;
    let Some((plan, files)) = args.files.split_first() else { return Ok(ExitCode::from(2)) };
    let doing = match (args.dry_run, args.compare) {
        (true, _) => Doing::DryRun,
        (_, true) => Doing::Compare,
        _ => Doing::Import,
    };
    let opened = crate::retry::within(crate::retry::COMMAND_PATIENCE, || {
        connect(&target.server, "tributary import", "target")
    });
    let client = opened.await?;
    if !args.propose.is_empty() {
        let name = plan.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let audit = read_only(args.files).await?;
        print(&import::audit::propose(&client, &audit, &name, &args.propose).await?)?;
        return Ok(ExitCode::SUCCESS);
    }
    if files.is_empty() {
        return Err(Error::refused("no export is named", "tributary import PLAN FILE..."));
    }
    let (plan, files) = (plan.clone(), files.to_vec());
    let backups = target.backup;
    let options = Options { plan, files, doing, backups, rejects: args.rejects };
    let bar = Bar::new();
    let report = import::run(client, &options, &|at| bar.show(at)).await;
    bar.end();
    let report = report?;
    print(&if args.json { json(&report)? } else { shown(&report) })?;
    Ok(exit(report.is_sound()))
}

async fn read_only(files: Vec<PathBuf>) -> Result<Audit> {
    let read = tokio::task::spawn_blocking(move || audit(&files)).await;
    read.map_err(|error| Error::failed("reading the files", error))?
}

fn described(audit: &Audit) -> String {
    let all =
        audit.arrays.iter().flat_map(|array| std::iter::once(array).chain(array.lists.values()));
    all.map(array).collect::<Vec<_>>().join("\n")
}

fn array(array: &Array) -> String {
    let key = array.key.as_deref().map_or("no key".to_owned(), |key| format!("key {}", cell(key)));
    let mut shown = format!(
        "{}: {} records, {key} ({})\n",
        cell(&array.name),
        array.records,
        cell(&array.file)
    );
    if array.broken > 0 {
        let numbers: Vec<String> = array.broken_records.iter().map(u64::to_string).collect();
        shown +=
            &format!("  {} records are broken, the first: {}\n", array.broken, numbers.join(", "));
    }
    let mut rows = table(&["  FIELD", "VALUES", "NONE", "TYPES (SHARE, FIRST AT)", "NOTES"]);
    for (name, field) in &array.fields {
        let share = |count: u64| count as f64 * 100.0 / field.values.max(1) as f64;
        let types = field.types.iter().map(|(guess, found)| {
            format!("{} {:.1} % {}", guess.words(), share(found.count), cell(&found.example))
        });
        let mut notes = Vec::new();
        if let Some((first, again)) = &field.repeated_at {
            notes.push(format!(
                "{} repeated, as of {} and {}",
                field.repeated,
                cell(first),
                cell(again)
            ));
        }
        if let Some(refers) = &field.refers_to {
            let orphans = match &refers.example {
                Some(example) => {
                    format!(", {} lead to nothing, as of {}", refers.orphans, cell(example))
                }
                None => String::new(),
            };
            notes.push(format!("refers to {}{orphans}", cell(&refers.array)));
        }
        let missing = array.records - array.broken - field.values.min(array.records - array.broken);
        rows.add_row([
            format!("  {}", cell(name)),
            field.values.to_string(),
            missing.to_string(),
            types.collect::<Vec<_>>().join("; "),
            notes.join("; "),
        ]);
    }
    shown + &text(&rows)
}

fn shown(report: &Report) -> String {
    let mut shown = String::new();
    let what = match report.mode {
        "dry_run" => "would be imported; nothing was written",
        "compare" => "compared; nothing was written",
        _ if report.resumed => "imported; an interrupted run was completed",
        _ => "imported",
    };
    shown.push_str(&format!("{}: {what}, in {:.1} s\n\n", report.import, report.seconds));
    shown.push_str(&counts(report));
    shown.push_str(&tables(report));
    shown.push_str(&sums(report));
    shown.push_str(&keys(report));
    for (name, reason) in &report.left_out {
        shown.push_str(&format!("left out: {}: {}\n", cell(name), cell(reason)));
    }
    shown.push_str(&refusals(report));
    shown.push_str(&differences(report));
    if let Some(path) = &report.rejects {
        shown.push_str(&format!("rejected records: {path}\n"));
    }
    if let Some(id) = report.log {
        shown.push_str(&format!("operation log: tributary log show {id}\n"));
    }
    if let Some(run) = &report.backup {
        shown.push_str(&format!("the way back: tributary rollback {run}\n"));
    }
    shown
}

fn counts(report: &Report) -> String {
    let heads = [
        "LOAD",
        "IN FILE",
        "NOT TAKEN",
        "NEW",
        "UPDATED",
        "UNCHANGED",
        "REJECTED",
        "ORPHANED",
        "DUPLICATE",
        "SUM",
    ];
    let mut rows = table(&heads);
    for load in &report.loads {
        let counts = &load.counts;
        let sum = if counts.accounted() == counts.read { "ok" } else { "DIFFERS" };
        let numbers = [
            counts.read,
            counts.filtered,
            counts.inserted,
            counts.updated,
            counts.unchanged,
            counts.rejected,
            counts.orphaned,
            counts.duplicates,
        ];
        let mut row = vec![cell(&load.load)];
        row.extend(numbers.map(|number| number.to_string()));
        row.push(sum.to_owned());
        rows.add_row(row);
    }
    let mut shown = text(&rows) + "\n";
    for load in &report.loads {
        let counts = &load.counts;
        let notes = [
            (counts.nulled, "references to nothing became NULL"),
            (counts.replaced, "values that cannot be read were replaced"),
            (counts.linked, "references were filled in a second pass"),
            (counts.unlinked, "rows were refused their references of the second pass"),
        ];
        for (count, note) in notes.into_iter().filter(|(count, _)| *count > 0) {
            shown.push_str(&format!("{}: {count} {note}\n", cell(&load.load)));
        }
    }
    shown
}

fn tables(report: &Report) -> String {
    let mut rows =
        table(&["TABLE", "IN FILE", "IMPORTED", "REJECTED", "ORPHANED", "DUPLICATE", "ROWS NOW"]);
    for (name, found) in &report.tables {
        let numbers =
            [found.in_file, found.imported, found.rejected, found.orphaned, found.duplicates];
        let numbers = numbers.iter().map(u64::to_string);
        let row = std::iter::once(cell(name)).chain(numbers);
        rows.add_row(row.chain(std::iter::once(found.rows.to_string())));
    }
    text(&rows) + "\n"
}

fn keys(report: &Report) -> String {
    let broken = report.keys.iter().filter(|key| key.broken > 0);
    let mut shown: String = broken
        .map(|key| {
            format!(
                "{}: {} ({}): {} BROKEN\n",
                cell(&key.table),
                cell(&key.key),
                key.kind,
                key.broken
            )
        })
        .collect();
    if shown.is_empty() && !report.keys.is_empty() {
        shown = format!("{} foreign and unique keys hold\n", report.keys.len());
    }
    shown
}

fn sums(report: &Report) -> String {
    let sums = report.sums.iter().map(|sum| {
        let agrees = if sum.agrees() { "agree" } else { "DIFFER" };
        format!(
            "sum of {} of {}: {} in the file, {} in the database: {agrees}\n",
            cell(&sum.column),
            cell(&sum.load),
            without_zeros(&sum.file),
            without_zeros(&sum.database)
        )
    });
    sums.collect()
}

fn refusals(report: &Report) -> String {
    if report.refusals.is_empty() {
        return String::new();
    }
    let mut rows = table(&["LOAD", "RECORD", "KEY", "OUTCOME", "FIELD", "REASON", "OTHER"]);
    for refusal in report.refusals.iter().take(SHOWN) {
        let other = match (&refusal.other_key, refusal.other_record) {
            (Some(key), Some(record)) => format!("{} (record {record})", cell(key)),
            (Some(key), None) => cell(key),
            _ => String::new(),
        };
        rows.add_row([
            cell(&refusal.load),
            refusal.record.to_string(),
            cell(&refusal.key),
            refusal.outcome.clone(),
            refusal.field.as_deref().map(cell).unwrap_or_default(),
            cell(&refusal.reason),
            other,
        ]);
    }
    let more = report.listed().saturating_sub(SHOWN as u64);
    let more = if more > 0 { format!("and {more} more\n") } else { String::new() };
    format!("\n{}{more}", text(&rows))
}

fn differences(report: &Report) -> String {
    if report.mode != "compare" {
        return String::new();
    }
    if report.differences.is_empty() {
        return "no record differs from its row\n".to_owned();
    }
    let mut rows = table(&["LOAD", "RECORD", "KEY", "DIFFERS"]);
    for difference in report.differences.iter().take(SHOWN) {
        let columns = match difference.columns.as_slice() {
            [] => "there is no such row".to_owned(),
            columns => columns.join(", "),
        };
        let record = difference.record.to_string();
        rows.add_row([cell(&difference.load), record, cell(&difference.key), cell(&columns)]);
    }
    let more = report.differences.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!("and at least {more} more\n") } else { String::new() };
    format!("\n{}{more}", text(&rows))
}
