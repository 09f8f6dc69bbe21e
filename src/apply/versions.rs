//! Row changes as facts in the order of their source transactions: the row rules applied, what the stream
//! left out filled in, and what each transaction did to the e-mail key of each row.

use std::collections::{BTreeSet, HashMap, HashSet};

use rayon::prelude::*;
use uuid::Uuid;

use super::Writer;
use super::changes::{RowChange, RowId};
use super::moves::Transition;
use super::store::{self, Stored};
use super::unchanged::{fill_unchanged, leave_out_incomplete, missing};
use crate::error::Result;
use crate::facts::{
    self, Contact, EmailKey, Feed, Layout, LogicalField, Payment, RawRow, SourceKey, source_row,
};
use crate::rules::NAMESPACE;

/// What a source row became.
pub(super) enum Fact {
    Contact(Box<Contact>),
    Payment(Box<Payment>),
}

/// The state of a row after one source transaction.
pub(super) struct Version {
    pub(super) tx: u32,
    pub(super) id: RowId,
    pub(super) previous: Option<SourceKey>,
    /// With its digest.
    pub(super) fact: Option<(Uuid, Fact)>,
    pub(super) email: Option<EmailKey>,
}

impl Fact {
    /// Contact_id of a contact, external_id of a payment.
    pub(super) fn shared_id(&self) -> Option<&str> {
        match self {
            Self::Contact(contact) => contact.contact_id.as_deref(),
            Self::Payment(payment) => payment.external_id.as_deref(),
        }
    }
}

impl Writer {
    /// Fills in what the stream left out and applies the row rules, on all cores.
    pub(super) async fn derive(
        &mut self,
        mut changes: Vec<RowChange>,
        stored: &HashMap<RowId, Stored>,
    ) -> Result<Vec<Version>> {
        let known = self.known_rows(&changes, stored).await?;
        fill_unchanged(&mut changes, known);
        let (changes, left_out) = leave_out_incomplete(changes);
        if left_out > 0 {
            tracing::warn!(
                changes = left_out,
                "the stream left values out that neither the target nor the source has; \
                 these rows keep what was known of them"
            );
        }
        let writer = &*self;
        Ok(changes.into_par_iter().map(|change| writer.version(change)).collect())
    }

    fn version(&self, change: RowChange) -> Version {
        let id = (change.table, change.key);
        let fact = change.row.as_ref().map(|row| match id.0 {
            Feed::Systemeio => {
                let contact = facts::contact(row, &self.layouts.systemeio, &self.rules);
                Fact::Contact(Box::new(contact))
            }
            Feed::Xendit => {
                let payment = facts::payment(row, &self.layouts.xendit, &self.rules);
                Fact::Payment(Box::new(payment))
            }
        });
        let email = fact.as_ref().and_then(|fact| self.email_after_decisions(&id, fact));
        let fact = fact.map(|fact| (self.digest(&fact), fact));
        Version { tx: change.tx, id, previous: change.previous, fact, email }
    }

    pub(super) fn email_after_decisions(&self, id: &RowId, fact: &Fact) -> Option<EmailKey> {
        let row_email = match fact {
            Fact::Contact(contact) => contact.email.as_ref(),
            Fact::Payment(payment) => payment.email.as_ref(),
        };
        if self.decisions.emails.is_empty() {
            return row_email.ok().cloned();
        }
        let decided = self.decisions.emails.get(&source_row(id.0, &id.1));
        decided.or(row_email.ok()).cloned()
    }

    /// Earlier values of rows for which the stream left a value out (P6): what is stored, else what the source
    /// has now. A newer value is no harm: the change that made it is still to come.
    async fn known_rows(
        &mut self,
        changes: &[RowChange],
        stored: &HashMap<RowId, Stored>,
    ) -> Result<HashMap<RowId, RawRow>> {
        let partial = changes.iter().filter(|change| !change.unchanged.is_empty());
        let wanted: BTreeSet<RowId> =
            partial.map(RowChange::before).filter(|id| stored.contains_key(id)).collect();
        let mut known = HashMap::new();
        for table in Feed::ALL {
            let keys: Vec<String> =
                wanted.iter().filter(|id| id.0 == table).map(|id| id.1.0.clone()).collect();
            for (key, raw) in store::load_raw(&self.db, table, &keys).await? {
                let row = match table {
                    Feed::Systemeio => row_from_raw(&self.layouts.systemeio, &raw),
                    Feed::Xendit => row_from_raw(&self.layouts.xendit, &raw),
                };
                known.insert((table, key), row);
            }
        }
        self.read_missing(changes, &mut known).await?;
        Ok(known)
    }

