//! Limits that a dry run is held against before a cut-over.

use super::Preview;
use crate::error::{Error, Result};

/// A limit of the dry run: `<figure><N` or `<figure>>N`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    figure: String,
    /// Whether more than the number is too many, or less too few.
    above: bool,
    number: u64,
}

impl Limit {
    /// Reads one.
    ///
    /// # Errors
    /// What to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let problem = || "write a figure, < or >, and a number, such as delete>100".to_owned();
        let at = text.find(['<', '>']).ok_or_else(problem)?;
        let (figure, rest) = text.split_at(at);
        let above = rest.starts_with('>');
        let number = rest[1..].trim().parse().map_err(|_| problem())?;
        let figure = figure.trim().to_owned();
        if figure.is_empty() { Err(problem()) } else { Ok(Self { figure, above, number }) }
    }

    /// What is passed, in words.
    ///
    /// # Errors
    /// A refusal where the dry run knows no such figure.
    pub fn passed(&self, found: &Preview) -> Result<Option<String>> {
        let tables = || found.tables.values();
        let value = match self.figure.as_str() {
            "delete" => tables().map(|table| table.delete + table.unsupported).sum(),
            "insert" => tables().map(|table| table.insert).sum(),
            "update" => tables().map(|table| table.update.total).sum(),
            name => match found.business.get(name) {
                Some(figure) => figure.found,
                None => return Err(self.unknown(found)),
            },
        };
        let is_passed = if self.above { value > self.number } else { value < self.number };
        let than = if self.above { "more" } else { "less" };
        Ok(is_passed.then(|| format!("{}: {value} is {than} than {}", self.figure, self.number)))
    }

    fn unknown(&self, found: &Preview) -> Error {
        let names: Vec<&str> = found.business.keys().map(String::as_str).collect();
        Error::refused(
            format!("a dry run has no figure {} to limit", self.figure),
            format!("name delete, insert, update or one of {}", names.join(", ")),
        )
    }
}

/// What stands in the way of the backfill that was predicted, in words: halts, and limits that are passed.
///
/// # Errors
/// As [`Limit::passed`].
pub fn limits_passed(found: &Preview, limits: &[Limit]) -> Result<Vec<String>> {
    let mut passed = found.halts.clone();
    for limit in limits {
        passed.extend(limit.passed(found)?);
    }
    Ok(passed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preview::Expectation;

    #[test]
    fn a_limit_is_a_figure_a_direction_and_a_number() {
        let limit =
            |figure: &str, above, number| Ok(Limit { figure: figure.into(), above, number });
        assert_eq!(Limit::parse("delete>100"), limit("delete", true, 100));
        assert_eq!(Limit::parse(" people < 9000"), limit("people", false, 9000));
        for text in ["", "people", "<1", "people<", "people<-1", "people=1", "people<x"] {
            assert!(Limit::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_limit_is_held_against_the_dry_run() {
        let mut found = Preview::default();
        found.business.insert("people".into(), Expectation { found: 10, ..Default::default() });
        let of_product = Expectation { found: 40, ..Default::default() };
        found.business.insert("successful_payments.p2p".into(), of_product);
        let passed = |text: &str| Limit::parse(text).unwrap().passed(&found).map(|p| p.is_some());
        for (text, expected) in [("<40", false), (">40", false), ("<41", true), (">39", true)] {
            assert_eq!(passed(&format!("successful_payments.p2p{text}")).unwrap(), expected);
        }
        assert!(passed("people<11").unwrap());
        assert!(!passed("people<10").unwrap());
        assert!(passed("people>9").unwrap());
        assert!(!passed("delete>0").unwrap());
        assert!(passed("dogs>0").is_err());
    }
}
