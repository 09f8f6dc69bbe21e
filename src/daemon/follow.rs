//! The stream loop: take what has arrived, apply it, go on.
//!
//! # Batching without waiting
//!
//! A batch is what has arrived while the one before was being applied, up to `run.batch_rows` and
//! [`super::batch::BATCH_BYTES`]: alone at low load, so that its latency is that of applying it, and thousands of rows
//! when behind. Nothing waits for more to come.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::batch::{Batch, OpenTransaction};
use super::control::Control;
use super::due::Noted;
use super::durability::Durability;
use super::look::Look;
use super::maintenance::Maintenance;
use super::notice::Notice;
use super::reading::{Reading, Waits};
use super::receive::{Arrived, Received, Receiver};
use super::write::{self, Applied};
use crate::config::Config;
use crate::decode::{Assembler, Event, Watched};
use crate::engine::{Feeds, RowChange};
use crate::error::{Error, Result};
use crate::facts::Feed;
use crate::failpoint;
use crate::http::Health;
use crate::lsn::Lsn;
use crate::pg::Tx;
use crate::retry::Backoff;
use crate::session::{self, Session};
use crate::source::{Stream, Writers, slot};
use crate::status::Phase;
use crate::store::backfill;
use crate::store::checkpoint;

/// How often the loop looks after what is not in the stream: commands, the clock.
const TICK: Duration = Duration::from_millis(200);

/// The state of following.
pub(super) struct Follow<'a> {
    pub(super) config: &'a Config,
    pub(super) session: &'a mut Session,
    pub(super) health: &'a Arc<Health>,
    pub(super) shutdown: &'a CancellationToken,
    /// Hears of commands.
    control: Arc<Control>,
    /// What arrives, read ahead by a task.
    pub(super) receiver: Receiver,
    /// Confirms to the source what the target has on disk.
    durability: Durability,
    /// Whole transactions that are applied next.
    pub(super) batch: Batch,
    /// The transaction that is arriving.
    pub(super) open: Option<OpenTransaction>,
    /// The last position that the source reported while no transaction was open.
    pub(super) idle: Option<Lsn>,
    /// Whether the source waits for the confirmation of that position, for instance in order to stop.
    pub(super) idle_is_awaited: bool,
    pub(super) idle_at: Instant,
    /// New profiles of the application, before batches.
    look: Look,
    /// Where it began, while what it failed at before is not known to be over.
    pub(super) failed_at: Option<Lsn>,
    /// Looks at what no message of the stream carries.
    pub(super) notice: Notice,
    /// Who wrote to the feeds of the reconcile that is due, which is scheduled once they have ended.
    pub(super) writers: Option<(Writers, Waits)>,
    /// A reconcile that reads between the batches.
    pub(super) reading: Option<Reading<'a>>,
    /// Set when it has read everything: from then on it recomputes between the batches.
    pub(super) recomputes: bool,
    /// How far the source was when that was noted last.
    pub(super) noted: Noted,
    /// Whether a reconcile was scheduled, which the next session begins with.
    pub(super) starts_over: bool,
    /// Starts over once something was committed: a session that opens and fails at once is no success.
    backoff: &'a mut Backoff,
}

/// Whether anything was applied, so that the loop must come round before it takes more.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Taken,
    Applied,
}

/// What goes on beside the stream.
pub(super) struct Beside<'a> {
    /// Looks at what no message of the stream carries.
    pub(super) notice: Notice,
    /// A reconcile that has still to read.
    pub(super) reading: Option<Reading<'a>>,
}

/// Follows the stream until shutdown, or a halt or error that ends the session.
pub(super) async fn follow(
    config: &Config,
    session: &mut Session,
    health: &Arc<Health>,
    shutdown: &CancellationToken,
    backoff: &mut Backoff,
    control: &Arc<Control>,
    Beside { notice, reading }: Beside<'_>,
) -> Result<()> {
    let (server, slot) = (&config.source.server, &config.source.slot);
    let leadership = session.leadership;
    let is_own = |reader: &str| leadership.succeeds(reader);
    slot::free(&session.source, slot, session.checkpoint, is_own).await?;
    let publication = &config.source.publication;
    let reader = leadership.application_name();
    let stream = Stream::open(server, &reader, slot, publication, session.checkpoint).await?;
    slot::require_not_beyond(&session.source, slot, session.checkpoint).await?;
    failpoint::hit("stream-opened");
    session::settle(&session.applier.db, leadership).await?;
    tracing::info!(from = %session.checkpoint, "streaming");
    let is_due = backfill::progress(&session.applier.db).await?.is_some_and(|at| !at.is_done());
    // What was altered is read once the stream has come far enough.
    let is_reconciling = is_due || session.due.is_some();
    health.set_phase(if is_reconciling { Phase::Backfilling } else { Phase::Streaming });
    health.set_halted(None);
    let assembler = Assembler::new(watched(config, &session.applier.env.feeds));
    let receiver = Receiver::start(stream, assembler);
    let durability = Durability::start(Arc::clone(control), receiver.confirm());
    session.applier.set_reading(reading.is_some());
    let recomputes = is_due && reading.is_none();
    let failed_at = health.status().unresolved.map(|_| session.checkpoint);
    let mut follow = Follow {
        config,
        session,
        health,
        shutdown,
        control: Arc::clone(control),
        receiver,
        durability,
        batch: Batch::default(),
        open: None,
        idle: None,
        idle_is_awaited: false,
        idle_at: Instant::now(),
        look: Look::before_batches(),
        failed_at,
        notice,
        writers: None,
        reading,
        recomputes,
        noted: Noted::new(),
        starts_over: false,
        backoff,
    };
    match follow.run().await {
        // Shutdown came while something had to be read first. What waits for that is streamed again.
        Err(Error::ReadsFirst) => {
            follow.batch = Batch::default();
            follow.leave().await
        }
        other => other,
    }
}

