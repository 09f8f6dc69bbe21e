//! Feeds that are added, removed or changed while an installation is in use (SPEC §1, P9).

use crate::support::compare::assert_equals_fresh_backfill;
use crate::support::daemon::Daemon;
use crate::support::world::{Places, World};

/// People of the installation.
const PEOPLE: u32 = 5_000;

/// A feed with a name that sorts before all others, and no rank.
const LEADS: &str = "create table a_leads (id int primary key, email text, name text, created_at timestamptz);
    insert into a_leads select n, 'p' || n * 100 || '@example.com', 'Lea Reyes', '2024-01-01Z' from generate_series(1, 50) n;
    insert into a_leads select n, 'only' || n || '@example.com', 'Lea Reyes', '2024-01-01Z' from generate_series(51, 90) n";

const FEED: &str = "kind = 'contact'\nprimary = false\n\
    columns = { email = 'email', name = 'name', created_at = 'created_at' }";

/// The canonical feeds alone, of which `change` makes others.
fn configure(world: &World, change: impl FnOnce(&mut toml::Table, &mut toml::Table)) {
    world.configure(|table| {
        let mut feeds = table.remove("feeds").unwrap().as_table().unwrap().clone();
        feeds.retain(|name, _| ["xendit", "systemeio"].contains(&name));
        feeds["systemeio"].as_table_mut().unwrap().remove("rank");
        change(table, &mut feeds);
        table.insert("feeds".into(), feeds.into());
    });
}

fn with_leads(_: &mut toml::Table, feeds: &mut toml::Table) {
    feeds.insert("a_leads".into(), FEED.parse::<toml::Table>().unwrap().into());
}

async fn restarted(world: &World, daemon: Daemon) -> Daemon {
    assert_eq!(daemon.terminate().await.code(), Some(0));
    world.started().await
}

const SNAPSHOT: &str = "create table snapshot as
    select 'p' || id as key, xmin::text as version, to_jsonb(p) as row from unified_profiles p
    union all select 't' || id, xmin::text, to_jsonb(t) from transactions t
    union all select 'e' || id, xmin::text, to_jsonb(e) from enrollments e";

