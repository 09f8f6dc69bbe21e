//! `tributary slot drop`: removes slot and publication when the daemon is retired.

use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;

use super::Context;
use super::output::print;
use crate::connect::connect;
use crate::error::{Context as _, Error, Result};
use crate::session;
use crate::source::{publication, slot};

/// How long the slot is waited for to be free.
const SLOT_WAIT: Duration = Duration::from_secs(30);

/// Look after the replication slot
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Retire the daemon: remove slot and publication from the source, and the checkpoint from the target
    ///
    /// The source then no longer keeps its log for this daemon. Waits until the slot is free.
    Drop,
}

/// Carries the action out. Running it twice is fine.
///
/// # Errors
/// Those of both servers; a refusal while the slot stays in use.
pub(super) async fn run(args: Args, context: &Context) -> Result<ExitCode> {
    let Action::Drop = args.action;
    let config = &context.config()?;
    let patience = crate::retry::COMMAND_PATIENCE;
    let source = crate::retry::within(patience, || {
        connect(&config.source.server, "tributary slot drop", "source")
    })
    .await?;
    // Both servers are there before anything goes.
    let target = crate::retry::within(patience, || {
        connect(&config.target.server, "tributary slot drop", "target")
    })
    .await?;
    let name = &config.source.slot;
    let dropped = match slot::drop_when_free(&source, name, SLOT_WAIT).await {
        // The server is there: it is the reader that must go.
        Err(error @ Error::Unavailable { .. })
            if slot::state(&source, name).await.is_ok_and(|slot| slot.is_some()) =>
        {
            let remedy = "stop the daemon that reads it, and run this again";
            return Err(Error::refused(error.to_string(), remedy));
        }
        other => other?,
    };
    print(&format!("slot {name}: {}\n", outcome(dropped)))?;
    let publication = &config.source.publication;
    let dropped = publication::drop(&source, publication).await?;
    print(&format!("publication {publication}: {}\n", outcome(dropped)))?;
    let known = target
        .query_one("select to_regclass('tributary.checkpoint') is not null", &[])
        .await
        .context("target: looking for the checkpoint")?;
    if known.try_get(0).map_err(|e| Error::failed("target: looking for the checkpoint", e))? {
        target
            .execute("delete from tributary.checkpoint where slot = $1", &[&name])
            .await
            .context("target: removing the checkpoint")?;
        session::retire(&target, name).await?;
    }
    Ok(ExitCode::SUCCESS)
}

fn outcome(dropped: bool) -> &'static str {
    if dropped { "dropped" } else { "was not there" }
}
