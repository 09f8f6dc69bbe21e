//! Budgets that are not times (P13, P16).

use crate::support::counting::{Cost, CountingProxy};
use crate::support::daemon::Daemon;
use crate::support::world::{World, set};
use crate::support::{eventually, setting};

/// Changes that are measured, each in a source transaction of its own.
const CHANGES: i64 = 20;

/// Rows that the daemon's sessions read of these tables. Others are read beside the changes too, bounded in time: the
/// profiles and persons in search of those that the application made, the open conflicts to count them.
const READ: &str = "select coalesce(sum(coalesce(idx_tup_fetch, 0) + coalesce(seq_tup_read, 0)), 0)::bigint \
    from pg_stat_user_tables where relname in ('source_row', 'alias', 'decision', 'transactions', 'enrollments')";

/// A contact and a payment of each person; all of them share one contact_id and one external_id.
fn people(count: u32) -> String {
    format!(
        "insert into systemeio (id, email, contact_id, first_name, created_at)
         select gen_random_uuid(), 'p' || n || '@example.com', 'shared', 'Ana', now()
         from generate_series(1, {count}) as n;
         insert into xendit (id, external_id, status, amount, currency, description, customer_email, created)
         select gen_random_uuid(), 'shared', 'PAID', 499, 'PHP', 'Papers to Profits', 'p' || n || '@example.com',
             '2025-06-30T04:00:00Z'
         from generate_series(1, {count}) as n"
    )
}

/// Rows read for a change of one payment, with this many people in the tables and no statistics of them.
async fn rows_read_per_change(count: u32) -> f64 {
    let world = World::canonical(&people(count)).await;
    world.succeed(&["migrate"]).await;
    for table in ["source_row", "person", "conflict"] {
        let off = format!("alter table tributary.{table} set (autovacuum_enabled = off)");
        world.target.execute(&off).await;
    }
    // Takes as long as it needs, with many people; and no copies, whose tables have the same names.
    world.configure(|table| set(table, "backup", "enabled", false));
    world.succeed(&["backfill"]).await;
    let daemon = world.started().await;
    settled(&world, &daemon, "n_tup_upd", 0).await;
    let before: i64 = world.target.value(READ).await.parse().unwrap();
    for n in 1..=CHANGES {
        let sql = format!(
            "update xendit set amount = 500 + {n} where customer_email = 'p{}@example.com'",
            n * i64::from(count) / (CHANGES + 1)
        );
        world.source.execute(&sql).await;
        daemon.wait_until_caught_up(&world).await;
        // Another payment of a person, and a person who is new.
        let sql = format!(
            "insert into xendit (id, external_id, payment_id, status, amount, customer_email, created)
             values (gen_random_uuid(), 'e{n}', 'y{n}', 'PAID', 5, 'p{n}@example.com', '2025-06-30T04:00:00Z');
             insert into systemeio (id, email, contact_id, first_name)
             values (gen_random_uuid(), 'new{n}@example.com', 'c{n}', 'Bea')"
        );
        world.source.execute(&sql).await;
        daemon.wait_until_caught_up(&world).await;
    }
    settled(&world, &daemon, "n_tup_upd", CHANGES).await;
    let after: i64 = world.target.value(READ).await.parse().unwrap();
    (after - before) as f64 / CHANGES as f64
}

/// Waits until the server's counters have as many rows of the transactions written in this way, and move no more.
async fn settled(world: &World, daemon: &Daemon, way: &str, rows: i64) {
    let written =
        format!("select {way} >= {rows} from pg_stat_user_tables where relname = 'transactions'");
    let what = "the counters of the target";
    eventually(what, || daemon.log(), || async { world.target.value(&written).await == "true" })
        .await;
    let last = std::sync::Mutex::new((String::new(), 0));
    let still = || async {
        let read = world.target.value(READ).await;
        let mut last = last.lock().unwrap();
        // Sessions report once a second at most.
        *last = if last.0 == read { (read, last.1 + 1) } else { (read, 0) };
        last.1 >= 40
    };
    eventually(what, || daemon.log(), still).await;
}

/// P16: neither the tables nor the number of people who share a value make a change dearer.
#[tokio::test(flavor = "multi_thread")]
async fn the_rows_read_for_a_change_do_not_grow_with_the_tables() {
    let few = rows_read_per_change(300).await;
    let people = setting("BUDGET_PEOPLE", 6_000);
    let many = rows_read_per_change(u32::try_from(people).unwrap()).await;
    println!("rows read for a change: {few} among 300 people, {many} among {people}");
    assert!(many <= few * 1.3 + 5.0, "{few} rows a change with few people, {many} with many");
}

