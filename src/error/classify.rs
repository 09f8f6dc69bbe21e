//! What a driver error is, by its SQLSTATE and where it was raised, and how it is reported without row values.

use tokio_postgres::error::{DbError, SqlState};

use super::ErrorKind;

pub(super) fn kind_of(db: &DbError) -> ErrorKind {
    if raised_by_the_application(db) || db.routine() == Some(REFUSES_ROW) {
        return ErrorKind::Data;
    }
    kind_of_code(db.code())
}

/// The server's own function that refuses a row by the check of a policy or view, which shares its code with a missing privilege.
const REFUSES_ROW: &str = "ExecWithCheckOptions";

/// "transaction_timeout": the session is ended.
const TRANSACTION_TIMEOUT: &str = "25P04";

fn kind_of_code(code: &SqlState) -> ErrorKind {
    match &code.code()[..2] {
        "08" | "53" | "57" | "58" | "40" => ErrorKind::Unavailable,
        class if is_about_data(class) => ErrorKind::Data,
        // A fail-over that is not finished is among them.
        _ if *code == SqlState::LOCK_NOT_AVAILABLE
            || *code == SqlState::OBJECT_IN_USE
            || *code == SqlState::READ_ONLY_SQL_TRANSACTION
            // The answer to what was sent along with the statement that failed, whose own answer says why.
            || *code == SqlState::IN_FAILED_SQL_TRANSACTION
            || *code == SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
            || code.code() == TRANSACTION_TIMEOUT =>
        {
            ErrorKind::Unavailable
        }
        // Also "cached plan must not change result type".
        _ if *code == SqlState::FEATURE_NOT_SUPPORTED => ErrorKind::Altered,
        _ => ErrorKind::Failed,
    }
}

/// Whether what a statement names is not there, or of another type.
pub(super) fn is_altered(code: &SqlState) -> bool {
    [
        SqlState::UNDEFINED_TABLE,
        SqlState::UNDEFINED_COLUMN,
        SqlState::INVALID_SCHEMA_NAME,
        SqlState::UNDEFINED_FUNCTION,
        SqlState::DATATYPE_MISMATCH,
        SqlState::CANNOT_COERCE,
        SqlState::WRONG_OBJECT_TYPE,
    ]
    .contains(code)
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
    let class = &db.code().code()[..2];
    let raised = db.routine() == Some(RAISE);
    raised || is_within_a_function(db) && !matches!(class, "08" | "40" | "53" | "55" | "57" | "58")
}

/// The server's own function that carries out RAISE, whatever the language of its messages.
const RAISE: &str = "exec_stmt_raise";

/// A context names the language that the function is written in, which no translation changes: PL/pgSQL,
/// PL/Python, SQL.
fn is_within_a_function(db: &DbError) -> bool {
    db.where_().is_some_and(|at| at.contains("SQL") || at.contains("PL/"))
}

/// In place of a message that may quote what it likes.
const BY_THE_APPLICATION: &str = "raised by a function of the application";

/// A driver error without row values.
pub(crate) fn describe(error: &tokio_postgres::Error) -> String {
    let Some(db) = error.as_db_error() else {
        let mut text = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            text = format!("{text}: {}", words(cause));
            source = cause.source();
        }
        return text;
    };
    // A message of class 22 quotes the offending value, and what a trigger raises may: only the code is reported.
    let named = db.constraint().or(db.column()).is_some();
    let message = match &db.code().code()[..2] {
        _ if is_within_a_function(db) => BY_THE_APPLICATION,
        "22" => "invalid data",
        "23" if !named => "a constraint is violated",
        "21" | "23" | "44" | "54" => db.message(),
        class if is_about_data(class) => BY_THE_APPLICATION,
        _ => db.message(),
    };
    // A constraint that RAISE names is a text of the application as its message is.
    let constraint = db.constraint().filter(|_| db.routine() != Some(RAISE));
    let constraint = constraint.map(|name| format!(", constraint {name}")).unwrap_or_default();
    format!("{message} (SQLSTATE {}{constraint})", db.code().code())
}

/// What a cause says of itself. A text that is no JSON, number or date may be quoted by whoever read it.
fn words(cause: &(dyn std::error::Error + 'static)) -> String {
    let quotes = cause.is::<serde_json::Error>()
        || cause.is::<rust_decimal::Error>()
        || cause.is::<jiff::Error>()
        || cause.is::<uuid::Error>();
    if quotes { "a value cannot be read".to_owned() } else { cause.to_string() }
}

pub(super) fn is_io(error: &tokio_postgres::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if cause.is::<std::io::Error>() {
            return true;
        }
        source = cause.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_says_what_kind_an_error_is() {
        let table = [
            ("08006", ErrorKind::Unavailable),
            ("57P01", ErrorKind::Unavailable),
            ("55P03", ErrorKind::Unavailable),
            ("25006", ErrorKind::Unavailable),
            ("25P02", ErrorKind::Unavailable),
            ("25P03", ErrorKind::Unavailable),
            ("25P04", ErrorKind::Unavailable),
            ("0A000", ErrorKind::Altered),
            ("22003", ErrorKind::Data),
            ("23505", ErrorKind::Data),
            ("P0001", ErrorKind::Data),
            ("APP01", ErrorKind::Data),
            ("42P01", ErrorKind::Failed),
            ("42501", ErrorKind::Failed),
            ("55000", ErrorKind::Failed),
            ("XX000", ErrorKind::Failed),
        ];
        for (code, kind) in table {
            assert_eq!(kind_of_code(&SqlState::from_code(code)), kind, "{code}");
        }
    }
}
