//! The operators' page over plain HTTP: what each page and action does, and what an attacker gets.

use serde_json::Value;

use crate::support::eventually;
use crate::support::site::{Site, conflicts, turn_on};
use crate::support::world::World;

/// A pair of people who may be one, a payment without a product, one that is underpaid, and an address with a formula.
const ROWS: &str = "
    insert into xendit (id, status, amount, paid_amount, currency, customer_email, customer_name, description, created,
        paid_at)
    select ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'PAID', 499, paid, 'PHP', email, 'Tala Cruz', product,
        '2025-06-30T04:00:00Z', '2025-06-30T04:00:00Z'
    from (values
        (1, null::numeric, 'd.one@gmail.com', 'Papers to Profits'),
        (2, null, 'done@gmail.com', 'Canva'),
        (3, null, 'p3@example.com', 'Consulting'),
        (4, 10, '=1+1@example.com', 'Papers to Profits')
    ) as v (n, paid, email, product)";

const DECISIONS: &str =
    "select count(*) from tributary.decision where not automatic and reverted_at is null";

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_actions_over_http_and_what_attackers_get() {
    let world = World::canonical(ROWS).await;
    turn_on(&world, |_| {});
    let daemon = world.started().await;
    let (view, decide) = (Site::of(&world, "view").await, Site::of(&world, "decide").await);
    let pair = conflicts(&world, "possible_duplicate", "open").await[0];
    let profile = world
        .target
        .value("select profile_id from tributary.person where email_key = 'done@gmail.com'")
        .await;
    let conflict = format!("/admin/conflicts/{pair}");
    let (deciding, bulk) =
        (format!("{conflict}/decide"), "/admin/conflicts/bulk?kind=possible_duplicate");
    let keep = [("choice", "keep"), ("value", "done@gmail.com"), ("step", "decide")];
    let separate = [("action", "separate"), ("confirmed", "true")];
    let search = [("text", "done@gmail.com")];
    // The report of the backfill is made beside the stream.
    let entry = "select max(operation) from tributary.report where report is not null";
    eventually(
        "a report",
        || daemon.log(),
        || async { !world.target.value(entry).await.is_empty() },
    )
    .await;
    let entry = world.target.value(entry).await;
    let report = |kind: &str| format!("/admin/reports/{entry}.{kind}");
    // Everybody who may see sees every page; none is kept by a cache, and none without a session.
    let pages = [
        ("/admin", "Overview"),
        ("/admin/conflicts", "possible_duplicate"),
        ("/admin/conflicts?severity=info", "Notes"),
        (&conflict, "d.one@gmail.com"),
        (&format!("/admin/people/{profile}"), "Payments"),
        ("/admin/people", "Search"),
        ("/admin/control", "Rebuild"),
        ("/admin/log?operation=backfill", "backfill"),
        ("/admin/log.json", "\"operation\""),
        ("/admin/log?text=nobody-of-this-name", "Nothing is logged"),
        ("/admin/log.csv", "operation,outcome"),
        (&report("html"), "<!doctype html>"),
        (&report("json"), "\"quality\""),
        ("/admin/conflicts/export.csv", "id,kind,severity"),
    ];
    for (path, says) in pages {
        let page = view.get(path).await;
        assert_eq!(page.code, 200, "{path}: {}", page.body);
        assert!(page.body.contains(says), "{path} does not say {says}: {}", page.body);
        assert_eq!(page.header("cache-control"), Some("no-store"), "{path}");
        assert!(page.header("content-security-policy").unwrap().contains("default-src 'none'"));
        assert_eq!(Site::new(&world).get(path).await.code, 303, "{path}");
    }
    assert_eq!(view.get("/admin/conflicts/999999").await.code, 404);
    assert_eq!(view.get("/admin/requests/999999").await.code, 404);
    // What a person is searched by stands in no address.
    let found = view.post("/admin/conflicts/search", &search).await;
    assert!(found.code == 303 && !found.location().contains("done"), "{}", found.head);
    assert!(view.get(found.location()).await.body.contains("possible_duplicate"));
    assert!(view.post("/admin/people", &search).await.body.contains(&profile));
    // Who may only look decides nothing, whatever is sent.
    for (path, form) in [(&deciding, &keep[..]), (&bulk.to_owned(), &separate[..])] {
        assert_eq!(view.post(path, form).await.code, 403, "{path}");
    }
    for what in ["rebuild", "accept"] {
        assert_eq!(
            decide.post("/admin/control", &[("what", what), ("word", what)]).await.code,
            403
        );
    }
    // Forms of other sites, names that others made to point here, cookies that were copied.
    let foreign = [
        "Origin: https://evil.example.com\r\n",
        "Origin: null\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "",
    ];
    for headers in foreign {
        for (path, form) in [(&deciding, &keep[..]), (&bulk.to_owned(), &separate[..])] {
            assert_eq!(
                decide.send("POST", path, headers, form).await.code,
                403,
                "{path} {headers}"
            );
        }
    }
    for path in ["/admin", &conflict, "/admin/conflicts/export.csv"] {
        assert_eq!(
            decide.send("GET", path, "Host: evil.example.com\r\n", &[]).await.code,
            421,
            "{path}"
        );
    }
    // A form is sent, never fetched: a link decides nothing.
    assert_eq!(decide.get(&deciding).await.code, 405);
    assert_eq!(world.target.value(DECISIONS).await, "0", "an attack decided something");
    let stolen = decide.clone();
    assert_eq!(decide.post("/admin/logout", &[]).await.code, 303);
    assert_eq!(stolen.get(&conflict).await.code, 303);
    assert_eq!(stolen.post(&deciding, &keep).await.code, 401);
    assert_eq!(world.target.value(DECISIONS).await, "0", "a stolen cookie decided something");
    decides(&world, pair).await;
}

