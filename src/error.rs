//! Errors: what is known of one as fields, and what happens next in one table ([`ErrorKind::policy`]).
//!
//! Nothing is decided by the text of a message: a server writes it in the language of its `lc_messages`.
//! No message holds a customer value (P14): a PostgreSQL error is reported by its SQLSTATE, message and
//! constraint, never by its `detail`, `where` or internal query, which quote rows.

mod classify;
mod policy;

use std::fmt;

use tokio_postgres::error::SqlState;

pub(crate) use self::classify::describe;
use self::classify::{is_altered, is_io, kind_of};
pub use self::policy::{ErrorKind, Next, Policy};

/// What `tributary.fence` refuses with (P11).
pub const SUPERSEDED: &str = "TRB01";

/// Result of everything that does I/O.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong. [`Error::kind`] is what decisions are made by.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A server is away, starting, stopping or overloaded.
    #[error("{context}: {cause}")]
    Unavailable {
        /// Which server, and what was being done.
        context: String,
        /// The driver's words, without row values.
        cause: String,
        /// What the driver said beside words.
        origin: Origin,
    },
    /// A statement does not fit what it is about any more: a table was altered or dropped under it.
    #[error("{context}: {cause}")]
    Altered {
        /// Which server, and what was being done.
        context: String,
        /// The driver's words, without row values.
        cause: String,
        /// What the driver said beside words.
        origin: Origin,
    },
    /// The configuration is wrong.
    #[error("{0}")]
    Config(String),
    /// What a feed was read from is not there any more, or what must be done first cannot be. Nothing is touched until it is, or the
    /// configuration follows.
    #[error("{problem}\n  remedy: {remedy}")]
    Gone {
        /// What is gone, or cannot be done.
        problem: String,
        /// What to do.
        remedy: String,
    },
    /// The daemon must not go on by itself; a person follows the remedy.
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
    /// The target refuses data: the caller finds the rows and quarantines them (P10).
    #[error("{context}: {cause}")]
    Data {
        /// What was being written.
        context: String,
        /// SQLSTATE, message and constraint.
        cause: String,
        /// What the driver said beside words.
        origin: Origin,
    },
    /// Another writer advanced the checkpoint or took the lock (P11): this one starts over as a waiter.
    #[error("another tributary daemon works on this target: {0}")]
    Superseded(String),
    /// What arrived cannot be decided before a reconcile has read its feeds. The stream loop lets it read first.
    #[error("a reconcile must have read its feeds first")]
    ReadsFirst,
    /// Everything else, such as a bug or a permission that was taken away.
    #[error("{context}: {cause}")]
    Failed {
        /// What was being done.
        context: String,
        /// The cause, without row values.
        cause: String,
        /// What the driver said beside words.
        origin: Origin,
    },
}

/// One of the two servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// Where the feeds are.
    Source,
    /// Where the profiles are.
    Target,
}

impl Server {
    /// The word in metric labels, and the first word of every context.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Target => "target",
        }
    }

    /// The server that a context of ours names: `target: reading the status`.
    fn of(context: &str) -> Option<Self> {
        let (name, _) = context.split_once(": ")?;
        [Self::Source, Self::Target].into_iter().find(|server| server.as_str() == name)
    }
}

/// Where an error came from, beside its words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// The server that it is about.
    pub server: Option<Server>,
    /// The code that it gave.
    pub code: Option<SqlState>,
}

impl Error {
    /// A refusal with its remedy.
    pub fn refused(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Refused { problem: problem.into(), remedy: remedy.into() }
    }

    /// A failure that no retry heals.
    pub fn failed(context: impl Into<String>, cause: impl fmt::Display) -> Self {
        let (context, cause) = (context.into(), cause.to_string());
        let origin = Origin { server: Server::of(&context), code: None };
        Self::Failed { context, cause, origin }
    }

    /// A server that is away.
    pub fn unavailable(context: impl Into<String>, cause: impl fmt::Display) -> Self {
        let (context, cause) = (context.into(), cause.to_string());
        let origin = Origin { server: Server::of(&context), code: None };
        Self::Unavailable { context, cause, origin }
    }

    /// Data that the target refuses.
    pub fn data(context: impl Into<String>, cause: impl fmt::Display) -> Self {
        let (context, cause) = (context.into(), cause.to_string());
        let origin = Origin { server: Server::of(&context), code: None };
        Self::Data { context, cause, origin }
    }

