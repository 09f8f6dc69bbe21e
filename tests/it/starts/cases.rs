//! Each way of failing at a start: what breaks it, what `check` and `run` say, and what remedies it.

use toml::Table;

use crate::support::world::set;

/// How `run` ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    /// With this exit code.
    With(i32),
    /// It stays up, halted.
    Halted,
}

/// One way of failing at start.
#[derive(Clone, Copy)]
pub(super) struct Case {
    /// The point of `check` that fails, as it begins.
    pub(super) point: &'static str,
    /// Words of what `run` says, as the source has them.
    pub(super) says: &'static str,
    /// Statements at the source and at the target that break it, and those that remedy it. `{slot}`, `{role}` and
    /// `{database}` are replaced.
    pub(super) source: [&'static str; 2],
    pub(super) target: [&'static str; 2],
    /// The configuration while it is broken.
    pub(super) config: fn(&mut Table),
    /// Whether the role of little privileges is used, at the source or at the target.
    pub(super) by_role: Option<&'static str>,
    pub(super) ends: Ends,
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
    const fn source(self, broken: &'static str, remedied: &'static str) -> Self {
        Self { source: [broken, remedied], ..self }
    }
    const fn target(self, broken: &'static str, remedied: &'static str) -> Self {
        Self { target: [broken, remedied], ..self }
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
pub(super) const SOURCE: &[Case] = &[
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
pub(super) const FIRST: &[Case] = &[
    case("target schema: schema tributary is missing", "is missing or older than this version")
        .config(no_migration),
    case(
        "target schema: schema tributary is missing",
        "with a role that may create in the target database",
    )
    .by_role("target"),
];

pub(super) const ADOPTION: &[Case] = &[
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
pub(super) const LATER: &[Case] = &[
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
pub(super) const ELSEWHERE: &[(&str, &str)] = &[
    ("cannot listen on", "below"),
    ("the server has no TLS", "below"),
    ("wal_level is not logical", "below"),
    ("all replication slots are in use", "below"),
    ("follows another source server or database", "below"),
    ("is not of its database", "below"),
    ("a tributary daemon works on this target", "a command that needs the lock for itself"),
    ("a tributary daemon of another version than", "`migrate` alone"),
    (
        "and this version of tributary needs",
        "`validate`, `report` and `verify`, which do not migrate",
    ),
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
