//! Tells systemd that the daemon is ready (`Type=notify`); nothing happens without systemd.

/// The daemon streams, or waits for an operator.
pub fn ready() {
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        tracing::debug!(%error, "systemd was not told");
    }
}
