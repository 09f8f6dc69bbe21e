//! Messages into the changes of the feeds, transaction by transaction.

use std::collections::HashMap;

use jiff::Timestamp;

use super::message::{Message, OldTuple, Relation, Tuple};
use super::relation::Described;
pub use super::relation::{ChangedRow, Watched};
use crate::facts::{Feed, SourceKey};
use crate::lsn::Lsn;

use super::DecodeError;

/// What happened in the source, in commit order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A transaction starts.
    Begin {
        /// The low 32 bits of its transaction id.
        xid: u32,
        /// Where its commit record starts.
        final_lsn: Lsn,
    },
    /// A row changed.
    Change(Change),
    /// A row of this table changed or was deleted, and nothing says which one.
    Keyless(Feed),
    /// These tables were emptied, by one statement.
    Truncate(Vec<Feed>),
    /// The transaction is complete.
    Commit {
        /// Where its commit record starts.
        commit_lsn: Lsn,
        /// Where its commit record ends: once applied, the position to confirm.
        end_lsn: Lsn,
        /// When it committed, by the source's clock.
        commit_time: Timestamp,
    },
}

/// An insert, update or delete of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The table.
    pub table: Feed,
    /// The key that no row has any more: of a deleted row, or from before an update that changed it.
    pub old_key: Option<SourceKey>,
    /// The row now; `None`: it was deleted.
    pub row: Option<ChangedRow>,
}

/// Follows a stream of messages. It remembers what relations look like, so one belongs to one
/// connection and sees every message of it in order.
///
/// After an error it must not be used again: the stream is reopened at the last checkpoint.
#[derive(Debug)]
pub struct Assembler {
    watched: Vec<Watched>,
    /// By object id; `None` is a relation that is not configured, as a publication may hold more, or has no key now.
    relations: HashMap<u32, Option<Described>>,
    in_transaction: bool,
}

impl Assembler {
    /// An assembler for a new connection.
    #[must_use]
    pub fn new(watched: Vec<Watched>) -> Self {
        Self { watched, relations: HashMap::new(), in_transaction: false }
    }

    /// Takes the next message. `None`: it says nothing about the configured tables.
    ///
    /// # Errors
    ///
    /// Any means that the stream cannot be trusted.
    pub fn push(&mut self, message: Message) -> Result<Option<Event>, DecodeError> {
        match message {
            Message::Begin { final_lsn, xid, .. } => {
                self.order(false, "a Begin message")?;
                self.in_transaction = true;
                Ok(Some(Event::Begin { xid, final_lsn }))
            }
            Message::Commit { commit_lsn, end_lsn, commit_time } => {
                self.order(true, "a Commit message")?;
                self.in_transaction = false;
                Ok(Some(Event::Commit { commit_lsn, end_lsn, commit_time }))
            }
            Message::Relation(relation) => {
                self.describe(&relation);
                Ok(None)
            }
            Message::Insert { relation, new } => self.insert(relation, &new),
            Message::Update { relation, old, new } => self.update(relation, old.as_ref(), &new),
            Message::Delete { relation, old } => self.delete(relation, &old),
            Message::Truncate { relations } => self.truncate(&relations),
            Message::Origin | Message::Type | Message::Logical => Ok(None),
        }
    }

    fn order(&self, within: bool, what: &'static str) -> Result<(), DecodeError> {
        if self.in_transaction == within { Ok(()) } else { Err(DecodeError::OutOfOrder { what }) }
    }

    fn describe(&mut self, relation: &Relation) {
        // A table that has another name, or no key, at this point of its history is passed over: the catalog shows that it
        // was altered, and the feed is read again (P18).
        let watched = self.watched.iter().find(|watched| watched.is(relation));
        let described = watched.and_then(|watched| Described::new(watched, relation));
        self.relations.insert(relation.oid, described);
    }

    fn relation(&self, oid: u32) -> Result<Option<&Described>, DecodeError> {
        self.order(true, "a change")?;
        let known = self.relations.get(&oid).ok_or(DecodeError::UnknownRelation { oid })?;
        Ok(known.as_ref())
    }

    fn insert(&self, relation: u32, new: &Tuple) -> Result<Option<Event>, DecodeError> {
        let Some(relation) = self.relation(relation)? else { return Ok(None) };
        let row = Some(relation.row(new, None)?);
        Ok(Some(Event::Change(Change { table: relation.table(), old_key: None, row })))
    }

    fn update(
        &self,
        relation: u32,
        old: Option<&OldTuple>,
        new: &Tuple,
    ) -> Result<Option<Event>, DecodeError> {
        let Some(relation) = self.relation(relation)? else { return Ok(None) };
        if !relation.holds_key() {
            return Ok(Some(Event::Keyless(relation.table())));
        }
        let row = relation.row(new, old)?;
        let old_key = old.map(|old| relation.old_key(old)).transpose()?;
        let old_key = old_key.filter(|old_key| *old_key != row.key);
        Ok(Some(Event::Change(Change { table: relation.table(), old_key, row: Some(row) })))
    }

    fn delete(&self, relation: u32, old: &OldTuple) -> Result<Option<Event>, DecodeError> {
        let Some(relation) = self.relation(relation)? else { return Ok(None) };
        if !relation.holds_key() {
            return Ok(Some(Event::Keyless(relation.table())));
        }
        let old_key = Some(relation.old_key(old)?);
        Ok(Some(Event::Change(Change { table: relation.table(), old_key, row: None })))
    }

    fn truncate(&self, relations: &[u32]) -> Result<Option<Event>, DecodeError> {
        let mut tables = Vec::new();
        for &oid in relations {
            if let Some(relation) = self.relation(oid)? {
                tables.push(relation.table());
            }
        }
        Ok((!tables.is_empty()).then_some(Event::Truncate(tables)))
    }
}
