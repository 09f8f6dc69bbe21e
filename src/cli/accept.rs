//! `tributary accept`: apply the guarded delete that the daemon halted in front of (P9). `pause` and `resume` ask in the same
//! way.

use std::process::ExitCode;

use super::Context;
use super::output::print;
use crate::ask::{Patience, actor, ask, open_target};
use crate::config::Config;
use crate::decisions::{Command, Request};
use crate::error::Result;
use crate::pg::Db;
use crate::store::halt;

/// Accepts exactly the pending halt; never prompts.
///
/// # Errors
/// Those of the target.
pub(super) async fn run(context: &Context) -> Result<ExitCode> {
    let config = &context.config()?;
    let db = &open_target(config).await?;
    // A daemon that reads or backfills answers only later; that nothing is halted is known now.
    halt::pending(db).await?;
    asked(config, db, Request::Accept { halt: None }).await
}

/// Pauses the stream or goes on with it.
///
/// # Errors
/// Those of the target.
pub(super) async fn pause(context: &Context, request: Request) -> Result<ExitCode> {
    let config = &context.config()?;
    asked(config, &open_target(config).await?, request).await
}

async fn asked(config: &Config, db: &Db, request: Request) -> Result<ExitCode> {
    let actor = actor(db, None).await?;
    let answer = ask(config, db, &Command::of(request), &actor, Patience::Minute).await?;
    if answer.done {
        print(&format!("{}\n", answer.text))?;
        return Ok(ExitCode::SUCCESS);
    }
    print(&format!("refused: {}\n", answer.text))?;
    Ok(ExitCode::FAILURE)
}
