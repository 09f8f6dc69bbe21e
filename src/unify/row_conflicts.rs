//! Conflicts and notes that one source row implies by itself (SPEC §6, subject "source row").

use std::collections::BTreeMap;

use jiff::SignedDuration;
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use super::duplicates::{contact_row, payment_row};
use super::evidence::{self, object};
use super::model::{Conflict, ConflictKind, Owner, Severity};
use super::scope::scope_of_owner;
use super::transaction::paid_at;
use crate::facts::{Contact, Note, NoteKind, Payment};
use crate::rules::{Rules, Status};

/// How far paid_at may lie before created without being called out: clocks and zones differ by less.
const TEMPORAL_TOLERANCE: SignedDuration = SignedDuration::from_hours(24);

/// Why bytes of a source without an encoding are a conflict (P10).
const NO_UTF8: &str =
    "the source holds bytes that are no UTF-8, read as U+FFFD: correct them there";

/// Why a row that is too large is a conflict (P13).
const OVERSIZED: &str = "the row is larger than run.max_row_bytes, and these values were left out: shorten them in the source, or raise the limit";

/// The row under judgement. Its evidence is made only once something is found: most rows are clean.
#[derive(Clone, Copy)]
struct Row<'a> {
    owner: &'a Owner,
    fact: Fact<'a>,
}

#[derive(Clone, Copy)]
enum Fact<'a> {
    Contact(&'a Contact),
    Payment(&'a Payment, &'a Rules),
}

impl Row<'_> {
    fn name(self) -> String {
        match self.fact {
            Fact::Contact(contact) => contact_row(contact),
            Fact::Payment(payment, _) => payment_row(payment),
        }
    }

    fn conflict(self, kind: ConflictKind, severity: Severity, extra: Value) -> Conflict {
        let name = self.name();
        let mut evidence = Map::new();
        evidence.insert("source_row".into(), name.clone().into());
        match self.fact {
            Fact::Contact(contact) => {
                evidence.insert("contact".into(), evidence::contact_side(contact));
            }
            Fact::Payment(payment, rules) => {
                let affected = evidence::enrollments_affected(payment, rules);
                evidence.insert("payment".into(), evidence::payment_side(payment));
                evidence.insert("enrollments_affected".into(), affected);
            }
        }
        if let Value::Object(extra) = extra {
            evidence.extend(extra.into_iter().filter(|(_, value)| !value.is_null()));
        }
        let (scope, evidence) = (scope_of_owner(self.owner), Value::Object(evidence));
        Conflict { kind, severity, subject: name, scope, evidence }
    }

    /// One conflict for each kind of stored note, and one for each unparsable field.
    fn notes(self, notes: &[Note], urgent: impl Fn(&str) -> bool) -> Vec<Conflict> {
        let mut by_subject: BTreeMap<(ConflictKind, Option<&str>), Vec<&Note>> = BTreeMap::new();
        for note in notes {
            let Some(kind) = stored_kind(note.kind) else { continue };
            let field = (kind == ConflictKind::UnparsableTimestamp).then_some(note.field.as_str());
            by_subject.entry((kind, field)).or_default().push(note);
        }
        let conflicts = by_subject.into_iter().map(|((kind, field), notes)| {
            let is_rejected = kind == ConflictKind::RejectedRow;
            let review = is_rejected || field.is_some_and(&urgent);
            let severity = if review { Severity::Review } else { Severity::Info };
            let mut fields = object([("fields", evidence::notes(&notes))]);
            if is_rejected {
                let is_oversized = notes.iter().any(|note| note.kind == NoteKind::Oversized);
                fields["reason"] = if is_oversized { OVERSIZED } else { NO_UTF8 }.into();
            }
            let mut conflict = self.conflict(kind, severity, fields);
            if let Some(field) = field {
                conflict.subject = format!("{}#{field}", self.name());
            }
            conflict
        });
        conflicts.collect()
    }
}

/// The kind under which a note is stored; `None` where it is only counted (SPEC §6).
fn stored_kind(note: NoteKind) -> Option<ConflictKind> {
    match note {
        NoteKind::InvisibleCharacter => Some(ConflictKind::InvisibleCharacter),
        NoteKind::Mojibake => Some(ConflictKind::Mojibake),
        NoteKind::InvalidPhone => Some(ConflictKind::InvalidPhone),
        NoteKind::TimezoneAbbreviation => Some(ConflictKind::TimezoneAbbreviation),
        NoteKind::DateOnly => Some(ConflictKind::DateOnly),
        NoteKind::SpreadsheetDate => Some(ConflictKind::SpreadsheetDate),
        NoteKind::AmbiguousDate => Some(ConflictKind::AmbiguousDate),
        NoteKind::UnparsableTimestamp => Some(ConflictKind::UnparsableTimestamp),
        NoteKind::UnreadableTags => Some(ConflictKind::UnreadableTags),
        // What can be read of the row counts all the same.
        NoteKind::Unconverted | NoteKind::Oversized => Some(ConflictKind::RejectedRow),
        NoteKind::TimezoneAssumed | NoteKind::CurrencyAssumed => None,
    }
}

