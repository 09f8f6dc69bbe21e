//! What the catalog says of a table, and the checksum of its rows.

use crate::config::{Config, quote_identifier};
use crate::error::{Error, Result};
use crate::pg::Db;

/// The target tables that the daemon writes, those that others refer to first: role and quoted name.
pub(super) fn written(config: &Config) -> [(&'static str, String); 4] {
    let target = &config.target;
    [
        ("profiles", target.profiles.quoted()),
        ("courses", target.courses.quoted()),
        ("transactions", target.transactions.quoted()),
        ("enrollments", target.enrollments.quoted()),
    ]
}

/// A table as the catalog has it.
pub(super) struct Found {
    pub(super) columns: Vec<String>,
    /// Columns that nobody may write.
    pub(super) generated: Vec<String>,
    /// Columns that nobody may update.
    pub(super) always: Vec<String>,
    /// Whether this role may alter it.
    pub(super) owns: bool,
    pub(super) bytes: i64,
}

/// Reads the catalog.
///
/// # Errors
/// A refusal where the table is missing or hides rows; those of the target.
pub(super) async fn find(db: &Db, table: &str) -> Result<Found> {
    let sql = include_str!("sql/columns.sql");
    let rows = db.query("target: reading the catalog", sql, &[&table]).await?;
    let Some(row) = rows.first() else {
        return Err(Error::refused(
            format!("there is no table {table}"),
            "run `tributary migrate`, or correct the [target] section",
        ));
    };
    if row.get("hides") {
        return Err(Error::refused(
            format!("row-level security hides rows of {table} from the daemon's role"),
            "let the role bypass it (alter role … bypassrls) or own the table",
        ));
    }
    Ok(Found {
        columns: row.get("columns"),
        generated: row.get("generated"),
        always: row.get("always"),
        owns: row.get("owns"),
        bytes: row.get("bytes"),
    })
}

/// The columns of one of the daemon's own tables.
///
/// # Errors
/// Those of the target.
pub(super) async fn find_own(db: &Db, name: &str) -> Result<Vec<String>> {
    let sql = format!(
        "select array(select a.attname::text from pg_attribute a where a.attrelid = 'tributary.{name}'::regclass \
         and a.attnum > 0 and not a.attisdropped order by a.attnum)"
    );
    let rows = db.query("target: reading the catalog", &sql, &[]).await?;
    Ok(rows.first().map(|row| row.get(0)).unwrap_or_default())
}

/// `a.x, a.y` of these columns.
pub(super) fn list(alias: &str, columns: &[String]) -> String {
    let each = columns.iter().map(|column| format!("{alias}.{}", quote_identifier(column)));
    each.collect::<Vec<_>>().join(", ")
}

/// A row of these columns as one text, in which any difference shows: also 1.0 for 1.00.
pub(super) fn text(alias: &str, columns: &[String]) -> String {
    format!("row({})::text", list(alias, columns))
}

/// Rows and checksum of a table, in whatever order the rows lie.
///
/// # Errors
/// Those of the target.
pub(super) async fn checksum(db: &Db, table: &str, columns: &[String]) -> Result<(i64, String)> {
    let sql = format!(
        "select count(*), md5(concat(sum(hashtextextended(r.text, 0)::numeric), '/', \
             sum(hashtextextended(r.text, 1)::numeric))) \
         from (select {} as text from {table} t) r",
        text("t", columns)
    );
    let rows = db.query("target: adding rows up", &sql, &[]).await?;
    let row = rows.first().ok_or_else(|| Error::failed("target: adding rows up", "no row"))?;
    Ok((row.get(0), row.get(1)))
}
