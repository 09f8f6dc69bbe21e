//! One scenario's databases, configuration and commands.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use testkit::cluster::{Cluster, free_port};
use testkit::dirt::DirtRates;
use testkit::load;
use testkit::people::Population;
use testkit::source_schema::SourceLayout;
use testkit::traffic::{LiveTraffic, TrafficCount};
use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::daemon::Daemon;
use super::eventually;
pub(crate) use super::place::{Place, start_cluster};
use super::place::{shared, unique};

/// Where a scenario's databases are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Places {
    /// Two databases of the shared server.
    Shared,
    /// One database for source and target.
    OneDatabase,
    /// Two servers of the scenario's own, which it may crash.
    TwoServers,
}

/// A source, a target, and the configuration between them.
pub(crate) struct World {
    pub(crate) layout: SourceLayout,
    pub(crate) source: Place,
    pub(crate) target: Place,
    pub(crate) slot: String,
    pub(crate) http: u16,
    /// How the target is reached, where not directly.
    pub(crate) target_url: Option<String>,
    /// The shipped configuration that it begins with.
    shipped: &'static str,
    folder: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new(layout: SourceLayout, places: Places) -> Self {
        let own = || -> &'static Cluster { Box::leak(Box::new(start_cluster(true))) };
        let (source, target) = match places {
            Places::TwoServers => (own(), own()),
            _ => (shared(), shared()),
        };
        let source = Place::new(source, "source").await;
        let target = match places {
            Places::OneDatabase => {
                Place { cluster: source.cluster, database: source.database.clone() }
            }
            _ => Place::new(target, "target").await,
        };
        load::create_tables(&source.connect().await, layout).await.unwrap();
        let shipped = match layout {
            SourceLayout::Canonical => "tributary.toml",
            SourceLayout::Legacy => "legacy-csv.toml",
        };
        Self::between(layout, shipped, source, target)
    }

    /// The canonical layout between two databases of these servers.
    pub(crate) async fn on(source: &'static Cluster, target: &'static Cluster) -> Self {
        let (source, target) =
            (Place::new(source, "source").await, Place::new(target, "target").await);
        let layout = SourceLayout::Canonical;
        load::create_tables(&source.connect().await, layout).await.unwrap();
        Self::between(layout, "tributary.toml", source, target)
    }

    /// The canonical layout with the further feeds of SPEC §1 beside it.
    pub(crate) async fn with_more_feeds(places: Places) -> Self {
        let mut world = Self::new(SourceLayout::Canonical, places).await;
        world.source.execute(super::feeds::TABLES).await;
        world.shipped = "more-feeds.toml";
        world.configure(|_| {});
        world
    }

    /// A canonical layout on the shared server, with these statements run at the source.
    pub(crate) async fn canonical(rows: &str) -> Self {
        let world = Self::new(SourceLayout::Canonical, Places::Shared).await;
        world.source.execute(rows).await;
        world
    }

    /// The canonical layout on the shared server, with these statements run at the target.
    pub(crate) async fn with_target(tables: &str) -> Self {
        let world = Self::new(SourceLayout::Canonical, Places::Shared).await;
        world.target.execute(tables).await;
        world
    }

    fn between(layout: SourceLayout, shipped: &'static str, source: Place, target: Place) -> Self {
        let world = Self {
            layout,
            source,
            target,
            slot: unique("slot"),
            http: free_port().unwrap(),
            target_url: None,
            shipped,
            folder: tempfile::tempdir().unwrap(),
        };
        world.configure(|_| {});
        world
    }

    /// The same source with an empty database as target and a slot of its own.
    pub(crate) async fn with_fresh_target(&self) -> Self {
        let source = Place { cluster: self.source.cluster, database: self.source.database.clone() };
        let target = Place::new(self.target.cluster, "fresh").await;
        let fresh = Self::between(self.layout, self.shipped, source, target);
        if self.shipped == "more-feeds.toml" {
            let text = std::fs::read_to_string(self.config()).unwrap();
            fresh.configure(|table| {
                *table = text.parse().unwrap();
                set(table, "source", "slot", fresh.slot.clone());
                set(table, "source", "publication", fresh.slot.clone());
            });
        }
        fresh
    }

