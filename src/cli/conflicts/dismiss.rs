//! `tributary conflicts dismiss`: put aside, one by one or many at once.

use std::process::ExitCode;

use super::preview::{self as exact, DryRun};
use super::{Which, render};
use crate::ask::{Answer, Patience, actor, ask};
use crate::cli::output::{self, print};
use crate::config::Config;
use crate::decisions::{Command, Request};
use crate::error::Result;
use crate::pg::Db;
use crate::review::query::{self, Filter};

/// Conflicts dismissed by one command: each command is one transaction, and the stream waits for it.
const BATCH: i64 = 1_000;
/// How many a preview lists.
const PREVIEW: i64 = 10;
/// How often a batch is selected again when some of it closed meanwhile.
const ATTEMPTS: u32 = 3;

/// Which conflicts, and why.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// As `conflicts list` prints them.
    #[arg(required_unless_present = "kind", conflicts_with_all = ["kind", "severity", "subject"])]
    ids: Vec<i64>,
    #[command(flatten)]
    which: Which,
    /// Why; kept with the decision.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    note: String,
    /// Who decided [default: the login name]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Dismiss all that --kind selects; without it they are only shown.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    dry: DryRun,
}

fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() { Err("a dismissal needs a reason".to_owned()) } else { Ok(text.to_owned()) }
}

/// Dismisses, or shows what would be.
///
/// # Errors
/// Those of the target.
pub(super) async fn run(args: Args, config: &Config, db: &Db) -> Result<ExitCode> {
    let actor = actor(db, args.by.as_deref()).await?;
    let asking = Asking { config, db, actor: &actor, note: &args.note };
    if !args.ids.is_empty() {
        let mut ids = args.ids.clone();
        ids.sort_unstable();
        ids.dedup();
        if args.dry.dry_run {
            let request = Request::Dismiss { conflicts: ids };
            let command = Command { note: Some(args.note.clone()), ..Command::of(request) };
            return exact::show(config, db, command, &actor, args.dry.json).await;
        }
        for batch in ids.chunks(usize::try_from(BATCH).unwrap_or(1)) {
            let answer = asking.dismiss(batch).await?;
            print(&answered(&answer))?;
            if !answer.done {
                return Ok(ExitCode::FAILURE);
            }
        }
        return Ok(ExitCode::SUCCESS);
    }
    let filter = Filter { status: Some("open"), ..args.which.filter() };
    if args.yes { asking.all(&filter).await } else { preview(&filter, config, db).await }
}

async fn preview(filter: &Filter, config: &Config, db: &Db) -> Result<ExitCode> {
    let counts = query::counts(db, filter).await?;
    let first = query::list(db, filter, PREVIEW).await?;
    let mut text = render::list(&first, &counts, &config.rules.zone);
    if !first.is_empty() {
        text.push_str("\nnothing is dismissed yet: the same command with --yes does it\n");
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn answered(answer: &Answer) -> String {
    let text = output::cell_lines(&answer.text);
    if answer.done { format!("{text}\n") } else { format!("refused: {text}\n") }
}

struct Asking<'a> {
    config: &'a Config,
    db: &'a Db,
    actor: &'a str,
    note: &'a str,
}

impl Asking<'_> {
    async fn dismiss(&self, ids: &[i64]) -> Result<Answer> {
        let request = Request::Dismiss { conflicts: ids.to_vec() };
        let command = Command { note: Some(self.note.to_owned()), ..Command::of(request) };
        ask(self.config, self.db, &command, self.actor, Patience::Minute).await
    }

    /// Batch by batch in id order, so that conflicts that open meanwhile cannot make it endless.
    async fn all(&self, filter: &Filter) -> Result<ExitCode> {
        let mut after = 0;
        let mut dismissed = 0;
        let mut attempts = 0;
        loop {
            let ids = query::ids(self.db, filter, after, BATCH).await?;
            let Some(last) = ids.last() else { break };
            let answer = self.dismiss(&ids).await?;
            if answer.done {
                after = *last;
                dismissed += ids.len();
                attempts = 0;
                continue;
            }
            // Some of them closed between the look and the command: look again.
            attempts += 1;
            if attempts == ATTEMPTS {
                print(&format!("{}dismissed {dismissed} before that\n", answered(&answer)))?;
                return Ok(ExitCode::FAILURE);
            }
        }
        print(&format!("dismissed {dismissed}\n"))?;
        Ok(ExitCode::SUCCESS)
    }
}
