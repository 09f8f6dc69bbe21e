//! An open transaction.

use std::sync::Arc;

use tokio_postgres::Row;
use tokio_postgres::error::SqlState;

use super::db::{Db, Param};
use crate::error::{Error, Result};

/// An open transaction of a session. Whatever takes a `&Tx` runs inside it. Dropping it neither commits nor
/// rolls back: the owner of the session does one of them.
#[derive(Clone)]
pub struct Tx {
    db: Arc<Db>,
}

impl Tx {
    /// A transaction of this session that [`Tx::start`] opens.
    #[must_use]
    pub fn on(db: &Arc<Db>) -> Self {
        Self { db: Arc::clone(db) }
    }

    /// Opens the transaction with `begin`, which may set constraints too. Statements sent together with it run inside.
    ///
    /// # Errors
    /// The driver's, classified.
    pub async fn start(&self, begin: &str) -> Result<()> {
        let begin = format!("{}{begin}", self.db.before_transaction());
        let begun = self.db.batch("target: opening a transaction", &begin).await;
        begun.map_err(|error| match error.code() {
            // The application dropped a deferred constraint: the next session reads the catalog again.
            Some(&SqlState::UNDEFINED_OBJECT) => error.into_unavailable(),
            _ => error,
        })
    }

    /// The session.
    #[must_use]
    pub fn db(&self) -> &Arc<Db> {
        &self.db
    }

    /// As [`Db::query`].
    ///
    /// # Errors
    /// The driver's, classified.
    pub async fn query(&self, what: &str, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>> {
        self.db.query(what, sql, params).await
    }

    /// As [`Db::execute`].
    ///
    /// # Errors
    /// The driver's, classified.
    pub async fn execute(&self, what: &str, sql: &str, params: &[Param<'_>]) -> Result<u64> {
        self.db.execute(what, sql, params).await
    }

    /// As [`Db::batch`].
    ///
    /// # Errors
    /// The driver's, classified.
    pub async fn batch(&self, what: &str, sql: &str) -> Result<()> {
        self.db.batch(what, sql).await
    }

    /// Commits.
    ///
    /// # Errors
    /// The driver's, classified. The outcome is then unknown.
    pub async fn commit(self) -> Result<()> {
        let started = std::time::Instant::now();
        let committed = self.db.batch("target: committing", "commit").await;
        crate::metrics::time(crate::metrics::Stage::Commit, started.elapsed());
        committed
    }

    /// Gives the transaction up.
    ///
    /// # Errors
    /// The driver's, classified.
    pub async fn rollback(self) -> Result<()> {
        self.db.batch("target: rolling back", "rollback").await
    }

    /// Runs a write in a savepoint: `Ok(Err(reason))` where the target refuses the data.
    ///
    /// # Errors
    /// Every error but a refusal of data.
    pub async fn attempt<T>(
        &self,
        write: impl Future<Output = Result<T>>,
    ) -> Result<std::result::Result<T, String>> {
        match self.within_savepoint(write).await {
            Err(Error::Data { cause, .. }) => Ok(Err(cause)),
            written => written.map(Ok),
        }
    }

    /// The same, with all that is known of the refusal.
    ///
    /// # Errors
    /// What the write returned. After [`Error::Data`] the transaction goes on without it.
    pub async fn within_savepoint<T>(&self, write: impl Future<Output = Result<T>>) -> Result<T> {
        self.batch("target: opening a savepoint", "savepoint attempt").await?;
        let written = write.await;
        match &written {
            Ok(_) => self.batch("target: closing a savepoint", "release savepoint attempt").await?,
            Err(Error::Data { .. }) => self.undo_attempt().await?,
            Err(_) => {}
        }
        written
    }

    /// As [`Tx::attempt`], of which nothing stays.
    ///
    /// # Errors
    /// Every error but a refusal of data.
    pub async fn try_out<T>(
        &self,
        write: impl Future<Output = Result<T>>,
    ) -> Result<std::result::Result<(), String>> {
        self.batch("target: opening a savepoint", "savepoint attempt").await?;
        let tried = write.await;
        match tried {
            Err(other) if !matches!(other, Error::Data { .. }) => Err(other),
            tried => {
                self.undo_attempt().await?;
                Ok(match tried {
                    Err(Error::Data { cause, .. }) => Err(cause),
                    _ => Ok(()),
                })
            }
        }
    }

    async fn undo_attempt(&self) -> Result<()> {
        let undo = "rollback to savepoint attempt; release savepoint attempt";
        self.batch("target: going back to a savepoint", undo).await
    }
}
