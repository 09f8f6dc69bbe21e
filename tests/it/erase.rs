//! `tributary erase`: nothing of the person is left (SPEC §7, P14).

use serde_json::Value;

use crate::support::world::{Place, Places, World};

/// Two to be forgotten, of whom one has paid, and one whose address holds the other's.
const ROWS: &str = "
    insert into systemeio (id, contact_id, email, first_name, last_name, phone, tags, created_at) values
      ('00000000-0000-4000-9000-000000000001', 'c1', 'Ana@Example.com', 'Canaryana', 'Quetzal', '09171234567', 'PaidP2P', '2025-01-01Z'),
      ('00000000-0000-4000-9000-000000000002', 'c2', 'ben@example.com', 'Canaryben', 'Vireo', null, null, '2025-01-02Z'),
      ('00000000-0000-4000-9000-000000000003', 'c3', 'joana@example.com', 'Joana', 'Diaz', null, 'PaidP2P', '2025-01-03Z'),
      ('00000000-0000-4000-9000-000000000004', 'c3', 'ana.old@example.com', 'Canaryana', 'Quetzal', null, null, '2025-01-04Z'),
      ('00000000-0000-4000-9000-000000000005', 'c5', 'benx@example.com', 'Benx', 'Other', null, null, '2025-01-05Z');
    insert into xendit (id, external_id, status, amount, currency, customer_name, customer_email, description, created, paid_at) values
      ('00000000-0000-4000-8000-000000000001', 'e1', 'PAID', 499, 'PHP', 'Canarypayer Quetzal', 'ana@example.com', 'Papers to Profits', '2025-06-30T04:00:00Z', '2025-06-30T04:00:00Z'),
      ('00000000-0000-4000-8000-000000000002', 'e2', 'PAID', 5, 'PHP', 'Joana Diaz', 'joana@example.com', 'Canva Ebook', '2025-06-30T04:00:00Z', '2025-06-30T04:00:00Z')";

/// What must not be found, in any case. The address of joana holds that of ana.
const CANARIES: &str = "canaryana|canaryben|canarypayer|quetzal|vireo|09171234567|9171234567\
                        |(^|[^o])ana@example|ana\\.old@example|ben@example";

/// Tables of these schemas of which a row names the people.
async fn tables_with_canaries(place: &Place) -> Vec<String> {
    let client = place.connect().await;
    let sql = "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace \
               where n.nspname in ('public', 'tributary') and c.relkind = 'r' order by 1";
    let mut found = Vec::new();
    for row in client.query(sql, &[]).await.unwrap() {
        let table: String = row.get(0);
        // Raw values are bytes.
        let bytes =
            if table == "tributary.source_row" { " || encode(x.raw, 'escape')" } else { "" };
        let sql = format!("select count(*) from {table} x where (x::text{bytes}) ~* $1");
        let count: i64 = client.query_one(&sql, &[&CANARIES]).await.unwrap().get(0);
        if count > 0 {
            found.push(format!("{table}: {count}"));
        }
    }
    found
}

