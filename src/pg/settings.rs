//! Session settings that decide how a value is written as text, and what a transaction sees.
//!
//! The stream, the chunk reader and look-ups by key must write one value in one way, or the same row
//! would give different facts (P3); so each of them pins these settings, whatever the server, database
//! or role has as its default. A writing transaction must see the epoch that it waited for (P11), which a
//! snapshot taken before is older than.

use crate::error::{Context, Result};
use crate::pg::Client;

/// Settings of every session.
const PINNED: [(&str, &str); 9] = [
    ("DateStyle", "ISO,MDY"),
    ("TimeZone", "UTC"),
    ("IntervalStyle", "postgres"),
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
    ("standard_conforming_strings", "on"),
    ("quote_all_identifiers", "off"),
    // A limit of the role or database is one for the application's queries.
    ("statement_timeout", "0"),
    ("default_transaction_isolation", "read committed"),
];

/// The `options` start-up parameter that pins the settings, without a round trip of its own.
pub(crate) fn startup_options() -> String {
    PINNED.map(|(name, value)| format!("-c {name}={}", value.replace(' ', "\\ "))).join(" ")
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
