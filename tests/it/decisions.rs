//! Decisions through the running daemon: taken back in any order, refused where they contradict, carried out during a backfill (SPEC §7).

use std::process::Stdio;

use serde_json::Value;
use testkit::source_schema::SourceLayout;

use crate::review::{ROWS, list};
use crate::support::compare::assert_equals_fresh_backfill;
use crate::support::eventually;
use crate::support::world::{Places, World, dirty, set};

/// Every owned and application column, by row.
const WHOLE_ROWS: &str = "select string_agg(line, e'\\n' order by line) from (
    select 'p ' || (to_jsonb(p) - '{updated_at,last_api_sync_at,api_sync_version}'::text[])::text as line
    from unified_profiles p
    union all
    select 't ' || (to_jsonb(t) - '{last_api_sync_at,api_sync_version,processed_at}'::text[])::text
    from transactions t
    union all
    select 'e ' || (to_jsonb(e) - '{created_at,updated_at}'::text[])::text from enrollments e) as lines";

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_taken_back_restores_exactly_what_was() {
    let world = World::canonical(ROWS).await;
    let daemon = world.started().await;
    let profile = |email: &str, tier: &str| {
        format!("update unified_profiles set tier = '{tier}' where email = '{email}'")
    };
    world.target.execute(&profile("p1@example.com", "gold")).await;
    world.target.execute(&profile("p2@example.com", "silver")).await;
    let progress = |email: &str, progress: u32| {
        format!(
            "update enrollments set progress = {progress}, notes = 'n{progress}' where user_id =
             (select id from unified_profiles where email = '{email}')"
        )
    };
    world.target.execute(&progress("p1@example.com", 20)).await;
    world.target.execute(&progress("p2@example.com", 70)).await;
    let before = world.target.value(WHOLE_ROWS).await;
    let add = ["decisions", "add", "alias", "p1@example.com", "p2@example.com", "--by", "ana"];
    world.succeed(&add).await;
    let of_p2 = "from enrollments e join unified_profiles p on p.id = e.user_id
                 where p.email = 'p2@example.com' and e.status <> 'revoked'";
    let kept = world.target.value(&format!("select max(trunc(progress)) {of_p2}")).await;
    let joined = "select count(*) from transactions where user_id =
                  (select id from unified_profiles where email = 'p2@example.com')";
    assert_eq!((kept.as_str(), world.target.value(joined).await.as_str()), ("70", "2"));
    let explained = world.succeed(&["explain", "P1@example.com", "--json"]).await;
    let explained: Value = serde_json::from_str(&explained).unwrap();
    assert_eq!(explained["person"], "p2@example.com");
    assert_eq!(explained["payments"].as_array().unwrap().len(), 2);
    world.succeed(&["rebuild"]).await;
    let decisions = world.succeed(&["decisions", "list", "--kind", "alias", "--json"]).await;
    let decisions: Value = serde_json::from_str(&decisions).unwrap();
    let id = decisions[0]["id"].to_string();
    world.succeed(&["decisions", "revert", &id, "--note", "two people"]).await;
    assert_eq!(world.target.value(WHOLE_ROWS).await, before);
    daemon.wait_until_caught_up(&world).await;
    world.succeed(&["rebuild"]).await;
    assert_eq!(world.target.value(WHOLE_ROWS).await, before);
}

/// Whatever rests on it and in whichever order, taking back a decision leaves what the others alone give, and
/// taking back all of them what was.
#[tokio::test(flavor = "multi_thread")]
async fn merges_are_taken_back_in_any_order() {
    let world = World::canonical(ROWS).await;
    let _daemon = world.started().await;
    world
        .target
        .execute(
            "update enrollments e set progress = ascii(right(p.email, 13)), notes = p.email
             from unified_profiles p where p.id = e.user_id;
             update unified_profiles set tier = left(email, 2)",
        )
        .await;
    let before = world.target.value(WHOLE_ROWS).await;
    let people = ["p1", "p2", "p3", "p8"].map(|name| format!("{name}@example.com"));
    // Stars into the eldest and the youngest, a chain, and aliases of an address that is one already.
    for joins in [
        [(1, 0), (2, 0), (3, 0)],
        [(0, 3), (1, 3), (2, 3)],
        [(0, 1), (1, 2), (2, 3)],
        [(2, 1), (0, 2), (3, 0)],
        [(0, 3), (2, 0), (1, 0)],
    ] {
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 1, 0]] {
            let mut ids = Vec::new();
            for (from, to) in joins {
                let add = ["decisions", "add", "alias", &people[from], &people[to], "--by", "ana"];
                world.succeed(&add).await;
                ids.push(world.target.value("select max(id) from tributary.decision").await);
            }
            for taken in order {
                world.succeed(&["decisions", "revert", &ids[taken], "--note", "no"]).await;
            }
            assert_eq!(world.target.value(WHOLE_ROWS).await, before, "{joins:?} {order:?}");
        }
        assert_equals_fresh_backfill(&world).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_are_carried_out_during_a_backfill() {
    let world = World::new(SourceLayout::Canonical, Places::Shared).await;
    world.load(&dirty(21, 2_000), 6_000, 6_000).await;
    world.configure(|table| set(table, "run", "chunk_rows", 20));
    let mut daemon = world.start();
    daemon.wait_for_rows(2_000, 0).await;
    let people = "select owner from tributary.source_row where feed = 1 and strpos(owner, ' ') = 0";
    let person = async |order: &str| {
        world.target.value(&format!("{people} order by owner {order} limit 1")).await
    };
    let (first, last) = (person("asc").await, person("desc").await);
    world.succeed(&["decisions", "add", "alias", &last, &first, "--by", "ana"]).await;
    let meanwhile = "select d.created_at < coalesce(b.finished_at, 'infinity')
        from tributary.decision d, tributary.backfill b where d.kind = 'alias'";
    assert_eq!(world.target.value(meanwhile).await, "true");
    daemon.wait_for_phase("streaming").await;
    assert_equals_fresh_backfill(&world).await;
}