    /// A second installation in the same two databases: its own schema, target tables, and the slot and publication that
    /// default from the schema.
    pub(crate) fn second_installation(&self, schema: &str) -> Self {
        self.installation(schema, "second", |_| {})
    }

    /// The same with the schema of its target tables, and whatever else its configuration has.
    pub(crate) fn installation(
        &self,
        schema: &str,
        tables: &str,
        change: impl FnOnce(&mut toml::Table),
    ) -> Self {
        let place =
            |place: &Place| Place { cluster: place.cluster, database: place.database.clone() };
        let (source, target) = (place(&self.source), place(&self.target));
        let mut world = Self::between(self.layout, self.shipped, source, target);
        world.slot = tributary::config::Schema::named(schema).identifier();
        world.configure(|table| {
            let source = table["source"].as_table_mut().unwrap();
            source.remove("slot");
            source.remove("publication");
            set(table, "target", "schema", schema);
            for (key, name) in [
                ("profiles", "unified_profiles"),
                ("transactions", "transactions"),
                ("enrollments", "enrollments"),
                ("courses", "courses"),
            ] {
                set(table, "target", key, format!("{tables}.{name}"));
            }
            change(table);
        });
        world
    }

    /// The same source and slot with a copy of the target, which nobody may be connected to.
    pub(crate) async fn with_copied_target(&self) -> Self {
        let source = Place { cluster: self.source.cluster, database: self.source.database.clone() };
        let target = Place { cluster: self.target.cluster, database: unique("copy") };
        let copy = format!("create database {} template {}", target.database, self.target.database);
        self.target.cluster.execute("postgres", &copy).await.unwrap();
        let mut world = Self::between(self.layout, self.shipped, source, target);
        world.slot.clone_from(&self.slot);
        world.configure(|_| {});
        world
    }

    /// Writes the shipped configuration with this world's slot, and what `change` adds.
    pub(crate) fn configure(&self, change: impl FnOnce(&mut toml::Table)) {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config");
        let shipped = folder.join(self.shipped);
        let text = std::fs::read_to_string(&shipped).unwrap();
        let mut table: toml::Table = text.parse().unwrap();
        set(&mut table, "source", "slot", self.slot.clone());
        set(&mut table, "source", "publication", self.slot.clone());
        change(&mut table);
        std::fs::write(self.config(), toml::to_string(&table).unwrap()).unwrap();
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path().join("tributary.toml")
    }

