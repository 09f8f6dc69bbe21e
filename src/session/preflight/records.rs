//! What the target records of its installation, held against this configuration and this source: whose schema it is, which slot it
//! goes on with, what its feeds are, what it is halted for (SPEC §1, P9, P11, P12).

use crate::config::Config;
use crate::error::{Error, Result};
use crate::halt::HaltCause;
use crate::pg::Client;
use crate::session::{installation, lock, resume};
use crate::source::{Finding, slot};
use crate::store;

/// The points that hold or do not hold, beginning with whose schema it is. Without a session on the source what is compared with
/// it is left out.
///
/// # Errors
/// A server is away.
pub async fn records(
    source: Option<&Client>,
    target: &Client,
    config: &Config,
) -> Result<Vec<Finding>> {
    let own = installation::refuse_another_slot(target, config).await;
    let own = Finding::of("target.installation", "no other installation uses this schema", own)?;
    if !own.ok {
        return Ok(vec![own]);
    }
    let mut findings = vec![own];
    let recorded = installation::recorded(target).await?;
    if recorded.is_some() {
        let known = store::feed::recorded(target).await?;
        let numbered = store::feed::numbered(&known, &config.source.feeds).map(drop);
        findings.push(Finding::of("target.feeds", "the feeds are what they were", numbered)?);
        findings.push(halt(target).await?);
    }
    let Some(source) = source else { return Ok(findings) };
    let continues = continues(source, target, config, recorded.as_ref()).await;
    findings.push(Finding::of("target.checkpoint", "slot and checkpoint fit", continues)?);
    Ok(findings)
}

/// Refuses what `run` refuses before it goes on with its slot, or waits for the lock of another daemon.
async fn continues(
    source: &Client,
    target: &Client,
    config: &Config,
    recorded: Option<&installation::Recorded>,
) -> Result<()> {
    if let Some(recorded) = recorded
        && lock::is_held(target).await?
    {
        lock::refuse_another_source(config, recorded).await?;
    }
    let name = &config.source.slot;
    let Some(state) = slot::state(source, name).await? else { return Ok(()) };
    if recorded.is_none() {
        return Err(resume::unknown_slot(name));
    }
    match resume::checkpoint(target, name).await? {
        Some(checkpoint) => {
            let relocated = installation::is_relocated(target).await?;
            let foreign = resume::Foreign { source, target, config, relocated };
            match foreign.refuse(&state, checkpoint).await {
                // `run` waits for that reader.
                Err(Error::Unavailable { .. }) if resume::is_read_further(&state, checkpoint) => {
                    Err(read_further(name))
                }
                refused => refused,
            }
        }
        None if resume::knows_slot(target, name).await? => Ok(()),
        None => Err(resume::unknown_slot(name)),
    }
}

fn read_further(name: &str) -> Error {
    Error::refused(
        format!("the slot {name} is ahead of this target, and a daemon of another target reads it"),
        "configure another source.slot here, or stop that daemon and retire it with `tributary slot drop`",
    )
}

/// A halt in front of a delete, or after a rollback, outlives a restart.
async fn halt(target: &Client) -> Result<Finding> {
    const NAME: &str = "target.halt";
    let standing = store::halt::standing(target).await?;
    match standing.as_ref().map(|halt| &halt.cause) {
        Some(HaltCause::RolledBack { run }) => {
            return Ok(Finding::failed(
                NAME,
                format!(
                    "the target tables are those of backup {run}, and the daemon halts in front of them"
                ),
                "run `tributary backfill` or `tributary cutover`, which take a new backup first",
            ));
        }
        Some(HaltCause::Paused { by }) => {
            let found = format!("{by} paused the stream, and the daemon halts in front of it");
            return Ok(Finding::failed(NAME, found, "run `tributary resume`"));
        }
        _ => {}
    }
    let halted = store::halt::recorded(target).await?;
    Ok(match halted.filter(|halt| !halt.is_failure()) {
        Some(halt) => Finding::failed(
            NAME,
            format!("the daemon is halted: {}", halt.what()),
            "correct the source, or, if that is meant, run `tributary accept`",
        ),
        None => Finding::passed(NAME, "nothing is halted"),
    })
}
