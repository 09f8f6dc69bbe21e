//! What is reported of feeds and of rows that are left out (SPEC §1, §9).

use crate::support::eventually;
use crate::support::world::{Places, World};

const ROWS: &str = "
    insert into shopify_orders select n, '#' || n, 'o' || n || '@example.com', null, 'paid', 'PHP', '499', now(), now(), now(), null,
        n <= 3, null, '[{\"title\": \"p2p\"}]' from generate_series(1, 10) n;
    insert into shopify_orders select n, '#' || n, 'o1@example.com', null, 'paid', 'PHP', '499', now(), now(), now(), null,
        true, null, '[]' from generate_series(11, 12) n;
    insert into ebook_contacts values ('qa+1@example.com', 'Q', now()), ('ann@example.com', 'Ann', now());
    insert into purchase_leads (id, email, first_name) values
        ('00000000-0000-4000-8000-000000000001', 'o1@test.example', 'O'), ('00000000-0000-4000-8000-000000000002', 'QA+2@example.com', 'Q')";

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_left_out_are_counted_and_explained() {
    let world = World::with_more_feeds(Places::Shared).await;
    world.source.execute(ROWS).await;
    let told = world.succeed(&["backfill"]).await;
    for line in [
        "left out of shopify_orders: 5 rows skipped",
        "left out of ebook_contacts: 1 rows excluded",
        "left out of purchase_leads: 2 rows excluded",
    ] {
        assert!(told.contains(line), "{told}");
    }
    let counts = r#"{"ebook_contacts":{"skipped":0,"excluded":1},"purchase_leads":{"skipped":0,"excluded":2},
        "shopify_orders":{"skipped":5,"excluded":0},"stripe_charges":{"skipped":0,"excluded":0},
        "systemeio":{"skipped":0,"excluded":0},"xendit":{"skipped":0,"excluded":0}}"#;
    let counts: serde_json::Value = serde_json::from_str(counts).unwrap();
    let status = world.succeed(&["status", "--json"]).await;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["left_out"], counts);
    let text = world.succeed(&["status"]).await;
    assert!(text.contains("left out    shopify_orders: 5 rows skipped, 0 excluded"), "{text}");
    assert!(!text.contains("left out    xendit"), "{text}");

    let daemon = world.started().await;
    assert_eq!(daemon.status().await["left_out"], counts);
    assert_eq!(daemon.metric("tributary_rows_left_out").await, 8.0);
    world.source.execute("update shopify_orders set test = false where id = 2; delete from shopify_orders where id = 12").await;
    daemon.wait_until_caught_up(&world).await;
    let changed = || async { daemon.status().await["left_out"]["shopify_orders"]["skipped"] == 3 };
    eventually("the counts follow", || daemon.log(), changed).await;
    let metrics = daemon.get("/metrics").await.unwrap().1;
    let line = r#"tributary_rows_left_out{source="shopify_orders",reason="skipped"} 3"#;
    assert!(metrics.contains(line), "{metrics}");

    // All rows of a person, some of them, none.
    let skipped = world.succeed(&["explain", "O1@Example.com"]).await;
    for part in [
        "Rows that the configuration leaves out",
        "shopify_orders:1 ",
        "shopify_orders:11 ",
        "skip of [feeds.shopify_orders]",
        "no source row carries this e-mail address",
    ] {
        assert!(skipped.contains(part), "{part}\n{skipped}");
    }
    assert!(!skipped.contains("shopify_orders:12"), "{skipped}");
    let excluded = world.succeed(&["explain", "qa+1@example.com", "--json"]).await;
    let excluded: serde_json::Value = serde_json::from_str(&excluded).unwrap();
    let expected = serde_json::json!([{ "source_row": "ebook_contacts:qa+1@example.com", "why": "[rules.exclude] emails: qa+*@*" }]);
    assert_eq!(
        (&excluded["left_out"], &excluded["profile_id"]),
        (&expected, &serde_json::Value::Null)
    );
    world.source.execute("insert into shopify_orders values (20, '#20', 'o4@example.com', null, 'paid', 'PHP', '1', null, null, null, null, true, null, '[]')").await;
    daemon.wait_until_caught_up(&world).await;
    let some = world.succeed(&["explain", "o4@example.com"]).await;
    assert!(some.contains("shopify_orders:20 ") && some.contains("Profile"), "{some}");
    let none = world.succeed(&["explain", "o5@example.com"]).await;
    assert!(!none.contains("leaves out"), "{none}");
    assert_eq!(world.run(&["explain", "nobody@example.com"]).await.status.code(), Some(1));

    let check = world.succeed(&["check"]).await;
    for line in [
        "ok   source.shopify_orders: payments of shopify, rank 100: table public.shopify_orders, key id, columns external_id = \"name\"; ",
        "ok   source.xendit: primary payments of xendit, rank 100: table public.xendit, key id, columns external_id = \"external_id\"; ",
        "ok   source.ebook_contacts: contacts of ebook, rank 60: table public.ebook_contacts, key email, columns email = \"email\"; ",
        "ok   source.ebook_contacts.replica_identity: the replica identity of public.ebook_contacts holds the key: primary key email",
    ] {
        assert!(check.contains(line), "{line}\n{check}");
    }
    assert!(
        check.contains(
            r#"status = [{ column = "refunded", when = { "true" = "refunded" } }, "status"]"#
        ),
        "{check}"
    );
    let shown = world.succeed(&["config", "show"]).await;
    for line in [
        "[feeds.ebook_contacts]",
        "provider = \"ebook\"",
        "rank = 60",
        "key = [\"email\"]",
        "primary = false",
    ] {
        assert!(shown.contains(line), "{line}\n{shown}");
    }
}
