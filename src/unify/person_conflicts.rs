//! Conflicts that are judged over all facts of one owner (SPEC §5.1, §6).

use serde_json::Value;

use super::duplicates::{Outcome, payment_row, single_product};
use super::enrollment::{Period, Standing};
use super::evidence::{self, object, option, texts};
use super::model::{Conflict, ConflictKind, Group, Profile, Severity};
use super::order::{compare_payments, compare_rows};
use super::profile::has_tag;
use super::scope::scope_of_owner;
use super::survivorship::name_of_payment;
use super::transaction::Booked;
use crate::facts::{Contact, Payment, is_same_but_for_case};
use crate::rules::{Product, Rules};

/// Everything a person's conflicts are judged from.
pub(crate) struct Person<'a> {
    /// The facts.
    pub(crate) group: &'a Group,
    /// What became of each payment row.
    pub(crate) outcomes: &'a [(&'a Payment, Outcome<'a>)],
    /// The transactions.
    pub(crate) booked: &'a [Booked<'a>],
    /// The courses.
    pub(crate) standings: &'a [Standing<'a>],
    /// The outcome.
    pub(crate) profile: &'a Profile,
}

/// `duplicate_payment`, of every row whose payment another row stands for (SPEC §5.1).
pub(crate) fn duplicate_payments(
    group: &Group,
    outcomes: &[(&Payment, Outcome<'_>)],
) -> Vec<Conflict> {
    let scope = scope_of_owner(&group.owner);
    let duplicates = outcomes.iter().filter_map(|(payment, outcome)| match outcome {
        Outcome::DuplicateOf(survivor) => Some((payment, survivor)),
        Outcome::Survives | Outcome::InvalidAmount => None,
    });
    let conflicts = duplicates.map(|(payment, survivor)| Conflict {
        kind: ConflictKind::DuplicatePayment,
        severity: Severity::Info,
        subject: payment_row(payment),
        scope: scope.clone(),
        evidence: object([
            ("source_row", payment_row(payment).into()),
            ("duplicate", evidence::payment_side(payment)),
            ("survivor", evidence::payment_side(survivor)),
        ]),
    });
    conflicts.collect()
}

/// The person-level kinds of SPEC §6.
pub(crate) fn of_person(person: &Person<'_>, rules: &Rules) -> Vec<Conflict> {
    let mut conflicts: Vec<Conflict> = person
        .standings
        .iter()
        .filter_map(|standing| duplicate_purchase(person, standing))
        .collect();
    for product in &rules.products {
        conflicts.extend(tag_mismatch(person, product));
    }
    conflicts.extend(name_disagreement(person));
    conflicts
}

impl Person<'_> {
    fn conflict(&self, kind: ConflictKind, subject: String, evidence: Value) -> Conflict {
        let review = kind == ConflictKind::DuplicatePurchase;
        Conflict {
            kind,
            severity: if review { Severity::Review } else { Severity::Info },
            subject,
            scope: scope_of_owner(&self.group.owner),
            evidence,
        }
    }

    fn subject_of(&self, product: &Product) -> String {
        format!("{}#{}", self.profile.email, product.code)
    }

    /// In key order: that of survivorship changes with every touch of a contact, which is no news.
    fn contact_sides(&self) -> Value {
        let mut contacts: Vec<&Contact> = self.group.contacts.iter().collect();
        contacts.sort_by(|a, b| compare_rows((&a.feed, &a.key), (&b.feed, &b.key)));
        evidence::sides(contacts.into_iter().map(evidence::contact_side))
    }
}

/// The first of a list, and how many there are.
fn some_of(total: usize, shown: Vec<Value>) -> Value {
    object([("total", total.into()), ("shown", Value::Array(shown))])
}

fn payment_sides(payments: Vec<&Payment>) -> Value {
    evidence::sides(payments.into_iter().map(evidence::payment_side))
}

/// A course bought again while access runs.
fn duplicate_purchase(person: &Person<'_>, standing: &Standing<'_>) -> Option<Conflict> {
    let doubled: Vec<&Period<'_>> =
        standing.periods.iter().filter(|period| !period.within.is_empty()).collect();
    if doubled.is_empty() {
        return None;
    }
    let mut left = evidence::MAX_SIDES;
    let mut periods = Vec::new();
    for period in &doubled {
        if left == 0 {
            break;
        }
        let again: Vec<Value> = period
            .within
            .iter()
            .take(left)
            .map(|booked| evidence::payment_side(booked.payment))
            .collect();
        left -= again.len();
        periods.push(object([
            ("start_date", option(period.start.map(|date| date.to_string()))),
            ("expiry_date", option(period.expiry.map(|date| date.to_string()))),
            ("opened_by", evidence::payment_side(period.opened_by.payment)),
            ("bought_again", some_of(period.within.len(), again)),
        ]));
    }
    let code = standing.product.code.as_str();
    let evidence = object([
        ("email", person.profile.email.as_str().into()),
        ("product", code.into()),
        ("enrollments_affected", Value::Array(vec![code.into()])),
        ("periods", some_of(doubled.len(), periods)),
    ]);
    let subject = person.subject_of(standing.product);
    Some(person.conflict(ConflictKind::DuplicatePurchase, subject, evidence))
}

/// A tag that says paid where nothing is, or the other way round.
fn tag_mismatch(person: &Person<'_>, product: &Product) -> Option<Conflict> {
    let tag = product.tag.as_ref()?;
    let of_product = |payment: &Payment| single_product(payment) == Some(product.code.as_str());
    let tagged = has_tag(person.group.contacts.iter(), tag);
    // A payment that the transaction filter leaves out is still a payment: the tag is not wrong.
    let was_paid = person.outcomes.iter().any(|(payment, outcome)| {
        let paid = payment.status.is_successful() || payment.status.is_reversed();
        *outcome == Outcome::Survives && paid && of_product(payment)
    });
    let evidence = |payments: Vec<&Payment>| {
        object([
            ("email", person.profile.email.as_str().into()),
            ("product", product.code.as_str().into()),
            ("tag", tag.as_str().into()),
            ("enrollments_affected", texts(product.course.then_some(&product.code))),
            ("contacts", person.contact_sides()),
            ("payments", payment_sides(payments)),
        ])
    };
    if tagged && !was_paid {
        let payments = person.outcomes.iter().map(|(payment, _)| *payment);
        let evidence = evidence(payments.filter(|payment| of_product(payment)).collect());
        let subject = person.subject_of(product);
        return Some(person.conflict(ConflictKind::TagWithoutPayment, subject, evidence));
    }
    if tagged || person.group.contacts.is_empty() {
        return None;
    }
    let booked = person.booked.iter().map(|booked| booked.payment);
    let paid: Vec<&Payment> =
        booked.filter(|payment| payment.status.is_successful() && of_product(payment)).collect();
    if paid.is_empty() {
        return None;
    }
    let subject = person.subject_of(product);
    Some(person.conflict(ConflictKind::PaymentWithoutTag, subject, evidence(paid)))
}

/// The newest successful payment says another name than the profile.
fn name_disagreement(person: &Person<'_>) -> Option<Conflict> {
    let successful = person.group.payments.iter().filter(|p| p.status.is_successful());
    let newest = successful.min_by(|a, b| compare_payments(a, b))?;
    let (first, last) = name_of_payment(newest)?;
    let profile = person.profile;
    let own = words(profile.first_name.as_ref(), profile.last_name.as_ref());
    let theirs = words(first, last);
    if own.is_empty() || share_a_word(&own, &theirs) {
        return None;
    }
    let name = evidence::full_name(profile.first_name.as_ref(), profile.last_name.as_ref());
    let evidence = object([
        ("email", profile.email.as_str().into()),
        ("profile_name", option(name)),
        ("customer_name", option(evidence::full_name(first, last))),
        ("payment", evidence::payment_side(newest)),
        ("contacts", person.contact_sides()),
    ]);
    let subject = profile.email.to_string();
    Some(person.conflict(ConflictKind::NameDisagreement, subject, evidence))
}

/// The words of a name.
fn words<'a>(first: Option<&'a String>, last: Option<&'a String>) -> Vec<&'a str> {
    let parts = first.into_iter().chain(last);
    parts.flat_map(|part| part.split(' ')).filter(|word| !word.is_empty()).collect()
}

fn share_a_word(a: &[&str], b: &[&str]) -> bool {
    a.iter().any(|word| b.iter().any(|other| is_same_but_for_case(word, other)))
}
