//! Conflicts between people, and between the product and its target (SPEC §4, §5.3, §6).
//!
//! They are found by narrow look-ups elsewhere; here is what they say.

use std::collections::BTreeSet;

use rust_decimal::Decimal;
use serde_json::{Value, json};
use uuid::Uuid;

use super::evidence::{MAX_SIDES, amount, cut};
use super::model::{Conflict, ConflictKind, Severity};
use super::scope::{
    scope_of_blocked, scope_of_collision, scope_of_contact_id, scope_of_external_id, scope_of_link,
    scope_of_pair, scope_of_rejected, scope_of_split,
};
use crate::facts::FeedInfo;

/// One payment row that carries an external_id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalIdSide {
    /// Such as `xendit:4f…`.
    pub source_row: String,
    /// E-mail key; `None` where the payment has no person.
    pub person: Option<String>,
    /// `None` is invalid.
    pub amount: Option<Decimal>,
    /// Uppercase.
    pub currency: String,
    /// Code, if exactly one product matches.
    pub product: Option<String>,
    /// Clean.
    pub payment_id: Option<String>,
    /// The word of [`crate::rules::Status::as_str`].
    pub status: String,
}

impl ExternalIdSide {
    fn json(&self) -> Value {
        json!({
            "source_row": self.source_row,
            "person": self.person,
            "amount": amount(self.amount),
            "currency": cut(&self.currency),
            "product": self.product,
            "payment_id": self.payment_id.as_deref().map(cut),
            "status": self.status,
        })
    }
}

/// Which values the sides do not share. A missing payment_id differs from nothing.
fn differences(sides: &[ExternalIdSide]) -> Vec<&'static str> {
    let spread = |values: BTreeSet<String>| values.len() > 1;
    let all = |value: &dyn Fn(&ExternalIdSide) -> String| spread(sides.iter().map(value).collect());
    let payment_ids = sides.iter().filter_map(|side| side.payment_id.clone()).collect();
    [
        ("person", all(&|side| format!("{:?}", side.person))),
        ("amount", all(&|side| format!("{:?}", side.amount.map(|amount| amount.normalize())))),
        ("currency", all(&|side| side.currency.clone())),
        ("product", all(&|side| format!("{:?}", side.product))),
        ("payment_id", spread(payment_ids)),
    ]
    .into_iter()
    .filter_map(|(field, differs)| differs.then_some(field))
    .collect()
}

/// Payments with one external_id that are not the same payment; `None` where they all are. `sides` is in
/// any order, the caller chooses which of many (the same ones for the same rows, and some that differ
/// where any do); `more` says that there are others.
#[must_use]
pub fn duplicate_external_id(
    feed: &FeedInfo,
    value: &str,
    sides: &[ExternalIdSide],
    more: bool,
) -> Option<Conflict> {
    let mut sides = sides.to_vec();
    sides.sort_by(|a, b| a.source_row.cmp(&b.source_row));
    let differs_in = differences(&sides);
    if differs_in.is_empty() {
        return None;
    }
    let more = more || sides.len() > MAX_SIDES;
    let products: BTreeSet<&String> = sides.iter().filter_map(|s| s.product.as_ref()).collect();
    let shown: Vec<Value> = sides.iter().take(MAX_SIDES).map(ExternalIdSide::json).collect();
    Some(Conflict {
        kind: ConflictKind::DuplicateExternalId,
        severity: Severity::Review,
        subject: scope_of_external_id(feed, value),
        scope: scope_of_external_id(feed, value),
        evidence: json!({
            "external_id": cut(value),
            "differs_in": differs_in,
            "products": products.into_iter().take(MAX_SIDES).collect::<Vec<_>>(),
            "sides": shown,
            "more": more,
        }),
    })
}

/// A contact_id that contacts of several people carry (SPEC §4.4). `people` is in any order and may
/// hold the holder; `more` says that there are others.
#[must_use]
pub fn contact_id_collision(value: &str, holder: &str, people: &[String], more: bool) -> Conflict {
    let people: BTreeSet<&str> =
        people.iter().map(String::as_str).chain(std::iter::once(holder)).collect();
    let more = more || people.len() > MAX_SIDES;
    let shown: Vec<&str> = people.into_iter().take(MAX_SIDES).collect();
    Conflict {
        kind: ConflictKind::ContactIdCollision,
        severity: Severity::Review,
        subject: scope_of_contact_id(value),
        scope: scope_of_contact_id(value),
        evidence: json!({
            "contact_id": cut(value),
            "holder": holder,
            "people": shown,
            "more": more,
        }),
    }
}

