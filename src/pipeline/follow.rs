//! Following the stream.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::batch::{Batch, OpenTransaction};
use super::chores::Chores;
use crate::apply::{Arrival, Touched};
use crate::config::Config;
use crate::decode::{Assembler, Event, Watched};
use crate::error::Result;
use crate::facts::Feed;
use crate::failpoint;
use crate::http::Health;
use crate::lsn::Lsn;
use crate::retry::Backoff;
use crate::session::{self, Session};
use crate::source::{Stream, StreamItem, slot};
use crate::status::Phase;

/// How often the loop looks after what is not in the stream: confirmations, commands, the clock.
const TICK: Duration = Duration::from_millis(200);
/// How often an idle position is checkpointed (P15). The target may be in the same cluster, where each
/// checkpoint moves the log itself.
const IDLE_INTERVAL: Duration = Duration::from_secs(1);
/// Looking for new profiles of the application reads all of them: one part in this many of the time.
const LOOKING_SHARE: u32 = 50;
/// Without a step forward for this long while the source's log moves, progress is frozen (`/readyz`).
const FROZEN_AFTER: Duration = Duration::from_secs(60);

/// The state of following.
pub(super) struct Follow<'a> {
    pub(super) config: &'a Config,
    pub(super) session: &'a mut Session,
    pub(super) health: &'a Arc<Health>,
    stream: Stream,
    assembler: Assembler,
    batch: Batch,
    pub(super) open: Option<OpenTransaction>,
    /// When the oldest change of the batch came.
    since: Option<Instant>,
    /// The last position that the source reported while nothing was pending.
    idle: Option<Lsn>,
    idle_at: Instant,
    /// Committed positions that are not yet known to be on the target's disk: source, target.
    unflushed: VecDeque<(Lsn, Lsn)>,
    /// When the checkpoint last moved.
    moved_at: Instant,
    /// When new profiles of the application are looked for again.
    look_at: Instant,
    /// Starts over once something was committed: a session that opens and fails at once is no success.
    backoff: &'a mut Backoff,
}

/// Follows the stream until shutdown, or a halt or error that ends the session.
pub(super) async fn follow(
    config: &Config,
    session: &mut Session,
    health: &Arc<Health>,
    shutdown: &CancellationToken,
    backoff: &mut Backoff,
) -> Result<()> {
    let (server, slot) = (&config.source.server, &config.source.slot);
    let leadership = session.leadership;
    let is_own = |reader: &str| leadership.succeeds(reader);
    slot::free(&session.source, slot, session.checkpoint, is_own).await?;
    let publication = &config.source.publication;
    let reader = leadership.application_name();
    let stream = Stream::open(server, &reader, slot, publication, session.checkpoint).await?;
    failpoint::hit("stream-opened");
    session::settle(&session.writer.db, leadership).await?;
    tracing::info!(from = %session.checkpoint, "streaming");
    health.set_phase(Phase::Streaming);
    health.set_halted(None);
    crate::systemd::ready();
    let assembler = Assembler::new(vec![
        watched(Feed::Xendit, &config.source.xendit.table, &session.writer.layouts.xendit),
        watched(Feed::Systemeio, &config.source.systemeio.table, &session.writer.layouts.systemeio),
    ]);
    let mut follow = Follow {
        config,
        session,
        health,
        stream,
        assembler,
        batch: Batch::default(),
        open: None,
        since: None,
        idle: None,
        idle_at: Instant::now(),
        unflushed: VecDeque::new(),
        moved_at: Instant::now(),
        look_at: Instant::now(),
        backoff,
    };
    follow.run(shutdown).await
}

