//! `tributary verify`: finds what was planted and nothing else, while the daemon works and the source changes.

use std::time::Duration;

use serde_json::Value;
use testkit::source_schema::SourceLayout;

use crate::support::world::{Places, Traffic, World, dirty};

/// Three people with contacts and payments, a payment of nobody, and a suspected duplicate.
const ROWS: &str = "
    insert into systemeio (id, contact_id, email, first_name, last_name, tags, created_at) values
      ('00000000-0000-4000-9000-000000000001', 'c1', 'ana@example.com', 'Ana', 'Reyes', 'PaidP2P', '2025-01-01Z'),
      ('00000000-0000-4000-9000-000000000002', 'c2', 'ben@example.com', 'Ben', 'Cruz', null, '2025-01-02Z'),
      ('00000000-0000-4000-9000-000000000003', 'c2', 'cora@example.com', 'Cora', 'Diaz', null, '2025-01-03Z'),
      ('00000000-0000-4000-9000-000000000004', 'c4', 'ana+b@example.com', 'Ana', 'Reyes', null, '2025-01-04Z');
    insert into xendit (id, external_id, status, amount, currency, customer_email, description, created, paid_at) values
      ('00000000-0000-4000-8000-000000000001', 'e1', 'PAID', 499, 'PHP', 'ana@example.com', 'Papers to Profits', '2025-06-30T04:00:00Z', '2025-06-30T04:00:00Z'),
      ('00000000-0000-4000-8000-000000000002', 'e2', 'PAID', 250, 'PHP', 'ben@example.com', 'Secret Webinar', '2025-06-30T05:00:00Z', '2025-06-30T05:00:00Z'),
      ('00000000-0000-4000-8000-000000000003', 'e2', 'PAID', 251, 'PHP', 'cora@example.com', 'Secret Webinar', '2025-06-30T06:00:00Z', '2025-06-30T06:00:00Z'),
      ('00000000-0000-4000-8000-000000000004', 'e4', 'PAID', 100, 'PHP', null, 'Canva Ebook', '2025-06-30T07:00:00Z', '2025-06-30T07:00:00Z')";

/// Something that somebody did in the target, and the rows that differ then: source_rows, profiles, transactions,
/// enrollments, conflicts.
struct Planted(&'static str, &'static str, [u64; 5]);

