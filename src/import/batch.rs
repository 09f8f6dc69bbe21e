//! One batch: what is there is fetched, what is to be done decided, what differs written. All in the open transaction.

use std::collections::BTreeMap;
use std::pin::Pin;

use rust_decimal::Decimal;
use tokio_postgres::error::SqlState;

use super::check::Checked;
use super::convert::Kind;
use super::ids::{self, Identity, Ids, Resolved};
use super::row::{Made, Refuse, Row};
use super::statements::Statements;
use super::summary::{Counts, Difference, Refused};
use crate::error::{Error, Result};
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

/// What was done with a row.
enum Done {
    Inserted,
    Updated,
    Unchanged,
    Refused(Refuse),
    /// Of a comparison: the columns that differ, or none where there is no row.
    Differs(Vec<String>),
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
        let done = self.settle(tx, &resolved).await?;
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
                self.sum(&row, &mut counts.sums);
                kept.push(row);
            }
        }
        if self.mode == Mode::Write && !self.second {
            ids::write(tx, self.identity, &self.checked.load.table(), &kept).await?;
        }
        Ok(())
    }

    fn sum(&self, row: &Row, sums: &mut BTreeMap<String, Decimal>) {
        if self.second {
            return;
        }
        for (bound, value) in self.checked.columns.iter().zip(&row.values) {
            if !self.checked.load.sums.contains(&bound.column.name) {
                continue;
            }
            let number = value
                .as_deref()
                .and_then(|text| text.parse().ok().or_else(|| Decimal::from_scientific(text).ok()));
            let number = number.map(|number: Decimal| scaled(number, &bound.target.cast));
            *sums.entry(bound.column.name.clone()).or_default() += number.unwrap_or_default();
        }
    }

    /// Decides and writes within a savepoint; where the target refuses data, again in halves until the rows are found.
    fn settle<'a>(
        &'a self,
        tx: &'a Tx,
        rows: &'a [Row],
    ) -> Pin<Box<dyn Future<Output = Result<Vec<Done>>> + Send + 'a>> {
        Box::pin(async move {
            if rows.is_empty() {
                return Ok(Vec::new());
            }
            tx.batch("target: opening a savepoint", "savepoint rows").await?;
            match self.write(tx, rows).await {
                Ok(done) => {
                    tx.batch("target: closing a savepoint", "release savepoint rows").await?;
                    Ok(done)
                }
                Err(Error::Data { cause, origin, .. }) => {
                    let undo = "rollback to savepoint rows; release savepoint rows";
                    tx.batch("target: going back to a savepoint", undo).await?;
                    if let [row] = rows {
                        return Ok(vec![Done::Refused(refused_by_target(
                            row,
                            &cause,
                            origin.code.as_ref(),
                        ))]);
                    }
                    let (first, second) = rows.split_at(rows.len() / 2);
                    let mut done = self.settle(tx, first).await?;
                    done.extend(self.settle(tx, second).await?);
                    Ok(done)
                }
                Err(other) => Err(other),
            }
        })
    }

    async fn write(&self, tx: &Tx, rows: &[Row]) -> Result<Vec<Done>> {
        let all: Vec<usize> = (0..rows.len()).collect();
        let mut there: BTreeMap<usize, Vec<bool>> = BTreeMap::new();
        let what = "target: comparing rows";
        for row in self.run(tx, what, &self.statements.existing, rows, &all).await? {
            there.insert(number(&row, 0)?, row.get(1));
        }
        let mut done: BTreeMap<usize, Done> = BTreeMap::new();
        let (mut insert, mut update) = (Vec::new(), Vec::new());
        for at in all {
            match there.get(&at) {
                None if self.second => drop(done.insert(at, Done::Unchanged)),
                None if self.checked.load.merge => {
                    let row = rows.get(at).map(|row| row.origin.clone());
                    let refuse = row.map(|o| {
                        Refuse::new(o, Refused::Orphaned, None, "there is no row to fill")
                    });
                    done.extend(refuse.map(|refuse| (at, Done::Refused(refuse))));
                }
                None => insert.push(at),
                Some(differs) if differs.contains(&true) => update.push(at),
                Some(_) => drop(done.insert(at, Done::Unchanged)),
            }
        }
        if self.mode == Mode::Compare {
            done.extend(insert.iter().map(|at| (*at, Done::Differs(Vec::new()))));
            done.extend(update.iter().map(|at| (*at, Done::Differs(self.names(there.get(at))))));
            return Ok(done.into_values().collect());
        }
        let changed: Vec<usize> = insert.iter().chain(&update).copied().collect();
        for (at, refuse) in self.in_the_way(tx, rows, &changed).await? {
            insert.retain(|known| *known != at);
            update.retain(|known| *known != at);
            done.insert(at, Done::Refused(refuse));
        }
        self.send(tx, &self.statements.insert, rows, &insert).await?;
        if let Some(sql) = &self.statements.update {
            self.send(tx, sql, rows, &update).await?;
        }
        done.extend(insert.into_iter().map(|at| (at, Done::Inserted)));
        done.extend(update.into_iter().map(|at| (at, Done::Updated)));
        Ok(done.into_values().collect())
    }

    /// The columns that differ.
    fn names(&self, differs: Option<&Vec<bool>>) -> Vec<String> {
        let columns = self.statements.columns.iter().skip(self.statements.key);
        let differing = columns.zip(differs.into_iter().flatten()).filter(|(_, differs)| **differs);
        let name = |at: &usize| Some(self.checked.columns.get(*at)?.column.name.clone());
        differing.filter_map(|(at, _)| name(at)).collect()
    }

    /// Rows whose unique values another row has, with the other side.
    async fn in_the_way(
        &self,
        tx: &Tx,
        rows: &[Row],
        at: &[usize],
    ) -> Result<BTreeMap<usize, Refuse>> {
        let mut found = BTreeMap::new();
        if at.is_empty() {
            return Ok(found);
        }
        for (index, sql) in &self.statements.unique {
            for hit in self.run(tx, "target: looking for duplicates", sql, rows, at).await? {
                let (this, first) = (number(&hit, 0)?, number(&hit, 1)?);
                let holder: Option<String> = hit.get(2);
                let other = at.get(first).filter(|_| first != this).and_then(|at| rows.get(*at));
                if holder.is_none() && other.is_none() {
                    continue;
                }
                let Some((place, row)) = at.get(this).and_then(|at| Some((*at, rows.get(*at)?)))
                else {
                    continue;
                };
                let reason = format!("the same values of the unique index {index}");
                let mut refuse = Refuse::new(row.origin.clone(), Refused::Duplicate, None, &reason);
                refuse.other_record =
                    other.filter(|_| holder.is_none()).map(|row| row.origin.record);
                refuse.other_key = holder.or_else(|| other.map(|row| row.origin.key.clone()));
                found.entry(place).or_insert(refuse);
            }
        }
        Ok(found)
    }

    async fn send(&self, tx: &Tx, sql: &str, rows: &[Row], at: &[usize]) -> Result<()> {
        const WHAT: &str = "target: writing rows";
        if at.is_empty() {
            return Ok(());
        }
        let columns = self.columns(rows, at);
        let params: Vec<Param<'_>> = columns.iter().map(|column| column as Param<'_>).collect();
        let reached = tx.execute(WHAT, sql, &params).await?;
        if reached == at.len() as u64 {
            return Ok(());
        }
        Err(Error::data(WHAT, "a trigger, rule or policy of the table drops or hides the row"))
    }

    async fn run(
        &self,
        tx: &Tx,
        what: &str,
        sql: &str,
        rows: &[Row],
        at: &[usize],
    ) -> Result<Vec<tokio_postgres::Row>> {
        let columns = self.columns(rows, at);
        let params: Vec<Param<'_>> = columns.iter().map(|column| column as Param<'_>).collect();
        tx.query(what, sql, &params).await
    }

    fn columns<'r>(&self, rows: &'r [Row], at: &[usize]) -> Vec<Vec<Option<&'r str>>> {
        let value = |column: usize, row: usize| rows.get(row)?.values.get(column)?.as_deref();
        let columns = self.statements.columns.iter();
        columns.map(|column| at.iter().map(|row| value(*column, *row)).collect()).collect()
    }
}

