//! `tributary rebuild`: recompute every person from the stored facts.

use std::process::ExitCode;

use serde_json::json;

use super::Context;
use super::output::{self, print};
use super::progress::Bar;
use crate::ask::{Patience, actor, ask, open_target};
use crate::decisions::{Command, Request};
use crate::error::Result;
use crate::store::backfill::Progress;

/// Recompute every person from the stored facts
///
/// The running daemon does it; where none runs, this command does. The answer is the same as before unless
/// something was changed in the target by hand: rows that do not differ are not written.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Asks for a rebuild and waits until it is done.
///
/// # Errors
/// Those of both servers.
pub(super) async fn run(args: Args, context: &Context) -> Result<ExitCode> {
    let config = &context.config()?;
    let db = &open_target(config).await?;
    let actor = actor(db, None).await?;
    let bar = Bar::new();
    let show = |at: &Progress| bar.show(at);
    let command = Command::of(Request::Rebuild);
    let answer = ask(config, db, &command, &actor, Patience::Progress(&show)).await?;
    let text = if args.json {
        output::json(&json!({ "done": answer.done, "answer": answer.text }))?
    } else if answer.done {
        format!("{}\n", answer.text)
    } else {
        format!("refused: {}\n", answer.text)
    };
    print(&text)?;
    Ok(if answer.done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
