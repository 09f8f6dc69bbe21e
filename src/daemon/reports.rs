//! Reports of backfills that are done (SPEC §9), made beside the stream: one at a time, on a session of its own.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::apply::Applier;
use crate::config::Config;
use crate::error::Result;
use crate::report::store;

/// How often it is looked for one that is due.
const INTERVAL: Duration = Duration::from_secs(10);
/// How long after one that failed it is tried again.
const RETRY: Duration = Duration::from_secs(600);

/// The report that is being made, and when the next one is looked for.
#[derive(Debug, Default)]
pub(super) struct Reports {
    due: Option<Instant>,
    making: Option<JoinHandle<bool>>,
}

impl Reports {
    /// Begins the report that is due, if any.
    ///
    /// # Errors
    /// Those of the target.
    pub(super) async fn run(&mut self, config: &Config, applier: &Applier) -> Result<()> {
        let now = Instant::now();
        if let Some(making) = self.making.take_if(|making| making.is_finished()) {
            let is_made = making.await.unwrap_or(false);
            self.due = Some(now + if is_made { INTERVAL } else { RETRY });
        }
        if self.making.is_some() || self.due.is_some_and(|due| now < due) {
            return Ok(());
        }
        self.due = Some(now + INTERVAL);
        if let Some(entry) = store::pending(&applier.db).await? {
            let config = config.clone();
            self.making = Some(tokio::spawn(async move {
                let made = store::complete(&config, entry, None).await;
                made.inspect_err(|error| tracing::warn!(%error, entry, "no report is made")).is_ok()
            }));
        }
        Ok(())
    }
}

impl Drop for Reports {
    fn drop(&mut self) {
        if let Some(making) = &self.making {
            making.abort();
        }
    }
}
