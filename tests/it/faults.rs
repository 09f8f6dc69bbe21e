//! Everything that can go wrong, at random and at once: changes of the source, its DDL, kills, take-overs, crashes and
//! restarts of both servers, cut connections, slots that vanish or move. After each round the target must equal a fresh
//! computation, and `verify` must find nothing (P3, P8, P11, P12, P18).
//!
//! What is done follows from the seed, which is printed; in which order things happen meanwhile does not. One short round
//! by default; `SOAK_MINUTES` and `SOAK_SEED` ask for more (`make soak`), `SOAK_KILLS` for that many kills beside, about one a
//! second.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use testkit::cluster::{StopMode, free_port};
use testkit::people::Population;
use testkit::random::Random;
use testkit::traffic::LiveTraffic;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::compare::differences_from_fresh_backfill;
use crate::support::daemon::Daemon;
use crate::support::fault_proxy::{self, FaultProxy};
use crate::support::full_disk::FullDisk;
use crate::support::world::{Place, World, dirty, start_cluster};
use crate::support::{PATIENCE, eventually, setting};

const CONTACTS: u64 = 150;
const PAYMENTS: u64 = 250;

/// One kind of fault or change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Kill,
    KillTwice,
    Terminate,
    TakeOver,
    Pause,
    CutSource,
    CutTarget,
    StopSource,
    CrashSource,
    CrashTarget,
    DropSlot,
    AdvanceSlot,
    ReplaceTable,
    Rename,
    Retype,
    DropAndAddColumn,
    Rewrite,
    Unpublish,
    LargeTransaction,
    Rebuild,
    LoseReply,
    LoseRequest,
    SlowTarget,
    FullDisk,
    StandbyTarget,
    NoConnections,
}

impl Fault {
    const ALL: [Self; 26] = [
        Self::Kill,
        Self::KillTwice,
        Self::Terminate,
        Self::TakeOver,
        Self::Pause,
        Self::CutSource,
        Self::CutTarget,
        Self::StopSource,
        Self::CrashSource,
        Self::CrashTarget,
        Self::DropSlot,
        Self::AdvanceSlot,
        Self::ReplaceTable,
        Self::Rename,
        Self::Retype,
        Self::DropAndAddColumn,
        Self::Rewrite,
        Self::Unpublish,
        Self::LargeTransaction,
        Self::Rebuild,
        Self::LoseReply,
        Self::LoseRequest,
        Self::SlowTarget,
        Self::FullDisk,
        Self::StandbyTarget,
        Self::NoConnections,
    ];
}

/// The DDL of a feed that no message of the stream carries (P18). Each leaves the columns that are read.
fn statements(fault: Fault) -> &'static str {
    match fault {
        Fault::ReplaceTable => {
            "begin; create table n (like xendit including all);
             insert into n select * from xendit where id::text > '1';
             insert into n (id, status, amount, currency, customer_email, description, created) values
               (gen_random_uuid(), 'PAID', 499, 'PHP', 'replaced@example.com', 'Papers to Profits', '2025-06-30T04:00:00Z');
             drop table xendit; alter table n rename to xendit; commit"
        }
        Fault::Rename => {
            "alter table systemeio rename to elsewhere;
             update elsewhere set last_name = 'Renamed' where id::text > 'e';
             alter table elsewhere rename to systemeio"
        }
        Fault::Retype => {
            "begin; alter table xendit alter column fees type text using (coalesce(fees, 0) + 1)::text;
             alter table xendit alter column fees type numeric using fees::numeric; commit"
        }
        Fault::DropAndAddColumn => {
            "begin; alter table systemeio drop column phone;
             alter table systemeio add column phone text default '09171234567'; commit"
        }
        Fault::Rewrite => "vacuum full systemeio",
        Fault::LargeTransaction => {
            "do $$ begin for i in 1..12 loop
               update xendit set description = description || ' ' where id::text < 'f';
               update systemeio set first_name = initcap(first_name), tags = tags || ',Big' || i % 3;
             end loop; end $$"
        }
        _ => "",
    }
}

/// Kills in a round of a soak that counts them.
const KILLS_PER_ROUND: u64 = 60;

struct Run {
    world: World,
    /// Before the target.
    proxy: FaultProxy,
    /// The target's.
    disk: FullDisk,
    daemon: Daemon,
    population: Population,
    random: Random,
    /// Bursts of traffic so far: each inserts rows of its own.
    bursts: u64,
    /// What was done, by kind.
    done: BTreeMap<Fault, u64>,
    kills: u64,
}

