//! Writing the rows of a batch: what is there is fetched, what differs is updated, what is new is inserted; within
//! savepoints, so that the rows that the target refuses are found.
//!
//! Most batches of most imports hold new rows that nothing is in the way of. These are copied at once, and only where the
//! target refuses one of them each row is looked at.

use std::collections::BTreeMap;
use std::pin::Pin;

use tokio_postgres::error::SqlState;

use super::batch::{Mode, Work};
use super::row::{Refuse, Row};
use super::summary::Refused;
use crate::error::{Error, Result};
use crate::pg::{Param, Tx, copy_values};

const WRITING: &str = "target: writing rows";

/// From this many rows of an import on COPY is the faster way.
pub(super) const IMPORT_COPY_FROM: usize = 20;

/// After a refused batch so many batches are written row by row, after the next twice as many, up to this.
const LONGEST_DOUBT: u32 = 64;

/// What was done with a row.
pub(super) enum Done {
    Inserted,
    Updated,
    Unchanged,
    Refused(Refuse),
    /// Of a comparison: the columns that differ, or none where there is no row.
    Differs(Vec<String>),
}

/// Whether a batch of new rows is likely to be written as it is: what refused rows so far will go on to do so.
#[derive(Debug, Default)]
pub(super) struct Trust {
    /// Batches that are looked at row by row before the next attempt.
    wait: u32,
    doubt: u32,
}

impl Trust {
    fn is_given(&mut self) -> bool {
        self.wait = self.wait.saturating_sub(1);
        self.wait == 0
    }

    fn kept(&mut self) {
        self.doubt = 0;
    }

    fn broken(&mut self) {
        self.doubt = (2 * self.doubt).clamp(1, LONGEST_DOUBT);
        self.wait = self.doubt + 1;
    }
}

impl Work<'_> {
    /// What became of each row.
    ///
    /// # Errors
    /// Every error but a refusal of data.
    pub(super) async fn settle(
        &self,
        tx: &Tx,
        rows: &[Row],
        trust: &mut Trust,
    ) -> Result<Vec<Done>> {
        let new = self.mode == Mode::Write && !self.second && !self.checked.load.merge;
        let new = new && self.statements.may_copy && rows.len() >= IMPORT_COPY_FROM;
        if new && !rows.iter().any(|row| row.is_known) && trust.is_given() {
            let all: Vec<usize> = (0..rows.len()).collect();
            match tx.within_savepoint(self.insert(tx, rows, &all)).await {
                Ok(()) => {
                    trust.kept();
                    return Ok(rows.iter().map(|_| Done::Inserted).collect());
                }
                Err(Error::Data { .. }) => trust.broken(),
                Err(other) => return Err(other),
            }
        }
        self.each(tx, rows).await
    }

    /// Decides and writes; where the target refuses data, again in halves until the rows are found.
    fn each<'a>(
        &'a self,
        tx: &'a Tx,
        rows: &'a [Row],
    ) -> Pin<Box<dyn Future<Output = Result<Vec<Done>>> + Send + 'a>> {
        Box::pin(async move {
            if rows.is_empty() {
                return Ok(Vec::new());
            }
            match tx.within_savepoint(self.write(tx, rows)).await {
                Err(Error::Data { cause, origin, .. }) => {
                    if let [row] = rows {
                        let refuse = refused_by_target(row, &cause, origin.code.as_ref());
                        return Ok(vec![Done::Refused(refuse)]);
                    }
                    let (first, second) = rows.split_at(rows.len() / 2);
                    let mut done = self.each(tx, first).await?;
                    done.extend(self.each(tx, second).await?);
                    Ok(done)
                }
                written => written,
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
                    let refuse = row.map(|origin| {
                        Refuse::new(origin, Refused::Orphaned, None, "there is no row to fill")
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
        self.insert(tx, rows, &insert).await?;
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

    async fn insert(&self, tx: &Tx, rows: &[Row], at: &[usize]) -> Result<()> {
        if at.len() < IMPORT_COPY_FROM || !self.statements.may_copy {
            return self.send(tx, &self.statements.insert, rows, at).await;
        }
        let (table, names) = (&self.statements.table, &self.statements.names);
        let columns: Vec<Vec<Option<&str>>> = at
            .iter()
            .filter_map(|row| rows.get(*row))
            .map(|row| {
                let columns = self.statements.columns.iter();
                columns.map(|column| row.values.get(*column)?.as_deref()).collect()
            })
            .collect();
        copy_values(tx, WRITING, table, names, columns).await.map(drop)
    }

    async fn send(&self, tx: &Tx, sql: &str, rows: &[Row], at: &[usize]) -> Result<()> {
        if at.is_empty() {
            return Ok(());
        }
        let columns = self.columns(rows, at);
        let params: Vec<Param<'_>> = columns.iter().map(|column| column as Param<'_>).collect();
        let reached = tx.execute(WRITING, sql, &params).await?;
        if reached == at.len() as u64 {
            return Ok(());
        }
        Err(Error::data(WRITING, "a trigger, rule or policy of the table drops or hides the row"))
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

fn refused_by_target(row: &Row, cause: &str, code: Option<&SqlState>) -> Refuse {
    let outcome = match code {
        Some(&SqlState::UNIQUE_VIOLATION) => Refused::Duplicate,
        Some(&SqlState::FOREIGN_KEY_VIOLATION) => Refused::Orphaned,
        _ => Refused::Rejected,
    };
    Refuse::new(row.origin.clone(), outcome, None, &format!("refused by the target: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_that_was_broken_comes_back_slowly() {
        let mut trust = Trust::default();
        assert!(trust.is_given());
        let waits = |trust: &mut Trust| {
            trust.broken();
            (0..).take_while(|_| !trust.is_given()).count()
        };
        let found: Vec<usize> = (0..8).map(|_| waits(&mut trust)).collect();
        assert_eq!(found, [1, 2, 4, 8, 16, 32, 64, 64]);
        trust.kept();
        assert_eq!((trust.is_given(), waits(&mut trust)), (true, 1));
    }
}
