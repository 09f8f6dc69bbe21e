//! A configuration that the guard has not let through decides about nobody (P9).

use crate::support::eventually;
use crate::support::world::{Places, World, set};

fn exclude(world: &World, emails: &[&str]) {
    world.configure(|table| {
        let emails: Vec<toml::Value> = emails.iter().map(|text| (*text).into()).collect();
        let mut exclude = toml::Table::new();
        exclude.insert("emails".into(), emails.into());
        set(table, "rules", "exclude", exclude);
    });
}

/// Asks as the commands do, without waiting for the answer.
async fn ask(world: &World, request: &str) {
    let sql = format!(
        "insert into tributary.command (request, actor) values ('{{\"request\": {request}, \"note\": \"n\", \"conflict\": null}}', 'ana');
         select pg_notify('tributary_command', '')"
    );
    world.target.execute(&sql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_wait_until_a_configuration_is_accepted() {
    let world = World::with_more_feeds(Places::Shared).await;
    exclude(&world, &[]);
    world
        .source
        .execute(
            "insert into shopify_orders select n, '#' || n, 'o' || n || '@example.com', null, 'paid', 'PHP', '499', now(), now(),
                 now(), null, false, null, '[{\"title\": \"p2p\"}]' from generate_series(1, 2000) n",
        )
        .await;
    let daemon = world.started().await;
    assert_eq!(daemon.terminate().await.code(), Some(0));
    let written = "select concat_ws(' ', (select count(*) from unified_profiles), (select count(*) from transactions),
        (select string_agg(xmin::text || email, ',' order by email) from unified_profiles where email in
            ('o1@example.com', 'o2@example.com', 'o3@example.com')),
        (select count(*) from tributary.decision))";
    let before = world.target.value(written).await;

    exclude(&world, &["o*@example.com"]);
    let mut daemon = world.start();
    daemon.wait_for_phase("halted").await;
    let alias = r#"{"do": "alias", "from": "o1@example.com", "to": "o2@example.com"}"#;
    let email = r#"{"do": "email", "row": "shopify_orders:3", "address": "me@example.com"}"#;
    ask(&world, alias).await;
    ask(&world, email).await;
    ask(&world, r#"{"do": "rebuild"}"#).await;
    // Asked after them, of no effect on people, and answered before them.
    ask(&world, r#"{"do": "dismiss", "conflicts": [999999]}"#).await;
    let waiting = "select string_agg((request -> 'request' ->> 'do') || ' ' || (finished_at is not null), ', ' order by id)
        from tributary.command";
    let answered = || async { world.target.value(waiting).await.ends_with("dismiss true") };
    eventually("the last request is answered", || daemon.log(), answered).await;
    let expected = "alias false, email false, rebuild false, dismiss true";
    assert_eq!(world.target.value(waiting).await, expected);
    assert_eq!(world.target.value(written).await, before);

    // Nor does a command decide for itself where no daemon runs.
    assert_eq!(daemon.terminate().await.code(), Some(0));
    let add = ["decisions", "add", "alias", "o1@example.com", "o3@example.com"];
    let refused = world.run(&add).await;
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("the configuration was changed"), "{said}");
    assert_eq!(world.target.value(written).await, before);
    assert_eq!(world.target.value(waiting).await, expected);

    let mut daemon = world.start();
    daemon.wait_for_phase("halted").await;
    world.succeed(&["accept"]).await;
    daemon.wait_for_phase("streaming").await;
    let all = || async { !world.target.value(waiting).await.contains("false") };
    eventually("all requests are answered", || daemon.log(), all).await;
    let now = "select string_agg(email || ' ' || (select count(*) from transactions t where t.user_id = p.id), ', ' order by email)
        from unified_profiles p where exists (select from tributary.person o where o.profile_id = p.id and o.state = 'present')";
    assert_eq!(world.target.value(now).await, "me@example.com 1");
}

/// The rows as they are stored say nothing about the column.
#[tokio::test(flavor = "multi_thread")]
async fn a_skip_by_a_column_that_was_not_read_is_under_the_guard_p9() {
    let world = World::with_more_feeds(Places::Shared).await;
    world
        .source
        .execute(
            "alter table shopify_orders add column vip boolean not null default true;
             insert into shopify_orders select n, '#' || n, 'o' || n || '@example.com', null, 'paid', 'PHP', '499', now(), now(),
                 now(), null, false, null, '[{\"title\": \"p2p\"}]' from generate_series(1, 2000) n",
        )
        .await;
    let daemon = world.started().await;
    assert_eq!(daemon.terminate().await.code(), Some(0));
    let written = "select concat_ws(' ', count(*), max(xmin::text)) from transactions";
    let before = world.target.value(written).await;
    world.configure(|table| {
        let skip = toml::toml! { skip = [{ column = "vip", equals = ["true"] }] };
        let feed = table["feeds"]["shopify_orders"].as_table_mut().unwrap();
        feed.insert("skip".into(), skip["skip"].clone());
    });
    // Its table is also to be read again for another reason, once the stream is there.
    world.source.execute("vacuum full shopify_orders").await;
    let mut daemon = world.start();
    daemon.wait_for_phase("halted").await;
    let reason = daemon.status().await["halted"].to_string();
    assert!(reason.contains("2000 of 2000 rows of shopify_orders would give nothing"), "{reason}");
    assert_eq!(world.target.value(written).await, before);
    world.succeed(&["accept"]).await;
    daemon.wait_for_phase("streaming").await;
    assert_eq!(world.target.value("select count(*) from transactions").await, "0");
    world.succeed(&["verify"]).await;
}

/// P9: what was accepted is in effect. The same configuration at a later time, with other rows, halts again.
#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_was_accepted_once_halts_the_next_time_p9() {
    let world = World::with_more_feeds(Places::Shared).await;
    let orders = |from: u32, to: u32| {
        format!(
            "insert into shopify_orders select n, '#' || n, 'o' || n || '@example.com', null, 'paid', 'PHP', '499', now(), now(),
                 now(), null, false, null, '[{{\"title\": \"p2p\"}}]' from generate_series({from}, {to}) n"
        )
    };
    world.source.execute(&orders(1, 1_500)).await;
    exclude(&world, &[]);
    let daemon = world.started().await;
    assert_eq!(daemon.terminate().await.code(), Some(0));
    exclude(&world, &["o*@example.com"]);
    let mut daemon = world.start();
    daemon.wait_for_phase("halted").await;
    world.succeed(&["accept"]).await;
    daemon.wait_for_phase("streaming").await;
    assert_eq!(daemon.terminate().await.code(), Some(0));

    exclude(&world, &[]);
    world.source.execute(&orders(1_501, 3_000)).await;
    let daemon = world.started().await;
    assert_eq!(daemon.terminate().await.code(), Some(0));
    let transactions = "select count(*) from transactions";
    assert_eq!(world.target.value(transactions).await, "3000");
    exclude(&world, &["o*@example.com"]);
    let mut daemon = world.start();
    daemon.wait_for_phase("halted").await;
    assert_eq!(world.target.value(transactions).await, "3000");
    world.succeed(&["accept"]).await;
    daemon.wait_for_phase("streaming").await;
    assert_eq!(world.target.value(transactions).await, "0");
}
