//! First step: row changes become facts in the target, and the set of what they touch.

use std::collections::{BTreeSet, HashMap, HashSet};

use uuid::Uuid;

use super::moves;
use super::store::{self, Placement, Stored};
use super::versions::{Fact, Version, last_versions, transitions};
use super::{Touched, Writer};
use crate::error::{Error, Result};
use crate::facts::{Contact, EmailKey, Feed, Payment, RawRow, SourceKey, source_row};
use crate::unify::{self, Owner};

/// One change of one source row, as the stream or a backfill chunk tells it.
#[derive(Debug, Clone)]
pub struct RowChange {
    /// Number of the source transaction within the batch, ascending.
    pub tx: u32,
    /// Its transaction id, to tell whether a backfill chunk already contained it.
    pub xid: Option<u32>,
    /// The source table.
    pub table: Feed,
    /// The key of the row now, or of the row that was deleted.
    pub key: SourceKey,
    /// The key before, when an update changed it.
    pub previous: Option<SourceKey>,
    /// The row now; `None`: deleted.
    pub row: Option<RawRow>,
    /// Columns of `row` that the stream left out because they did not change (TOAST).
    pub unchanged: Vec<usize>,
}

impl RowChange {
    /// The row after the change.
    #[must_use]
    pub fn id(&self) -> RowId {
        (self.table, self.key.clone())
    }

    /// The row before the change.
    #[must_use]
    pub fn before(&self) -> RowId {
        (self.table, self.previous.as_ref().unwrap_or(&self.key).clone())
    }
}

/// Identity of a fact.
pub type RowId = (Feed, SourceKey);

/// How changes arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// Whole source transactions.
    Whole,
    /// A part of a source transaction too large for one batch.
    Part,
    /// Rows read by the backfill in this chunk.
    Chunk(i64),
    /// Stored facts about which a decision was made.
    Decision,
}

impl Writer {
    /// Stores the facts of these changes in the open target transaction and returns what they touch.
    ///
    /// # Errors
    /// Those of the two servers; a refusal when a decision cannot be recorded.
    pub async fn apply_changes(
        &mut self,
        changes: Vec<RowChange>,
        arrival: Arrival,
    ) -> Result<Touched> {
        let stored = self.stored_of(&changes).await?;
        let changes = self.not_yet_contained(changes, &stored);
        let versions = self.derive(changes, &stored).await?;
        let mut touched = Touched::default();
        let mut transitions = transitions(&versions, &stored);
        let counted = (arrival == Arrival::Part).then(|| transitions.clone());
        if counted.is_some() {
            self.join_parts(&mut transitions).await?;
        }
        if transitions.iter().any(moves::may_move) {
            self.judge_moves(&transitions, &mut touched).await?;
        }
        if let Some(counted) = counted {
            self.remember_open_facts(&counted).await?;
        }
        self.store_final(versions, &stored, arrival, &mut touched).await?;
        Ok(touched)
    }

    async fn stored_of(&self, changes: &[RowChange]) -> Result<HashMap<RowId, Stored>> {
        let keys = |table: Feed| -> Vec<String> {
            let of_table = changes.iter().filter(|change| change.table == table);
            let keys: BTreeSet<&SourceKey> =
                of_table.flat_map(|c| std::iter::once(&c.key).chain(c.previous.as_ref())).collect();
            keys.into_iter().map(|key| key.0.clone()).collect()
        };
        let (contact_keys, payment_keys) = (keys(Feed::Systemeio), keys(Feed::Xendit));
        let (contacts, payments) = tokio::try_join!(
            store::load_stored(&self.db, Feed::Systemeio, &contact_keys),
            store::load_stored(&self.db, Feed::Xendit, &payment_keys),
        )?;
        let contacts = contacts.into_iter().map(|(key, s)| ((Feed::Systemeio, key), s));
        let payments = payments.into_iter().map(|(key, s)| ((Feed::Xendit, key), s));
        Ok(contacts.chain(payments).collect())
    }