async fn erase(world: &World, email: &str) -> (Option<i32>, Value) {
    let output = world.run(&["erase", email, "--json"]).await;
    let errors = String::from_utf8_lossy(&output.stderr);
    let printed = serde_json::from_slice(&output.stdout);
    (output.status.code(), printed.unwrap_or_else(|error| panic!("{error}\n{errors}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_person_who_is_erased() {
    let world = World::canonical(ROWS).await;
    let daemon = world.started().await;
    world.succeed(&["decisions", "add", "alias", "ana.old@example.com", "ana@example.com"]).await;
    world.succeed(&["decisions", "add", "separate", "ben@example.com", "joana@example.com"]).await;
    let row = "systemeio:00000000-0000-4000-9000-000000000002";
    world
        .succeed(&[
            "decisions",
            "add",
            "email",
            row,
            "ben@example.com",
            "--note",
            "asked ben@example.com",
        ])
        .await;
    // What other versions keep beside.
    let beside = "create schema tributary_backup_one;
        create table tributary_backup_one.profiles as select * from unified_profiles;
        create table tributary_backup_one.courses as select * from courses;
        insert into tributary.operation_log (operation, outcome, version, config_hash, detail)
          values ('test', 'done', '1', '1', '{\"who\": \"ana@example.com\"}');
        create table if not exists tributary.id_map (import text, table_name text, old_id text, new_id text, run bigint, record bigint);
        insert into tributary.id_map
          select 'i', 't', 'old', id::text, 1, 1 from unified_profiles where email = 'ana@example.com'";
    world.target.execute(beside).await;
    assert!(tables_with_canaries(&world.target).await.len() > 5);

    // Under any of its addresses, as long as a row is there.
    for email in ["ana@example.com", "ANA.old@example.com", "ben@example.com"] {
        let (code, printed) = erase(&world, email).await;
        assert_eq!(code, Some(1), "{printed:#}");
        assert!(printed["text"].as_str().unwrap().contains("still has this person"), "{printed:#}");
    }
    let conflicts = format!(
        "select count(*) from tributary.conflict c where c::text like '%joana%' and c::text !~* '{CANARIES}'"
    );
    let conflicts = conflicts.as_str();
    world
        .source
        .execute(
            "delete from systemeio where last_name in ('Quetzal', 'Vireo');
                          delete from xendit where external_id = 'e1'",
        )
        .await;
    daemon.wait_until_caught_up(&world).await;
    let others = world.target.value(conflicts).await;
    let profile =
        "select id from unified_profiles where first_name = 'Canaryana' and email like 'ana@%'";
    let profile = world.target.value(profile).await;

    let (code, printed) = erase(&world, "ana.old@example.com").await;
    assert_eq!(code, Some(0), "{printed:#}");
    assert_eq!(printed["backups"], serde_json::json!(["tributary_backup_one.profiles"]));
    let text = printed["text"].as_str().unwrap();
    assert!(text.contains(&format!("profile {profile} is emptied")), "{text}");
    let (code, printed) = erase(&world, "ben@example.com").await;
    assert_eq!(code, Some(0), "{printed:#}");
    assert!(printed["text"].as_str().unwrap().contains("is deleted"), "{printed:#}");

    assert_eq!(tables_with_canaries(&world.target).await, Vec::<String>::new());
    let email = format!("select email from unified_profiles where id = '{profile}'");
    assert_eq!(world.target.value(&email).await, format!("erased-{profile}@invalid"));
    let ids = "select count(*) from tributary.id_map";
    assert_eq!(world.target.value(ids).await, "0");
    // Nobody else is touched.
    assert_eq!(world.target.value(conflicts).await, others);
    let names = "select string_agg(first_name, ',' order by first_name) from unified_profiles";
    assert_eq!(world.target.value(names).await, "Benx,Joana");
    let log = daemon.whole_log().to_lowercase();
    assert!(!log.contains("canary") && !log.contains("ana@example.com"), "{log}");
    // Once more there is nothing to do, and whoever comes back is a new person.
    let (code, printed) = erase(&world, "ben@example.com").await;
    assert_eq!(
        (code, printed["text"].as_str()),
        (Some(0), Some("0 rows of schema tributary are deleted"))
    );
    let again = "insert into systemeio (id, email, first_name) values (gen_random_uuid(), 'ana@example.com', 'Anew')";
    world.source.execute(again).await;
    daemon.wait_until_caught_up(&world).await;
    let output = world.succeed(&["verify"]).await;
    assert!(output.ends_with("no differences\n"), "{output}");
    assert_eq!(world.target.value(names).await, "Anew,Benx,Joana");
}

/// The source still has the address in a row that a decision gave to somebody else; once it is gone the decision goes too.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_with_the_address_that_a_decision_gave_to_another_person_is_known() {
    let world = World::with_more_feeds(Places::Shared).await;
    let row = "insert into ebook_contacts values ('wrong@example.com', 'Dan Reyes', now())";
    world.source.execute(row).await;
    let daemon = world.started().await;
    let decision =
        ["decisions", "add", "email", "ebook_contacts:wrong@example.com", "right@example.com"];
    world.succeed(&decision).await;
    let refused = world.run(&["erase", "wrong@example.com"]).await;
    let errors = [refused.stdout, refused.stderr].concat();
    let errors = String::from_utf8_lossy(&errors).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{errors}");
    assert!(errors.contains("the source still has this person"), "{errors}");
    world.source.execute("delete from ebook_contacts").await;
    daemon.wait_until_caught_up(&world).await;
    world.succeed(&["erase", "wrong@example.com"]).await;
    let left = "select count(*) from tributary.decision d where d::text like '%wrong@%'";
    assert_eq!(world.target.value(left).await, "0");
}
