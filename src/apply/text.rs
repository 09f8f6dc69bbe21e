//! Values as the text PostgreSQL reads, and rows as one text array a column: the shape in which sets of
//! rows travel to `unnest`.

use jiff::{Timestamp, civil, tz::TimeZone};
use rayon::prelude::*;

/// Rows as columns of text, ready to be parameters of `unnest($1::text[], $2::text[], …)`.
pub struct TextColumns {
    columns: Vec<Vec<Option<String>>>,
}

impl TextColumns {
    /// No rows yet, with this many columns.
    #[must_use]
    pub fn new(width: usize) -> Self {
        Self { columns: vec![Vec::new(); width] }
    }

    /// The columns of these items, a row each, made on all cores: it is most of the daemon's own work.
    pub(super) fn of<T: Sync, const N: usize>(
        items: &[T],
        row: impl Fn(&T) -> [Option<String>; N] + Sync + Send,
    ) -> Self {
        let rows: Vec<[Option<String>; N]> = items.par_iter().map(row).collect();
        let mut columns = Self { columns: vec![Vec::with_capacity(rows.len()); N] };
        for row in rows {
            columns.push(row);
        }
        columns
    }

    /// Adds a row of as many values as there are columns.
    pub fn push<const N: usize>(&mut self, row: [Option<String>; N]) {
        debug_assert_eq!(N, self.columns.len());
        for (column, value) in self.columns.iter_mut().zip(row) {
            column.push(value);
        }
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.columns.first().is_none_or(Vec::is_empty)
    }

    /// The parameters, one a column.
    #[must_use]
    pub fn params(&self) -> Vec<super::db::Param<'_>> {
        self.columns.iter().map(|column| column as super::db::Param<'_>).collect()
    }
}

/// `$1::text[], …, $n::text[]`.
#[must_use]
pub fn text_params(count: usize) -> String {
    (1..=count).map(|n| format!("${n}::text[]")).collect::<Vec<_>>().join(", ")
}

/// An instant as PostgreSQL reads it; years before 1 in its `BC` form.
#[must_use]
pub fn instant(value: Timestamp) -> String {
    let local = value.to_zoned(TimeZone::UTC).datetime();
    if local.year() >= 1 {
        return value.to_string();
    }
    let date = local.date();
    format!("{:04}-{:02}-{:02} {}+00 BC", 1 - date.year(), date.month(), date.day(), local.time())
}

/// A date as PostgreSQL reads it. Dates come from instants of this era only.
#[must_use]
pub(super) fn date(value: civil::Date) -> String {
    value.to_string()
}

/// A text array literal.
#[must_use]
pub(super) fn array(values: &[String]) -> String {
    let mut literal = String::from("{");
    for (i, value) in values.iter().enumerate() {
        if i > 0 {
            literal.push(',');
        }
        literal.push('"');
        for c in value.chars() {
            if matches!(c, '"' | '\\') {
                literal.push('\\');
            }
            literal.push(c);
        }
        literal.push('"');
    }
    literal.push('}');
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn array_literals_quote_what_postgresql_would_interpret() {
        let table: [(&[&str], &str); 4] = [
            (&[], "{}"),
            (&["a"], "{\"a\"}"),
            (&["a,b", "NULL"], "{\"a,b\",\"NULL\"}"),
            (&["q\"b\\"], "{\"q\\\"b\\\\\"}"),
        ];
        for (values, expected) in table {
            let values: Vec<String> = values.iter().map(|v| (*v).to_owned()).collect();
            assert_eq!(array(&values), expected);
        }
    }

    #[test]
    fn instants_before_the_era_are_written_as_postgresql_reads_them() {
        let old: Timestamp = "-000008-03-01T00:00:00Z".parse().unwrap();
        assert_eq!(instant(old), "0009-03-01 00:00:00+00 BC");
        let new: Timestamp = "2025-06-30T04:02:24Z".parse().unwrap();
        assert_eq!(instant(new), "2025-06-30T04:02:24Z");
    }
}