fn watched<F: crate::facts::LogicalField>(
    table: Feed,
    name: &crate::config::TableName,
    layout: &crate::facts::Layout<F>,
) -> Watched {
    Watched::new(table, name.schema.clone(), name.name.clone(), layout)
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
    async fn run(&mut self, shutdown: &CancellationToken) -> Result<()> {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut chores = Chores::new();
        loop {
            let linger = self.linger();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return self.leave().await,
                _ = tick.tick() => {
                    self.health.tick();
                    if self.open.as_ref().is_none_or(|open| !open.in_parts) {
                        self.flush().await?;
                        self.look_after(&mut chores, shutdown).await?;
                    }
                    self.confirm_flushed().await?;
                }
                item = self.stream.next() => {
                    let item = item?;
                    self.take(item).await?;
                }
                // Nothing more is there at once: what is complete need not wait.
                () = tokio::time::sleep(linger), if !self.batch.is_empty() => self.flush().await?,
            }
        }
    }

    /// How long the batch still waits for company.
    fn linger(&self) -> Duration {
        let waited = self.since.map_or(Duration::ZERO, |since| since.elapsed());
        self.config.run.batch_delay.saturating_sub(waited)
    }

    async fn take(&mut self, item: StreamItem) -> Result<()> {
        match item {
            StreamItem::Keepalive { wal_end, reply_requested } => {
                self.health.set_source_lsn(wal_end);
                if self.open.is_none() {
                    self.flush().await?;
                    self.idle = Some(wal_end);
                    if reply_requested {
                        self.checkpoint_idle().await?;
                    }
                }
                Ok(())
            }
            StreamItem::Message(message) => match self.assembler.push(message)? {
                Some(event) => self.handle(event).await,
                None => Ok(()),
            },
        }
    }

    async fn handle(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Begin { xid, final_lsn } => {
                self.idle = None;
                self.open = Some(OpenTransaction::begin(xid, final_lsn));
            }
            Event::Change(change) => {
                crate::metrics::count_changes(change.table, operation(&change), 1);
                let Some(open) = self.open.as_mut() else { return Ok(()) };
                open.push(change);
                if open.is_large() {
                    self.apply_part().await?;
                }
            }
            Event::Truncate(tables) => self.truncate(tables).await?,
            Event::Commit { end_lsn, commit_time, .. } => {
                self.complete(end_lsn, commit_time).await?;
            }
        }
        Ok(())
    }

    async fn complete(&mut self, end_lsn: Lsn, commit_time: Timestamp) -> Result<()> {
        let Some(open) = self.open.as_ref() else { return Ok(()) };
        if open.in_parts {
            return self.complete_parts(end_lsn, commit_time).await;
        }
        let mut deletes: Vec<(Feed, u64)> = open.deletes().into_iter().collect();
        deletes.retain(|(_, rows)| *rows > self.config.guard.delete_rows);
        if !deletes.is_empty() {
            // Those before it are applied first.
            self.flush().await?;
            self.guard_deleted(deletes).await?;
        }
        if let Some(open) = self.open.take() {
            self.batch.push(open, end_lsn, commit_time);
        }
        self.since.get_or_insert_with(Instant::now);
        if self.batch.is_full(self.config.run.batch_rows) {
            self.flush().await?;
        }
        Ok(())
    }

    /// Applies the batch in one target transaction.
    pub(super) async fn flush(&mut self) -> Result<()> {
        self.since = None;
        if self.batch.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        let batch = std::mem::take(&mut self.batch);
        self.session.writer.set_today(Timestamp::now());
        if !batch.changes.is_empty() {
            self.look_for_profiles().await?;
            let Session { writer, publication, .. } = &mut *self.session;
            let apply = async {
                writer.begin().await?;
                let touched: Touched = writer.apply_changes(batch.changes, Arrival::Whole).await?;
                writer.recompute(&touched).await
            };
            let (report, ()) = tokio::try_join!(apply, publication.is_unaltered())?;
            report.count();
            failpoint::hit("batch-applied");
        } else {
            self.session.publication.is_unaltered().await?;
            self.session.writer.begin().await?;
        }
        self.commit(batch.end_lsn, batch.commit_time, batch.transactions, started).await
    }

    /// A person who is new takes the profile that the application made for the address (SPEC §4.1).
    async fn look_for_profiles(&mut self) -> Result<()> {
        let started = Instant::now();
        if started >= self.look_at {
            let health = Arc::clone(self.health);
            self.session.writer.learn_profiles(&|| health.tick()).await?;
            self.look_at = Instant::now() + started.elapsed() * LOOKING_SHARE;
        }
        Ok(())
    }

    /// Ends the target transaction with the checkpoint at `lsn`.
    pub(super) async fn commit(
        &mut self,
        lsn: Lsn,
        commit_time: Option<Timestamp>,
        transactions: u32,
        started: Instant,
    ) -> Result<()> {
        let slot = &self.config.source.slot;
        self.session.writer.commit(slot, self.session.checkpoint, lsn).await?;
        failpoint::hit("batch-committed");
        self.session.checkpoint = lsn;
        self.moved_at = Instant::now();
        self.backoff.reset();
        let written = self.session.writer.target_lsn().await?;
        self.unflushed.push_back((lsn, written));
        self.health.set_checkpoint(lsn);
        if let Some(time) = commit_time {
            let lag = Timestamp::now().duration_since(time).as_secs_f64().max(0.0);
            self.health.set_lag_seconds(lag);
        }
        let elapsed = started.elapsed();
        crate::metrics::count_batch(u64::from(transactions), elapsed, Timestamp::now());
        Ok(())
    }

    /// Confirms what is on the target's disk (P7).
    async fn confirm_flushed(&mut self) -> Result<()> {
        if self.unflushed.is_empty() {
            return Ok(());
        }
        let flushed = self.session.writer.target_flushed().await?;
        let mut durable = None;
        while let Some((lsn, _)) = self.unflushed.pop_front_if(|(_, written)| *written <= flushed) {
            durable = Some(lsn);
        }
        if let Some(lsn) = durable {
            self.stream.confirm(lsn);
            failpoint::hit("batch-confirmed");
        }
        Ok(())
    }

    /// Advances the checkpoint over log that holds nothing for us, durably, and confirms it.
    async fn checkpoint_idle(&mut self) -> Result<()> {
        self.idle_at = Instant::now();
        let Some(lsn) = self.idle.take().filter(|lsn| *lsn > self.session.checkpoint) else {
            return Ok(());
        };
        self.session.publication.is_unaltered().await?;
        let writer = &self.session.writer;
        writer.begin().await?;
        writer.db.batch("target: durable commit", "set local synchronous_commit = on").await?;
        writer.commit(&self.config.source.slot, self.session.checkpoint, lsn).await?;
        failpoint::hit("idle-committed");
        self.session.checkpoint = lsn;
        self.moved_at = Instant::now();
        self.backoff.reset();
        self.unflushed.clear();
        self.stream.confirm(lsn);
        self.health.set_checkpoint(lsn);
        self.health.set_lag_seconds(0.0);
        Ok(())
    }

    /// What is not in the stream: idle progress, commands of operators, the clock.
    async fn look_after(
        &mut self,
        chores: &mut Chores,
        shutdown: &CancellationToken,
    ) -> Result<()> {
        if self.open.is_none() && self.idle_at.elapsed() >= IDLE_INTERVAL {
            self.checkpoint_idle().await?;
        }
        if self.open.is_none() && !self.session.writer.chunks.is_empty() {
            self.forget_snapshots().await?;
        }
        let behind = self.health.status().lag_bytes.is_some_and(|bytes| bytes > 0);
        let frozen = behind && self.moved_at.elapsed() >= FROZEN_AFTER;
        self.health.set_frozen(frozen);
        chores.run(self.config, self.session, self.health, shutdown).await
    }

    /// The stream has passed everything that backfilled rows may contain already.
    async fn forget_snapshots(&mut self) -> Result<()> {
        let writer = &mut self.session.writer;
        if writer.backfilled_until().await?.is_none_or(|until| self.session.checkpoint >= until) {
            writer.forget_snapshots().await?;
        }
        Ok(())
    }

    /// Finishes the batch, makes it durable, confirms it and stops the stream.
    async fn leave(&mut self) -> Result<()> {
        if self.open.as_ref().is_some_and(|open| open.in_parts) {
            self.session.writer.rollback().await?;
        }
        self.open = None;
        self.flush().await?;
        self.session.writer.flush_target().await?;
        self.stream.confirm(self.session.checkpoint);
        tracing::info!(checkpoint = %self.session.checkpoint, "stopped");
        self.stream.stop().await;
        Ok(())
    }
}
