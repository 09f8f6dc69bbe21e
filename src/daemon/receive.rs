//! The receiver: a task that reads, decodes and assembles the stream ahead of the loop that applies it.
//!
//! A batch is what has arrived while the one before was being applied, so somebody must go on reading
//! meanwhile. The queue between the two is bounded in bytes and in events (P13); when it is full the
//! receiver stops reading, and the server waits. Positions to confirm take the same way back: they reach
//! the server also while a long batch is being applied.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::batch::change_bytes;
use crate::decode::{Assembler, Event};
use crate::error::{Error, Result};
use crate::lsn::Lsn;
use crate::metrics;
use crate::source::{Stream, StreamItem};

/// Bytes of assembled events that wait to be applied: two full batches (`batch::BATCH_BYTES`), so that
/// the next batch is complete when one has been applied. A row that is larger waits alone.
const QUEUE_BYTES: usize = 2 << 20;
/// Events that wait to be applied. An event of a small row counts about 1 KB, so that the bytes are the
/// limit that counts; this one bounds what the queue itself costs.
const QUEUE_EVENTS: usize = 16_384;
/// What an event without values counts, in bytes.
const EVENT_BYTES: usize = 64;

/// What the stream says, assembled.
#[derive(Debug)]
pub(super) enum Arrived {
    /// A step of a source transaction.
    Event(Event),
    /// Everything before `wal_end` has arrived.
    Keepalive { wal_end: Lsn, reply_requested: bool },
}

/// One event with its place in the queue, which is free again once this is dropped.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) arrived: Arrived,
    /// Bytes of memory that the event takes.
    pub(super) bytes: usize,
    _room: OwnedSemaphorePermit,
}

/// The way back to the server: which positions are durable in the target (P7).
#[derive(Debug, Clone)]
pub(super) struct Confirm(watch::Sender<Lsn>);

impl Confirm {
    /// Everything before `lsn` is on the target's disk. A position below an earlier one is ignored.
    pub(super) fn up_to(&self, lsn: Lsn) {
        self.0.send_if_modified(|confirmed| {
            let raised = lsn > *confirmed;
            *confirmed = lsn.max(*confirmed);
            raised
        });
    }

    /// What was confirmed last.
    #[cfg(test)]
    pub(super) fn confirmed(&self) -> Lsn {
        *self.0.borrow()
    }

    /// A way back that nobody reads.
    #[cfg(test)]
    pub(super) fn detached() -> Self {
        Self(watch::channel(Lsn(0)).0)
    }
}