    /// Leaves out what the backfill's snapshot of the row already contained.
    fn not_yet_contained(
        &self,
        changes: Vec<RowChange>,
        stored: &HashMap<RowId, Stored>,
    ) -> Vec<RowChange> {
        if self.chunks.is_empty() {
            return changes;
        }
        let contained = |table, key: &SourceKey, xid| {
            let chunk = stored.get(&(table, key.clone())).and_then(|stored| stored.chunk);
            chunk.is_some_and(|chunk| self.chunks.contain(chunk, xid))
        };
        let mut left = Vec::with_capacity(changes.len());
        for mut change in changes {
            let Some(xid) = change.xid else {
                left.push(change);
                continue;
            };
            if !contained(change.table, &change.key, xid) {
                left.push(change);
            } else if let Some(previous) = change.previous.take() {
                // The new row was read, the old one may have been read before it: it must still go.
                let delete = RowChange { key: previous, row: None, unchanged: vec![], ..change };
                if !contained(delete.table, &delete.key, xid) {
                    left.push(delete);
                }
            }
        }
        left
    }

    /// Writes the last version of each row and deletes what is gone.
    async fn store_final(
        &mut self,
        versions: Vec<Version>,
        stored: &HashMap<RowId, Stored>,
        arrival: Arrival,
        touched: &mut Touched,
    ) -> Result<()> {
        let chunk = if let Arrival::Chunk(chunk) = arrival { Some(chunk) } else { None };
        let (finals, gone) = last_versions(versions);
        let emails: BTreeSet<String> =
            finals.iter().filter_map(|v| v.email.as_ref()).map(ToString::to_string).collect();
        let roots = self.roots(&emails.into_iter().collect::<Vec<_>>()).await?;
        let mut seen: HashMap<Feed, Vec<String>> = HashMap::new();
        let (mut contacts, mut payments) = (Vec::new(), Vec::new());
        for Version { id, fact, email, .. } in finals {
            let Some((digest, fact)) = fact else { continue };
            let old = stored.get(&id);
            let email_key = email.clone();
            let person = email.map(|email| roots.get(&email).cloned().unwrap_or(email));
            let same = old.is_some_and(|old| old.digest == digest && old.email_key == email_key);
            if same && arrival != Arrival::Decision {
                seen.entry(id.0).or_default().push(id.1.0);
                continue;
            }
            // A decision is no sight of the row in the source.
            let seen_by = match (arrival, old) {
                (Arrival::Decision, Some(old)) => (old.chunk, old.generation),
                _ => (chunk, self.generation),
            };
            let placement = self.placement(&id, &fact, email_key, person, digest, seen_by);
            touched.change(&id, old, Some(placement.owner.as_str()), fact.shared_id());
            match fact {
                Fact::Contact(contact) => contacts.push((*contact, placement)),
                Fact::Payment(payment) => payments.push((*payment, placement)),
            }
        }
        for id in &gone {
            if let Some(old) = stored.get(id) {
                touched.change(id, Some(old), None, None);
                touched.removed.insert(id.clone());
            }
        }
        self.write_facts(contacts, payments, gone, touched).await?;
        if chunk.is_some() {
            for (table, keys) in seen {
                store::mark_seen(&self.db, table, &keys, chunk, self.generation).await?;
            }
        }
        Ok(())
    }

    async fn write_facts(
        &self,
        contacts: Vec<(Contact, Placement)>,
        payments: Vec<(Payment, Placement)>,
        gone: HashSet<RowId>,
        touched: &mut Touched,
    ) -> Result<()> {
        crate::metrics::count_notes(contacts.iter().flat_map(|(c, _)| &c.notes));
        crate::metrics::count_notes(payments.iter().flat_map(|(p, _)| &p.notes));
        self.touch_holders(touched).await?;
        for table in Feed::ALL {
            let keys: Vec<String> =
                gone.iter().filter(|id| id.0 == table).map(|id| id.1.0.clone()).collect();
            store::delete(&self.db, table, &keys).await?;
        }
        tokio::try_join!(
            store::write_contacts(&self.db, &contacts),
            store::write_payments(&self.db, &payments),
        )?;
        self.touch_holders(touched).await
    }

