//! `backfill --dry-run` touches nothing, and the real run does what it said (SPEC §9).

use serde_json::Value;
use testkit::source_schema::SourceLayout;

use crate::support::fingerprint::{assert_same, fingerprint};
use crate::support::setting;
use crate::support::world::{Places, World, dirty};

/// Targets as an application made them: other types, missing columns, a sequence, an identity and a computed column, foreign
/// keys, tables that refer to them.
const TARGETS: &str = "
    create type payment_state as enum ('PENDING', 'UNKNOWN', 'FAILED', 'EXPIRED', 'VOIDED', 'PAID', 'SETTLED',
        'PARTIALLY_REFUNDED', 'REFUNDED', 'CHARGEBACK');
    create table unified_profiles (id uuid primary key, email text not null unique, first_name varchar(80),
        phone text, tags text[], systemeio_id text unique, created_at timestamptz, tier text default 'viewer',
        number serial not null unique, shouted text generated always as (upper(email)) stored);
    create table courses (id uuid primary key, title text not null, slug text unique);
    create table transactions (id uuid primary key, user_id uuid references unified_profiles, amount numeric(20, 10) not null,
        status payment_state, currency text, metadata json, position int generated always as identity);
    create table enrollments (id uuid primary key, user_id uuid not null references unified_profiles,
        course_id uuid not null references courses, transaction_id uuid references transactions, status text,
        progress numeric default 0, notes text, unique (user_id, course_id));
    create table certificates (id int primary key, profile_id uuid references unified_profiles on delete cascade);
    create table receipts (id int primary key, transaction_id uuid references transactions);
    insert into courses select 'c0000000-0000-4000-8000-000000000000', 'Of the application', 'own';";

/// Rows that were there before: half of them belong to people of the source, in another spelling, and half are test data.
async fn populate(world: &World) {
    let source = world.source.connect().await;
    let sql = "select distinct on (lower(email)) email from systemeio
               where email ~ '^[A-Za-z0-9.]+@[a-z.]+$' order by lower(email), email limit 30";
    let emails: Vec<String> =
        source.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    let sql = "select id, coalesce(amount, 1)::text from xendit order by id limit 40";
    let payments = source.query(sql, &[]).await.unwrap();
    let (ids, amounts): (Vec<uuid::Uuid>, Vec<String>) =
        payments.iter().map(|row| (row.get::<_, uuid::Uuid>(0), row.get::<_, String>(1))).unzip();
    let target = world.target.connect().await;
    target.batch_execute(TARGETS).await.unwrap();
    let sql = "insert into unified_profiles (id, email, first_name, tier, created_at)
        select md5('p' || n)::uuid, case when n % 3 = 0 then upper(email) when n % 3 = 1 then initcap(email) else email end,
            'Old', case when n % 2 = 0 then 'gold' end, now() - n * interval '1 day'
        from unnest($1::text[]) with ordinality as e (email, n)";
    assert!(target.execute(sql, &[&emails]).await.unwrap() >= 10);
    // A second profile of one address.
    let sql = "insert into unified_profiles (id, email, first_name) values (md5('twin')::uuid, ' ' || lower($1) || ' ', 'Twin')";
    target.execute(sql, &[&emails[0]]).await.unwrap();
    let sql = "insert into transactions (id, amount, status, currency)
        select id, amount::numeric % 1000000, 'PENDING', 'USD' from unnest($1::uuid[], $2::text[]) as t (id, amount)
        where amount ~ '^[0-9.]+$'";
    assert!(target.execute(sql, &[&ids, &amounts]).await.unwrap() >= 10);
    target
        .batch_execute(
            "insert into unified_profiles (id, email, tags)
             select md5('test' || n)::uuid, 'test' || n || '@example.com', '{PaidP2P}' from generate_series(1, 30) as n;
             insert into transactions (id, user_id, amount, status)
             select md5('tx' || n)::uuid, md5('test' || n)::uuid, 1, 'PAID' from generate_series(1, 20) as n;
             insert into enrollments (id, user_id, course_id, transaction_id, status)
             select md5('en' || n)::uuid, md5('test' || n)::uuid, 'c0000000-0000-4000-8000-000000000000',
                 md5('tx' || n)::uuid, 'active' from generate_series(1, 10) as n;
             insert into certificates values (1, md5('test1')::uuid), (2, md5('p1')::uuid);
             insert into receipts values (1, md5('tx2')::uuid);",
        )
        .await
        .unwrap();
}