    /// Classifies a driver error. `context` says which server and what was being done.
    pub fn postgres(context: impl Into<String>, error: &tokio_postgres::Error) -> Self {
        let (context, cause) = (context.into(), describe(error));
        let kind = match error.as_db_error() {
            Some(db) if db.code().code() == SUPERSEDED => {
                return Self::Superseded("it took over".into());
            }
            Some(db) => kind_of(db),
            None if error.is_closed() || is_io(error) => ErrorKind::Unavailable,
            None => ErrorKind::Failed,
        };
        let origin = Origin { server: Server::of(&context), code: error.code().cloned() };
        let is_altered = error.code().is_some_and(is_altered);
        match kind {
            // A table was dropped or altered under a statement: the next session finds out, and halts where it must.
            ErrorKind::Failed if is_altered && origin.server.is_some() => {
                Self::Altered { context, cause, origin }
            }
            ErrorKind::Unavailable => Self::Unavailable { context, cause, origin },
            ErrorKind::Altered => Self::Altered { context, cause, origin },
            ErrorKind::Data => Self::Data { context, cause, origin },
            _ => Self::Failed { context, cause, origin },
        }
    }

    /// What decisions are made by.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unavailable { .. } | Self::ReadsFirst => ErrorKind::Unavailable,
            Self::Altered { .. } => ErrorKind::Altered,
            Self::Config(_) => ErrorKind::Config,
            Self::Gone { .. } => ErrorKind::Gone,
            Self::Refused { .. } => ErrorKind::Refused,
            Self::SlotLost { .. } => ErrorKind::SlotLost,
            Self::Halted(_) => ErrorKind::Halted,
            Self::Data { .. } => ErrorKind::Data,
            Self::Superseded(_) => ErrorKind::Superseded,
            Self::Failed { .. } => ErrorKind::Failed,
        }
    }

    /// What happens next.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.kind().policy()
    }

    /// Whether a command of an operator that met it is answered with it. One that asks for what is not in the target would halt
    /// the daemon if it were served again and again.
    #[must_use]
    pub fn answers_commands(&self) -> bool {
        let is_refusal =
            self.server() == Some(Server::Target) && self.code().is_some_and(is_altered);
        self.policy().answers || is_refusal
    }

    fn origin(&self) -> Option<&Origin> {
        match self {
            Self::Unavailable { origin, .. }
            | Self::Altered { origin, .. }
            | Self::Data { origin, .. }
            | Self::Failed { origin, .. } => Some(origin),
            _ => None,
        }
    }

    /// The server that it is about, where that is known.
    #[must_use]
    pub fn server(&self) -> Option<Server> {
        match self {
            Self::SlotLost { .. } => Some(Server::Source),
            Self::Superseded(_) => Some(Server::Target),
            other => other.origin()?.server,
        }
    }

    /// The SQLSTATE that the server gave.
    #[must_use]
    pub fn code(&self) -> Option<&SqlState> {
        self.origin()?.code.as_ref()
    }

    /// What a person must do, where that is known.
    #[must_use]
    pub fn remedy(&self) -> Option<&str> {
        match self {
            Self::Refused { remedy, .. } | Self::Gone { remedy, .. } => Some(remedy),
            _ => None,
        }
    }

    /// The same, as something that a new session may heal.
    #[must_use]
    pub fn into_unavailable(self) -> Self {
        match self {
            Self::Failed { context, cause, origin } | Self::Altered { context, cause, origin } => {
                Self::Unavailable { context, cause, origin }
            }
            other => other,
        }
    }

    /// Whether `run` tries again after a pause. Refused data that was not quarantined is among it: what is
    /// deferred to the commit since this session began is known to the next one.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.policy().next, Next::Reconnect | Next::ReconnectThenHalt)
    }

    /// The process exit code (SPEC §9).
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.policy().exit_code
    }
}

impl From<crate::decode::DecodeError> for Error {
    fn from(error: crate::decode::DecodeError) -> Self {
        Self::failed("source: reading", error)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_and_the_remedy_are_fields() {
        let unavailable = Error::unavailable("target: committing", "away");
        assert_eq!(unavailable.server(), Some(Server::Target));
        assert_eq!(Error::failed("source: reading", "x").server(), Some(Server::Source));
        assert_eq!(Error::failed("writing JSON", "target: x").server(), None);
        assert_eq!(Error::refused("no", "do this").remedy(), Some("do this"));
        let lost = Error::SlotLost { slot: "s".into(), problem: "gone".into() };
        assert_eq!(lost.server(), Some(Server::Source));
    }
}
