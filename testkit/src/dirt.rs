//! What goes wrong with values on their way into the source tables. Every damage here has a rule in
//! SPEC §3 that normalises it or reports it.

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

use crate::random::Random;

/// How often each kind of value is damaged, as a share from 0 to 1.
#[derive(Debug, Clone, Copy)]
pub struct DirtRates {
    /// E-mail texts.
    pub email: f64,
    /// Names.
    pub name: f64,
    /// Phones.
    pub phone: f64,
    /// Texts of instants.
    pub timestamp: f64,
    /// Amounts, currencies, statuses and descriptions.
    pub payment: f64,
    /// Webhook retries, shared external ids and contact ids, second contact rows.
    pub duplicate: f64,
}

impl Default for DirtRates {
    /// What a production table looks like: a few rows in a hundred.
    fn default() -> Self {
        Self {
            email: 0.04,
            name: 0.12,
            phone: 0.25,
            timestamp: 0.05,
            payment: 0.03,
            duplicate: 0.02,
        }
    }
}

impl DirtRates {
    /// Every kind of dirt in many rows, to meet all rules in a small table.
    #[must_use]
    pub fn heavy() -> Self {
        Self { email: 0.25, name: 0.4, phone: 0.6, timestamp: 0.4, payment: 0.25, duplicate: 0.15 }
    }

    /// Nothing but well-formed values.
    #[must_use]
    pub fn none() -> Self {
        Self { email: 0.0, name: 0.0, phone: 0.0, timestamp: 0.0, payment: 0.0, duplicate: 0.0 }
    }
}

/// Damages an address. Some kinds keep its key (SPEC §3.2), some take it away.
pub(crate) fn email(random: &mut Random, address: &str) -> Option<String> {
    let (local, domain) = address.split_once('@').unwrap_or((address, "example.com"));
    Some(match random.below(20) {
        0 => address.to_uppercase(),
        1 => format!("  {address}\t"),
        2 => format!("\u{a0}{address}\u{a0}"),
        3 => format!("{local}\u{200b}@{domain}"),
        4 => format!("mailto:{address}"),
        5 => format!("MailTo:{address};"),
        6 => format!("Made Up <{address}>"),
        7 => format!("\u{201c}{address}\u{201d}"),
        8 => format!("{address}."),
        9 => format!("{local}@{}", domain.to_uppercase()),
        10 => format!("{local}+promo@{domain}"),
        11 => format!("\u{202e}{address}"),
        12 => format!("{address}, second.{address}"),
        13 => format!("{local}.{domain}"),
        14 => address.replace('@', "@@"),
        15 => address.replacen('a', "\u{430}", 1),
        16 => "n/a".into(),
        17 => String::new(),
        18 => format!("{local}@localhost"),
        _ => return None,
    })
}

/// Damages a first or last name.
pub(crate) fn name(random: &mut Random, name: &str) -> Option<String> {
    Some(match random.below(9) {
        0 | 1 => name.to_uppercase(),
        2 | 3 => name.to_lowercase(),
        4 => format!(" {name}\u{a0} "),
        5 => mojibake(name),
        6 => format!("{name}\u{200d}"),
        7 => "N/A".into(),
        _ => return None,
    })
}

/// Damages a full name, as payers type it.
pub(crate) fn full_name(random: &mut Random, first: &str, last: &str) -> Option<String> {
    Some(match random.below(10) {
        0 => format!("{last}, {first}"),
        1 => format!("{first} {last}").to_uppercase(),
        2 => format!("{first} {last}").to_lowercase(),
        3 => format!("{first} {last} Jr."),
        4 => format!("{first}  {last}, III"),
        5 => mojibake(&format!("{first} {last}")),
        6 => first.to_owned(),
        7 => format!("{first}.{last}@example.com"),
        8 => "-".into(),
        _ => return None,
    })
}

