//! SPEC §3.7, form by form.

use proptest::prelude::*;

use super::NoteKind::{
    AmbiguousDate, DateOnly, SpreadsheetDate, TimezoneAbbreviation, TimezoneAssumed,
    UnparsableTimestamp,
};
use super::*;
use crate::facts::clean;
use crate::rules::DateOrder;

/// One text without a timezone column: the instant and the notes.
fn check(raw: &str, expected: &str, notes: &[NoteKind]) {
    check_in(raw, None, expected, notes);
}

fn check_in(raw: &str, zone: Option<&str>, expected: &str, notes: &[NoteKind]) {
    let (instant, found) = parse_timestamp(raw, zone, &Rules::default());
    let instant = instant.map(|instant| instant.to_string()).unwrap_or_default();
    assert_eq!((instant.as_str(), found.as_slice()), (expected, notes), "{raw:?} in {zone:?}");
}

#[test]
fn form_1_iso_with_an_offset() {
    let noon = "2025-06-30T04:02:24Z";
    for raw in [
        "2025-06-30T12:02:24+08:00",
        "2025-06-30t12:02:24+0800",
        "2025-06-30 12:02:24+08",
        "2025-06-30 12:02:24 +08:00",
        "2025-06-30T04:02:24Z",
        "2025-06-30T04:02:24z",
        "2025-06-30 04:02:24 Z",
        "2025-06-30T04:02:24-00:00",
        "2025-06-30T12:02:24+08:00[Asia/Manila]",
        "2025-06-30T12:02:24+08:00[America/New_York]",
        "20250630T120224+0800",
        " 2025-06-30\u{a0}12:02:24\u{200b}+08 ",
    ] {
        check(raw, noon, &[]);
    }
    check("2025-06-30T12:02+08:00", "2025-06-30T04:02:00Z", &[]);
    check("2025-06-30T12:02:24+14:00", "2025-06-29T22:02:24Z", &[]);
    check("20250630T120224.5+08:00", "2025-06-30T04:02:24.5Z", &[]);
    check("20250630T1202+08", "2025-06-30T04:02:00Z", &[]);
    check("20250630 040224 Z", "2025-06-30T04:02:24Z", &[]);
    check("20250630T040224Z[UTC]", "2025-06-30T04:02:24Z", &[]);
    check("2025-06-30T12:02:24,123456789 +08:00", "2025-06-30T04:02:24.123456Z", &[]);
    check("2025-06-30T12:02:24.5Z", "2025-06-30T12:02:24.5Z", &[]);
    check("2025-06-30T12:02:24.123456789Z", "2025-06-30T12:02:24.123456Z", &[]);
    check("2025-06-30T12:02:24.9999999Z", "2025-06-30T12:02:24.999999Z", &[]);
    check("2025-01-01T00:30:00+08:00", "2024-12-31T16:30:00Z", &[]);
    check("2025-12-31T23:30:00-05:30", "2026-01-01T05:00:00Z", &[]);
    check("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z", &[]);
    check_in("2025-06-30T12:02:24Z", Some("+0800"), "2025-06-30T12:02:24Z", &[]);
}

#[test]
fn form_2_rfc_2822() {
    let noon = "2025-06-30T04:02:24Z";
    for raw in [
        "Mon, 30 Jun 2025 12:02:24 +0800",
        "Sun, 30 Jun 2025 12:02:24 +0800",
        "mon,30 jun 2025 12:02:24 +0800",
        "30 Jun 2025 12:02:24 +0800",
        "Mon, 30 Jun 2025 04:02:24 GMT",
        "Mon, 30 Jun 2025 04:02:24 UT",
        "Mon, 30 Jun 2025 12:02:24 +0800 (PST)",
        "Mon, 30 Jun 2025 04:02:24 -0000",
    ] {
        check(raw, noon, &[]);
    }
    check("Tue, 1 Jul 2025 12:02 +0800", "2025-07-01T04:02:00Z", &[]);
    for bad in [
        "Mon, 30 Jun 2025 12:02:24",
        "Mon, 30 Jun 2025 12:02:24 PST",
        "Mon, 30 Jun 2025 12:02:24 EST",
        "Mon, 30 Jun 25 12:02:24 +0800",
        "Mon 30 Jun 2025 12:02:24 +0800",
        "Mon, 31 Jun 2025 12:02:24 +0800",
        "Mon, 30 Jun 2025 24:00:00 +0800",
    ] {
        check(bad, "", &[UnparsableTimestamp]);
    }
}

