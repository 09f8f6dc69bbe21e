//! A connection. Statements that name the daemon's own schema as `tributary` are sent for the configured one: this is the
//! only place that knows it.

use std::borrow::Cow;

use bytes::Buf;
use tokio_postgres::types::ToSql;
use tokio_postgres::{
    CopyInSink, CopyOutStream, Error, Row, RowStream, SimpleQueryMessage, Statement,
};

use crate::config::Schema;

type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A connection to one of the servers.
pub struct Client {
    session: Session,
    schema: Schema,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// Whose the session is.
enum Session {
    Own(tokio_postgres::Client),
    Pooled(deadpool_postgres::Client),
}

/// What can be executed: a text, or what was prepared from one.
pub trait Sql: Sync {
    /// What is sent for this schema.
    fn sent(&self, schema: &Schema) -> Sent<'_>;
}

/// What is sent to a server.
pub enum Sent<'a> {
    /// A text.
    Text(Cow<'a, str>),
    /// A prepared statement.
    Prepared(&'a Statement),
}

impl Sql for str {
    fn sent(&self, schema: &Schema) -> Sent<'_> {
        Sent::Text(schema.of(self))
    }
}

impl Sql for String {
    fn sent(&self, schema: &Schema) -> Sent<'_> {
        Sent::Text(schema.of(self))
    }
}

impl Sql for Statement {
    fn sent(&self, _: &Schema) -> Sent<'_> {
        Sent::Prepared(self)
    }
}

impl Client {
    /// A session whose statements are for this schema.
    #[must_use]
    pub fn new(client: tokio_postgres::Client, schema: Schema) -> Self {
        Self { session: Session::Own(client), schema }
    }

    /// As [`Client::new`], of a pool.
    #[must_use]
    pub fn pooled(client: deadpool_postgres::Client, schema: Schema) -> Self {
        Self { session: Session::Pooled(client), schema }
    }

    /// The schema of the daemon's own tables.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// From here on, statements are for another schema.
    pub fn set_schema(&mut self, schema: Schema) {
        self.schema = schema;
    }

    /// The driver's own connection, for libraries that want it exclusively: their statements are sent as they are.
    pub fn driver(&mut self) -> &mut tokio_postgres::Client {
        match &mut self.session {
            Session::Own(client) => client,
            Session::Pooled(client) => client,
        }
    }

    fn raw(&self) -> &tokio_postgres::Client {
        match &self.session {
            Session::Own(client) => client,
            Session::Pooled(client) => client,
        }
    }

    /// Whether the connection has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.raw().is_closed()
    }

    /// Runs a query.
    ///
    /// # Errors
    /// The driver's.
    pub async fn query<S: Sql + ?Sized>(
        &self,
        statement: &S,
        params: Params<'_>,
    ) -> Result<Vec<Row>, Error> {
        match statement.sent(&self.schema) {
            Sent::Text(text) => self.raw().query(&*text, params).await,
            Sent::Prepared(statement) => self.raw().query(statement, params).await,
        }
    }

    /// Runs a query; its rows are read as they arrive.
    ///
    /// # Errors
    /// The driver's.
    pub async fn query_stream(&self, sql: &str, params: Params<'_>) -> Result<RowStream, Error> {
        self.raw().query_raw(&*self.schema.of(sql), params.iter().copied()).await
    }

    /// Runs a query that returns one row.
    ///
    /// # Errors
    /// The driver's; another number of rows is one.
    pub async fn query_one<S: Sql + ?Sized>(
        &self,
        statement: &S,
        params: Params<'_>,
    ) -> Result<Row, Error> {
        match statement.sent(&self.schema) {
            Sent::Text(text) => self.raw().query_one(&*text, params).await,
            Sent::Prepared(statement) => self.raw().query_one(statement, params).await,
        }
    }

    /// Runs a query that returns at most one row.
    ///
    /// # Errors
    /// The driver's; more rows are one.
    pub async fn query_opt<S: Sql + ?Sized>(
        &self,
        statement: &S,
        params: Params<'_>,
    ) -> Result<Option<Row>, Error> {
        match statement.sent(&self.schema) {
            Sent::Text(text) => self.raw().query_opt(&*text, params).await,
            Sent::Prepared(statement) => self.raw().query_opt(statement, params).await,
        }
    }

    /// Runs a statement and returns the number of rows that it changed.
    ///
    /// # Errors
    /// The driver's.
    pub async fn execute<S: Sql + ?Sized>(
        &self,
        statement: &S,
        params: Params<'_>,
    ) -> Result<u64, Error> {
        match statement.sent(&self.schema) {
            Sent::Text(text) => self.raw().execute(&*text, params).await,
            Sent::Prepared(statement) => self.raw().execute(statement, params).await,
        }
    }

    /// Runs statements without parameters or results.
    ///
    /// # Errors
    /// The driver's.
    pub async fn batch_execute(&self, sql: &str) -> Result<(), Error> {
        self.raw().batch_execute(&self.schema.of(sql)).await
    }

    /// Runs statements in one message; values come as text.
    ///
    /// # Errors
    /// The driver's.
    pub async fn simple_query(&self, sql: &str) -> Result<Vec<SimpleQueryMessage>, Error> {
        self.raw().simple_query(&self.schema.of(sql)).await
    }

    /// Prepares a statement.
    ///
    /// # Errors
    /// The driver's.
    pub async fn prepare(&self, sql: &str) -> Result<Statement, Error> {
        self.raw().prepare(&self.schema.of(sql)).await
    }

    /// Prepares a statement, once for each session of a pool.
    ///
    /// # Errors
    /// The driver's.
    pub async fn prepare_cached(&self, sql: &str) -> Result<Statement, Error> {
        match &self.session {
            Session::Own(client) => client.prepare(&self.schema.of(sql)).await,
            Session::Pooled(client) => client.prepare_cached(&self.schema.of(sql)).await,
        }
    }

    /// Begins a COPY to the server.
    ///
    /// # Errors
    /// The driver's.
    pub async fn copy_in<T>(&self, sql: &str) -> Result<CopyInSink<T>, Error>
    where
        T: Buf + 'static + Send,
    {
        self.raw().copy_in(&*self.schema.of(sql)).await
    }

    /// Begins a COPY from the server.
    ///
    /// # Errors
    /// The driver's.
    pub async fn copy_out(&self, sql: &str) -> Result<CopyOutStream, Error> {
        self.raw().copy_out(&*self.schema.of(sql)).await
    }
}