/// UTF-8 read as Windows-1252: `Peña` becomes `PeÃ±a`. A name of plain letters stays.
fn mojibake(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            0x91 => '\u{2018}',
            0x92 => '\u{2019}',
            0x93 => '\u{201c}',
            _ => char::from(byte),
        })
        .collect()
}

/// One of the ways to write a mobile number; the last four digits are all that differs between people.
pub(crate) fn phone(random: &mut Random, number: u64, damaged: bool) -> Option<String> {
    let last = format!("{:04}", number % 10_000);
    if !damaged {
        return Some(format!("+63917555{last}"));
    }
    Some(match random.below(10) {
        0 => format!("0917 555 {last}"),
        1 => format!("(0917) 555-{last}"),
        2 => format!("63917555{last}"),
        3 => format!("917555{last}"),
        4 => format!("0917-555-{last} / 0918-555-{last}"),
        5 => format!("+63 (917) 555 {last}"),
        6 => last,
        7 => "n/a".into(),
        8 => format!("call 0917555{last} after lunch"),
        _ => return None,
    })
}

/// The text of an instant: ISO 8601 in UTC, or where `damaged` any form of SPEC §3.7, broken ones
/// included.
pub(crate) fn instant(random: &mut Random, at: Timestamp, damaged: bool) -> Option<String> {
    if !damaged {
        return Some(at.strftime("%Y-%m-%dT%H:%M:%S%.fZ").to_string());
    }
    // The Philippines have no summer time, so the offset is the zone.
    let local = at.to_zoned(TimeZone::fixed(Offset::constant(8)));
    let form = random.pick(&[
        "%Y-%m-%dT%H:%M:%S+08",
        "%Y-%m-%d %H:%M:%S+0800",
        "%Y-%m-%d %H:%M:%S%.6f +08:00",
        "%Y-%m-%dT%H:%M:%S+08:00[Asia/Manila]",
        "%a, %d %b %Y %H:%M:%S +0800",
        "%Y-%m-%d %H:%M:%S PHT",
        "%-m/%-d/%Y %H:%M PST",
        "%Y-%m-%d %H:%M:%S",
        "%-m/%-d/%Y, %-I:%M %p",
        "%d/%m/%Y %H:%M:%S",
        "%b %-d, %Y %-I:%M:%S %p",
        "%-d %B %Y %H:%M",
        "%Y-%m-%d",
        "%m/%d/%Y",
        "%b %-d, %Y",
        "epoch",
        "milliseconds",
        "serial",
        "2025-02-30 10:00:00",
        "0000-00-00 00:00:00",
        "infinity",
        "soon",
        "",
        "null",
    ]);
    match form {
        "epoch" => Some(at.as_second().to_string()),
        "milliseconds" => Some(at.as_millisecond().to_string()),
        "serial" => Some(serial_days(at)),
        "null" => None,
        form => Some(local.strftime(form).to_string()),
    }
}

/// Days since 1899-12-30 in the Philippines, as a spreadsheet exports them.
fn serial_days(at: Timestamp) -> String {
    const DAYS_TO_1970: f64 = 25_569.0;
    let local_seconds = at.as_second() + 8 * 3600;
    format!("{:.6}", DAYS_TO_1970 + local_seconds as f64 / 86_400.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mojibake_is_what_a_wrong_decoder_makes() {
        let table = [("Peña", "PeÃ±a"), ("Niño", "NiÃ±o"), ("Cruz", "Cruz")];
        for (clean, expected) in table {
            assert_eq!(mojibake(clean), expected);
        }
    }

    #[test]
    fn a_spreadsheet_counts_days_of_manila() {
        let at: Timestamp = "2025-06-30T04:00:00Z".parse().unwrap();
        assert_eq!(serial_days(at), "45838.500000");
        let mut random = Random::new(1, 1);
        assert_eq!(instant(&mut random, at, false).unwrap(), "2025-06-30T04:00:00Z");
    }
}
