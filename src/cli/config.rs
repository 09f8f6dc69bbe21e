//! `tributary config show`, `config new` and `config upgrade`.

use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;

use super::Context;
use super::output::print;
use crate::config::{Config, new_config, upgraded};
use crate::connect::connect;
use crate::error::{Error, Result};
use crate::source::found;

const EXAMPLES: &str = "\
Examples:
  # Check a file before the daemon gets it: exit code 78 lists every problem in it
  tributary --config new.toml config show > /dev/null

  # What a change of the environment changes
  diff <(tributary config show) <(TRIBUTARY_HTTP_LISTEN=0.0.0.0:9464 tributary config show)";

const NEW: &str = "\
Examples:
  # What could be followed in this database?
  TRIBUTARY_SOURCE_URL=postgresql://reader@db/shop tributary config new > new.toml

  # Read it, decide about every line marked NOT SURE, then
  tributary --config new.toml check";

/// Look at the configuration, or write a new one
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
    /// Look at a database and print a commented configuration for the feeds that it seems to hold
    ///
    /// The source is --source, else $TRIBUTARY_SOURCE_URL, else $SOURCE_URL. Nothing is written anywhere, and no row is read:
    /// the names and types of columns show. What needs a person is marked `# NOT SURE`.
    #[command(after_help = NEW)]
    New {
        /// The database to look at; a password is better given by PGPASSWORD.
        #[arg(long, value_name = "URL")]
        source: Option<String>,
    },
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
        Command::New { source } => new(source).await?,
        Command::Upgrade { print: only_print } => upgrade(&context.config_file(), only_print)?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn new(source: Option<String>) -> Result<()> {
    let variable = |name: &str| std::env::var(name).ok().filter(|url| !url.is_empty());
    let url =
        source.or_else(|| variable("TRIBUTARY_SOURCE_URL")).or_else(|| variable("SOURCE_URL"));
    let Some(url) = url else {
        return Err(Error::Config(
            "no database is named\n  remedy: write --source URL, or set TRIBUTARY_SOURCE_URL"
                .to_owned(),
        ));
    };
    let env = |name: &str| match name {
        "TRIBUTARY_SOURCE_URL" | "TRIBUTARY_TARGET_URL" => Some(url.clone()),
        "TRIBUTARY_HTTP_LISTEN" => None,
        name => std::env::var(name).ok(),
    };
    let server = Config::parse("", &env)?.source.server;
    let patience = crate::retry::COMMAND_PATIENCE;
    let client =
        crate::retry::within(patience, || connect(&server, "tributary config new", "source"));
    print(&new_config(&found::tables(&client.await?).await?)?)
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
