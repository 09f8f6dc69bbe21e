//! Errors by what happens next: retry, stop with a remedy, give up.
//!
//! No message holds a customer value (P14): a PostgreSQL error is reported by its SQLSTATE, message and
//! constraint, never by its `detail`, `where` or internal query, which quote rows.

use std::fmt;

use tokio_postgres::error::{DbError, SqlState};

/// Result of everything that does I/O.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, classified by what the caller does about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A server is away, starting, stopping or overloaded: `run` retries, other commands exit 69.
    #[error("{context}: {cause}")]
    Unavailable {
        /// Which server, and what was being done.
        context: String,
        /// The driver's words, without row values.
        cause: String,
    },
    /// The configuration is wrong: exit 78.
    #[error("{0}")]
    Config(String),
    /// The daemon must not go on by itself; a person follows the remedy. Exit 1.
    #[error("{problem}\n  remedy: {remedy}")]
    Refused {
        /// What is wrong.
        problem: String,
        /// What to run or change.
        remedy: String,
    },
    /// The slot is missing, or the log it needs is gone: a new one is made and the tables are read again
    /// (P12).
    #[error("the replication slot {slot} is lost: {problem}")]
    SlotLost {
        /// The slot's name.
        slot: String,
        /// What became of it.
        problem: String,
    },
    /// A delete waits for an operator (P9).
    #[error("{}", .0.reason())]
    Halted(Box<crate::halt::Halt>),
    /// A row cannot be written as it is: the caller isolates it (P10).
    #[error("{context}: {cause}")]
    Data {
        /// What was being written.
        context: String,
        /// SQLSTATE, message and constraint.
        cause: String,
    },
    /// Another writer advanced the checkpoint or took the lock (P11): this one starts over as a waiter.
    #[error("another tributary daemon works on this target: {0}")]
    Superseded(String),
    /// Everything else, such as a bug or a permission that was taken away.
    #[error("{context}: {cause}")]
    Failed {
        /// What was being done.
        context: String,
        /// The cause, without row values.
        cause: String,
    },
}

impl Error {
    /// A refusal with its remedy.
    pub fn refused(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Refused { problem: problem.into(), remedy: remedy.into() }
    }

    /// A failure that no retry mends.
    pub fn failed(context: impl Into<String>, cause: impl fmt::Display) -> Self {
        Self::Failed { context: context.into(), cause: cause.to_string() }
    }

    /// A server that is away.
    pub fn unavailable(context: impl Into<String>, cause: impl fmt::Display) -> Self {
        Self::Unavailable { context: context.into(), cause: cause.to_string() }
    }

    /// Classifies a driver error. `context` says which server and what was being done.
    pub fn postgres(context: impl Into<String>, error: &tokio_postgres::Error) -> Self {
        let context = context.into();
        let cause = describe(error);
        let Some(db) = error.as_db_error() else {
            return if error.is_closed() || is_io(error) {
                Self::Unavailable { context, cause }
            } else {
                Self::Failed { context, cause }
            };
        };
        if db.code().code() == crate::session::SUPERSEDED {
            return Self::Superseded("it took over".into());
        }
        if raised_by_the_application(db) {
            return Self::Data { context, cause };
        }
        match &db.code().code()[..2] {
            "08" | "53" | "57" | "58" | "40" => Self::Unavailable { context, cause },
            class if is_about_data(class) => Self::Data { context, cause },
            _ if *db.code() == SqlState::LOCK_NOT_AVAILABLE
                || *db.code() == SqlState::OBJECT_IN_USE
                // A fail-over that is not finished, and a table that was altered under a prepared
                // statement: a new session mends both.
                || *db.code() == SqlState::READ_ONLY_SQL_TRANSACTION
                || *db.code() == SqlState::FEATURE_NOT_SUPPORTED =>
            {
                Self::Unavailable { context, cause }
            }
            _ => Self::Failed { context, cause },
        }
    }

    /// Whether `run` tries again after a pause. Refused data that was not isolated is among it: what is
    /// deferred to the commit since this session began is known to the next one.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Superseded(_) | Self::Data { .. })
    }

    /// The process exit code (SPEC §9).
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Unavailable { .. } => 69,
            Self::Config(_) => 78,
            _ => 1,
        }
    }
}

impl From<crate::decode::DecodeError> for Error {
    fn from(error: crate::decode::DecodeError) -> Self {
        match error {
            crate::decode::DecodeError::Halt { problem, remedy, .. } => {
                Self::Refused { problem, remedy }
            }
            other => Self::failed("reading from the source", other),
        }
    }
}

/// Whether an error of this SQLSTATE class is the row's own fault: bad data (21, 22), a constraint or a limit
/// (23, 44, 54), and whatever a trigger of the application refuses with (27, 2F, 38, 39, P0). An application may
/// also choose a class that PostgreSQL itself does not use.
fn is_about_data(class: &str) -> bool {
    const DATA: [&str; 10] = ["21", "22", "23", "27", "2F", "38", "39", "44", "54", "P0"];
    const OTHERS: [&str; 32] = [
        "00", "01", "02", "03", "08", "09", "0A", "0B", "0F", "0L", "0P", "0Z", "20", "24", "25",
        "26", "28", "2B", "2D", "34", "3B", "3D", "3F", "40", "42", "53", "55", "57", "58", "F0",
        "HV", "XX",
    ];
    DATA.contains(&class) || !OTHERS.contains(&class)
}

/// Whether a function of the application failed, such as a trigger on a target table: no statement of ours
/// calls one. What it raises may have any code; what happens to it while a server stops keeps its own.
fn raised_by_the_application(db: &DbError) -> bool {
    // The routine of the server that raised it has no translation, as the context has.
    let raised = db.routine() == Some("exec_stmt_raise");
    let class = &db.code().code()[..2];
    is_within_a_function(db)
        && (raised || !matches!(class, "08" | "40" | "53" | "55" | "57" | "58"))
}

fn is_within_a_function(db: &DbError) -> bool {
    db.where_().is_some_and(|at| at.contains("PL/pgSQL") || at.contains("SQL function"))
}

/// Attaches the context of a driver error.
pub trait Context<T> {
    /// Classifies the error, saying which server and what was being done.
    fn context(self, context: &str) -> Result<T>;
}

impl<T> Context<T> for std::result::Result<T, tokio_postgres::Error> {
    fn context(self, context: &str) -> Result<T> {
        self.map_err(|error| Error::postgres(context, &error))
    }
}

/// In place of a message that may quote what it likes.
const BY_THE_APPLICATION: &str = "raised by a function of the application";

/// A driver error without row values.
fn describe(error: &tokio_postgres::Error) -> String {
    let Some(db) = error.as_db_error() else {
        let mut text = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        return text;
    };
    // A message of class 22 quotes the offending value, and what a trigger raises may: only the code is told.
    let named = db.constraint().or(db.column()).is_some();
    let message = match &db.code().code()[..2] {
        _ if is_within_a_function(db) => BY_THE_APPLICATION,
        "22" => "invalid data",
        "23" if !named => "a constraint is violated",
        "21" | "23" | "44" | "54" => db.message(),
        class if is_about_data(class) => BY_THE_APPLICATION,
        _ => db.message(),
    };
    let constraint = db.constraint().map(|name| format!(", constraint {name}")).unwrap_or_default();
    format!("{message} (SQLSTATE {}{constraint})", db.code().code())
}

fn is_io(error: &tokio_postgres::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if cause.is::<std::io::Error>() {
            return true;
        }
        source = cause.source();
    }
    false
}
