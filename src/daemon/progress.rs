//! Whether progress is made, judged beside the main loop (SPEC §9, `/readyz`).
//!
//! The loop cannot say that it waits: while a statement waits for a lock, its own numbers stand still. So a task with sessions
//! of its own asks the source for the end of its log and compares: log that waits, and no step for [`FROZEN_AFTER`], is a
//! standstill, whatever the reason. A standby judges the daemon that it waits for in the same way, by what that one writes into
//! the target.

use std::sync::Arc;
use std::time::Duration;

use crate::pg::Client;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::watchdog::works_unblocked;
use crate::config::{Config, Server, Source};
use crate::connect::connect;
use crate::error::{Context as _, Error, Result};
use crate::http::Health;
use crate::lsn::Lsn;
use crate::metrics;
use crate::source::slot;
use crate::status::Phase;

/// How often it is judged.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often the servers are asked.
const ASK_INTERVAL: Duration = Duration::from_secs(3);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Without a step for this long while log waits, or without an answer of the source, progress stands still. With the intervals
/// above, `/readyz` is 503 within 30 s of the last step.
const FROZEN_AFTER: Duration = Duration::from_secs(20);
/// In a backfill one statement may take longer: then it is asked whether a server works on it.
const LOOK_AFTER: Duration = Duration::from_secs(10);

/// What is judged by; equal for two moments between which nothing was done.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Mark {
    /// This daemon's own phase, checkpoint and steps.
    Own(Phase, Option<Lsn>, u64),
    /// What the daemon that holds the lock has written.
    Holder(Option<Lsn>, Option<String>),
}

/// What the daemon that holds the lock has written into the target.
#[derive(Debug, Clone)]
struct Holder {
    checkpoint: Option<Lsn>,
    /// Digest of the backfill's row.
    backfill: Option<String>,
    is_backfilling: bool,
    is_halted: bool,
}

/// Since when nothing has moved.
struct Judge {
    mark: Option<Mark>,
    since: Instant,
    answered: Instant,
}

impl Judge {
    fn new(now: Instant) -> Self {
        Self { mark: None, since: now, answered: now }
    }

    /// Notes what there is; `waits`: log of the source waits to be applied.
    fn see(&mut self, now: Instant, mark: Mark, waits: bool) {
        if !waits || self.mark.as_ref() != Some(&mark) {
            self.since = now;
            self.mark = Some(mark);
        }
    }

    /// A server works on a long statement, which is a step.
    fn works(&mut self, now: Instant) {
        self.since = now;
    }

    /// How long nothing has moved although something waits.
    fn stands(&self, now: Instant) -> Duration {
        now.duration_since(self.since)
    }

    /// Why it does not go on; `None` while it does.
    fn verdict(&self, now: Instant) -> Option<&'static str> {
        if now.duration_since(self.answered) >= FROZEN_AFTER {
            return Some("the source does not answer");
        }
        (self.stands(now) >= FROZEN_AFTER)
            .then_some("progress stands still although the source writes on")
    }
}

/// The tasks that look at both servers. They end once this is dropped.
pub struct Progress([JoinHandle<()>; 2]);

