//! `tributary completions`.

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use super::output::print;
use super::{Arguments, Context};
use crate::error::Result;

const EXAMPLES: &str = "\
Examples:
  tributary completions bash > /etc/bash_completion.d/tributary
  tributary completions zsh > ~/.zfunc/_tributary
  tributary completions fish > ~/.config/fish/completions/tributary.fish";

/// Print a script that completes this command line in a shell
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub(super) async fn run(args: Args, _context: &Context) -> Result<ExitCode> {
    print(&script(args.shell))?;
    Ok(ExitCode::SUCCESS)
}

fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "tributary", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_learns_the_commands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell, Shell::Elvish] {
            assert!(script(shell).contains("healthcheck"), "{shell}");
        }
    }
}