#[test]
fn form_3_abbreviations() {
    let manila = &[TimezoneAbbreviation];
    for raw in ["2025-06-30 12:02:24 PHT", "2025-06-30T12:02:24 PST", "2025-06-30 12:02:24 phst"] {
        check(raw, "2025-06-30T04:02:24Z", manila);
    }
    check("Jun 30, 2025 12:02:24 PM PST", "2025-06-30T04:02:24Z", manila);
    check("6/30/2025, 12:02 PHT", "2025-06-30T04:02:00Z", manila);
    check("30 Jun 2025 12:02:24 UTC", "2025-06-30T12:02:24Z", &[]);
    check("2025-06-30 12:02:24 GMT", "2025-06-30T12:02:24Z", &[]);
    check("2025-06-30 PHT", "2025-06-29T16:00:00Z", &[TimezoneAbbreviation, DateOnly]);
    check("6/7/2025 1:00 PM PST", "2025-06-07T05:00:00Z", &[TimezoneAbbreviation, AmbiguousDate]);
    for bad in ["2025-06-30 12:02:24 PDT", "2025-06-30 12:02:24 EST", "PST", "45838 PST"] {
        check(bad, "", &[UnparsableTimestamp]);
    }
}

#[test]
fn form_4_local_times() {
    let assumed = &[TimezoneAssumed];
    for raw in [
        "2025-06-30 12:02:05",
        "2025-06-30T12:02:05",
        "6/30/2025 12:02:05",
        "06/30/2025, 12:02:05 PM",
        "30/6/2025 12:02:05PM",
        "Jun 30, 2025 12:02:05",
        "June 30, 2025, 12:02:05 pm",
        "30 JUN 2025 12:02:05",
        "30 june 2025, 12:02:05 PM",
    ] {
        check(raw, "2025-06-30T04:02:05Z", assumed);
    }
    check("6/30/2025,12:02", "2025-06-30T04:02:00Z", assumed);
    check("Jun 5, 2025 1:02 AM", "2025-06-04T17:02:00Z", assumed);
    check("6/30/2025 12:02 AM", "2025-06-29T16:02:00Z", assumed);
    check("6/30/2025 9:02", "2025-06-30T01:02:00Z", assumed);
    check("6/30/2025 11:59:59 PM", "2025-06-30T15:59:59Z", assumed);
    check("2025-01-01 00:00", "2024-12-31T16:00:00Z", assumed);
    check("2000-01-01 00:00", "1999-12-31T16:00:00Z", assumed);
    check("2100-12-31 23:59", "2100-12-31T15:59:00Z", assumed);
    check("6/5/2025 12:00", "2025-06-05T04:00:00Z", &[TimezoneAssumed, AmbiguousDate]);
    check("6/6/2025 12:00", "2025-06-06T04:00:00Z", assumed);
    check("13/12/2025 12:00", "2025-12-13T04:00:00Z", assumed);
}

#[test]
fn form_4_the_timezone_column() {
    for zone in
        ["+0800 UTC", "+08:00", "+08", "Asia/Manila", "asia/manila", "UTC+8", "GMT+08:00", "PST"]
    {
        check_in("2025-06-30 12:02:24", Some(zone), "2025-06-30T04:02:24Z", &[]);
    }
    check_in("2025-06-30 12:02:24", Some("-0430 GMT"), "2025-06-30T16:32:24Z", &[]);
    check_in("2025-06-30 12:02:24", Some("UTC"), "2025-06-30T12:02:24Z", &[]);
    check_in("2025-06-30", Some("UTC"), "2025-06-30T00:00:00Z", &[DateOnly]);
    for zone in ["", "n/a", "Manila time", "+8000", "+08000", "8", "EDT9"] {
        check_in("2025-06-30 12:02:24", Some(zone), "2025-06-30T04:02:24Z", &[TimezoneAssumed]);
    }
    // Clocks go forward over 02:30 on 9 March 2025 in New York, and back over 01:30 on 2 November.
    let new_york = Some("America/New_York");
    check_in("2025-03-09 02:30", new_york, "2025-03-09T07:30:00Z", &[]);
    check_in("2025-11-02 01:30", new_york, "2025-11-02T05:30:00Z", &[]);
}

#[test]
fn form_5_dates() {
    for raw in ["2025-06-30", "6/30/2025", "30/06/2025", "Jun 30, 2025", "30 June 2025", "20250630"]
    {
        check(raw, "2025-06-29T16:00:00Z", &[DateOnly]);
    }
    check("1/2/2025", "2025-01-01T16:00:00Z", &[DateOnly, AmbiguousDate]);
    let day_first = Rules { date_order: DateOrder::DayFirst, ..Rules::default() };
    let (instant, notes) = parse_timestamp("1/2/2025", None, &day_first);
    assert_eq!(instant.unwrap().to_string(), "2025-01-31T16:00:00Z");
    assert_eq!(notes, [DateOnly, AmbiguousDate]);
}

