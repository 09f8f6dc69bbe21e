//! `tributary migrate`: brings the target schema up to date.

use std::process::ExitCode;

use super::output::print;
use crate::config::Config;
use crate::connect::connect;
use crate::error::Result;

/// Migrates and says what was done.
///
/// # Errors
/// Those of the target; a refusal where privileges are missing.
pub(super) async fn run(config: &Config) -> Result<ExitCode> {
    let opened = crate::retry::within(crate::retry::COMMAND_PATIENCE, || {
        connect(&config.target.server, "tributary migrate", "target")
    });
    let mut target = opened.await?;
    crate::session::refuse_another_version(&target).await?;
    let done = crate::migrate::logged(&mut target, config, true).await?;
    let lines: String = done.iter().map(|line| format!("{line}\n")).collect();
    print(if done.is_empty() { "the target is up to date\n" } else { &lines })?;
    Ok(ExitCode::SUCCESS)
}