impl Run {
    async fn begin(seed: u64) -> Self {
        let (target, disk) = FullDisk::server(&[]);
        let mut world = World::on(Box::leak(Box::new(start_cluster(true))), target).await;
        let proxy = FaultProxy::before(target.port()).await;
        world.target_url = Some(proxy.url(&world.target.url(), target.port()));
        let population = dirty(seed, 120);
        world.load(&population, CONTACTS, PAYMENTS).await;
        let daemon = world.start();
        let random = Random::new(seed, 77);
        Self {
            world,
            proxy,
            disk,
            daemon,
            population,
            random,
            bursts: 0,
            done: BTreeMap::new(),
            kills: 0,
        }
    }

    /// Some changes on three connections; whatever a server that goes away does to them.
    fn burst(&mut self) -> JoinHandle<()> {
        self.bursts += 1;
        let traffic = LiveTraffic {
            url: self.world.source.url(),
            layout: self.world.layout,
            population: self.population.clone(),
            contacts: CONTACTS + self.bursts * 20,
            payments: PAYMENTS + self.bursts * 20,
            seed: self.random.next(),
            connections: 3,
            transactions: 8,
            pause: Duration::from_millis(self.random.below(40)),
        };
        tokio::spawn(async move {
            let _ = traffic.run(&CancellationToken::new()).await;
        })
    }

    async fn step(&mut self) -> Fault {
        let fault = self.random.pick(&Fault::ALL);
        let burst = self.burst();
        // The fault falls into the middle of it.
        tokio::time::sleep(Duration::from_millis(self.random.below(300))).await;
        self.make(fault).await;
        burst.await.unwrap();
        *self.done.entry(fault).or_default() += 1;
        fault
    }

    /// Kills, about one a second, while the source changes.
    async fn kill_often(&mut self) {
        let mut bursts = Vec::new();
        for number in 0..KILLS_PER_ROUND {
            if number % 8 == 0 {
                bursts.push(self.burst());
            }
            tokio::time::sleep(Duration::from_millis(100 + self.random.below(1_200))).await;
            self.kill_and_start().await;
        }
        for burst in bursts {
            burst.await.unwrap();
        }
    }

    async fn make(&mut self, fault: Fault) {
        match fault {
            Fault::Kill => self.kill_and_start().await,
            Fault::KillTwice => {
                self.kill_and_start().await;
                tokio::time::sleep(Duration::from_millis(self.random.below(600))).await;
                self.kill_and_start().await;
            }
            Fault::Terminate => {
                let next = self.next();
                let status = std::mem::replace(&mut self.daemon, next).terminate().await;
                assert_eq!(status.code(), Some(0), "{}", self.daemon.log());
            }
            Fault::TakeOver => {
                let next = self.next();
                tokio::time::sleep(Duration::from_millis(self.random.below(800))).await;
                self.kills += 1;
                std::mem::replace(&mut self.daemon, next).kill9().await;
            }
            Fault::Pause => {
                self.daemon.signal("STOP").await;
                tokio::time::sleep(Duration::from_millis(500 + self.random.below(1_500))).await;
                self.daemon.signal("CONT").await;
            }
            Fault::CutSource => cut(&self.world.source).await,
            Fault::CutTarget => cut(&self.world.target).await,
            Fault::StopSource => self.world.source.cluster.restart(StopMode::Fast).unwrap(),
            Fault::CrashSource => self.world.source.cluster.restart(StopMode::Immediate).unwrap(),
            Fault::CrashTarget => self.world.target.cluster.restart(StopMode::Immediate).unwrap(),
            Fault::DropSlot => self.without_daemon("pg_drop_replication_slot($1)::text").await,
            Fault::AdvanceSlot => {
                let advance =
                    "(pg_replication_slot_advance($1, pg_current_wal_lsn())).end_lsn::text";
                self.without_daemon(advance).await;
            }
            Fault::Unpublish => {
                let (slot, table) = (&self.world.slot, self.random.pick(&["xendit", "systemeio"]));
                let hide = format!(
                    "alter publication {slot} drop table {table};
                     delete from {table} where ctid in (select ctid from {table} limit 3);
                     alter publication {slot} add table {table}"
                );
                // There may be no publication yet.
                let _ = self.world.source.cluster.execute(&self.world.source.database, &hide).await;
            }
            Fault::Rebuild => {
                // A refusal is an answer: the feeds may be being read.
                self.world.command(&["rebuild"]).spawn().unwrap().wait().await.unwrap();
            }
            Fault::LoseReply => self.proxy.set(fault_proxy::Fault::LoseReply),
            Fault::LoseRequest => self.proxy.set(fault_proxy::Fault::LoseRequest),
            Fault::SlowTarget => {
                self.proxy.set(fault_proxy::Fault::Slow);
                tokio::time::sleep(Duration::from_secs(2)).await;
                self.proxy.set(fault_proxy::Fault::None);
            }
            Fault::FullDisk => {
                self.disk.fill("/base/");
                tokio::time::sleep(Duration::from_secs(2)).await;
                self.disk.empty();
            }
            Fault::StandbyTarget => {
                let target = &self.world.target;
                target.cluster.restart_as_standby().unwrap();
                tokio::time::sleep(Duration::from_secs(1)).await;
                target.execute("select pg_promote()").await;
            }
            Fault::NoConnections => {
                let target = &self.world.target;
                let allow = |allowed: &str| {
                    format!("alter database {} allow_connections {allowed}", target.database)
                };
                target.cluster.execute("postgres", &allow("false")).await.unwrap();
                cut(target).await;
                tokio::time::sleep(Duration::from_secs(1)).await;
                target.cluster.execute("postgres", &allow("true")).await.unwrap();
            }
            _ => {
                // A deadlock with the traffic rolls it back.
                let (source, sql) = (&self.world.source, statements(fault));
                let _ = source.cluster.execute(&source.database, sql).await;
            }
        }
    }

