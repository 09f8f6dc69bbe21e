//! Errors: what is known of one as fields, and what happens next in one table ([`ErrorKind::policy`]).
//!
//! Nothing is decided by the text of a message: a server writes it in the language of its `lc_messages`.
//! No message holds a customer value (P14): a PostgreSQL error is reported by its SQLSTATE, message and
//! constraint, never by its `detail`, `where` or internal query, which quote rows.

mod classify;

use std::fmt;

use tokio_postgres::error::SqlState;

pub(crate) use self::classify::describe;
use self::classify::{is_io, is_missing, kind_of};

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
    /// A statement does not fit what it is about any more: a table was altered under a prepared statement.
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
    /// What a feed was read from is not there any more. Nothing is touched until it is, or the configuration follows.
    #[error("{problem}\n  remedy: {remedy}")]
    Gone {
        /// What is gone.
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

/// The kinds of errors, by what is done about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// See [`Error::Unavailable`].
    Unavailable,
    /// See [`Error::Altered`].
    Altered,
    /// See [`Error::Config`].
    Config,
    /// See [`Error::Gone`].
    Gone,
    /// See [`Error::Refused`].
    Refused,
    /// See [`Error::SlotLost`].
    SlotLost,
    /// See [`Error::Halted`].
    Halted,
    /// See [`Error::Data`].
    Data,
    /// See [`Error::Superseded`].
    Superseded,
    /// See [`Error::Failed`].
    Failed,
}

/// What the daemon does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Opens new sessions, with backoff, for ever: the cause may heal by itself.
    Reconnect,
    /// Opens new sessions a bounded number of times, then halts: a new session knows the catalog as it is
    /// now, and what it does not heal a person must.
    ReconnectThenHalt,
    /// Stays up, halted, and looks again and again whether it is healed.
    HaltUntilHealed,
    /// Stays up, halted, until an operator accepts.
    Halt,
    /// Ends.
    Stop,
}

/// What happens after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// What the daemon does.
    pub next: Next,
    /// Whether a batch is applied again row by row, so that the refused ones are quarantined.
    pub quarantines: bool,
    /// Whether a command of an operator that met it is answered with it, instead of being served again.
    pub answers: bool,
    /// What a command exits with (SPEC §9).
    pub exit_code: u8,
}

impl ErrorKind {
    /// The word in metric labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Altered => "altered",
            Self::Config => "config",
            Self::Gone => "gone",
            Self::Refused => "refused",
            Self::SlotLost => "slot_lost",
            Self::Halted => "halted",
            Self::Data => "data",
            Self::Superseded => "superseded",
            Self::Failed => "failed",
        }
    }

    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::Unavailable,
        Self::Altered,
        Self::Config,
        Self::Gone,
        Self::Refused,
        Self::SlotLost,
        Self::Halted,
        Self::Data,
        Self::Superseded,
        Self::Failed,
    ];

    /// The table.
    #[must_use]
    pub fn policy(self) -> Policy {
        let (next, quarantines, answers, exit_code) = match self {
            Self::Unavailable => (Next::Reconnect, false, false, 69),
            Self::Altered => (Next::ReconnectThenHalt, false, false, 1),
            Self::Config => (Next::Stop, false, false, 78),
            Self::Gone => (Next::HaltUntilHealed, false, false, 78),
            Self::Refused => (Next::Stop, false, true, 1),
            Self::SlotLost => (Next::Reconnect, false, false, 1),
            Self::Halted => (Next::Halt, false, false, 1),
            Self::Data => (Next::ReconnectThenHalt, true, true, 1),
            Self::Superseded => (Next::Reconnect, false, false, 1),
            Self::Failed => (Next::Stop, false, true, 1),
        };
        Policy { next, quarantines, answers, exit_code }
    }
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
        let is_missing = error.code().is_some_and(is_missing);
        match kind {
            // A table of the source was dropped or altered: the next session finds out, and halts where it must.
            ErrorKind::Failed if is_missing && origin.server == Some(Server::Source) => {
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
            Self::Unavailable { .. } => ErrorKind::Unavailable,
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
        match error {
            crate::decode::DecodeError::Halt { problem, remedy, .. } => {
                Self::Refused { problem, remedy }
            }
            other => Self::failed("source: reading", other),
        }
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

    /// One table for all: what the daemon does, and what a command exits with (SPEC §9).
    #[test]
    fn every_kind_has_its_policy() {
        use ErrorKind as Kind;
        let table = [
            (Kind::Unavailable, Next::Reconnect, 69),
            (Kind::Altered, Next::ReconnectThenHalt, 1),
            (Kind::Config, Next::Stop, 78),
            (Kind::Gone, Next::HaltUntilHealed, 78),
            (Kind::Refused, Next::Stop, 1),
            (Kind::SlotLost, Next::Reconnect, 1),
            (Kind::Halted, Next::Halt, 1),
            (Kind::Data, Next::ReconnectThenHalt, 1),
            (Kind::Superseded, Next::Reconnect, 1),
            (Kind::Failed, Next::Stop, 1),
        ];
        assert_eq!(table.map(|(kind, ..)| kind), Kind::ALL);
        for (kind, next, exit_code) in table {
            let policy = kind.policy();
            assert_eq!((policy.next, policy.exit_code), (next, exit_code), "{kind:?}");
            assert_eq!(policy.quarantines, kind == Kind::Data, "{kind:?}");
        }
    }

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
