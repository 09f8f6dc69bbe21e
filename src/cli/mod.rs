//! The command line (SPEC §9): one file a command.
//!
//! A command is a file here with `Args` and `run`, and one line each in `Command` and in
//! `Command::run`. What a command writes goes through [`output`]; logs go to standard error.

mod accept;
mod backfill;
mod backups;
mod check;
mod completions;
mod config;
mod conflicts;
mod cutover;
mod decisions;
mod erase;
mod explain;
mod healthcheck;
mod import;
mod log;
mod migrate;
pub mod output;
mod progress;
mod rebuild;
mod reload;
mod report;
mod rollback;
mod rollout;
mod run;
mod slot;
mod status;
mod validate;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Config, TargetOnly};
use crate::decisions::Request;
use crate::error::Result;

const EXAMPLES: &str = "\
Environment:
  TRIBUTARY_CONFIG       the configuration file, as --config
  TRIBUTARY_SOURCE_URL   replaces [source] url
  TRIBUTARY_TARGET_URL   replaces [target] url
  TRIBUTARY_HTTP_LISTEN  replaces [http] listen
  RUST_LOG               what is logged, such as info or tributary=debug

Exit codes:
  0   done
  1   failed; the message says why, and what to do about it where a person must act
  2   wrong usage
  3   differences were found, or a point of a check failed
  69  a server is unavailable
  78  the configuration is wrong

Examples:
  # A throwaway PostgreSQL, made-up data, the whole job on screen
  tributary demo

  # Is everything ready? Then start
  tributary check && tributary run

  # What is in force, and where each value comes from; passwords are hidden
  tributary config show

  # Is the daemon of this configuration alive?
  tributary healthcheck

  # Another configuration file, with debug lines
  RUST_LOG=debug tributary --config /etc/tributary.toml config show";

/// Keeps one clean customer database in step with raw PostgreSQL tables.
///
/// It reads the tables of payments and contacts of a source database once, then follows their
/// changes by logical replication, and maintains profiles, transactions and enrollments in a target
/// database. The source is only read.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, subcommand_required = true, arg_required_else_help = true)]
pub struct Arguments {
    /// The configuration [default: $TRIBUTARY_CONFIG, else config/tributary.toml]
    #[arg(long, short, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon: migrate, backfill if needed, then follow the source until SIGTERM or Ctrl-C
    ///
    /// What may heal, such as a server that restarts, is retried for ever with growing pauses.
    Run,
    Backfill(backfill::Args),
    Check(check::Args),
    /// Bring the target schema up to date: create what is missing, never drop or retype anything
    Migrate,
    Status(status::Args),
    Verify(verify::Args),
    Validate(validate::Args),
    Conflicts(conflicts::Args),
    Decisions(decisions::Args),
    Erase(erase::Args),
    Explain(explain::Args),
    Rebuild(rebuild::Args),
    Rollout(rollout::Args),
    Report(report::Args),
    Log(log::Args),
    Backups(backups::Args),
    Rollback(rollback::Args),
    Cutover(cutover::Args),
    /// Accept the guarded delete that the daemon halted in front of
    ///
    /// Accepts exactly the pending one, which `tributary status` names. Never prompts.
    Accept,
    /// Apply nothing of the stream until it is resumed
    ///
    /// The daemon stays up, halted; the source keeps its log meanwhile. Where none runs, the next one waits.
    Pause,
    /// Go on with the stream after a pause
    Resume,
    Import(import::Args),
    Slot(slot::Args),
    Config(config::Args),
    Healthcheck(healthcheck::Args),
    /// Show the product at work on a throwaway PostgreSQL with made-up data
    ///
    /// Backfill, live changes, the outcome on screen. Needs PostgreSQL's server programs, and touches no server
    /// of yours.
    Demo(crate::demo::DemoOptions),
    Completions(completions::Args),
}

