//! Errors by what the caller can do about them: wait, install something, give up.

use std::fmt;

use tokio_postgres::error::SqlState;

/// Result of everything that does I/O.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server is stopped, starting or silent.
    #[error("{context}: {cause}")]
    Unavailable {
        /// What was being done.
        context: String,
        /// The driver's message.
        cause: String,
    },
    /// This machine lacks something; a person follows the remedy.
    #[error("{problem}\n  remedy: {remedy}")]
    Refused {
        /// What is missing.
        problem: String,
        /// What to install or set.
        remedy: String,
    },
    /// Everything else.
    #[error("{context}: {cause}")]
    Failed {
        /// What was being done.
        context: String,
        /// What the program or the server said.
        cause: String,
    },
}

impl Error {
    pub(crate) fn refused(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Refused { problem: problem.into(), remedy: remedy.into() }
    }

    pub(crate) fn failed(context: impl Into<String>, cause: impl fmt::Display) -> Self {
        Self::Failed { context: context.into(), cause: cause.to_string() }
    }

    pub(crate) fn unavailable(context: impl Into<String>, cause: impl fmt::Display) -> Self {
        Self::Unavailable { context: context.into(), cause: cause.to_string() }
    }

    /// Classifies a driver error: without an answer of the server it counts as unavailable.
    pub(crate) fn postgres(context: impl Into<String>, error: &tokio_postgres::Error) -> Self {
        let context = context.into();
        match error.as_db_error() {
            None => Self::unavailable(context, chain(error)),
            Some(answer) if is_starting_or_stopping(answer.code()) => {
                Self::unavailable(context, answer)
            }
            Some(answer) => {
                let code = answer.code().code();
                Self::failed(context, format!("{} (SQLSTATE {code})", answer.message()))
            }
        }
    }
}

fn is_starting_or_stopping(code: &SqlState) -> bool {
    [SqlState::CANNOT_CONNECT_NOW, SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN]
        .contains(code)
}

/// The driver's message with its causes, which it leaves out itself.
fn chain(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Says what was being done when the driver reported an error.
pub(crate) trait Context<T> {
    fn context(self, context: &str) -> Result<T>;
}

impl<T> Context<T> for std::result::Result<T, tokio_postgres::Error> {
    fn context(self, context: &str) -> Result<T> {
        self.map_err(|error| Error::postgres(context, &error))
    }
}
