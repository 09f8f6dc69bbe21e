//! `tributary config show`.

use std::process::ExitCode;

use clap::Subcommand;

use super::Context;
use super::output::print;
use crate::error::Result;

const EXAMPLES: &str = "\
Examples:
  # Check a file before the daemon gets it: exit code 78 lists every problem in it
  tributary --config new.toml config show > /dev/null

  # What a change of the environment changes
  diff <(tributary config show) <(TRIBUTARY_HTTP_LISTEN=0.0.0.0:9464 tributary config show)";

/// Look at the configuration
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print every value in force as TOML, defaults included, and where replaced ones come from
    ///
    /// Passwords are hidden. No server is asked.
    #[command(after_help = EXAMPLES)]
    Show,
}

/// Prints the configuration.
pub(super) async fn run(args: Args, context: &Context) -> Result<ExitCode> {
    let Command::Show = args.command;
    print(&context.config()?.to_toml())?;
    Ok(ExitCode::SUCCESS)
}
