//! The preview of a decision is exactly what then happens, row for row (SPEC §7).

use std::collections::BTreeMap;

use serde_json::Value;
use tributary::engine::columns::{ENROLLMENT, PROFILE, TRANSACTION};

use crate::support::world::World;

/// Two pairs of people who may be one, with money and a course each; a payment without an address, one without a product,
/// one that is underpaid; a contact id that two people carry.
const ROWS: &str = "
    insert into xendit (id, status, amount, paid_amount, currency, customer_email, customer_name, description, created,
        paid_at, external_id)
    select ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'PAID', 499, paid, 'PHP', email, name, product,
        '2025-06-30T04:00:00Z', at, 'EXT-' || n
    from (values
        (1, null::numeric, 'd.one@gmail.com', 'Tala Cruz', 'Papers to Profits', '2025-06-30T04:00:00Z'),
        (2, null, 'done@gmail.com', 'Tala Cruz', 'Papers to Profits', '2025-07-02T04:00:00Z'),
        (3, null, 'done@gmail.com', 'Tala Cruz', 'Canva', '2025-07-03T04:00:00Z'),
        (4, null, 't.wo@gmail.com', 'Jo Reyes', 'Papers to Profits', '2025-06-30T04:00:00Z'),
        (5, null, 'two@gmail.com', 'Ana Reyes', 'Papers to Profits', '2025-06-30T04:00:00Z'),
        (6, null, null, 'Tala Cruz', 'Papers to Profits', '2025-06-30T04:00:00Z'),
        (7, null, 'p7@example.com', 'Lito Dizon', 'Consulting', '2025-06-30T04:00:00Z'),
        (8, 10, 'p8@example.com', 'Mara Lim', 'Papers to Profits', '2025-06-30T04:00:00Z')
    ) as v (n, paid, email, name, product, at);
    insert into systemeio (id, contact_id, email, first_name, phone, tags, created_at, updated_at)
    select ('00000000-0000-4000-9000-' || lpad(n::text, 12, '0'))::uuid, contact, email, 'Tala', phone, 'PaidP2P',
        '2025-01-01Z', '2025-02-01Z'::timestamptz + n * interval '1 day'
    from (values (1, 'c1', 'd.one@gmail.com', '09171234567'), (2, 'c2', 'done@gmail.com', null),
        (3, 'c9', 'p7@example.com', null), (4, 'c9', 'p8@example.com', null)) as v (n, contact, email, phone)";

/// The application's own transaction of the second payment, which is adopted.
const ADOPTED: &str = "
    create table transactions (id uuid primary key, amount numeric not null, payment_provider text, payment_provider_id text);
    insert into transactions values ('00000000-0000-4000-a000-000000000001', 1, 'xendit', 'EXT-2')";