const PLANTED: &[Planted] = &[
    Planted(
        "a stored payment is deleted",
        "delete from tributary.source_row where key = '00000000-0000-4000-8000-000000000001'",
        [1, 0, 0, 0, 0],
    ),
    Planted(
        "a stored payment that shares its external_id is deleted",
        "delete from tributary.source_row where key = '00000000-0000-4000-8000-000000000003'",
        [1, 0, 0, 0, 0],
    ),
    Planted(
        "the stored contact that holds a shared contact_id is deleted",
        "delete from tributary.source_row where key = '00000000-0000-4000-9000-000000000003'",
        [1, 0, 0, 0, 0],
    ),
    Planted(
        "a row that the source does not have is stored",
        "insert into tributary.source_row (feed, key, owner, digest, generation, raw)
         select feed, '00000000-0000-4000-8000-0000000000aa', owner, digest, generation, raw
         from tributary.source_row where key = '00000000-0000-4000-8000-000000000001'",
        [1, 0, 0, 0, 0],
    ),
    Planted(
        "a payment is changed in row store and target alike",
        "update tributary.source_row
         set raw = decode(replace(encode(raw, 'hex'), encode('Secret', 'hex'), encode('Hidden', 'hex')), 'hex')
         where key = '00000000-0000-4000-8000-000000000002';
         update transactions set description = 'Hidden Webinar'
         where id = '00000000-0000-4000-8000-000000000002'",
        [1, 0, 1, 0, 0],
    ),
    Planted(
        "a stored contact is given to another person",
        "update tributary.source_row set owner = 'ana@example.com', email_key = 'ben@example.com'
         where key = '00000000-0000-4000-9000-000000000002'",
        [1, 0, 0, 0, 0],
    ),
    Planted(
        "a name is changed",
        "update unified_profiles set first_name = 'Planted', tier = 'gold' where email = 'ana@example.com'",
        [0, 1, 0, 0, 0],
    ),
    Planted(
        "a person is forgotten",
        "delete from tributary.person where email_key = 'ben@example.com'",
        [0, 1, 0, 0, 0],
    ),
    Planted(
        "a person is marked as gone",
        "update tributary.person set state = 'absent' where email_key = 'cora@example.com'",
        [0, 1, 0, 0, 0],
    ),
    Planted(
        "a transaction is deleted",
        "delete from transactions where id = '00000000-0000-4000-8000-000000000004'",
        [0, 0, 1, 0, 0],
    ),
    Planted(
        "an amount is changed",
        "update transactions set amount = 1 where id = '00000000-0000-4000-8000-000000000002'",
        [0, 0, 1, 0, 0],
    ),
    Planted(
        "a transaction is added with the metadata of another one",
        "insert into transactions (id, amount, metadata)
         select '00000000-0000-4000-8000-0000000000bb', amount, metadata from transactions
         where id = '00000000-0000-4000-8000-000000000002'",
        [0, 0, 1, 0, 0],
    ),
    Planted(
        "a transaction is added for a row that there never was",
        "insert into transactions (id, amount, metadata) values ('00000000-0000-4000-8000-0000000000cc', 5,
           '{\"source\": \"xendit\", \"source_id\": \"00000000-0000-4000-8000-0000000000cc\"}')",
        [0, 0, 1, 0, 0],
    ),
    Planted("an enrollment is ended", "update enrollments set status = 'revoked'", [0, 0, 0, 1, 0]),
    Planted("an enrollment is deleted", "delete from enrollments", [0, 0, 0, 1, 0]),
    Planted(
        "an enrollment is added as ours",
        "insert into enrollments (id, user_id, course_id, transaction_id, status, metadata)
         select '00000000-0000-4000-8000-0000000000dd', p.id, e.course_id, e.transaction_id, 'active', e.metadata
         from enrollments e, unified_profiles p where p.email = 'ben@example.com'",
        [0, 0, 0, 1, 0],
    ),
    Planted(
        "a conflict is deleted",
        "delete from tributary.conflict where kind = 'duplicate_external_id'",
        [0, 0, 0, 0, 1],
    ),
    Planted(
        "conflicts are closed",
        "update tributary.conflict set status = 'resolved'
         where kind in ('possible_duplicate', 'unlinked_payment', 'contact_id_collision')",
        [0, 0, 0, 0, 3],
    ),
    Planted(
        "conflicts are opened: of a person, of nobody, of an id and of a pair",
        "insert into tributary.conflict (kind, severity, status, subject, fingerprint, scope, evidence, evidence_digest)
         select k, 'review', 'open', s, gen_random_uuid(), c, '{}', gen_random_uuid() from (values
           ('name_disagreement', 'ana@example.com', 'owner:ana@example.com'),
           ('name_disagreement', 'nobody@example.com', 'owner:nobody@example.com'),
           ('duplicate_external_id', 'external_id:e1', 'external_id:e1'),
           ('possible_duplicate', 'a|b', 'pair:ben@example.com')) as n (k, s, c)",
        [0, 0, 0, 0, 4],
    ),
    Planted(
        "what the application owns is changed",
        "update unified_profiles set tier = 'gold', updated_at = now(), api_sync_version = 77;
         update enrollments set progress = 70, notes = 'x', completion_date = '2025-08-01', status = 'completed';
         update transactions set processed_at = now();
         insert into unified_profiles (id, email) values (gen_random_uuid(), 'application@example.com');
         insert into transactions (id, amount, metadata) values (gen_random_uuid(), 1, '{\"source\": \"till\"}')",
        [0, 0, 0, 0, 0],
    ),
];

const TABLES: [&str; 5] = ["source_rows", "profiles", "transactions", "enrollments", "conflicts"];

