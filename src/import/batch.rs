//! One batch: what is there is fetched, what is to be done decided, what differs written. All in the open transaction.

use std::collections::BTreeMap;

use super::check::Checked;
use super::convert::Kind;
use super::ids::{self, Identity, Ids, Resolved};
use super::row::{Made, Refuse, Row};
use super::statements::Statements;
use super::summary::{Counts, Difference, Refused};
use super::write::{Done, Trust};
use crate::error::Result;
use crate::pg::{Param, Tx};

/// Behind the name of a load: its second pass.
pub(super) const SECOND_PASS: &str = " (references)";

/// Whether rows are written or only compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Writes what differs.
    Write,
    /// Reports what differs.
    Compare,
}

/// A load, ready to be carried out.
pub(super) struct Work<'w> {
    pub(super) checked: &'w Checked,
    pub(super) statements: &'w Statements,
    pub(super) identity: &'w Identity,
    pub(super) mode: Mode,
    /// Only references that had to wait.
    pub(super) second: bool,
}

/// What became of a batch, beside the counts.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) refused: Vec<Refuse>,
    pub(super) differences: Vec<Difference>,
}

impl Work<'_> {
    /// Carries a batch out and counts it.
    ///
    /// # Errors
    /// Every error but a refusal of data, which concerns single rows.
    pub(super) async fn apply(
        &self,
        tx: &Tx,
        made: Vec<Made>,
        counts: &mut Counts,
        trust: &mut Trust,
    ) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let mut rows = Vec::new();
        for made in made {
            counts.read += u64::from(!self.second);
            match made {
                Made::Filtered => counts.filtered += u64::from(!self.second),
                Made::Refused(refuse) => self.refuse(refuse, counts, &mut outcome),
                Made::Row(row) => rows.push(row),
            }
        }
        if self.mode == Mode::Compare {
            rows = self.without_refused(tx, rows, counts).await?;
        }
        let ids = Ids::read(tx, self.identity, self.checked, self.statements, &rows).await?;
        let mut resolved = Vec::new();
        for each in ids.resolve(self.checked, rows, self.second) {
            match each {
                Resolved::Gone => {}
                Resolved::Refused(refuse) => self.refuse(refuse, counts, &mut outcome),
                Resolved::Row(row) => resolved.push(row),
            }
        }
        let done = self.settle(tx, &resolved, trust).await?;
        self.count(tx, resolved, done, counts, &mut outcome).await?;
        Ok(outcome)
    }

    /// Leaves out what the run that is compared with refused: no row is expected of it.
    async fn without_refused(
        &self,
        tx: &Tx,
        rows: Vec<Row>,
        counts: &mut Counts,
    ) -> Result<Vec<Row>> {
        let records: Vec<i64> = rows.iter().map(|row| row.origin.record.cast_signed()).collect();
        let sql = "select record, element, outcome from tributary.import_reject \
                   where import = $1 and run = $2 and load = $3 and record = any($4) and outcome <> 'nulled'";
        let load = self.name();
        let params: [Param<'_>; 4] = [&self.identity.import, &self.identity.run, &load, &records];
        let found = tx.query("target: reading rejected records", sql, &params).await?;
        let found: BTreeMap<(i64, i32), String> =
            found.iter().map(|row| ((row.get(0), row.get(1)), row.get(2))).collect();
        let mut kept = Vec::with_capacity(rows.len());
        for row in rows {
            let place = (row.origin.record.cast_signed(), row.origin.element.cast_signed());
            match found.get(&place).map(String::as_str) {
                None => kept.push(row),
                // It is a row that lacks the reference.
                Some(_) if self.second => {}
                Some("orphaned") => counts.refuse(Refused::Orphaned),
                Some("duplicate") => counts.refuse(Refused::Duplicate),
                Some(_) => counts.refuse(Refused::Rejected),
            }
        }
        Ok(kept)
    }

    /// What rejected records of this pass are kept under.
    pub(super) fn name(&self) -> String {
        let name = &self.checked.load.name;
        if self.second { format!("{name}{SECOND_PASS}") } else { name.clone() }
    }

    fn refuse(&self, refuse: Refuse, counts: &mut Counts, outcome: &mut Outcome) {
        // What is refused in the second pass was counted in the first.
        if !self.second {
            counts.refuse(refuse.outcome);
            outcome.refused.push(refuse);
        }
    }

    async fn count(
        &self,
        tx: &Tx,
        rows: Vec<Row>,
        done: Vec<Done>,
        counts: &mut Counts,
        outcome: &mut Outcome,
    ) -> Result<()> {
        let mut kept = Vec::with_capacity(rows.len());
        for (row, done) in rows.into_iter().zip(done) {
            if !row.nulled.is_empty() && self.mode == Mode::Write {
                let field = row.nulled.join(", ");
                let reason = "refers to nothing; the reference became NULL";
                let origin = row.origin.clone();
                let nulled = Refuse::new(origin, Refused::Nulled, Some(&field), reason);
                outcome.refused.extend((!matches!(done, Done::Refused(_))).then_some(nulled));
            }
            let refused = matches!(done, Done::Refused(_));
            match done {
                Done::Refused(refuse) if self.second => {
                    counts.unlinked += 1;
                    outcome.refused.push(refuse);
                    continue;
                }
                Done::Refused(refuse) => self.refuse(refuse, counts, outcome),
                _ if self.second && self.mode == Mode::Write => {
                    counts.linked += u64::from(matches!(done, Done::Updated));
                }
                Done::Inserted => counts.inserted += 1,
                Done::Updated => counts.updated += 1,
                Done::Unchanged => counts.unchanged += u64::from(!self.second),
                Done::Differs(columns) => {
                    counts.unchanged += u64::from(!self.second && !columns.is_empty());
                    for column in &columns {
                        *counts.differing.entry(column.clone()).or_default() += 1;
                    }
                    if columns.is_empty() && !self.second {
                        *counts.differing.entry("(no such row)".into()).or_default() += 1;
                        counts.unchanged += 1;
                    }
                    outcome.differences.push(Difference {
                        load: self.checked.load.name.clone(),
                        record: row.origin.record,
                        key: row.origin.key.clone(),
                        columns,
                    });
                }
            }
            if !refused {
                counts.nulled += row.nulled.len() as u64;
                counts.replaced += row.replaced;
                kept.push(row);
            }
        }
        if !self.second {
            self.sum(tx, &kept, &mut counts.sums).await?;
        }
        if self.mode == Mode::Write && !self.second {
            ids::write(tx, self.identity, &self.checked.load.table(), &kept).await?;
        }
        Ok(())
    }

    /// Adds the chosen columns of these rows up, in the server: it rounds each value as the column does.
    async fn sum(&self, tx: &Tx, rows: &[Row], sums: &mut BTreeMap<String, String>) -> Result<()> {
        for (at, bound) in self.checked.columns.iter().enumerate() {
            let name = &bound.column.name;
            if !self.checked.load.sums.contains(name) {
                continue;
            }
            let sum = sums.entry(name.clone()).or_insert_with(|| "0".to_owned());
            let values: Vec<Option<&str>> =
                rows.iter().map(|row| row.values.get(at)?.as_deref()).collect();
            let sql = format!(
                "select ($1::text::numeric + coalesce(sum(v::{}::numeric), 0))::text from unnest($2::text[]) v",
                bound.target.cast
            );
            let found = tx.query("target: summing", &sql, &[sum, &values]).await?;
            if let Some(row) = found.first() {
                *sum = row.get(0);
            }
        }
        Ok(())
    }
}

/// Whether the sums of a load can be taken in the database: its rows are found by the text of their key.
pub(super) fn has_plain_key(checked: &Checked) -> bool {
    let plain =
        |kind: &Kind| matches!(kind, Kind::Uuid | Kind::Integer(_) | Kind::Text(_) | Kind::Date);
    let mut kinds = checked.key.iter().filter_map(|at| checked.columns.get(*at));
    kinds.all(|bound| plain(&bound.target.kind))
}
