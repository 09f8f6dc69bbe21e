//! The daemon dies at each of its failpoints, comes back, and the targets are those of a fresh backfill (P1, P8).

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt as _;

use testkit::source_schema::SourceLayout;
use tributary::failpoint;

use crate::support::compare::assert_equals_fresh_backfill;
use crate::support::daemon::Daemon;
use crate::support::world::{Places, World, dirty, set};

const SIGABRT: i32 = 6;

/// What is under way when the daemon dies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    /// The first start, up to the stream.
    FirstStart,
    /// A start without the slot that the checkpoint is of; rows were deleted meanwhile.
    LostSlot,
    /// A small source transaction, and an idle source after it.
    SmallTransaction,
    /// One that is applied in parts.
    LargeTransaction,
    /// A decision of an operator.
    Command,
    /// A guarded delete.
    Halt,
    /// A change that no message of the stream carries.
    Altered,
}

/// Where the daemon dies in each: a failpoint and the number of the hit.
const FIRST_START: &[&str] = &[
    "schema-migrated",
    "slot-intended",
    "slot-made",
    "first-checkpoint",
    "first-checkpoint-committed",
    "session-opened",
    "table-started:1",
    "table-started:2",
    "chunk-applied:2",
    "chunk-committed:2",
    "people-written",
    "people-committed",
    "groups-judged",
    "groups-committed",
    "phase-finished:1",
    "phase-finished:2",
    "phase-finished:3",
    "phase-finished:4",
    "phase-finished:5",
    "phase-advanced:1",
    "phase-advanced:3",
    "phase-advanced:5",
    "stream-opened",
];
const LOST_SLOT: &[&str] = &[
    "lost-slot-dropped",
    "slot-intended",
    "slot-made",
    "first-checkpoint",
    "first-checkpoint-committed",
    "session-opened",
    "chunk-committed",
    "recheck-applied",
    "emails-judged",
    "sweep-applied",
    "sweep-committed",
    "phase-advanced:4",
];
const SMALL_TRANSACTION: &[&str] =
    &["batch-applied", "batch-committed", "batch-confirmed", "idle-committed"];
const LARGE_TRANSACTION: &[&str] =
    &["part-applied:1", "part-applied:2", "parts-recomputed", "batch-committed"];
