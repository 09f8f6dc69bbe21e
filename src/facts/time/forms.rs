//! The written forms of SPEC §3.7: which text is which date, time and zone.

use super::cursor::Cursor;
use super::zone;
use crate::rules::DateOrder;

/// The weekdays as RFC 2822 writes them.
const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// The months in full; their first three letters are the short names.
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Hour, minute, second, microsecond, as written and not yet checked.
pub(super) type Clock = (i8, i8, i8, i32);

/// A date and perhaps a time, as written: the calendar has not been asked yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Local {
    pub(super) year: i16,
    pub(super) month: i8,
    pub(super) day: i8,
    pub(super) time: Option<Clock>,
    /// Month and day could be the other way round.
    pub(super) ambiguous: bool,
}

impl Local {
    fn date(year: u32, month: u32, day: u32) -> Option<Self> {
        Some(Self {
            year: i16::try_from(year).ok()?,
            month: i8::try_from(month).ok()?,
            day: i8::try_from(day).ok()?,
            time: None,
            ambiguous: false,
        })
    }
}

/// What a text says about its zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tail {
    /// Nothing: a local time.
    Nothing,
    /// UTC or GMT.
    Utc,
    /// PHT, PST or PHST.
    Manila,
    /// Seconds east of UTC.
    Offset(i32),
}

/// Forms 1 to 5. `None` where none fits.
pub(super) fn parse(text: &str, order: DateOrder) -> Option<(Local, Tail)> {
    let (mut cursor, local, is_iso) = match iso(text) {
        Some((cursor, local)) => (cursor, local, true),
        None => {
            if let Some(found) = rfc2822(text) {
                return Some(found);
            }
            let (cursor, local) = slashed(text, order).or_else(|| worded(text))?;
            (cursor, local, false)
        }
    };
    let tail = match tail(cursor) {
        Some(tail) => tail,
        None if is_iso && local.time.is_some() => {
            let offset = offset(&mut cursor)?;
            bracketed_zone(&mut cursor);
            cursor.end()?;
            Tail::Offset(offset)
        }
        None => return None,
    };
    Some((local, tail))
}

/// The end of a local form, or an abbreviation that ends it.
fn tail(mut cursor: Cursor<'_>) -> Option<Tail> {
    if cursor.end().is_some() {
        return Some(Tail::Nothing);
    }
    cursor.one_of(b" ");
    zone::abbreviation(cursor.rest())
}

/// `2025-06-30[T12:02[:24[.5]]]`, or without any separator, `20250630[T1202[24[.5]]]`.
fn iso(text: &str) -> Option<(Cursor<'_>, Local)> {
    let mut cursor = Cursor::new(text);
    let year = cursor.exactly(4)?;
    let extended = cursor.one_of(b"-").is_some();
    let month = cursor.exactly(2)?;
    if extended {
        cursor.one_of(b"-")?;
    }
    let mut local = Local::date(year, month, cursor.exactly(2)?)?;
    let before = cursor;
    if cursor.one_of(b"Tt ").is_none() {
        return Some((cursor, local));
    }
    match iso_clock(&mut cursor, extended) {
        Some(clock) => local.time = Some(clock),
        // What follows may still be an abbreviation.
        None => return Some((before, local)),
    }
    Some((cursor, local))
}

fn iso_clock(cursor: &mut Cursor<'_>, extended: bool) -> Option<Clock> {
    let hour = cursor.exactly(2)?;
    if extended {
        cursor.one_of(b":")?;
    }
    let minute = cursor.exactly(2)?;
    let seconds = if extended {
        cursor.one_of(b":").map(|_| cursor.exactly(2))
    } else {
        cursor.exactly(2).map(Some)
    };
    let Some(second) = seconds else {
        return clock(hour, minute, 0, 0);
    };
    let micros = match cursor.one_of(b".,") {
        Some(_) => cursor.millionths()?,
        None => 0,
    };
    clock(hour, minute, second?, micros)
}

fn clock(hour: u32, minute: u32, second: u32, micros: i32) -> Option<Clock> {
    let small = |value: u32| i8::try_from(value).ok();
    Some((small(hour)?, small(minute)?, small(second)?, micros))
}

/// `Z`, `+08`, `+0800` or `+08:00`, perhaps after a space, in seconds east of UTC.
fn offset(cursor: &mut Cursor<'_>) -> Option<i32> {
    cursor.one_of(b" ");
    if cursor.one_of(b"Zz").is_some() {
        return Some(0);
    }
    zone::offset(cursor)
}

/// `[Asia/Manila]`, which the offset before it overrules.
fn bracketed_zone(cursor: &mut Cursor<'_>) {
    let name = cursor.rest().strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_zone_character = |b: u8| b.is_ascii_alphanumeric() || b"/_+-:".contains(&b);
    if name.is_some_and(|name| !name.is_empty() && name.bytes().all(is_zone_character)) {
        *cursor = Cursor::new("");
    }
}

/// `[Mon, ]30 Jun 2025 12:02[:24] +0800`, or with GMT or UT, and perhaps a comment in parentheses.
fn rfc2822(text: &str) -> Option<(Local, Tail)> {
    let mut cursor = Cursor::new(text);
    if WEEKDAYS.iter().any(|day| cursor.word(day).is_some()) {
        cursor.one_of(b",")?;
        cursor.one_of(b" ");
    }
    let day = cursor.digits(1, 2)?;
    cursor.one_of(b" ")?;
    let month = month(cursor.letters(), false)?;
    cursor.one_of(b" ")?;
    let mut local = Local::date(cursor.digits(4, 4)?, month, day)?;
    cursor.one_of(b" ")?;
    let hour = cursor.digits(2, 2)?;
    cursor.one_of(b":")?;
    let minute = cursor.digits(2, 2)?;
    let second = match cursor.one_of(b":") {
        Some(_) => cursor.digits(2, 2)?,
        None => 0,
    };
    local.time = clock(hour, minute, second, 0);
    cursor.one_of(b" ")?;
    let tail = rfc2822_zone(&mut cursor)?;
    let comment = cursor.rest().strip_prefix(" (").and_then(|rest| rest.strip_suffix(')'));
    if comment.is_none_or(|comment| comment.contains(['(', ')'])) {
        cursor.end()?;
    }
    Some((local, tail))
}

