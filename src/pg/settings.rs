//! Session settings that decide how a value is written as text, and what a transaction sees.
//!
//! The stream, the chunk reader and look-ups by key must write one value in one way, or the same row
//! would give different facts (P3); so each of them pins these settings, whatever the server, database
//! or role has as its default. A writing transaction must see the epoch that it waited for (P11), which a
//! snapshot taken before is older than.

use crate::error::{Context, Result};
use crate::pg::Client;

/// Settings of every session.
const PINNED: [(&str, &str); 10] = [
    ("DateStyle", "ISO,MDY"),
    ("TimeZone", "UTC"),
    ("IntervalStyle", "postgres"),
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
    ("standard_conforming_strings", "on"),
    ("quote_all_identifiers", "off"),
    // Limits of the role or database are ones for the application's queries.
    ("statement_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("default_transaction_isolation", "read committed"),
];

/// The `options` start-up parameter that pins the settings, without a round trip of its own.
pub(crate) fn startup_options() -> String {
    PINNED.map(|(name, value)| format!("-c {name}={}", value.replace(' ', "\\ "))).join(" ")
}

/// Pins the limit that a server has from version 17 on: a start-up option that it does not know ends the session.
pub(crate) const NO_TRANSACTION_LIMIT: &str = "set transaction_timeout = 0";

/// Whether a server of this version (`server_version`, such as `17.4` or `18beta1`) has that limit.
pub(crate) fn limits_transactions(version: &str) -> bool {
    let major = version.split(|c: char| !c.is_ascii_digit()).next();
    major.and_then(|major| major.parse::<u32>().ok()).is_some_and(|major| major >= 17)
}

/// Takes texts as they are from a database without an encoding: the server would refuse to send bytes that are no UTF-8, and
/// everything would wait for one row (P10). They are read as U+FFFD.
pub(crate) const AS_THEY_ARE: &str = "select set_config('client_encoding', 'SQL_ASCII', false) \
     where getdatabaseencoding() = 'SQL_ASCII'";

/// Pins the settings of a session that reads rows with SQL. Row-level security is set to fail rather
/// than to hide rows, which would look like deletes. The settings stay for the rest of the session.
pub(crate) async fn pin(client: &Client) -> Result<()> {
    let set = |(name, value)| format!("set {name} = '{value}'; ");
    let more = "set row_security = off; ";
    let sql = PINNED.map(set).concat() + more + AS_THEY_ARE;
    client.batch_execute(&sql).await.context("source: session settings")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transactions_are_limited_from_version_17_on() {
        for (version, expected) in [
            ("17.0", true),
            ("18beta1", true),
            ("17.4 (Debian 17.4-1)", true),
            ("16.9", false),
            ("14.23-0", false),
            ("", false),
        ] {
            assert_eq!(limits_transactions(version), expected, "{version}");
        }
    }
}
