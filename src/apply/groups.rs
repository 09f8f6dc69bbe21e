//! What is judged across people (SPEC §6): shared external_ids and contact_ids, canonical keys, e-mail
//! change collisions. Always from narrow index look-ups, never by loading the people: a value that 10,000
//! people share must not slow a change.

use std::collections::{BTreeMap, BTreeSet};

use super::{Touched, Writer};
use crate::error::Result;
use crate::facts::{EmailKey, canonical_key};
use crate::unify::{self, Conflict, ExternalIdSide};

/// Values judged per round.
const VALUES_PER_ROUND: usize = 2_000;

impl Writer {
    /// Judges every group that a change touches. `people` came, left or came back.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn judge_groups(&self, touched: &Touched, people: &BTreeSet<String>) -> Result<()> {
        let external_ids: Vec<&str> = touched.external_ids.iter().map(String::as_str).collect();
        for round in external_ids.chunks(VALUES_PER_ROUND) {
            self.judge_external_ids(round).await?;
        }
        let contact_ids: Vec<&str> = touched.contact_ids.iter().map(String::as_str).collect();
        for round in contact_ids.chunks(VALUES_PER_ROUND) {
            self.judge_contact_ids(round).await?;
        }
        let members = self.pairs_touched(people).await?;
        let members: Vec<&str> = members.iter().map(String::as_str).collect();
        for round in members.chunks(VALUES_PER_ROUND) {
            self.judge_pairs(round).await?;
        }
        let owners: Vec<&str> = touched.owners.iter().map(String::as_str).collect();
        for round in owners.chunks(VALUES_PER_ROUND) {
            self.judge_collisions(round).await?;
        }
        Ok(())
    }

    /// Judges all groups of the whole target: values that more than one side shares, and what is open.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn judge_all_groups(&self) -> Result<()> {
        for (sql, prefix) in [
            (include_str!("sql/shared_external_ids.sql"), "external_id:"),
            (include_str!("sql/shared_contact_ids.sql"), "contact_id:"),
            (include_str!("sql/canonical_members.sql"), "pair:"),
        ] {
            let rows = self.db.query("target: looking for shared values", sql, &[]).await?;
            let mut values: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
            let open = self.scopes_with_prefix(prefix).await?;
            values.extend(open.iter().filter_map(|s| s.strip_prefix(prefix)).map(str::to_owned));
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            for round in values.chunks(VALUES_PER_ROUND) {
                match prefix {
                    "external_id:" => self.judge_external_ids(round).await?,
                    "contact_id:" => self.judge_contact_ids(round).await?,
                    _ => self.judge_pairs(round).await?,
                }
            }
        }
        let sql = "select distinct evidence ->> 'from' from tributary.conflict \
                   where kind = 'email_change_collision' and status <> 'resolved'";
        let rows = self.db.query("target: reading collisions", sql, &[]).await?;
        let sides: Vec<String> = rows.iter().filter_map(|row| row.get(0)).collect();
        let sides: Vec<&str> = sides.iter().map(String::as_str).collect();
        self.judge_collisions(&sides).await
    }

    async fn judge_external_ids(&self, values: &[&str]) -> Result<()> {
        let sql = include_str!("sql/external_id_sides.sql");
        let rows = self.db.query("target: judging external ids", sql, &[&values]).await?;
        let mut sides: BTreeMap<String, Vec<ExternalIdSide>> = BTreeMap::new();
        for row in &rows {
            let person: String = row.get("person");
            let products: Vec<String> = row.get("products");
            let status: String = row.get("status");
            sides.entry(row.get("external_id")).or_default().push(ExternalIdSide {
                source_row: format!("xendit:{}", row.get::<_, String>("source_key")),
                person: (!person.is_empty()).then_some(person),
                amount: row.get("amount"),
                currency: row.get("currency"),
                product: if products.len() == 1 { products.into_iter().next() } else { None },
                payment_id: row.get("payment_id"),
                status,
            });
        }
        let conflicts = sides
            .iter()
            .filter_map(|(value, sides)| {
                unify::duplicate_external_id(value, sides, sides.len() >= SIDES_ARE_CUT)
            })
            .collect();
        let scopes = values.iter().map(|value| unify::scope_of_external_id(value)).collect();
        self.reconcile_conflicts(&scopes, conflicts).await
    }

    async fn judge_contact_ids(&self, values: &[&str]) -> Result<()> {
        let sql = include_str!("sql/contact_id_sides.sql");
        let rows = self.db.query("target: judging contact ids", sql, &[&values]).await?;
        let mut people: BTreeMap<String, (String, Vec<String>)> = BTreeMap::new();
        for row in &rows {
            let entry = people.entry(row.get(0)).or_insert_with(|| (row.get(1), Vec::new()));
            entry.1.push(row.get(2));
        }
        let conflicts = people
            .iter()
            .map(|(value, (holder, people))| {
                unify::contact_id_collision(value, holder, people, people.len() >= SIDES_ARE_CUT)
            })
            .collect();
        let scopes = values.iter().map(|value| unify::scope_of_contact_id(value)).collect();
        self.reconcile_conflicts(&scopes, conflicts).await
    }

    /// The persons whose pairing may change when these come or leave: themselves; everybody of the group
    /// where the first of it changes; and those whom a separation keeps from the first.
    async fn pairs_touched(&self, people: &BTreeSet<String>) -> Result<BTreeSet<String>> {
        let mut members = BTreeSet::new();
        let people: Vec<&str> = people.iter().map(String::as_str).collect();
        for round in people.chunks(VALUES_PER_ROUND) {
            let canonical: Vec<String> = round
                .iter()
                .map(|key| canonical_key(&EmailKey::trusted((*key).to_owned())))
                .collect();
            let sql = include_str!("sql/pairs_touched.sql");
            let rows =
                self.db.query("target: looking up groups", sql, &[&round, &canonical]).await?;
            members.extend(rows.iter().map(|row| row.get::<_, String>(0)));
            members.extend(round.iter().map(|key| (*key).to_owned()));
        }
        Ok(members)
    }

    pub(super) async fn judge_pairs(&self, members: &[&str]) -> Result<()> {
        let sql = include_str!("sql/pairs.sql");
        let rows = self.db.query("target: judging canonical keys", sql, &[&members]).await?;
        let conflicts: Vec<Conflict> = rows
            .iter()
            .map(|row| unify::possible_duplicate(row.get(0), row.get(1), row.get(2)))
            .collect();
        let scopes = members.iter().map(|member| unify::scope_of_pair(member)).collect();
        self.reconcile_conflicts(&scopes, conflicts).await
    }

    /// Closes collisions of these persons whose cause is gone: the contact is elsewhere, or a decision was
    /// made. That the first person has no fact left is no cause gone: its profile still waits for an answer.
    async fn judge_collisions(&self, owners: &[&str]) -> Result<()> {
        let sql = include_str!("sql/settled_collisions.sql");
        let rows = self.db.query("target: judging collisions", sql, &[&owners]).await?;
        let settled: Vec<uuid::Uuid> = rows.iter().map(|row| row.get(0)).collect();
        self.close_conflicts(&settled, "source").await
    }
}

/// From this many sides on the look-up may have left some out (see `external_id_sides.sql`).
const SIDES_ARE_CUT: usize = 10;
