//! What the main loop tells about itself, and what follows from it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::watch;

use super::changes::Changes;
use crate::lsn::Lsn;
use crate::metrics;
use crate::status::{Backfill, LeftOutRows, OpenConflicts, Phase, Rollout, SlotLog, Status};

/// The daemon's state, shared between the main loop, which sets it, and the endpoint, which reads it.
///
/// The setters keep the metrics of the same facts in step, take no lock for longer than a copy, and never
/// wait.
#[derive(Debug)]
pub struct Health {
    status: watch::Sender<Status>,
    born: Instant,
    /// Milliseconds from `born` to the last tick.
    ticked: AtomicU64,
    tick_bound: Duration,
    /// Counts what was done, so that a standstill shows.
    steps: AtomicU64,
    /// Why the daemon that this one waits for does not count as working.
    holder_stands_still: Mutex<Option<&'static str>>,
    /// What the last session ended with, until something is committed again.
    failure: Mutex<Option<Failure>>,
    leads: AtomicBool,
    changes: Changes,
}

/// What a session ended with.
#[derive(Debug)]
struct Failure {
    cause: String,
    /// The end of the source's log, as it said first since then: with everything up to here applied it is over, also where
    /// nothing was to be committed.
    until: Option<Lsn>,
}

impl Health {
    /// A daemon that starts now. `tick_bound` is the longest time between two ticks of a main loop that is
    /// alive.
    #[must_use]
    pub fn new(slot: &str, started_at: Timestamp, tick_bound: Duration) -> Self {
        let status = Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            slot: slot.to_owned(),
            started_at: Some(started_at),
            ..Status::default()
        };
        let (status, _) = watch::channel(status);
        Self {
            status,
            born: Instant::now(),
            ticked: AtomicU64::new(0),
            tick_bound,
            steps: AtomicU64::new(0),
            holder_stands_still: Mutex::new(Some("it was not looked at yet")),
            failure: Mutex::new(None),
            leads: AtomicBool::new(false),
            changes: Changes::default(),
        }
    }

    /// A copy of the present state.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// The present phase.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.status.borrow().phase
    }

    /// Whether the source's log, as last seen, goes on beyond the checkpoint.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        let status = self.status.borrow();
        status.source_lsn > status.checkpoint_lsn
    }

    /// The main loop came round.
    pub fn tick(&self) {
        let millis = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.ticked.store(millis, Ordering::Relaxed);
    }

    /// Something was done that brings the work forward: a part of a transaction, a round of a backfill.
    pub fn step(&self) {
        self.tick();
        self.steps.fetch_add(1, Ordering::Relaxed);
        metrics::set_progress_at(Timestamp::now());
    }

    /// How much was done so far.
    pub(crate) fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    /// Whether this daemon has the lock of its target, with an open session.
    pub fn set_leading(&self, leads: bool) {
        self.leads.store(leads, Ordering::Relaxed);
        metrics::set_leading(leads);
    }

    /// See [`Health::set_leading`].
    pub(crate) fn leads(&self) -> bool {
        self.leads.load(Ordering::Relaxed)
    }

    /// Whether the main loop comes round.
    pub(crate) fn is_alive(&self) -> bool {
        self.dead_because().is_none()
    }

    /// Enters a phase. Every phase but [`Phase::Halted`] clears the reason of a halt.
    pub fn set_phase(&self, phase: Phase) {
        self.status.send_modify(|status| {
            status.phase = phase;
            if phase != Phase::Halted {
                status.halted = None;
            }
        });
        metrics::set_phase(phase);
        crate::logging::set_phase(phase);
        metrics::set_halted(phase == Phase::Halted);
    }

    /// Halts with a reason and its remedy; `None` takes the reason back, and the next
    /// [`Health::set_phase`] says how it goes on.
    pub fn set_halted(&self, reason: Option<String>) {
        metrics::set_halted(reason.is_some());
        if reason.is_some() {
            metrics::set_phase(Phase::Halted);
        }
        self.status.send_modify(|status| {
            if reason.is_some() {
                status.phase = Phase::Halted;
            }
            status.halted = reason;
        });
    }

    /// What the last session ended with, until there is progress again.
    pub(crate) fn set_failure(&self, failure: String) {
        let mut known = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        let until = known.as_ref().and_then(|known| known.until);
        *known = Some(Failure { cause: failure, until });
    }

    /// Something was committed: what the last session ended with is over.
    pub(crate) fn recovered(&self) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// See [`Status::unresolved`].
    pub fn set_unresolved(&self, reason: Option<String>) {
        self.status.send_modify(|status| status.unresolved = reason);
    }

    /// How far the rollout is, and what is not written.
    pub fn set_rollout(&self, rollout: Rollout) {
        metrics::set_rollout(&rollout);
        self.status.send_modify(|status| status.rollout = rollout);
    }

    /// Why progress stands still; `None` while it does not.
    pub fn set_frozen(&self, because: Option<&str>) {
        self.status.send_modify(|status| {
            status.frozen = because.is_some();
            status.frozen_because = because.map(str::to_owned);
        });
        metrics::set_frozen(because.is_some());
    }

    /// Why the daemon that this one waits for does not count as working; `None` while it does.
    pub(crate) fn set_holder_stands_still(&self, because: Option<&'static str>) {
        let mut held = self.holder_stands_still.lock().unwrap_or_else(PoisonError::into_inner);
        *held = because;
    }

    /// Everything up to here is committed in the target.
    pub fn set_checkpoint(&self, lsn: Lsn) {
        metrics::set_checkpoint_lsn(lsn);
        if self.status.borrow().checkpoint_lsn != Some(lsn) {
            metrics::set_checkpoint_at(Timestamp::now());
            metrics::set_progress_at(Timestamp::now());
        }
        self.update_lag(|status| status.checkpoint_lsn = Some(lsn));
        self.recover_by_position();
    }

    /// How far the daemon is that this one waits for.
    pub(crate) fn set_checkpoint_of_holder(&self, lsn: Lsn) {
        self.update_lag(|status| status.checkpoint_lsn = Some(lsn));
    }

    /// The end of the source's log, as it said last.
    pub fn set_source_lsn(&self, lsn: Lsn) {
        metrics::set_source_lsn(lsn);
        self.update_lag(|status| status.source_lsn = Some(lsn));
    }

    /// See [`Status::lag_seconds`]. A negative value, from clocks that disagree, counts as 0.
    pub fn set_lag_seconds(&self, seconds: f64) {
        let seconds = seconds.max(0.0);
        self.status.send_modify(|status| status.lag_seconds = Some(seconds));
        metrics::set_lag_seconds(seconds);
    }

    /// As [`Health::set_source_lsn`], asked of the source itself. With nothing to be done, what the last session ended with
    /// counts as over.
    pub(crate) fn set_end_of_source(&self, lsn: Lsn) {
        self.set_source_lsn(lsn);
        if let Some(failure) = self.failure.lock().unwrap_or_else(PoisonError::into_inner).as_mut()
        {
            failure.until.get_or_insert(lsn);
        }
        self.recover_by_position();
    }

    fn recover_by_position(&self) {
        let (phase, checkpoint) = {
            let status = self.status.borrow();
            (status.phase, status.checkpoint_lsn)
        };
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        let until = failure.as_ref().and_then(|failure| failure.until);
        if phase == Phase::Streaming && until.is_some_and(|until| checkpoint >= Some(until)) {
            *failure = None;
        }
    }

    /// Progress of the backfill, in source rows of all feeds.
    pub fn set_backfill(&self, rows_done: u64, rows_estimated: u64) {
        self.step();
        let backfill = Backfill { rows_done, rows_estimated };
        self.status.send_modify(|status| status.backfill = backfill);
        metrics::set_backfill(rows_done, rows_estimated);
    }

    /// The log that the source keeps for the slot.
    pub fn set_slot_log(&self, log: Option<SlotLog>) {
        metrics::set_slot_log(log.as_ref());
        self.status.send_modify(|status| status.slot_log = log);
    }

    /// By feed the rows that the configuration leaves out.
    pub fn set_left_out(&self, left_out: LeftOutRows) {
        metrics::set_left_out(&left_out);
        self.status.send_modify(|status| status.left_out = left_out);
    }

    /// What the stream has brought of each feed.
    pub(crate) fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Open conflicts. [`metrics::set_conflicts`] takes them by kind.
    pub fn set_conflicts(&self, review: u64, info: u64) {
        let conflicts = OpenConflicts { review, info };
        self.status.send_modify(|status| status.conflicts = conflicts);
        metrics::set_conflicts_open(review, info);
    }

    /// How long the main loop has not ticked.
    #[must_use]
    pub fn silence(&self) -> Duration {
        self.silence_at(self.born.elapsed())
    }

    /// The longest time between two ticks of a main loop that is alive.
    #[must_use]
    pub fn tick_bound(&self) -> Duration {
        self.tick_bound
    }

    fn silence_at(&self, age: Duration) -> Duration {
        age.saturating_sub(Duration::from_millis(self.ticked.load(Ordering::Relaxed)))
    }

    /// Why the main loop counts as dead; `None` while it ticks.
    pub(super) fn dead_because(&self) -> Option<String> {
        self.dead_at(self.born.elapsed())
    }

    /// As [`Health::dead_because`], at an age of the daemon.
    fn dead_at(&self, age: Duration) -> Option<String> {
        let silence = self.silence_at(age);
        (silence > self.tick_bound)
            .then(|| format!("the main loop has not come round for {} s", silence.as_secs()))
    }

    /// Why this daemon does not do its work, or as a `standby` cannot be expected to take over from one that does.
    pub(super) fn unready_because(&self, standby: bool) -> Option<String> {
        let status = self.status.borrow();
        if standby && status.phase == Phase::WaitingForLock {
            let held = self.holder_stands_still.lock().unwrap_or_else(PoisonError::into_inner);
            return held.map(|why| format!("another daemon works on this target: {why}"));
        }
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        unready_because(&status, failure.as_ref().map(|failure| failure.cause.as_str()))
    }

    fn update_lag(&self, change: impl FnOnce(&mut Status)) {
        let mut lag = None;
        self.status.send_modify(|status| {
            change(status);
            status.measure_lag();
            lag = status.lag_bytes;
        });
        if let Some(bytes) = lag {
            metrics::set_lag_bytes(bytes);
        }
    }
}

/// Why a daemon in this state does not do its work (SPEC §9, `/readyz`); `None` when it does.
fn unready_because(status: &Status, failure: Option<&str>) -> Option<String> {
    match status.phase {
        Phase::Starting => Some(failure.map_or_else(
            || "the daemon is starting".to_owned(),
            |failure| format!("the daemon is starting again after: {failure}"),
        )),
        Phase::WaitingForLock => Some("another daemon works on this target".to_owned()),
        Phase::Halted => {
            Some(status.halted.clone().unwrap_or_else(|| "the daemon has halted".to_owned()))
        }
        Phase::Backfilling | Phase::Streaming => {
            // Sessions that open and fail before anything is committed do not work.
            let failed = failure.map(|cause| format!("nothing was committed since: {cause}"));
            status.frozen_because.clone().or(failed)
        }
    }
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
