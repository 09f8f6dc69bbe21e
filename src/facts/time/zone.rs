//! Zones by offset, name and abbreviation (SPEC §3.7).

use jiff::tz::{Offset, TimeZone};

use super::super::clean::clean;
use super::cursor::Cursor;
use super::forms::Tail;
use crate::rules::time_zone;

/// The zone of a timezone column: `+0800 UTC`, `+08:00`, `UTC+8`, `Asia/Manila`, `PHT`.
pub(super) fn parse(raw: &str) -> Option<TimeZone> {
    let text = clean(raw)?;
    if let Some(seconds) = fixed(&text) {
        return Some(TimeZone::fixed(Offset::from_seconds(seconds).ok()?));
    }
    match abbreviation(&text) {
        Some(Tail::Utc) => Some(TimeZone::UTC),
        Some(Tail::Manila) => Some(super::MANILA.clone()),
        _ => time_zone(&text),
    }
}

/// An offset, with UTC or GMT before or after it, in seconds east of UTC.
fn fixed(text: &str) -> Option<i32> {
    let mut cursor = Cursor::new(text);
    let prefixed = cursor.word("UTC").or_else(|| cursor.word("GMT")).is_some();
    if prefixed {
        cursor.one_of(b" ");
    }
    let seconds = offset(&mut cursor).or_else(|| prefixed.then(|| short_offset(&mut cursor))?)?;
    if cursor.end().is_some() {
        return Some(seconds);
    }
    cursor.one_of(b" ");
    let named_utc = !prefixed && abbreviation(cursor.rest()) == Some(Tail::Utc);
    named_utc.then_some(seconds)
}

/// `+8`, as in `UTC+8`.
fn short_offset(cursor: &mut Cursor<'_>) -> Option<i32> {
    let negative = cursor.one_of(b"+-")? == b'-';
    let hours = i32::try_from(cursor.digits(1, 1)?).ok()?;
    Some(if negative { -hours } else { hours } * 3600)
}

/// `+08`, `+0800` or `+08:00`, in seconds east of UTC. Hours to 23 and minutes to 59.
pub(super) fn offset(cursor: &mut Cursor<'_>) -> Option<i32> {
    let before = *cursor;
    let read = |cursor: &mut Cursor<'_>| {
        let negative = cursor.one_of(b"+-")? == b'-';
        let hours = cursor.exactly(2)?;
        let minutes = match cursor.one_of(b":") {
            Some(_) => cursor.exactly(2)?,
            None => cursor.exactly(2).unwrap_or(0),
        };
        let more_digits = cursor.rest().starts_with(|c: char| c.is_ascii_digit());
        if hours > 23 || minutes > 59 || more_digits {
            return None;
        }
        let seconds = i32::try_from(hours * 3600 + minutes * 60).ok()?;
        Some(if negative { -seconds } else { seconds })
    };
    let found = read(cursor);
    if found.is_none() {
        *cursor = before;
    }
    found
}

/// UTC, GMT, or one of the abbreviations of Philippine time. PST is never a time in America here.
pub(super) fn abbreviation(text: &str) -> Option<Tail> {
    let is = |name: &str| text.eq_ignore_ascii_case(name);
    if is("UTC") || is("GMT") {
        Some(Tail::Utc)
    } else if is("PHT") || is("PST") || is("PHST") {
        Some(Tail::Manila)
    } else {
        None
    }
}
