//! Random histories through the deciding functions over a state in memory: however the rows came to be as they are, the
//! outcome is that of deciding them all at once (P3).

mod state;

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use self::state::{Outcome, State};
use super::*;
use crate::facts::ColumnKind::{Instant, Numeric, Text};
use crate::facts::{
    self, Column, ColumnKind, Columns, ContactField, Feed, FeedInfo, FeedKind, FieldRules, Layout,
    LogicalField, PaymentField, RawRow, Skip, SkipOf, SourceKey,
};
use crate::rules::{EmailPattern, Rules};

/// One change of the source: what is done, to which row, and the choices that its values are made of.
#[derive(Debug, Clone)]
struct Op {
    feed: Feed,
    action: Action,
    key: u8,
    choices: [u8; 8],
}

#[derive(Debug, Clone, Copy)]
enum Action {
    Upsert,
    Delete,
    /// The row gets this key.
    Rekey(u8),
}

/// Source transactions that share a target transaction.
type Batch = Vec<Vec<Op>>;

fn op() -> impl Strategy<Value = Op> {
    let feed = prop_oneof![
        4 => Just(CONTACTS),
        4 => Just(PAYMENTS),
        1 => Just(LEADS),
        1 => Just(SHOP),
    ];
    let action = prop_oneof![
        6 => Just(Action::Upsert),
        2 => Just(Action::Delete),
        1 => (0u8..6).prop_map(Action::Rekey),
    ];
    (feed, action, 0u8..6, any::<[u8; 8]>()).prop_map(|(feed, action, key, choices)| Op {
        feed,
        action,
        key,
        choices,
    })
}

fn batches() -> impl Strategy<Value = Vec<Batch>> {
    let transaction = prop::collection::vec(op(), 1..5);
    prop::collection::vec(prop::collection::vec(transaction, 1..4), 1..7)
}

const CONTACT: [(ContactField, ColumnKind); 7] = [
    (ContactField::ContactId, Text),
    (ContactField::Email, Text),
    (ContactField::FirstName, Text),
    (ContactField::Phone, Text),
    (ContactField::Tags, Text),
    (ContactField::UpdatedAt, Instant),
    (ContactField::CreatedAt, Instant),
];

const PAYMENT: [(PaymentField, ColumnKind); 8] = [
    (PaymentField::ExternalId, Text),
    (PaymentField::CustomerEmail, Text),
    (PaymentField::Status, Text),
    (PaymentField::Amount, Numeric),
    (PaymentField::Description, Text),
    (PaymentField::PaymentId, Text),
    (PaymentField::PaidAt, Text),
    (PaymentField::Created, Text),
];

/// The primary feeds, and one more of each kind: contacts that come first, and payments of which one status is skipped.
const CONTACTS: Feed = Feed::new(1);
const PAYMENTS: Feed = Feed::new(2);
const LEADS: Feed = Feed::new(3);
const SHOP: Feed = Feed::new(4);

fn info(feed: Feed, name: &str, kind: FeedKind, rank: u32) -> Arc<FeedInfo> {
    let primary = feed.number() <= 2;
    let (name, provider) = (name.to_owned(), name.into());
    Arc::new(FeedInfo { feed, name, kind, primary, provider, rank })
}

fn feeds() -> Feeds {
    let skip = Skip { of: SkipOf::Field(PaymentField::Status), equals: vec!["PENDING".to_owned()] };
    let skipping = FieldRules { skip: vec![skip], ..FieldRules::default() };
    let contacts = |info| FeedLayout::Contact(layout(info, &CONTACT, FieldRules::default()));
    let payments = |info, rules| FeedLayout::Payment(layout(info, &PAYMENT, rules));
    let (contact, payment) = (FeedKind::Contact, FeedKind::Payment);
    let entry = |info: Arc<FeedInfo>, layout: FeedLayout| FeedEntry { info, layout };
    let (first, second) = (info(CONTACTS, "crm", contact, 100), info(LEADS, "leads", contact, 1));
    let (third, fourth) = (info(PAYMENTS, "pay", payment, 100), info(SHOP, "shop", payment, 100));
    Feeds::new(vec![
        entry(Arc::clone(&first), contacts(first)),
        entry(Arc::clone(&second), contacts(second)),
        entry(Arc::clone(&third), payments(third, FieldRules::default())),
        entry(Arc::clone(&fourth), payments(fourth, skipping)),
    ])
}

fn layout<F: LogicalField>(
    feed: Arc<FeedInfo>,
    fields: &[(F, ColumnKind)],
    rules: FieldRules<F>,
) -> Layout<F> {
    let mut columns = vec![Column { name: "id".into(), kind: Text }];
    columns.extend(
        fields.iter().map(|(field, kind)| Column { name: field.name().into(), kind: *kind }),
    );
    let fields = fields
        .iter()
        .enumerate()
        .map(|(i, (field, _))| (*field, vec![facts::Source::Column(i + 1)]));
    Layout::new(feed, Columns::new(columns, vec![0]), fields.collect(), rules)
}

