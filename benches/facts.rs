//! What deriving one fact costs, and unifying a person with one contact and one payment.
//!
//! `cargo bench --bench facts`
//!
//! Made-up rows of the canonical layout, clean ones and such as a production table holds, on one core, in
//! microseconds a row. The best of several rounds is printed: everything else is the machine's other work.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use jiff::civil::date;
use testkit::dirt::DirtRates;
use testkit::people::{Population, Values};
use testkit::source_schema::SourceLayout;
use tributary::facts::{
    Column, ColumnKind, Columns, Contact, ContactField, Feed, FeedInfo, FeedKind, FieldRules,
    Layout, LogicalField, Payment, PaymentField, RawRow, Source, contact, payment,
};
use tributary::rules::Rules;
use tributary::unify::{Context, Group, Owner, unify};

const ROWS: u64 = 20_000;
const ROUNDS: u32 = 7;

fn main() -> Result<()> {
    let rules = Rules::default();
    for (name, dirt) in [("clean", DirtRates::none()), ("production", DirtRates::default())] {
        let population = Population { seed: 7, people: ROWS, dirt };
        let (contacts, contact_layout) = contact_rows(&population)?;
        let (payments, payment_layout) = payment_rows(&population)?;
        report(name, "facts::contact", &contacts, |row| contact(row, &contact_layout, &rules));
        report(name, "facts::payment", &payments, |row| payment(row, &payment_layout, &rules));
        let contacts = contacts.iter().map(|row| contact(row, &contact_layout, &rules));
        let payments = payments.iter().map(|row| payment(row, &payment_layout, &rules));
        let groups = groups(contacts.collect(), payments.collect());
        let context = Context { today: date(2026, 1, 1), contact_id_holders: Default::default() };
        report(name, "unify, 1 + 1", &groups, |group| unify(group, &context, &rules));
    }
    Ok(())
}

fn report<T, R>(data: &str, what: &str, rows: &[T], work: impl Fn(&T) -> R) {
    let round = |_| {
        let start = Instant::now();
        for row in rows {
            black_box(work(black_box(row)));
        }
        start.elapsed().as_secs_f64() * 1e6 / rows.len() as f64
    };
    let best = (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min);
    println!("{data:12} {what:16} {best:8.2} µs");
}

/// A person each, with one contact and one payment, where both rows have an address.
fn groups(contacts: Vec<Contact>, payments: Vec<Payment>) -> Vec<Group> {
    let mut payment_of: HashMap<_, _> =
        payments.into_iter().filter_map(|fact| Some((fact.email.clone().ok()?, fact))).collect();
    let of_one = |contact: Contact| {
        let email = contact.email.clone().ok()?;
        let payment = payment_of.remove(&email)?;
        let owner = Owner::Person(email);
        Some(Group { owner, contacts: vec![contact], payments: vec![payment] })
    };
    contacts.into_iter().filter_map(of_one).collect()
}

fn contact_rows(population: &Population) -> Result<(Vec<RawRow>, Layout<ContactField>)> {
    use ContactField as C;
    let names = SourceLayout::Canonical.contact_columns();
    let instants = [C::CreatedAt, C::UpdatedAt, C::SyncTimestamp];
    let layout = layout(feed(FeedKind::Contact), names, &instants, &[])?;
    let values = |number| {
        let mut values = population.contact(number).values(SourceLayout::Canonical);
        let columns =
            instants.iter().flat_map(|field| layout.of(*field)).filter_map(Source::column);
        for index in columns {
            if let Some(text) = values.get_mut(index).and_then(Option::as_mut) {
                *text = printed(text);
            }
        }
        values
    };
    let rows = (0..ROWS).map(|number| row(values(number), &layout)).collect();
    Ok((rows, layout))
}

fn payment_rows(population: &Population) -> Result<(Vec<RawRow>, Layout<PaymentField>)> {
    use PaymentField as P;
    let names = SourceLayout::Canonical.payment_columns();
    let layout = layout(
        feed(FeedKind::Payment),
        names,
        &[P::SyncTimestamp],
        &[P::Amount, P::Fees, P::PaidAmount],
    )?;
    let values = |number| population.payment(number).values(SourceLayout::Canonical);
    let rows = (0..ROWS).map(|number| row(values(number), &layout)).collect();
    Ok((rows, layout))
}

/// A `timestamptz` as the server prints it.
fn printed(text: &str) -> String {
    text.replace('T', " ").replace('Z', "+00")
}

/// The primary feed of its kind.
fn feed(kind: FeedKind) -> Arc<FeedInfo> {
    let (number, name) = match kind {
        FeedKind::Contact => (1, "systemeio"),
        FeedKind::Payment => (2, "xendit"),
    };
    let (feed, name) = (Feed::new(number), name.to_owned());
    let provider = name.as_str().into();
    Arc::new(FeedInfo { feed, name, kind, primary: true, provider, rank: 100 })
}

/// The columns that made-up rows fill, then all others of the layout, which are NULL but the last.
fn layout<F: LogicalField>(
    feed: Arc<FeedInfo>,
    filled: &[&str],
    instants: &[F],
    numbers: &[F],
) -> Result<Layout<F>> {
    let mut columns = vec![Column { name: "id".into(), kind: ColumnKind::Text }];
    let mut fields = Vec::new();
    let others = F::NAMES.iter().map(|(_, name)| *name).filter(|name| !filled.contains(name));
    for name in filled.iter().skip(1).copied().chain(others) {
        let field = F::parse(name).with_context(|| format!("{name} is no field"))?;
        let kind = match field {
            field if instants.contains(&field) => ColumnKind::Instant,
            field if numbers.contains(&field) => ColumnKind::Numeric,
            _ => ColumnKind::Text,
        };
        fields.push((field, vec![Source::Column(columns.len())]));
        columns.push(Column { name: name.to_owned(), kind });
    }
    let columns = Columns::new(columns, vec![0]);
    Ok(Layout::new(feed, columns, fields, FieldRules::default()))
}

fn row<F: LogicalField>(mut values: Values, layout: &Layout<F>) -> RawRow {
    values.resize(layout.columns.list.len(), None);
    if let Some(column) = layout.of(F::SYNC).first().and_then(Source::column) {
        values[column] = Some("2025-07-01 00:00:00.123456+00".to_owned());
    }
    RawRow { values }
}
