//! `tributary config show` and `config upgrade`.

use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;

use super::Context;
use super::output::print;
use crate::config::upgraded;
use crate::error::{Error, Result};

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
    /// Bring a file of the previous format up to date, in place
    ///
    /// The previous format had [source.xendit] and [source.systemeio] in place of [feeds.<name>]. Comments stay; the file as
    /// it was is kept beside it with `.old` at the end of its name. No server is asked.
    Upgrade {
        /// Print the new text and leave the file as it is.
        #[arg(long)]
        print: bool,
    },
}

/// Prints the configuration.
pub(super) async fn run(args: Args, context: &Context) -> Result<ExitCode> {
    match args.command {
        Command::Show => print(&context.config()?.to_toml())?,
        Command::Upgrade { print: only_print } => upgrade(&context.config_file(), only_print)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn upgrade(file: &Path, only_print: bool) -> Result<()> {
    let failed = |what: &str, error: &std::io::Error| {
        Error::Config(format!("{} cannot be {what}: {error}", file.display()))
    };
    let text = std::fs::read_to_string(file).map_err(|error| failed("read", &error))?;
    let Some(new) = upgraded(&text) else {
        return print(&format!("{} is up to date\n", file.display()));
    };
    if only_print {
        return print(&new);
    }
    let mut old = file.as_os_str().to_owned();
    old.push(".old");
    std::fs::copy(file, &old).map_err(|error| failed("kept as it is", &error))?;
    std::fs::write(file, new).map_err(|error| failed("written", &error))?;
    print(&format!("{} is up to date now; as it was: {}\n", file.display(), old.display()))
}
