//! The replication stream: this module alone knows the replication client library.
//!
//! # What a position means
//!
//! The server keeps its log from the slot's `restart_lsn` on, which follows what the client confirms as
//! *flushed*. It keeps nothing for what is confirmed, so a position may be confirmed only once the
//! target's commit of everything before it is on disk (P7). Opening a stream at a position *before* the
//! confirmed one does not fail: the server goes on from the confirmed one and says nothing. That hides
//! a target that was restored from an older backup, so [`Stream::open`] compares the two first.
//! <https://www.postgresql.org/docs/current/protocol-replication.html>
//!
//! # An idle stream (P15)
//!
//! Changes of other tables move the log without a message for us. Whenever the server waits for new log
//! and the client has confirmed less than was sent, it sends a keepalive with the position up to which
//! it has decoded: [`StreamItem::Keepalive`]. Items come in order, so when no transaction is open and
//! all that came before is durable, that position may be checkpointed and confirmed like a commit.
//! Within a transaction it may not. Measured with PostgreSQL 15: with writes to other tables alone the
//! keepalives follow the log's end at once, and the slot follows what is confirmed within a second.
//!
//! # A source that shuts down
//!
//! A fast shutdown ends ordinary sessions, but the sending process stays until the client has confirmed
//! *exactly* the end of the log. It asks by keepalives with `reply_requested`; the library answers each
//! at once with the position confirmed so far and asks in turn. Measured with PostgreSQL 15: as long as
//! that position is behind, the two go on like this tens of thousands of times a second, and the server
//! waits for ever, as the answers keep `wal_sender_timeout` away. Once `wal_end` is confirmed, it is
//! gone within `STATUS_INTERVAL` (0.1 s where nothing was confirmed in the last second). So the owner
//! of the stream must confirm `wal_end` as soon as all before it is durable, and drop the stream when the
//! target is away; repeated keepalives are held back here (`KEEPALIVE_PAUSE`).
//!
//! # A connection that is lost silently
//!
//! The server sends a keepalive that asks for an answer when it has received nothing for half of its
//! `wal_sender_timeout`, so a client that speaks unasked would never hear from it on a quiet night, and
//! would not notice a dead peer. Hence the client is silent while it has nothing to confirm
//! (`IDLE_WAKEUP`), and a server silent for twice its own timeout is taken for dead.

mod classify;
mod settings;

use std::time::Duration;

use pgwire_replication::client::{ReplicationClient, ReplicationEvent};
use pgwire_replication::config::ReplicationConfig;
use tokio::time::{Instant, timeout_at};
use tokio_postgres::config::TargetSessionAttrs;

use self::classify::{Stage, classify};
use self::settings::{Endpoint, certified_name, endpoints, passwords, settings};
use super::slot;
use crate::config::Server;
use crate::decode::{self, Message};
use crate::error::{Error, Result};
use crate::lsn::Lsn;
use crate::pg::settings::AS_THEY_ARE;

/// Time to connect, authenticate and start, where the configuration names none.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Time for the worker to end after [`Stream::stop`].
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Least silence that counts as a dead connection, whatever `wal_sender_timeout` says.
const LEAST_SILENCE: Duration = Duration::from_secs(30);

/// Least time between two keepalives that say the same.
const KEEPALIVE_PAUSE: Duration = Duration::from_millis(100);

/// How long a repeated keepalive that asks for an answer is held, which slows down the server.
const REPEAT_PAUSE: Duration = Duration::from_millis(2);

const CONTEXT: &str = "source: replication stream";

/// What the stream says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamItem {
    /// A logical replication message.
    Message(Message),
    /// Everything before `wal_end` has been sent.
    Keepalive {
        /// Up to where the server has read its log.
        wal_end: Lsn,
        /// The server waits for an answer, for instance in order to stop: where nothing is pending,
        /// confirm `wal_end` without delay.
        reply_requested: bool,
    },
}

