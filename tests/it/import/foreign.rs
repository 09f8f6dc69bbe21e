//! Exports of shapes that no shipped plan knows: described, proposed for, and imported with a handful of edits.

use serde_json::{Value, json};

use super::{counts, report, total};
use crate::support::world::World;

/// Most edits of a proposal.
const HANDFUL: usize = 5;

/// An export with its target, and what a person changes in the proposed plan.
struct Foreign {
    schema: &'static str,
    /// Tables as `--propose` takes them.
    tables: &'static str,
    files: Vec<(&'static str, Vec<u8>)>,
    /// Parts of the description.
    described: &'static [&'static str],
    /// Each replaces one line, or a part of one.
    edits: &'static [(&'static str, &'static str)],
    /// Load and rows.
    rows: &'static [(&'static str, u64)],
    /// A query with its result.
    shown: (&'static str, &'static str),
}

/// A shop's customers and orders, as its API gives them.
fn shop() -> Foreign {
    let customer = |id: u64, email: &str, first: &str, orders: u64| {
        json!({
            "id": id, "email": email, "first_name": first, "last_name": "Reyes", "verified_email": true,
            "accepts_marketing": false, "orders_count": orders, "total_spent": "199.65", "tags": "VIP, wholesale",
            "currency": "PHP", "created_at": "2025-03-01T09:15:00-04:00", "updated_at": "2025-03-02T09:15:00-04:00",
            "default_address": { "city": "Cebu", "country_code": "PH", "zip": "6000" },
            "note": null, "admin_graphql_api_id": format!("gid://shop/Customer/{id}"),
        })
    };
    let order = |id: u64, customer: Value, status: &str| {
        json!({
            "id": id, "name": format!("#{}", id % 10_000), "email": "ana@example.com", "created_at": "2025-04-01T10:00:00-04:00",
            "total_price": "409.94", "subtotal_price": "398.00", "total_tax": "11.94", "currency": "PHP",
            "financial_status": status, "fulfillment_status": null, "customer": customer,
            "line_items": [
                { "id": id * 10, "title": "Notebook", "sku": "NB-1", "quantity": 2, "price": "199.00" },
                { "id": id * 10 + 1, "title": "Pen", "sku": "PE-1", "quantity": 1, "price": "11.94" },
            ],
        })
    };
    let customers: Vec<Value> = ["Ana", "Ben", "Cara"]
        .iter()
        .zip(207_119_551_u64..)
        .map(|(name, id)| customer(id, &format!("{}@Example.com", name.to_lowercase()), name, 1))
        .collect();
    let orders = [
        order(450_789_469, json!({ "id": 207_119_551_u64 }), "paid"),
        order(450_789_470, json!({ "id": 207_119_552_u64 }), "partially_refunded"),
        order(450_789_471, Value::Null, "pending"),
    ];
    Foreign {
        schema: "create type paid as enum ('paid', 'pending', 'refunded'); \
            create table customers (id uuid primary key, email text not null unique, first_name text, last_name text, \
                is_verified boolean not null, tags text[] not null default '{}', total_spent numeric(12, 2) not null, \
                city text, created_at timestamptz not null); \
            create table orders (id uuid primary key, number text not null unique, customer_id uuid references customers, \
                total numeric(12, 2) not null, status paid not null, created_at timestamptz not null); \
            create table order_items (id uuid primary key, order_id uuid not null references orders, title text not null, \
                quantity int not null, price numeric(12, 2) not null)",
        tables: "customers,orders,order_items",
        files: vec![(
            "shop.json",
            json!({ "customers": customers, "orders": orders }).to_string().into_bytes(),
        )],
        described: &[
            "customers: 3 records, key id",
            "orders.line_items: 6 records",
            "refers to customers",
        ],
        edits: &[
            ("# is_verified = \"\"", "is_verified = \"verified_email\" #"),
            ("# number = \"\"", "number = \"name\" #"),
            ("# total = \"\"", "total = \"total_price\" #"),
            (
                "# status = \"\"",
                "status = { from = \"financial_status\", map = { paid = \"paid\", pending = \"pending\", partially_refunded = \"refunded\" } } #",
            ),
        ],
        rows: &[
            ("customers to public.customers", 3),
            ("orders to public.orders", 3),
            ("orders.line_items to public.order_items", 6),
        ],
        shown: (
            "select string_agg(o.number || ' ' || coalesce(c.first_name || ' ' || c.city || ' ' || c.tags::text, '-') || ' ' || o.status || ' ' || i.sum, '; ' order by o.number) \
             from orders o left join customers c on c.id = o.customer_id \
             join (select order_id, sum(quantity * price) from order_items group by 1) i on i.order_id = o.id",
            "#9469 Ana Cebu {VIP,wholesale} paid 409.94; #9470 Ben Cebu {VIP,wholesale} refunded 409.94; #9471 - pending 409.94",
        ),
    }
}

