//! Amounts, exact or not at all (SPEC §3.8), and currencies (SPEC §3.9).

use std::borrow::Cow;

use rust_decimal::Decimal;

use super::clean::cleaned;
use super::row::ColumnKind;

/// Most digits before the point: an amount is below 10^15 (SPEC §3.8).
const INTEGER_DIGITS: usize = 15;

/// Most digits after the point (SPEC §3.8).
const FRACTION_DIGITS: usize = 10;

/// What may stand before the digits, the longest first.
const PESO_MARKS: [&str; 4] = ["PHP", "Php", "₱", "P"];

/// SPEC §3.8: the amount of a raw text; `None` where there is none or it is invalid. Never rounded; the
/// scale is kept as written. `parts`: the number counts parts of the unit, of which it has 10^`parts`.
pub(super) fn amount(raw: &str, kind: ColumnKind, parts: u32) -> Option<Decimal> {
    match kind {
        ColumnKind::Numeric => numeric(raw, parts),
        _ => written(raw, parts),
    }
}

/// SPEC §3.8: an amount as people write it, of a number of parts of the unit (two where it counts hundredths).
#[must_use]
pub fn parse_amount(raw: &str, parts: u32) -> Option<Decimal> {
    written(raw, parts)
}

/// Currencies by the number of decimals that ISO 4217 gives them, two where no list but the last names them.
const EXPONENTS: [(u32, &str); 4] = [
    (0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"),
    (3, "BHD IQD JOD KWD LYD OMR TND"),
    (4, "CLF UYW"),
    (
        2,
        "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE \
         CHF CHW CNY COP COU CRC CUC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD \
         HNL HRK HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP \
         MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR \
         SDG SEK SGD SHP SLE SLL SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED \
         VES WST XCD XCG YER ZAR ZMW ZWG ZWL",
    ),
];

/// SPEC §1: how many decimals a currency has by ISO 4217; `None` where that is not known.
pub(super) fn exponent(currency: &str) -> Option<u32> {
    let names = |codes: &str| codes.split(' ').any(|code| code == currency);
    EXPONENTS.iter().find(|(_, codes)| names(codes)).map(|(exponent, _)| *exponent)
}

/// SPEC §3.9: the clean uppercase currency, if any.
pub(super) fn currency(raw: &str) -> Option<String> {
    cleaned(raw).map(|text| text.to_uppercase())
}

/// An amount as people write it.
fn written(raw: &str, parts: u32) -> Option<Decimal> {
    let mut text = cleaned(raw)?;
    if text.contains(' ') {
        text.to_mut().retain(|c| c != ' ');
    }
    let digits = PESO_MARKS.iter().find_map(|mark| text.strip_prefix(mark)).unwrap_or(&text);
    let (negative, digits) = sign(digits);
    let (whole, fraction) = point(digits)?;
    exact(negative, &without_thousands(whole)?, fraction, 0, parts)
}

/// A number as PostgreSQL prints it, floats with an exponent included.
fn numeric(raw: &str, parts: u32) -> Option<Decimal> {
    let (negative, digits) = sign(raw.trim());
    let (digits, exponent) = match digits.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (digits, 0),
    };
    let (whole, fraction) = point(digits)?;
    exact(negative, whole, fraction, exponent, parts)
}

fn sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    }
}

/// The text before and after the point; a point needs digits after it.
fn point(digits: &str) -> Option<(&str, &str)> {
    match digits.split_once('.') {
        Some((_, "")) => None,
        Some(parts) => Some(parts),
        None => Some((digits, "")),
    }
}

/// `1,234,567` without its commas, if they stand in groups of three.
fn without_thousands(whole: &str) -> Option<Cow<'_, str>> {
    if !whole.contains(',') {
        return Some(Cow::Borrowed(whole));
    }
    let mut groups = whole.split(',');
    let head = groups.next()?;
    let mut digits = head.to_owned();
    for group in groups {
        if group.len() != 3 || head.is_empty() || head.len() > 3 {
            return None;
        }
        digits.push_str(group);
    }
    Some(Cow::Owned(digits))
}

