//! The checkpoint, in the same transaction as the data (P2), and what the backfill's snapshots contained.

use std::collections::{BTreeMap, HashSet};

use tokio_postgres::error::SqlState;

use super::Writer;
use crate::error::{Error, Result};
use crate::lsn::Lsn;

/// The snapshots in which backfill chunks were read, as PostgreSQL writes them: `xmin:xmax:xip,…`.
///
/// A chunk is read without holding the stream, so the stream repeats changes that the chunk already
/// contained. Applying them again would converge, but on the way rows would go back in time, and the
/// e-mail change rule (SPEC §4.3) would see changes that never happened. So each fact remembers its chunk,
/// and a change of a transaction that the chunk's snapshot saw is left out.
#[derive(Debug, Clone, Default)]
pub struct ChunkSnapshots {
    by_chunk: BTreeMap<i64, Snapshot>,
}

#[derive(Debug, Clone)]
struct Snapshot {
    xmin: u64,
    xmax: u64,
    running: HashSet<u64>,
}

impl ChunkSnapshots {
    /// Whether there are none, so that nothing need be compared.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_chunk.is_empty()
    }

    /// Adds a chunk's snapshot.
    ///
    /// # Errors
    /// When the text is not a snapshot.
    pub fn add(&mut self, chunk: i64, text: &str) -> Result<()> {
        let snapshot = Snapshot::parse(text)
            .ok_or_else(|| Error::failed("reading a snapshot", format!("'{text}' is not one")))?;
        self.by_chunk.insert(chunk, snapshot);
        Ok(())
    }

    /// Whether the chunk's snapshot saw the transaction with this 32-bit id as committed.
    #[must_use]
    pub fn contain(&self, chunk: i64, xid: u32) -> bool {
        self.by_chunk.get(&chunk).is_some_and(|snapshot| snapshot.saw(xid))
    }
}

impl Snapshot {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let xmin = parts.next()?.parse().ok()?;
        let xmax = parts.next()?.parse().ok()?;
        let running = parts.next()?.split(',').filter(|id| !id.is_empty());
        let running = running.map(|id| id.parse().ok()).collect::<Option<_>>()?;
        Some(Self { xmin, xmax, running })
    }

    /// The stream tells 32 bits of the id; the epoch is that of the nearest id to the snapshot.
    fn saw(&self, xid: u32) -> bool {
        let distance = (xid.wrapping_sub(self.xmax as u32)) as i32;
        let Some(full) = self.xmax.checked_add_signed(i64::from(distance)) else { return true };
        full < self.xmin || (full < self.xmax && !self.running.contains(&full))
    }
}

impl Writer {
    /// Opens a target transaction.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn begin(&self) -> Result<()> {
        match self.db.batch("target: opening a transaction", &self.tables.begin).await {
            // The application dropped a deferred constraint: the next session reads the catalog anew.
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_OBJECT) => {
                Err(error.into_unavailable())
            }
            other => other,
        }
    }

    /// Gives up the open target transaction.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn rollback(&self) -> Result<()> {
        self.db.batch("target: rolling back", "rollback").await
    }

    /// Advances the checkpoint from `from` to `to` and commits.
    ///
    /// # Errors
    /// [`Error::Superseded`] when another writer advanced it meanwhile.
    pub async fn commit(&self, slot: &str, from: Lsn, to: Lsn) -> Result<()> {
        let sql = "update tributary.checkpoint set lsn = $3::text::pg_lsn, updated_at = now() \
                   where slot = $1 and lsn = $2::text::pg_lsn";
        let (from, to) = (from.to_string(), to.to_string());
        let advanced =
            self.db.execute("target: advancing the checkpoint", sql, &[&slot, &from, &to]).await?;
        if advanced != 1 {
            return Err(Error::Superseded(format!("the checkpoint is no longer at {from}")));
        }
        self.db.batch("target: committing", "commit").await
    }

    /// The target's log position now: everything committed so far is before it.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn target_lsn(&self) -> Result<Lsn> {
        self.read_lsn("select pg_current_wal_insert_lsn()::text").await
    }

    /// What the target has on disk.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn target_flushed(&self) -> Result<Lsn> {
        self.read_lsn("select pg_current_wal_flush_lsn()::text").await
    }

    /// Up to where backfilled rows may be newer than the stream.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn backfilled_until(&self) -> Result<Option<Lsn>> {
        let sql = "select backfilled_until::text from tributary.state";
        let rows = self.db.query("target: reading the state", sql, &[]).await?;
        let text: Option<String> = rows.first().and_then(|row| row.get(0));
        Ok(text.as_deref().and_then(Lsn::parse))
    }

    /// Waits until everything committed is on the target's disk.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn flush_target(&self) -> Result<()> {
        let sql = "begin; set local synchronous_commit = on; \
                   update tributary.checkpoint set updated_at = now(); commit";
        self.db.batch("target: waiting for the disk", sql).await
    }

    async fn read_lsn(&self, sql: &str) -> Result<Lsn> {
        let rows = self.db.query("target: reading the log position", sql, &[]).await?;
        let text: String = rows.first().map(|row| row.get(0)).unwrap_or_default();
        Lsn::parse(&text).ok_or_else(|| Error::failed("target: reading the log position", text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_saw_what_was_committed_before_it() {
        let table = [
            ("100:100:", 99, true),
            ("100:100:", 100, false),
            ("100:105:100,103", 100, false),
            ("100:105:100,103", 101, true),
            ("100:105:100,103", 103, false),
            ("100:105:100,103", 105, false),
            ("4294967300:4294967300:", 3, true),
            ("4294967300:4294967300:", 4, false),
            ("4294967300:4294967300:", 4_294_967_290, true),
        ];
        for (text, xid, expected) in table {
            let mut snapshots = ChunkSnapshots::default();
            snapshots.add(1, text).unwrap();
            assert_eq!(snapshots.contain(1, xid), expected, "{text} {xid}");
            assert!(!snapshots.contain(2, xid));
        }
        for bad in ["", "1", "1:2", "a:b:", "1:2:x"] {
            assert!(ChunkSnapshots::default().add(1, bad).is_err(), "{bad}");
        }
    }
}
