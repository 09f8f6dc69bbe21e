//! How far the source's server is, to notice one that was restored to an older state (P12, P18).
//!
//! Only what survives a crash counts, or each crash would look like a restore: the log as far as it is on disk, transaction
//! ids whose end is in that log, and the slot's `restart_lsn`, which the server writes to disk before it lets log go.

use crate::error::{Context, Result};
use crate::lsn::Lsn;
use crate::pg::Client;

/// What of a server survives a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// Its timeline; `None` where it is unknown.
    pub timeline: Option<i64>,
    /// The log that is on disk.
    pub flushed: Option<Lsn>,
    /// The next transaction id.
    pub next_xid: Option<i64>,
    /// From where the log is kept for our slot.
    pub slot_restart: Option<Lsn>,
}

/// A look at a server.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// As the server is now.
    pub position: Position,
    /// The log that was written then.
    inserted: Option<Lsn>,
}

/// Looks at a server.
///
/// # Errors
/// The source is away.
pub async fn look(client: &Client, slot: &str) -> Result<Look> {
    let row = client.query_one(include_str!("sql/position.sql"), &[&slot]).await;
    let row = row.context("source: reading the position")?;
    let lsn = |name: &str| row.get::<_, Option<String>>(name).as_deref().and_then(Lsn::parse);
    let position = Position {
        timeline: row.get("timeline"),
        flushed: lsn("flushed"),
        next_xid: row.get("next_xid"),
        slot_restart: lsn("restart"),
    };
    Ok(Look { position, inserted: lsn("inserted") })
}

impl Look {
    /// What is known to survive a crash, given an earlier look: its transactions are on disk once what was written then is.
    #[must_use]
    pub fn durable(&self, earlier: Option<&Self>) -> Position {
        let next_xid = earlier
            .filter(|earlier| {
                earlier.inserted.is_some() && self.position.flushed >= earlier.inserted
            })
            .and_then(|earlier| earlier.position.next_xid);
        Position { next_xid, ..self.position }
    }
}

impl Position {
    /// How this server shows to be in an older state than `before`, or to have gone another way since, in words.
    /// `applied` is the checkpoint.
    #[must_use]
    pub fn is_behind(&self, before: &Self, applied: Lsn) -> Option<&'static str> {
        let is_less = |now: Option<Lsn>, then: Option<Lsn>| {
            now.zip(then).is_some_and(|(now, then)| now < then)
        };
        let known = before.flushed.map_or(applied, |flushed| flushed.max(applied));
        if is_less(self.flushed, Some(known)) {
            return Some(
                "the end of its log is behind what was applied: it was restored to an older state",
            );
        }
        if self.next_xid.zip(before.next_xid).is_some_and(|(now, then)| now < then) {
            return Some(
                "its next transaction id is behind the last one seen: it was restored to an older state",
            );
        }
        if is_less(self.slot_restart, before.slot_restart) {
            return Some(
                "it is behind what was confirmed: the server was restored to an older state",
            );
        }
        let timelines = self.timeline.zip(before.timeline);
        timelines
            .is_some_and(|(now, then)| now != then)
            .then_some("the server is on another timeline: it was restored or promoted")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(timeline: i64, flushed: u64, next_xid: i64, restart: u64) -> Position {
        let (flushed, slot_restart) = (Some(Lsn(flushed)), Some(Lsn(restart)));
        Position { timeline: Some(timeline), flushed, next_xid: Some(next_xid), slot_restart }
    }

    #[test]
    fn an_older_state_shows_p18() {
        let before = position(1, 100, 50, 80);
        let table = [
            (position(1, 100, 50, 80), 100, None),
            (position(1, 200, 60, 90), 150, None),
            (position(1, 99, 50, 80), 90, Some("end of its log")),
            (position(1, 120, 50, 80), 130, Some("end of its log")),
            (position(1, 200, 49, 80), 100, Some("transaction id")),
            (position(1, 200, 60, 79), 100, Some("confirmed")),
            (position(2, 200, 60, 90), 100, Some("timeline")),
        ];
        for (now, applied, expected) in table {
            let found = now.is_behind(&before, Lsn(applied));
            assert_eq!(found.is_some(), expected.is_some(), "{now:?} {found:?}");
            assert!(found.unwrap_or_default().contains(expected.unwrap_or_default()), "{found:?}");
        }
        let unknown = Position { flushed: Some(Lsn(5)), ..Position::default() };
        assert_eq!(unknown.is_behind(&Position::default(), Lsn(5)), None);
    }

    #[test]
    fn a_transaction_id_counts_once_the_log_of_its_end_is_on_disk() {
        let look = |flushed, inserted, next_xid| Look {
            position: position(1, flushed, next_xid, 1),
            inserted: Some(Lsn(inserted)),
        };
        let earlier = look(10, 20, 7);
        assert_eq!(look(19, 30, 9).durable(Some(&earlier)).next_xid, None);
        assert_eq!(look(20, 30, 9).durable(Some(&earlier)).next_xid, Some(7));
        assert_eq!(look(20, 30, 9).durable(None).next_xid, None);
    }
}
