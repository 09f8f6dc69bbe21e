//! The fields of one row: which column wins, what is noted, what is kept as evidence (SPEC §1).

use std::borrow::Cow;

use jiff::Timestamp;

use super::clean::cleaned;
use super::email::email_key;
use super::field::LogicalField;
use super::name::{FullName, full_name};
use super::oversized::is_left_out;
use super::phone::phone;
use super::row::{ColumnKind, Layout, RawRow};
use super::source::{Part, SkipOf, Text, UNCONVERTED};
use super::time::{is_zone, parse_instant, parse_timestamp};
use super::{EmailKey, EmailReason, Note, NoteKind};
use crate::rules::Rules;

/// What a rule makes of one column: the value, if it is usable, and the notes.
pub(super) type Reading<T> = (Option<T>, Vec<NoteKind>);

/// Reads the fields of one row and collects their notes in the order of reading.
pub(super) struct Reader<'a, F> {
    row: &'a RawRow,
    layout: &'a Layout<F>,
    rules: &'a Rules,
    notes: Vec<Note>,
}

impl<'a, F: LogicalField> Reader<'a, F> {
    pub(super) fn new(row: &'a RawRow, layout: &'a Layout<F>, rules: &'a Rules) -> Self {
        let columns = row.values.iter().zip(&layout.columns.list);
        let damaged = columns.filter_map(|(value, column)| {
            let value = value.as_deref()?;
            let (kind, raw) = if is_left_out(value) {
                (NoteKind::Oversized, String::new())
            } else {
                (NoteKind::Unconverted, value.strip_suffix(UNCONVERTED)?.to_owned())
            };
            Some(Note { kind, field: column.name.clone(), raw })
        });
        Self { row, layout, rules, notes: damaged.collect() }
    }

