//! The task that looks at the source's catalog every few seconds, whatever the loop does meanwhile (P18).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::connect::connect;
use crate::error::{Error, Result};
use crate::pg::Client;
use crate::source::Watch;
use crate::source::position::{self, Look, Position};
use crate::source::watch::{Altered, Print};

/// How often it is looked at: what is found is reconciled within the 15 s of P18.
const INTERVAL: Duration = Duration::from_secs(3);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the catalog may go unread: what is altered meanwhile goes unnoticed.
const BLIND: Duration = Duration::from_secs(60);

/// What the task found.
#[derive(Debug, Clone)]
struct Seen {
    /// Why the session must end, in words.
    altered: Option<String>,
    /// Alterations that hide nothing, to be noted.
    print: Option<Print>,
    /// How far the source is, as far as that survives a crash.
    position: Option<Position>,
}

/// The loop's end. The task ends once this is dropped.
pub(super) struct Notice {
    seen: watch::Receiver<Seen>,
    /// The same for those who look now and then: waiting marks what it sees as seen.
    beside: watch::Receiver<Seen>,
    task: JoinHandle<()>,
}

impl Notice {
    /// Begins to look. `print` is what the session began with.
    pub(super) fn start(config: &Config, print: Option<Print>) -> Self {
        let (tell, seen) = watch::channel(Seen { altered: None, print: None, position: None });
        let eye = Eye { config: config.clone(), print, source: None, earlier: None, tell };
        Self { beside: seen.clone(), seen, task: tokio::spawn(eye.run()) }
    }

    /// Waits until something was altered, or may have been: the session ends, and the next one finds out what that means. Cancellation-safe.
    pub(super) async fn altered(&mut self) -> Error {
        let altered = self.seen.wait_for(|seen| seen.altered.is_some()).await;
        let Ok(why) = altered.map(|seen| seen.altered.clone().unwrap_or_default()) else {
            // The task has ended, which it does not by itself.
            return std::future::pending().await;
        };
        Error::unavailable("source: following the tables", why)
    }

    /// What is to be noted although nothing was hidden, once.
    pub(super) fn take_print(&mut self) -> Option<Print> {
        if !self.beside.has_changed().unwrap_or(false) {
            return None;
        }
        self.beside.borrow_and_update().print.clone()
    }

    /// How far the source is, as far as that survives a crash.
    pub(super) fn position(&self) -> Option<Position> {
        self.beside.borrow().position
    }

    /// Tells how far the source is, where that is more than it told before.
    pub(super) fn positions(&self) -> impl Fn() -> Option<Position> + Sync + use<> {
        let (beside, told) = (self.beside.clone(), Mutex::new(None));
        move || {
            let now = beside.borrow().position;
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            (*told != now).then(|| *told = now)?;
            now
        }
    }
}

impl Drop for Notice {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The task's state.
struct Eye {
    config: Config,
    print: Option<Print>,
    source: Option<(Arc<Client>, Watch)>,
    /// The look before.
    earlier: Option<Look>,
    tell: watch::Sender<Seen>,
}

impl Eye {
    async fn run(mut self) {
        let mut looked_at = Instant::now();
        loop {
            tokio::time::sleep(INTERVAL).await;
            let looked = tokio::time::timeout(PATIENCE, self.look()).await;
            let looked = looked.unwrap_or_else(|_| {
                Err(Error::unavailable("source: reading the catalog", "no answer in 10 s"))
            });
            let Err(error) = looked else {
                looked_at = Instant::now();
                continue;
            };
            // The stream and the backfill meet it too, and they know what to do, unless it concerns this connection alone.
            tracing::debug!(%error, "the source's catalog cannot be read");
            self.source = None;
            if looked_at.elapsed() >= BLIND {
                let why = format!("its catalog could not be read for a minute: {error}");
                self.tell.send_modify(|seen| seen.altered = Some(why));
            }
        }
    }

    async fn look(&mut self) -> Result<()> {
        let (client, watch) = match &self.source {
            Some(source) => source,
            None => {
                let source = &self.config.source;
                let client = Arc::new(connect(&source.server, "tributary", "source").await?);
                let watch = Watch::begin(Arc::clone(&client), source).await?;
                self.source.insert((client, watch))
            }
        };
        let look = position::look(client, &self.config.source.slot).await?;
        let position = look.durable(self.earlier.as_ref());
        self.earlier = Some(look);
        let now = watch.now().await?;
        let altered = match &self.print {
            Some(print) => watch.altered(&print.stored()?, now.as_ref()).await?,
            None if now.is_some() => Altered::Everything,
            None => Altered::Nothing,
        };
        let is_other = altered == Altered::Nothing && now != self.print;
        if is_other {
            self.print.clone_from(&now);
        }
        self.tell.send_if_modified(|seen| {
            seen.position = Some(position);
            if altered != Altered::Nothing {
                seen.altered = Some(format!("the source was altered ({})", altered.why()));
            } else if is_other {
                seen.print = now;
            }
            altered != Altered::Nothing || is_other
        });
        Ok(())
    }
}
