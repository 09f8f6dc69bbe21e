//! The operators' page in a real browser: see, preview, decide, take back, run (SPEC §9).

use fantoccini::Locator;

use crate::support::browser::Browser;
use crate::support::daemon::Daemon;
use crate::support::eventually;
use crate::support::site::{Site, conflicts, token, turn_on};
use crate::support::world::World;

/// What a customer may write anywhere.
const SCRIPT: &str = "<script>window.hacked=1</script>\"><img src=x onerror=window.hacked=1>";

/// Two pairs of people who may be one, with money and a course; a payment without a product, one without an address. Every
/// text that a customer or an API may fill holds a script.
fn rows() -> String {
    // Pictures are for people.
    let script = if std::env::var_os("ADMIN_PICTURES").is_some() { "" } else { SCRIPT };
    format!(
        "insert into xendit (id, status, amount, currency, customer_email, customer_name, description, created, paid_at,
            external_id, payment_method, failure_reason)
        select ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'PAID', 499, 'PHP', email, name || '{script}',
            product || '{script}', '2025-06-30T04:00:00Z', at, 'EXT-' || n || '{script}', '{script}', '{script}'
        from (values
            (1, 'd.one@gmail.com', 'Tala Cruz', 'Papers to Profits', '2025-06-30T04:00:00Z'),
            (2, 'done@gmail.com', 'Tala Cruz', 'Papers to Profits', '2025-07-02T04:00:00Z'),
            (3, 't.wo@gmail.com', 'Jo Reyes', 'Papers to Profits', '2025-06-30T04:00:00Z'),
            (4, 'two@gmail.com', 'Ana Reyes', 'Papers to Profits', '2025-06-30T04:00:00Z'),
            (5, '{script}', 'Tala Cruz', 'Papers to Profits', '2025-06-30T04:00:00Z'),
            (6, 'p6@example.com', 'Lito Dizon', 'Consulting', '2025-06-30T04:00:00Z')
        ) as v (n, email, name, product, at);
        insert into systemeio (id, contact_id, email, first_name, last_name, phone, tags, created_at, updated_at)
        values ('00000000-0000-4000-9000-000000000001', 'c1{script}', 'd.one@gmail.com', 'Tala{script}', '{script}',
            '{script}', '{script}', '2025-01-01Z', '2025-02-01Z')"
    )
}

async fn started() -> (World, Daemon) {
    let world = World::canonical(&rows()).await;
    turn_on(&world, |_| {});
    let daemon = world.started().await;
    (world, daemon)
}

async fn log_in(browser: &Browser, world: &World, role: &str) {
    browser.page.goto(&format!("http://127.0.0.1:{}/admin", world.http)).await.unwrap();
    browser.write("#token", &token(role)).await;
    browser.press("Log in").await;
    browser.says("Overview").await;
}

async fn go(browser: &Browser, world: &World, path: &str) {
    browser.page.goto(&format!("http://127.0.0.1:{}{path}", world.http)).await.unwrap();
}

/// A key, as somebody presses it whose hands stay on the keyboard, once the page's script listens.
async fn key(browser: &Browser, key: &str) {
    let is_loaded = || async {
        let state = browser.page.execute("return document.readyState", vec![]).await;
        state.is_ok_and(|state| state == "complete")
    };
    eventually("the page is loaded", String::new, is_loaded).await;
    let body = browser.page.find(Locator::Css("body")).await.unwrap();
    body.send_keys(key).await.unwrap();
}

const MERGED: &str = "select count(*) from tributary.person where state = 'merged'";

