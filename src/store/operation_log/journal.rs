//! The entry of a command that runs by itself.

use serde_json::Value;
use tokio_postgres::error::SqlState;

use super::{Finish, Operation, Operator, begin, finish};
use crate::config::Config;
use crate::connect::connect;
use crate::error::{Error, Result};
use crate::pg::Db;

/// An entry with a session of its own, of a command that holds no lock. That it cannot be written never makes the command
/// fail: a role that only reads may verify too.
pub struct Journal {
    open: Option<(Db, i64)>,
}

impl Journal {
    /// Begins an entry, with who asked for it where somebody did.
    pub async fn begin(
        config: &Config,
        operation: Operation,
        detail: Value,
        asked_by: Option<&str>,
    ) -> Self {
        let begun = async {
            let db = Db::new(connect(&config.target.server, "tributary log", "target").await?);
            let operator =
                Operator { asked_by: asked_by.map(str::to_owned), ..Operator::of(config) };
            let id = begin(db.client(), &operator, operation, &detail).await?;
            Ok::<_, Error>((db, id))
        };
        match begun.await {
            Ok(open) => Self { open: Some(open) },
            Err(error) => {
                // A target that is not migrated yet has no log.
                if error.code() != Some(&SqlState::UNDEFINED_TABLE) {
                    tracing::warn!(%error, "the operation log cannot be written");
                }
                Self { open: None }
            }
        }
    }

    /// The number of the entry, where there is one.
    #[must_use]
    pub fn id(&self) -> Option<i64> {
        self.open.as_ref().map(|(_, id)| *id)
    }

    /// Completes it.
    pub async fn finish(self, end: &Finish) {
        let Some((db, id)) = self.open else { return };
        if let Err(error) = finish(db.client(), id, end).await {
            tracing::warn!(%error, "the operation log cannot be written");
        }
    }

    /// Completes it by what an operation returned.
    pub async fn close<T>(self, result: &Result<T>, done: impl FnOnce(&T) -> Finish) {
        match result {
            Ok(value) => self.finish(&done(value)).await,
            Err(error) => self.finish(&Finish::failed(error)).await,
        }
    }
}
