//! The id map: which row an old id became, stable over repeated runs.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};

use uuid::Uuid;

use super::check::{Checked, Translation};
use super::plan::OnOrphan;
use super::read::SAME_ID;
use super::row::{Refuse, Row};
use super::statements::Statements;
use super::summary::Refused;
use super::write::IMPORT_COPY_FROM;
use crate::error::Result;
use crate::pg::{Tx, copy_values};
use crate::rules::NAMESPACE;

/// What the id map says of an old id.
#[derive(Debug, Clone)]
struct Known {
    new_id: String,
    run: i64,
    record: u64,
}

/// The identity of what is being done.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) import: String,
    pub(super) run: i64,
}

/// What the target knows of the ids of a batch.
pub(super) struct Ids<'i> {
    identity: &'i Identity,
    /// By table, then by old id.
    known: HashMap<String, HashMap<String, Known>>,
    /// Column and old value to the key of the row.
    looked_up: HashMap<(usize, String), String>,
}

/// How a row goes on.
pub(super) enum Resolved {
    Row(Row),
    Refused(Refuse),
    /// It was refused in the first pass.
    Gone,
}

impl<'i> Ids<'i> {
    /// Reads what the rows of a batch need.
    pub(super) async fn read(
        tx: &Tx,
        identity: &'i Identity,
        checked: &Checked,
        statements: &Statements,
        rows: &[Row],
    ) -> Result<Self> {
        let mut ids = Self { identity, known: HashMap::new(), looked_up: HashMap::new() };
        ids.read_map(tx, checked, rows).await?;
        for (at, sql) in &statements.look_ups {
            let values = rows.iter().filter_map(|row| row.values.get(*at)?.clone());
            let values: Vec<String> = values.collect::<BTreeSet<String>>().into_iter().collect();
            if values.is_empty() {
                continue;
            }
            // A value that the column's type cannot be makes the statement fail for all.
            if !ids.look_up(tx, *at, sql, &values).await? {
                for value in &values {
                    ids.look_up(tx, *at, sql, std::slice::from_ref(value)).await?;
                }
            }
        }
        Ok(ids)
    }

    /// Whether the values could be looked up.
    async fn look_up(&mut self, tx: &Tx, at: usize, sql: &str, values: &[String]) -> Result<bool> {
        let found = tx.attempt(tx.query("target: looking up references", sql, &[&values])).await?;
        let found = found.ok();
        let rows = found.iter().flatten();
        self.looked_up.extend(rows.map(|row| ((at, row.get(0)), row.get(1))));
        Ok(found.is_some())
    }