/// A running replication stream. It holds the slot until it is stopped or dropped.
pub struct Stream {
    client: ReplicationClient,
    slot: String,
    publication: String,
    silence: Option<Duration>,
    /// When the last item came. Kept here rather than in [`Stream::next`], which may be cancelled often.
    received_at: Instant,
    /// The last keepalive that was handed out, and when.
    reported: Option<(StreamItem, Instant)>,
}

/// Without a limit the server sends nothing while it is idle, and a connection that was cut in silence would look alive for ever; and one of
/// transactions (from version 17 on) would end the sending of a long one.
const LIMITS: &str = "select set_config(name, case name when 'wal_sender_timeout' then '60s' else '0' end, false) from pg_settings \
    where name = 'wal_sender_timeout' and setting = '0' or name = 'transaction_timeout'";

/// What is asked of the server.
struct Wanted<'a> {
    reader: &'a str,
    slot: &'a str,
    publication: &'a str,
    start: Lsn,
    /// Whether the slot is to be read.
    begins: bool,
}

impl Stream {
    /// Connects under the name `reader` and starts the slot at `start`, the durable checkpoint; returns once
    /// the server has accepted. Transactions that committed at or before `start` are not sent.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] while the source is away or another process reads the slot;
    /// [`Error::SlotLost`] where the slot is missing, was given up by the server, or was confirmed past
    /// `start`, so that changes are missing between the two; [`Error::Config`] for a slot name that
    /// PostgreSQL does not take.
    pub async fn open(
        server: &Server,
        reader: &str,
        slot: &str,
        publication: &str,
        start: Lsn,
    ) -> Result<Self> {
        slot::check_name(slot)?;
        let wanted = Wanted { reader, slot, publication, start, begins: true };
        Self::at_some_place(server, &wanted).await
    }

    /// Connects as [`Stream::open`] does and ends at once: whether a replication connection can be had, encrypted as configured.
    ///
    /// # Errors
    ///
    /// What stands against it.
    pub async fn try_out(server: &Server, slot: &str, publication: &str) -> Result<()> {
        let reader = "tributary check";
        let wanted = Wanted { reader, slot, publication, start: Lsn(0), begins: false };
        let mut stream = Self::at_some_place(server, &wanted).await?;
        stream.stop().await;
        Ok(())
    }

    /// Where the server has several hosts, at the first that answers; with the password in each of its forms.
    async fn at_some_place(server: &Server, wanted: &Wanted<'_>) -> Result<Self> {
        let mut last = Error::Config("the source's URL names no host".into());
        for mut endpoint in endpoints(server)? {
            let mut passwords = passwords(server).into_iter().peekable();
            while let Some(password) = passwords.next() {
                let config = |endpoint: &Endpoint| settings(server, endpoint, wanted, &password);
                let begun = Self::start(server, config(&endpoint)?, wanted).await;
                let name = begun.as_ref().err().and_then(|e| certified_name(server.tls, e));
                let outcome = match name {
                    Some(name) => {
                        endpoint.name = name;
                        Self::start(server, config(&endpoint)?, wanted).await
                    }
                    None => begun,
                };
                match outcome {
                    Err(error @ Error::Unavailable { .. }) => last = error,
                    // It may be the password in this form.
                    Err(Error::Failed { .. }) if passwords.peek().is_some() => continue,
                    other => return other,
                }
                break;
            }
        }
        Err(last)
    }

    async fn start(
        server: &Server,
        config: ReplicationConfig,
        wanted: &Wanted<'_>,
    ) -> Result<Self> {
        let &Wanted { slot, publication, start, begins, .. } = wanted;
        let role = server.postgres.get_target_session_attrs();
        let limit = server.postgres.get_connect_timeout().copied().unwrap_or(CONNECT_TIMEOUT);
        let (slot_name, publication_name) = (slot.to_owned(), publication.to_owned());
        let started = async move {
            let failed = |error| classify(&error, Stage::Starting, &slot_name, &publication_name);
            let mut client = ReplicationClient::connect_gated(config).await.map_err(failed)?;
            client.simple_query(AS_THEY_ARE).await.map_err(failed)?;
            client.simple_query(LIMITS).await.map_err(failed)?;
            let mut silence = None;
            let rows = client.simple_query(&state_query(&slot_name)).await.map_err(failed)?;
            require_role(&rows, role)?;
            if begins {
                silence = check_slot(&rows, &slot_name, start)?;
                client.start().await.map_err(failed)?;
                client.wait_started().await.map_err(failed)?;
            }
            let received_at = Instant::now();
            Ok(Self {
                client,
                slot: slot_name,
                publication: publication_name,
                silence,
                received_at,
                reported: None,
            })
        };
        let timed_out = || Error::unavailable(CONTEXT, "connecting took too long");
        tokio::time::timeout(limit, started).await.map_err(|_| timed_out())?
    }

