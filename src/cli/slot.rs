//! `tributary slot drop`: removes slot and publication when the daemon is retired.

use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;

use super::Context;
use super::output::print;
use crate::config::Config;
use crate::connect::connect;
use crate::error::{Context as _, Error, Result};
use crate::pg::Client;
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
    /// The source then no longer keeps its log for this daemon. Waits until the slot is free. Nothing is removed while the target cannot be
    /// reached, unless that is asked for.
    Drop {
        /// Free the log of the source though the target is down or gone. Where its checkpoint is still there, a daemon that is started later
        /// makes a new slot and reads everything again
        #[arg(long)]
        without_target: bool,
    },
}

/// Carries the action out. Running it twice is fine.
///
/// # Errors
/// Those of both servers; a refusal while the slot stays in use.
pub(super) async fn run(args: Args, context: &Context) -> Result<ExitCode> {
    let Action::Drop { without_target } = args.action;
    let config = &context.config()?;
    let patience = crate::retry::COMMAND_PATIENCE;
    let source = crate::retry::within(patience, || {
        connect(&config.source.server, "tributary slot drop", "source")
    })
    .await?;
    // Both servers are there before anything goes.
    let target = if without_target { None } else { Some(open_target(config).await?) };
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
    match target {
        Some(target) => forget(&target, name).await?,
        None => print("checkpoint: left where it is\n")?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The target, or its error, with the way past it.
async fn open_target(config: &Config) -> Result<Client> {
    let opened = crate::retry::within(crate::retry::COMMAND_PATIENCE, || {
        connect(&config.target.server, "tributary slot drop", "target")
    });
    opened.await.inspect_err(|_| {
        tracing::warn!("nothing was dropped; where the target is gone, `tributary slot drop --without-target` frees the log of the source");
    })
}

/// Removes the checkpoint from the target, where there is one.
async fn forget(target: &Client, slot: &str) -> Result<()> {
    const WHAT: &str = "target: looking for the checkpoint";
    let sql = "select to_regclass('tributary.checkpoint') is not null";
    let known = target.query_one(sql, &[]).await.context(WHAT)?;
    if known.try_get(0).map_err(|error| Error::failed(WHAT, error))? {
        let sql = "delete from tributary.checkpoint where slot = $1";
        target.execute(sql, &[&slot]).await.context("target: removing the checkpoint")?;
        session::retire(target, slot).await?;
    }
    Ok(())
}

fn outcome(dropped: bool) -> &'static str {
    if dropped { "dropped" } else { "was not there" }
}
