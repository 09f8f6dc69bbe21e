//! A source transaction too large for memory (P13): its parts are stored one by one in the target
//! transaction that its commit will end, and what they touch waits in working tables of the session.

use std::collections::HashMap;

use super::moves::Transition;
use super::store::fact_table;
use super::{Arrival, OWNERS_PER_ROUND, Report, RowChange, Touched, Writer, parse_source_row};
use crate::error::Result;
use crate::facts::{EmailKey, Feed, source_row};

/// What a part of a large source transaction touches, and the rows that it deletes.
#[derive(Default)]
struct OpenNotes {
    owners: Vec<String>,
    external_ids: Vec<String>,
    contact_ids: Vec<String>,
    people: Vec<String>,
    /// Facts that are gone, under a key that changed too.
    removed: Vec<String>,
    /// Rows that the source deleted.
    deleted: Vec<String>,
}

impl OpenNotes {
    fn of(touched: Touched) -> Self {
        Self {
            removed: touched.removed_rows().collect(),
            owners: touched.owners.into_iter().collect(),
            external_ids: touched.external_ids.into_iter().collect(),
            contact_ids: touched.contact_ids.into_iter().collect(),
            people: touched.people.into_iter().collect(),
            deleted: Vec::new(),
        }
    }
}

impl Writer {
    /// Stores the changes of one part of a source transaction too large for one batch.
    ///
    /// # Errors
    /// As [`Writer::apply_changes`].
    pub async fn apply_part(&mut self, changes: Vec<RowChange>) -> Result<()> {
        let deleted = changes.iter().filter(|change| change.row.is_none());
        let deleted = deleted.map(|change| source_row(change.table, &change.key)).collect();
        let touched = self.apply_changes(changes, Arrival::Part).await?;
        self.remember(OpenNotes { deleted, ..OpenNotes::of(touched) }).await
    }

    /// Keeps what a part of a large source transaction touches in the session's working table.
    async fn remember(&self, notes: OpenNotes) -> Result<()> {
        let (mut kinds, mut values) = (Vec::new(), Vec::new());
        for (kind, of_kind) in [
            ("owner", notes.owners),
            ("external_id", notes.external_ids),
            ("contact_id", notes.contact_ids),
            ("person", notes.people),
            ("removed", notes.removed),
            ("deleted", notes.deleted),
        ] {
            kinds.extend(std::iter::repeat_n(kind, of_kind.len()));
            values.extend(of_kind);
        }
        let sql = "insert into tributary_open_touched (kind, value) \
                   select * from unnest($1::text[], $2::text[])";
        self.db.execute("target: noting what is touched", sql, &[&kinds, &values]).await?;
        Ok(())
    }

    /// Recomputes what the parts of a large source transaction touched, in rounds. `alive` is told of each, since
    /// all of them may take minutes.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn recompute_remembered(&mut self, alive: &(dyn Fn() + Sync)) -> Result<Report> {
        self.db.batch("target: analysing", "analyze tributary_open_touched").await?;
        let mut report = Report::default();
        // Owners first: a removed payment's transaction may be referenced until its enrollment moved on.
        for kind in ["owner", "removed", "external_id", "contact_id", "person"] {
            let mut after = String::new();
            loop {
                let values = self.next_touched(kind, &after).await?;
                let Some(last) = values.last() else { break };
                after.clone_from(last);
                report.add(self.recompute_part(kind, values).await?);
                alive();
            }
        }
        Ok(report)
    }

    async fn next_touched(&self, kind: &str, after: &str) -> Result<Vec<String>> {
        let sql = "select distinct value from tributary_open_touched \
                   where kind = $1 and value > $2 order by value limit $3";
        let limit = OWNERS_PER_ROUND as i64;
        let rows =
            self.db.query("target: reading what is touched", sql, &[&kind, &after, &limit]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    async fn recompute_part(&mut self, kind: &str, values: Vec<String>) -> Result<Report> {
        let mut touched = Touched::default();
        match kind {
            "owner" => {
                let report = self.recompute_owners(values.clone(), &mut touched.people).await?;
                // Who came or left is judged at the end, from the working table: memory stays bounded.
                let people = std::mem::take(&mut touched.people);
                self.remember(OpenNotes::of(Touched { people, ..Touched::default() })).await?;
                touched.owners.extend(values);
                self.judge_groups(&touched, &touched.people).await?;
                return Ok(report);
            }
            "removed" => {
                for value in &values {
                    touched.removed.insert(parse_source_row(value)?);
                }
                // A later part may have inserted the row again.
                self.drop_present(&mut touched).await?;
            }
            "external_id" => touched.external_ids.extend(values),
            "person" => touched.people.extend(values),
            _ => touched.contact_ids.extend(values),
        }
        self.recompute(&touched).await
    }

    /// Rows of a table that the open source transaction deleted, in effect. One whose key changed is not
    /// among them.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn deleted_so_far(&self, table: Feed) -> Result<u64> {
        let sql = include_str!("sql/deleted_rows.sql").replace("{facts}", fact_table(table));
        let prefix = format!("{}:", table.as_str());
        let rows = self.db.query("target: counting deletes", &sql, &[&prefix]).await?;
        Ok(rows.first().map_or(0, |row| row.get::<_, i64>(0).unsigned_abs()))
    }

    /// How many facts of each e-mail key the open source transaction added, for the rule that counts them as of
    /// before it.
    pub(super) async fn remember_open_facts(&self, transitions: &[Transition]) -> Result<()> {
        let mut by_key: HashMap<&EmailKey, i64> = HashMap::new();
        for transition in transitions {
            for (key, by) in [(&transition.old, -1), (&transition.new, 1)] {
                if let Some(key) = key {
                    *by_key.entry(key).or_default() += by;
                }
            }
        }
        let (keys, counts): (Vec<&str>, Vec<i64>) =
            by_key.iter().filter(|(_, n)| **n != 0).map(|(key, n)| (key.as_str(), *n)).unzip();
        let sql = "insert into tributary_open_facts (email_key, facts) \
                   select * from unnest($1::text[], $2::bigint[])";
        self.db.execute("target: counting facts", sql, &[&keys, &counts]).await?;
        Ok(())
    }

    /// A contact that an earlier part deleted and this one inserts again has changed (SPEC §4.3).
    pub(super) async fn join_parts(&self, transitions: &mut [Transition]) -> Result<()> {
        let key = |t: &Transition| t.contact.as_ref().map(|contact| contact.0.clone());
        let (mut keys, mut emails, mut back) = (Vec::new(), Vec::new(), Vec::new());
        for transition in transitions.iter() {
            match (&transition.old, &transition.new) {
                (Some(old), None) => {
                    keys.extend(key(transition));
                    emails.extend(transition.contact.as_ref().map(|_| old.as_str()));
                }
                (None, Some(_)) => back.extend(key(transition)),
                _ => {}
            }
        }
        let sql =
            "select source_key, email_key from tributary_open_gone where source_key = any($1)";
        let rows = self.db.query("target: looking up deleted contacts", sql, &[&back]).await?;
        let gone: HashMap<String, String> =
            rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let sql = "insert into tributary_open_gone select * from unnest($1::text[], $2::text[]) \
                   on conflict (source_key) do update set email_key = excluded.email_key";
        self.db.execute("target: noting deleted contacts", sql, &[&keys, &emails]).await?;
        for transition in transitions.iter_mut().filter(|t| t.old.is_none()) {
            let old = key(transition).and_then(|key| gone.get(&key));
            transition.old = old.map(|old| EmailKey::trusted(old.clone()));
        }
        Ok(())
    }
}
