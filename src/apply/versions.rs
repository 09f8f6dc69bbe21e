//! Row changes as facts in the order of their source transactions: the row rules applied, what the stream
//! left out filled in, and what each transaction did to the e-mail key of each row.

use std::collections::{BTreeSet, HashMap, HashSet};

use rayon::prelude::*;
use uuid::Uuid;

use super::Writer;
use super::changes::{RowChange, RowId};
use super::moves::Transition;
use super::store::{self, Stored};
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
        let raw = self.raw_for_unchanged(&changes, stored).await?;
        fill_unchanged(&mut changes, raw);
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

    /// Earlier values of rows for which the stream left a value out: what is stored, else what the source
    /// has now. A newer value is no harm: the change that made it is still to come.
    async fn raw_for_unchanged(
        &mut self,
        changes: &[RowChange],
        stored: &HashMap<RowId, Stored>,
    ) -> Result<HashMap<RowId, RawRow>> {
        let mut found = HashMap::new();
        for table in Feed::ALL {
            let partial: Vec<&RowChange> =
                changes.iter().filter(|c| c.table == table && !c.unchanged.is_empty()).collect();
            if partial.is_empty() {
                continue;
            }
            let before: BTreeSet<&SourceKey> =
                partial.iter().map(|c| c.previous.as_ref().unwrap_or(&c.key)).collect();
            let keys: Vec<String> = before
                .into_iter()
                .filter(|key| stored.contains_key(&(table, (*key).clone())))
                .map(|key| key.0.clone())
                .collect();
            for (key, raw) in store::load_raw(&self.db, table, &keys).await? {
                let row = match table {
                    Feed::Systemeio => row_from_raw(&self.layouts.systemeio, &raw),
                    Feed::Xendit => row_from_raw(&self.layouts.xendit, &raw),
                };
                found.insert((table, key), row);
            }
            self.read_missing(table, &partial, &mut found).await?;
        }
        Ok(found)
    }

    async fn read_missing(
        &mut self,
        table: Feed,
        partial: &[&RowChange],
        found: &mut HashMap<RowId, RawRow>,
    ) -> Result<()> {
        let missing: Vec<RawRow> = partial
            .iter()
            .filter(|c| {
                let before = c.previous.as_ref().unwrap_or(&c.key);
                !found.contains_key(&(table, before.clone()))
            })
            .filter_map(|c| c.row.clone())
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let read = self.reader.rows_by_key(table, &missing).await?;
        let mut by_key: HashMap<SourceKey, RawRow> = read.into_iter().collect();
        for change in partial {
            let before = change.previous.as_ref().unwrap_or(&change.key).clone();
            if let Some(row) = by_key.remove(&change.key) {
                found.entry((table, before)).or_insert(row);
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
                all.push(Transition {
                    tx: version.tx,
                    contact: None,
                    old,
                    new: None,
                    decided: false,
                });
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

/// Fills in what the stream left out: `raw` are the values of the rows before the first change, and each
/// change leaves those that hold before the next one.
fn fill_unchanged(changes: &mut [RowChange], mut raw: HashMap<RowId, RawRow>) {
    if raw.is_empty() {
        return;
    }
    for change in changes {
        let before = change.previous.as_ref().unwrap_or(&change.key).clone();
        let before = (change.table, before);
        if let Some(row) = change.row.as_mut().filter(|_| !change.unchanged.is_empty()) {
            fill(row, &change.unchanged, raw.get(&before));
        }
        raw.remove(&before);
        if let Some(row) = &change.row {
            raw.insert((change.table, change.key.clone()), row.clone());
        }
    }
}

fn fill(row: &mut RawRow, unchanged: &[usize], known: Option<&RawRow>) {
    for &column in unchanged {
        let value = known.and_then(|known| known.values.get(column).cloned()).flatten();
        if let Some(slot) = row.values.get_mut(column) {
            *slot = value;
        }
    }
}

/// A stored fact's raw values as the row they came from. sync_timestamp is not among them.
pub(super) fn row_from_raw<F: LogicalField>(
    layout: &Layout<F>,
    raw: &serde_json::Map<String, serde_json::Value>,
) -> RawRow {
    let text = |name: &str| raw.get(name).and_then(|value| value.as_str()).map(str::to_owned);
    RawRow { values: layout.columns.iter().map(|column| text(&column.name)).collect() }
}
