//! `tributary rollback`: the target tables as they were before a backfill or an import.

use std::process::ExitCode;

use serde_json::json;

use super::Context;
use super::output::{self, print};
use crate::ask::{Patience, actor, ask, open_server};
use crate::backup::{self, Plan};
use crate::decisions::{Command, Request, courses};
use crate::error::Result;
use crate::pg::Db;
use crate::store::operation_log::{self, Operator};

const HELP: &str = "\
Rows come back by their id: what was added since goes, what is gone comes back, what differs is as it was; other tables keep
their references. All of it is one transaction. Columns, indexes and tables that `migrate` added stay.

After the rollback of a backfill the daemon is halted, also over a restart, until `tributary backfill` or `tributary cutover`.
That of an import halts nothing: its ids and its progress come back too, and a later import starts from there.

Examples:
  # What would happen, and what the application wrote since
  tributary rollback 20250630_040000 --dry-run

  # Do it
  tributary rollback 20250630_040000";

/// Bring the target tables back to a backup
///
/// Refused where the application wrote since: rows that it inserted, columns that the daemon never writes, rows of other
/// tables that refer to what would be deleted. The running daemon does it; where none runs, this command does.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    /// As `backups list` prints it.
    run: String,
    /// Print what would be done, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Lose what the application wrote since.
    #[arg(long)]
    discard_application_changes: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Who asks for it [default: the login name]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

/// Rolls back, or says what that would do.
///
/// # Errors
/// Those of the target; refusals with their remedy.
pub(super) async fn run(args: Args, context: &Context) -> Result<ExitCode> {
    let target = context.target()?;
    let db = &open_server(&target.server).await?;
    // That there is none is known now, whatever the daemon does.
    if backup::find(db, &args.run).await?.import.is_some() {
        return of_import(&args, db).await;
    }
    let config = &context.config()?;
    if args.dry_run {
        return show_plan(&args, db, &courses(&config.rules.products)).await;
    }
    let actor = actor(db, args.by.as_deref()).await?;
    let discard = args.discard_application_changes;
    let command = Command::of(Request::Rollback { run: args.run, discard });
    let never = |_: &crate::store::backfill::Progress| {};
    let answer = ask(config, db, &command, &actor, Patience::Progress(&never)).await?;
    let text = if args.json {
        output::json(&json!({ "done": answer.done, "answer": answer.text }))?
    } else if answer.done {
        format!("{}\n", output::cell_lines(&answer.text))
    } else {
        format!("refused: {}\n", output::cell_lines(&answer.text))
    };
    print(&text)?;
    Ok(if answer.done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// An import is rolled back here: no daemon has a part in it.
async fn of_import(args: &Args, db: &Db) -> Result<ExitCode> {
    if args.dry_run {
        return show_plan(args, db, &[]).await;
    }
    let actor = actor(db, args.by.as_deref()).await?;
    let operator = Operator {
        os_user: operation_log::os_user(),
        asked_by: Some(actor),
        config_hash: String::new(),
    };
    let discard = args.discard_application_changes;
    let done = backup::carry_out_of_import(db, &args.run, discard, &operator).await?;
    print(&if args.json {
        output::json(&json!({ "done": true, "answer": done }))?
    } else {
        format!("{}\n", output::cell_lines(&done))
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn show_plan(args: &Args, db: &Db, courses: &[uuid::Uuid]) -> Result<ExitCode> {
    let plan = backup::planned(db, &args.run, courses).await?;
    print(&if args.json { output::json(&plan)? } else { render(&plan) })?;
    Ok(ExitCode::SUCCESS)
}

fn render(plan: &Plan) -> String {
    let mut rows = output::table(&["TABLE", "DELETE", "INSERT", "UPDATE"]);
    for table in &plan.tables {
        rows.add_row([
            table.table.clone(),
            table.delete.to_string(),
            table.insert.to_string(),
            table.update.to_string(),
        ]);
    }
    let mut text = output::text(&rows);
    if plan.was_done {
        text = "the tables were brought back to this backup before; what the application wrote since stays\n".to_owned();
    } else if plan.application.is_empty() {
        text.push_str("\nthe application wrote nothing since\n");
    } else {
        text.push_str("\nwhat the application wrote since and would lose:\n");
        let mut rows = output::table(&["TABLE", "ROWS", "WHAT", "SOME OF THEM"]);
        for one in &plan.application {
            let what = if one.blocks { format!("{} (blocks)", one.what) } else { one.what.clone() };
            rows.add_row([
                one.table.clone(),
                one.rows.to_string(),
                output::cell(&what),
                output::cell(&one.examples.join(", ")),
            ]);
        }
        text.push_str(&output::text(&rows));
    }
    text.push_str("nothing was written\n");
    text
}
