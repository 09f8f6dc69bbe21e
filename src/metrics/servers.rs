//! What is known of the servers, and what goes wrong with them.

use jiff::Timestamp;

use super::{
    BACKFILL_STAGE, CERTIFICATE_EXPIRY, CHECKPOINT_AT, ERRORS, OLDEST_REVIEW_AT, PASSWORD_EXPIRY,
    POOL, QUARANTINED, RELOADS, SLOT_ACTIVE,
};
use crate::error::{ErrorKind, Server};
use crate::status::Stage;

/// An error ended a session, or was met beside one.
pub fn count_error(kind: ErrorKind, server: Option<Server>) {
    let server = server.map_or("none", Server::as_str);
    metrics::counter!(ERRORS, "kind" => kind.as_str(), "server" => server).increment(1);
}

/// The configuration was to be read again.
pub fn count_reload(result: &'static str) {
    metrics::counter!(RELOADS, "result" => result).increment(1);
}

/// The checkpoint advanced.
pub(crate) fn set_checkpoint_at(now: Timestamp) {
    metrics::gauge!(CHECKPOINT_AT).set(now.as_duration().as_secs_f64());
}

/// Whether a walsender reads from the slot.
pub(crate) fn set_slot_active(active: bool) {
    metrics::gauge!(SLOT_ACTIVE).set(f64::from(u8::from(active)));
}

/// The stage of the backfill; `None` before the first.
pub(crate) fn set_backfill_stage(now: Option<Stage>) {
    for stage in Stage::ALL {
        let is_now = f64::from(u8::from(Some(stage) == now));
        metrics::gauge!(BACKFILL_STAGE, "stage" => stage.as_str()).set(is_now);
    }
}

/// When the oldest open conflict that needs a review was first seen, in Unix time; 0 where there is none.
pub(crate) fn set_oldest_review(at: f64) {
    metrics::gauge!(OLDEST_REVIEW_AT).set(at);
}

/// Owners whose rows the target refuses.
pub(crate) fn set_quarantined(owners: u64) {
    metrics::gauge!(QUARANTINED).set(owners as f64);
}

/// The connections of the HTTP side: open, idle, and requests that wait for one.
pub(crate) fn set_pool(open: usize, idle: usize, waiting: usize) {
    for (state, count) in [("open", open), ("idle", idle), ("waiting", waiting)] {
        metrics::gauge!(POOL, "state" => state).set(count as f64);
    }
}

/// When the password of a role ends, in Unix time; infinite where it does not.
pub(crate) fn set_password_expiry(server: &'static str, at: f64) {
    metrics::gauge!(PASSWORD_EXPIRY, "server" => server).set(at);
}

/// When the certificate of a server ends, in Unix time; infinite where the session is not encrypted.
pub(crate) fn set_certificate_expiry(server: &'static str, at: f64) {
    metrics::gauge!(CERTIFICATE_EXPIRY, "server" => server).set(at);
}