/// Everything of the target but the operation log.
async fn target(world: &World) -> std::collections::BTreeMap<String, String> {
    let mut found = fingerprint(&world.target).await;
    found.retain(|name, _| !name.contains("operation_log"));
    found
}

/// Dry runs in the operation log, where there is one.
async fn entries(world: &World) -> Option<i64> {
    let there = "select to_regclass('tributary.operation_log') is not null";
    if world.target.value(there).await == "false" {
        return None;
    }
    let sql = "select count(*) from tributary.operation_log
        where operation = 'dry-run' and outcome = 'done' and processed > 0 and detail -> 'tables' ? 'profiles'";
    world.target.value(sql).await.parse().ok()
}

/// What is predicted touches nothing, and the real run then does exactly that.
async fn predicted_and_done(world: &World, more: &[&str]) -> Value {
    let before = (fingerprint(&world.source).await, target(world).await);
    let entries = entries(world).await;
    let predicted = world.json(&[&["backfill", "--dry-run", "--json"], more].concat()).await;
    assert_same(&before.0, &fingerprint(&world.source).await);
    assert_same(&before.1, &target(world).await);
    assert_eq!(self::entries(world).await, entries.map(|entries| entries + 1));
    let done = world.json(&[&["backfill", "--json"], more].concat()).await;
    for key in ["tables", "conflicts", "business", "rollout", "halts", "references"] {
        assert_eq!(predicted[key], done[key], "{key}");
    }
    assert_eq!((&predicted["dry_run"], &done["dry_run"]), (&true.into(), &false.into()));
    assert_eq!(predicted["estimate"]["rows"], done["estimate"]["rows"]);
    predicted
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_touches_nothing_and_the_real_run_does_what_it_said_spec_9() {
    let world = World::new(SourceLayout::Canonical, Places::Shared).await;
    world.load(&dirty(11, 60), 90, 140).await;
    populate(&world).await;

    // Before the daemon's schema, slot and publication exist.
    let shown = predicted_and_done(&world, &[]).await;
    let count = |table: &str, what: &str| shown["tables"][table][what].as_u64().unwrap();
    let updated = |table: &str| shown["tables"][table]["update"]["total"].as_u64().unwrap();
    assert!(count("profiles", "insert") > 0 && updated("profiles") >= 10, "{shown:#}");
    assert!(count("transactions", "insert") > 0 && updated("transactions") >= 10, "{shown:#}");
    assert_eq!(count("transactions", "unsupported"), 20, "{shown:#}");
    assert_eq!(count("enrollments", "unsupported"), 10, "{shown:#}");
    assert!(count("profiles", "unsupported") >= 31, "{shown:#}");
    assert!(shown["conflicts"]["duplicate_profile"].as_u64() >= Some(1), "{shown:#}");
    let people = &shown["business"]["people"];
    assert_eq!(
        people["expected"].as_u64().unwrap() + count("profiles", "unsupported"),
        people["found"].as_u64().unwrap()
    );
    let gold = "select count(*) from unified_profiles where tier = 'gold' and number > 0";
    assert!(world.target.value(gold).await.parse::<i64>().unwrap() >= 5);

    // An installation that is there, rows that the source changed, and columns that somebody else did.
    world.source.execute("update xendit set amount = amount + 1, updated = '2025-12-01T00:00:00Z' where id in (select id from xendit order by id limit 25)").await;
    world
        .source
        .execute("delete from systemeio where id in (select id from systemeio order by id limit 4)")
        .await;
    world.source.execute("update systemeio set email = 'moved@example.com' where id = (select max(id::text)::uuid from systemeio)").await;
    world.target.execute("update unified_profiles set phone = 'x' where id in (select profile_id from tributary.person where state = 'present' order by email_key limit 5)").await;
    world.target.execute("delete from transactions t where id in (select id from transactions where metadata is not null order by id limit 3) and not exists (select from enrollments e where e.transaction_id = t.id)").await;
    let shown = predicted_and_done(&world, &[]).await;
    assert!(
        shown["tables"]["profiles"]["update"]["by_column"]["phone"].as_u64() >= Some(5),
        "{shown:#}"
    );
    assert!(
        shown["tables"]["transactions"]["update"]["by_column"]["amount"].as_u64() > Some(5),
        "{shown:#}"
    );
    let again = predicted_and_done(&world, &[]).await;
    for table in ["profiles", "transactions", "enrollments"] {
        let table = &again["tables"][table];
        assert_eq!(
            (&table["insert"], &table["update"]["total"], &table["delete"]),
            (&0.into(), &0.into(), &0.into()),
            "{again:#}"
        );
    }

    // What other tables refer to is not replaced, and nothing is changed then.
    let before = target(&world).await;
    let shown = world.json(&["backfill", "--dry-run", "--replace", "--json"]).await;
    let referring: Vec<&str> = shown["references"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["table"].as_str().unwrap())
        .collect();
    assert_eq!(referring, ["certificates", "receipts"], "{shown:#}");
    let refused = world.run(&["backfill", "--replace"]).await;
    let errors = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{errors}");
    assert!(errors.contains("1 rows of certificates refer to profiles"), "{errors}");
    assert_same(&before, &target(&world).await);
    world.target.execute("delete from certificates where id = 1; delete from receipts").await;
    let shown = predicted_and_done(&world, &["--replace"]).await;
    let deleted = |table: &str| shown["tables"][table]["delete"].as_u64().unwrap();
    assert_eq!((deleted("enrollments"), deleted("transactions")), (10, 20), "{shown:#}");
    assert!(deleted("profiles") >= 31, "{shown:#}");
    for table in ["profiles", "transactions", "enrollments"] {
        assert_eq!(shown["tables"][table]["unsupported"], 0, "{shown:#}");
    }
    assert_eq!(world.target.value("select count(*) from certificates").await, "1");
    // Beside a daemon that works, which is not disturbed.
    let mut daemon = world.started().await;
    let shown = world.json(&["backfill", "--dry-run", "--json"]).await;
    assert_eq!(shown["tables"]["profiles"]["update"]["total"], 0, "{shown:#}");
    assert!(
        daemon.is_running() && daemon.status().await["phase"] == "streaming",
        "{}",
        daemon.log()
    );
    let verified = world.run(&["verify"]).await;
    assert_eq!(verified.status.code(), Some(0), "{}", String::from_utf8_lossy(&verified.stdout));
}

/// On databases that nobody has looked at: each prediction is what the real run does, row for row.
#[tokio::test(flavor = "multi_thread")]
async fn predictions_hold_on_random_databases_spec_9() {
    let seeds = setting("TRIBUTARY_SEEDS", 2);
    for seed in 100..100 + seeds {
        let world = World::new(SourceLayout::Canonical, Places::Shared).await;
        world.load(&dirty(seed, 30), 40 + seed % 7, 50 + seed % 11).await;
        populate(&world).await;
        let shown = predicted_and_done(&world, &[]).await;
        assert!(shown["tables"]["profiles"]["insert"].as_u64() > Some(0), "seed {seed}: {shown:#}");
        // Then with a source that went on, and rows that somebody else changed.
        let n = seed % 9 + 1;
        world
            .source
            .execute(&format!(
                "update xendit set amount = amount + {n} where substr(id::text, 1, 1) < '4'"
            ))
            .await;
        world
            .source
            .execute(&format!(
                "delete from xendit where id in (select id from xendit order by id desc limit {n})"
            ))
            .await;
        world.target.execute("update unified_profiles set phone = 'x' where id::text < '5'").await;
        predicted_and_done(&world, &[]).await;
    }
}
