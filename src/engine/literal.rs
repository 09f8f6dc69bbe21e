//! Values as the text that PostgreSQL reads.

use jiff::{Timestamp, civil, tz::TimeZone};

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

/// A date as PostgreSQL reads it; years before 1 in its `BC` form.
#[must_use]
pub fn date(value: civil::Date) -> String {
    if value.year() >= 1 {
        return value.to_string();
    }
    format!("{:04}-{:02}-{:02} BC", 1 - value.year(), value.month(), value.day())
}

/// A text array literal.
#[must_use]
pub fn array(values: &[String]) -> String {
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
    fn what_is_before_the_era_is_written_as_postgresql_reads_it() {
        let old: Timestamp = "-000008-03-01T00:00:00Z".parse().unwrap();
        assert_eq!(instant(old), "0009-03-01 00:00:00+00 BC");
        assert_eq!(date(civil::date(-43, 3, 15)), "0044-03-15 BC");
        assert_eq!(date(civil::date(0, 12, 31)), "0001-12-31 BC");
        assert_eq!(date(civil::date(1, 1, 1)), "0001-01-01");
        let new: Timestamp = "2025-06-30T04:02:24Z".parse().unwrap();
        assert_eq!(instant(new), "2025-06-30T04:02:24Z");
    }
}