/// Rows of the snapshot that are not as they were; `version` also counts those that were written with what they held.
async fn differing(world: &World, but: &str, version: bool) -> String {
    let same = if version {
        "n.xmin::text = s.version"
    } else {
        "to_jsonb(n) - '{updated_at,last_api_sync_at,api_sync_version}'::text[] = s.row - '{updated_at,last_api_sync_at,api_sync_version}'::text[]"
    };
    let of = |letter: &str, table: &str, but: &str| {
        format!(
            "select count(*) as n from snapshot s left join {table} n on s.key = '{letter}' || n.id \
                 where s.key like '{letter}%' and ({same}) is not true {but}"
        )
    };
    let sql = format!(
        "select sum(n) from ({} union all {} union all {}) c",
        of("p", "unified_profiles", but),
        of("t", "transactions", ""),
        of("e", "enrollments", "")
    );
    world.target.value(&sql).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_is_added_and_removed_leaves_the_others_as_they_are() {
    let world = World::with_more_feeds(Places::Shared).await;
    configure(&world, |_, _| {});
    world
        .source
        .execute(&format!(
            "insert into systemeio (id, contact_id, email, first_name, tags, updated_at, created_at)
             select gen_random_uuid(), 'c' || n, 'p' || n || '@example.com', 'Ana', 'PaidP2P', '2025-01-02Z', '2025-01-01Z'
             from generate_series(1, {PEOPLE}) n;
             insert into xendit (id, status, amount, currency, customer_email, description, created, paid_at)
             select gen_random_uuid(), 'PAID', 499, 'PHP', 'p' || n || '@example.com', 'p2p', '2025-06-30T04:00:00Z',
                 '2025-06-30T04:00:00Z'
             from generate_series(1, {PEOPLE}) n;
             {LEADS}"
        ))
        .await;
    let daemon = world.started().await;
    world.target.execute(SNAPSHOT).await;
    let stored =
        "select string_agg(f.name || ' ' || f.number, ' ' order by number) from tributary.feed f";
    assert_eq!(world.target.value(stored).await, "systemeio 1 xendit 2");
    let rows =
        "select string_agg(xmin::text, ' ' order by key) from tributary.source_row where feed <> 3";
    let others = world.target.value(rows).await;

    configure(&world, with_leads);
    let daemon = restarted(&world, daemon).await;
    assert_eq!(world.target.value(stored).await, "systemeio 1 xendit 2 a_leads 3");
    assert_eq!(
        world.target.value("select count(*) from tributary.source_row where feed = 3").await,
        "90"
    );
    // Nobody but the people of the feed was written, and of those the profile alone.
    let but = "and s.row ->> 'email' not in (select 'p' || n * 100 || '@example.com' from generate_series(1, 50) n)";
    assert_eq!(differing(&world, but, true).await, "0");
    let lea = "select count(*) from unified_profiles where first_name = 'Lea'";
    assert_eq!(world.target.value(lea).await, "90");
    assert_eq!(world.target.value(rows).await, others, "rows of the other feeds were written");
    let read = "select rows_done from tributary.backfill";
    assert_eq!(world.target.value(read).await, "90");
    assert_equals_fresh_backfill(&world).await;
    // It streams.
    world.source.execute("update a_leads set name = 'Lia Reyes' where id = 90").await;
    daemon.wait_until_caught_up(&world).await;
    let lia = "select count(*) from unified_profiles where first_name = 'Lia'";
    assert_eq!(world.target.value(lia).await, "1");

    configure(&world, |_, _| {});
    let daemon = restarted(&world, daemon).await;
    assert_eq!(differing(&world, "", false).await, "0");
    let absent = "select count(*) from tributary.person where state = 'absent'";
    assert_eq!(world.target.value(absent).await, "40");
    assert_eq!(
        world.target.value("select count(*) from tributary.source_row where feed = 3").await,
        "0"
    );
    let published =
        "select count(*) from pg_publication_tables where tablename = 'a_leads' and pubname = '";
    assert_eq!(world.source.value(&format!("{published}{}'", world.slot)).await, "0");
    assert_equals_fresh_backfill(&world).await;

    // Added again, it is what it was.
    configure(&world, with_leads);
    let daemon = restarted(&world, daemon).await;
    assert_eq!(world.target.value(stored).await, "systemeio 1 xendit 2 a_leads 3");
    assert_eq!(world.target.value(absent).await, "0");
    assert_equals_fresh_backfill(&world).await;
    // And can be nothing else.
    assert_eq!(daemon.terminate().await.code(), Some(0));
    configure(&world, |table, feeds| {
        with_leads(table, feeds);
        feeds["a_leads"]["kind"] = "payment".into();
        feeds["a_leads"]["columns"] = toml::Table::new().into();
    });
    let refused = world.run(&["run"]).await;
    assert_eq!(refused.status.code(), Some(78));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("feeds.a_leads.kind") && said.contains("remedy: write kind"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_was_interrupted_goes_on() {
    let world = World::with_more_feeds(Places::Shared).await;
    configure(&world, |_, _| {});
    world.source.execute(LEADS).await;
    world
        .source
        .execute("insert into systemeio (id, email) values (gen_random_uuid(), 'p100@example.com')")
        .await;
    let mut daemon = world.started().await;
    for point in
        ["session-opened", "table-started", "chunk-committed", "phase-advanced", "people-written"]
    {
        assert_eq!(daemon.terminate().await.code(), Some(0));
        configure(&world, with_leads);
        let mut dying = Daemon::start_with(&world, &[("TRIBUTARY_FAILPOINT", point)]);
        let ended = dying.ended().await;
        assert!(!ended.success(), "{point}: {ended}");
        // It is taken out again before it was read to its end.
        configure(&world, |_, _| {});
        let mut dying = Daemon::start_with(&world, &[("TRIBUTARY_FAILPOINT", "sweep-committed")]);
        dying.ended().await;
        configure(&world, with_leads);
        daemon = world.started().await;
        assert_equals_fresh_backfill(&world).await;
        daemon = {
            configure(&world, |_, _| {});
            restarted(&world, daemon).await
        };
        assert_equals_fresh_backfill(&world).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_gone_halts_and_touches_nothing() {
    let world = World::with_more_feeds(Places::Shared).await;
    world.source.execute("insert into ebook_contacts select 'e' || n || '@example.com', 'Ana', now() from generate_series(1, 2000) n").await;
    let mut daemon = world.started().await;
    world.source.execute("alter table ebook_contacts rename to gone").await;
    world
        .source
        .execute("insert into systemeio (id, email) values (gen_random_uuid(), 'new@example.com')")
        .await;
    daemon.wait_for_phase("halted").await;
    let reason = daemon.status().await["halted"].to_string();
    for part in ["no table public.ebook_contacts", "remedy", "[feeds.ebook_contacts]"] {
        assert!(reason.contains(part), "{reason}");
    }
    let code = async |path| daemon.get(path).await.map(|(code, _)| code);
    assert_eq!((code("/livez").await, code("/readyz").await), (Some(200), Some(503)));
    let profiles = "select count(*) from unified_profiles";
    assert_eq!(world.target.value(profiles).await, "2000");
    // A restart halts there too.
    daemon.kill9().await;
    let mut daemon = world.start();
    daemon.wait_for_phase("halted").await;
    assert_eq!(world.target.value(profiles).await, "2000");
    world.source.execute("alter table gone rename to ebook_contacts").await;
    daemon.wait_for_phase("streaming").await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(world.target.value(profiles).await, "2001");
    assert_equals_fresh_backfill(&world).await;
}

/// Sets `[rules.exclude] emails` and the skip rules of the orders.
fn leave_out(world: &World, emails: &[&str], statuses: &[&str]) {
    world.configure(|table| {
        let emails: Vec<toml::Value> = emails.iter().map(|text| (*text).into()).collect();
        table["rules"]["exclude"]["emails"] = emails.into();
        let texts: Vec<toml::Value> = statuses.iter().map(|text| (*text).into()).collect();
        let mut skip = vec!["column = 'test'\nequals = ['true']".parse::<toml::Table>().unwrap()];
        if !texts.is_empty() {
            let mut rule = toml::Table::new();
            rule.insert("field".into(), "status".into());
            rule.insert("equals".into(), texts.into());
            skip.push(rule);
        }
        table["feeds"]["shopify_orders"]["skip"] =
            skip.into_iter().map(toml::Value::from).collect::<Vec<_>>().into();
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_out_later_waits_for_the_guard_and_comes_back() {
    let world = World::with_more_feeds(Places::Shared).await;
    leave_out(&world, &[], &[]);
    world
        .source
        .execute(
            "insert into shopify_orders select n, '#' || n, 'o' || n || '@example.com', null, 'paid', 'PHP', '499', now(), now(),
                 now(), null, n % 10 = 0, null, '[{\"title\": \"p2p\"}]' from generate_series(1, 3000) n;
             insert into systemeio (id, email) select gen_random_uuid(), 'c' || n || '@example.com' from generate_series(1, 50) n",
        )
        .await;
    let counts = "select concat_ws(' ', (select count(*) from unified_profiles p where not exists (
            select from tributary.person o where o.profile_id = p.id and o.state = 'absent')),
        (select count(*) from transactions), (select count(*) from enrollments where status <> 'revoked'),
        (select count(*) from tributary.conflict where kind = 'excluded_row' and status = 'open'))";
    let daemon = world.started().await;
    let all = "2750 2700 2700 0";
    assert_eq!(world.target.value(counts).await, all);

    // All orders: that waits, and nothing is touched. Setting it back clears it.
    let mut daemon = daemon;
    for (emails, statuses) in [(&["o*@example.com"][..], &[][..]), (&[][..], &["paid"][..])] {
        assert_eq!(daemon.terminate().await.code(), Some(0));
        leave_out(&world, emails, statuses);
        daemon = world.start();
        daemon.wait_for_phase("halted").await;
        let reason = daemon.status().await["halted"].to_string();
        let expected = "2700 of 3000 rows of shopify_orders would give nothing any more";
        assert!(reason.contains(expected), "{reason}");
        assert_eq!(world.target.value(counts).await, all);
        assert_eq!(daemon.terminate().await.code(), Some(0));
        leave_out(&world, &[], &[]);
        daemon = world.started().await;
        assert_eq!(world.target.value(counts).await, all);
    }
    // A few do not wait.
    assert_eq!(daemon.terminate().await.code(), Some(0));
    leave_out(&world, &["o1?@example.com", "c*"], &[]);
    let daemon = world.started().await;
    assert_eq!(world.target.value(counts).await, "2691 2691 2691 59");
    assert_equals_fresh_backfill(&world).await;
    // All, accepted, and back again.
    assert_eq!(daemon.terminate().await.code(), Some(0));
    leave_out(&world, &["o*@example.com"], &[]);
    let mut daemon = world.start();
    daemon.wait_for_phase("halted").await;
    world.succeed(&["accept"]).await;
    daemon.wait_for_phase("streaming").await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(world.target.value(counts).await, "50 0 0 2700");
    // Live, too: the address decides.
    world
        .source
        .execute("update shopify_orders set email = 'kept@example.com' where id = 11")
        .await;
    world
        .source
        .execute("update systemeio set email = 'owner@example.com' where email = 'c1@example.com'")
        .await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(world.target.value(counts).await, "50 1 1 2700");
    assert_equals_fresh_backfill(&world).await;
    assert_eq!(daemon.terminate().await.code(), Some(0));
    leave_out(&world, &[], &[]);
    let _daemon = world.started().await;
    assert_eq!(world.target.value(counts).await, "2750 2700 2700 0");
    assert_equals_fresh_backfill(&world).await;
}
