//! `tributary accept`: apply the guarded delete that the daemon halted in front of (P9).

use std::process::ExitCode;

use super::Context;
use super::output::print;
use crate::ask::{Patience, actor, ask, open_target};
use crate::decisions::{Command, Request};
use crate::error::Result;
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
    let actor = actor(db, None).await?;
    let answer =
        ask(config, db, &Command::of(Request::Accept { halt: None }), &actor, Patience::Minute)
            .await?;
    if answer.done {
        print(&format!("{}\n", answer.text))?;
        return Ok(ExitCode::SUCCESS);
    }
    print(&format!("refused: {}\n", answer.text))?;
    Ok(ExitCode::FAILURE)
}