/// SPEC §4.3: nobody is decided while a reconcile has yet to judge whom addresses that it found changed belong to.
#[tokio::test(flavor = "multi_thread")]
async fn decisions_wait_until_the_changed_addresses_of_a_reconcile_are_judged() {
    let world = World::canonical(ROWS).await;
    let daemon = world.started().await;
    let nobodys = "insert into xendit (id, status, amount, currency, created)
        values (gen_random_uuid(), 'PAID', 49, 'PHP', '2025-06-30T04:00:00Z')";
    world.source.execute(nobodys).await;
    daemon.wait_until_caught_up(&world).await;
    let kept =
        "insert into tributary.email_before (feed, key, email) values (1, 'none', 'x@example.com')";
    world.target.execute(kept).await;
    let decide = ["decisions", "add", "alias", "p1@example.com", "p2@example.com"];
    let mut decision = world.command(&decide).stdout(Stdio::null()).spawn().unwrap();
    let asked = "select count(*) from tributary.command where finished_at is null";
    let is_asked = || async { world.target.value(asked).await == "1" };
    eventually("the request", || daemon.log(), is_asked).await;
    // What decides nobody goes on.
    let open = list(&world, "open").await;
    let id = open.first().unwrap()["id"].to_string();
    world.succeed(&["conflicts", "dismiss", &id, "--note", "known"]).await;
    let aliases = "select count(*) from tributary.decision where kind = 'alias'";
    assert_eq!(world.target.value(aliases).await, "0");
    world.target.execute("delete from tributary.email_before").await;
    assert!(decision.wait().await.unwrap().success());
    assert_eq!(world.target.value(aliases).await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_that_contradict_others_are_refused() {
    let world = World::canonical(ROWS).await;
    let _daemon = world.started().await;
    let code = async |arguments: &[&str]| world.run(arguments).await.status.code();
    let alias = |a: &'static str, b: &'static str| ["decisions", "add", "alias", a, b];
    assert_eq!(code(&alias("p1@example.com", "p2@example.com")).await, Some(0));
    assert_eq!(code(&alias("p2@example.com", "p1@example.com")).await, Some(1));
    assert_eq!(code(&alias("p2@example.com", "p3@example.com")).await, Some(0));
    assert_eq!(code(&alias("p3@example.com", "p1@example.com")).await, Some(1));
    let separate = ["decisions", "add", "separate", "p4@example.com", "p5@example.com"];
    assert_eq!(code(&separate).await, Some(0));
    assert_eq!(code(&alias("p4@example.com", "p5@example.com")).await, Some(1));
    let first = world.target.value("select min(id) from tributary.decision").await;
    assert_eq!(code(&["decisions", "revert", &first]).await, Some(0));
    assert_eq!(code(&["decisions", "revert", &first]).await, Some(1));
    assert_eq!(code(&["explain", "pp1@example.com"]).await, Some(1));
    assert_eq!(code(&["accept"]).await, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collision_by_email_change_is_settled_by_keeping_one() {
    let world = World::canonical(ROWS).await;
    let daemon = world.started().await;
    let paid = "insert into xendit (id, status, amount, currency, customer_email, description, created, paid_at)
        values (gen_random_uuid(), 'PAID', 49, 'PHP', 'c4@example.com', 'Canva', '2025-06-30T04:00:00Z',
        '2025-06-30T04:00:00Z')";
    world.source.execute(paid).await;
    daemon.wait_until_caught_up(&world).await;
    world
        .source
        .execute("update systemeio set email = 'c5@example.com' where contact_id = 'c4'")
        .await;
    daemon.wait_until_caught_up(&world).await;
    let open = list(&world, "open").await;
    let found = open.iter().find(|conflict| conflict["kind"] == "email_change_collision").unwrap();
    let id = found["id"].to_string();
    world.succeed(&["rebuild"]).await;
    assert!(
        list(&world, "open")
            .await
            .iter()
            .any(|conflict| conflict["id"] == id.parse::<i64>().unwrap())
    );
    let resolve = ["conflicts", "resolve", &id, "--keep", "c5@example.com", "--by", "ana"];
    let said = world.succeed(&resolve).await;
    assert!(said.contains("is resolved by ana"), "{said}");
}
