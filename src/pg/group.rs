//! Statements sent as one pipelined group, each with the number of rows it must reach (P20).

use futures_util::future::{BoxFuture, join_all};
use tokio_postgres::types::ToSql;

use super::tx::Tx;
use crate::error::{Error, Result};

/// An owned parameter.
pub type Owned = Box<dyn ToSql + Sync + Send>;

/// How many rows a statement must reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// Whatever it finds.
    Any,
    /// Exactly these.
    Exactly(u64),
    /// The statement returns one row: rows reached, rows that it had to reach.
    Returned,
    /// One row, unless another writer was there (P11).
    Unsuperseded,
}

struct Statement {
    what: &'static str,
    sql: String,
    params: Vec<Owned>,
    expected: Expected,
}

/// Statements in the order in which they are executed. They are sent together: one round trip, whatever their
/// number.
#[derive(Default)]
pub struct Group {
    statements: Vec<Statement>,
}

/// What each statement of a group reached, in order; of a statement that returns counts, all of them.
pub type Reached = Vec<Vec<u64>>;

impl Group {
    /// Whether there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }

    /// How many statements it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.statements.len()
    }

    /// A statement that must reach exactly `rows` rows.
    pub fn exactly(
        &mut self,
        rows: usize,
        what: &'static str,
        sql: impl Into<String>,
        params: Vec<Owned>,
    ) {
        let expected = Expected::Exactly(rows as u64);
        self.statements.push(Statement { what, sql: sql.into(), params, expected });
    }

    /// A statement that may reach any number of rows.
    pub fn any(&mut self, what: &'static str, sql: impl Into<String>, params: Vec<Owned>) {
        self.statements.push(Statement { what, sql: sql.into(), params, expected: Expected::Any });
    }

    /// A query of one row of bigints, the first of which must equal the second: rows reached, rows to reach.
    pub fn counted(&mut self, what: &'static str, sql: impl Into<String>, params: Vec<Owned>) {
        let expected = Expected::Returned;
        self.statements.push(Statement { what, sql: sql.into(), params, expected });
    }

    /// A statement that reaches its one row unless another writer was there.
    pub fn unless_superseded(
        &mut self,
        what: &'static str,
        sql: impl Into<String>,
        params: Vec<Owned>,
    ) {
        let expected = Expected::Unsuperseded;
        self.statements.push(Statement { what, sql: sql.into(), params, expected });
    }

    /// Prepares the statements, so that what is sent together with the group is executed after it.
    ///
    /// # Errors
    /// The driver's, classified.
    pub async fn prepare(&self, tx: &Tx) -> Result<()> {
        for statement in &self.statements {
            tx.db().prepare(statement.what, &statement.sql).await?;
        }
        Ok(())
    }

    /// Sends everything and compares what was reached.
    ///
    /// # Errors
    /// The first statement's that failed; [`Error::Data`] where one reached other rows than it must.
    pub async fn send(self, tx: &Tx) -> Result<Reached> {
        // Preparing takes a round trip the first time only, and must not change the order of execution.
        self.prepare(tx).await?;
        let sent: Vec<BoxFuture<'_, Result<Vec<u64>>>> =
            self.statements.iter().map(|statement| statement.run(tx)).collect();
        // Not the first error that arrives: after the one that matters, every statement fails as the transaction is aborted,
        // and which answer is seen first is a matter of threads.
        join_all(sent).await.into_iter().collect()
    }
}

impl Statement {
    fn run<'a>(&'a self, tx: &'a Tx) -> BoxFuture<'a, Result<Vec<u64>>> {
        Box::pin(async move {
            let params: Vec<&(dyn ToSql + Sync)> =
                self.params.iter().map(|p| p.as_ref() as &(dyn ToSql + Sync)).collect();
            let counts = if self.expected == Expected::Returned {
                let rows = tx.query(self.what, &self.sql, &params).await?;
                let row = rows.first();
                let reached = row.and_then(|row| row.try_get::<_, i64>(0).ok());
                tx.db().wrote(reached.map_or(0, i64::unsigned_abs));
                row.map_or_else(Vec::new, |row| {
                    (0..row.len()).map(|i| row.get::<_, i64>(i).unsigned_abs()).collect()
                })
            } else {
                vec![tx.execute(self.what, &self.sql, &params).await?]
            };
            let (reached, expected) = match self.expected {
                Expected::Any => return Ok(counts),
                Expected::Unsuperseded if counts == [1] => return Ok(counts),
                Expected::Unsuperseded => {
                    return Err(Error::Superseded(format!("{} reached no row", self.what)));
                }
                Expected::Exactly(rows) => (counts.first().copied().unwrap_or(0), rows),
                Expected::Returned => {
                    (counts.first().copied().unwrap_or(0), counts.get(1).copied().unwrap_or(0))
                }
            };
            if reached == expected {
                return Ok(counts);
            }
            Err(Error::data(
                self.what,
                format!(
                    "it reached {reached} of {expected} rows: a trigger, rule or row-level security policy of the \
                     table drops or hides rows, or somebody else changed them"
                ),
            ))
        })
    }
}
