//! What `check` passes, `run` does not trip over: every refusal that a start knows is caused, `check` reports it, `run` meets it, and
//! once it is mended both go on (SPEC §9).
//!
//! [`every_refusal_of_a_start_is_taken`] holds the cases against the refusals in the code: a new one fails until it has its case.

use std::net::TcpListener;
use std::path::Path;

use testkit::cluster::{Cluster, ClusterOptions, StopMode};
use testkit::source_schema::SourceLayout;
use toml::Table;

use crate::noticed::ROWS;
use crate::support::daemon::Daemon;
use crate::support::files;
use crate::support::world::{Place, Places, World, set};

/// How `run` ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// With this exit code.
    With(i32),
    /// It stays up, halted.
    Halted,
}

/// One way of failing at start.
#[derive(Clone, Copy)]
struct Case {
    /// The point of `check` that fails, as it begins.
    point: &'static str,
    /// Words of what `run` says, as the source has them.
    says: &'static str,
    /// Statements at the source and at the target that break it, and those that mend it. `{slot}`, `{role}` and
    /// `{database}` are replaced.
    source: [&'static str; 2],
    target: [&'static str; 2],
    /// The configuration while it is broken.
    config: fn(&mut Table),
    /// Whether the role of little privileges is used, at the source or at the target.
    by_role: Option<&'static str>,
    ends: Ends,
}

const fn case(point: &'static str, says: &'static str) -> Case {
    Case {
        point,
        says,
        source: [""; 2],
        target: [""; 2],
        config: |_| {},
        by_role: None,
        ends: Ends::With(1),
    }
}

impl Case {
    const fn source(self, broken: &'static str, mended: &'static str) -> Self {
        Self { source: [broken, mended], ..self }
    }
    const fn target(self, broken: &'static str, mended: &'static str) -> Self {
        Self { target: [broken, mended], ..self }
    }
    const fn config(self, config: fn(&mut Table)) -> Self {
        Self { config, ..self }
    }
    const fn by_role(self, place: &'static str) -> Self {
        Self { by_role: Some(place), ..self }
    }
    const fn ends(self, ends: Ends) -> Self {
        Self { ends, ..self }
    }
}

fn no_migration(table: &mut Table) {
    set(table, "run", "migrate", false);
}

/// Before anything was migrated, as far as the source is concerned.
const SOURCE: &[Case] = &[
    case("target.checkpoint: the source has a slot", "but this target has no checkpoint for it").source(
        "select pg_create_logical_replication_slot('{slot}', 'pgoutput')",
        "select pg_drop_replication_slot('{slot}'); drop publication if exists {slot}",
    ),
    case("source.publication", "may not make the publication").by_role("source"),
    case("source.publication", "may not add")
        .source("create publication {slot} for table systemeio", "drop publication {slot}")
        .by_role("source"),
    case("source.role", "the role may not replicate")
        .source(
            "create publication {slot} for table xendit, systemeio; alter role {role} noreplication",
            "alter role {role} replication",
        )
        .by_role("source"),
    case("source.xendit.privileges: the role may not read", "GRANT SELECT ON")
        .source("revoke select on xendit from {role}", "grant select on xendit to {role}")
        .by_role("source"),
];

/// On the way to the first backfill, as far as the target is concerned; `migrate` has run in front of the third.
const FIRST: &[Case] = &[
    case("target schema: schema tributary is missing", "is missing or older than this version")
        .config(no_migration),
    case(
        "target schema: schema tributary is missing",
        "with a role that may create in the target database",
    )
    .by_role("target"),
];

const ADOPTION: &[Case] = &[
    case("target.temporary", "permission denied to create temporary tables")
        .target(
            "revoke temporary on database {database} from public",
            "grant temporary on database {database} to public",
        )
        .config(no_migration)
        .by_role("target"),
    case("target.enrollments.columns: the target table", "does not exist")
        .target("alter table enrollments rename to away", "alter table away rename to enrollments")
        .config(no_migration),
    case("target.transactions.columns: the target table", "the target has no column")
        .target(
            "alter table transactions rename failure_reason to away",
            "alter table transactions rename away to failure_reason",
        )
        .config(no_migration),
    case("target.unified_profiles.columns", "let the role of the target URL own the table")
        .target(
            "alter table unified_profiles rename cohort_date to away; grant create on schema tributary to {role}",
            "alter table unified_profiles rename away to cohort_date",
        )
        .by_role("target"),
    case("target.courses", "is there under another id").target(
        "delete from courses; insert into courses (id, title, slug) values (gen_random_uuid(), 'Theirs', 'p2p')",
        "delete from courses",
    ),
    case("target.ids: the column id of the target table public.odd_transactions", "and must be uuid")
        .target(
            "create table odd_transactions (id text primary key); create table odd_enrollments (id uuid primary key)",
            "drop table odd_transactions, odd_enrollments",
        )
        .config(|table| {
            set(table, "target", "transactions", "public.odd_transactions");
            set(table, "target", "enrollments", "public.odd_enrollments");
        }),
    case("target.backup", "may not create a schema for the backup")
        .target(
            "insert into unified_profiles (id, email) \
             select gen_random_uuid(), 'before' || n || '@example.com' from generate_series(1, 12000) as n; \
             insert into courses (id, title, slug) values (gen_random_uuid(), 'Theirs', 'theirs')",
            "",
        )
        .config(no_migration)
        .by_role("target"),
    case("target.backup", "backup.max_mib = {}").config(|table| set(table, "backup", "max_mib", 1)),
];

/// Once it has streamed.
const LATER: &[Case] = &[
    case("target.installation", "belongs to the installation with the slot").target(
        "update tributary.installation set slot = 'another'",
        "update tributary.installation set slot = '{slot}'",
    ),
    case("target.feeds", "but this target has known the feed {name} as")
        .target(
            "update tributary.feed set kind = 'contact' where name = 'xendit'",
            "update tributary.feed set kind = 'payment' where name = 'xendit'",
        )
        .ends(Ends::With(78)),
    case("target.feeds", "but this target has known the feed {name} with primary")
        .target(
            "update tributary.feed set is_primary = false where name = 'xendit'",
            "update tributary.feed set is_primary = true where name = 'xendit'",
        )
        .ends(Ends::With(78)),
    case("target schema: the target's schema tributary is of migration 999", "of tributary, which migrated it")
        .target(
            "insert into tributary.schema_history select 999, 'later', applied_on, checksum \
             from tributary.schema_history limit 1",
            "delete from tributary.schema_history where version = 999",
        )
        .ends(Ends::With(78)),
    case("target schema: the target's schema tributary is missing or older", "is missing or older than this version")
        .target(
            "create table kept as select * from tributary.schema_history \
             where version = (select max(version) from tributary.schema_history); \
             delete from tributary.schema_history where version = (select version from kept)",
            "insert into tributary.schema_history select * from kept; drop table kept",
        )
        .config(no_migration),
    case("target.halt", "the target tables are those of backup")
        .target(
            "update tributary.state set rolled_back = '20250101_000000'",
            "update tributary.state set rolled_back = null, halted = null",
        )
        .ends(Ends::Halted),
    case("target.halt: maria paused the stream", "paused the stream")
        .target(
            "update tributary.state set paused = 'maria'",
            "update tributary.state set paused = null, halted = null",
        )
        .ends(Ends::Halted),
    case("target.checkpoint", "is not the server that this target was filled from").target(
        "create table kept as select source_system from tributary.installation; \
         update tributary.installation set source_system = '1'",
        "update tributary.installation set source_system = (select source_system from kept); drop table kept",
    ),
    case("target.checkpoint: the schema tributary of this target is a copy", "of this target is a copy, and the slot").target(
        "create table kept as select lsn, target from tributary.checkpoint, tributary.installation; \
         update tributary.checkpoint set lsn = '0/1'; update tributary.installation set target = 'elsewhere'",
        "update tributary.checkpoint set lsn = (select lsn from kept); \
         update tributary.installation set target = (select target from kept), relocated = false; drop table kept",
    ),
    case("source.slot: the slot", "is none of the output plugin pgoutput").source(
        "select pg_drop_replication_slot('{slot}'); select pg_create_physical_replication_slot('{slot}')",
        "select pg_drop_replication_slot('{slot}')",
    ),
];

/// What is refused for a reason that `check` does not see beforehand, is no part of a start, or is caused by another test.
const ELSEWHERE: &[(&str, &str)] = &[
    ("cannot listen on", "below"),
    ("the server has no TLS", "below"),
    ("wal_level is not logical", "below"),
    ("all replication slots are in use", "below"),
    ("follows another source server or database", "below"),
    ("is not of its database", "below"),
    ("a tributary daemon works on this target", "a command that needs the lock for itself"),
    ("a tributary daemon of another version than", "`migrate` alone"),
    ("the source has no table {table}", "what reads the columns says so before"),
    ("the slot name {name:?} is not allowed", "no command takes such a configuration"),
    ("is ahead of this target, and a daemon of another target", "`run` waits for the slot"),
    ("and the target's disk is full", "no server says beforehand how much room it has"),
    ("there is no table", "a table that goes while the copies are taken"),
    (
        "hides rows of {table} from the daemon's role",
        "target.<table>.rows comes first: preflight.rs",
    ),
];

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
