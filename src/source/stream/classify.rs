//! What an error of the replication client means.

use pgwire_replication::error::PgWireError;

use super::CONTEXT;
use crate::error::Error;

/// How far a stream has come: what an object that does not exist is depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The slot is looked for.
    Starting,
    /// The slot is held, so the publication is what can be missing.
    Streaming,
}

/// Sorts an error by what happens next. The library puts the code of a server's error at the end of the
/// message; the message itself, in whatever language, decides nothing.
pub(super) fn classify(error: &PgWireError, stage: Stage, slot: &str, publication: &str) -> Error {
    let PgWireError::Server(text) = error else {
        let cause = error.to_string();
        let severed = ["eof", "reset", "broken pipe", "close_notify"];
        let severed = severed.iter().any(|word| cause.to_lowercase().contains(word));
        return match error {
            PgWireError::Io(_) | PgWireError::Internal(_) => Error::unavailable(CONTEXT, cause),
            PgWireError::Tls(_) if severed => Error::unavailable(CONTEXT, cause),
            _ => Error::failed(CONTEXT, cause),
        };
    };
    let (message, code) = match text.rsplit_once(" (SQLSTATE ") {
        Some((message, code)) => (message, code.trim_end_matches(')')),
        None => (text.as_str(), ""),
    };
    let lost = || Error::SlotLost { slot: slot.to_owned(), problem: message.to_owned() };
    match (code, code.get(..2).unwrap_or("")) {
        // No new session heals that, and a daemon that ended would end again at each start.
        ("42704", _) if stage == Stage::Streaming => Error::Gone {
            problem: format!(
                "source: the publication {publication} does not exist, or did not exist when a change that is still to be sent was made"
            ),
            remedy: "run `tributary slot drop`: the daemon makes publication and slot again and reads all feeds".to_owned(),
        },
        ("42704", _) | ("58P01", _) => lost(),
        // The slot is not fit to be read: the next session looks in the catalog why.
        ("55000" | "55006", _) | (_, "08" | "53" | "57" | "58" | "40") => {
            Error::unavailable(CONTEXT, text)
        }
        // Such a message quotes the value that is wrong (P14).
        (_, "22") => Error::failed(CONTEXT, format!("invalid data (SQLSTATE {code})")),
        _ => Error::failed(CONTEXT, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn errors_are_sorted_by_what_happens_next() {
        let kind = |text: &str, stage: Stage| {
            classify(&PgWireError::Server(text.into()), stage, "s", "p").kind()
        };
        let table = [
            ("replication slot \"s\" is active for PID 7 (SQLSTATE 55006)", ErrorKind::Unavailable),
            ("can no longer get changes from slot \"s\" (SQLSTATE 55000)", ErrorKind::Unavailable),
            (
                "requested WAL segment has already been removed (SQLSTATE 58P01)",
                ErrorKind::SlotLost,
            ),
            ("terminating connection (SQLSTATE 57P01)", ErrorKind::Unavailable),
            ("the database system is starting up (SQLSTATE 57P03)", ErrorKind::Unavailable),
            ("password authentication failed (SQLSTATE 28P01)", ErrorKind::Failed),
        ];
        for (text, expected) in table {
            for stage in [Stage::Starting, Stage::Streaming] {
                assert_eq!(kind(text, stage), expected, "{text} {stage:?}");
            }
        }
        // In any language: a slot is missing before the stream has started, a publication after.
        for text in ["does not exist (SQLSTATE 42704)", "existiert nicht (SQLSTATE 42704)"] {
            assert_eq!(kind(text, Stage::Starting), ErrorKind::SlotLost);
            assert_eq!(kind(text, Stage::Streaming), ErrorKind::Gone);
        }
        let hidden = PgWireError::Server("bad \"x@example.com\" (SQLSTATE 22021)".into());
        let hidden = classify(&hidden, Stage::Streaming, "s", "p");
        assert!(!hidden.to_string().contains("example"));
    }
}
