//! Timestamps: text to instant (SPEC §3.7).
//!
//! The forms are read by hand, since a general date parser is too kind: some drop an offset, take
//! 30 February for 1 March, or PST for a time in America.

mod cursor;
mod forms;
mod zone;

use std::sync::LazyLock;

use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::NoteKind;
use super::clean::cleaned;
use crate::rules::{Rules, time_zone};
use forms::{Local, Tail};

/// The local years that an instant read from a text may lie in (SPEC §3.7).
const YEARS: std::ops::RangeInclusive<i16> = 2000..=2100;

/// Seconds since the epoch that lie in these years in every zone: from 3 January 2000 to 27 December 2100.
const CERTAIN_SECONDS: std::ops::Range<i64> = 946_857_600..4_133_635_200;

/// The days a spreadsheet serial may have (SPEC §3.7).
const SERIAL_DAYS: std::ops::RangeInclusive<i64> = 20_000..=80_000;

/// Seconds of a day.
const DAY_SECONDS: u128 = 86_400;

/// Philippine time, from the time zones in the binary, so that no host decides what a time means.
static MANILA: LazyLock<TimeZone> = LazyLock::new(|| {
    let fixed = || TimeZone::fixed(Offset::constant(8));
    time_zone("Asia/Manila").unwrap_or_else(fixed)
});

/// SPEC §3.7: the instant a text means, in microseconds, and the notes on how it was read.
/// `zone_text` is the row's timezone column. A text that means nothing gives no instant and no note;
/// one that cannot be read gives `UnparsableTimestamp` alone. A local time that a change of clocks
/// skips or repeats is read with the offset from before the change.
#[must_use]
pub fn parse_timestamp(
    raw: &str,
    zone_text: Option<&str>,
    rules: &Rules,
) -> (Option<Timestamp>, Vec<NoteKind>) {
    let Some(text) = cleaned(raw) else {
        return (None, Vec::new());
    };
    let found = read(&text, zone_text, rules);
    match found.filter(|(instant, _)| is_of_our_time(*instant, &rules.zone)) {
        Some((instant, notes)) => (Some(instant), notes),
        None => (None, vec![NoteKind::UnparsableTimestamp]),
    }
}

/// Whether the local year of an instant, in whatever form it was written, can be that of a payment or a
/// contact: an epoch in another unit and a year in another calendar are not.
fn is_of_our_time(instant: Timestamp, zone: &TimeZone) -> bool {
    CERTAIN_SECONDS.contains(&instant.as_second())
        || YEARS.contains(&zone.to_datetime(instant).year())
}

/// The calendar date that a text means: of a form of SPEC §3.7 without a zone the date as it is written, of an instant
/// the local date in the configured zone. Years are not limited: people are born before 2000.
#[must_use]
pub fn parse_date(raw: &str, rules: &Rules) -> Option<Date> {
    let text = cleaned(raw)?;
    match forms::parse(&text, rules.date_order) {
        Some((local, Tail::Nothing)) => Date::new(local.year, local.month, local.day).ok(),
        Some((local, _)) if local.time.is_none() => {
            Date::new(local.year, local.month, local.day).ok()
        }
        _ => Some(rules.zone.to_datetime(read(&text, None, rules)?.0).date()),
    }
}

/// The zone that a name or an offset means (SPEC §3.7).
#[must_use]
pub fn parse_zone(text: &str) -> Option<TimeZone> {
    zone::parse(text)
}

/// Whether the text of a timezone column can be understood (SPEC §3.7).
pub(super) fn is_zone(text: &str) -> bool {
    zone::parse(text).is_some()
}

/// The instant of a `timestamptz` column as PostgreSQL prints it in ISO style. `None` for infinities and
/// for years that [`Timestamp`] cannot hold.
pub(super) fn parse_instant(text: &str) -> Option<Timestamp> {
    let (local, offset_seconds) = forms::printed_instant(text.trim())?;
    instant(local, &TimeZone::fixed(Offset::from_seconds(offset_seconds).ok()?))
}