/// A store that keeps records by their ids.
fn tree() -> Foreign {
    let users = json!({
        "-NaX1": { "displayName": "Ana dela Cruz", "email": "ana@example.com", "createdAt": 1_717_372_800_000_u64, "admin": true },
        "-NaX2": { "displayName": "Ben Santos", "email": "ben@example.com", "createdAt": 1_717_372_900_000_u64, "admin": false },
        "-NaX3": { "displayName": "Cara", "email": "cara@example.com", "createdAt": 1_717_373_000_000_u64, "admin": false },
    });
    let post = |author: &str, title: &str| json!({ "author": author, "title": title, "likes": 3, "publishedAt": 1_717_380_000_000_u64, "labels": ["a", "b"] });
    let posts = json!({
        "-P1": post("-NaX1", "One"), "-P2": post("-NaX2", "Two"), "-P3": post("-NaX1", "Three"), "-P4": post("-gone", "Four"),
    });
    let presence =
        json!({ "-NaX1": { "online": true, "at": 1 }, "-NaX2": { "online": false, "at": 2 } });
    let all = json!({ "users": users, "posts": posts, "presence": presence, "settings": { "theme": { "dark": true }, "limits": { "posts": 5 } } });
    Foreign {
        schema: "create table members (id uuid primary key, first_name text not null, last_name text, email text not null unique, \
                is_admin boolean not null default false, created_at timestamptz not null); \
            create table posts (id uuid primary key, author_id uuid not null references members, title text not null, \
                likes int not null, labels text[], published_at timestamptz)",
        tables: "members,posts",
        files: vec![("tree.json", all.to_string().into_bytes())],
        described: &[
            "users: 3 records, key @key",
            "posts: 4 records, key @key",
            "1 lead to nothing, as of -P4",
        ],
        edits: &[],
        rows: &[("users to public.members", 3), ("posts to public.posts", 3)],
        shown: (
            "select string_agg(p.title || ' ' || m.first_name || ' ' || coalesce(m.last_name, '-') || ' ' || m.is_admin || ' ' || p.labels::text, '; ' order by p.title) \
             from posts p join members m on m.id = p.author_id",
            "One Ana dela Cruz true {a,b}; Three Ana dela Cruz true {a,b}; Two Ben Santos false {a,b}",
        ),
    }
}

/// Two tables of a bookkeeping program in another country.
fn books() -> Foreign {
    let customers = "CustomerNo;Name;E-Mail;City;Since;Active\r\n10001;Müller, Ana;ana@example.com;Köln;31.01.2019;yes\r\n\
        10002;\"Ben \"\"B\"\" Weiß\";ben@example.com;Zürich;07.03.2020;no\r\n";
    let invoices = "InvoiceNo;CustomerNo;Date;Amount;Paid\r\nR-1;10001;01.02.2024;\"1.234,50\";yes\r\n\
        R-2;10002;15.02.2024;99,90;no\r\nR-3;10009;16.02.2024;1,00;no\r\nR-4;;17.02.2024;2,00;no\r\n";
    let latin =
        |text: &str| text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect::<Vec<u8>>();
    Foreign {
        schema: "create table customers (id uuid primary key, name text not null, email text unique, city text, \
                since date, is_active boolean not null); \
            create table invoices (id uuid primary key, number text not null unique, customer_id uuid references customers, \
                issued_on date not null, amount numeric(12, 2) not null, is_paid boolean not null)",
        tables: "customers,invoices",
        files: vec![("customers.csv", latin(customers)), ("invoices.csv", latin(invoices))],
        described: &[
            "customers: 2 records, key CustomerNo",
            "refers to customers, 1 lead to nothing, as of",
            "number with a decimal comma",
        ],
        edits: &[
            ("# number = \"\"", "number = \"InvoiceNo\" #"),
            ("# issued_on = \"\"", "issued_on = \"Date\" #"),
        ],
        rows: &[("customers to public.customers", 2), ("invoices to public.invoices", 4)],
        shown: (
            "select string_agg(i.number || ' ' || i.amount || ' ' || i.issued_on || ' ' || coalesce(c.name || ' ' || c.city || ' ' || c.since, '-'), '; ' order by i.number) \
             from invoices i left join customers c on c.id = i.customer_id",
            "R-1 1234.50 2024-02-01 Müller, Ana Köln 2019-01-31; R-2 99.90 2024-02-15 Ben \"B\" Weiß Zürich 2020-03-07; R-3 1.00 2024-02-16 -; R-4 2.00 2024-02-17 -",
        ),
    }
}

async fn imports(foreign: Foreign) {
    let world = World::with_target(foreign.schema).await;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, contents: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, contents).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let files: Vec<String> = foreign.files.iter().map(|(name, bytes)| write(name, bytes)).collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let described = world.succeed(&[&["import", "--audit"], &files[..]].concat()).await;
    for part in foreign.described {
        assert!(described.contains(part), "{part} is missing in\n{described}");
    }
    assert!(
        !described.contains("example.com") && !described.to_lowercase().contains(" ana "),
        "{described}"
    );
    let propose = [&["import", "--propose", foreign.tables], &files[..]].concat();
    let proposed = world.succeed(&propose).await;
    let mut plan = proposed.clone();
    for (from, to) in foreign.edits {
        assert_eq!(plan.matches(from).count(), 1, "{from} is not once in\n{plan}");
        plan = plan.replace(from, to);
    }
    assert!(foreign.edits.len() <= HANDFUL);
    let plan = write("plan.toml", plan.as_bytes());
    let rejects = folder.path().join("rejects.jsonl");
    let base = [&["import", &plan], &files[..], &["--json"]].concat();
    let import = [&base[..], &["--rejects", rejects.to_str().unwrap()]].concat();
    let output = world.run(&import).await;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{errors}\n{proposed}");
    let done: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (load, rows) in foreign.rows {
        assert_eq!(counts(&done, load)["inserted"], *rows, "{load}: {done}\n{proposed}");
    }
    assert_eq!(total(&done, "rejected"), 0, "{done}\n{proposed}");
    let (query, expected) = foreign.shown;
    assert_eq!(world.target.value(query).await, expected, "{proposed}");
    let compared = report(&world, &[&base[..], &["--compare"]].concat(), 0).await;
    assert_eq!(compared["differences"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shops_export_is_imported_by_its_proposed_plan() {
    imports(shop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_kept_by_their_ids_are_imported_by_their_proposed_plan() {
    imports(tree()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_countrys_csv_is_imported_by_its_proposed_plan() {
    imports(books()).await;
}
