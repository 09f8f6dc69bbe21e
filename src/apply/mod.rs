//! The one write path (four steps): store facts, find touched owners, unify them, write what differs.
//!
//! Streaming, backfill, rebuild, decisions and the daily expiry all end here, so they give the same
//! answer. Everything of one call happens in the caller's open target transaction, and nothing here
//! commits but [`Writer::commit`], together with the checkpoint.
//!
//! In reading order: `changes` takes row changes to facts, with `versions` (the row rules, in order), `moves`
//! and `aliases` (SPEC §4.3) and `parts` (large transactions). `recompute` loads and unifies owners and
//! writes what differs: `people` finds their ids, `targets` and `deletes` write their rows, `statements` is
//! the SQL for them, `isolate` sets aside what the target refuses, `conflicts` and `groups` keep the review
//! queue. `persons` and `joining` make two people one and back, `checkpoint` ends it all.
//!
//! It knows nothing of replication: changes come in as [`RowChange`]s in commit order.

mod aliases;
mod changes;
mod checkpoint;
mod conflicts;
mod db;
mod deletes;
mod groups;
mod groups_of;
mod isolate;
mod joining;
mod moves;
mod open;
mod parts;
mod passes;
mod people;
mod persons;
mod recompute;
mod statements;
mod store;
mod targets;
mod text;
mod unchanged;
mod versions;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jiff::civil;

pub use changes::{Arrival, RowChange, RowId, parse_source_row};
pub use checkpoint::ChunkSnapshots;
pub use db::{Db, Param};
pub use groups_of::load_groups;
pub use persons::Merge;
pub use recompute::{Report, Round};
pub use store::{load_contacts, load_payments};
pub use text::{TextColumns, instant as instant_text, text_params};

use crate::facts::{ContactField, EmailKey, Feed, Layout, PaymentField, SourceKey, source_row};
use crate::rules::Rules;
use crate::source::RowReader;

/// Owners unified in one round: bounds memory, and keeps statements short enough to be interrupted.
pub const OWNERS_PER_ROUND: usize = 2_000;

/// The layouts of both source tables.
#[derive(Debug, Clone)]
pub struct Layouts {
    /// Payments.
    pub xendit: Layout<PaymentField>,
    /// Contacts.
    pub systemeio: Layout<ContactField>,
}

/// Active decisions about single rows. People make them one by one, so they fit in memory.
#[derive(Debug, Clone, Default)]
pub struct RowDecisions {
    /// The address to use for a source row.
    pub emails: HashMap<String, EmailKey>,
    /// The product of a source row.
    pub products: HashMap<String, String>,
}

/// What a set of fact changes touches.
#[derive(Debug, Default)]
pub struct Touched {
    /// Owners whose answer may change.
    pub owners: BTreeSet<String>,
    /// external_ids whose payments changed.
    pub external_ids: BTreeSet<String>,
    /// contact_ids whose contacts changed.
    pub contact_ids: BTreeSet<String>,
    /// Persons who came or went by a decision.
    pub people: BTreeSet<String>,
    /// Rows that are gone.
    pub removed: BTreeSet<RowId>,
}

impl Touched {
    /// One fact changed: its old and new owner and shared ids are touched.
    fn change(
        &mut self,
        id: &RowId,
        old: Option<&store::Stored>,
        new_owner: Option<&str>,
        new_shared: Option<&str>,
    ) {
        let old_owner = old.map(|old| old.owner.as_str());
        self.owners.extend(old_owner.into_iter().chain(new_owner).map(str::to_owned));
        let old_shared = old.and_then(|old| old.shared_id.as_deref());
        let shared = old_shared.into_iter().chain(new_shared).map(str::to_owned);
        match id.0 {
            Feed::Systemeio => self.contact_ids.extend(shared),
            Feed::Xendit => self.external_ids.extend(shared),
        }
    }

    /// Adds what another set touches.
    pub fn merge(&mut self, other: Self) {
        self.owners.extend(other.owners);
        self.external_ids.extend(other.external_ids);
        self.contact_ids.extend(other.contact_ids);
        self.people.extend(other.people);
        self.removed.extend(other.removed);
    }

    /// Whether nothing is touched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.owners.is_empty()
            && self.external_ids.is_empty()
            && self.contact_ids.is_empty()
            && self.people.is_empty()
            && self.removed.is_empty()
    }

    /// The names of the removed rows, as conflicts write them.
    fn removed_rows(&self) -> impl Iterator<Item = String> + '_ {
        self.removed.iter().map(|(table, key)| source_row(*table, key))
    }

    fn removed_payments(&self) -> impl Iterator<Item = &SourceKey> {
        self.removed.iter().filter(|id| id.0 == Feed::Xendit).map(|id| &id.1)
    }
}

/// The writer of one target: a session that holds the lock, and what it must know to apply changes.
pub struct Writer {
    /// The session.
    pub db: Db,
    /// The rules of the data.
    pub rules: Arc<Rules>,
    /// How source rows are read.
    pub layouts: Layouts,
    /// Reads single rows of the source.
    pub reader: RowReader,
    /// Active decisions about rows.
    pub decisions: RowDecisions,
    /// Snapshots of the last backfill while the stream may still repeat what they contained.
    pub chunks: ChunkSnapshots,
    /// The rules that facts depend on.
    pub facts_hash: String,
    /// The backfill that new facts belong to.
    pub generation: i64,
    /// Today in the configured zone, set by the caller before each batch.
    pub today: civil::Date,
    /// Statements for the configured target tables.
    tables: statements::Tables,
}
