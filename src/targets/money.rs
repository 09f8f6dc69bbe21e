//! What a column keeps of an amount: money is never rounded (SPEC §3.8), as a narrower type would do silently.

use crate::engine::diff::Digits;

/// How much of an amount a column keeps; `None`: all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Keeps {
    /// Digits after the point.
    after_point: Option<u32>,
    /// Digits from the first to the last that is not 0.
    significant: Option<u32>,
}

impl Keeps {
    /// By the type of the column. An integer refuses what it cannot hold by itself.
    pub(super) fn of(kind: Option<&String>) -> Self {
        match kind.map_or("", String::as_str) {
            "money" => Self { after_point: Some(2), ..Self::default() },
            "real" => Self { significant: Some(6), ..Self::default() },
            "double precision" => Self { significant: Some(15), ..Self::default() },
            kind => Self { after_point: scale(kind), ..Self::default() },
        }
    }

    /// Whether it keeps an amount as it is.
    pub(super) fn all(self, amount: Digits) -> bool {
        self.after_point.is_none_or(|most| amount.after_point <= most)
            && self.significant.is_none_or(|most| amount.significant <= most)
    }
}

/// Digits after the point: 2 of `numeric(10,2)`, 0 of `numeric(10)`.
fn scale(kind: &str) -> Option<u32> {
    let precision = kind.strip_prefix("numeric(")?.strip_suffix(')')?;
    precision.split_once(',').map_or(Some(0), |(_, scale)| scale.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_that_would_round_does_not_keep_an_amount() {
        let keeps = |kind: &str, amount: &str| {
            let amount = amount.parse().unwrap();
            Keeps::of(Some(&kind.to_owned())).all(Digits::of(amount))
        };
        for (kind, kept, rounded) in [
            ("numeric(10,2)", "1499.50", "5.255"),
            ("numeric(10)", "5.0", "5.5"),
            ("money", "5.25", "5.255"),
            ("real", "150000", "1499.995"),
            ("double precision", "99999999999999.5", "99999999999999.25"),
        ] {
            assert!(keeps(kind, kept) && !keeps(kind, rounded), "{kind}");
        }
        assert!(keeps("numeric", "0.0000000001") && keeps("bigint", "5.5"));
        assert!(keeps("real", "0") && keeps("real", "-100000000000000"));
        assert_eq!(Keeps::of(None), Keeps::default());
    }
}