/// The value of `whole.fraction` × 10^(exponent - parts), if it is within the limits of SPEC §3.8.
fn exact(
    negative: bool,
    whole: &str,
    fraction: &str,
    exponent: i32,
    parts: u32,
) -> Option<Decimal> {
    let is_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let digits = || whole.bytes().chain(fraction.bytes()).skip_while(|digit| *digit == b'0');
    let significant = digits().count();
    if significant == 0 {
        let scale = fraction.len() + usize::try_from(parts).ok()?;
        return (scale <= FRACTION_DIGITS)
            .then(|| Decimal::new(0, u32::try_from(scale).unwrap_or(0)));
    }
    let scale = i64::try_from(fraction.len()).ok()? - i64::from(exponent) + i64::from(parts);
    let places = usize::try_from(scale.max(0)).ok()?;
    let zeros = usize::try_from((-scale).max(0)).ok()?;
    if places > FRACTION_DIGITS
        || significant.saturating_add(zeros).saturating_sub(places) > INTEGER_DIGITS
    {
        return None;
    }
    let digits = digits().chain(std::iter::repeat_n(b'0', zeros));
    let value = digits.fold(0_i128, |value, digit| value * 10 + i128::from(digit - b'0'));
    let value = if negative { -value } else { value };
    Decimal::try_from_i128_with_scale(value, u32::try_from(places).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(kind: ColumnKind, raw: &str, expected: Option<&str>) {
        let found = amount(raw, kind, 0).map(|value| value.to_string());
        assert_eq!(found.as_deref(), expected, "{raw}");
    }

    #[test]
    fn written_amounts_are_read_as_spec_3_8_says() {
        let check = |raw: &str, expected: Option<&str>| check(ColumnKind::Text, raw, expected);
        check("1500", Some("1500"));
        check("1500.50", Some("1500.50"));
        check("1,500.00", Some("1500.00"));
        check("1,234,567.8", Some("1234567.8"));
        check("₱1,500", Some("1500"));
        check("₱ 1 500", Some("1500"));
        check("PHP 1,500.00", Some("1500.00"));
        check("Php1500", Some("1500"));
        check("P1500", Some("1500"));
        check("P -5", Some("-5"));
        check("₱ 1,234.50", Some("1234.50"));
        check("PHP-1,000.00", Some("-1000.00"));
        check("-1,000.00", Some("-1000.00"));
        check("P 12,345,678", Some("12345678"));
        check("00012.10", Some("12.10"));
        check("1, 234", Some("1234"));
        check("-999999999999999.9999999999", Some("-999999999999999.9999999999"));
        check("-5.25", Some("-5.25"));
        check("\u{a0}1\u{a0}500\u{feff}", Some("1500"));
        check("0", Some("0"));
        check("-0.00", Some("0.00"));
        check("007", Some("7"));
        check("999999999999999.9999999999", Some("999999999999999.9999999999"));
        check("0.0000000001", Some("0.0000000001"));
        check(&format!("{}1", "0".repeat(60)), Some("1"));
        for bad in [
            "1.000,00",
            "1e3",
            "1E3",
            "1,00",
            "1,0000",
            "1234,567",
            ",123",
            "1,,234",
            "1.",
            ".5",
            "-",
            "--5",
            "+5",
            "-₱5",
            "php5",
            "PHP₱5",
            "$5",
            "5 PHP",
            "5-",
            "(5)",
            "١٥",
            "１５",
            "1.5.5",
            "1,234.5,6",
            "NaN",
            "Infinity",
            "1_000",
            "0x10",
            "1000000000000000",
            "0.00000000001",
            "1.00000000000",
            "five",
            "P",
            "-1000000000000000",
            "−5",
            "1,234,56",
            "12,34,567",
            "1,000,000,000,000,000",
            "PHP",
            "PHP PHP5",
            "PhP5",
            "-PHP5",
            "P.50",
            "1,234.",
            "5₱",
        ] {
            check(bad, None);
        }
        check(&"9".repeat(100_000), None);
        for null in ["", "n/a", "-", "."] {
            check(null, None);
        }
    }

    #[test]
    fn numeric_columns_are_taken_as_they_are_spec_3_8() {
        let check = |raw: &str, expected: Option<&str>| check(ColumnKind::Numeric, raw, expected);
        check("1500.00", Some("1500.00"));
        check("-12", Some("-12"));
        check("1.5e+03", Some("1500"));
        check("1e-05", Some("0.00001"));
        check("999999999999999", Some("999999999999999"));
        check("1e+14", Some("100000000000000"));
        check("0", Some("0"));
        for bad in ["NaN", "Infinity", "-Infinity", "1e+15", "1e+20", "1e-11", "1e999999999999", ""]
        {
            check(bad, None);
        }
        check("1.00000000000", None);
        check("1e+2147483647", None);
        check("1e-2147483648", None);
    }

    #[test]
    fn currencies_are_uppercase_spec_3_9() {
        assert_eq!(currency(" php ").as_deref(), Some("PHP"));
        assert_eq!(currency("n/a"), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(raw in any::<String>()) {
            let _ = (amount(&raw, ColumnKind::Text, 0), amount(&raw, ColumnKind::Numeric, 0));
        }

        #[test]
        fn an_amount_is_its_own_text(raw in "[₱P]?-?[0-9]{0,17}([.,][0-9]{0,12}){0,2}(e[+-]?[0-9]{1,3})?") {
            for kind in [ColumnKind::Text, ColumnKind::Numeric] {
                if let Some(value) = amount(&raw, kind, 0) {
                    prop_assert_eq!(amount(&value.to_string(), kind, 0), Some(value));
                    prop_assert!(value.abs() < Decimal::from(1_000_000_000_000_000_i64));
                    prop_assert!(value.scale() <= 10);
                }
            }
        }
    }
}
