//! Whether writes reach the rows of a target table at all (P20): tried with a row that nobody else sees, and taken back.

use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::catalog::Names;
use crate::error::{Context as _, Error, Result};
use crate::pg::{Client, Tx};

/// What is tried on a table.
#[derive(Debug, Clone, Copy)]
pub struct Trial<'a> {
    /// Its quoted name.
    pub table: &'a str,
    /// Columns and values of the least row, `$1` being its id; empty where it needs rows of others.
    pub insert: &'a str,
    /// Whether rows are deleted, too.
    pub deletes: bool,
}

/// Of profiles: an address that no real row has.
pub const PROFILE: &str = "(id, email) values ($1, $1::uuid || '@tributary.invalid')";
/// Of transactions.
pub const TRANSACTION: &str = "(id, amount) values ($1, 1)";

/// Rows of which one must be reached, where no row can be inserted.
const ROWS: u32 = 10;

const WHAT: &str = "target: trying to write";

impl Trial<'_> {
    /// Tries it in a transaction of its own. What the application's own constraints refuse says nothing.
    ///
    /// # Errors
    /// The target is away.
    pub async fn is_unreached(&self, client: &Client) -> Result<bool> {
        let inserted = self.tried(client, Way::Insert, ("begin", "rollback")).await?;
        Ok(inserted == Some(false)
            || inserted.is_none()
                && self.tried(client, Way::Update, ("begin", "rollback")).await? == Some(false))
    }

    /// The same within an open transaction.
    async fn is_unreached_within(&self, tx: &Tx) -> Result<bool> {
        let savepoint = ("savepoint reach", "rollback to savepoint reach; release savepoint reach");
        let client = tx.db().client();
        let inserted = self.tried(client, Way::Insert, savepoint).await?;
        Ok(inserted == Some(false)
            || inserted.is_none()
                && self.tried(client, Way::Update, savepoint).await? == Some(false))
    }

    /// Whether it reached its rows; `None`: that is not known.
    async fn tried(
        &self,
        client: &Client,
        way: Way,
        (open, undo): (&str, &str),
    ) -> Result<Option<bool>> {
        let open = format!("{open}; set local lock_timeout = '2s'");
        client.batch_execute(&open).await.context(WHAT)?;
        let tried = match way {
            Way::Insert => self.insert(client).await,
            Way::Update => self.update(client).await,
        };
        if let Err(error) = &tried
            && error.code().is_none()
        {
            return Err(Error::postgres(WHAT, error));
        }
        client.batch_execute(undo).await.context(WHAT)?;
        Ok(match tried {
            Ok(reached) => reached,
            // Row-level security says so by the code of a privilege that is missing.
            Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Some(false),
            Err(_) => None,
        })
    }

    async fn insert(
        &self,
        client: &Client,
    ) -> std::result::Result<Option<bool>, tokio_postgres::Error> {
        let (table, id) = (self.table, Uuid::new_v4());
        if self.insert.is_empty() {
            return Ok(None);
        }
        let one = async |sql: String| Ok(client.execute(&sql, &[&id]).await? == 1);
        let reached = one(format!("insert into {table} {}", self.insert)).await?
            && one(format!("update {table} set id = id where id = $1")).await?
            && (!self.deletes || one(format!("delete from {table} where id = $1")).await?);
        Ok(Some(reached))
    }

    /// Of rows that are there: that one is protected says nothing of the others.
    async fn update(
        &self,
        client: &Client,
    ) -> std::result::Result<Option<bool>, tokio_postgres::Error> {
        let table = self.table;
        let sql = format!("select id from {table} limit {ROWS} for no key update skip locked");
        let rows = client.query(&sql, &[]).await?;
        let sql = format!("update {table} set id = id where id = $1");
        let mut reached = None;
        for id in rows.iter().filter_map(|row| row.try_get::<_, Uuid>(0).ok()) {
            if client.execute(&sql, &[&id]).await? == 1 {
                return Ok(Some(true));
            }
            reached = Some(false);
        }
        Ok(reached)
    }
}

#[derive(Clone, Copy)]
enum Way {
    Insert,
    Update,
}

/// Refuses to go on where a table drops what is written in general: no row of it is at fault (P20).
///
/// # Errors
/// [`Error::Gone`], which holds until it is fixed; those of the target.
pub async fn require(tx: &Tx, names: &Names) -> Result<()> {
    let trials = [
        Trial { table: &names.profiles, insert: PROFILE, deletes: false },
        Trial { table: &names.transactions, insert: TRANSACTION, deletes: true },
        Trial { table: &names.enrollments, insert: "", deletes: false },
    ];
    for trial in trials {
        if trial.is_unreached_within(tx).await? {
            return Err(Error::Gone {
                problem: format!("target: {}", problem(trial.table)),
                remedy: remedy(trial.table, "the role"),
            });
        }
    }
    Ok(())
}

/// What is wrong with a table.
#[must_use]
pub fn problem(table: &str) -> String {
    format!(
        "writes to {table} do not reach their rows: row-level security, a rule or a trigger hides or drops them"
    )
}

/// What to do about it.
#[must_use]
pub fn remedy(table: &str, role: &str) -> String {
    format!(
        "run on the target: ALTER ROLE {role} BYPASSRLS; or add policies of {table} for the role that let SELECT, INSERT, \
         UPDATE and DELETE through; or have the trigger return the row"
    )
}
