//! Which committed positions are on the target's disk, and so may be confirmed to the source (P7).
//!
//! The target commits with `synchronous_commit = off`. A task reads on the control session, in one
//! statement, how far the log was written and how far it was flushed: what was committed before the
//! statement began lies before the first position, and is durable once the second has passed it. So no
//! batch waits for the answer, and none costs a round trip of its own.
//! See <https://www.postgresql.org/docs/current/wal-async-commit.html>.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::control::Control;
use super::receive::Confirm;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::lsn::Lsn;

/// Pause between two looks at the target's log while something is not flushed. The WAL writer flushes
/// every 200 ms by default, and the source is reported to once a second at most.
const FLUSH_POLL: Duration = Duration::from_millis(50);

/// The task that watches the target's log.
pub(super) struct Durability {
    committed: watch::Sender<Lsn>,
    task: JoinHandle<Result<()>>,
}

impl Durability {
    /// Starts the task.
    pub(super) fn start(control: Arc<Control>, confirm: Confirm) -> Self {
        let (committed, news) = watch::channel(Lsn(0));
        Self { committed, task: tokio::spawn(run(control, news, confirm)) }
    }

    /// Everything before `lsn` of the source is committed in the target.
    pub(super) fn committed(&self, lsn: Lsn) {
        self.committed.send_replace(lsn);
    }

    /// Waits until the task fails. Cancellation-safe.
    pub(super) async fn failed(&mut self) -> Error {
        match (&mut self.task).await {
            Ok(Err(error)) => error,
            Ok(Ok(())) => Error::unavailable("target: watching the log", "it has ended"),
            Err(error) => Error::failed("target: watching the log", error),
        }
    }
}

impl Drop for Durability {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(
    control: Arc<Control>,
    mut committed: watch::Receiver<Lsn>,
    confirm: Confirm,
) -> Result<()> {
    while committed.changed().await.is_ok() {
        let lsn = *committed.borrow_and_update();
        let mut now = control.positions().await?;
        let written = now.inserted;
        while now.flushed < written {
            tokio::time::sleep(FLUSH_POLL).await;
            now = control.positions().await?;
        }
        confirm.up_to(lsn);
        failpoint::hit("batch-confirmed");
        tokio::time::sleep(FLUSH_POLL).await;
    }
    Ok(())
}