pub(super) fn env() -> Env {
    let rules = Rules { exclude: vec![EmailPattern::new("e@*")], ..Rules::default() };
    Env { today: jiff::civil::date(2025, 9, 1), ..Env::new(rules, Arc::new(feeds())) }
}

/// A row without a person, which the first backfill saw.
pub(super) fn stored_row(chunk: Option<i64>) -> StoredRow {
    StoredRow {
        owner: String::new(),
        email: None,
        shared_id: None,
        member: None,
        digest: uuid::Uuid::nil(),
        outcome: None,
        chunk,
        generation: 1,
        complete: true,
    }
}

const EMAILS: [&str; 8] = [
    "",
    "a@example.com",
    "b@example.com",
    "A@Example.com",
    "c@example.com",
    "d@example.com",
    "e@example.com",
    "not an address",
];
const DAYS: [&str; 4] = ["", "2024-01-05", "2025-06-30", "2025-07-01"];

fn key(number: u8) -> SourceKey {
    SourceKey(format!("00000000-0000-4000-8000-{number:012}"))
}

fn row(feed: Feed, key: &SourceKey, c: &[u8; 8]) -> RawRow {
    let pick = |at: usize, texts: &[&str]| texts[usize::from(c[at]) % texts.len()].to_owned();
    let day = |at: usize, time: &str| {
        let day = pick(at, &DAYS);
        if day.is_empty() { day } else { format!("{day}{time}") }
    };
    let values = match feed {
        CONTACTS | LEADS => vec![
            pick(0, &["", "x", "y", "z"]),
            pick(1, &EMAILS),
            pick(2, &["Ana", "", "Tala Cruz"]),
            pick(3, &["", "09171234567"]),
            pick(4, &["", "PaidP2P", "vip, paidp2p"]),
            day(5, " 00:00:00+00"),
            day(6, " 00:00:00+00"),
        ],
        _ => vec![
            pick(0, &["", "e1", "e2"]),
            pick(1, &EMAILS),
            pick(2, &["PAID", "SETTLED", "PENDING", "REFUNDED"]),
            pick(3, &["499", "10", "", "0"]),
            pick(4, &["Papers to Profits", "", "Canva Ebook"]),
            pick(5, &["", "p1", "p2"]),
            day(6, "T00:00:00Z"),
            day(7, "T00:00:00Z"),
        ],
    };
    let values = values.into_iter().map(|text| (!text.is_empty()).then_some(text));
    RawRow { values: std::iter::once(Some(key.0.clone())).chain(values).collect() }
}

/// The source: what is done there that makes sense there, as changes.
#[derive(Default)]
struct Source(BTreeMap<RowId, RawRow>);

impl Source {
    fn apply(&mut self, tx: u32, op: &Op) -> Option<RowChange> {
        let (feed, from) = (op.feed, key(op.key));
        let id = (feed, from.clone());
        let is_there = self.0.contains_key(&id);
        let changed = |key: SourceKey, row| RowChange { tx, ..RowChange::read(feed, key, row) };
        match op.action {
            Action::Upsert => {
                let row = row(feed, &from, &op.choices);
                self.0.insert(id, row.clone());
                Some(changed(from, Some(row)))
            }
            Action::Delete => self.0.remove(&id).map(|_| changed(from, None)),
            Action::Rekey(to) => {
                let to = key(to);
                if !is_there || self.0.contains_key(&(feed, to.clone())) {
                    return None;
                }
                self.0.remove(&id);
                let row = row(feed, &to, &op.choices);
                self.0.insert((feed, to.clone()), row.clone());
                Some(RowChange { previous: Some(from), ..changed(to, Some(row)) })
            }
        }
    }

    /// Everything, as it is read by a backfill.
    fn everything(&self) -> Vec<RowChange> {
        let change =
            |(id, row): (&RowId, &RawRow)| RowChange::read(id.0, id.1.clone(), Some(row.clone()));
        self.0.iter().map(change).collect()
    }
}

fn changes_of(source: &mut Source, batch: &Batch) -> Vec<RowChange> {
    let mut changes = Vec::new();
    for (tx, transaction) in (0..).zip(batch) {
        changes.extend(transaction.iter().filter_map(|op| source.apply(tx, op)));
    }
    changes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn every_history_ends_as_if_its_rows_were_decided_at_once(history in batches()) {
        let env = env();
        let (mut source, mut state) = (Source::default(), State::default());
        for batch in &history {
            state.apply(&changes_of(&mut source, batch), &env);
        }
        let mut fresh = State::with_aliases_of(&state);
        fresh.apply(&source.everything(), &env);
        let (streamed, at_once) = (state.outcome(), fresh.outcome());
        let differ = |a: &Outcome, b: &Outcome| {
            a.iter().filter(|(k, v)| b.get(*k) != Some(v)).map(|(k, v)| format!("{k}: {v}")).collect::<Vec<_>>()
        };
        prop_assert_eq!(differ(&streamed, &at_once), differ(&at_once, &streamed));
        // P4: what is as stored writes nothing.
        prop_assert_eq!(state.apply(&source.everything(), &env), 0);
    }
}
