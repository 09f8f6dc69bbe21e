//! Long work beside the main loop, on a thread and a runtime of its own: what it computes delays no batch.

use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};

/// The thread. It ends once this is dropped.
#[must_use]
pub struct Thread {
    stop: CancellationToken,
}

impl Thread {
    /// Starts the thread with this name, which does the work until it is done or the value is dropped.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start<W: Future<Output = ()>>(
        name: &str,
        work: impl FnOnce() -> W + Send + 'static,
    ) -> Result<Self> {
        let failed = |error| Error::failed(format!("starting the thread {name}"), error);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(failed)?;
        let run = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = stopped.cancelled() => {}
                    () = work() => {}
                }
            });
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(run).map_err(failed)?;
        Ok(Self { stop })
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