    /// The next item. Cancellation-safe: an item is either returned or kept. A keepalive that says what
    /// the last one said comes at most ten times a second.
    ///
    /// # Errors
    ///
    /// As [`Stream::open`]; [`Error::Gone`] where the publication is missing. After an error the
    /// stream is at its end: open another.
    pub async fn next(&mut self) -> Result<StreamItem> {
        loop {
            let received = match self.silence {
                Some(silence) => timeout_at(self.received_at + silence, self.client.recv()).await,
                None => Ok(self.client.recv().await),
            };
            let Ok(received) = received else {
                return Err(Error::unavailable(CONTEXT, "the server has fallen silent"));
            };
            self.received_at = Instant::now();
            match received.map_err(|error| {
                classify(&error, Stage::Streaming, &self.slot, &self.publication)
            })? {
                Some(event) => {
                    let Some(item) = item(event)? else { continue };
                    if !self.repeats(&item) {
                        return Ok(item);
                    }
                    // Only an answer that the client gives makes the server ask again. The others come
                    // between any two transactions of a busy source, and must not hold up the next one.
                    if matches!(item, StreamItem::Keepalive { reply_requested: true, .. }) {
                        tokio::time::sleep(REPEAT_PAUSE).await;
                    }
                }
                None => return Err(Error::unavailable(CONTEXT, "the stream has ended")),
            }
        }
    }

    /// The owner did not ask for a while: the server's silence counts from now.
    pub fn listen_again(&mut self) {
        self.received_at = Instant::now();
    }

    /// Whether an item says nothing that was not said a moment ago.
    fn repeats(&mut self, item: &StreamItem) -> bool {
        let &StreamItem::Keepalive { wal_end, reply_requested } = item else { return false };
        let asked = StreamItem::Keepalive { wal_end, reply_requested: true };
        let known = |sent: &StreamItem| *sent == asked || sent == item && !reply_requested;
        if self
            .reported
            .as_ref()
            .is_some_and(|(told, at)| known(told) && at.elapsed() < KEEPALIVE_PAUSE)
        {
            return true;
        }
        self.reported = Some((item.clone(), Instant::now()));
        false
    }

    /// Tells the server, within a second, that everything before `lsn` may be forgotten. Only durable
    /// positions (P7). A position below an earlier one is ignored.
    pub fn confirm(&self, lsn: Lsn) {
        self.client.update_applied_lsn(pgwire_replication::Lsn::from_u64(lsn.0));
    }

    /// Ends the stream and frees the slot.
    pub async fn stop(&mut self) {
        if tokio::time::timeout(STOP_TIMEOUT, self.client.shutdown()).await.is_err() {
            self.client.abort();
        }
    }
}

/// A message or keepalive; `None` for what says nothing to a consumer.
fn item(event: ReplicationEvent) -> Result<Option<StreamItem>> {
    let lsn = |lsn: pgwire_replication::Lsn| Lsn(lsn.as_u64());
    Ok(Some(match event {
        ReplicationEvent::KeepAlive { wal_end, reply_requested, .. } => {
            StreamItem::Keepalive { wal_end: lsn(wal_end), reply_requested }
        }
        ReplicationEvent::XLogData { data, .. } => StreamItem::Message(decode::message(&data)?),
        ReplicationEvent::Begin { final_lsn, xid, commit_time_micros } => {
            let commit_time = Message::commit_time(commit_time_micros)?;
            StreamItem::Message(Message::Begin { final_lsn: lsn(final_lsn), xid, commit_time })
        }
        ReplicationEvent::Commit { lsn: commit_lsn, end_lsn, commit_time_micros } => {
            let commit_time = Message::commit_time(commit_time_micros)?;
            let (commit_lsn, end_lsn) = (lsn(commit_lsn), lsn(end_lsn));
            StreamItem::Message(Message::Commit { commit_lsn, end_lsn, commit_time })
        }
        ReplicationEvent::Message { .. } | ReplicationEvent::StoppedAt { .. } => return Ok(None),
    }))
}

