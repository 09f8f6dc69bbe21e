//! `tributary healthcheck`.

use std::net::SocketAddr;
use std::process::ExitCode;

use super::Context;
use super::output::print;
use crate::error::Result;
use crate::http;

const EXAMPLES: &str = "\
Exit codes:
  0   the daemon is alive (with --ready: and does its work)
  1   it answered that it is not; the answer says why
  69  nothing answered within 5 seconds

Examples:
  # For a container runtime: restart what is not alive
  HEALTHCHECK CMD [\"tributary\", \"healthcheck\"]

  # For a person or a load balancer: does it stream?
  tributary healthcheck --ready";

/// Ask the running daemon whether it is alive
///
/// Asks /livez of the address in [http] listen. No database is asked, so a daemon that waits for a server
/// to come back, or for an operator, is alive.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Ask /readyz: it holds the lock of its target, and backfills or streams
    #[arg(long)]
    ready: bool,

    /// With --ready: also while it waits for a daemon that works on the target
    #[arg(long, requires = "ready")]
    standby: bool,

    /// Ask this address, whatever the configuration says
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<SocketAddr>,
}

/// Prints the daemon's answer.
pub(super) async fn run(args: Args, context: &Context) -> Result<ExitCode> {
    let listen = match args.listen {
        Some(listen) => listen,
        None => context.config()?.http_listen,
    };
    let path = match (args.ready, args.standby) {
        (true, true) => "/readyz?standby=1",
        (true, false) => "/readyz",
        (false, _) => "/livez",
    };
    let answer = http::fetch(listen, path, None).await?;
    print(&format!("{}\n", answer.body.trim_end()))?;
    Ok(if answer.code == 200 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
