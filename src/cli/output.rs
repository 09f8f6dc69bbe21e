//! Everything that a command writes: results to standard output, errors to standard error, and how the
//! process ends. No other file of the command line prints.
//!
//! A reader that has seen enough (`| head`) is no failure: what could not be written is left out, and the
//! command ends as if it had been. Tables are plain columns that a person reads and `grep` and `awk`
//! understand; there are no colours.

use std::io::{self, IsTerminal as _, Write};
use std::process::ExitCode;

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use tokio_postgres::error::SqlState;

use crate::error::{Error, Result, Server};
use crate::facts::visible;

/// Exit code where differences were found, or a point of a check failed (SPEC §9).
const DIFFERENCES: u8 = 3;

/// Writes a result to standard output.
///
/// # Errors
/// A disk that is full, for instance; never a pipe that was closed.
pub(crate) fn print(text: &str) -> Result<()> {
    quietly(write_all(&mut io::stdout().lock(), text))
        .map_err(|error| Error::failed("writing the result", error))
}

/// Writes an error with its remedy to standard error, and returns the code to end with.
pub fn report(error: &Error) -> ExitCode {
    let remedy = remedy(error).map(|text| format!("  remedy: {text}\n")).unwrap_or_default();
    // Where even that cannot be written the code alone must do.
    let _ = write_all(&mut io::stderr().lock(), &format!("error: {error}\n{remedy}"));
    ExitCode::from(error.exit_code())
}

/// What to do about an error of a server that does not say so itself.
fn remedy(error: &Error) -> Option<String> {
    let server = error.server()?;
    let (name, variable) = (server.as_str(), server.as_str().to_uppercase());
    let code = error.code();
    let is = |known: &[SqlState]| code.is_some_and(|code| known.contains(code));
    if is(&[SqlState::QUERY_CANCELED]) {
        return Some(format!(
            "somebody at the {name} server, or a limit there, ended the statement: repeat"
        ));
    }
    // Also where pg_hba.conf has no line for role, host and encryption.
    if is(&[SqlState::INVALID_AUTHORIZATION_SPECIFICATION]) {
        return Some(format!(
            "correct user and sslmode in the [{name}] section, or TRIBUTARY_{variable}_URL; or let the role in from here (pg_hba.conf of the {name} server)"
        ));
    }
    if is(&[SqlState::INVALID_CATALOG_NAME, SqlState::INVALID_PASSWORD]) {
        return Some(format!(
            "correct database, user and password in the [{name}] section, or TRIBUTARY_{variable}_URL"
        ));
    }
    if is(&[SqlState::FEATURE_NOT_SUPPORTED]) {
        return Some(
            "a table was altered meanwhile: repeat; where that does not help, it is of a kind that cannot do this"
                .to_owned(),
        );
    }
    match error {
        Error::Unavailable { .. } => Some(format!(
            "start the {name} server, or correct its address: host and port in the [{name}] section, or TRIBUTARY_{variable}_URL"
        )),
        Error::Altered { .. } if server == Server::Target => Some(
            "a table was altered or dropped: run `tributary migrate`, or `tributary backfill` after a rollback, then repeat"
                .to_owned(),
        ),
        Error::Altered { .. } => {
            Some("a table was altered or dropped: look at `tributary check`".to_owned())
        }
        _ => None,
    }
}

fn write_all(to: &mut impl Write, text: &str) -> io::Result<()> {
    to.write_all(text.as_bytes())?;
    to.flush()
}

fn quietly(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// JSON for people and programs, with a line end.
///
/// # Errors
/// A value that JSON cannot hold.
pub(super) fn json(value: &impl Serialize) -> Result<String> {
    let text = serde_json::to_string_pretty(value);
    text.map(|text| text + "\n").map_err(|error| Error::failed("writing JSON", error))
}

/// How a command ends that compares or checks.
pub(super) fn exit(nothing_found: bool) -> ExitCode {
    if nothing_found { ExitCode::SUCCESS } else { ExitCode::from(DIFFERENCES) }
}

/// A table with these column heads. On a terminal long cells wrap to its width; elsewhere a row is a line.
pub(super) fn table(heads: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if std::io::stdout().is_terminal() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    if !heads.is_empty() {
        table.set_header(heads.to_vec());
    }
    table
}

/// The table as text that ends with a line end.
pub(super) fn text(table: &Table) -> String {
    let mut text = String::new();
    for line in table.lines() {
        // Cells are padded on both sides; the outer padding says nothing.
        text.push_str(line.strip_prefix(' ').unwrap_or(&line).trim_end());
        text.push('\n');
    }
    text
}

/// A raw value as a cell: what does not show is made visible, so that it cannot steer the terminal either.
pub(super) fn cell(value: &str) -> String {
    visible(value)
}

/// As [`cell`], of a text of several lines.
pub(super) fn cell_lines(text: &str) -> String {
    text.lines().map(cell).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_no_failure_and_a_full_disk_is() {
        let check = |kind: io::ErrorKind, expected: bool| {
            assert_eq!(quietly(Err(kind.into())).is_ok(), expected, "{kind:?}");
        };
        check(io::ErrorKind::BrokenPipe, true);
        check(io::ErrorKind::StorageFull, false);
    }

    #[test]
    fn a_value_cannot_steer_the_terminal() {
        let mut rows = table(&["A", "B"]);
        rows.add_row([cell("x\u{1b}[31m"), "y".to_owned()]);
        let text = text(&rows);
        assert!(!text.contains('\u{1b}') && text.ends_with('\n'), "{text:?}");
        assert!(text.lines().all(|line| line == line.trim_end()), "{text:?}");
    }
}
