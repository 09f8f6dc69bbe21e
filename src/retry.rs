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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_bound_and_start_over_after_a_success() {
        let mut backoff = Backoff::new();
        let check = |delay: Duration, nominal: f64| {
            let ratio = delay.as_secs_f64() / nominal;
            assert!((0.8..=1.2001).contains(&ratio), "{delay:?} for {nominal} s");
        };
        for nominal in [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8] {
            check(backoff.next_delay(), nominal);
        }
        for _ in 0..1000 {
            check(backoff.next_delay(), 15.0);
        }
        backoff.reset();
        check(backoff.next_delay(), 0.2);
    }

    /// What `within` made of an operation that is `failures` times unavailable, and the attempts it took.
    async fn outcome(patience: Duration, failures: u32) -> (bool, u32) {
        let mut attempts = 0;
        let result = within(patience, async || {
            attempts += 1;
            if attempts > failures { Ok(()) } else { Err(Error::unavailable("a server", "away")) }
        })
        .await;
        (result.is_ok(), attempts)
    }

    #[tokio::test]
    async fn a_server_that_comes_back_in_time_is_used() {
        assert_eq!(outcome(COMMAND_PATIENCE, 0).await, (true, 1));
        assert_eq!(outcome(COMMAND_PATIENCE, 2).await, (true, 3));
    }

    #[tokio::test]
    async fn a_server_that_stays_away_is_given_up() {
        let start = Instant::now();
        assert_eq!(outcome(Duration::from_millis(300), u32::MAX).await, (false, 2));
        assert!(start.elapsed() < Duration::from_millis(300));
    }

    #[tokio::test]
    async fn another_error_is_final() {
        let mut attempts = 0;
        let result: Result<()> = within(COMMAND_PATIENCE, async || {
            attempts += 1;
            Err(Error::Config("wrong".into()))
        })
        .await;
        assert!(matches!(result, Err(Error::Config(_))));
        assert_eq!(attempts, 1);
    }
}