const COMMAND: &[&str] = &["command-executed", "command-answered"];
const HALT: &[&str] = &["halt-recorded"];
const ALTERED: &[&str] = &["reconcile-scheduled", "read-beside:1", "read-beside:2"];
/// Taken by `backups.rs` and `cutover.rs`.
const THE_WAY_BACK: &[&str] = &[
    "backup-copied",
    "rollback-restored",
    "cutover-scheduled",
    "cutover-filled",
    "cutover-validated",
];
/// Taken by `hidden.rs` and `people.rs`.
const ELSEWHERE: &[&str] = &["keyless-noted", "profiles-recorded"];
/// Taken by `import.rs`.
pub(crate) const IMPORT: &[&str] = &[
    "import-prepared",
    "import-begun",
    "import-batch-written:1",
    "import-batch-committed:2",
    "import-batch-written:5",
    "import-rejects-written",
    "import-finishing",
    "import-finished",
    "import-rolled-back",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_first_start_survives_every_failpoint_p1() {
    each(Work::FirstStart, FIRST_START).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reconcile_of_a_lost_slot_survives_every_failpoint_p1() {
    each(Work::LostSlot, LOST_SLOT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streaming_survives_every_failpoint_p8() {
    each(Work::SmallTransaction, SMALL_TRANSACTION).await;
    each(Work::LargeTransaction, LARGE_TRANSACTION).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_and_halts_survive_every_failpoint_p7() {
    each(Work::Command, COMMAND).await;
    each(Work::Halt, HALT).await;
    each(Work::Altered, ALTERED).await;
}

#[test]
fn every_failpoint_is_taken() {
    let beside = [COMMAND, HALT, ALTERED, THE_WAY_BACK, ELSEWHERE, IMPORT].concat();
    let all = [FIRST_START, LOST_SLOT, SMALL_TRANSACTION, LARGE_TRANSACTION, &beside];
    let taken: BTreeSet<&str> = all.concat().iter().map(|point| name(point)).collect();
    assert_eq!(taken, BTreeSet::from(failpoint::NAMES));
}

fn name(point: &'static str) -> &'static str {
    point.split_once(':').map_or(point, |(name, _)| name)
}

async fn each(work: Work, points: &[&'static str]) {
    for point in points {
        dies_and_comes_back(work, point).await;
    }
}

async fn dies_and_comes_back(work: Work, point: &'static str) {
    let world = World::new(SourceLayout::Canonical, Places::Shared).await;
    world.configure(|table| {
        set(table, "run", "chunk_rows", 50);
        if work == Work::LargeTransaction {
            set(table, "run", "batch_rows", 400);
        }
    });
    world.load(&dirty(31, 100), 150, 250).await;
    world.source.execute("analyze").await;
    if work == Work::LostSlot {
        lose_the_slot(&world).await;
    }
    let mut daemon = Daemon::start_with(&world, &[("TRIBUTARY_FAILPOINT", point)]);
    if !matches!(work, Work::FirstStart | Work::LostSlot) {
        daemon.wait_for_phase("streaming").await;
    }
    provoke(work, &world, &mut daemon, point).await;
    let mut daemon = world.start();
    if work == Work::Halt {
        daemon.wait_for_phase("halted").await;
        world.succeed(&["accept"]).await;
    }
    daemon.wait_for_phase("streaming").await;
    daemon.wait_until_caught_up(&world).await;
    let decisions = "select count(*) from tributary.decision where not automatic";
    let expected = if work == Work::Command { "1" } else { "0" };
    assert_eq!(world.target.value(decisions).await, expected, "{point}");
    drop(daemon);
    assert_equals_fresh_backfill(&world).await;
}

async fn lose_the_slot(world: &World) {
    let daemon = world.started().await;
    assert_eq!(daemon.terminate().await.code(), Some(0));
    world.drop_slot().await;
    world.source.execute("delete from xendit where id::text like 'a%'").await;
    world.source.execute("update systemeio set first_name = 'Tala'").await;
}

/// Has the work begun, and waits until the daemon has died of it.
async fn provoke(work: Work, world: &World, daemon: &mut Daemon, point: &'static str) {
    let change = match work {
        Work::FirstStart | Work::LostSlot => None,
        Work::SmallTransaction => Some("update xendit set amount = amount + 1"),
        Work::LargeTransaction => Some(
            "insert into xendit (id, status, amount, currency, customer_email, created)
             select gen_random_uuid(), 'PAID', 499, 'PHP', 'n' || n || '@example.com', '2025-06-30T04:00:00Z'
             from generate_series(1, 1100) as n",
        ),
        Work::Command => None,
        Work::Halt => Some("truncate xendit"),
        Work::Altered => Some(
            "alter table xendit rename to elsewhere; delete from elsewhere where id::text like 'a%';
             alter table elsewhere rename to xendit",
        ),
    };
    if let Some(change) = change {
        world.source.execute(change).await;
    }
    if work == Work::Command {
        let key =
            world.target.value("select min(key) from tributary.source_row where feed = 2").await;
        let add = ["decisions", "add", "product", &format!("xendit:{key}"), "canva"];
        // Whoever carries it out, it is made once.
        let (_, ended) = tokio::join!(world.succeed(&add), daemon.ended());
        died(daemon, ended, point);
        return;
    }
    let ended = daemon.ended().await;
    died(daemon, ended, point);
}

fn died(daemon: &Daemon, ended: std::process::ExitStatus, point: &'static str) {
    assert_eq!(ended.signal(), Some(SIGABRT), "{point}\n{}", daemon.log());
    let log = daemon.log();
    assert!(log.contains(&format!("\"name\":\"{}\"", name(point))), "{point}\n{log}");
}