/// Entries of indexes that a source transaction with this many contacts and payments reads, for each of its rows. The tables were
/// all but empty when the session's plans were made.
async fn entries_read_by_a_large_transaction(count: u32) -> f64 {
    const READ: &str = "select coalesce(sum(idx_tup_read), 0)::bigint from pg_stat_user_indexes \
        where relname in ('source_row', 'transactions') or indexrelname in ('conflict_scope', 'conflict_also')";
    let world = World::canonical("").await;
    let daemon = world.started().await;
    // The server keeps a plan from the sixth time on.
    for n in 1..=8 {
        let sql = format!(
            "insert into systemeio (id, email, first_name)
             values (gen_random_uuid(), 'first{n}@example.com', 'Ana')"
        );
        world.source.execute(&sql).await;
        daemon.wait_until_caught_up(&world).await;
    }
    world
        .source
        .execute(&format!(
            "insert into systemeio (id, email, contact_id, first_name)
             select gen_random_uuid(), 'q' || n || '@example.com', 'c' || n, 'Ana' from generate_series(1, {count}) as n;
             insert into xendit (id, external_id, payment_id, status, amount, description, customer_email, created)
             select gen_random_uuid(), 'e' || n, 'y' || n, 'PAID', 499, 'unknown', 'q' || n || '@example.com',
                 '2025-06-30T04:00:00Z'
             from generate_series(1, {count}) as n"
        ))
        .await;
    daemon.wait_until_caught_up(&world).await;
    settled(&world, &daemon, "n_tup_ins", count.into()).await;
    assert_eq!(world.target.value("select count(*) from transactions").await, count.to_string());
    world.target.value(READ).await.parse::<f64>().unwrap() / f64::from(count)
}

/// What was planned while the tables were empty is planned again as they grow (P16): within one transaction no statistics are.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_transaction_reads_in_proportion_to_its_rows_p16() {
    let few = entries_read_by_a_large_transaction(1_000).await;
    let many = entries_read_by_a_large_transaction(12_000).await;
    assert!(many <= few * 1.2 + 2.0, "{few} entries a row of few rows, {many} of many");
}

/// A source transaction that is applied in parts, for one row of 1.1 MiB, reads none of the others.
#[tokio::test(flavor = "multi_thread")]
async fn one_large_row_reads_none_of_the_others_p16() {
    const READ: &str = "select coalesce(sum(i.idx_tup_read), 0)::bigint + (select seq_tup_read from pg_stat_user_tables
        where relname = 'source_row') from pg_stat_user_indexes i where i.relname = 'source_row'";
    const EACH: &str = "select string_agg(concat_ws(' ', i.indexrelname, i.idx_scan, i.idx_tup_read), ', ') || ', all '
        || (select concat_ws(' ', seq_scan, seq_tup_read) from pg_stat_user_tables where relname = 'source_row')
        from pg_stat_user_indexes i where i.relname = 'source_row'";
    const PEOPLE: u32 = 3_000;
    let apart = people(PEOPLE).replace("'shared'", "'s' || n");
    let world = World::canonical(&apart).await;
    world.succeed(&["migrate"]).await;
    world.target.execute("alter table tributary.source_row set (autovacuum_enabled = off)").await;
    // What a session has read may be counted ten seconds later, but not after its end: backfill and report are a process of their own.
    world.configure(|table| set(table, "backup", "enabled", false));
    world.succeed(&["backfill"]).await;
    let daemon = world.started().await;
    // What was read until then is counted with the next change.
    let small = "update xendit set amount = 400 where customer_email = 'p7@example.com'";
    world.source.execute(small).await;
    daemon.wait_until_caught_up(&world).await;
    settled(&world, &daemon, "n_tup_upd", 1).await;
    let before: i64 = world.target.value(READ).await.parse().unwrap();
    let each_before = world.target.value(EACH).await;
    world
        .source
        .execute(
            "update xendit set amount = 500, description = (select string_agg(md5(n::text), '') from generate_series(1, 36000) n)
             where customer_email = 'p7@example.com'",
        )
        .await;
    daemon.wait_until_caught_up(&world).await;
    settled(&world, &daemon, "n_tup_upd", 2).await;
    let read = world.target.value(READ).await.parse::<i64>().unwrap() - before;
    let each = world.target.value(EACH).await;
    assert!(
        read < i64::from(PEOPLE) / 4,
        "{read} of {} stored rows: before {each_before}; after {each}",
        2 * PEOPLE
    );
}

/// Statements and sequential round trips of the transaction that applies one change, in the median.
async fn cost_of(
    world: &World,
    daemon: &Daemon,
    proxy: &CountingProxy,
    change: impl Fn(i64) -> String,
) -> (usize, usize) {
    daemon.wait_until_caught_up(world).await;
    proxy.take();
    for n in 1..=CHANGES {
        world.source.execute(&change(n)).await;
        daemon.wait_until_caught_up(world).await;
    }
    let costs = proxy.take();
    assert!(costs.len() >= CHANGES as usize, "{} transactions were seen", costs.len());
    let median = |of: fn(&Cost) -> usize| {
        let mut all: Vec<usize> = costs.iter().map(of).collect();
        all.sort_unstable();
        all[all.len() / 2]
    };
    (median(|cost| cost.statements), median(|cost| cost.round_trips))
}

