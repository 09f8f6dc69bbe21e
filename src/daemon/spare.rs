//! Gives the slot up where it makes the source keep more log than the operator allows (`source.give_up_slot_mb`): the
//! source's disk matters more than a reconcile.

use std::time::Duration;

use crate::config::Config;
use crate::connect::connect;
use crate::error::{Error, Result};
use crate::source::{slot, slot_log};
use crate::status::SlotLog;

/// How long its reader, whose session has just ended, is waited for.
const WAIT: Duration = Duration::from_secs(5);

/// The error that ends a session whose slot is to be given up.
pub(super) fn over_limit(config: &Config, log: &SlotLog) -> Option<Error> {
    let limit = config.source.give_up_slot_mb?;
    (log.retained_bytes > bytes(limit)).then(|| {
        Error::unavailable(
            "source: following",
            format!("the slot keeps more than {limit} MiB of log (source.give_up_slot_mb)"),
        )
    })
}

fn bytes(mb: u32) -> u64 {
    u64::from(mb) * 1024 * 1024
}

/// Drops the slot where it keeps too much. A reader of somebody else keeps it. The next session makes a new one and
/// reconciles (P12).
pub(super) async fn give_up(config: &Config) -> Result<()> {
    if config.source.give_up_slot_mb.is_none() {
        return Ok(());
    }
    let name = &config.source.slot;
    let client = connect(&config.source.server, "tributary", "source").await?;
    let Some((_, log)) = slot_log::look(&client, name).await? else { return Ok(()) };
    if over_limit(config, &log).is_none() {
        return Ok(());
    }
    if slot::drop_when_free(&client, name, WAIT).await? {
        tracing::warn!(
            slot = name,
            retained_bytes = log.retained_bytes,
            "gave the slot up, as it made the source keep more log than source.give_up_slot_mb allows; everything is \
             read again with a new one"
        );
    }
    Ok(())
}
