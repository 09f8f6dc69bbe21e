//! An installation that an earlier version made, with decisions, dismissals and a slot (SPEC §10).
//!
//! `tests/fixtures/upgrade` holds its two databases as `pg_dump --inserts` wrote them: made-up people, two aliases, a
//! separation, a product, a dismissal, and a person that moved by itself.

use std::collections::BTreeMap;

use testkit::source_schema::SourceLayout;

use crate::support::compare::assert_equals_fresh_backfill;
use crate::support::world::{Place, Places, World};

const SOURCE: &str = include_str!("../fixtures/upgrade/source.sql");
const TARGET: &str = include_str!("../fixtures/upgrade/target.sql");

/// What must survive, each as one text.
const SURVIVES: [(&str, &str); 5] = [
    (
        "persons",
        "select string_agg(email_key || ' ' || profile_id, ',' order by email_key) from tributary.person",
    ),
    (
        "decisions",
        "select string_agg(concat_ws(' ', id, kind, a, b, automatic, actor, note, created_at, reverted_at), ',' order by id) \
         from tributary.decision",
    ),
    (
        "dismissals",
        "select string_agg(subject, ',' order by subject) from tributary.conflict where status = 'dismissed'",
    ),
    ("enrollments", "select string_agg(e::text, ',' order by id) from enrollments e"),
    ("tiers", "select string_agg(id || tier, ',' order by id) from unified_profiles"),
];

/// The version of every target row.
async fn versions(target: &Place) -> BTreeMap<String, String> {
    let sql = "select 'profile ' || id, xmin::text from unified_profiles
        union all select 'transaction ' || id, xmin::text from transactions
        union all select 'enrollment ' || id, xmin::text from enrollments";
    let rows = target.connect().await.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_installation_keeps_ids_decisions_slot_and_unchanged_rows() {
    let world = World::new(SourceLayout::Canonical, Places::Shared).await;
    world.source.execute("drop table xendit, systemeio").await;
    let slot = &world.slot;
    world
        .source
        .execute(&SOURCE.replace("PUBLICATION tributary", &format!("PUBLICATION {slot}")))
        .await;
    let made =
        format!("(select lsn from pg_create_logical_replication_slot('{slot}', 'pgoutput'))");
    let from = world.source.value(&made).await;
    world.target.execute(TARGET).await;
    let checkpoint = format!("update tributary.checkpoint set slot = '{slot}', lsn = '{from}'");
    world.target.execute(&checkpoint).await;
    // What the earlier version had not seen yet.
    world
        .source
        .execute("update systemeio set first_name = 'Soledad Two' where email like 'dalisay%'")
        .await;
    let mut survives = Vec::new();
    for (_, sql) in SURVIVES {
        survives.push(world.target.value(sql).await);
    }
    let before = versions(&world.target).await;

    let daemon = world.started().await;

    for ((what, sql), before) in SURVIVES.iter().zip(survives) {
        assert_eq!(world.target.value(sql).await, before, "{what}");
    }
    let after = versions(&world.target).await;
    let renamed = world
        .target
        .value("select count(*) from unified_profiles where first_name = 'Soledad Two'")
        .await;
    assert!(before.keys().eq(after.keys()), "rows came or went");
    let rewritten = after.iter().filter(|(row, version)| before.get(*row) != Some(version));
    let rewritten: Vec<&String> = rewritten.map(|(row, _)| row).collect();
    assert_eq!(rewritten.len().to_string(), renamed, "{rewritten:?}");
    assert_ne!(renamed, "0");
    // The slot is the same one, and what it holds was streamed.
    assert!(!daemon.whole_log().contains("lost"), "{}", daemon.log());
    drop(daemon);
    assert_equals_fresh_backfill(&world).await;
}

/// SPEC §10: what a newer version made is not touched by an older one, nor migrated under a daemon of another version.
#[tokio::test(flavor = "multi_thread")]
async fn a_newer_schema_and_a_daemon_of_another_version_are_refused_spec_10() {
    let world = World::canonical("select 1").await;
    world.succeed(&["migrate"]).await;

    // The advisory lock of the writer, without the one that stands for this version.
    let other = world.target.connect().await;
    other.execute("select pg_advisory_lock($1)", &[&0x7472_6962_7772_6974_i64]).await.unwrap();
    let refused = world.run(&["migrate"]).await;
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{text}");
    assert!(text.contains("another version than") && text.contains("remedy"), "{text}");
    drop(other);

    // A daemon of this version is no obstacle.
    let daemon = world.started().await;
    let again = world.succeed(&["migrate"]).await;
    assert!(again.contains("up to date"), "{again}");
    assert_eq!(daemon.terminate().await.code(), Some(0));

    let newer = "insert into tributary.schema_history (version, name, applied_on, checksum)
        values (999, 'of_the_future', now()::text, '1');
        update tributary.operation_log set version = '9.9.9' where operation = 'migrate'";
    world.target.execute(newer).await;
    for arguments in [&["migrate"][..], &["run"], &["backfill"]] {
        let refused = world.run(arguments).await;
        let text = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(78), "{arguments:?}: {text}");
        for part in ["migration 999", "install version 9.9.9"] {
            assert!(text.contains(part), "{arguments:?}: {part} in {text}");
        }
    }
}