/// A change takes few statements, and fewer round trips one after the other, `begin` and `commit` included.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_takes_few_statements_and_round_trips() {
    let world = World::canonical(&people(300)).await;
    let port = world.target.cluster.port();
    let proxy = CountingProxy::before(port).await;
    let url = proxy.url(&world.target.url(), port);
    let mut daemon = Daemon::start_with(&world, &[("TRIBUTARY_TARGET_URL", &url)]);
    daemon.wait_for_phase("streaming").await;
    let known = |n| {
        format!("update xendit set amount = 500 + {n} where customer_email = 'p{n}@example.com'")
    };
    let new = |n| {
        format!(
            "insert into systemeio (id, email, contact_id, first_name, created_at)
             values (gen_random_uuid(), 'new{n}@example.com', 'n{n}', 'Ben', now())"
        )
    };
    let moved = |n| {
        format!(
            "update systemeio set email = 'moved{n}@example.com' where email = 'new{n}@example.com'"
        )
    };
    let known = cost_of(&world, &daemon, &proxy, known).await;
    let new = cost_of(&world, &daemon, &proxy, new).await;
    let moved = cost_of(&world, &daemon, &proxy, moved).await;
    println!("statements, round trips: known {known:?}, new {new:?}, moved {moved:?}");
    let within =
        |cost: (usize, usize), limit: (usize, usize)| cost.0 <= limit.0 && cost.1 <= limit.1;
    assert!(within(known, (20, 6)), "of a known person: {known:?}");
    assert!(within(new, (30, 9)), "of a new person: {new:?}");
    assert!(within(moved, (30, 9)), "of a person that moves: {moved:?}");
}

/// The last stage of a backfill or rebuild reads each open conflict about once, however many there are.
#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_reads_no_more_than_the_conflicts_that_there_are_p16() {
    const CONFLICTS: i64 = 10_000;
    let world = World::canonical(&people(10)).await;
    world.succeed(&["backfill"]).await;
    let open = format!(
        "insert into tributary.conflict
             (kind, severity, status, subject, fingerprint, scope, evidence, evidence_digest, first_seen_at)
         select 'email_change_collision', 'review', 'open', 'a' || n, gen_random_uuid(), 'collision:a' || n, '{{}}',
             gen_random_uuid(), now()
         from generate_series(1, {CONFLICTS}) n"
    );
    world.target.execute(&open).await;
    let read = READ
        .replace("'source_row', 'alias', 'decision', 'transactions', 'enrollments'", "'conflict'");
    let before: i64 = world.target.value(&read).await.parse().unwrap();
    world.succeed(&["rebuild"]).await;
    // The counters come after the session has ended: later before PostgreSQL 15.
    let read_by = async || world.target.value(&read).await.parse::<i64>().unwrap() - before;
    let counted = || async { read_by().await >= CONFLICTS };
    eventually("the counters of the rebuild", String::new, counted).await;
    let after = before + read_by().await;
    assert!(after - before < 5 * CONFLICTS, "{} rows for {CONFLICTS} conflicts", after - before);
}

/// The pack is run after each backfill, on tables that have just been filled and have no statistics.
#[tokio::test(flavor = "multi_thread")]
async fn a_validation_reads_in_proportion_to_the_tables_p16() {
    const PAYMENTS: i64 = 1_500;
    const READ: &str = "select (sum(coalesce(idx_tup_fetch, 0) + coalesce(seq_tup_read, 0)))::bigint \
        from pg_stat_user_tables where relname in ('conflict', 'source_row', 'person')";
    let for_nothing = format!(
        "insert into xendit (id, external_id, status, amount, currency, description, customer_email, created)
         select gen_random_uuid(), 'e' || n, 'PAID', 0, 'PHP', 'Papers to Profits', 'p' || n || '@example.com',
             '2025-06-30T04:00:00Z'
         from generate_series(1, {PAYMENTS}) as n"
    );
    let world = World::canonical(&for_nothing).await;
    world.succeed(&["migrate"]).await;
    for table in ["source_row", "person", "conflict"] {
        let off = format!("alter table tributary.{table} set (autovacuum_enabled = off)");
        world.target.execute(&off).await;
    }
    world.succeed(&["backfill"]).await;
    let others = format!(
        "insert into tributary.conflict
             (kind, severity, status, subject, fingerprint, scope, evidence, evidence_digest)
         select k.kind, 'review', 'open', k.kind || n, gen_random_uuid(), 'owner:q' || n, '{{}}', gen_random_uuid()
         from generate_series(1, {PAYMENTS}) n, unnest(array['invalid_amount', 'duplicate_profile']) k (kind);
         delete from pg_statistic s using pg_class c where c.oid = s.starelid and c.relnamespace = 'tributary'::regnamespace;
         update unified_profiles set email = 'x' || email"
    );
    world.target.execute(&others).await;
    let before: i64 = world.target.value(READ).await.parse().unwrap();
    world.run(&["validate"]).await;
    let read_by = async || world.target.value(READ).await.parse::<i64>().unwrap() - before;
    let counted = || async { read_by().await >= 2 * PAYMENTS };
    eventually("the counters of the validation", String::new, counted).await;
    let read = read_by().await;
    assert!(read < 40 * PAYMENTS, "{read} rows for {PAYMENTS} payments");
}