fn read(text: &str, zone_text: Option<&str>, rules: &Rules) -> Option<(Timestamp, Vec<NoteKind>)> {
    if text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        && let Some(found) = number(text, rules)
    {
        return Some(found);
    }
    let (local, tail) = forms::parse(text, rules.date_order)?;
    let mut notes = Vec::new();
    let zone = match tail {
        Tail::Offset(seconds) => TimeZone::fixed(Offset::from_seconds(seconds).ok()?),
        Tail::Utc => TimeZone::UTC,
        Tail::Manila => {
            notes.push(NoteKind::TimezoneAbbreviation);
            MANILA.clone()
        }
        Tail::Nothing => match zone_text.and_then(zone::parse) {
            Some(zone) => zone,
            None => {
                // Midnight is an assumption of its own, which `date_only` reports.
                if local.time.is_some() {
                    notes.push(NoteKind::TimezoneAssumed);
                }
                rules.zone.clone()
            }
        },
    };
    if local.time.is_none() {
        notes.push(NoteKind::DateOnly);
    }
    if local.ambiguous {
        notes.push(NoteKind::AmbiguousDate);
    }
    Some((instant(local, &zone)?, notes))
}

/// The instant of a local time; `None` where the calendar or the clock has no such time.
fn instant(local: Local, zone: &TimeZone) -> Option<Timestamp> {
    let (hour, minute, second, micros) = local.time.unwrap_or_default();
    let date = Date::new(local.year, local.month, local.day).ok()?;
    let time = jiff::civil::Time::new(hour, minute, second, micros.checked_mul(1000)?).ok()?;
    zone.to_timestamp(DateTime::from_parts(date, time)).ok()
}

/// SPEC §3.7, form 6: epoch seconds, epoch milliseconds or a spreadsheet's serial day.
fn number(text: &str, rules: &Rules) -> Option<(Timestamp, Vec<NoteKind>)> {
    match (text.len(), text.contains('.')) {
        (10, false) => Some((Timestamp::from_second(text.parse().ok()?).ok()?, Vec::new())),
        (13, false) => Some((Timestamp::from_millisecond(text.parse().ok()?).ok()?, Vec::new())),
        _ => Some((serial(text, rules)?, vec![NoteKind::SpreadsheetDate])),
    }
}

fn serial(text: &str, rules: &Rules) -> Option<Timestamp> {
    let (days, fraction) = match text.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (text, ""),
    };
    if days.len() != 5 || fraction.contains('.') {
        return None;
    }
    let days: i64 = days.parse().ok()?;
    let beyond = days == *SERIAL_DAYS.end() && fraction.bytes().any(|b| b != b'0');
    if !SERIAL_DAYS.contains(&days) || beyond {
        return None;
    }
    let midnight = Date::constant(1899, 12, 30).at(0, 0, 0, 0);
    let since = SignedDuration::from_hours(days * 24) + fraction_of_day(fraction)?;
    rules.zone.to_timestamp(midnight.checked_add(since).ok()?).ok()
}

/// A decimal fraction of a day, rounded to the second.
fn fraction_of_day(digits: &str) -> Option<SignedDuration> {
    // More digits than a float can print; dropping the rest cannot move a rounding half up.
    let digits = digits.get(..digits.len().min(18))?;
    if digits.is_empty() {
        return Some(SignedDuration::ZERO);
    }
    let numerator: u128 = digits.parse().ok()?;
    let denominator = 10_u128.checked_pow(u32::try_from(digits.len()).ok()?)?;
    let seconds = (numerator * DAY_SECONDS * 2 + denominator) / (denominator * 2);
    Some(SignedDuration::from_secs(i64::try_from(seconds).ok()?))
}

#[cfg(test)]
mod tests;
