//! What is reported of feeds and of rows that are left out (SPEC §1, §9), and what is reported of no row (P14).

use tributary::engine::key_digest;
use tributary::facts::SourceKey;

use crate::support::daemon::Daemon;
use crate::support::eventually;
use crate::support::world::{Places, World, set};

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

/// What only customers' values hold.
const CANARY: [&str; 3] = ["canary", "Tweety", "555777"];

fn silent(what: &str, text: &str) {
    for word in CANARY {
        let line = text.lines().find(|line| line.to_lowercase().contains(&word.to_lowercase()));
        assert!(line.is_none(), "{what} tells {word}: {line:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_an_address_is_in_no_log_line_metric_or_error() {
    let world = World::with_more_feeds(Places::Shared).await;
    world.configure(|table| set(table, "run", "chunk_rows", 5));
    let contacts = "insert into ebook_contacts select 'canary' || n || '@example.com', 'Tweety Bird', '2025-01-01Z' from generate_series(1, 40) n";
    world.source.execute(contacts).await;
    world.succeed(&["migrate"]).await;
    // The target refuses some, in words of its own and in those of a trigger.
    world
        .target
        .execute(
            "alter table unified_profiles add constraint small check (email not like 'canary1%');
             create function scream() returns trigger language plpgsql as $$ begin
                 if new.email like 'canary2%' then raise exception 'no % here', new.email; end if; return new; end $$;
             create trigger scream before insert or update on unified_profiles for each row execute function scream()",
        )
        .await;
    let daemon = Daemon::start_with(&world, &[("RUST_LOG", "trace")]);
    let mut daemon = daemon;
    daemon.wait_for_phase("streaming").await;
    world
        .source
        .execute(
            "insert into ebook_contacts values ('canary100@example.com', 'Tweety', now());
             update ebook_contacts set name = 'Tweety 555777' where email like 'canary3%';
             update ebook_contacts set email = 'canary-moved@example.com' where email = 'canary4@example.com';
             delete from ebook_contacts where email = 'canary5@example.com';
             insert into stripe_charges values ('ch_1', 555777, 'php', 'succeeded', false, 1748750000, 'canary6@example.com', null, 'p2p', '{}')",
        )
        .await;
    daemon.wait_until_caught_up(&world).await;
    let rejected =
        "select count(*) from tributary.conflict where kind = 'rejected_row' and status = 'open'";
    let refused = || async { world.target.value(rejected).await != "0" };
    eventually("rows are refused", || daemon.log(), refused).await;
    silent("/metrics", &daemon.get("/metrics").await.unwrap().1);
    silent("/status", &daemon.get("/status").await.unwrap().1);

    // The short form leads back to the row, for people.
    let key = SourceKey("canary6@example.com".into());
    let short = format!("ebook_contacts:#{}", key_digest(&key));
    let explained = world.succeed(&["explain", &short]).await;
    assert!(explained.starts_with("canary6@example.com\n"), "{explained}");
    let refused =
        format!("ebook_contacts:#{}", key_digest(&SourceKey("canary1@example.com".into())));
    let shown = world.succeed(&["conflicts", "show", &refused]).await;
    assert!(
        shown.contains("rejected_row") && shown.contains("ebook_contacts:canary1@example.com"),
        "{shown}"
    );
    let excluded = "insert into ebook_contacts values ('qa+canary@example.com', 'Tweety', now())";
    world.source.execute(excluded).await;
    daemon.wait_until_caught_up(&world).await;
    let left_out =
        format!("ebook_contacts:#{}", key_digest(&SourceKey("qa+canary@example.com".into())));
    let output = world.run(&["explain", &left_out]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("[rules.exclude] emails leaves it out")
    );

    // No refusal repeats a key.
    let absent = "ebook_contacts:canary-none@example.com";
    let product = ["decisions", "add", "product", "ebook_contacts:canary6@example.com", "p2p"];
    for (arguments, told) in [
        (
            &["decisions", "add", "email", absent, "me@example.com"][..],
            "the source has no row ebook_contacts:#",
        ),
        (&product[..], &format!("{short} is not a payment")),
        (
            &["decisions", "add", "email", "canary6@example.com", "me@example.com"],
            "not a source row",
        ),
        (&["conflicts", "show", absent], "no such row"),
        (&["conflicts", "show", "ebook_contacts:#0123456789ab"], "no such row"),
        (&["explain", absent], "no such row"),
        (&["conflicts", "show", "canary"], "neither"),
    ] {
        let mut command = world.command(arguments);
        let output = command.env("RUST_LOG", "trace").output().await.unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(text.contains(told), "{arguments:?}: {text}");
        silent(&format!("{arguments:?}"), &text);
    }
    silent("the log", &daemon.whole_log());
    assert!(
        daemon.whole_log().contains("\"level\":\"TRACE\"")
            || daemon.whole_log().contains("\"level\":\"DEBUG\"")
    );
}