/// What a contact row implies by itself.
pub(crate) fn of_contact(owner: &Owner, contact: &Contact) -> Vec<Conflict> {
    let row = Row { owner, fact: Fact::Contact(contact) };
    let mut conflicts = row.notes(&contact.notes, |_| false);
    if let Err(reason) = contact.email {
        let (raw, visible) = evidence::raw(&contact.raw);
        let extra =
            object([("reason", reason.as_str().into()), ("raw", raw), ("visible", visible)]);
        conflicts.push(row.conflict(ConflictKind::UnusableEmail, Severity::Info, extra));
    }
    conflicts
}

/// What a payment row implies by itself, whether or not it gives a transaction (SPEC §5.1).
pub(crate) fn of_payment(owner: &Owner, payment: &Payment, rules: &Rules) -> Vec<Conflict> {
    let row = Row { owner, fact: Fact::Payment(payment, rules) };
    let successful = payment.status.is_successful();
    let urgent = |field: &str| successful && matches!(field, "paid_at" | "created");
    let mut conflicts = row.notes(&payment.notes, urgent);
    conflicts.extend(unlinked(row, payment));
    for (holds, kind, fields) in judgements(payment, rules) {
        if holds {
            let (raw, visible) = evidence::raw_of(payment, fields);
            let mut extra = object([("raw", raw), ("visible", visible)]);
            if kind == ConflictKind::Underpaid {
                extra["paid_amount"] = evidence::amount(payment.paid_amount);
            }
            if kind == ConflictKind::CurrencyMismatch {
                extra["expected_currency"] = rules.currency.as_str().into();
            }
            conflicts.push(row.conflict(kind, Severity::Review, extra));
        }
    }
    if let (inferred, Some(field)) = paid_at(payment) {
        // The time of a sync moves with every sync: which field it was is all there is to say.
        let at = inferred.filter(|_| field != "sync_timestamp");
        let extra = json!({ "inferred_from": field, "paid_at": at });
        conflicts.push(row.conflict(ConflictKind::PaidAtInferred, Severity::Info, extra));
    }
    conflicts
}

fn unlinked(row: Row<'_>, payment: &Payment) -> Option<Conflict> {
    let reason = payment.email.as_ref().err()?;
    let successful = payment.status.is_successful();
    let severity = if successful { Severity::Review } else { Severity::Info };
    let (raw, visible) = evidence::raw(&payment.raw);
    let extra = object([("reason", reason.as_str().into()), ("raw", raw), ("visible", visible)]);
    Some(row.conflict(ConflictKind::UnlinkedPayment, severity, extra))
}

/// The kinds of SPEC §6 that need a person: whether each holds, and the raw fields that show why.
fn judgements(
    payment: &Payment,
    rules: &Rules,
) -> [(bool, ConflictKind, &'static [&'static str]); 8] {
    let successful = payment.status.is_successful();
    let amount = payment.amount;
    let underpaid = payment.paid_amount.zip(amount).is_some_and(|(paid, amount)| paid < amount);
    let times = payment.paid_at.zip(payment.created_at);
    let too_early =
        times.is_some_and(|(paid, created)| created.duration_since(paid) > TEMPORAL_TOLERANCE);
    let products = payment.products.len();
    [
        (amount.is_none(), ConflictKind::InvalidAmount, &["amount", "currency"]),
        (
            successful && amount.is_some_and(|amount| amount <= Decimal::ZERO),
            ConflictKind::NonPositiveAmount,
            &["amount", "paid_amount"],
        ),
        (
            successful && payment.currency != rules.currency,
            ConflictKind::CurrencyMismatch,
            &["amount", "currency"],
        ),
        (successful && underpaid, ConflictKind::Underpaid, &["amount", "paid_amount", "fees"]),
        (payment.status == Status::Unknown, ConflictKind::UnmappedStatus, &["status"]),
        (successful && products == 0, ConflictKind::UnmappedProduct, &["description"]),
        (products > 1, ConflictKind::MultipleProducts, &["description"]),
        (successful && too_early, ConflictKind::TemporalOrder, &["created", "paid_at"]),
    ]
}