/// Makes sure that the server is of the role that the configuration asks for, as every other session does: of several hosts a
/// standby may come first, and has no slot.
fn require_role(rows: &[Vec<Option<bytes::Bytes>>], wanted: TargetSessionAttrs) -> Result<()> {
    let value = rows.first().and_then(|row| row.get(3)).and_then(Option::as_ref);
    let is_read_only = value.is_some_and(|value| value.as_ref() == b"on");
    match wanted {
        TargetSessionAttrs::ReadWrite if is_read_only => {
            Err(Error::unavailable(CONTEXT, "the server takes no writes (target_session_attrs)"))
        }
        TargetSessionAttrs::ReadOnly if !is_read_only => {
            Err(Error::unavailable(CONTEXT, "the server takes writes (target_session_attrs)"))
        }
        _ => Ok(()),
    }
}

/// Asks for the state of the slot, and for the server's idea of a dead connection in milliseconds. The
/// slot's name was checked, so it can stand in a literal.
fn state_query(slot: &str) -> String {
    format!(
        "select (select setting from pg_settings where name = 'wal_sender_timeout'), \
         s.confirmed_flush_lsn::text, s.wal_status, current_setting('transaction_read_only') \
         from (values (1)) one left join pg_replication_slots s on s.slot_name = '{slot}'"
    )
}

/// Checks that the slot still has everything after `start`; returns the silence that means a dead peer.
fn check_slot(
    rows: &[Vec<Option<bytes::Bytes>>],
    slot: &str,
    start: Lsn,
) -> Result<Option<Duration>> {
    let lost = |problem: String| Error::SlotLost { slot: slot.to_owned(), problem };
    let field = |index: usize| {
        let value = rows.first().and_then(|row| row.get(index)).and_then(Option::as_ref);
        value.map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    };
    let Some(confirmed) = field(1).as_deref().and_then(Lsn::parse) else {
        return Err(lost("it does not exist".into()));
    };
    if field(2).as_deref() == Some("lost") {
        return Err(lost("the log it needs was removed".into()));
    }
    if start > Lsn(0) && confirmed > start {
        let problem = format!("it was confirmed up to {confirmed}, past the checkpoint {start}");
        return Err(lost(problem));
    }
    let timeout = field(0).and_then(|millis| millis.parse().ok()).filter(|millis| *millis > 0);
    Ok(timeout.map(|millis| Duration::from_millis(millis).saturating_mul(2).max(LEAST_SILENCE)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_must_still_have_what_follows_the_checkpoint_p12() {
        let check = |confirmed: Option<&str>, status: Option<&str>, start: u64, expected: bool| {
            let text = |text: &str| bytes::Bytes::copy_from_slice(text.as_bytes());
            let row = vec![Some(text("60000")), confirmed.map(text), status.map(text)];
            let outcome = check_slot(&[row], "s", Lsn(start));
            assert_eq!(outcome.is_ok(), expected, "{confirmed:?} {status:?} {start}");
            if let Ok(silence) = outcome {
                assert_eq!(silence, Some(Duration::from_secs(120)));
            }
        };
        check(Some("0/10"), Some("reserved"), 0x10, true);
        check(Some("0/10"), Some("extended"), 0x20, true);
        check(Some("0/10"), Some("reserved"), 0, true);
        check(Some("0/11"), Some("reserved"), 0x10, false);
        check(Some("0/10"), Some("lost"), 0x10, false);
        check(None, None, 0x10, false);
    }
}
