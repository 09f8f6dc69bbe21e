//! Numbers and dates as people write them in different countries, as texts that the rules and the server read.

use std::borrow::Cow;

use rust_decimal::Decimal;

use super::column::Column;
use super::convert::Reason;
use crate::facts::parse_amount;

/// A whole number of any size, as it is written; a fraction of zeros and an exponent are none.
pub(super) fn integer(text: &str, bits: u32) -> Result<String, Reason> {
    let text = text.trim();
    let limit = 1_i128 << (bits - 1);
    let fits = |number: i128| (-limit..limit).contains(&number);
    if is_plain_number(text) && !text.contains(['.', 'e', 'E']) {
        let number = text.parse::<i128>().ok().filter(|number| fits(*number));
        return number.map(|number| number.to_string()).ok_or("too large for the column");
    }
    let number = match parse_amount(text, 0) {
        Some(number) => number,
        None if is_plain_number(text) => {
            let number = text.parse().or_else(|_| Decimal::from_scientific(text));
            number.or(Err("too large for the column"))?
        }
        None => return Err("not a number"),
    };
    if !number.fract().is_zero() {
        return Err("not a whole number");
    }
    match number.trunc().mantissa() {
        number if fits(number) => Ok(number.to_string()),
        _ => Err("too large for the column"),
    }
}

/// A number as it is written, of any size: the server rounds it as the column does.
pub(super) fn number(text: &str, column: &Column) -> Result<String, Reason> {
    let text = text.trim();
    if is_plain_number(text) && !column.minor {
        return Ok(text.to_owned());
    }
    let parts = if column.minor { 2 } else { 0 };
    parse_amount(text, parts).map(|amount| amount.to_string()).ok_or("not a number")
}

/// Whether a text is a number as JSON writes it, which may begin with zeros.
fn is_plain_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let text = text.strip_prefix('-').unwrap_or(text);
    let (text, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    digits(whole) && digits(fraction) && digits(exponent)
}

/// A number with a comma before its fraction, as a number with a point; `None` where it is none.
pub(super) fn with_point(text: &str) -> Option<String> {
    let (whole, fraction) = text.rsplit_once(',')?;
    let is_whole = |c: char| c.is_ascii_digit() || matches!(c, '.' | ' ' | '\u{a0}' | '\'' | '-');
    let fits = whole.chars().all(is_whole) && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let whole: String = whole.chars().filter(|c| c.is_ascii_digit() || *c == '-').collect();
    fits.then(|| format!("{whole}.{fraction}"))
}

/// As the plan says that numbers are written.
pub(super) fn pointed<'t>(text: Cow<'t, str>, column: &Column) -> Cow<'t, str> {
    if !column.comma {
        return text;
    }
    match with_point(text.trim()) {
        Some(number) => Cow::Owned(number),
        // Points are between thousands.
        None => Cow::Owned(text.replace('.', "")),
    }
}

/// A date with points, which is always day, month and year, as the rules read one.
pub(super) fn dotted_date(text: &str) -> Option<String> {
    let text = text.trim();
    let (date, rest) = text.split_once([' ', ',']).map_or((text, ""), |(date, rest)| (date, rest));
    let mut parts = date.split('.');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    let digits = |part: &str, most: usize| {
        (1..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    let fits = parts.next().is_none()
        && digits(day, 2)
        && digits(month, 2)
        && year.len() == 4
        && digits(year, 4);
    fits.then(|| format!("{year}-{month:0>2}-{day:0>2} {}", rest.trim()).trim_end().to_owned())
}

pub(super) fn undotted(text: &str) -> Cow<'_, str> {
    dotted_date(text).map_or(Cow::Borrowed(text), Cow::Owned)
}
