//! The rules of SPEC §4 to §6 as tables, and their properties. Facts are built by hand: no row rule is
//! under test here.

mod conflicts;
mod cross_conflicts;
mod enrollments;
mod explain;
mod feeds;
mod payments;
mod people;
mod properties;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{Timestamp, civil};
use rust_decimal::Decimal;

use super::{Context, Group, Owner, Transaction, Unified, unify};
use crate::facts::{
    Contact, EmailKey, Feed, FeedInfo, FeedKind, Metadata, Note, NoteKind, Payment, RawTexts,
    SourceKey,
};
use crate::rules::{Rules, Status};

const ANA: &str = "ana@example.com";

fn email(key: &str) -> EmailKey {
    EmailKey::trusted(key.to_owned())
}

/// `2025-06-30` is noon of that day in Manila; anything longer is an instant.
fn at(text: &str) -> Option<Timestamp> {
    let text = if text.len() == 10 { format!("{text}T12:00:00+08:00") } else { text.to_owned() };
    Some(text.parse().unwrap())
}

fn date(text: &str) -> civil::Date {
    text.parse().unwrap()
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn money(text: &str) -> Option<Decimal> {
    Some(text.parse().unwrap())
}

fn note(kind: NoteKind, field: &str, raw: &str) -> Note {
    Note { kind, field: field.to_owned(), raw: raw.to_owned() }
}

/// The primary feed of contacts, or of payments.
fn feed(kind: FeedKind) -> Arc<FeedInfo> {
    let (number, name) = match kind {
        FeedKind::Contact => (1, "systemeio"),
        FeedKind::Payment => (2, "xendit"),
    };
    let (feed, name) = (Feed::new(number), name.to_owned());
    let provider = name.as_str().into();
    Arc::new(FeedInfo { feed, name, kind, primary: true, provider, rank: 100 })
}

/// A further feed.
fn further(number: i16, name: &str, kind: FeedKind, rank: u32) -> Arc<FeedInfo> {
    let feed = Feed::new(number);
    let provider = format!("{name} inc").as_str().into();
    Arc::new(FeedInfo { feed, name: name.to_owned(), kind, primary: false, provider, rank })
}

/// A contact of Ana with nothing else.
fn contact(key: &str) -> Contact {
    Contact {
        feed: feed(FeedKind::Contact),
        key: SourceKey(key.to_owned()),
        email: Ok(email(ANA)),
        contact_id: None,
        first_name: None,
        last_name: None,
        phone: None,
        tags: Vec::new(),
        tags_text: None,
        created_at: None,
        updated_at: None,
        synced_at: None,
        notes: Vec::new(),
        raw: RawTexts::default(),
    }
}

fn tagged(key: &str, tags: &[&str]) -> Contact {
    Contact { tags: tags.iter().map(|tag| (*tag).to_owned()).collect(), ..contact(key) }
}

/// A paid payment of Ana for `p2p` without any time.
fn payment(key: &str) -> Payment {
    Payment {
        feed: feed(FeedKind::Payment),
        key: SourceKey(key.to_owned()),
        email: Ok(email(ANA)),
        external_id: None,
        payment_id: None,
        amount: money("1000"),
        fee: None,
        paid_amount: None,
        currency: "PHP".to_owned(),
        status: Status::Paid,
        products: vec!["p2p".to_owned()],
        payment_method: None,
        description: None,
        failure_reason: None,
        first_name: None,
        last_name: None,
        phone: None,
        created_at: None,
        updated_at: None,
        paid_at: None,
        settled_at: None,
        synced_at: None,
        metadata: Metadata::default(),
        notes: Vec::new(),
        raw: RawTexts::default(),
    }
}

fn paid(key: &str, day: &str) -> Payment {
    Payment { paid_at: at(day), ..payment(key) }
}

fn group(contacts: Vec<Contact>, payments: Vec<Payment>) -> Group {
    Group { owner: Owner::Person(email(ANA)), contacts, payments }
}

fn orphans(contacts: Vec<Contact>, payments: Vec<Payment>) -> Group {
    Group { owner: Owner::Orphans("orphan xendit:a".to_owned()), contacts, payments }
}

fn context() -> Context {
    Context { today: date("2025-07-01"), contact_id_holders: BTreeMap::new() }
}

fn unified(contacts: Vec<Contact>, payments: Vec<Payment>) -> Unified {
    unify(&group(contacts, payments), &context(), &Rules::default())
}

fn keys(unified: &Unified) -> Vec<&str> {
    let mut keys: Vec<&str> = unified.transactions.iter().map(|t| t.source_key.as_str()).collect();
    keys.sort_unstable();
    keys
}

/// `kind severity subject`, in the order of the answer.
fn found(unified: &Unified) -> Vec<String> {
    let line = |c: &super::Conflict| format!("{} {} {}", c.kind, c.severity.as_str(), c.subject);
    unified.conflicts.iter().map(line).collect()
}

/// As [`found`], without the notes that payments built here always imply.
fn found_but(unified: &Unified, kinds: &[&str]) -> Vec<String> {
    let mut lines = found(unified);
    lines.retain(|line| !kinds.iter().any(|kind| line.starts_with(kind)));
    lines
}

fn only(payment: Payment) -> Transaction {
    unified(vec![], vec![payment]).transactions.remove(0)
}