fn number(row: &tokio_postgres::Row, at: usize) -> Result<usize> {
    usize::try_from(row.get::<_, i64>(at))
        .map_err(|error| Error::failed("target: comparing rows", error))
}

/// A number as its column rounds it.
fn scaled(number: Decimal, cast: &str) -> Decimal {
    let scale = cast.strip_prefix("numeric(").and_then(|rest| rest.strip_suffix(')'));
    let scale = scale.and_then(|inner| inner.split(',').nth(1)?.parse().ok());
    match scale {
        Some(scale) => number
            .round_dp_with_strategy(scale, rust_decimal::RoundingStrategy::MidpointAwayFromZero),
        None => number,
    }
}

fn refused_by_target(row: &Row, cause: &str, code: Option<&SqlState>) -> Refuse {
    let outcome = match code {
        Some(&SqlState::UNIQUE_VIOLATION) => Refused::Duplicate,
        Some(&SqlState::FOREIGN_KEY_VIOLATION) => Refused::Orphaned,
        _ => Refused::Rejected,
    };
    Refuse::new(row.origin.clone(), outcome, None, &format!("refused by the target: {cause}"))
}

/// Whether the sums of a load can be taken in the database: its rows are found by the text of their key.
pub(super) fn has_plain_key(checked: &Checked) -> bool {
    let plain =
        |kind: &Kind| matches!(kind, Kind::Uuid | Kind::Integer(_) | Kind::Text(_) | Kind::Date);
    let mut kinds = checked.key.iter().filter_map(|at| checked.columns.get(*at));
    kinds.all(|bound| plain(&bound.target.kind))
}
