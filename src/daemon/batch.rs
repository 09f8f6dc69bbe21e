//! Source transactions collected for one target transaction. Pure.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use crate::decode::Change;
use crate::engine::RowChange;
use crate::facts::{Feed, SourceKey};
use crate::lsn::Lsn;

/// Changes of one source transaction held in memory; a larger one is applied in parts, so that memory
/// does not grow with it (P13).
const PART_ROWS: usize = 1_000;
/// Bytes of the changes of one batch, or of one source transaction, held in memory. Applying them takes
/// about three times as much beside them; with the queue and the buffers of both drivers that leaves a
/// daemon below 64 MiB (P13). At 1.5 KB a row this is some 700 rows.
pub(super) const BATCH_BYTES: usize = 1 << 20;
/// What a value takes beside its text, in bytes.
const VALUE_BYTES: usize = std::mem::size_of::<Option<String>>() + 16;

/// Bytes of memory that a change takes, about.
pub(super) fn change_bytes(change: &Change) -> usize {
    let row = change.row.as_ref().map_or(0, |row| {
        let values = row.row.values.iter();
        values.map(|value| VALUE_BYTES + value.as_ref().map_or(0, String::len)).sum::<usize>()
            + row.key.0.len()
    });
    std::mem::size_of::<RowChange>() + row + change.old_key.as_ref().map_or(0, |key| key.0.len())
}

/// The source transaction that is being received.
#[derive(Debug, Default)]
pub(super) struct OpenTransaction {
    /// Its id.
    pub xid: u32,
    /// Where its commit record starts.
    pub commit_lsn: Lsn,
    /// Changes received and not yet applied.
    pub changes: Vec<RowChange>,
    /// Bytes of memory that they take.
    pub bytes: usize,
    /// Of the changes that were applied in parts.
    pub bytes_before: usize,
    /// How many changes were received.
    pub received: usize,
    /// Whether parts of it were applied already.
    pub in_parts: bool,
    /// Tables of which it changed rows without saying which.
    pub keyless: HashSet<Feed>,
    /// Rows of tables before its first part, as far as they were counted.
    pub rows_before: HashMap<Feed, u64>,
    /// Tables that it truncates.
    pub truncated: Vec<Feed>,
}

impl OpenTransaction {
    /// A transaction that begins.
    #[must_use]
    pub(super) fn begin(xid: u32, commit_lsn: Lsn) -> Self {
        Self { xid, commit_lsn, ..Self::default() }
    }

    /// Adds a change that takes this many bytes.
    pub(super) fn push(&mut self, change: Change, bytes: usize) {
        let Change { table, old_key, row } = change;
        let change = match row {
            Some(row) => RowChange {
                tx: 0,
                xid: Some(self.xid),
                table,
                key: row.key,
                previous: old_key,
                row: Some(row.row),
                unchanged: row.unchanged,
            },
            None => {
                let Some(key) = old_key else { return };
                let xid = Some(self.xid);
                RowChange { tx: 0, xid, table, key, previous: None, row: None, unchanged: vec![] }
            }
        };
        self.bytes += bytes;
        self.received += 1;
        self.changes.push(change);
    }

    /// Whether it must be applied in parts.
    #[must_use]
    pub(super) fn is_large(&self) -> bool {
        self.changes.len() >= PART_ROWS || self.bytes >= BATCH_BYTES
    }

    /// Rows of each table that it deletes, in effect: one that it inserts again does not count.
    #[must_use]
    pub(super) fn deletes(&self) -> HashMap<Feed, u64> {
        let mut gone: HashSet<(Feed, &SourceKey)> = HashSet::new();
        for change in &self.changes {
            if change.row.is_some() {
                gone.remove(&(change.table, &change.key));
            } else {
                gone.insert((change.table, &change.key));
            }
        }
        let mut counts = HashMap::new();
        for (table, _) in gone {
            *counts.entry(table).or_default() += 1;
        }
        counts
    }
}

/// Whole source transactions that share the next target transaction.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Their changes, numbered by transaction.
    pub changes: Vec<RowChange>,
    /// How many transactions.
    pub transactions: u32,
    /// Where the last one's commit record ends: the checkpoint once they are applied.
    pub end_lsn: Lsn,
    /// When the last one committed.
    pub commit_time: Option<Timestamp>,
    /// Bytes of memory that the changes take.
    pub bytes: usize,
}