/// The report and the exit code.
async fn verified(world: &World, arguments: &[&str]) -> (Value, Option<i32>) {
    let output = world.run(&[&["verify", "--json"], arguments].concat()).await;
    let errors = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_slice(&output.stdout);
    (report.unwrap_or_else(|error| panic!("{error}\n{errors}")), output.status.code())
}

fn counts(report: &Value) -> [u64; 5] {
    TABLES.map(|table| report["tables"][table].as_u64().unwrap())
}

async fn assert_clean(world: &World, what: &str) {
    let (report, code) = verified(world, &[]).await;
    assert_eq!((counts(&report), code), ([0; 5], Some(0)), "{what}\n{report:#}");
    assert_eq!(report["unsettled"], 0, "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_planted_is_found_and_nothing_else_and_a_repair_heals_it() {
    let world = World::canonical(ROWS).await;
    let daemon = world.started().await;
    assert_clean(&world, "nothing was planted").await;
    for Planted(what, sql, expected) in PLANTED {
        if *expected == [0; 5] {
            // Everything that differed is healed. What the application owns no fresh backfill knows.
            crate::support::compare::assert_equals_fresh_backfill(&world).await;
        }
        world.target.execute(sql).await;
        let (report, code) = verified(&world, &[]).await;
        assert_eq!(counts(&report), *expected, "{what}\n{report:#}");
        let total: u64 = expected.iter().sum();
        assert_eq!(report["differences"], total, "{what}");
        assert_eq!(code, Some(if total == 0 { 0 } else { 3 }), "{what}");
        assert_eq!(report["examples"].as_array().unwrap().len() as u64, total, "{what}");
        assert_eq!(report["streaming"], true, "{what}");
        let (report, code) = verified(&world, &["--repair"]).await;
        assert_eq!((counts(&report), code), ([0; 5], Some(0)), "repair: {what}\n{report:#}");
        assert_clean(&world, what).await;
    }
    assert_eq!(daemon.terminate().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_differs_while_the_source_changes() {
    for (layout, seed) in [(SourceLayout::Canonical, 21), (SourceLayout::Legacy, 22)] {
        let world = World::new(layout, Places::Shared).await;
        let population = dirty(seed, 400);
        let rows = (500, 900);
        world.load(&population, rows.0, rows.1).await;
        let daemon = world.started().await;
        let traffic = Traffic::start(&world, &population, rows, Duration::from_millis(200));
        for round in 0..3 {
            let (report, code) = verified(&world, &["--show-values"]).await;
            assert_eq!((counts(&report), code), ([0; 5], Some(0)), "{round}\n{report:#}");
            assert!(report["unsettled"].as_u64().unwrap() < 20, "{report:#}");
            assert_eq!(report["streaming"], true);
            assert!(report["checked"]["source_rows"].as_u64().unwrap() > 500, "{report:#}");
        }
        // What is planted is found all the same.
        let plant = "update unified_profiles set acquisition_source = 'planted' where id = \
                     (select profile_id from tributary.person where state = 'present' order by email_key limit 1)";
        world.target.execute(plant).await;
        let (report, _) = verified(&world, &[]).await;
        let found = report["columns"]["profiles.acquisition_source"].as_u64();
        // A change of this very person may have healed it.
        assert!(found.is_none_or(|found| found == 1), "{report:#}");
        assert_eq!(counts(&report)[0], 0, "{report:#}");
        traffic.end().await;
        drop(daemon);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_shown_only_where_they_are_asked_for() {
    let world = World::canonical(ROWS).await;
    let _daemon = world.started().await;
    for Planted(_, sql, _) in PLANTED.iter().filter(|p| !p.0.contains("transaction is deleted")) {
        world.target.execute(sql).await;
    }
    let values = ["Planted", "example.com", "Webinar", "Reyes"];
    for arguments in [&["verify"][..], &["verify", "--json"]] {
        let output = world.run(arguments).await;
        assert_eq!(output.status.code(), Some(3));
        let all = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(all).unwrap();
        for value in values {
            assert!(!text.contains(value), "{value} in\n{text}");
        }
    }
    let output = world.run(&["verify", "--show-values"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("first_name (§4.2) is 'Planted', should be 'Ana'"), "{text}");
    let (report, code) = verified(&world, &["--repair", "--examples", "1"]).await;
    assert_eq!((counts(&report), code), ([0; 5], Some(0)), "{report:#}");
    assert!(report["repaired"].as_u64().unwrap() > 10, "{report:#}");
}

/// The keys of the legacy layout hold addresses (P14).
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_holds_an_address_is_shown_as_a_digest() {
    let world = World::new(SourceLayout::Legacy, Places::Shared).await;
    let row = "insert into systemeio (\"Email\", \"Date Registered\", \"First name\") \
               values ('dora@example.com', '2025-01-01Z', 'Dora')";
    world.source.execute(row).await;
    let _daemon = world.started().await;
    world.target.execute("delete from tributary.source_row").await;
    let (report, code) = verified(&world, &[]).await;
    assert_eq!((counts(&report), code), ([1, 0, 0, 0, 0], Some(3)), "{report:#}");
    let name = report["examples"][0]["source_row"].as_str().unwrap();
    assert!(name.starts_with("systemeio:#") && name.len() == 23, "{name}");
    let (report, code) = verified(&world, &["--repair"]).await;
    assert_eq!((counts(&report), code), ([0; 5], Some(0)), "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_daemon_it_compares_as_it_stands_and_repairs_by_itself() {
    let world = World::canonical(ROWS).await;
    let output = world.run(&["verify"]).await;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("tributary run"), "{errors}");
    let daemon = world.started().await;
    daemon.terminate().await;
    let output = world.succeed(&["verify"]).await;
    assert!(output.contains("no daemon is streaming"), "{output}");
    assert!(output.ends_with("no differences\n"), "{output}");
    let change = "update xendit set amount = 777 where external_id = 'e4'; \
                  delete from systemeio where contact_id = 'c1'";
    world.source.execute(change).await;
    world
        .target
        .execute("update unified_profiles set last_name = 'Planted' where first_name = 'Ben'")
        .await;
    let (report, code) = verified(&world, &[]).await;
    assert_eq!(code, Some(3), "{report:#}");
    assert_eq!(counts(&report)[0], 2, "{report:#}");
    assert_eq!(report["columns"]["source_rows.amount"], 1, "{report:#}");
    assert_eq!(report["columns"]["transactions.amount"], 1, "{report:#}");
    assert_eq!(report["streaming"], false, "{report:#}");
    let (report, code) = verified(&world, &["--repair"]).await;
    assert_eq!((counts(&report), code), ([0; 5], Some(0)), "{report:#}");
    // The stream brings the same changes once more.
    let daemon = world.started().await;
    assert_clean(&world, "after the stream").await;
    assert_eq!(daemon.terminate().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_that_would_delete_much_is_refused() {
    let world = World::canonical(ROWS).await;
    world.configure(|table| {
        crate::support::world::set(table, "guard", "delete_rows", 1);
        crate::support::world::set(table, "guard", "delete_percent", 1);
    });
    let _daemon = world.started().await;
    let plant = "insert into tributary.source_row (feed, key, owner, digest, generation, raw)
         select feed, '00000000-0000-4000-8000-0000000000' || n, owner, digest, generation, raw
         from tributary.source_row, generate_series(10, 20) n
         where key = '00000000-0000-4000-8000-000000000001'";
    world.target.execute(plant).await;
    let output = world.run(&["verify", "--repair"]).await;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("tributary backfill"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_is_said_so() {
    let world = World::canonical("select 1").await;
    let mut command = world.command(&["verify"]);
    command.env("TRIBUTARY_TARGET_URL", "postgresql://nobody@127.0.0.1:1/none?sslmode=disable");
    let output = command.output().await.unwrap();
    assert_eq!(output.status.code(), Some(69), "{}", String::from_utf8_lossy(&output.stderr));
}
