//! Messages as bytes, as the protocol's documentation lays them out, and what becomes of them.

use bytes::Bytes;
use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::facts::{Column, ColumnKind, Columns, Feed, RawRow, SourceKey};
use crate::lsn::Lsn;

/// 2025-06-30T04:02:24Z in microseconds since 2000-01-01.
const COMMITTED: i64 = 804_571_344_000_000;
const OID: u32 = 16_390;

fn at() -> Timestamp {
    "2025-06-30T04:02:24Z".parse().unwrap()
}

/// A value in a tuple as the tests write it.
#[derive(Debug, Clone, Copy)]
enum V<'a> {
    Null,
    Same,
    Text(&'a [u8]),
}

fn t(text: &str) -> V<'_> {
    V::Text(text.as_bytes())
}

fn tuple(values: &[V<'_>]) -> Vec<u8> {
    let mut bytes = i16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
    for value in values {
        match value {
            V::Null => bytes.push(b'n'),
            V::Same => bytes.push(b'u'),
            V::Text(text) => {
                bytes.push(b't');
                bytes.extend(i32::try_from(text.len()).unwrap().to_be_bytes());
                bytes.extend_from_slice(text);
            }
        }
    }
    bytes
}

fn change(kind: u8, parts: &[(u8, &[V<'_>])]) -> Bytes {
    let mut bytes = vec![kind];
    bytes.extend(OID.to_be_bytes());
    for (mark, values) in parts {
        bytes.push(*mark);
        bytes.extend(tuple(values));
    }
    bytes.into()
}

fn relation(name: &str, identity: u8, columns: &[(&str, bool)]) -> Bytes {
    let mut bytes = vec![b'R'];
    bytes.extend(OID.to_be_bytes());
    bytes.extend(b"public\0");
    bytes.extend(name.as_bytes());
    bytes.extend([0, identity]);
    bytes.extend(i16::try_from(columns.len()).unwrap().to_be_bytes());
    for (column, key) in columns {
        bytes.push(u8::from(*key));
        bytes.extend(column.as_bytes());
        bytes.push(0);
        bytes.extend(25_u32.to_be_bytes());
        bytes.extend((-1_i32).to_be_bytes());
    }
    bytes.into()
}

fn begin() -> Bytes {
    let fields = [&[b'B'][..], &16_u64.to_be_bytes(), &COMMITTED.to_be_bytes(), &[0, 0, 0, 7]];
    fields.concat().into()
}

fn commit() -> Bytes {
    let lsns = [16_u64.to_be_bytes(), 24_u64.to_be_bytes()].concat();
    [&[b'C', 0][..], &lsns, &COMMITTED.to_be_bytes()].concat().into()
}

fn truncate(oids: &[u32]) -> Bytes {
    let mut bytes = vec![b'T'];
    bytes.extend(i32::try_from(oids.len()).unwrap().to_be_bytes());
    bytes.push(0);
    oids.iter().for_each(|oid| bytes.extend(oid.to_be_bytes()));
    bytes.into()
}

/// `id` (key), `at` (key, instant), `note`; the source's table may have more.
fn layout() -> Columns {
    let column = |name: &str, kind| Column { name: name.into(), kind };
    let columns = vec![
        column("note", ColumnKind::Text),
        column("id", ColumnKind::Text),
        column("at", ColumnKind::Instant),
    ];
    Columns::new(columns, vec![1, 2])
}

const PRIMARY: [(&str, bool); 4] = [("id", true), ("other", false), ("at", true), ("note", false)];
const FULL: [(&str, bool); 4] = [("id", true), ("other", true), ("at", true), ("note", true)];

fn assembler() -> Assembler {
    Assembler::new(vec![Watched::new(Feed::new(2), "public", "xendit", &layout())])
}

/// The events of these messages, Begin left out.
fn follow(messages: &[Bytes]) -> Result<Vec<Event>, DecodeError> {
    let mut assembler = assembler();
    let mut events = Vec::new();
    for bytes in [begin()].iter().chain(messages) {
        events.extend(assembler.push(message(bytes)?)?);
    }
    events.remove(0);
    Ok(events)
}

fn row(id: &str, note: Option<&str>, unchanged: &[usize]) -> Option<ChangedRow> {
    let at = "2025-06-30 12:02:24+08";
    let values = vec![note.map(Into::into), Some(id.into()), Some(at.into())];
    Some(ChangedRow { key: key(id), row: RawRow { values }, unchanged: unchanged.to_vec() })
}

fn key(id: &str) -> SourceKey {
    SourceKey(format!("{id}|2025-06-30T04:02:24Z"))
}

fn changed(old: Option<&str>, row: Option<ChangedRow>) -> Event {
    Event::Change(Change { table: Feed::new(2), old_key: old.map(key), row })
}

#[test]
fn transactions_are_bracketed() {
    let mut assembler = assembler();
    let mut push = |bytes: Bytes| assembler.push(message(&bytes).unwrap());
    assert_eq!(push(begin()), Ok(Some(Event::Begin { xid: 7, final_lsn: Lsn(16) })));
    assert!(matches!(push(begin()), Err(DecodeError::OutOfOrder { .. })));
    let done = Event::Commit { commit_lsn: Lsn(16), end_lsn: Lsn(24), commit_time: at() };
    assert_eq!(push(commit()), Ok(Some(done)));
    assert!(matches!(push(commit()), Err(DecodeError::OutOfOrder { .. })));
    assert_eq!(push(relation("xendit", b'd', &PRIMARY)), Ok(None));
    let late = change(b'I', &[(b'N', &[t("a"), V::Null, V::Null, V::Null])]);
    assert!(matches!(push(late), Err(DecodeError::OutOfOrder { .. })));
}

#[test]
fn changes_name_the_row_under_every_identity_spec_1() {
    let stamp = t("2025-06-30 12:02:24+08");
    let check = |columns: &[(&str, bool)], bytes: Bytes, expected: Event| {
        let events = follow(&[relation("xendit", b'd', columns), bytes]).unwrap();
        assert_eq!(events, [expected]);
    };
    let new = [t("a"), t("x"), stamp, t("hello")];
    check(&PRIMARY, change(b'I', &[(b'N', &new)]), changed(None, row("a", Some("hello"), &[])));
    check(&PRIMARY, change(b'U', &[(b'N', &new)]), changed(None, row("a", Some("hello"), &[])));
    let old = [t("b"), V::Null, stamp, V::Null];
    check(
        &PRIMARY,
        change(b'U', &[(b'K', &old), (b'N', &new)]),
        changed(Some("b"), row("a", Some("hello"), &[])),
    );
    check(&PRIMARY, change(b'D', &[(b'K', &old)]), changed(Some("b"), None));
    let same = [t("a"), t("y"), stamp, t("before")];
    check(
        &FULL,
        change(b'U', &[(b'O', &same), (b'N', &new)]),
        changed(None, row("a", Some("hello"), &[])),
    );
    check(&FULL, change(b'D', &[(b'O', &same)]), changed(Some("a"), None));
}

#[test]
fn an_unchanged_large_value_is_found_or_reported_p6() {
    let stamp = t("2025-06-30 12:02:24+08");
    let check = |columns: &[(&str, bool)], old: Option<(u8, V<'_>)>, expected: Event| {
        let new = [t("a"), V::Null, stamp, V::Same];
        let before = old.map(|(mark, note)| (mark, [t("a"), V::Null, stamp, note]));
        let bytes = match &before {
            Some((mark, before)) => change(b'U', &[(*mark, before), (b'N', &new)]),
            None => change(b'U', &[(b'N', &new)]),
        };
        assert_eq!(follow(&[relation("xendit", b'd', columns), bytes]).unwrap(), [expected]);
    };
    check(&PRIMARY, None, changed(None, row("a", None, &[0])));
    check(&PRIMARY, Some((b'K', V::Null)), changed(None, row("a", None, &[0])));
    check(&FULL, Some((b'O', t("big"))), changed(None, row("a", Some("big"), &[])));
    check(&FULL, Some((b'O', V::Null)), changed(None, row("a", None, &[])));
    check(&FULL, Some((b'O', V::Same)), changed(None, row("a", None, &[0])));
}

#[test]
fn a_table_may_change_its_shape_in_mid_stream() {
    let stamp = t("2025-06-30 12:02:24+08");
    let first = change(b'I', &[(b'N', &[t("a"), V::Null, stamp, t("one")])]);
    let moved = [("note", false), ("new", false), ("id", true), ("at", true), ("more", false)];
    let second = change(b'I', &[(b'N', &[t("two"), t("9"), t("b"), stamp, V::Null])]);
    let table = |columns: &[(&str, bool)]| relation("xendit", b'd', columns);
    let events = follow(&[table(&PRIMARY), first, table(&moved), second]).unwrap();
    let expected = [row("a", Some("one"), &[]), row("b", Some("two"), &[])];
    assert_eq!(events, expected.map(|row| changed(None, row)));
}

#[test]
fn a_change_that_does_not_say_of_which_row_says_of_which_table_p18() {
    let new = || [t("a"), V::Null, t("2025-06-30 12:02:24+08"), t("one")];
    let key = || (b'K', [t("a"), V::Null, V::Null, V::Null]);
    let only_id = [("id", true), ("other", false), ("at", false), ("note", false)];
    let table = relation("xendit", b'd', &only_id);
    let changes = [
        change(b'I', &[(b'N', &new())]),
        change(b'U', &[(b'N', &new())]),
        change(b'U', &[(key().0, &key().1), (b'N', &new())]),
        change(b'D', &[(key().0, &key().1)]),
    ];
    let events = follow(&[&[table], changes.as_slice()].concat()).unwrap();
    let keyless = || Event::Keyless(Feed::new(2));
    assert_eq!(events[1..], [keyless(), keyless(), keyless()]);
    assert_eq!(events[0], changed(None, row("a", Some("one"), &[])));
}

#[test]
fn what_the_catalog_shows_later_is_passed_over_p18() {
    let stamp = t("2025-06-30 12:02:24+08");
    let one = change(b'I', &[(b'N', &[t("a"), V::Null, stamp, t("one")])]);
    let table = |name: &str, columns: &[(&str, bool)]| relation(name, b'd', columns);
    let seen = [changed(None, row("a", Some("one"), &[]))];
    // Renamed, and back.
    let (here, moved) = (table("xendit", &PRIMARY), table("moved", &PRIMARY));
    let events = follow(&[here.clone(), one.clone(), moved, one.clone(), here, one.clone()]);
    assert_eq!(events.unwrap(), [seen[0].clone(), seen[0].clone()]);
    // Without a column, whose value is then not known.
    let narrow = table("xendit", &[("id", true), ("at", true)]);
    let short = change(b'I', &[(b'N', &[t("a"), stamp])]);
    assert_eq!(follow(&[narrow, short]).unwrap(), [changed(None, row("a", None, &[0]))]);
    // Without its key.
    let keyless = table("xendit", &[("at", true), ("note", false)]);
    let row = change(b'I', &[(b'N', &[stamp, t("one")])]);
    assert_eq!(follow(&[keyless, row]).unwrap(), []);
}

#[test]
fn other_tables_are_passed_over_and_truncates_told() {
    let insert = change(b'I', &[(b'N', &[t("a")])]);
    let other = relation("other", b'd', &[("id", true)]);
    assert_eq!(follow(&[other.clone(), insert.clone(), truncate(&[OID])]), Ok(vec![]));
    assert_eq!(follow(&[insert]), Err(DecodeError::UnknownRelation { oid: OID }));
    let ours = relation("xendit", b'd', &PRIMARY);
    let expected = vec![Event::Truncate(vec![Feed::new(2)])];
    assert_eq!(follow(&[ours, truncate(&[OID])]), Ok(expected));
}

#[test]
fn text_that_is_not_utf8_is_kept_lossily_and_marked() {
    let stamp = t("2025-06-30 12:02:24+08");
    let insert = change(b'I', &[(b'N', &[t("a"), V::Null, stamp, V::Text(b"Pe\xf1a")])]);
    let events = follow(&[relation("xendit", b'd', &PRIMARY), insert]).unwrap();
    assert_eq!(events, [changed(None, row("a", Some("Pe\u{fffd}a\u{fdd0}"), &[]))]);
}

#[test]
fn later_protocol_versions_are_refused_clearly() {
    for kind in [b'S', b'E', b'c', b'A', b'b', b'P', b'K', b'r', b'p'] {
        let error = message(&Bytes::copy_from_slice(&[kind, 0, 0])).unwrap_err();
        assert!(matches!(error, DecodeError::Unsupported { .. }));
    }
    let mut binary = change(b'I', &[(b'N', &[t("a")])]).to_vec();
    *binary.iter_mut().rev().nth(5).unwrap() = b'b';
    let error = message(&binary.into()).unwrap_err();
    assert!(matches!(error, DecodeError::Unsupported { .. }));
}

#[test]
fn a_message_cut_off_anywhere_or_too_long_is_an_error() {
    let stamp = t("2025-06-30 12:02:24+08");
    let new: &[V<'_>] = &[t("a"), V::Null, stamp, V::Same];
    let messages = [
        begin(),
        commit(),
        relation("xendit", b'd', &PRIMARY),
        change(b'I', &[(b'N', new)]),
        change(b'U', &[(b'K', new), (b'N', new)]),
        change(b'D', &[(b'O', new)]),
        truncate(&[1, 2]),
    ];
    for whole in messages {
        assert!(message(&whole).is_ok());
        for end in 0..whole.len() {
            assert!(message(&whole.slice(..end)).is_err(), "{whole:?} cut at {end}");
        }
        let longer: Bytes = [&whole[..], &[0]].concat().into();
        assert!(message(&longer).is_err(), "{whole:?}");
    }
}

#[test]
fn copied_text_is_read_back() {
    let check = |line: &str, expected: &[Option<&str>]| {
        let (mut decoder, mut rows) = (CopyDecoder::new(expected.len()), Vec::new());
        decoder.push(line.as_bytes(), &mut rows).unwrap();
        decoder.finish().unwrap();
        let values = expected.iter().map(|value| value.map(Into::into)).collect();
        assert_eq!(rows, [RawRow { values }], "{line:?}");
    };
    check("a\tb\n", &[Some("a"), Some("b")]);
    check("\\N\t\n", &[None, Some("")]);
    check("\\\\N\n", &[Some("\\N")]);
    check("\\b\\f\\n\\r\\t\\v\\\\\n", &[Some("\u{8}\u{c}\n\r\t\u{b}\\")]);
    let (mut decoder, mut rows) = (CopyDecoder::new(2), Vec::new());
    assert!(decoder.push(b"one\n", &mut rows).is_err());
    let mut decoder = CopyDecoder::new(1);
    decoder.push(b"cut", &mut rows).unwrap();
    assert!(decoder.finish().is_err());
}

/// A value as COPY writes it.
fn escaped(value: Option<&str>) -> String {
    let Some(value) = value else { return r"\N".into() };
    let escape = |c| match c {
        '\\' => r"\\".into(),
        '\n' => r"\n".into(),
        '\r' => r"\r".into(),
        '\t' => r"\t".into(),
        '\u{8}' => r"\b".into(),
        '\u{c}' => r"\f".into(),
        '\u{b}' => r"\v".into(),
        other => String::from(other),
    };
    value.chars().map(escape).collect()
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(messages: Vec<(u8, Vec<u8>)>) {
        let mut assembler = assembler();
        let kinds = b"BCORYIUDTMX";
        for (kind, rest) in messages {
            let kind = kinds[usize::from(kind) % kinds.len()];
            let bytes: Bytes = [&[kind][..], &rest].concat().into();
            if let Ok(message) = message(&bytes) {
                let _ = assembler.push(message);
            }
        }
    }

    #[test]
    fn no_damaged_message_makes_it_panic(flips: Vec<(u8, u8, u8)>) {
        let new: &[V<'_>] = &[t("a"), V::Null, t("2025-06-30 12:02:24+08"), V::Same];
        let mut stream = [
            begin(),
            relation("xendit", b'f', &FULL),
            change(b'U', &[(b'O', new), (b'N', new)]),
            change(b'D', &[(b'K', new)]),
            truncate(&[OID]),
            commit(),
        ].map(|bytes| bytes.to_vec());
        let count = stream.len();
        for (which, place, value) in flips {
            let bytes = &mut stream[usize::from(which) % count];
            let place = usize::from(place) % bytes.len();
            bytes[place] = value;
        }
        let mut assembler = assembler();
        for bytes in stream {
            if let Ok(message) = message(&bytes.into()) {
                let _ = assembler.push(message);
            }
        }
    }

    #[test]
    fn copied_text_is_read_back_in_pieces_of_any_size(
        rows in prop::collection::vec(prop::collection::vec(prop::option::of("[\\x01-~\\\\é]*"), 3), 0..8),
        size in 1_usize..50,
    ) {
        let line = |row: &Vec<Option<String>>| {
            row.iter().map(|value| escaped(value.as_deref())).collect::<Vec<_>>().join("\t") + "\n"
        };
        let text: String = rows.iter().map(line).collect();
        let (mut decoder, mut read) = (CopyDecoder::new(3), Vec::new());
        for piece in text.as_bytes().chunks(size) {
            decoder.push(piece, &mut read).unwrap();
        }
        decoder.finish().unwrap();
        let expected: Vec<_> = rows.into_iter().map(|values| RawRow { values }).collect();
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn no_copied_bytes_make_it_panic(bytes: Vec<u8>, width in 1_usize..4) {
        let (mut decoder, mut rows) = (CopyDecoder::new(width), Vec::new());
        let _ = decoder.push(&bytes, &mut rows);
        let _ = decoder.finish();
    }
}