impl Batch {
    /// Adds a whole transaction.
    pub(super) fn push(&mut self, open: OpenTransaction, end_lsn: Lsn, commit_time: Timestamp) {
        let tx = self.transactions;
        self.changes.extend(open.changes.into_iter().map(|change| RowChange { tx, ..change }));
        self.transactions += 1;
        self.end_lsn = end_lsn;
        self.commit_time = Some(commit_time);
        self.bytes += open.bytes;
    }

    /// Whether there is nothing to commit.
    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        self.transactions == 0
    }

    /// Whether it should be applied now.
    #[must_use]
    pub(super) fn is_full(&self, batch_rows: usize) -> bool {
        self.changes.len() >= batch_rows || self.bytes >= BATCH_BYTES
    }

    /// Whether it should be applied before a transaction is added.
    #[must_use]
    pub(super) fn has_no_room_for(&self, open: &OpenTransaction, batch_rows: usize) -> bool {
        !self.is_empty()
            && (self.changes.len() + open.changes.len() > batch_rows
                || self.bytes + open.bytes > BATCH_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::ChangedRow;
    use crate::facts::RawRow;

    fn key(key: &str) -> SourceKey {
        SourceKey(key.into())
    }

    fn upsert(name: &str, old: Option<&str>) -> Change {
        let row = RawRow { values: vec![Some("x".repeat(10))] };
        Change {
            table: Feed::new(2),
            old_key: old.map(key),
            row: Some(ChangedRow { key: key(name), row, unchanged: vec![] }),
        }
    }

    fn delete(name: &str) -> Change {
        Change { table: Feed::new(2), old_key: Some(key(name)), row: None }
    }

    #[test]
    fn only_rows_that_are_gone_in_the_end_count_as_deleted() {
        let mut open = OpenTransaction::begin(1, Lsn(5));
        for change in
            [delete("a"), upsert("a", None), delete("b"), upsert("c", Some("d")), delete("c")]
        {
            open.push(change, 1);
        }
        assert_eq!(open.deletes(), HashMap::from([(Feed::new(2), 2)]));
    }

    #[test]
    fn transactions_are_numbered_and_the_last_one_gives_the_checkpoint() {
        let mut batch = Batch::default();
        assert!(batch.is_empty());
        for end in [10, 20] {
            let mut open = OpenTransaction::begin(1, Lsn(end - 1));
            open.push(upsert("a", None), 10);
            batch.push(open, Lsn(end), Timestamp::UNIX_EPOCH);
        }
        let numbers: Vec<u32> = batch.changes.iter().map(|change| change.tx).collect();
        assert_eq!((numbers, batch.end_lsn, batch.is_full(2)), (vec![0, 1], Lsn(20), true));
    }

    /// P13: a batch passes its limits by no transaction but one that does so alone.
    #[test]
    fn a_transaction_that_has_no_room_waits_for_the_next_batch() {
        let transaction = |rows: usize, bytes: usize| {
            let mut open = OpenTransaction::begin(1, Lsn(1));
            for _ in 0..rows {
                open.push(upsert("a", None), bytes);
            }
            open
        };
        let table = [
            (0, 9, 1, false),
            (3, 1, 1, false),
            (4, 1, 1, true),
            (1, 1, BATCH_BYTES / 2, false),
            (1, 1, BATCH_BYTES, true),
        ];
        for (before, rows, bytes, expected) in table {
            let mut batch = Batch::default();
            if before > 0 {
                batch.push(transaction(before, 1), Lsn(2), Timestamp::UNIX_EPOCH);
            }
            let open = transaction(rows, bytes);
            assert_eq!(batch.has_no_room_for(&open, 4), expected, "{before} {rows} {bytes}");
        }
    }

    #[test]
    fn the_bytes_of_a_change_are_those_of_its_values_and_more() {
        let (small, key) = (change_bytes(&delete("a")), change_bytes(&upsert("a", Some("bcd"))));
        assert!(small >= std::mem::size_of::<RowChange>());
        assert_eq!(key, small + VALUE_BYTES + 10 + "bcd".len());
    }
}