    /// The real binary, on this world's configuration. `TRIBUTARY_TEST_BINARY` is another one, for measurements.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let binary = std::env::var_os("TRIBUTARY_TEST_BINARY");
        let mut command =
            Command::new(binary.unwrap_or_else(|| env!("CARGO_BIN_EXE_tributary").into()));
        command
            .args(arguments)
            .env("TRIBUTARY_CONFIG", self.config())
            .env("TRIBUTARY_SOURCE_URL", self.source.url())
            .env(
                "TRIBUTARY_TARGET_URL",
                self.target_url.clone().unwrap_or_else(|| self.target.url()),
            )
            .env("TRIBUTARY_HTTP_LISTEN", format!("127.0.0.1:{}", self.http))
            .env("RUST_LOG", "info")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs a command to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().await.unwrap()
    }

    /// Runs a command that must exit 0; gives its standard output.
    pub(crate) async fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "tributary {arguments:?}\n{errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The same of one that prints JSON.
    pub(crate) async fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.succeed(arguments).await).unwrap()
    }

    /// Runs a command that must die at a failpoint.
    pub(crate) async fn dies(&self, arguments: &[&str], point: &str) {
        let killed = self.command(arguments).env("TRIBUTARY_FAILPOINT", point).output().await;
        let killed = killed.unwrap();
        let log = String::from_utf8_lossy(&killed.stderr).into_owned();
        assert_eq!(killed.status.signal(), Some(6), "{arguments:?} {point}: {log}");
    }

    /// Starts `tributary run`.
    pub(crate) fn start(&self) -> Daemon {
        Daemon::start(self)
    }

    /// Starts `tributary run` and waits until it streams all that is committed now.
    pub(crate) async fn started(&self) -> Daemon {
        let mut daemon = self.start();
        daemon.wait_for_phase("streaming").await;
        daemon.wait_until_caught_up(self).await;
        daemon
    }

    /// Waits until nobody reads the slot: its walsender outlives the daemon for a moment.
    pub(crate) async fn slot_is_free(&self) {
        let active = format!(
            "select exists (select from pg_replication_slots where slot_name = '{}' and active)",
            self.slot
        );
        let is_free = || async { self.source.value(&active).await == "false" };
        eventually("the slot is free", String::new, is_free).await;
    }

    /// Drops the slot, of a daemon that has ended.
    pub(crate) async fn drop_slot(&self) {
        self.slot_is_free().await;
        self.source.execute(&format!("select pg_drop_replication_slot('{}')", self.slot)).await;
    }

    /// The same world for a second daemon: only its HTTP endpoint differs.
    pub(crate) fn on_another_port(self) -> Self {
        Self { http: free_port().unwrap(), ..self }
    }

    /// A second daemon's world beside this one: the same databases and slot, another HTTP endpoint.
    pub(crate) fn standby(&self) -> Self {
        let place =
            |place: &Place| Place { cluster: place.cluster, database: place.database.clone() };
        let (source, target) = (place(&self.source), place(&self.target));
        let mut world = Self::between(self.layout, self.shipped, source, target);
        world.slot.clone_from(&self.slot);
        world.configure(|_| {});
        world
    }

    /// Made-up rows into the source.
    pub(crate) async fn load(&self, population: &Population, contacts: u64, payments: u64) {
        let client = self.source.connect().await;
        load::load(&client, self.layout, population, 0..contacts, 0..payments).await.unwrap();
    }
}

/// Random changes that go on beside the scenario.
pub(crate) struct Traffic {
    stop: CancellationToken,
    running: JoinHandle<testkit::Result<TrafficCount>>,
}

impl Traffic {
    /// On three connections, to rows with numbers below these.
    pub(crate) fn start(
        world: &World,
        population: &Population,
        (contacts, payments): (u64, u64),
        pause: Duration,
    ) -> Self {
        let traffic = LiveTraffic {
            url: world.source.url(),
            layout: world.layout,
            population: population.clone(),
            contacts,
            payments,
            seed: population.seed,
            connections: 3,
            transactions: u64::MAX,
            pause,
        };
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        Self { stop, running: tokio::spawn(async move { traffic.run(&stopped).await }) }
    }

    /// Waits until the source has written this many bytes of log more.
    pub(crate) async fn goes_on(&self, world: &World, bytes: u64) {
        let start = world.source.lsn().await;
        let explain = || format!("has the traffic ended? {}", self.running.is_finished());
        eventually("live traffic", explain, || async {
            world.source.lsn().await.0 >= start.0 + bytes
        })
        .await;
    }

    /// Lets the transactions in hand end, and returns what was done.
    pub(crate) async fn end(self) -> TrafficCount {
        self.stop.cancel();
        self.running.await.unwrap().unwrap()
    }
}

/// A population dirty enough to meet every rule.
pub(crate) fn dirty(seed: u64, people: u64) -> Population {
    Population { seed, people, dirt: DirtRates::heavy() }
}

/// Sets `[section] key`.
pub(crate) fn set(
    table: &mut toml::Table,
    section: &str,
    key: &str,
    value: impl Into<toml::Value>,
) {
    let section = table.entry(section).or_insert_with(|| toml::Table::new().into());
    section.as_table_mut().unwrap().insert(key.into(), value.into());
}
