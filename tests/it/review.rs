//! The review queue through the running daemon: each kind of conflict comes, is settled, and stays so
//! (SPEC §6, §7).

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::daemon::Daemon;
use crate::support::eventually;
use crate::support::world::World;

/// One conflict: what causes it, what mends it, and what its subject contains.
struct Case {
    kind: &'static str,
    /// Number of the row, in payments or contacts.
    row: u32,
    table: &'static str,
    cause: &'static str,
    mend: &'static str,
    subject: &'static str,
}

const fn payment(
    kind: &'static str,
    row: u32,
    cause: &'static str,
    mend: &'static str,
    subject: &'static str,
) -> Case {
    Case { kind, row, table: "xendit", cause, mend, subject }
}

const fn contact(
    kind: &'static str,
    row: u32,
    cause: &'static str,
    mend: &'static str,
    subject: &'static str,
) -> Case {
    Case { kind, row, table: "systemeio", cause, mend, subject }
}

const PAID: &str = "paid_at = '2025-06-30T04:00:00Z'";
const P2P: &str = "description = 'Papers to Profits'";

/// The kinds that rows alone cause. Row n belongs to p<n>@example.com, or c<n>@example.com.
const CASES: [Case; 27] = [
    payment(
        "unlinked_payment",
        1,
        "customer_email = null",
        "customer_email = 'p1@example.com'",
        "0001",
    ),
    payment("invalid_amount", 2, "amount = 'NaN'", "amount = 499", "0002"),
    payment("non_positive_amount", 3, "amount = 0", "amount = 499", "0003"),
    payment("currency_mismatch", 4, "currency = 'USD'", "currency = 'PHP'", "0004"),
    payment("underpaid", 5, "paid_amount = 10", "paid_amount = null", "0005"),
    payment("unmapped_status", 6, "status = 'WEIRD'", "status = 'PAID'", "0006"),
    payment("unmapped_product", 7, "description = 'Consulting'", P2P, "0007"),
    payment("multiple_products", 8, "description = 'P2P and Canva'", P2P, "0008"),
    payment("unparsable_timestamp", 9, "paid_at = 'soon'", PAID, "0009#paid_at"),
    payment("temporal_order", 10, "paid_at = '2025-06-20T04:00:00Z'", PAID, "0010"),
    payment("duplicate_external_id", 11, "external_id = 'EXT-12'", "external_id = null", "EXT-12"),
    payment(
        "duplicate_purchase",
        13,
        "customer_email = 'p12@example.com'",
        "customer_email = 'p13@example.com'",
        "p12@example.com#p2p",
    ),
    payment(
        "possible_duplicate",
        14,
        "customer_email = 'dup.licate@gmail.com'",
        "customer_email = 'p14@example.com'",
        "duplicate@gmail.com",
    ),
    payment("name_disagreement", 15, "customer_name = 'Jose Cruz'", "customer_name = null", "p15@"),
    payment(
        "duplicate_payment",
        16,
        "external_id = 'EXT-17', customer_email = 'p17@example.com'",
        "external_id = null, customer_email = 'p16@example.com'",
        "00001",
    ),
    payment("paid_at_inferred", 18, "paid_at = null", PAID, "0018"),
    payment("timezone_abbreviation", 19, "paid_at = '2025-06-30 12:00:00 PHT'", PAID, "0019"),
    payment("date_only", 20, "paid_at = '2025-06-30'", PAID, "0020"),
    payment("spreadsheet_date", 21, "paid_at = '45838.5'", PAID, "0021"),
    payment("ambiguous_date", 22, "paid_at = '7/6/2025 12:00'", PAID, "0022"),
    payment(
        "invisible_character",
        23,
        "customer_email = E'p23\\u200b@example.com'",
        "customer_email = 'p23@example.com'",
        "0023",
    ),
    contact("unusable_email", 1, "email = 'nothing'", "email = 'c1@example.com'", "0001"),
    contact("tag_without_payment", 2, "tags = 'PaidCanva'", "tags = null", "c2@example.com#canva"),
    contact("contact_id_collision", 3, "contact_id = 'c2'", "contact_id = 'c3'", "contact_id:c2"),
    contact("mojibake", 4, "first_name = 'PeÃ±a'", "first_name = 'Tala'", "0004"),
    contact("invalid_phone", 5, "phone = '12'", "phone = null", "0005"),
    contact("payment_without_tag", 15, "tags = null", "tags = 'PaidP2P'", "p15@example.com#p2p"),
];