impl Progress {
    /// Begins to judge.
    #[must_use]
    pub fn watch(config: &Config, health: &Arc<Health>) -> Self {
        let eye = Eye {
            config: config.clone(),
            health: Arc::clone(health),
            source: None,
            target: None,
            holder: None,
            judge: Judge::new(Instant::now()),
        };
        Self([tokio::spawn(eye.run()), tokio::spawn(super::expiry::watch(config.clone()))])
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

struct Eye {
    config: Config,
    health: Arc<Health>,
    source: Option<Client>,
    target: Option<Client>,
    /// As it was when last asked.
    holder: Option<Holder>,
    judge: Judge,
}

impl Eye {
    async fn run(mut self) {
        let mut asked: Option<Instant> = None;
        loop {
            tokio::time::sleep(INTERVAL).await;
            if asked.is_none_or(|at| at.elapsed() >= ASK_INTERVAL) {
                asked = Some(Instant::now());
                self.ask().await;
            }
            self.look().await;
            self.tell();
        }
    }

    /// Asks the servers.
    async fn ask(&mut self) {
        let (source, target) = (&self.config.source, &self.config.target.server);
        let asked = timeout(PATIENCE, source_lsn(&mut self.source, source)).await;
        match asked {
            Ok(Ok(lsn)) => self.health.set_end_of_source(lsn),
            other => {
                self.source = None;
                if !matches!(other, Ok(Err(error)) if answers(&error)) {
                    return self.ask_for_the_holder(target.clone()).await;
                }
            }
        }
        self.judge.answered = Instant::now();
        self.ask_for_the_holder(target.clone()).await;
    }

    async fn ask_for_the_holder(&mut self, target: Server) {
        if self.health.phase() != Phase::WaitingForLock {
            (self.target, self.holder) = (None, None);
            return;
        }
        let slot = &self.config.source.slot;
        let asked = timeout(PATIENCE, holder(&mut self.target, &target, slot)).await;
        match asked {
            Ok(Ok(holder)) => self.holder = Some(holder),
            // Not migrated yet, or away.
            _ => (self.target, self.holder) = (None, None),
        }
        if let Some(lsn) = self.holder.as_ref().and_then(|holder| holder.checkpoint) {
            self.health.set_checkpoint_of_holder(lsn);
        }
    }

    /// Compares with the moment before.
    async fn look(&mut self) {
        let now = Instant::now();
        let status = self.health.status();
        let waits = status.lag_bytes.is_some_and(|bytes| bytes > 0);
        let (mark, backfills) = match (&self.holder, status.phase) {
            (Some(holder), Phase::WaitingForLock) => {
                (Mark::Holder(holder.checkpoint, holder.backfill.clone()), holder.is_backfilling)
            }
            (_, phase) => (
                Mark::Own(phase, status.checkpoint_lsn, self.health.steps()),
                phase == Phase::Backfilling,
            ),
        };
        self.judge.see(now, mark, waits);
        if backfills && self.judge.stands(now) >= LOOK_AFTER && works_unblocked(&self.config).await
        {
            self.judge.works(Instant::now());
        }
    }

    fn tell(&self) {
        let verdict = self.judge.verdict(Instant::now());
        let phase = self.health.phase();
        let works = matches!(phase, Phase::Backfilling | Phase::Streaming);
        self.health.set_frozen(verdict.filter(|_| works));
        let standby = match &self.holder {
            None => Some("what the daemon that works has written is not known"),
            Some(holder) if holder.is_halted => Some("the daemon that works has halted"),
            Some(_) => verdict,
        };
        self.health.set_holder_stands_still(standby);
    }
}

/// Whether the error is an answer: one that refuses another session, for instance, is there.
fn answers(error: &Error) -> bool {
    let code = error.code().map(|code| code.code().to_owned());
    code.is_some_and(|code| !code.starts_with("57") && !code.starts_with("58"))
}

/// The end of the source's log; reports beside it whether somebody reads the slot.
async fn source_lsn(session: &mut Option<Client>, source: &Source) -> Result<Lsn> {
    let client = connected(session, &source.server, "source").await?;
    let sql = "select coalesce(bool_or(active), false) from pg_replication_slots \
               where slot_name = $1";
    let row = client.query_one(sql, &[&source.slot]).await.context("source: reading the slot")?;
    metrics::set_slot_active(row.get(0));
    slot::current_lsn(client).await
}

async fn connected<'s>(
    session: &'s mut Option<Client>,
    server: &Server,
    name: &'static str,
) -> Result<&'s Client> {
    if session.as_ref().is_none_or(Client::is_closed) {
        *session = Some(connect(server, "tributary watchdog", name).await?);
    }
    session.as_ref().ok_or_else(|| Error::unavailable(name, "no session"))
}

/// What the daemon that holds the lock has written.
async fn holder(session: &mut Option<Client>, server: &Server, slot: &str) -> Result<Holder> {
    let client = connected(session, server, "target").await?;
    let row = client.query_one(include_str!("sql/holder.sql"), &[&slot]).await;
    let row = row.context("target: looking at the daemon that works")?;
    Ok(Holder {
        checkpoint: row.get::<_, Option<String>>(0).as_deref().and_then(Lsn::parse),
        backfill: row.get(1),
        is_backfilling: row.get(2),
        is_halted: row.get(3),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_without_a_step_stands_still() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mark = |step| Mark::Own(Phase::Streaming, Some(Lsn(5)), step);
        // At which second, which step, whether log waits; whether it stands still then.
        let table = [
            (0, 0, false, false),
            (3_600, 0, false, false), // Idle for an hour: the wait begins now.
            (3_601, 0, true, false),
            (3_619, 0, true, false),
            (3_620, 0, true, true),
            (3_621, 1, true, false), // A step.
            (3_640, 1, true, false),
            (3_641, 1, true, true),
            (3_642, 1, false, false), // Nothing waits any more.
        ];
        let mut judge = Judge::new(start);
        for (second, step, waits, expected) in table {
            judge.see(at(second), mark(step), waits);
            judge.answered = at(second);
            assert_eq!(judge.verdict(at(second)).is_some(), expected, "{second}");
        }
        judge.see(at(3_700), mark(2), true);
        judge.works(at(3_715));
        judge.answered = at(3_720);
        assert_eq!(judge.verdict(at(3_734)), None);
        assert_eq!(judge.verdict(at(3_740)), Some("the source does not answer"));
    }

    #[test]
    fn a_server_that_refuses_a_session_answers() {
        for (code, expected) in
            [(Some("53300"), true), (Some("28P01"), true), (Some("57P03"), false), (None, false)]
        {
            let code = code.map(tokio_postgres::error::SqlState::from_code);
            let origin = crate::error::Origin { server: None, code };
            let (context, cause) = (String::new(), String::new());
            let error = Error::Unavailable { context, cause, origin };
            assert_eq!(answers(&error), expected, "{error:?}");
        }
    }
}