/// The loop's end of the queue. The slot is free soon after it was dropped.
pub(super) struct Receiver {
    queue: mpsc::Receiver<Result<Received>>,
    confirm: Confirm,
    room: Arc<Semaphore>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Receiver {
    /// Starts reading.
    pub(super) fn start(stream: Stream, assembler: Assembler) -> Self {
        let (sender, queue) = mpsc::channel(QUEUE_EVENTS);
        let (confirm, confirmed) = watch::channel(Lsn(0));
        let stop = CancellationToken::new();
        let room = Arc::new(Semaphore::new(QUEUE_BYTES));
        let reader = Reader {
            stream,
            assembler,
            queue: sender,
            room: Arc::clone(&room),
            confirmed,
            stop: stop.clone(),
            decoding: Duration::ZERO,
        };
        let task = tokio::spawn(reader.run());
        Self { queue, confirm: Confirm(confirm), room, stop, task }
    }

    /// The next event, when it arrives. Cancellation-safe.
    pub(super) async fn next(&mut self) -> Result<Received> {
        self.queue.recv().await.unwrap_or_else(|| Err(ended()))
    }

    /// The next event, if it has arrived.
    pub(super) fn next_now(&mut self) -> Option<Result<Received>> {
        match self.queue.try_recv() {
            Ok(received) => Some(received),
            Err(mpsc::error::TryRecvError::Empty) => None,
            Err(mpsc::error::TryRecvError::Disconnected) => Some(Err(ended())),
        }
    }

    /// Whether nothing has arrived that was not taken.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Reports what waits to be applied.
    pub(super) fn report_depth(&self) {
        report_depth(&self.room, self.queue.len());
    }

    /// The way back to the server.
    pub(super) fn confirm(&self) -> Confirm {
        self.confirm.clone()
    }

    /// Ends the stream, after the last confirmation, and frees the slot.
    pub(super) async fn stop(&mut self) {
        self.stop.cancel();
        // A task that panicked has freed the slot too.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn report_depth(room: &Semaphore, events: usize) {
    metrics::set_queue(events, QUEUE_BYTES.saturating_sub(room.available_permits()));
}

fn ended() -> Error {
    Error::unavailable("source: replication stream", "the receiver has ended")
}

/// The task's state.
struct Reader {
    stream: Stream,
    assembler: Assembler,
    queue: mpsc::Sender<Result<Received>>,
    /// One permit a byte.
    room: Arc<Semaphore>,
    confirmed: watch::Receiver<Lsn>,
    stop: CancellationToken,
    /// Of the transaction that arrives.
    decoding: Duration,
}

impl Reader {
    /// Reads until the stream fails, which is the last thing in the queue, or until the loop stops it.
    async fn run(mut self) {
        loop {
            let item = tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                Ok(()) = self.confirmed.changed() => {
                    self.pass_confirmation();
                    continue;
                }
                item = self.stream.next() => item,
            };
            let arrived = item.and_then(|item| self.assemble_timed(item));
            let last = arrived.is_err();
            if let Some(arrived) = arrived.transpose()
                && (!self.hand_over(arrived).await || last)
            {
                break;
            }
        }
        self.pass_confirmation();
        self.stream.stop().await;
    }

    fn pass_confirmation(&mut self) {
        let lsn = *self.confirmed.borrow_and_update();
        self.stream.confirm(lsn);
    }

    fn assemble_timed(&mut self, item: StreamItem) -> Result<Option<Arrived>> {
        let started = Instant::now();
        let arrived = self.assemble(item);
        self.decoding += started.elapsed();
        if matches!(arrived, Ok(Some(Arrived::Event(Event::Commit { .. })))) {
            metrics::time(metrics::Stage::Decode, std::mem::take(&mut self.decoding));
        }
        arrived
    }

    fn assemble(&mut self, item: StreamItem) -> Result<Option<Arrived>> {
        Ok(match item {
            StreamItem::Keepalive { wal_end, reply_requested } => {
                Some(Arrived::Keepalive { wal_end, reply_requested })
            }
            StreamItem::Message(message) => self.assembler.push(message)?.map(Arrived::Event),
        })
    }

    /// Puts an event into the queue, waiting for room where there is none; `false`: nobody wants it.
    async fn hand_over(&mut self, arrived: Result<Arrived>) -> bool {
        let bytes = arrived.as_ref().map_or(EVENT_BYTES, bytes_of);
        if self.room.available_permits() < bytes {
            // The loop may be long with the batch in hand.
            report_depth(&self.room, QUEUE_EVENTS - self.queue.capacity());
        }
        let place = place(Arc::clone(&self.room), self.queue.clone(), bytes);
        tokio::pin!(place);
        loop {
            tokio::select! {
                biased;
                found = &mut place => {
                    let Some((room, place)) = found else { return false };
                    place.send(arrived.map(|arrived| Received { arrived, bytes, _room: room }));
                    // The silence of a server that was not listened to says nothing.
                    self.stream.listen_again();
                    return true;
                }
                () = self.stop.cancelled() => return false,
                Ok(()) = self.confirmed.changed() => self.pass_confirmation(),
            }
        }
    }
}

type Place = (OwnedSemaphorePermit, mpsc::OwnedPermit<Result<Received>>);

/// Waits for room for an event in the queue; `None`: the loop has ended.
async fn place(
    room: Arc<Semaphore>,
    queue: mpsc::Sender<Result<Received>>,
    bytes: usize,
) -> Option<Place> {
    let permits = u32::try_from(bytes.min(QUEUE_BYTES)).ok()?;
    let room = room.acquire_many_owned(permits).await.ok()?;
    Some((room, queue.reserve_owned().await.ok()?))
}

fn bytes_of(arrived: &Arrived) -> usize {
    match arrived {
        Arrived::Event(Event::Change(change)) => EVENT_BYTES + change_bytes(change),
        _ => EVENT_BYTES,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    /// P13: what waits is bounded in bytes, and a row above the bound still passes, alone.
    #[tokio::test]
    async fn the_queue_holds_no_more_bytes_than_its_bound() {
        let room = Arc::new(Semaphore::new(QUEUE_BYTES));
        let (sender, mut queue) = mpsc::channel(QUEUE_EVENTS);
        let bytes = QUEUE_BYTES * 3;
        let put = async || {
            let (room, slot) = place(Arc::clone(&room), sender.clone(), bytes).await?;
            let arrived = Arrived::Keepalive { wal_end: Lsn(1), reply_requested: false };
            slot.send(Ok(Received { arrived, bytes, _room: room }));
            Some(())
        };
        assert_eq!(put().now_or_never(), Some(Some(())));
        assert_eq!(put().now_or_never(), None, "two rows above the bound wait at a time");
        drop(queue.recv().await);
        assert_eq!(put().now_or_never(), Some(Some(())));
        drop(queue);
        assert_eq!(put().now_or_never(), Some(None), "the loop has ended");
    }

    #[test]
    fn a_confirmation_never_goes_back() {
        let confirm = Confirm::detached();
        for (lsn, expected) in [(5, 5), (3, 5), (9, 9)] {
            confirm.up_to(Lsn(lsn));
            assert_eq!(confirm.confirmed(), Lsn(expected));
        }
    }
}