/// Two people whose keys read as one address (SPEC §3.3), in any order.
#[must_use]
pub fn possible_duplicate(a: &str, b: &str, canonical: &str) -> Conflict {
    let (a, b) = if a <= b { (a, b) } else { (b, a) };
    Conflict {
        kind: ConflictKind::PossibleDuplicate,
        severity: Severity::Review,
        subject: format!("{a}|{b}"),
        scope: scope_of_pair(b),
        evidence: json!({ "emails": [a, b], "canonical": canonical }),
    }
}

/// A contact that moved from person `a` to person `b`, who was there already (SPEC §4.3).
#[must_use]
pub fn email_change_collision(a: &str, b: &str, source_row: &str) -> Conflict {
    email_change(ConflictKind::EmailChangeCollision, a, b, source_row, scope_of_collision(a, b))
}

/// A contact that left person `a`, who has another contact, and became the new person `b` (SPEC §4.3).
#[must_use]
pub fn email_change_split(a: &str, b: &str, source_row: &str) -> Conflict {
    email_change(ConflictKind::EmailChangeSplit, a, b, source_row, scope_of_split(a, b))
}

fn email_change(kind: ConflictKind, a: &str, b: &str, source_row: &str, scope: String) -> Conflict {
    let evidence = json!({ "from": a, "to": b, "source_row": source_row });
    Conflict { kind, severity: Severity::Review, subject: format!("{a}|{b}"), scope, evidence }
}

/// A deleted payment whose transaction `table` still refers to (SPEC §5.3).
#[must_use]
pub fn delete_blocked(source_row: &str, transaction_id: Uuid, table: &str) -> Conflict {
    Conflict {
        kind: ConflictKind::DeleteBlocked,
        severity: Severity::Review,
        subject: source_row.to_owned(),
        scope: scope_of_blocked(source_row),
        evidence: json!({
            "source_row": source_row,
            "transaction_id": transaction_id,
            "referenced_by": table,
        }),
    }
}

/// A person without any fact left (SPEC §4.5).
#[must_use]
pub fn source_absent(email: &str) -> Conflict {
    let evidence = json!({ "email": email });
    link(ConflictKind::SourceAbsent, Severity::Info, email, evidence)
}

/// A profile that must reference an `auth.users` row that is not there (SPEC §6).
#[must_use]
pub fn missing_auth_user(email: &str) -> Conflict {
    let evidence = json!({ "email": email });
    link(ConflictKind::MissingAuthUser, Severity::Info, email, evidence)
}

/// Existing profiles with one e-mail key: the eldest is used, `others` are left alone (SPEC §4.1).
#[must_use]
pub fn duplicate_profile(email: &str, others: usize) -> Conflict {
    let evidence = json!({ "email": email, "other_profiles": others });
    link(ConflictKind::DuplicateProfile, Severity::Review, email, evidence)
}

/// Existing transactions of one payment: one is used, `others` are left alone (SPEC §5.2).
#[must_use]
pub fn duplicate_transaction(owner: &str, source_row: &str, others: usize) -> Conflict {
    Conflict {
        kind: ConflictKind::DuplicateTransaction,
        severity: Severity::Review,
        subject: source_row.to_owned(),
        scope: format!("owner:{owner}"),
        evidence: json!({ "source_row": source_row, "other_transactions": others }),
    }
}

fn link(kind: ConflictKind, severity: Severity, email: &str, evidence: Value) -> Conflict {
    Conflict { kind, severity, subject: email.to_owned(), scope: scope_of_link(email), evidence }
}

/// A row that cannot be applied (P10). `reason` holds no customer value (P14).
#[must_use]
pub fn rejected_row(source_row: &str, reason: &str) -> Conflict {
    Conflict {
        kind: ConflictKind::RejectedRow,
        severity: Severity::Review,
        subject: source_row.to_owned(),
        scope: scope_of_rejected(source_row),
        evidence: json!({ "source_row": source_row, "reason": cut(reason) }),
    }
}

/// A row with a value that the stream left out and that can be had nowhere (P6). It is judged with its owner.
#[must_use]
pub fn incomplete_row(owner: &str, source_row: &str) -> Conflict {
    Conflict {
        kind: ConflictKind::IncompleteRow,
        severity: Severity::Review,
        subject: source_row.to_owned(),
        scope: format!("owner:{owner}"),
        evidence: json!({ "source_row": source_row }),
    }
}

/// A row whose address the configuration excludes (SPEC §1). `pattern` is the one that it matches.
#[must_use]
pub fn excluded_row(owner: &str, source_row: &str, pattern: &str) -> Conflict {
    Conflict {
        kind: ConflictKind::ExcludedRow,
        severity: Severity::Info,
        subject: source_row.to_owned(),
        scope: format!("owner:{owner}"),
        evidence: json!({ "source_row": source_row, "pattern": pattern }),
    }
}
