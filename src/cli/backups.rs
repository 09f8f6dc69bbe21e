//! `tributary backups`: the copies that were taken before a backfill.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use jiff::tz::TimeZone;

use super::Context;
use super::output::{self, print};
use crate::ask::open_server;
use crate::backup::{self, Backup, Exported};
use crate::error::Result;

const HELP: &str = "\
A backup holds the profiles, courses, transactions and enrollments of one moment, in a schema tributary_backup_<run> of the
target that no other role may read. One is taken before the first backfill into tables that hold rows, and before the commands
backfill and cutover. The newest [backup] keep of them stay.

Examples:
  # What there is
  tributary backups list

  # Back to one of them: first what that would do, then do it
  tributary rollback 20250630_040000 --dry-run
  tributary rollback 20250630_040000

  # As files, in a directory that only you can read
  tributary backups export 20250630_040000 ./backup";

/// List, drop and export the copies that were taken before a backfill
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List backups, newest first
    List {
        /// Print a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Drop a backup: there is no way back to it any more
    Drop {
        /// As the list prints it.
        run: String,
    },
    /// Write a backup as compressed JSON lines, one file a table, and read them back to be sure
    Export {
        /// As the list prints it.
        run: String,
        /// Where to; made where it is missing. Files that are there are never overwritten.
        dir: PathBuf,
        /// Print a JSON array.
        #[arg(long)]
        json: bool,
    },
}

/// Carries the action out.
///
/// # Errors
/// Those of the target and of the file system; refusals with their remedy.
pub(super) async fn run(args: Args, context: &Context) -> Result<ExitCode> {
    let target = context.target()?;
    let db = &open_server(&target.server).await?;
    let text = match args.action {
        Action::List { json } => {
            let backups = backup::list(db).await?;
            if json { output::json(&backups)? } else { render(&backups, &target.zone) }
        }
        Action::Drop { run } => {
            backup::drop(db, &run).await?;
            format!("dropped backup {run}\n")
        }
        Action::Export { run, dir, json } => {
            let found = backup::find(db, &run).await?;
            let exported = backup::export(db, &found, &dir).await?;
            if json { output::json(&exported)? } else { files(&exported) }
        }
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn render(backups: &[Backup], zone: &TimeZone) -> String {
    if backups.is_empty() {
        return "there is no backup\n".to_owned();
    }
    let mut rows = output::table(&["RUN", "AT", "BEFORE", "TABLES", "ROWS", "BYTES"]);
    for backup in backups {
        let at = backup.at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string();
        let tables =
            if backup.present { backup.tables.len().to_string() } else { "gone".to_owned() };
        rows.add_row([
            backup.run.clone(),
            at,
            backup.reason.clone(),
            tables,
            backup.rows.to_string(),
            backup.bytes.to_string(),
        ]);
    }
    output::text(&rows)
}

fn files(exported: &[Exported]) -> String {
    let mut rows = output::table(&["TABLE", "ROWS", "BYTES", "FILE"]);
    for one in exported {
        let file = output::cell(&one.file.display().to_string());
        rows.add_row([one.table.clone(), one.rows.to_string(), one.bytes.to_string(), file]);
    }
    let mut text = output::text(&rows);
    text.push_str("all of it reads back as what was written\n");
    text
}
