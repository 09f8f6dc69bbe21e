//! What `check` passes, `run` does not trip over: every refusal that a start knows is caused, `check` reports it, `run` meets it, and
//! once it is remedied both go on (SPEC §9).
//!
//! [`every_refusal_of_a_start_is_taken`] holds the cases against the refusals in the code: a new one fails until it has its case.

mod cases;

use std::net::TcpListener;
use std::path::Path;

use testkit::cluster::{Cluster, ClusterOptions, StopMode};
use testkit::source_schema::SourceLayout;

use cases::{ADOPTION, Case, ELSEWHERE, Ends, FIRST, LATER, SOURCE};

use crate::noticed::ROWS;
use crate::support::daemon::Daemon;
use crate::support::files;
use crate::support::world::{Place, Places, World};

#[tokio::test(flavor = "multi_thread")]
async fn what_the_source_lacks_is_seen_by_check() {
    let world = World::canonical(ROWS).await;
    let (source, target) = (world.source.url(), world.target.url());
    let urls = [("TRIBUTARY_SOURCE_URL", source.replace("disable", "require"))];
    fails(&world, &urls, "source: source: the server has no TLS", "the server has no TLS").await;
    let taken = TcpListener::bind(("127.0.0.1", world.http)).unwrap();
    fails(&world, &[], "http.listen: cannot listen on", "cannot listen on").await;
    drop(taken);
    let role = role(&world.source, &world.slot, "grant select on xendit, systemeio to").await;
    world.source.execute(&format!("alter role {role} replication")).await;
    for case in SOURCE {
        take(&world, case, &role).await;
    }
    works(
        &world,
        &[
            ("TRIBUTARY_SOURCE_URL", world.source.url_as(&role, "secret")),
            ("TRIBUTARY_TARGET_URL", target),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_new_target_lacks_is_seen_by_check() {
    let world = World::canonical(ROWS).await;
    let role = role(&world.target, &world.slot, "grant usage, create on schema public to").await;
    for case in FIRST {
        take(&world, case, &role).await;
    }
    world.succeed(&["migrate"]).await;
    let grants = format!(
        "grant usage on schema tributary to {role}; grant all on all tables in schema tributary to {role};
         grant all on all sequences in schema tributary to {role};
         grant all on unified_profiles, transactions, enrollments, courses to {role}"
    );
    world.target.execute(&grants).await;
    for case in ADOPTION {
        take(&world, case, &role).await;
    }
    works(&world, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_target_records_is_seen_by_check() {
    let world = World::canonical(ROWS).await;
    assert_eq!(world.started().await.terminate().await.code(), Some(0));
    for case in LATER {
        world.slot_is_free().await;
        take(&world, case, "").await;
    }
    // A daemon of another source holds the lock, as it shows.
    let leader = world.target.connect().await;
    leader
        .batch_execute(
            "select pg_advisory_lock(x'7472696277726974'::bigint);
             update tributary.installation set source_database = 'elsewhere'",
        )
        .await
        .unwrap();
    let says = "follows another source server or database";
    fails(&world, &[], "target.checkpoint: the daemon that works", says).await;
    drop(leader);
    let here =
        format!("update tributary.installation set source_database = '{}'", world.source.database);
    world.target.execute(&here).await;
    // A slot of another database of the server.
    let slot = format!("select pg_create_logical_replication_slot('{}', 'pgoutput')", world.slot);
    world.source.cluster.execute("postgres", &slot).await.unwrap();
    fails(&world, &[], "source.slot: the slot", "is not of its database").await;
    let drop = format!("select pg_drop_replication_slot('{}')", world.slot);
    world.source.cluster.execute("postgres", &drop).await.unwrap();
    works(&world, &[]).await;
}

/// Settings of a whole server, which the others share.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_does_not_allow_is_seen_by_check() {
    let settings = vec![("max_replication_slots".to_owned(), "1".to_owned())];
    let cluster =
        Cluster::start(&ClusterOptions { durable: false, settings, environment: Vec::new() })
            .unwrap();
    let cluster: &'static Cluster = Box::leak(Box::new(cluster));
    let source = Place::new(cluster, "limited").await;
    let mut world = World::new(SourceLayout::Canonical, Places::Shared).await;
    testkit::load::create_tables(&source.connect().await, SourceLayout::Canonical).await.unwrap();
    world.source = source;
    world.source.execute("select pg_create_physical_replication_slot('theirs')").await;
    let says = "all replication slots are in use";
    fails(&world, &[], "source.slots: 1 of 1 replication slots are in use", says).await;
    world.source.execute("select pg_drop_replication_slot('theirs')").await;
    world.source.execute("alter system set wal_level = replica").await;
    cluster.restart(StopMode::Fast).unwrap();
    fails(&world, &[], "source.wal_level: wal_level is replica", "wal_level is not logical").await;
    world.source.execute("alter system reset wal_level").await;
    cluster.restart(StopMode::Fast).unwrap();
    works(&world, &[]).await;
}

/// A role with a password and no more than `grant` gives.
async fn role(place: &Place, slot: &str, grant: &str) -> String {
    let role = format!("little_of_{slot}");
    place.execute(&format!("create role {role} login password 'secret'; {grant} {role}")).await;
    role
}

async fn take(world: &World, case: &Case, role: &str) {
    let statements = |at: usize| async move {
        for (place, sql) in [(&world.source, case.source[at]), (&world.target, case.target[at])] {
            // One by one: a slot is made in no transaction that wrote.
            let sql = sql.replace("{slot}", &world.slot).replace("{role}", role);
            for sql in sql.replace("{database}", &place.database).split("; ") {
                if !sql.is_empty() {
                    place.execute(sql).await;
                }
            }
        }
    };
    statements(0).await;
    world.configure(case.config);
    let urls = match case.by_role {
        Some("source") => vec![("TRIBUTARY_SOURCE_URL", world.source.url_as(role, "secret"))],
        Some(_) => vec![("TRIBUTARY_TARGET_URL", world.target.url_as(role, "secret"))],
        None => Vec::new(),
    };
    // Names are put in where the code has braces.
    let says = case.says.split(['{', '}']).max_by_key(|words| words.len()).unwrap();
    match case.ends {
        Ends::Halted => {
            reported(world, &urls, case.point).await;
            let mut daemon = world.start();
            daemon.wait_for_phase("halted").await;
            assert_eq!(daemon.terminate().await.code(), Some(0), "{}", case.point);
        }
        Ends::With(code) => assert_eq!(fails(world, &urls, case.point, says).await, Some(code)),
    }
    statements(1).await;
    world.configure(|_| {});
}

type Urls = [(&'static str, String)];

/// `check` reports it with a remedy.
async fn reported(world: &World, urls: &Urls, point: &str) {
    let output = world.command(&["check"]).envs(urls.iter().cloned()).output().await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{point}\n{said}{errors}");
    let mut lines = said.lines().skip_while(|line| !line.starts_with(&format!("FAIL {point}")));
    assert!(lines.next().is_some(), "{point}\n{said}");
    assert!(lines.next().is_some_and(|line| line.starts_with("     remedy: ")), "{point}\n{said}");
}

/// `check` reports it, and `run` ends with it; gives its exit code.
async fn fails(world: &World, urls: &Urls, point: &str, says: &str) -> Option<i32> {
    reported(world, urls, point).await;
    let run = world.command(&["run"]).envs(urls.iter().cloned()).output();
    let output = tokio::time::timeout(crate::support::PATIENCE, run).await;
    let output = output.unwrap_or_else(|_| panic!("{point}: run goes on")).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(says), "{point}\n{said}");
    output.status.code()
}

/// Nothing is left over: `check` passes, as JSON too, and `run` streams.
async fn works(world: &World, urls: &Urls) {
    let check =
        world.command(&["check", "--json"]).envs(urls.iter().cloned()).output().await.unwrap();
    let points: Vec<serde_json::Value> = serde_json::from_slice(&check.stdout).unwrap();
    let failed: Vec<_> = points.iter().filter(|point| point["ok"] != true).collect();
    assert!(failed.is_empty() && check.status.code() == Some(0), "{failed:?}");
    let urls: Vec<(&str, &str)> = urls.iter().map(|(name, url)| (*name, url.as_str())).collect();
    let mut daemon = Daemon::start_with(world, &urls);
    daemon.wait_for_phase("streaming").await;
    // Beside it, too.
    let beside = world.command(&["check"]).envs(urls).output().await.unwrap();
    assert_eq!(beside.status.code(), Some(0), "{}", String::from_utf8_lossy(&beside.stdout));
    assert_eq!(daemon.terminate().await.code(), Some(0));
}

/// The files whose refusals end or hold up a start.
const START: [&str; 14] = [
    "src/http.rs",
    "src/connect/certificates.rs",
    "src/session.rs",
    "src/session",
    "src/source/publication.rs",
    "src/source/slot.rs",
    "src/source/snapshot.rs",
    "src/migrate.rs",
    "src/migrate/courses.rs",
    "src/targets/catalog.rs",
    "src/targets/column_types.rs",
    "src/backup/take.rs",
    "src/backup/tables.rs",
    "src/store/feed.rs",
];

#[test]
fn every_refusal_of_a_start_is_taken() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for part in START {
        files(&root.join(part), &["rs"], &mut found);
    }
    let cases = [SOURCE, FIRST, ADOPTION, LATER].concat();
    let known = cases.iter().map(|case| case.says).chain(ELSEWHERE.iter().map(|(words, _)| *words));
    let known: Vec<&str> = known.collect();
    let mut refusals = 0;
    for file in found {
        let text = std::fs::read_to_string(&file).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        // Texts that go over two lines are one.
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let text = lines.join(" ").replace("\\ ", "");
        for refusal in text
            .split("Error::refused(")
            .skip(1)
            .chain(text.split("Error::Config(format!(").skip(1))
        {
            // What is handed through was made, and is a point of `check`, elsewhere.
            let said: String = refusal.trim_start().chars().take(500).collect();
            if said.starts_with("problem, remedy") || said.starts_with("problem.problem") {
                continue;
            }
            refusals += 1;
            assert!(known.iter().any(|words| said.contains(words)), "{}: {said}", file.display());
        }
    }
    assert!(refusals > 20, "the refusals were not found");
}
