//! `tributary verify`: whether the target is what the source, the rules and the decisions say.

use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::json;

use super::Context;
use super::output::{self, print};
use crate::error::Result;
use crate::report::store;
use crate::verify::{Example, Options, Report, Table, repair};

/// How often it is logged how far it is.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

const HELP: &str = "\
What is compared:
  source_rows    each row of the feeds with its stored row in schema tributary
  profiles, transactions, enrollments
                 the owned columns of each row with what the rules make of the rows; columns of the application,
                 bookkeeping columns and what only history explains are left out
  conflicts      the open conflicts with what the rows imply

Exit codes: 0 nothing differs; 3 something does; 69 a server is away.

Examples:
  # Compare everything, with up to 20 examples a table: keys and ids, no values
  tributary verify

  # For a program
  tributary verify --json

  # Show the values too: they are your customers'
  tributary verify --show-values --examples 3

  # Have the daemon recompute what differs, then compare again
  tributary verify --repair";

/// Recompute everything from the source and compare row by row, while the daemon runs
///
/// Only reads, whatever the daemon and the source do meanwhile: a row that changes is looked at again once the daemon
/// has passed the change. Without a streaming daemon everything is compared as it stands, and later changes of the
/// source show as differences.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Have the running daemon recompute what differs, and compare again; where none runs, this command does it.
    #[arg(long)]
    repair: bool,
    /// Show the values that differ. They are customer data.
    #[arg(long)]
    show_values: bool,
    /// Most examples of each table.
    #[arg(long, value_name = "N", default_value_t = 20)]
    examples: usize,
}

/// Verifies; exit code 3 where something differs.
///
/// # Errors
/// Those of both servers; refusals with their remedy.
pub(super) async fn run(args: Args, context: &Context) -> Result<ExitCode> {
    let config = &context.config()?;
    let options = Options { show_values: args.show_values, examples: args.examples, rest: 0 };
    let progress = Progress(Mutex::new(Instant::now()));
    let show = |stage: &'static str, done: u64| progress.show(stage, done);
    let mut report = store::verified(config, options, (None, json!({})), &show).await?;
    let mut repaired = None;
    if args.repair && report.differences > 0 {
        repaired = Some(report.differences);
        report = match repair(config, &report, options, None, &show).await? {
            Ok(report) => report,
            Err(reason) => {
                print(&format!("refused: {}\n", output::cell_lines(&reason)))?;
                return Ok(ExitCode::FAILURE);
            }
        };
    }
    if args.json {
        print(&output::json(&Printed { report: &report, repaired })?)?;
    } else {
        print(&render(&report, repaired))?;
    }
    Ok(output::exit(report.differences == 0))
}

#[derive(Serialize)]
struct Printed<'a> {
    #[serde(flatten)]
    report: &'a Report,
    /// Differences before the repair; absent where nothing was repaired.
    #[serde(skip_serializing_if = "Option::is_none")]
    repaired: Option<u64>,
}

/// Says how far it is, on standard error.
struct Progress(Mutex<Instant>);

impl Progress {
    fn show(&self, stage: &'static str, done: u64) {
        let Ok(mut logged) = self.0.lock() else { return };
        if logged.elapsed() >= LOG_INTERVAL {
            *logged = Instant::now();
            tracing::info!(stage, done, "verifying");
        }
    }
}

fn render(report: &Report, repaired: Option<u64>) -> String {
    let checked = &report.checked;
    let mut text = format!(
        "compared {} source rows, {} owners, {} transactions, {} enrollments\n",
        checked.source_rows, checked.owners, checked.transactions, checked.enrollments
    );
    if let Some(before) = repaired {
        text.push_str(&format!("repaired {before} differences, then compared again\n"));
    }
    if report.differences > 0 {
        text.push('\n');
        text.push_str(&table(report));
        text.push('\n');
        text.push_str(&examples(&report.examples));
        text.push('\n');
    }
    for (count, what) in [
        (report.unsettled, "source rows changed each time they were looked at: not compared"),
        (report.quarantined, "owners are refused by the target (rejected_row): not compared"),
        (report.incomplete, "rows have a value that is not known (incomplete_row): not compared"),
        (report.skipped, "owners of rows that differ were not compared: repair, then verify again"),
    ] {
        if count > 0 {
            text.push_str(&format!("{count} {what}\n"));
        }
    }
    if !report.streaming {
        text.push_str(
            "no daemon is streaming: compared as it stands, so that changes that are still to be applied show as \
             differences\n",
        );
    }
    text.push_str(&match report.differences {
        0 => "no differences\n".to_owned(),
        count => format!("{count} rows differ\n"),
    });
    text
}

/// Differing rows by table, with the columns.
fn table(report: &Report) -> String {
    let mut table = output::table(&["TABLE", "ROWS", "FIELDS"]);
    for name in Table::ALL.iter().filter(|table| report.tables.of(**table) > 0) {
        let prefix = format!("{}.", name.as_str());
        let fields = report
            .columns
            .iter()
            .filter_map(|(field, count)| Some(format!("{} {count}", field.strip_prefix(&prefix)?)));
        let fields = fields.collect::<Vec<_>>().join(", ");
        table.add_row([name.as_str().to_owned(), report.tables.of(*name).to_string(), fields]);
    }
    output::text(&table)
}

fn examples(examples: &[Example]) -> String {
    let mut table = output::table(&["TABLE", "PROBLEM", "ID", "SOURCE ROW", "FIELDS (RULE)"]);
    for example in examples {
        let fields = example.fields.iter().map(|field| {
            let named = format!("{} ({})", field.field, field.rule);
            let shown = |value: &Option<String>| {
                value.as_deref().map_or_else(|| "NULL".to_owned(), |value| format!("'{value}'"))
            };
            match &field.values {
                Some(values) => {
                    let (found, expected) = (shown(&values.found), shown(&values.expected));
                    format!("{named} is {found}, should be {expected}")
                }
                None => named,
            }
        });
        let fields = output::cell(&fields.collect::<Vec<_>>().join("; "));
        let text = |text: &Option<String>| output::cell(text.as_deref().unwrap_or("-"));
        table.add_row([
            example.table.as_str().to_owned(),
            example.problem.as_str().to_owned(),
            text(&example.id),
            text(&example.source_row),
            fields,
        ]);
    }
    output::text(&table)
}