/// Rows without a conflict, one person each; p15 has a contact too.
pub(crate) const ROWS: &str = "
    insert into xendit (id, status, amount, currency, customer_email, description, created, paid_at)
    select ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'PAID', 499, 'PHP',
        case n when 24 then 'duplicate@gmail.com' else 'p' || n || '@example.com' end,
        'Papers to Profits', '2025-06-30T04:00:00Z', '2025-06-30T04:00:00Z'
    from generate_series(1, 24) as n;
    update xendit set external_id = 'EXT-12' where id::text like '%0012';
    update xendit set external_id = 'EXT-17' where id::text like '%0017';
    insert into systemeio (id, contact_id, email, first_name, created_at, tags)
    select ('00000000-0000-4000-9000-' || lpad(n::text, 12, '0'))::uuid, 'c' || n,
        case n when 15 then 'p15@example.com' else 'c' || n || '@example.com' end, 'Tala',
        '2025-01-01Z', case n when 15 then 'PaidP2P' end
    from generate_series(1, 15) as n where n <= 5 or n = 15";

impl Case {
    fn set(&self, what: &str) -> String {
        format!("update {} set {what} where id::text like '%{:04}'", self.table, self.row)
    }

    /// The conflict in a list, if it is there.
    fn find<'a>(&self, list: &'a [Value]) -> Option<&'a Value> {
        list.iter().find(|conflict| {
            let subject = conflict["subject"].as_str().unwrap_or_default();
            conflict["kind"] == self.kind && subject.contains(self.subject)
        })
    }
}

async fn set_all(world: &World, daemon: &Daemon, what: impl Fn(&Case) -> &'static str) {
    for case in &CASES {
        world.source.execute(&case.set(what(case))).await;
    }
    daemon.wait_until_caught_up(world).await;
}

pub(crate) async fn list(world: &World, status: &str) -> Vec<Value> {
    let arguments = ["conflicts", "list", "--json", "--limit", "1000", "--status", status];
    let text = world.succeed(&arguments).await;
    serde_json::from_str(&text).unwrap()
}

