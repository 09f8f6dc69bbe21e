//! `tributary validate`: the target looked at with plain SQL.

use std::process::ExitCode;

use serde_json::json;

use super::Context;
use super::output::{self, print};
use crate::ask::open_migrated;
use crate::error::Result;
use crate::store::operation_log::{Finish, Journal, Operation, Outcome};
use crate::validate::{self, Validation};

const HELP: &str = "\
Exit codes: 0 every point is as expected; 3 one is not; 69 a server is away.

Examples:
  # What is expected, what is found
  tributary validate

  # The same queries for psql or an SQL editor
  tributary validate --sql > validate.sql
  psql \"$TRIBUTARY_TARGET_URL\" --file validate.sql";

/// Check row counts, addresses, finances, references and business rules with plain SQL
///
/// Only reads. What is expected beyond the rules, such as the least number of people, is configured in [validate].
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    /// Print the queries in place of running them.
    #[arg(long, conflicts_with = "json")]
    sql: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Validates; exit code 3 where a point fails.
///
/// # Errors
/// Those of both servers.
pub(super) async fn run(args: Args, context: &Context) -> Result<ExitCode> {
    let config = &context.config()?;
    if args.sql {
        print(&validate::pack(config))?;
        return Ok(ExitCode::SUCCESS);
    }
    let db = &open_migrated(config).await?;
    let journal = Journal::begin(config, Operation::Validate, json!({}), None).await;
    let found = validate::validate(config, db).await;
    journal.close(&found, logged).await;
    let found = found?;
    print(&if args.json { output::json(&found)? } else { render(&found) })?;
    Ok(output::exit(found.ok))
}

/// What the log keeps: the points are counts, no values.
fn logged(found: &Validation) -> Finish {
    let failed: Vec<_> = found.points.iter().filter(|point| !point.ok).collect();
    Finish::new(Outcome::Done)
        .counted(found.points.len() as u64, found.failed as u64)
        .with(json!({ "failed_points": failed }))
}

pub(super) fn render(found: &Validation) -> String {
    let mut rows = output::table(&["", "GROUP", "POINT", "EXPECTED", "FOUND"]);
    for point in &found.points {
        rows.add_row([
            if point.ok { "ok" } else { "FAILED" }.to_owned(),
            point.group.clone(),
            output::cell(&point.point),
            output::cell(&point.expected),
            output::cell(&point.found),
        ]);
    }
    let mut text = output::text(&rows);
    text.push_str(&match found.failed {
        0 => "every point is as expected\n".to_owned(),
        count => format!("{count} of {} points failed\n", found.points.len()),
    });
    text
}
