//! Rows that differed when they were first looked at: they are looked at again once the checkpoint has passed the source's
//! position of that reading.
//!
//! The stored row is read first, then the source row. Where the latter is still of the version that it had before, nothing
//! changed it in between, everything up to the first reading is applied, and the two must agree.

use std::collections::{BTreeMap, HashMap};

use super::Verifier;
use super::rows::SourceRow;
use crate::engine::RowId;
use crate::error::Result;
use crate::facts::{Feed, RawRow, SourceKey};
use crate::lsn::Lsn;
use crate::store;
use crate::store::row::FullRow;

/// Rows that wait: reading stops until fewer do.
const MOST: usize = 5_000;
/// How often a row that changes each time is looked at.
pub(super) const TRIES: u32 = 5;

/// A row that is to be looked at again.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) id: RowId,
    /// The row with its key, to ask the source for it.
    pub(super) ask: RawRow,
    pub(super) seen: Seen,
    /// Where the source's log was after it was read.
    pub(super) lsn: Lsn,
    pub(super) tries: u32,
}

/// What was seen of the source row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    /// That there is one.
    Key,
    /// Which version of it; `None`: there was none.
    Version(Option<String>),
}

impl Verifier<'_> {
    /// Looks again at what may be judged now. Where too much waits, it is waited for.
    pub(super) async fn settle_some(&mut self) -> Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        if self.waiting.len() >= MOST {
            return self.settle_all().await;
        }
        let checkpoint = if self.is_streaming { self.checkpoint().await? } else { Lsn(u64::MAX) };
        self.settle_up_to(checkpoint).await
    }

    /// Looks again until nothing waits.
    pub(super) async fn settle_all(&mut self) -> Result<()> {
        while let Some(lsn) = self.waiting.iter().map(|candidate| candidate.lsn).max() {
            if !self.passed(lsn).await? {
                self.report.unsettled += self.waiting.len() as u64;
                self.waiting.clear();
                return Ok(());
            }
            let checkpoint =
                if self.is_streaming { self.checkpoint().await? } else { Lsn(u64::MAX) };
            self.settle_up_to(checkpoint).await?;
        }
        Ok(())
    }

    async fn settle_up_to(&mut self, checkpoint: Lsn) -> Result<()> {
        let all = std::mem::take(&mut self.waiting);
        let (due, waiting): (Vec<_>, Vec<_>) = all.into_iter().partition(|c| c.lsn <= checkpoint);
        self.waiting = waiting;
        let mut by_feed: BTreeMap<Feed, Vec<Candidate>> = BTreeMap::new();
        for candidate in due {
            by_feed.entry(candidate.id.0).or_default().push(candidate);
        }
        for (feed, candidates) in by_feed {
            for some in candidates.chunks(super::rows::PAGE as usize) {
                self.look_again(feed, some).await?;
            }
        }
        Ok(())
    }

    async fn look_again(&mut self, feed: Feed, candidates: &[Candidate]) -> Result<()> {
        let ids: Vec<RowId> = candidates.iter().map(|candidate| candidate.id.clone()).collect();
        // Stored rows, aliases and decisions of one moment.
        let tx = self.applier.begin_reading().await?;
        let stored = store::row::full_by_key(&tx, &ids).await?;
        let stored: HashMap<RowId, FullRow> =
            stored.into_iter().map(|row| (row.id.clone(), row)).collect();
        let found = self.read(feed, candidates.iter().map(|candidate| &candidate.ask)).await?;
        let lsn = self.source_lsn().await?;
        let expected = self.expected_rows(&tx, feed, &found).await?;
        tx.rollback().await?;
        for candidate in candidates {
            let id = &candidate.id;
            let (should, is) = (expected.get(id), stored.get(id));
            let Some(differs) = self.compare(should, is) else { continue };
            let seen = Seen::Version(version(&found, &id.1));
            if seen == candidate.seen || !self.is_streaming {
                self.record_row(id, differs, should, is);
            } else if candidate.tries + 1 >= TRIES {
                self.report.unsettled += 1;
            } else {
                let tries = candidate.tries + 1;
                self.waiting.push(Candidate { seen, lsn, tries, ..candidate.clone() });
            }
        }
        Ok(())
    }
}

fn version(found: &HashMap<SourceKey, SourceRow>, key: &SourceKey) -> Option<String> {
    found.get(key).map(|source| source.version.clone())
}
