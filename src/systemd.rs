//! The service manager's side (`Type=notify`): ready, status, reloading, stopping, watchdog. Nothing happens without systemd.
//!
//! READY comes once this daemon holds the lock of its target, or has halted: a standby is not ready. The watchdog is fed while
//! the main loop comes round as `/livez` has it (P17): where the loop hangs, or the whole process, systemd restarts it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;

use crate::http::Health;
use crate::status::{Phase, Status};

/// How often the state is looked at, without a watchdog that is faster.
const INTERVAL: Duration = Duration::from_secs(1);

/// Longest status text; the reason of a halt is longer, and `tributary status` has it all.
const STATUS_CHARS: usize = 200;

/// Keeps the service manager informed until it is dropped.
pub async fn inform(health: Arc<Health>) -> Infallible {
    let watchdog = sd_notify::watchdog_enabled();
    // Three times within the limit: one that comes late is no end.
    let interval = watchdog.map_or(INTERVAL, |limit| INTERVAL.min(limit / 3));
    let (mut is_ready, mut sent) = (false, String::new());
    loop {
        let status = health.status();
        if !is_ready && (health.leads() || status.phase == Phase::Halted) {
            send(&[NotifyState::Ready]);
            is_ready = true;
        }
        let text = status_text(&status);
        if text != sent {
            send(&[NotifyState::Status(&text)]);
            sent = text;
        }
        if watchdog.is_some() && health.is_alive() {
            send(&[NotifyState::Watchdog]);
        }
        tokio::time::sleep(interval).await;
    }
}

/// A reload has begun; [`reloaded`] ends it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(_) => send(&[NotifyState::Reloading]),
    }
}

/// The reload is over, whatever became of it.
pub fn reloaded() {
    send(&[NotifyState::Ready]);
}

/// The daemon ends.
pub fn stopping() {
    send(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

fn send(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "systemd was not informed");
    }
}

/// One line for `systemctl status`. Positions are left out, so that it changes when something does.
fn status_text(status: &Status) -> String {
    let phase = status.phase;
    let reason = status.halted.as_ref().or(status.frozen_because.as_ref());
    let text = match (reason, phase) {
        (Some(reason), _) => format!("{phase}: {}", reason.lines().next().unwrap_or_default()),
        (None, Phase::Backfilling) => {
            let backfill = status.backfill;
            format!("{phase}: {} of about {} rows", backfill.rows_done, backfill.rows_estimated)
        }
        (None, _) => phase.to_string(),
    };
    text.chars().take(STATUS_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Backfill;

    #[test]
    fn the_status_is_one_short_line() {
        let table = [
            (Status::default(), "starting"),
            (
                Status {
                    phase: Phase::Backfilling,
                    backfill: Backfill { rows_done: 3, rows_estimated: 9 },
                    ..Status::default()
                },
                "backfilling: 3 of about 9 rows",
            ),
            (
                Status {
                    phase: Phase::Halted,
                    halted: Some("rows would go\n  remedy: x".into()),
                    ..Status::default()
                },
                "halted: rows would go",
            ),
            (
                Status {
                    phase: Phase::Streaming,
                    frozen_because: Some("it stands still".into()),
                    ..Status::default()
                },
                "streaming: it stands still",
            ),
        ];
        for (status, expected) in table {
            assert_eq!(status_text(&status), expected);
        }
        let long = Status { halted: Some("é".repeat(500)), ..Status::default() };
        assert_eq!(status_text(&long).chars().count(), STATUS_CHARS);
    }
}