    /// The persons with whom the touched contact_ids stay: their profiles change with the answer.
    pub(super) async fn touch_holders(&self, touched: &mut Touched) -> Result<()> {
        if touched.contact_ids.is_empty() {
            return Ok(());
        }
        let ids: Vec<&str> = touched.contact_ids.iter().map(String::as_str).collect();
        let sql = include_str!("sql/contact_id_holders.sql");
        let rows = self.db.query("target: looking up contact ids", sql, &[&ids]).await?;
        touched.owners.extend(rows.iter().map(|row| row.get::<_, String>(1)));
        Ok(())
    }

    fn placement(
        &self,
        id: &RowId,
        fact: &Fact,
        email_key: Option<EmailKey>,
        person: Option<EmailKey>,
        digest: Uuid,
        (chunk, generation): (Option<i64>, i64),
    ) -> Placement {
        let row = source_row(id.0, &id.1);
        let products = match (fact, self.decisions.products.get(&row)) {
            (Fact::Payment(_), Some(code)) => vec![code.clone()],
            (Fact::Payment(payment), None) => payment.products.clone(),
            (Fact::Contact(_), _) => Vec::new(),
        };
        let owner = match (person, fact) {
            (Some(person), _) => Owner::Person(person),
            (None, Fact::Contact(contact)) => Owner::Orphans(unify::orphan_of_contact(contact)),
            (None, Fact::Payment(payment)) => {
                let mut effective = payment.as_ref().clone();
                effective.products.clone_from(&products);
                Owner::Orphans(unify::orphan_group_of_payment(&effective))
            }
        };
        Placement { owner, email_key, products, digest, chunk, generation }
    }

    /// The person at which the alias of each of these keys ends; keys without an alias are left out.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn roots(&self, emails: &[String]) -> Result<HashMap<EmailKey, EmailKey>> {
        let sql = "select from_key, root_key from tributary.alias where from_key = any($1)";
        let rows = self.db.query("target: looking up aliases", sql, &[&emails]).await?;
        let key = |row: &tokio_postgres::Row, i| EmailKey::trusted(row.get::<_, String>(i));
        Ok(rows.iter().map(|row| (key(row, 0), key(row, 1))).collect())
    }

    /// Places stored facts anew after a decision about their rows, without the source.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn place_again(&mut self, rows: &[RowId]) -> Result<Touched> {
        let keys = |table: Feed| -> Vec<String> {
            rows.iter().filter(|id| id.0 == table).map(|id| id.1.0.clone()).collect()
        };
        let (contact_keys, payment_keys) = (keys(Feed::Systemeio), keys(Feed::Xendit));
        let contacts = store::load_contact_rows(&self.db, &contact_keys).await?;
        let payments = store::load_payment_rows(&self.db, &payment_keys).await?;
        let contacts = contacts
            .into_iter()
            .map(|c| ((Feed::Systemeio, c.key.clone()), Fact::Contact(Box::new(c))));
        let payments = payments
            .into_iter()
            .map(|p| ((Feed::Xendit, p.key.clone()), Fact::Payment(Box::new(p))));
        let mut versions = Vec::new();
        let mut stored = HashMap::new();
        for table in Feed::ALL {
            let found = store::load_stored(&self.db, table, &keys(table)).await?;
            stored.extend(found.into_iter().map(|(key, stored)| ((table, key), stored)));
        }
        for (id, fact) in contacts.chain(payments) {
            let email = self.email_after_decisions(&id, &fact);
            let fact = Some((self.digest(&fact), fact));
            versions.push(Version { tx: 0, id, previous: None, fact, email });
        }
        let mut touched = Touched::default();
        self.store_final(versions, &stored, Arrival::Decision, &mut touched).await?;
        Ok(touched)
    }
}

/// Splits `xendit:<key>` or `systemeio:<key>`.
///
/// # Errors
/// A refusal that names the form, for texts that people typed.
pub fn parse_source_row(text: &str) -> Result<RowId> {
    let parsed = text.split_once(':').and_then(|(table, key)| {
        let table = Feed::ALL.into_iter().find(|known| known.as_str() == table)?;
        Some((table, SourceKey(key.to_owned())))
    });
    parsed.ok_or_else(|| {
        Error::refused(
            format!("'{text}' is not a source row"),
            "write xendit:<key> or systemeio:<key>, as `tributary conflicts show` prints it",
        )
    })
}