    async fn read_map(&mut self, tx: &Tx, checked: &Checked, rows: &[Row]) -> Result<()> {
        let mut wanted: HashMap<&str, HashSet<Cow<'_, str>>> = HashMap::new();
        let own = checked.load.table();
        let olds = rows.iter().map(|row| Cow::Borrowed(row.old_id.as_str()));
        wanted.entry(&own).or_default().extend(olds);
        for (at, bound) in checked.columns.iter().enumerate() {
            let Some(Translation::Ids { table, ids }) = &bound.translation else { continue };
            let values = rows.iter().filter_map(|row| row.values.get(at)?.as_deref());
            let olds = values.map(|value| spaced(ids.as_deref(), value));
            wanted.entry(table).or_default().extend(olds);
        }
        let sql = include_str!("sql/known_ids.sql");
        for (table, olds) in wanted {
            let olds: Vec<&str> = olds.iter().map(Cow::as_ref).collect();
            let params: [crate::pg::Param<'_>; 3] = [&self.identity.import, &table, &olds];
            let found = tx.query("target: reading the id map", sql, &params).await?;
            let known = found.iter().map(|row| {
                let record = row.get::<_, i64>(3).unsigned_abs();
                (row.get(0), Known { new_id: row.get(1), run: row.get(2), record })
            });
            self.known.insert(table.to_owned(), known.collect());
        }
        Ok(())
    }

    fn known(&self, table: &str, old: &str) -> Option<&Known> {
        self.known.get(table)?.get(old)
    }

    /// Translates the ids of the rows, in the order of their records.
    pub(super) fn resolve(&self, checked: &Checked, rows: Vec<Row>, second: bool) -> Vec<Resolved> {
        let mut seen: HashMap<String, (u64, u32)> = HashMap::new();
        rows.into_iter().map(|row| self.row(checked, row, second, &mut seen)).collect()
    }

    fn row(
        &self,
        checked: &Checked,
        mut row: Row,
        second: bool,
        seen: &mut HashMap<String, (u64, u32)>,
    ) -> Resolved {
        let own = checked.load.table();
        let known = self.known(&own, &row.old_id);
        row.is_known = known.is_some();
        let record = row.origin.record;
        if second {
            match known {
                Some(known) if known.run == self.identity.run && known.record == record => {}
                _ => return Resolved::Gone,
            }
        } else {
            let earlier = seen.get(&row.old_id).map(|(record, _)| *record).or_else(|| {
                known.filter(|k| k.run == self.identity.run && k.record != record).map(|k| k.record)
            });
            if let Some(other) = earlier {
                let mut refuse = Refuse::new(row.origin, Refused::Duplicate, None, SAME_ID);
                (refuse.other_key, refuse.other_record) = (Some(row.old_id), Some(other));
                return Resolved::Refused(refuse);
            }
            seen.insert(row.old_id.clone(), (record, row.origin.element));
        }
        for (at, bound) in checked.columns.iter().enumerate() {
            let Some(old) = row.values.get(at).cloned().flatten() else { continue };
            let new = match &bound.translation {
                _ if checked.own_id == Some(at) => {
                    Some(self.own_id(&own, &row.old_id, known, &old))
                }
                None => continue,
                Some(Translation::Ids { table, ids }) => {
                    let old = spaced(ids.as_deref(), &old);
                    self.known(table, &old).map(|known| known.new_id.clone())
                }
                Some(Translation::Column { .. }) => self.looked_up.get(&(at, old)).cloned(),
            };
            if new.is_none() {
                if bound.orphan() == OnOrphan::Skip {
                    let field = Some(bound.column.name.as_str());
                    let reason = "refers to nothing";
                    return Resolved::Refused(Refuse::new(
                        row.origin,
                        Refused::Orphaned,
                        field,
                        reason,
                    ));
                }
                row.nulled.push(bound.column.name.clone());
            }
            if let Some(value) = row.values.get_mut(at) {
                *value = new;
            }
        }
        let key = checked.key.iter().filter_map(|at| row.values.get(*at)?.as_deref());
        row.new_id = key.collect::<Vec<_>>().join("|");
        Resolved::Row(row)
    }

    /// A valid UUID is kept; any other id has a UUID that is derived from it, so that a run that was interrupted and a
    /// dry run find the same.
    fn own_id(&self, table: &str, old_id: &str, known: Option<&Known>, old: &str) -> String {
        if let Some(known) = known {
            return known.new_id.clone();
        }
        if let Ok(id) = old.trim().parse::<Uuid>() {
            return id.to_string();
        }
        let name = format!("import|{}|{table}|{old_id}", self.identity.import);
        crate::digest::uuid_v5(&NAMESPACE, name.as_bytes()).to_string()
    }
}

/// An old id as the id map holds it.
fn spaced<'o>(space: Option<&str>, old: &'o str) -> Cow<'o, str> {
    let old = plain_id(old);
    space.map_or(old.clone(), |space| Cow::Owned(format!("{space}:{old}")))
}

/// An old id; a UUID in the one form that it is kept in, so that two spellings are not two ids of one row.
pub(super) fn plain_id(old: &str) -> Cow<'_, str> {
    let old = old.trim();
    match old.parse::<Uuid>() {
        Ok(id) if old.len() >= 32 => Cow::Owned(id.to_string()),
        _ => Cow::Borrowed(old),
    }
}

/// Records which rows the old ids became.
pub(super) async fn write(tx: &Tx, identity: &Identity, table: &str, rows: &[Row]) -> Result<()> {
    const WHAT: &str = "target: writing the id map";
    let (known, new): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| row.is_known);
    let (known, new) =
        if new.len() < IMPORT_COPY_FROM { (rows.iter().collect(), vec![]) } else { (known, new) };
    if !new.is_empty() {
        let run = identity.run.to_string();
        let records: Vec<String> = new.iter().map(|row| row.origin.record.to_string()).collect();
        let lines = new.iter().zip(&records).map(|(row, record)| {
            [&identity.import, table, &row.old_id, &row.new_id, &run, record].map(Some)
        });
        let columns = "import, table_name, old_id, new_id, run, record";
        copy_values(tx, WHAT, "tributary.id_map", columns, lines).await?;
    }
    if known.is_empty() {
        return Ok(());
    }
    let olds: Vec<&str> = known.iter().map(|row| row.old_id.as_str()).collect();
    let news: Vec<&str> = known.iter().map(|row| row.new_id.as_str()).collect();
    let records: Vec<i64> = known.iter().map(|row| row.origin.record.cast_signed()).collect();
    let sql = include_str!("sql/write_ids.sql");
    let params: [crate::pg::Param<'_>; 6] =
        [&identity.import, &table, &identity.run, &olds, &news, &records];
    tx.execute(WHAT, sql, &params).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_spellings_of_a_uuid_are_one_id() {
        let id = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
        for text in [&id.to_uppercase(), &format!(" {{{id}}} "), &id.replace('-', ""), id] {
            assert_eq!(spaced(Some("user"), text), format!("user:{id}"));
        }
        assert_eq!(plain_id(" A-7 "), "A-7");
    }
}
