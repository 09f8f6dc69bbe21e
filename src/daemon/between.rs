//! What the loop does between batches: idle progress, commands of operators, the clock.

use std::time::Duration;

use tokio::time::Instant;

use super::follow::Follow;
use super::maintenance::Maintenance;
use super::write;
use crate::error::Result;
use crate::store::halt;

/// How often an idle position is checkpointed (P15). The target may be in the same cluster, where each
/// checkpoint moves the log itself.
const IDLE_INTERVAL: Duration = Duration::from_secs(1);

impl Follow<'_> {
    /// Advances the checkpoint over log that holds nothing for us, durably, and confirms it.
    pub(super) async fn checkpoint_idle(&mut self) -> Result<()> {
        if self.open.is_some() || !self.batch.is_empty() {
            return Ok(());
        }
        self.idle_at = Instant::now();
        self.idle_is_awaited = false;
        let Some(lsn) = self.idle.take().filter(|lsn| *lsn > self.session.checkpoint) else {
            return Ok(());
        };
        let (slot, span) = (&self.config.source.slot, (self.session.checkpoint, lsn));
        write::advance_durably(self.session, slot, span).await?;
        self.advanced(lsn);
        self.receiver.confirm().up_to(lsn);
        self.health.set_lag_seconds(0.0);
        Ok(())
    }

    pub(super) async fn tick(&mut self, maintenance: &mut Maintenance) -> Result<()> {
        self.health.tick();
        self.receiver.report_depth();
        if !self.is_in_parts() {
            self.look_after(maintenance).await?;
        }
        Ok(())
    }

    /// What is not in the stream: idle progress, commands of operators, the clock.
    async fn look_after(&mut self, maintenance: &mut Maintenance) -> Result<()> {
        if self.open.is_none() && self.idle_at.elapsed() >= IDLE_INTERVAL {
            self.checkpoint_idle().await?;
        }
        let is_read = self.open.is_none() && self.reading.is_none();
        if is_read && !self.session.applier.env.chunks.is_empty() {
            self.forget_snapshots().await?;
        }
        self.look_at_what_is_due().await?;
        if self.starts_over {
            return Ok(());
        }
        if self.failed_at.is_some_and(|lsn| self.session.checkpoint > lsn) {
            halt::clear_failure(&self.session.applier.db).await?;
            self.health.set_unresolved(None);
            self.failed_at = None;
        }
        if self.reading.is_some() {
            maintenance.serve_alone(self.config, self.session, self.health).await?;
            if !maintenance.starts_over {
                self.read_round().await?;
            }
        } else {
            maintenance.run(self.config, self.session, self.health).await?;
        }
        self.starts_over |= maintenance.starts_over;
        Ok(())
    }
}
