//! The kinds of errors, and what happens after one of each.

/// The kinds of errors, by what is done about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// See [`super::Error::Unavailable`].
    Unavailable,
    /// See [`super::Error::Altered`].
    Altered,
    /// See [`super::Error::Config`].
    Config,
    /// See [`super::Error::Gone`].
    Gone,
    /// See [`super::Error::Refused`].
    Refused,
    /// See [`super::Error::SlotLost`].
    SlotLost,
    /// See [`super::Error::Halted`].
    Halted,
    /// See [`super::Error::Data`].
    Data,
    /// See [`super::Error::Superseded`].
    Superseded,
    /// See [`super::Error::Failed`].
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
}
