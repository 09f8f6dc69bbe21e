//! The further feeds of SPEC §1: their tables, and random rows and changes of all six.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use testkit::random::Random;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::eventually;
use super::world::World;

pub(crate) use testkit::more_feeds::TABLES;

/// People whom random rows are about.
const PEOPLE: u64 = 60;

/// Numbers of rows of each table.
const ROWS: u64 = 150;

/// A literal, or NULL.
fn literal(text: Option<&str>) -> String {
    text.map_or_else(|| "null".to_owned(), |text| format!("'{}'", text.replace('\'', "''")))
}

fn email(random: &mut Random) -> String {
    let n = random.below(PEOPLE);
    match random.below(12) {
        0 => format!("P{n}@Example.com "),
        1 => format!("p{n}@test.example"),
        2 => format!("qa+{n}@example.com"),
        _ => format!("p{n}@example.com"),
    }
}

fn instant(random: &mut Random) -> String {
    let (month, day) = (1 + random.below(12), 1 + random.below(28));
    format!("2025-{month:02}-{day:02}T{:02}:15:00Z", random.below(24))
}

/// A statement that inserts or replaces a row of one of the six tables.
fn write(random: &mut Random) -> String {
    let (n, address, at) = (random.below(ROWS), email(random), instant(random));
    let mail = literal((random.below(8) > 0).then_some(address.as_str()));
    match random.below(6) {
        0 => {
            let customer = match random.below(4) {
                0 => "null".to_owned(),
                1 => r#"{"email": null, "first_name": "Ana"}"#.to_owned(),
                _ => format!(r#"{{"email": "{}", "first_name": "ANA"}}"#, address.trim()),
            };
            let items = random.pick(&[
                "[]",
                r#"[{"title": "Papers to Profits"}]"#,
                r#"[{"title": "Papers to Profits"}, {"title": "P2P, again"}]"#,
                r#"[{"title": "Canva Ebook"}, {"title": "Papers to Profits"}]"#,
                r#"[{"title": "A mug"}]"#,
            ]);
            let status =
                random.pick(&["paid", "pending", "refunded", "partially_refunded", "authorized"]);
            let cancelled =
                if random.below(9) == 0 { format!("'{at}'") } else { "null".to_owned() };
            format!(
                "insert into shopify_orders values ({n}, '#{}', {mail}, null, '{status}', '{}', '{}.50', '{at}', '{at}', '{at}', \
                 {cancelled}, {}, '{customer}', '{items}') on conflict (id) do update set \
                 (email, financial_status, cancelled_at, test, customer, line_items, updated_at, total_price) = \
                 (excluded.email, excluded.financial_status, excluded.cancelled_at, excluded.test, excluded.customer, \
                 excluded.line_items, excluded.updated_at, excluded.total_price)",
                random.below(40),
                random.pick(&["PHP", "PHP", "USD"]),
                400 + random.below(3),
                random.below(6) == 0,
            )
        }
        1 => {
            let billing = match random.below(3) {
                0 => "null".to_owned(),
                _ => format!(r#"{{"email": "{}", "name": "Ben dela Cruz"}}"#, address.trim()),
            };
            let currency = random.pick(&["php", "php", "jpy", "kwd", "xyz"]);
            let metadata = random.pick(&["{}", r#"{"order_id": "o1"}"#, r#"{"product": "canva"}"#]);
            format!(
                "insert into stripe_charges values ('ch_{n}', {}, '{currency}', '{}', {}, {}, {mail}, '{billing}', \
                 {}, '{metadata}') on conflict (id) do update set \
                 (amount, status, refunded, receipt_email, billing_details, description) = \
                 (excluded.amount, excluded.status, excluded.refunded, excluded.receipt_email, \
                 excluded.billing_details, excluded.description)",
                49_900 + random.below(3),
                random.pick(&["succeeded", "failed", "pending"]),
                random.below(7) == 0,
                1_750_000_000 + random.below(10_000_000),
                literal(Some(random.pick(&["p2p", "canva", "", "thanks"]))),
            )
        }
        2 => format!(
            "insert into purchase_leads values (md5('l{n}')::uuid, {mail}, 'CARLA', 'de los santos', '0917 123 4{:03}', \
             '/p2p', '{at}') on conflict (id) do update set (email, phone) = (excluded.email, excluded.phone)",
            random.below(900),
        ),
        3 => format!(
            "insert into ebook_contacts values ('{}', '{}', '{at}') on conflict (email) do update set name = excluded.name",
            address,
            random.pick(&["Dan Reyes", "REYES, DAN", "Dan", "n/a"]),
        ),
        4 => format!(
            "insert into xendit (id, external_id, status, amount, currency, customer_email, customer_name, description, created, paid_at) \
             values (md5('x{n}')::uuid, 'e{}', '{}', 499, 'PHP', {mail}, 'Eva Lim', '{}', '{at}', '{at}') \
             on conflict (id) do update set (status, customer_email, description) = \
             (excluded.status, excluded.customer_email, excluded.description)",
            random.below(40),
            random.pick(&["PAID", "SETTLED", "EXPIRED"]),
            random.pick(&["p2p", "Canva Ebook", "gift"]),
        ),
        _ => format!(
            "insert into systemeio (id, contact_id, email, first_name, tags, updated_at, created_at) \
             values (md5('s{n}')::uuid, 'c{}', {mail}, 'Fe', '{}', '{at}', '{at}') on conflict (id) do update set \
             (email, tags, updated_at, contact_id) = (excluded.email, excluded.tags, excluded.updated_at, excluded.contact_id)",
            random.below(ROWS),
            random.pick(&["PaidP2P", "vip, Canva", ""]),
        ),
    }
}

/// A statement that deletes a row, or gives it another key.
fn remove(random: &mut Random) -> String {
    let n = random.below(ROWS);
    match random.below(7) {
        0 => format!("delete from shopify_orders where id = {n}"),
        1 => format!("delete from stripe_charges where id = 'ch_{n}'"),
        2 => format!("delete from purchase_leads where id = md5('l{n}')::uuid"),
        3 => format!(
            "delete from ebook_contacts where email = 'p{}@example.com'",
            random.below(PEOPLE)
        ),
        4 => format!("delete from xendit where id = md5('x{n}')::uuid"),
        5 => format!("delete from systemeio where id = md5('s{n}')::uuid"),
        _ => format!(
            "update ebook_contacts set email = 'new{n}@example.com' where email = 'p{}@example.com' \
             and not exists (select from ebook_contacts where email = 'new{n}@example.com')",
            random.below(PEOPLE)
        ),
    }
}

/// Fills all six tables.
pub(crate) async fn fill(world: &World, seed: u64) {
    let mut random = Random::new(seed, 0);
    let statements: Vec<String> = (0..700).map(|_| write(&mut random)).collect();
    world.source.execute(&format!("begin; {}; commit", statements.join("; "))).await;
}

/// Random changes of all six tables from several connections.
pub(crate) struct Changes {
    stop: CancellationToken,
    done: Arc<AtomicU64>,
    running: Vec<JoinHandle<()>>,
}

impl Changes {
    pub(crate) async fn start(world: &World, seed: u64) -> Self {
        let (stop, done) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
        let mut running = Vec::new();
        for connection in 0..3 {
            let client = world.source.connect().await;
            let (stop, done) = (stop.clone(), Arc::clone(&done));
            let mut random = Random::new(seed, connection + 1);
            running.push(tokio::spawn(async move {
                while !stop.is_cancelled() {
                    let statements = 1 + random.below(4);
                    let mut sql = "begin".to_owned();
                    for _ in 0..statements {
                        let remove_it = random.below(5) == 0;
                        let one = if remove_it { remove(&mut random) } else { write(&mut random) };
                        sql = format!("{sql}; {one}");
                    }
                    // Two connections may wait for each other's rows: the server ends one of them.
                    if client.batch_execute(&format!("{sql}; commit")).await.is_err() {
                        client.batch_execute("rollback").await.unwrap();
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        Self { stop, done, running }
    }

    /// Waits for this many transactions more.
    pub(crate) async fn go_on(&self, transactions: u64) {
        let until = self.done.load(Ordering::Relaxed) + transactions;
        let reached = || async { self.done.load(Ordering::Relaxed) >= until };
        eventually("live changes", || "has it ended?".to_owned(), reached).await;
    }

    pub(crate) async fn end(self) {
        self.stop.cancel();
        for running in self.running {
            running.await.unwrap();
        }
    }
}