/// Values by table and key.
type Rows = BTreeMap<(&'static str, String), Vec<Option<String>>>;

const PEOPLE: [&str; 2] = ["state", "profile_id"];
const CONFLICT: [&str; 4] = ["severity", "status", "evidence", "note"];

/// The tables that a decision may change: name, table, key and columns.
fn tables() -> [(&'static str, &'static str, &'static str, &'static [&'static str]); 5] {
    [
        ("people", "tributary.person", "email_key", &PEOPLE),
        ("profiles", "unified_profiles", "id", &PROFILE[1..]),
        ("transactions", "transactions", "id", &TRANSACTION[1..]),
        ("enrollments", "enrollments", "id", &ENROLLMENT[1..]),
        ("conflicts", "tributary.conflict", "fingerprint", &CONFLICT),
    ]
}

async fn rows(world: &World) -> Rows {
    let client = world.target.connect().await;
    client.batch_execute("set timezone = 'UTC'").await.unwrap();
    let mut all = Rows::new();
    for (name, table, key, columns) in tables() {
        let values: Vec<String> = columns.iter().map(|column| format!("{column}::text")).collect();
        let sql = format!("select {key}::text, array[{}] from {table}", values.join(", "));
        let found = client.query(&sql, &[]).await.unwrap();
        all.extend(found.iter().map(|row| ((name, row.get(0)), row.get(1))));
    }
    all
}

/// What differs, a line for each value.
fn differences(before: &Rows, after: &Rows) -> Vec<String> {
    let mut lines = Vec::new();
    for at in before.keys().chain(after.keys().filter(|at| !before.contains_key(*at))) {
        let (_, _, _, columns) = tables().into_iter().find(|(name, ..)| *name == at.0).unwrap();
        let happens = match (before.get(at), after.get(at)) {
            (None, _) => "insert",
            (_, None) => "delete",
            (old, new) if old != new => "update",
            _ => continue,
        };
        for (nth, column) in columns.iter().enumerate() {
            let value = |rows: &Rows| rows.get(at).and_then(|values| values[nth].clone());
            let (old, new) = (value(before), value(after));
            if old != new {
                lines.push(format!("{} {} {happens} {column}: {old:?} -> {new:?}", at.0, at.1));
            }
        }
    }
    lines.sort();
    lines
}

/// The same of a preview.
fn foreseen(preview: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let mut lines = Vec::new();
    for change in preview["changes"].as_array().unwrap() {
        for field in change["fields"].as_array().unwrap() {
            let word = |name: &str| change[name].as_str().unwrap();
            let (old, new) = (text(&field["before"]), text(&field["after"]));
            let column = field["name"].as_str().unwrap();
            let (table, key, happens) = (word("table"), word("key"), word("happens"));
            lines.push(format!("{table} {key} {happens} {column}: {old:?} -> {new:?}"));
        }
    }
    lines.sort();
    lines
}

/// Previews a decision, makes it, and returns what it changed.
async fn decide(world: &World, arguments: &[&str]) -> Vec<String> {
    let before = rows(world).await;
    let dry: Vec<&str> = arguments.iter().copied().chain(["--dry-run", "--json"]).collect();
    let preview = world.json(&dry).await;
    assert_eq!(rows(world).await, before, "a preview of {arguments:?} changed something");
    world.succeed(arguments).await;
    let changed = differences(&before, &rows(world).await);
    assert_eq!(foreseen(&preview), changed, "{arguments:?}");
    assert!(!changed.is_empty(), "{arguments:?} changed nothing");
    changed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_is_what_then_happens_row_for_row() {
    let world = World::canonical(ROWS).await;
    world.target.execute(ADOPTED).await;
    let daemon = world.started().await;
    let id = async |kind: &str, part: &str| {
        let sql = format!(
            "select id from tributary.conflict where kind = '{kind}' and subject like '%{part}%'"
        );
        world.target.value(&sql).await
    };
    let last = async || {
        world.target.value("select max(id) from tributary.decision where not automatic").await
    };
    let one = id("possible_duplicate", "done@").await;
    let two = id("possible_duplicate", "two@").await;
    let before = rows(&world).await;
    let adopted =
        "select status from transactions where id = '00000000-0000-4000-a000-000000000001'";
    assert_eq!(world.target.value(adopted).await, "PAID");

    let keep = ["conflicts", "resolve", &one, "--keep", "done@gmail.com", "--by", "ana"];
    let merged = decide(&world, &keep).await.join("\n");
    for part in ["merged", "transactions", "enrollments", "resolved", "user_id"] {
        assert!(merged.contains(part), "{part} in\n{merged}");
    }
    decide(&world, &["decisions", "revert", &last().await]).await;
    let back = differences(&before, &rows(&world).await);
    // What opened and closed again is on record.
    assert!(back.iter().all(|line| line.starts_with("conflicts ")), "{back:?}");

    decide(&world, &["conflicts", "resolve", &two, "--separate"]).await;
    decide(&world, &["decisions", "revert", &last().await]).await;

    let unlinked = id("unlinked_payment", "0006").await;
    let email = ["conflicts", "resolve", &unlinked, "--email", "d.one@gmail.com"];
    let linked = decide(&world, &email).await.join("\n");
    assert!(linked.contains("update user_id: None -> Some"), "{linked}");
    let row = "systemeio:00000000-0000-4000-9000-000000000003";
    decide(&world, &["decisions", "add", "email", row, "moved@example.com"]).await;
    decide(&world, &["decisions", "revert", &last().await]).await;

    let product = id("unmapped_product", "0007").await;
    let opened = decide(&world, &["conflicts", "resolve", &product, "--product", "p2p"]).await;
    assert!(opened.iter().any(|line| line.starts_with("enrollments")), "{opened:?}");
    let shared = id("contact_id_collision", "c9").await;
    decide(&world, &["conflicts", "resolve", &shared, "--keep", "p8@example.com"]).await;

    let underpaid = id("underpaid", "0008").await;
    decide(&world, &["conflicts", "dismiss", &underpaid, "--note", "agreed"]).await;
    decide(&world, &["decisions", "revert", &last().await]).await;

    // What would be refused is refused, and leaves no trace.
    let again = ["decisions", "add", "alias", "nobody@example.com", "p8@example.com", "--dry-run"];
    let refused = world.run(&again).await;
    let said = String::from_utf8_lossy(&refused.stdout);
    assert!(!refused.status.success() && said.contains("refused"), "{said}");
    let traces = "select (select count(*) from tributary.command where request::text like '%preview%') \
                  + (select count(*) from tributary.operation_log where detail::text like '%preview%')";
    assert_eq!(world.target.value(traces).await, "0");
    assert_eq!(daemon.metric("tributary_errors_total").await, 0.0);
}