    /// What the row is read by.
    pub(super) fn layout(&self) -> &'a Layout<F> {
        self.layout
    }

    /// Bytes of all values of the row.
    pub(super) fn bytes(&self) -> usize {
        self.row.values.iter().flatten().map(String::len).sum()
    }

    /// The notes of every field that was read.
    pub(super) fn into_notes(self) -> Vec<Note> {
        self.notes
    }

    /// The texts of a field that are not NULL, first choice first.
    pub(super) fn texts(&self, field: F) -> impl Iterator<Item = Text<'a>> + use<'a, F> {
        let (row, layout) = (self.row, self.layout);
        layout.of(field).iter().filter_map(move |source| source.text(row, &layout.columns))
    }

    /// Whether the feed's configuration leaves the row out. `winning` is the text of a field that wins. A column that a field takes
    /// as it is, is compared by the words of `when`: `true`, not `t`.
    pub(super) fn is_skipped(&self, winning: impl Fn(F) -> Option<Text<'a>>) -> bool {
        self.layout.rules.skip.iter().any(|skip| match &skip.of {
            SkipOf::Field(field) => winning(*field).is_some_and(|(text, kind)| {
                Part::Whole.of(&text, kind).is_some_and(|(text, _)| skip.holds(&text))
            }),
            SkipOf::Source(source) => {
                let text = source.text(self.row, &self.layout.columns);
                text.is_some_and(|(text, _)| skip.holds(&text))
            }
        })
    }

    /// The text of the first source of which the rule gives a value, else of the first that is not NULL.
    pub(super) fn winning(
        &self,
        field: F,
        is_usable: impl Fn(&str, ColumnKind) -> bool,
    ) -> Option<Text<'a>> {
        let mut texts = self.texts(field);
        let first = texts.next()?;
        if self.layout.of(field).len() == 1 || is_usable(&first.0, first.1) {
            return Some(first);
        }
        Some(texts.find(|(text, kind)| is_usable(text, *kind)).unwrap_or(first))
    }

    /// A name in one text, split (SPEC §3.4).
    pub(super) fn full_name(&mut self, field: F) -> FullName {
        let name = self.value(field, |text, _| {
            let (name, repaired) = full_name(text);
            ((name != FullName::default()).then_some(name), mojibake(repaired))
        });
        name.unwrap_or_default()
    }

    /// The first usable value. Where no column gives one, the first that is not NULL after cleaning is
    /// the evidence: its notes count.
    pub(super) fn value<T>(
        &mut self,
        field: F,
        read: impl Fn(&str, ColumnKind) -> Reading<T>,
    ) -> Option<T> {
        let mut evidence = None;
        for (text, kind) in self.texts(field) {
            let (value, notes) = read(&text, kind);
            if value.is_some() {
                self.note(field, &text, notes);
                return value;
            }
            if evidence.is_none() && cleaned(&text).is_some() {
                evidence = Some((text, notes));
            }
        }
        let (text, notes) = evidence?;
        self.note(field, &text, notes);
        None
    }

    /// Records notes on a raw text.
    pub(super) fn note(&mut self, field: F, raw: &str, kinds: Vec<NoteKind>) {
        for kind in kinds {
            self.notes.push(Note { kind, field: field.name().to_owned(), raw: raw.to_owned() });
        }
    }

    /// SPEC §3.1.
    pub(super) fn text(&self, field: F) -> Option<String> {
        self.clean_text(field).map(Cow::into_owned)
    }

    /// SPEC §3.1, copied only where cleaning changes something.
    pub(super) fn clean_text(&self, field: F) -> Option<Cow<'a, str>> {
        self.texts(field).find_map(|(text, _)| match text {
            Cow::Borrowed(text) => cleaned(text),
            Cow::Owned(text) => cleaned(&text).map(|text| Cow::Owned(text.into_owned())),
        })
    }

    /// SPEC §3.2. Where no column gives a key, the reason is that of the first that is not missing.
    pub(super) fn email(&mut self, field: F) -> Result<EmailKey, EmailReason> {
        let mut evidence = None;
        for (text, _) in self.texts(field) {
            let (key, invisible) = email_key(&text);
            let notes = if invisible { vec![NoteKind::InvisibleCharacter] } else { Vec::new() };
            match key {
                Ok(key) => {
                    self.note(field, &text, notes);
                    return Ok(key);
                }
                Err(EmailReason::Missing) => {}
                Err(reason) if evidence.is_none() => evidence = Some((reason, text, notes)),
                Err(_) => {}
            }
        }
        let (reason, text, notes) = evidence.ok_or(EmailReason::Missing)?;
        self.note(field, &text, notes);
        Err(reason)
    }

    /// SPEC §3.5.
    pub(super) fn phone(&mut self, field: F) -> Option<String> {
        self.value(field, |text, _| {
            let (number, invalid) = phone(text);
            (number, if invalid { vec![NoteKind::InvalidPhone] } else { Vec::new() })
        })
    }

    /// SPEC §3.7. `zone` is the text of the row's timezone column.
    pub(super) fn time(&mut self, field: F, zone: Option<&str>) -> Option<Timestamp> {
        let rules = self.rules;
        self.value(field, |text, kind| time(text, kind, zone, rules))
    }

    /// A time whose damage nobody needs to hear of.
    pub(super) fn time_without_notes(&self, field: F, zone: Option<&str>) -> Option<Timestamp> {
        self.texts(field).find_map(|(text, kind)| time(&text, kind, zone, self.rules).0)
    }

    /// The text of the first timezone column that is understood.
    pub(super) fn zone(&self, field: F) -> Option<Cow<'a, str>> {
        self.texts(field).map(|(text, _)| text).find(|text| is_zone(text))
    }
}

pub(super) fn time(
    text: &str,
    kind: ColumnKind,
    zone: Option<&str>,
    rules: &Rules,
) -> Reading<Timestamp> {
    if kind != ColumnKind::Instant {
        return parse_timestamp(text, zone, rules);
    }
    match parse_instant(text) {
        Some(instant) => (Some(instant), Vec::new()),
        None => (None, vec![NoteKind::UnparsableTimestamp]),
    }
}

/// The notes of a name (SPEC §3.4).
pub(super) fn mojibake(repaired: bool) -> Vec<NoteKind> {
    if repaired { vec![NoteKind::Mojibake] } else { Vec::new() }
}