/// Asserts the state of every case, and gives the ids.
async fn all_are(world: &World, status: &str, by: Option<&str>) -> Vec<i64> {
    let listed = list(world, status).await;
    let found = CASES.iter().map(|case| {
        let conflict = case.find(&listed);
        let conflict = conflict.unwrap_or_else(|| panic!("{} is not {status}", case.kind));
        if let Some(by) = by {
            assert_eq!(conflict["resolved_by"], by, "{}", case.kind);
        }
        conflict["id"].as_i64().unwrap()
    });
    found.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_opens_closes_itself_reopens_and_stays_dismissed() {
    let world = World::canonical(ROWS).await;
    let daemon = world.started().await;
    let clean = list(&world, "open").await;
    for case in &CASES {
        assert!(case.find(&clean).is_none(), "{} without a cause", case.kind);
    }
    set_all(&world, &daemon, |case| case.cause).await;
    let ids = all_are(&world, "open", None).await;
    let open = list(&world, "open").await.len();
    let metric = || async { daemon.metric("tributary_conflicts_open").await >= open as f64 };
    eventually("the metric of open conflicts", || daemon.log(), metric).await;
    set_all(&world, &daemon, |case| case.mend).await;
    assert_eq!(all_are(&world, "resolved", Some("source")).await, ids);
    set_all(&world, &daemon, |case| case.cause).await;
    assert_eq!(all_are(&world, "open", None).await, ids);

    let kinds: BTreeSet<&str> = CASES.iter().map(|case| case.kind).collect();
    let mut arguments = vec!["conflicts", "dismiss", "--note", "known", "--by", "ana"];
    arguments.extend(kinds.iter().flat_map(|kind| ["--kind", kind]));
    let preview = world.succeed(&arguments).await;
    assert!(preview.contains("--yes"), "{preview}");
    assert_eq!(all_are(&world, "open", None).await, ids);
    arguments.push("--yes");
    world.succeed(&arguments).await;
    assert_eq!(all_are(&world, "dismissed", Some("ana")).await, ids);
    world.succeed(&["rebuild"]).await;
    assert_eq!(all_are(&world, "dismissed", Some("ana")).await, ids);
    assert_eq!(daemon.terminate().await.code(), Some(0));
    world.succeed(&["rebuild"]).await;
    world.succeed(&["backfill"]).await;
    assert_eq!(all_are(&world, "dismissed", Some("ana")).await, ids);
    let _daemon = world.started().await;
    assert_eq!(all_are(&world, "dismissed", Some("ana")).await, ids);
}

/// A kind that history or the target causes: what to run there and at the source, in this order.
struct Story {
    kind: &'static str,
    subject: &'static str,
    cause: [&'static str; 2],
    mend: [&'static str; 2],
}

const STORIES: [Story; 5] = [
    Story {
        kind: "source_absent",
        subject: "p1@example.com",
        cause: ["", "delete from xendit where id::text like '%0001'"],
        mend: [
            "",
            "insert into xendit select (kept).* from kept where (kept).id::text like '%0001'",
        ],
    },
    Story {
        kind: "delete_blocked",
        subject: "xendit:00000000-0000-4000-8000-000000000002",
        cause: ["", "delete from xendit where id::text like '%0002'"],
        mend: [
            "",
            "insert into xendit select (kept).* from kept where (kept).id::text like '%0002'",
        ],
    },
    Story {
        kind: "duplicate_profile",
        subject: "p3@example.com",
        cause: [
            "insert into unified_profiles (id, email) values (gen_random_uuid(), ' P3@Example.com')",
            "update xendit set amount = amount + 1 where id::text like '%0003'",
        ],
        mend: [
            "delete from unified_profiles where email = ' P3@Example.com'",
            "update xendit set amount = amount + 1 where id::text like '%0003'",
        ],
    },
    Story {
        kind: "rejected_row",
        subject: "xendit:00000000-0000-4000-8000-000000000004",
        cause: ["", "update xendit set amount = 2000000 where id::text like '%0004'"],
        mend: ["", "update xendit set amount = 499 where id::text like '%0004'"],
    },
    Story {
        kind: "email_change_collision",
        subject: "c1@example.com|c2@example.com",
        cause: ["", "update systemeio set email = 'c2@example.com' where contact_id = 'c1'"],
        mend: ["", "update systemeio set email = 'c1@example.com' where contact_id = 'c1'"],
    },
];

async fn tell(world: &World, daemon: &Daemon, what: impl Fn(&Story) -> [&'static str; 2]) {
    for story in &STORIES {
        let [target, source] = what(story);
        world.target.execute(target).await;
        world.source.execute(source).await;
    }
    daemon.wait_until_caught_up(world).await;
}

/// The ids of all stories' conflicts once they are in this state.
async fn stories(world: &World, status: &str) -> Vec<i64> {
    let all_are = || async {
        let listed = list(world, status).await;
        STORIES.iter().all(|story| {
            listed.iter().any(|conflict| {
                conflict["kind"] == story.kind && conflict["subject"] == story.subject
            })
        })
    };
    eventually(&format!("all are {status}"), String::new, all_are).await;
    let listed = list(world, status).await;
    let id = |story: &Story| {
        let found = listed.iter().find(|conflict| {
            conflict["kind"] == story.kind && conflict["subject"] == story.subject
        });
        found.unwrap_or_else(|| panic!("{} is not {status}", story.kind))["id"].as_i64().unwrap()
    };
    STORIES.iter().map(id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn kinds_of_history_open_close_themselves_reopen_and_stay_dismissed() {
    let world = World::canonical(ROWS).await;
    // c1 keeps a fact, so that coming back is no move of the whole person.
    let paid = "insert into xendit (id, status, amount, currency, customer_email)
        values (gen_random_uuid(), 'PENDING', 499, 'PHP', 'c1@example.com')";
    world.source.execute(paid).await;
    world.source.execute("create table kept as select xendit as kept from xendit").await;
    let daemon = world.started().await;
    world
        .target
        .execute(
            "alter table transactions add check (amount < 1000000);
             create table receipts (transaction_id uuid references transactions);
             insert into receipts values ('00000000-0000-4000-8000-000000000002')",
        )
        .await;
    tell(&world, &daemon, |story| story.cause).await;
    let ids = stories(&world, "open").await;
    for id in &ids {
        world.succeed(&["conflicts", "show", &id.to_string()]).await;
    }
    let metric = || async { daemon.metric("tributary_conflicts_open").await >= 5.0 };
    eventually("the metric of open conflicts", || daemon.log(), metric).await;
    tell(&world, &daemon, |story| story.mend).await;
    assert_eq!(stories(&world, "resolved").await, ids);
    tell(&world, &daemon, |story| story.cause).await;
    assert_eq!(stories(&world, "open").await, ids);
    for id in &ids {
        let id = id.to_string();
        world.succeed(&["conflicts", "dismiss", &id, "--note", "known", "--by", "ana"]).await;
    }
    assert_eq!(stories(&world, "dismissed").await, ids);
    world.succeed(&["rebuild"]).await;
    assert_eq!(daemon.terminate().await.code(), Some(0));
    world.succeed(&["backfill"]).await;
    let daemon = world.started().await;
    assert_eq!(stories(&world, "dismissed").await, ids);
    tell(&world, &daemon, |story| story.mend).await;
    assert_eq!(stories(&world, "resolved").await, ids);
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_settle_their_kinds_with_and_without_a_daemon() {
    for running in [true, false] {
        let world = World::canonical(ROWS).await;
        let daemon = world.started().await;
        set_all(&world, &daemon, |case| case.cause).await;
        let open = list(&world, "open").await;
        let daemon = if running {
            Some(daemon)
        } else {
            assert_eq!(daemon.terminate().await.code(), Some(0));
            None
        };
        let table: [(&str, &[&str]); 6] = [
            ("unlinked_payment", &["--email", "p1@example.com"]),
            ("unusable_email", &["--email", "c1@example.com"]),
            ("unmapped_product", &["--product", "p2p"]),
            ("multiple_products", &["--product", "canva"]),
            ("possible_duplicate", &["--separate"]),
            ("tag_without_payment", &["--alias-to", "p3@example.com"]),
        ];
        let mut settled = Vec::new();
        for (kind, choice) in table {
            let case = CASES.iter().find(|case| case.kind == kind).unwrap();
            let id = case.find(&open).unwrap()["id"].to_string();
            let shown = world.succeed(&["conflicts", "show", &id]).await;
            assert!(shown.contains(&format!("resolve {id} {}", choice[0])), "{shown}");
            let wrong = ["conflicts", "resolve", &id, "--keep", "x@example.com", "--by", "ana"];
            assert_eq!(world.run(&wrong).await.status.code(), Some(1), "{kind}");
            let mut arguments = vec!["conflicts", "resolve", &id, "--note", "asked", "--by", "ana"];
            arguments.extend(choice);
            let said = world.succeed(&arguments).await;
            if kind != "tag_without_payment" {
                assert!(said.contains("is resolved by ana"), "{kind}: {said}");
                settled.push(id);
            }
        }
        drop(daemon);
        world.succeed(&["rebuild"]).await;
        world.succeed(&["backfill"]).await;
        let resolved = list(&world, "resolved").await;
        for id in settled {
            let found =
                resolved.iter().find(|conflict| conflict["id"] == id.parse::<i64>().unwrap());
            assert_eq!(found.unwrap()["resolved_by"], "ana");
        }
        assert_eq!(world.run(&["conflicts", "dismiss", "1"]).await.status.code(), Some(2));
        assert_eq!(world.run(&["conflicts", "show", "999999"]).await.status.code(), Some(1));
    }
}