#[tokio::test(flavor = "multi_thread")]
async fn somebody_finds_a_conflict_previews_decides_and_takes_it_back() {
    let (world, _daemon) = started().await;
    let browser = Browser::open(true).await;
    go(&browser, &world, "/admin").await;
    browser.inspect("login").await;
    browser.picture("login").await;
    log_in(&browser, &world, "decide").await;
    browser.inspect("overview").await;
    browser.picture("overview").await;
    // Found by its kind, with the filter in the address.
    browser.press("Review").await;
    browser.inspect("queue").await;
    browser.picture("queue").await;
    let kinds = browser.page.find(Locator::Css("select[name=kind]")).await.unwrap();
    kinds.select_by_value("possible_duplicate").await.unwrap();
    browser.press("Filter").await;
    browser.says("2 match").await;
    let address = browser.page.current_url().await.unwrap();
    assert!(address.query().unwrap().contains("kind=possible_duplicate"), "{address}");
    key(&browser, "j").await;
    browser.says("One person: keep d.one@gmail.com").await;
    browser.inspect("conflict").await;
    browser.picture("conflict").await;
    // The preview, by its key, changes nothing.
    key(&browser, "a").await;
    browser.says("What this would change").await;
    browser.inspect("preview").await;
    browser.picture("preview").await;
    assert_eq!(world.target.value(MERGED).await, "0");
    browser.press("Decide so").await;
    browser.says("resolved").await;
    assert_eq!(world.target.value(MERGED).await, "1");
    let by = "select string_agg(distinct actor, ',') from tributary.decision where not automatic";
    assert_eq!(world.target.value(by).await, "decide");
    // The way back, on the same page.
    browser.says("Undo").await;
    browser.inspect("decided").await;
    browser.picture("decided").await;
    browser.press("Undo").await;
    browser.says("One person: keep d.one@gmail.com").await;
    assert_eq!(world.target.value(MERGED).await, "0");
    assert_eq!(conflicts(&world, "possible_duplicate", "open").await.len(), 2);
    // A decision about all that match.
    go(&browser, &world, "/admin/conflicts?kind=possible_duplicate").await;
    let bulk = browser.page.find(Locator::Css("#action")).await.unwrap();
    bulk.select_by_value("separate").await.unwrap();
    browser.press("Preview").await;
    browser.says("Exactly computed for the first 2").await;
    browser.inspect("bulk").await;
    browser.picture("bulk").await;
    browser.press("Separate all that match").await;
    browser.says("2 decided").await;
    assert!(conflicts(&world, "possible_duplicate", "open").await.is_empty());
    // People, searched for in a form that leaves nothing in an address.
    browser.press("People").await;
    browser.write("#text", "tala").await;
    browser.press("Search").await;
    browser.says("d.one@gmail.com").await;
    browser.inspect("people").await;
    browser.picture("people").await;
    browser.press("d.one@gmail.com").await;
    browser.says("Payments").await;
    browser.inspect("person").await;
    browser.picture("person").await;
    browser.press("Log out").await;
    go(&browser, &world, "/admin/people").await;
    assert!(browser.page.find(Locator::Css("#token")).await.is_ok(), "the session went on");
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_work_without_javascript() {
    let (world, _daemon) = started().await;
    let browser = Browser::open(false).await;
    log_in(&browser, &world, "operate").await;
    browser.press("Review").await;
    let kinds = browser.page.find(Locator::Css("select[name=kind]")).await.unwrap();
    kinds.select_by_value("unmapped_product").await.unwrap();
    browser.press("Filter").await;
    browser.says("1 match").await;
    let first = browser.page.find(Locator::Css("tbody a")).await.unwrap();
    first.click().await.unwrap();
    let product = browser.page.find(Locator::Css("select[name=value]")).await.unwrap();
    product.select_by_value("p2p").await.unwrap();
    browser.press("Preview").await;
    browser.says("What this would change").await;
    browser.press("Decide so").await;
    browser.says("resolved").await;
    let product = "select count(*) from transactions where product_type is not null";
    let before = world.target.value(product).await;
    browser.press("Undo").await;
    browser.says("It is for this product").await;
    assert_ne!(world.target.value(product).await, before);
    // A rebuild: the page of the request follows it by itself.
    browser.press("Control").await;
    browser.press("Rebuild").await;
    browser.says("Request").await;
    browser.says("everybody is recomputed").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_predicts_runs_verifies_and_pauses() {
    let (world, daemon) = started().await;
    let site = Site::of(&world, "decide").await;
    for what in ["dry-run", "backfill", "pause", "cutover"] {
        let refused = site.post("/admin/control", &[("what", what), ("word", what)]).await;
        assert_eq!(refused.code, 403, "{what} by a role that may not");
    }
    let browser = Browser::open(true).await;
    log_in(&browser, &world, "operate").await;
    // Somebody else wrote what is ours: the dry run says so, and its report leads on to the run.
    world.target.execute("update transactions set status = 'FAILED'").await;
    browser.press("Control").await;
    browser.press("Dry run").await;
    browser.says("nothing was changed").await;
    browser.says("Run what was predicted").await;
    browser.inspect("predicted").await;
    browser.picture("predicted").await;
    let paid = "select count(*) from transactions where status = 'PAID'";
    assert_eq!(world.target.value(paid).await, "0");
    browser.write("#word", "backfill").await;
    browser.press("Run the backfill").await;
    browser.says(": backfill done").await;
    assert_eq!(world.target.value(paid).await, "6");
    browser.inspect("ran").await;
    // What differs is found, and repaired from its report.
    world
        .target
        .execute("update transactions set status = 'FAILED' where id::text like '%1'")
        .await;
    browser.press("Control").await;
    browser.press("Verify").await;
    browser.says("Repair what differs").await;
    browser.inspect("verified").await;
    browser.picture("verified").await;
    browser.write("#word", "repair").await;
    browser.press("Repair").await;
    browser.says(": verify and repair done").await;
    assert_eq!(world.target.value(paid).await, "6");
    // Nothing is applied during a pause, and nothing of it is lost.
    browser.press("Control").await;
    browser.press("Pause").await;
    browser.says("the stream is paused").await;
    world.source.execute("update xendit set status = 'REFUNDED' where id::text like '%6'").await;
    go(&browser, &world, "/admin").await;
    browser.says("paused by operate").await;
    browser.inspect("paused").await;
    browser.picture("paused").await;
    assert_eq!(world.target.value(paid).await, "6");
    browser.press("Control").await;
    browser.says("It is paused").await;
    browser.inspect("control-paused").await;
    browser.picture("control").await;
    browser.press("Resume").await;
    browser.says("the stream goes on").await;
    let is_applied = || async { world.target.value(paid).await == "5" };
    eventually("what was held back is applied", || daemon.log(), is_applied).await;
    // A cut-over stops in front of its limits, and writes nothing.
    go(&browser, &world, "/admin/control").await;
    browser.write("#limits", "people<1000").await;
    browser.write("#cutover", "cutover").await;
    browser.press("Cut over").await;
    browser.says("people: ").await;
    browser.says("nothing was written").await;
    go(&browser, &world, "/admin/log?text=operate").await;
    browser.says("dry-run").await;
    browser.inspect("log").await;
    browser.picture("log").await;
    let by = "select string_agg(distinct operation, ' ' order by operation) from tributary.operation_log where asked_by = 'operate'";
    assert_eq!(world.target.value(by).await, "backfill cutover dry-run pause repair resume verify");
    browser.close().await;
}

/// Long work shows how far it is; a cut-over that passes and the way back are run from the page.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_watches_cuts_over_and_goes_back() {
    let (world, _daemon) = started().await;
    let browser = Browser::open(true).await;
    log_in(&browser, &world, "operate").await;
    let paid = "select count(*) from transactions where status = 'PAID'";
    world.target.execute("update transactions set status = 'FAILED'").await;
    // The application holds what the backfill writes: the page says how far that is until the lock is gone.
    let holds = world.target.connect().await;
    holds.batch_execute("begin; lock table transactions in exclusive mode").await.unwrap();
    browser.press("Control").await;
    browser.write("#backfill", "backfill").await;
    browser.press("Backup and backfill").await;
    browser.says("Under way").await;
    let shows = || async { browser.page.find(Locator::Css("section.progress")).await.is_ok() };
    eventually("the page shows the progress", String::new, shows).await;
    browser.inspect("under-way").await;
    browser.picture("under-way").await;
    holds.batch_execute("rollback").await.unwrap();
    browser.says(": backfill done").await;
    assert_eq!(world.target.value(paid).await, "6");
    // Within its limits a cut-over goes through.
    world.target.execute("update transactions set status = 'FAILED'").await;
    browser.press("Control").await;
    browser.write("#limits", "delete>100").await;
    browser.write("#cutover", "cutover").await;
    browser.press("Cut over").await;
    browser.says(": cutover done").await;
    browser.inspect("cut-over").await;
    browser.picture("cut-over").await;
    assert_eq!(world.target.value(paid).await, "6");
    // Back to what was there before it, by the newest backup, which stands first.
    browser.press("Control").await;
    browser.press("Look at the way back").await;
    browser.says("Go back to").await;
    browser.inspect("way-back").await;
    browser.picture("way-back").await;
    browser.write("#word", "rollback").await;
    browser.press("Roll back").await;
    browser.says(": rollback done").await;
    assert_eq!(world.target.value(paid).await, "0");
    go(&browser, &world, "/admin").await;
    browser.says("rolled_back").await;
    browser.inspect("rolled-back").await;
    // And on again. The page before shows the first backfill as done.
    browser.press("Control").await;
    browser.write("#backfill", "backfill").await;
    browser.press("Backup and backfill").await;
    let is_asked = || async {
        let address = browser.page.current_url().await;
        address.is_ok_and(|address| address.path().starts_with("/admin/requests/"))
    };
    eventually("the page of the request", String::new, is_asked).await;
    browser.says(": backfill done").await;
    assert_eq!(world.target.value(paid).await, "6");
    let by = "select string_agg(distinct operation, ' ' order by operation) from tributary.operation_log \
              where asked_by = 'operate' and outcome = 'done'";
    assert_eq!(world.target.value(by).await, "backfill cutover dry-run rollback");
    browser.close().await;
}
