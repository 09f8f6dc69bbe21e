//! What the snapshots of the backfill's chunks contained.

use std::collections::BTreeMap;

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

/// One snapshot.
#[derive(Debug, Clone)]
pub struct Snapshot {
    xmin: u64,
    xmax: u64,
    /// How far above `xmin`, ascending: a backfill keeps one snapshot a chunk.
    running: Box<[u32]>,
}

impl ChunkSnapshots {
    /// Whether there are none, so that nothing need be compared.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_chunk.is_empty()
    }

    /// Adds a chunk's snapshot.
    /// `None` where the text is not a snapshot.
    #[must_use]
    pub fn add(&mut self, chunk: i64, text: &str) -> Option<()> {
        self.by_chunk.insert(chunk, Snapshot::parse(text)?);
        Some(())
    }

    /// The chunks whose snapshots saw the transaction with this 32-bit id as committed.
    #[must_use]
    pub fn containing(&self, xid: u32) -> Vec<i64> {
        self.by_chunk.iter().filter(|(_, s)| s.saw(xid)).map(|(chunk, _)| *chunk).collect()
    }

    /// Whether the chunk's snapshot saw the transaction with this 32-bit id as committed.
    #[must_use]
    pub fn contain(&self, chunk: i64, xid: u32) -> bool {
        self.by_chunk.get(&chunk).is_some_and(|snapshot| snapshot.saw(xid))
    }
}

impl Snapshot {
    /// Reads what PostgreSQL writes; `None` where it is not a snapshot.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let xmin: u64 = parts.next()?.parse().ok()?;
        let xmax = parts.next()?.parse().ok()?;
        let running = parts.next()?.split(',').filter(|id| !id.is_empty());
        let above = |id: &str| u32::try_from(id.parse::<u64>().ok()?.checked_sub(xmin)?).ok();
        let mut running = running.map(above).collect::<Option<Vec<u32>>>()?;
        running.sort_unstable();
        Some(Self { xmin, xmax, running: running.into() })
    }

    /// Whether it saw the transaction as committed. The stream carries 32 bits of the id; the epoch is that of the nearest id
    /// to the snapshot.
    #[must_use]
    pub fn saw(&self, xid: u32) -> bool {
        let distance = (xid.wrapping_sub(self.xmax as u32)) as i32;
        let Some(full) = self.xmax.checked_add_signed(i64::from(distance)) else { return true };
        let runs = |above: u64| {
            u32::try_from(above).is_ok_and(|above| self.running.binary_search(&above).is_ok())
        };
        full < self.xmin || (full < self.xmax && !runs(full - self.xmin))
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
            assert!(ChunkSnapshots::default().add(1, bad).is_none(), "{bad}");
        }
    }
}
