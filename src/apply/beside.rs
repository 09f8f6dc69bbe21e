//! Batches beside a reconcile that still reads its feeds (SPEC §8, P2).
//!
//! Between two chunks the stored rows are as the stream left them, but for changes that it never carried. What can be decided
//! from such rows is applied as it arrives, so that one feed's reconcile does not stop the others. What cannot ends in
//! [`Error::ReadsFirst`], and the loop applies it again once everything is read and judged:
//!
//! | a batch with | because |
//! |---|---|
//! | a contact's new address, a row's new key | SPEC §4.3 is judged over the whole reconcile |
//! | people whose address the reconcile found changed | with whom their rows stay is not judged yet |
//! | people with rows that are stored with other columns | their rows cannot be read |
//! | values too large to be decided at once | its parts would be judged one by one |

use std::collections::{BTreeSet, HashSet};

use super::Applier;
use super::fetch::State;
use crate::engine::rows::Touched;
use crate::engine::versions::Version;
use crate::engine::{Arrival, RowChange, Snapshot};
use crate::error::{Error, Result};
use crate::pg::Tx;
use crate::source::snapshot::invalid;
use crate::store;

/// What is kept while a reconcile reads.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Source transactions that this session applied and that no snapshot of the source is known to see: a commit is streamed a
    /// moment before it is visible, and until a standby confirms it where the source waits for one.
    applied: HashSet<u32>,
}

impl Applier {
    /// Sets whether a reconcile reads beside the stream.
    pub fn set_reading(&mut self, is_reading: bool) {
        self.reading = is_reading.then(Reading::default);
    }

    /// How streamed changes arrive.
    pub(super) fn streamed(&self) -> Arrival {
        if self.reading.is_some() { Arrival::BesideReading } else { Arrival::Stream }
    }

    /// Notes the transactions of a batch that was applied.
    pub(super) fn note_applied(&mut self, changes: &[RowChange]) {
        if let Some(reading) = &mut self.reading {
            reading.applied.extend(changes.iter().filter_map(|change| change.xid));
        }
    }

    /// Whether whatever is read from now on contains everything that was applied; `snapshot` is the source's of this moment.
    ///
    /// # Errors
    /// Where the text is not a snapshot.
    pub fn is_visible(&mut self, snapshot: &str) -> Result<bool> {
        let Some(reading) = &mut self.reading else { return Ok(true) };
        let snapshot = Snapshot::parse(snapshot).ok_or_else(|| invalid(snapshot))?;
        reading.applied.retain(|xid| !snapshot.saw(*xid));
        Ok(reading.applied.is_empty())
    }

    /// Makes sure that a batch can be decided by whom its people are.
    pub(super) async fn require_judged(
        &self,
        tx: &Tx,
        touched: &Touched,
        further: &BTreeSet<String>,
        state: &State,
    ) -> Result<()> {
        let owners: Vec<&str> = touched.owners.iter().chain(further).map(String::as_str).collect();
        if !state.unreadable.is_empty() || store::email_before::concerns(tx, &owners).await? {
            return Err(Error::ReadsFirst);
        }
        Ok(())
    }
}

/// Makes sure that versions that arrived so change nothing that the whole reconcile judges.
pub(super) fn require_plain(versions: &[Version], moves: bool, arrival: Arrival) -> Result<()> {
    let is_rekeyed = |version: &Version| version.previous.is_some();
    if arrival == Arrival::BesideReading && (moves || versions.iter().any(is_rekeyed)) {
        return Err(Error::ReadsFirst);
    }
    Ok(())
}