#[test]
fn form_6_numbers() {
    let serial = &[SpreadsheetDate];
    check("1751256144", "2025-06-30T04:02:24Z", &[]);
    check("1751256144123", "2025-06-30T04:02:24.123Z", &[]);
    check("45838", "2025-06-29T16:00:00Z", serial);
    check("45838.5", "2025-06-30T04:00:00Z", serial);
    check("45838.501666666664", "2025-06-30T04:02:24Z", serial);
    check("45838.000005", "2025-06-29T16:00:00Z", serial);
    check("45838.0000058", "2025-06-29T16:00:01Z", serial);
    check("45838.99999999", "2025-06-30T16:00:00Z", serial);
    check_in("45838", Some("UTC"), "2025-06-29T16:00:00Z", serial);
    for bad in [
        "19999",
        "19999.99",
        "80000.1",
        "80001",
        "45838.",
        ".5",
        "045838",
        "45838.5.5",
        "4583",
        "175125614",
        "17512561441",
        "1751256144.5",
        "-1751256144",
        "+45838",
        "4.5838e4",
        "45,838",
        "0000000000",
        "9999999999999",
        "20000",
        "80000.0",
    ] {
        check(bad, "", &[UnparsableTimestamp]);
    }
}

#[test]
fn the_resulting_local_year_is_from_2000_to_2100_in_every_form() {
    let first = "1999-12-31T16:00:00Z";
    let last = "2100-12-31T15:59:59Z";
    check("1999-12-31T16:00:00Z", first, &[]);
    check("1999-12-31T08:00:00-08:00", first, &[]);
    check("Sat, 01 Jan 2000 00:00:00 +0800", first, &[]);
    check("1999-12-31 16:00 UTC", first, &[]);
    check("01/01/2000 00:00", first, &[TimezoneAssumed]);
    check("20000101", first, &[DateOnly]);
    check("0946656000", first, &[]);
    check("0946656000000", first, &[]);
    check("36526", first, &[SpreadsheetDate]);
    check("2100-12-31T15:59:59,9Z", "2100-12-31T15:59:59.9Z", &[]);
    check("2101-01-01T01:59:59+10:00", last, &[]);
    check("Fri, 31 Dec 2100 15:59:59 GMT", last, &[]);
    check("4133951999", last, &[]);
    check("4133951999999", "2100-12-31T15:59:59.999Z", &[]);
    check("73415.999988", last, &[SpreadsheetDate]);
    check_in("2101-01-01 05:00", Some("+14:00"), "2100-12-31T15:00:00Z", &[]);
    for bad in [
        "1999-12-31T15:59:59Z",
        "2000-01-01T00:00:00+14:00",
        "Fri, 31 Dec 1999 15:59:59 GMT",
        "12/31/1999",
        "19991231",
        "0946655999",
        "0946655999999",
        "36525.99",
        "2100-12-31T16:00:00Z",
        "2101-01-01",
        "Jan 1, 2101 12:00 AM",
        "4133952000",
        "4133952000000",
        "73416",
        "73415.9999999",
    ] {
        check(bad, "", &[UnparsableTimestamp]);
    }
    let utc = Rules { zone: jiff::tz::TimeZone::UTC, ..Rules::default() };
    assert!(parse_timestamp("1999-12-31T23:59:59Z", None, &utc).0.is_none());
    assert!(parse_timestamp("2100-12-31T23:59:59Z", None, &utc).0.is_some());
}