    /// Asks the source for rows that neither the store nor the batch knows.
    async fn read_missing(
        &self,
        changes: &[RowChange],
        known: &mut HashMap<RowId, RawRow>,
    ) -> Result<()> {
        let missing = missing(changes, known);
        for table in Feed::ALL {
            let wanted: Vec<(&RowId, &RowChange)> = missing
                .iter()
                .filter(|missing| missing.before.0 == table)
                .filter_map(|missing| Some((&missing.before, changes.get(missing.last?)?)))
                .collect();
            if wanted.is_empty() {
                continue;
            }
            let rows: Vec<RawRow> = wanted.iter().filter_map(|(_, c)| c.row.clone()).collect();
            let read: HashMap<SourceKey, RawRow> =
                self.reader.rows_by_key(table, &rows).await?.into_iter().collect();
            for (before, change) in wanted {
                if let Some(row) = read.get(&change.key) {
                    known.insert(before.clone(), row.clone());
                }
            }
        }
        Ok(())
    }

    /// Tells an unchanged row: the raw values, and the rules that were applied to them.
    pub(super) fn digest(&self, fact: &Fact) -> Uuid {
        let (raw, synced) = match fact {
            Fact::Contact(contact) => (&contact.raw, contact.synced_at),
            Fact::Payment(payment) => (&payment.raw, payment.synced_at),
        };
        let raw = serde_json::to_string(raw).unwrap_or_default();
        let synced = synced.map(|at| at.to_string()).unwrap_or_default();
        Uuid::new_v5(&NAMESPACE, format!("{}\n{synced}\n{raw}", self.facts_hash).as_bytes())
    }
}

/// The last version of each row, and the rows that are gone at the end.
pub(super) fn last_versions(versions: Vec<Version>) -> (Vec<Version>, HashSet<RowId>) {
    let mut last: HashMap<RowId, Version> = HashMap::with_capacity(versions.len());
    let mut gone = HashSet::new();
    for version in versions {
        if let Some(previous) = &version.previous {
            let previous = (version.id.0, previous.clone());
            last.remove(&previous);
            gone.insert(previous);
        }
        if version.fact.is_some() {
            gone.remove(&version.id);
        } else {
            gone.insert(version.id.clone());
        }
        last.insert(version.id.clone(), version);
    }
    let mut finals: Vec<Version> = last.into_values().filter(|v| v.fact.is_some()).collect();
    finals.sort_by(|a, b| a.id.cmp(&b.id));
    (finals, gone)
}

/// What each source transaction did to the e-mail key of each row, in effect.
pub(super) fn transitions(
    versions: &[Version],
    stored: &HashMap<RowId, Stored>,
) -> Vec<Transition> {
    let mut current: HashMap<RowId, Option<EmailKey>> =
        stored.iter().map(|(id, stored)| (id.clone(), stored.email_key.clone())).collect();
    let mut all = Vec::new();
    for transaction in versions.chunk_by(|a, b| a.tx == b.tx) {
        let mut open: HashMap<RowId, usize> = HashMap::new();
        for version in transaction {
            let before = (version.id.0, version.previous.as_ref().unwrap_or(&version.id.1).clone());
            let at = open.remove(&before).unwrap_or_else(|| {
                let old = current.get_mut(&before).and_then(Option::take);
                all.push(Transition { tx: version.tx, contact: None, old, new: None });
                all.len() - 1
            });
            all[at].new.clone_from(&version.email);
            all[at].contact = (version.id.0 == Feed::Systemeio).then(|| version.id.1.clone());
            open.insert(version.id.clone(), at);
        }
        for (id, at) in open {
            current.insert(id, all[at].new.clone());
        }
    }
    all
}

/// A stored fact's raw values as the row they came from. sync_timestamp is not among them.
pub(super) fn row_from_raw<F: LogicalField>(
    layout: &Layout<F>,
    raw: &serde_json::Map<String, serde_json::Value>,
) -> RawRow {
    let text = |name: &str| raw.get(name).and_then(|value| value.as_str()).map(str::to_owned);
    RawRow { values: layout.columns.iter().map(|column| text(&column.name)).collect() }
}
