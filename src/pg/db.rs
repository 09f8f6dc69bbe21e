//! One session on the target: cached statements, pipelined round trips, explicit transactions.

use std::collections::HashMap;
use std::sync::Mutex;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};

use super::client::Client;
use super::plans::PlanAge;
use crate::error::{Context, Result};

/// A parameter of a statement.
pub type Param<'a> = &'a (dyn ToSql + Sync);

/// A session. Calls on `&self` may run concurrently: the driver pipelines them on the one connection.
pub struct Db {
    client: Client,
    statements: Mutex<HashMap<String, Statement>>,
    plans: PlanAge,
}

impl Db {
    /// Wraps a fresh connection.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, statements: Mutex::default(), plans: PlanAge::default() }
    }

    /// The bare connection, for what needs no cached statement.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The bare connection, for libraries that want it exclusively.
    pub fn client_mut(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Runs a query. `what` says what is being done, for errors.
    ///
    /// # Errors
    /// The driver's, classified.
    pub async fn query(&self, what: &str, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>> {
        let statement = self.statement(what, sql).await?;
        self.client.query(&statement, params).await.context(what)
    }

    /// Runs a statement and returns the number of rows it changed.
    ///
    /// # Errors
    /// The driver's, classified.
    pub async fn execute(&self, what: &str, sql: &str, params: &[Param<'_>]) -> Result<u64> {
        let statement = self.statement(what, sql).await?;
        let rows = self.client.execute(&statement, params).await.context(what)?;
        self.plans.wrote(rows);
        Ok(rows)
    }

    /// Runs statements without parameters or results, such as `begin`.
    ///
    /// # Errors
    /// The driver's, classified.
    pub async fn batch(&self, what: &str, sql: &str) -> Result<()> {
        self.client.batch_execute(sql).await.context(what)
    }

    /// Prepares a statement, so that a later use of it takes one round trip.
    ///
    /// # Errors
    /// The driver's, classified.
    pub async fn prepare(&self, what: &str, sql: &str) -> Result<()> {
        self.statement(what, sql).await.map(drop)
    }

    /// Notes rows that were written past [`Db::execute`].
    pub(super) fn wrote(&self, rows: u64) {
        self.plans.wrote(rows);
    }

    /// What to send in front of a transaction, once: makes the server plan again where the tables have grown.
    pub(super) fn before_transaction(&self) -> &'static str {
        if self.plans.is_due() { "discard plans; " } else { "" }
    }

    async fn statement(&self, what: &str, sql: &str) -> Result<Statement> {
        let known = self.statements.lock().ok().and_then(|known| known.get(sql).cloned());
        if let Some(statement) = known {
            return Ok(statement);
        }
        let statement = self.client.prepare(sql).await.context(what)?;
        if let Ok(mut known) = self.statements.lock() {
            known.insert(sql.to_owned(), statement.clone());
        }
        Ok(statement)
    }
}