impl Command {
    async fn run(self, context: &Context) -> Result<ExitCode> {
        match self {
            Self::Run => run::run(context).await,
            Self::Backfill(args) => backfill::run(args, context).await,
            Self::Check(args) => check::run(args, context).await,
            Self::Migrate => migrate::run(&context.config()?).await,
            Self::Status(args) => status::run(args, context).await,
            Self::Verify(args) => verify::run(args, context).await,
            Self::Validate(args) => validate::run(args, context).await,
            Self::Conflicts(args) => conflicts::run(args, context).await,
            Self::Decisions(args) => decisions::run(args, context).await,
            Self::Erase(args) => erase::run(args, context).await,
            Self::Explain(args) => explain::run(args, context).await,
            Self::Rebuild(args) => rebuild::run(args, context).await,
            Self::Rollout(args) => rollout::run(args, context).await,
            Self::Report(args) => report::run(args, context).await,
            Self::Log(args) => log::run(args, context).await,
            Self::Backups(args) => backups::run(args, context).await,
            Self::Rollback(args) => rollback::run(args, context).await,
            Self::Cutover(args) => cutover::run(args, context).await,
            Self::Accept => accept::run(context).await,
            Self::Pause => accept::pause(context, Request::Pause).await,
            Self::Resume => accept::pause(context, Request::Resume).await,
            Self::Import(args) => import::run(args, context).await,
            Self::Slot(args) => slot::run(args, context).await,
            Self::Config(args) => config::run(args, context).await,
            Self::Healthcheck(args) => healthcheck::run(args, context).await,
            Self::Demo(args) => demo(args).await,
            Self::Completions(args) => completions::run(args, context).await,
        }
    }
}

async fn demo(options: crate::demo::DemoOptions) -> Result<ExitCode> {
    crate::demo::run(options, run::stop_on_signal()?).await?;
    Ok(ExitCode::SUCCESS)
}

/// What every command is given.
pub(crate) struct Context {
    file: Option<PathBuf>,
}

impl Context {
    /// Reads the configuration. Not done beforehand, since some commands need none.
    pub(crate) fn config(&self) -> Result<Config> {
        let config = Config::load(self.file.as_deref(), &|name| std::env::var(name).ok())?;
        crate::logging::set_level(config.log_level.as_deref())?;
        crate::logging::set_slot(&config.source.slot);
        Ok(config)
    }

    /// Reads the target alone, for commands that need no source.
    pub(crate) fn target(&self) -> Result<TargetOnly> {
        let target = Config::target_only(self.file.as_deref(), &|name| std::env::var(name).ok())?;
        crate::logging::set_level(target.log_level.as_deref())?;
        Ok(target)
    }

    /// The file that it is read from.
    pub(crate) fn config_file(&self) -> PathBuf {
        Config::file(self.file.as_deref(), &|name| std::env::var(name).ok())
    }
}

/// Carries out the command, and says how the process ends.
///
/// # Errors
/// Those of the command; [`crate::error::Error::exit_code`] is the code to end with.
pub async fn run(arguments: Arguments) -> Result<ExitCode> {
    let Arguments { config, command } = arguments;
    command.run(&Context { file: config }).await
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    /// SPEC §9: exit code 2 is wrong usage; asking for help is none.
    #[test]
    fn wrong_usage_is_told_apart_from_help() {
        for (line, kind, code) in [
            ("tributary", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand, 2),
            ("tributary nonsense", ErrorKind::InvalidSubcommand, 2),
            ("tributary config show --nonsense", ErrorKind::UnknownArgument, 2),
            ("tributary --help", ErrorKind::DisplayHelp, 0),
            ("tributary --version", ErrorKind::DisplayVersion, 0),
        ] {
            let error = Arguments::try_parse_from(line.split(' ')).unwrap_err();
            assert_eq!((error.kind(), error.exit_code()), (kind, code), "{line}");
        }
    }

    #[test]
    fn the_file_may_be_named_before_or_after_the_command() {
        for line in ["tributary -c a.toml config show", "tributary config show --config a.toml"] {
            let arguments = Arguments::try_parse_from(line.split(' ')).unwrap();
            assert_eq!(arguments.config, Some("a.toml".into()), "{line}");
        }
    }

    #[test]
    fn help_teaches_the_exit_codes_and_the_environment() {
        let help = Arguments::command().render_long_help().to_string();
        for part in ["69", "78", "TRIBUTARY_CONFIG", "TRIBUTARY_HTTP_LISTEN", "RUST_LOG"] {
            assert!(help.contains(part), "{part} is missing in\n{help}");
        }
    }
}
