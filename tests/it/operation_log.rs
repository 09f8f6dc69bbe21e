//! The operation log (SPEC §9): every kind of operation is in it, with all its fields.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::daemon::Daemon;
use crate::support::world::{World, set};

const ROWS: &str = "
    insert into xendit (id, external_id, status, amount, currency, customer_email, description, created)
    select md5('x' || n)::uuid, 'o' || n, 'PAID', 499, 'PHP', 'p' || n || '@example.com', 'Papers to Profits',
        '2025-06-30T04:00:00Z'
    from generate_series(1, 20) as n;
    insert into systemeio (id, contact_id, email, first_name)
    select md5('s' || n)::uuid, 'c' || n, 'p' || n || '@example.com', 'Ana' from generate_series(1, 20) as n;
    insert into systemeio (id, contact_id, email) values (md5('gone')::uuid, 'c0', 'gone@example.com')";

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_is_in_the_log_with_all_its_fields() {
    let world = World::canonical(ROWS).await;
    world.configure(|table| {
        set(table, "guard", "delete_rows", 5);
        set(table, "guard", "delete_percent", 10.0);
    });
    world
        .target
        .execute(
            "create table unified_profiles (id uuid primary key, email text not null unique);
        insert into unified_profiles values (md5('t')::uuid, 'test@example.com')",
        )
        .await;
    let ok = async |arguments: &[&str]| {
        let output = world.command(arguments).env("USER", "ana").output().await.unwrap();
        let said =
            String::from_utf8_lossy(&[&*output.stdout, &*output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
    };
    ok(&["migrate"]).await;
    ok(&["backfill", "--dry-run"]).await;
    let mut daemon = Daemon::start_with(&world, &[("USER", "daemon")]);
    daemon.wait_for_phase("streaming").await;
    world
        .target
        .execute("update unified_profiles set first_name = 'x' where email = 'p1@example.com'")
        .await;
    ok(&["verify", "--repair"]).await;
    ok(&["validate"]).await;
    ok(&["rebuild"]).await;
    ok(&["rollout", "50"]).await;
    ok(&["rollout", "100"]).await;
    ok(&["decisions", "add", "separate", "p1@example.com", "p2@example.com", "--by", "maria"])
        .await;
    world.source.execute("delete from systemeio where substr(contact_id, 2)::int <= 10").await;
    daemon.wait_for_phase("halted").await;
    ok(&["accept"]).await;
    daemon.wait_for_phase("streaming").await;
    daemon.wait_until_caught_up(&world).await;
    ok(&["erase", "gone@example.com"]).await;
    let run = world.target.value("select run from tributary.backup order by at limit 1").await;
    ok(&["rollback", &run]).await;
    assert_eq!(daemon.terminate().await.code(), Some(0));
    ok(&["cutover"]).await;

    let exported = world.succeed(&["log", "export"]).await;
    let entries: Vec<Value> =
        exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut by_kind: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for entry in &entries {
        by_kind.entry(entry["operation"].as_str().unwrap()).or_default().push(entry);
    }
    let kinds: Vec<&str> = by_kind.keys().copied().collect();
    let wanted = [
        "accept", "backfill", "backup", "cutover", "decision", "dry-run", "erase", "migrate",
        "rebuild", "repair", "rollback", "rollout", "validate", "verify",
    ];
    assert_eq!(kinds, wanted, "{exported}");
    let role = world.target.value("select session_user").await;
    for entry in &entries {
        assert_eq!(
            (&entry["outcome"], &entry["database_user"]),
            (&"done".into(), &role.clone().into()),
            "{entry:#}"
        );
        let started: jiff::Timestamp = entry["started_at"].as_str().unwrap().parse().unwrap();
        let finished: jiff::Timestamp = entry["finished_at"].as_str().unwrap().parse().unwrap();
        assert!(started <= finished && entry["seconds"].as_f64() >= Some(0.0), "{entry:#}");
        assert_eq!(entry["version"], env!("CARGO_PKG_VERSION"), "{entry:#}");
        assert_eq!(entry["config_hash"].as_str().map(str::len), Some(36), "{entry:#}");
        let count =
            |what: &str| entry[what].as_i64().unwrap_or_else(|| panic!("{what}: {entry:#}"));
        assert_eq!(count("processed"), count("succeeded") + count("failed"), "{entry:#}");
        assert!(
            entry["errors"] == Value::Array(Vec::new()) && entry["detail"].is_object(),
            "{entry:#}"
        );
        assert!(["ana", "daemon"].contains(&entry["os_user"].as_str().unwrap()), "{entry:#}");
    }
    let count = |kind: &str| by_kind[kind][0]["processed"].as_i64().unwrap();
    assert_eq!(
        (count("dry-run"), count("backfill"), count("rebuild"), count("repair")),
        (41, 41, 21, 1),
        "{exported}"
    );
    assert_eq!(
        (&by_kind["verify"][0]["failed"], count("decision"), count("rollback") > 20),
        (&1.into(), 1, true)
    );
    assert_eq!(by_kind["decision"][0]["asked_by"], "maria");
    for kind in ["accept", "rebuild", "repair", "rollout", "rollback", "erase"] {
        assert_eq!(by_kind[kind][0]["asked_by"], "ana", "{kind}: {exported}");
    }
    assert!(!exported.contains("example.com"), "{exported}");

    // One that died is known to have been interrupted.
    world.dies(&["cutover"], "cutover-filled").await;
    let shown = world.succeed(&["log", "--operation", "cutover", "--outcome", "interrupted"]).await;
    assert!(shown.contains("cutover"), "{shown}");
}