    /// Another daemon on a port of its own, which waits for the present one.
    fn next(&mut self) -> Daemon {
        self.world.http = free_port().unwrap();
        self.world.start()
    }

    async fn kill_and_start(&mut self) {
        let next = self.next();
        self.kills += 1;
        std::mem::replace(&mut self.daemon, next).kill9().await;
    }

    /// Asks the source this about the slot while nobody reads it, with changes before that it then hides.
    async fn without_daemon(&mut self, expression: &str) {
        self.daemon.signal("KILL").await;
        self.daemon.ended().await;
        self.kills += 1;
        let slot = self.world.slot.clone();
        let free = format!(
            "select exists (select from pg_replication_slots where slot_name = '{slot}' and active) \
             or exists (select from pg_stat_activity where application_name like 'tributary%' and backend_type = 'client backend' and state <> 'idle')"
        );
        eventually("the slot is free", String::new, || async {
            self.world.source.value(&free).await == "false"
        })
        .await;
        let hidden = "delete from xendit where ctid in (select ctid from xendit limit 3);
             update systemeio set last_name = 'Hidden' where ctid in (select ctid from systemeio limit 3)";
        let _ = self.world.source.cluster.execute(&self.world.source.database, hidden).await;
        let client = self.world.source.connect().await;
        let there = format!(
            "select {expression} from pg_replication_slots where slot_name = $1 and confirmed_flush_lsn is not null"
        );
        client.query(&there, &[&slot]).await.unwrap();
        self.daemon = self.next();
    }

    /// Waits until nothing is left to do, and compares. What the catalog's watch notices comes within 15 s (P18).
    async fn check(&mut self) {
        let started = Instant::now();
        loop {
            self.daemon.wait_for_phase("streaming").await;
            self.daemon.wait_until_caught_up(&self.world).await;
            let differences = differences_from_fresh_backfill(&self.world).await;
            if differences.is_empty() && self.daemon.status().await["phase"] == "streaming" {
                break;
            }
            assert!(
                started.elapsed() < PATIENCE,
                "it differs:\n{}\n{}",
                differences.join("\n"),
                self.daemon.log()
            );
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let output = self.world.run(&["verify"]).await;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.ends_with("no differences\n"), "{text}{errors}");
    }
}

/// Ends every session of the daemon on a server.
async fn cut(place: &Place) {
    let sql = "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'tributary%'";
    let _ = place.cluster.execute("postgres", sql).await;
}

/// Rounds of some faults each. One after the other: both servers are this test's own.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_the_target_equals_a_fresh_computation() {
    let minutes = setting("SOAK_MINUTES", 0);
    let seed = setting("SOAK_SEED", 1);
    let kills = setting("SOAK_KILLS", 0);
    let steps = if minutes == 0 { 5 } else { 12 };
    let until = Instant::now() + Duration::from_secs(60 * minutes);
    println!("seed {seed}");
    let mut run = Run::begin(seed).await;
    let mut rounds = 0;
    loop {
        rounds += 1;
        let mut made = Vec::new();
        for _ in 0..steps {
            made.push(run.step().await);
        }
        println!("seed {seed}, round {rounds}: {made:?}");
        if run.kills < kills {
            run.kill_often().await;
        }
        run.check().await;
        println!("seed {seed}, round {rounds}: {} kills so far", run.kills);
        if Instant::now() >= until && run.kills >= kills {
            break;
        }
    }
    let faults: u64 = run.done.values().sum();
    println!(
        "seed {seed}: {rounds} rounds, {faults} faults, {} kills, {} bursts of changes, differences 0: {:?}",
        run.kills, run.bursts, run.done
    );
}