/// Preview, decision, way back and bulk decisions.
async fn decides(world: &World, pair: i64) {
    let decide = Site::of(world, "decide").await;
    let (conflict, deciding) =
        (format!("/admin/conflicts/{pair}"), format!("/admin/conflicts/{pair}/decide"));
    let keep = |step| {
        [("choice", "keep"), ("value", "done@gmail.com"), ("note", "by phone"), ("step", step)]
    };
    let preview = decide.post(&deciding, &keep("preview")).await;
    assert!(
        preview.code == 200 && preview.body.contains("What this would change"),
        "{}",
        preview.body
    );
    assert_eq!(world.target.value(DECISIONS).await, "0");
    let decided = decide.post(&deciding, &keep("decide")).await;
    assert_eq!(
        (decided.code, decided.location()),
        (303, format!("{conflict}?").as_str()),
        "{}",
        decided.body
    );
    assert!(decide.get(&conflict).await.body.contains("resolved"));
    // It is decided: another decision is refused, and says why.
    let again = decide.post(&deciding, &keep("decide")).await;
    assert!(again.code == 200 && again.body.contains("is resolved"), "{}", again.body);
    let id = world.target.value("select max(id) from tributary.decision").await;
    let undo = [("choice", "revert"), ("value", id.as_str()), ("step", "decide")];
    assert_eq!(decide.post(&deciding, &undo).await.code, 303);
    assert_eq!(world.target.value(DECISIONS).await, "0");
    assert!(decide.get(&conflict).await.body.contains("Two people"));
    // A dismissal of all that match needs a reason; with one it is made, and in the log by name.
    let bulk = "/admin/conflicts/bulk?kind=underpaid";
    let dismiss =
        |note, confirmed| [("action", "dismiss"), ("note", note), ("confirmed", confirmed)];
    let refused = decide.post(bulk, &dismiss("", "true")).await;
    assert!(refused.body.contains("needs a reason"), "{}", refused.body);
    let shown = decide.post(bulk, &dismiss("agreed", "false")).await;
    assert!(shown.body.contains("Dismiss all that match"), "{}", shown.body);
    assert_eq!(conflicts(world, "underpaid", "open").await.len(), 1);
    let done = decide.post(bulk, &dismiss("agreed", "true")).await;
    assert!(done.body.contains("1 decided"), "{}", done.body);
    assert!(conflicts(world, "underpaid", "open").await.is_empty());
    let log: Vec<Value> =
        serde_json::from_str(&decide.get("/admin/log.json?operation=decision").await.body).unwrap();
    assert!(log.len() >= 3 && log.iter().all(|entry| entry["asked_by"] == "decide"), "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acceptance_is_for_the_halt_that_was_shown() {
    let rows = "insert into xendit (id, status, amount, currency, customer_email, created)
        select gen_random_uuid(), 'PAID', 499, 'PHP', 'p' || n || '@example.com', '2025-06-30T04:00:00Z'
        from generate_series(1, 1500) as n";
    let world = World::canonical(rows).await;
    turn_on(&world, |_| {});
    let mut daemon = world.started().await;
    world.source.execute("delete from xendit").await;
    daemon.wait_for_phase("halted").await;
    let site = Site::of(&world, "operate").await;
    let shown = site.get("/admin/control").await.body;
    assert!(shown.contains("deletes 1500 of 1500 rows of xendit"), "{shown}");
    let seen = shown.split("name=\"halt\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let accept = |halt| [("what", "accept"), ("word", "accept"), ("halt", halt)];
    let transactions = "select count(*) from transactions";
    let other = "00000000-0000-0000-0000-000000000000";
    for (form, says) in
        [(accept(""), "names no halt"), (accept(other), "halted for something else")]
    {
        let mut answer = site.post("/admin/control", &form).await;
        if answer.code == 303 {
            answer = site.get(answer.location()).await;
        }
        assert!(answer.body.contains(says), "{}", answer.body);
    }
    assert_eq!(world.target.value(transactions).await, "1500");
    let accepted = site.post("/admin/control", &accept(seen)).await;
    let outcome = site.get(accepted.location()).await;
    assert!(outcome.body.contains("accepted: the source transaction at"), "{}", outcome.body);
    daemon.wait_for_phase("streaming").await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(world.target.value(transactions).await, "0");
    // What is not answered yet is shown to wait, and later what became of it.
    let mut client = world.target.connect().await;
    let held = client.transaction().await.unwrap();
    held.batch_execute("lock table tributary.backfill in exclusive mode").await.unwrap();
    let waiting = site.post("/admin/control", &[("what", "rebuild")]).await;
    let request = waiting.location().to_owned();
    let page = site.get(&request).await.body;
    assert!(page.contains("has not answered yet") && !page.contains("recomputed"), "{page}");
    held.rollback().await.unwrap();
    let is_done = || async { site.get(&request).await.body.contains("everybody is recomputed") };
    eventually("the request is answered", || daemon.log(), is_done).await;
}