/// The tables whose changes are wanted.
fn watched(config: &Config, feeds: &Feeds) -> Vec<Watched> {
    let watched = config.source.feeds.iter().filter_map(|feed| {
        let entry = feeds.named(&feed.name)?;
        let (schema, name) = (feed.table.schema.clone(), feed.table.name.clone());
        Some(Watched::new(entry.info.feed, schema, name, entry.columns()))
    });
    watched.collect()
}

/// What happened to a row, as metrics name it.
fn operation(change: &crate::decode::Change) -> &'static str {
    match (&change.row, &change.old_key) {
        (None, _) => "delete",
        (Some(_), Some(_)) => "rekey",
        (Some(_), None) => "upsert",
    }
}

impl Follow<'_> {
    async fn run(&mut self) -> Result<()> {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut maintenance = Maintenance::new();
        let shutdown = self.shutdown;
        loop {
            maintenance.recomputes |= std::mem::take(&mut self.recomputes);
            if self.starts_over {
                return self.leave().await;
            }
            if self.take_what_is_there().await? == Step::Taken {
                self.flush().await?;
                if self.idle_is_awaited {
                    self.checkpoint_idle().await?;
                }
            }
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return self.leave().await,
                _ = tick.tick() => self.tick(&mut maintenance).await?,
                () = self.control.notified() => {
                    maintenance.commands_wait = true;
                    self.tick(&mut maintenance).await?;
                }
                error = self.durability.failed() => return Err(error),
                // A transaction that is applied in parts would begin again: it is noticed after the commit, or at the next start.
                altered = self.notice.altered(), if !self.is_in_parts() => return Err(altered),
                received = self.receiver.next(), if self.batch.is_empty() => {
                    self.take(received).await?;
                }
                // What had no room in the batch before.
                () = std::future::ready(()), if !self.batch.is_empty() => {}
                () = std::future::ready(()), if self.open.is_none() && self.reading.is_some() => {
                    self.health.tick();
                    self.read_round().await?;
                }
                () = std::future::ready(()), if self.open.is_none() && maintenance.has_rounds() => {
                    self.health.tick();
                    maintenance.round(self.config, self.session, self.health).await?;
                }
            }
        }
    }

    /// Fills the batch with what has arrived. Ends early where that meant to apply something.
    async fn take_what_is_there(&mut self) -> Result<Step> {
        while !self.batch.is_full(self.config.run.batch_rows) {
            let Some(received) = self.receiver.next_now() else { break };
            if self.take(received).await? == Step::Applied {
                return Ok(Step::Applied);
            }
        }
        Ok(Step::Taken)
    }

    /// A stream that failed has delivered whole transactions before: they are applied first.
    async fn take(&mut self, received: Result<Received>) -> Result<Step> {
        let received = match received {
            Ok(received) => received,
            Err(error) => {
                self.flush().await?;
                return Err(error);
            }
        };
        let bytes = received.bytes;
        match received.arrived {
            Arrived::Keepalive { wal_end, reply_requested } => {
                self.health.set_source_lsn(wal_end);
                if self.open.is_none() {
                    self.idle = Some(wal_end);
                    self.idle_is_awaited = reply_requested;
                }
                Ok(Step::Taken)
            }
            Arrived::Event(event) => self.handle(event, bytes).await,
        }
    }

    async fn handle(&mut self, event: Event, bytes: usize) -> Result<Step> {
        match event {
            Event::Begin { xid, final_lsn } => {
                self.idle = None;
                self.idle_is_awaited = false;
                self.open = Some(OpenTransaction::begin(xid, final_lsn));
                Ok(Step::Taken)
            }
            Event::Change(change) => {
                let name = self.session.applier.env.feeds.name(change.table);
                crate::metrics::count_changes(name, operation(&change), 1);
                let Some(open) = self.open.as_mut() else { return Ok(Step::Taken) };
                open.push(change, bytes);
                if !open.is_large() {
                    return Ok(Step::Taken);
                }
                self.apply_part().await?;
                Ok(Step::Applied)
            }
            Event::Keyless(feed) => {
                if let Some(open) = self.open.as_mut() {
                    open.keyless.insert(feed);
                }
                Ok(Step::Taken)
            }
            Event::Truncate(tables) => {
                self.truncate(tables).await?;
                Ok(Step::Applied)
            }
            Event::Commit { end_lsn, commit_time, .. } => self.complete(end_lsn, commit_time).await,
        }
    }

    async fn complete(&mut self, end_lsn: Lsn, commit_time: Timestamp) -> Result<Step> {
        self.note_keyless(end_lsn).await?;
        let Some(open) = self.open.as_ref() else { return Ok(Step::Taken) };
        if open.in_parts {
            self.complete_parts(end_lsn, commit_time).await?;
            return Ok(Step::Applied);
        }
        let mut step = Step::Taken;
        let mut deletes: Vec<(Feed, u64)> = open.deletes().into_iter().collect();
        deletes.retain(|(_, rows)| *rows > self.config.guard.delete_rows);
        if !deletes.is_empty() {
            // Those before it are applied first; and what the source lost unseen must not count as rows that are left.
            self.flush().await?;
            self.read_first().await?;
            self.guard_deleted(deletes).await?;
            step = Step::Applied;
        } else if self.batch.has_no_room_for(open, self.config.run.batch_rows) {
            self.flush().await?;
            step = Step::Applied;
        }
        if let Some(open) = self.open.take() {
            self.batch.push(open, end_lsn, commit_time);
        }
        Ok(step)
    }

    /// Applies the batch in one target transaction, after what must be read first.
    pub(super) async fn flush(&mut self) -> Result<()> {
        match self.apply_batch().await {
            Err(Error::ReadsFirst) => {
                self.read_first().await?;
                self.apply_batch().await
            }
            other => other,
        }
    }

    /// The batch stays where something must be read first.
    async fn apply_batch(&mut self) -> Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        let rows = self.batch.changes.len();
        self.session.applier.carry_today_on();
        if rows > 0 {
            self.look.next_page(&mut self.session.applier).await?;
        }
        let (slot, span) =
            (&self.config.source.slot, (self.session.checkpoint, self.batch.end_lsn));
        let applied = write::apply_batch(self.session, slot, &self.batch.changes, span).await;
        if matches!(applied, Err(Error::ReadsFirst)) {
            Tx::on(&self.session.applier.db).rollback().await?;
        }
        let stages = applied?;
        let Batch { changes, transactions, end_lsn, commit_time, bytes } =
            std::mem::take(&mut self.batch);
        self.committed(end_lsn, commit_time);
        self.note_changes(&changes, commit_time);
        let source_commit = commit_time.filter(|_| rows > 0);
        Applied { rows, bytes, source_commit, transactions, stages, started }
            .report(&self.config.source.slot, self.health.phase());
        if rows > 0 && self.open.is_none() && self.receiver.is_empty() {
            self.look.next_page_early(&mut self.session.applier).await?;
        }
        Ok(())
    }

    /// Counts what was applied, for those who watch.
    pub(super) fn note_changes(&self, changes: &[RowChange], at: Option<Timestamp>) {
        let mut by_feed: HashMap<Feed, u64> = HashMap::new();
        for change in changes {
            *by_feed.entry(change.table).or_default() += 1;
        }
        for (feed, rows) in by_feed {
            let name = self.session.applier.env.feeds.name(feed);
            self.health.changes().add(name, rows, at);
        }
    }

    /// Everything before `lsn` is committed: notes it, and has it confirmed once it is on disk.
    pub(super) fn committed(&mut self, lsn: Lsn, commit_time: Option<Timestamp>) {
        self.advanced(lsn);
        self.health.recovered();
        self.durability.committed(lsn);
        if let Some(time) = commit_time {
            let lag = Timestamp::now().duration_since(time).as_secs_f64().max(0.0);
            self.health.set_lag_seconds(lag);
        }
    }

    pub(super) fn advanced(&mut self, lsn: Lsn) {
        self.session.checkpoint = lsn;
        self.backoff.reset();
        self.health.set_checkpoint(lsn);
    }

    /// Whether parts of the transaction that is arriving are applied and not committed.
    pub(super) fn is_in_parts(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.in_parts)
    }

    /// Finishes the batch, makes it durable, confirms it and stops the stream.
    async fn leave(&mut self) -> Result<()> {
        if self.is_in_parts() {
            Tx::on(&self.session.applier.db).rollback().await?;
        }
        self.open = None;
        match self.apply_batch().await {
            // It is streamed again.
            Err(Error::ReadsFirst) => {}
            other => other?,
        }
        checkpoint::flush(&self.session.applier.db).await?;
        self.receiver.confirm().up_to(self.session.checkpoint);
        tracing::info!(checkpoint = %self.session.checkpoint, "stopped");
        self.receiver.stop().await;
        Ok(())
    }
}