fn rfc2822_zone(cursor: &mut Cursor<'_>) -> Option<Tail> {
    if !cursor.rest().starts_with(['+', '-']) {
        let name = cursor.letters();
        let utc = name.eq_ignore_ascii_case("GMT") || name.eq_ignore_ascii_case("UT");
        return utc.then_some(Tail::Utc);
    }
    let four_digits = cursor.rest().get(1..5)?.bytes().all(|b| b.is_ascii_digit());
    if !four_digits {
        return None;
    }
    zone::offset(cursor).map(Tail::Offset)
}

/// `6/30/2025` or `30/6/2025`, with `[, ]12:02[:05][ PM]` or without.
fn slashed(text: &str, order: DateOrder) -> Option<(Cursor<'_>, Local)> {
    let mut cursor = Cursor::new(text);
    let first = cursor.digits(1, 2)?;
    cursor.one_of(b"/")?;
    let second = cursor.digits(1, 2)?;
    cursor.one_of(b"/")?;
    let year = cursor.digits(4, 4)?;
    let (month, day) = match (first > 12, second > 12, order) {
        (true, true, _) => return None,
        (true, false, _) | (false, false, DateOrder::DayFirst) => (second, first),
        (false, true, _) | (false, false, DateOrder::MonthFirst) => (first, second),
    };
    let mut local = Local::date(year, month, day)?;
    local.ambiguous = first <= 12 && second <= 12 && first != second;
    Some(with_clock(cursor, local))
}

/// `Jun 30, 2025` or `30 Jun 2025`, with `[,] 12:02[:05][ PM]` or without.
fn worded(text: &str) -> Option<(Cursor<'_>, Local)> {
    let mut cursor = Cursor::new(text);
    let (month, day) = if let Some(day) = cursor.digits(1, 2) {
        cursor.one_of(b" ")?;
        (month(cursor.letters(), true)?, day)
    } else {
        let month = month(cursor.letters(), true)?;
        cursor.one_of(b" ")?;
        let day = cursor.digits(1, 2)?;
        cursor.one_of(b",")?;
        (month, day)
    };
    cursor.one_of(b" ")?;
    let local = Local::date(cursor.digits(4, 4)?, month, day)?;
    Some(with_clock(cursor, local))
}

/// Adds the time of day where one follows; what else follows is left to be read as a zone.
fn with_clock(cursor: Cursor<'_>, mut local: Local) -> (Cursor<'_>, Local) {
    let mut after = cursor;
    let separated = after.one_of(b",").is_some() | after.one_of(b" ").is_some();
    if separated && let Some(clock) = twelve_hour_clock(&mut after) {
        local.time = Some(clock);
        return (after, local);
    }
    (cursor, local)
}

/// `H:MM[:SS]`, with AM or PM where the hour is one of twelve.
fn twelve_hour_clock(cursor: &mut Cursor<'_>) -> Option<Clock> {
    let mut hour = cursor.digits(1, 2)?;
    cursor.one_of(b":")?;
    let minute = cursor.digits(2, 2)?;
    let second = match cursor.one_of(b":") {
        Some(_) => cursor.digits(2, 2)?,
        None => 0,
    };
    let mut half = *cursor;
    half.one_of(b" ");
    let afternoon =
        if half.word("AM").is_some() { Some(false) } else { half.word("PM").map(|()| true) };
    if let Some(afternoon) = afternoon {
        *cursor = half;
        if !(1..=12).contains(&hour) {
            return None;
        }
        hour = hour % 12 + if afternoon { 12 } else { 0 };
    }
    clock(hour, minute, second, 0)
}

/// The number of a month by its name; in full only where `full` allows it.
fn month(name: &str, full: bool) -> Option<u32> {
    let is_month = |known: &str| {
        name.eq_ignore_ascii_case(&known[..3]) || full && name.eq_ignore_ascii_case(known)
    };
    let index = MONTHS.iter().position(|known| is_month(known))?;
    u32::try_from(index + 1).ok()
}

/// A `timestamptz` as PostgreSQL prints it: `2025-06-30 12:02:24.5+08`, with minutes and seconds of the
/// offset where an old zone has them, and BC after it. Years have four digits or more.
pub(super) fn printed_instant(text: &str) -> Option<(Local, i32)> {
    let (text, before_christ) = match text.strip_suffix(" BC") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let mut cursor = Cursor::new(text);
    let year = cursor.digits(4, 6)?;
    cursor.one_of(b"-")?;
    let month = cursor.digits(2, 2)?;
    cursor.one_of(b"-")?;
    let mut local = Local::date(year, month, cursor.digits(2, 2)?)?;
    if before_christ {
        // 1 BC is the year 0.
        local.year = 1 - local.year;
    }
    cursor.one_of(b" T")?;
    local.time = Some(iso_clock(&mut cursor, true)?);
    let mut offset = offset(&mut cursor)?;
    if cursor.one_of(b":").is_some() {
        let seconds = i32::try_from(cursor.digits(2, 2)?).ok()?;
        offset += if offset < 0 { -seconds } else { seconds };
    }
    cursor.end()?;
    Some((local, offset))
}
