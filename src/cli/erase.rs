//! `tributary erase EMAIL`: forget a person (SPEC §7).

use std::process::ExitCode;

use serde::Serialize;

use super::Context;
use super::output::{self, print};
use crate::ask::{Patience, actor, ask, open_target};
use crate::decisions::erase::{Person, backups_with};
use crate::decisions::{Command, Request, parse_email};
use crate::error::Result;

/// Forget a person that no feed has any more
///
/// Refused while any feed has the person. The profile is deleted where nothing references it, else it is emptied and its
/// address becomes erased-<id>@invalid. Everything that names the person goes from the schema tributary: conflicts,
/// decisions with what would undo them, commands, the log. Backups that still hold it are listed: they are yours to drop.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Any address of the person.
    email: String,
    /// Who asks [default: the login name]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Printed {
    done: bool,
    text: String,
    /// Tables of backups that still hold the person.
    backups: Vec<String>,
}

/// Has the writer forget the person; exit code 1 where it refuses.
///
/// # Errors
/// Those of the target.
pub(super) async fn run(args: Args, context: &Context) -> Result<ExitCode> {
    let config = &context.config()?;
    let db = &open_target(config).await?;
    let email = parse_email(&args.email)?;
    // Afterwards nobody knows.
    let person = Person::find(db, &email).await?;
    let actor = actor(db, args.by.as_deref()).await?;
    let command = Command::of(Request::Erase { email: email.to_string() });
    let answer = ask(config, db, &command, &actor, Patience::Minute).await?;
    let backups = if answer.done { backups_with(db, &person).await? } else { Vec::new() };
    let printed = Printed { done: answer.done, text: answer.text, backups };
    print(&if args.json { output::json(&printed)? } else { render(&printed) })?;
    Ok(if printed.done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn render(printed: &Printed) -> String {
    let Printed { done, text, backups } = printed;
    if !done {
        return format!("refused: {}\n", output::cell_lines(text));
    }
    let mut page = format!("{}\n", output::cell_lines(text));
    if !backups.is_empty() {
        page.push_str("backups that still hold the person:\n");
        for table in backups {
            page.push_str(&format!("  {}\n", output::cell(table)));
        }
    }
    page
}