#[test]
fn everything_else_is_unparsable_alone() {
    for bad in [
        "infinity",
        "-infinity",
        "now",
        "today",
        "2025-06-30 24:00:00",
        "2025-06-30 12:60:00",
        "2025-06-30 12:02:60",
        "2025-02-30",
        "2025-02-29 12:00",
        "2/30/2025",
        "Feb 30, 2025 1:00 PM",
        "1999-12-31 23:59",
        "2101-01-01T00:00:00+08:00",
        "0000-00-00 00:00:00",
        "13/13/2025",
        "0/5/2025",
        "2025-13-01",
        "6/30/25",
        "2025-6-30",
        "2025-06-30T",
        "2025-06-30 12",
        "2025-06-30 1:02",
        "2025-06-30 12:2",
        "2025-06-30 12:02 PM",
        "2025-06-30T12:02:24.",
        "20250630T040224.Z",
        "20250630T04Z",
        "20250630T04:02:24Z",
        "2025-0630T040224Z",
        "2025-06-30T040224Z",
        "20250630040224",
        "20250630Z",
        "20250230",
        "20251301",
        "20250630T04022Z",
        "2025-06-30T12:02,5Z",
        "2025-06-30T12:02:24+8",
        "2025-06-30T12:02:24+24:00",
        "2025-06-30T12:02:24+08:60",
        "2025-06-30T12:02:24+080",
        "2025-06-30T12:02:24+08:00:00",
        "2025-06-30T12:02:24Z[",
        "2025-06-30T12:02:24[Asia/Manila]",
        "2025-06-30+08:00",
        "2025-06-30Z",
        "6/30/2025 13:00 PM",
        "6/30/2025 0:30 AM",
        "6/30/2025 00:30 PM",
        "6/30/2025 24:00",
        "6/30/2025 12 PM",
        "2025-06-30T23:59:60Z",
        "2025-06-30T24:00:00Z",
        "Mon, 30 Jun 2025 12:02:24 UTC",
        "30 Jun 2025 12:02:24 +08:00",
        "2025-06-30T12:02:24\u{2212}08:00",
        "6/30/2025 12:02 +08:00",
        "June 31, 2025",
        "Juno 30, 2025",
        "30 6 2025",
        "Jun 30 2025",
        "30-Jun-2025",
        "2025/06/30",
        "30.06.2025",
        "2025-W27-1",
        "２０２５-06-30",
        "2025-06-30 12:02:24 +0800 UTC",
        "2025-06-30 12:02:24 Asia/Manila",
        "2025-06-30T12:02:24+08é",
        "99999999999999999999999999",
        "12025-06-30",
        "é",
        "Jun é",
        "2025-06-30 é",
    ] {
        check(bad, "", &[UnparsableTimestamp]);
    }
    for null in ["", "n/a", "-", "\u{200b}", "none"] {
        check(null, "", &[]);
    }
}

#[test]
fn instants_are_taken_as_they_are() {
    for (text, expected) in [
        ("2025-06-30 12:02:24+08", "2025-06-30T04:02:24Z"),
        ("2025-06-30 12:02:24.123456+08", "2025-06-30T04:02:24.123456Z"),
        ("2025-06-30 12:02:24+05:30", "2025-06-30T06:32:24Z"),
        ("2025-06-30T04:02:24Z", "2025-06-30T04:02:24Z"),
        ("1890-01-01 00:00:00+08:15:30", "1889-12-31T15:44:30Z"),
        ("1890-01-01 00:00:00-08:15:30", "1890-01-01T08:15:30Z"),
        ("0044-03-15 12:00:00+00 BC", "-000043-03-15T12:00:00Z"),
        ("2999-01-01 00:00:00+00", "2999-01-01T00:00:00Z"),
        ("infinity", ""),
        ("-infinity", ""),
        ("294276-12-31 23:59:59+00", ""),
        ("2025-06-30 12:02:24", ""),
        ("", ""),
    ] {
        let found = parse_instant(text).map(|instant| instant.to_string()).unwrap_or_default();
        assert_eq!(found, expected, "{text}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(raw in any::<String>(), zone in any::<String>()) {
        let _ = (parse_timestamp(&raw, Some(&zone), &Rules::default()), parse_instant(&raw));
    }

    #[test]
    fn near_times_do_not_panic(
        raw in "((Mon, )?[0-9]{1,4}[-/ ]([0-9]{1,2}|Jun|July)[-/ ][0-9]{1,6}[T ,]{0,2}[0-9:.]{0,12} ?(AM|PM|Z|PST|[+-][0-9:]{1,8})?(\\[[A-Z/]*\\])?|[0-9.]{1,30})( BC)?",
        zone in "(UTC|GMT)? ?[+-]?[0-9:]{0,6}( UTC|/Manila)?",
    ) {
        let rules = Rules::default();
        let (instant, notes) = parse_timestamp(&raw, Some(&zone), &rules);
        let unread = instant.is_none() && clean(&raw).is_some();
        prop_assert_eq!(unread, notes == [UnparsableTimestamp]);
        if let Some(instant) = instant {
            let year = instant.to_zoned(rules.zone.clone()).year();
            prop_assert!((2000..=2100).contains(&year));
            prop_assert_eq!(parse_timestamp(&instant.to_string(), None, &rules), (Some(instant), vec![]));
        }
        let _ = parse_instant(&raw);
    }
}
