//! Waiting before trying again. The only file that knows the `backoff` crate.

use std::time::Duration;

use backoff::ExponentialBackoffBuilder;
use backoff::backoff::Backoff as _;
use tokio::time::Instant;

use crate::error::{Error, Result};

/// Delay after a first failure: a server that was only restarted is back in no time.
const FIRST_DELAY: Duration = Duration::from_millis(200);

/// Longest delay before jitter, so that a server that comes back after hours is noticed soon.
const LONGEST_DELAY: Duration = Duration::from_secs(15);

/// Each delay is taken at random from this much above and below, so that many clients of one server do
/// not come back in step.
const JITTER: f64 = 0.2;

/// How long a command gives a server that is away (SPEC §9).
pub const COMMAND_PATIENCE: Duration = Duration::from_secs(5);

/// Growing delays, from 200 ms to 15 s, without an end.
#[derive(Debug)]
pub struct Backoff(backoff::ExponentialBackoff);

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

impl Backoff {
    /// Starts with the shortest delay.
    #[must_use]
    pub fn new() -> Self {
        let backoff = ExponentialBackoffBuilder::new()
            .with_initial_interval(FIRST_DELAY)
            .with_max_interval(LONGEST_DELAY)
            .with_multiplier(2.0)
            .with_randomization_factor(JITTER)
            .with_max_elapsed_time(None)
            .build();
        Self(backoff)
    }

    /// How long to wait after one more failure. The first delays double; jitter is 20 %.
    pub fn next_delay(&mut self) -> Duration {
        self.0.next_backoff().unwrap_or(LONGEST_DELAY)
    }

    /// To be called after a success: the next failure waits the shortest delay again.
    pub fn reset(&mut self) {
        self.0.reset();
    }
}

/// Runs an operation again while it finds a server unavailable, unless `patience` would have passed by
/// then. An attempt that is under way is never cut off; connecting has a limit of its own.
///
/// # Errors
///
/// The last [`Error::Unavailable`]; any other error of the operation at once.
pub async fn within<T>(
    patience: Duration,
    mut operation: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    let deadline = Instant::now() + patience;
    let mut backoff = Backoff::new();
    loop {
        let error = match operation().await {
            Err(error @ Error::Unavailable { .. }) => error,
            other => return other,
        };
        let resume = Instant::now() + backoff.next_delay();
        if resume >= deadline {
            return Err(error);
        }
        tokio::time::sleep_until(resume).await;
    }
}
