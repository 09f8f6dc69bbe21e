"""The faults of the live test, each with what its runbook says to do (docs/runbooks)."""

import pathlib

from live_world import Locked

PAYMENTS = """insert into xendit (id, status, amount, currency, customer_email, description, created)
    select gen_random_uuid(), 'PAID', {amount}, 'PHP', '{name}' || n || '@example.com', {description}, '2025-06-30T04:00:00Z'
    from generate_series(1, {rows}) as n"""


def payments(name, rows, amount="499", description="'Papers to Profits'"):
    return PAYMENTS.format(name=name, rows=rows, amount=amount, description=description)


def instance_down(world):
    other = 1 - world.leader()
    world.stop_daemon(other)
    world.fires("TributaryInstanceDown")
    world.start_daemon(other)
    world.clears("TributaryInstanceDown")


def down(world):
    for number in (0, 1):
        world.stop_daemon(number)
    world.fires("TributaryDown", "critical")
    for number in (0, 1):
        world.start_daemon(number)
    world.clears("TributaryDown")
    world.streams()


def no_leader(world):
    world.source.stop()
    world.fires("TributaryNoLeader", "critical")
    world.source.start()
    world.clears("TributaryNoLeader")
    world.streams()


def halted_and_slot_lost(world):
    """A guarded delete halts the daemon, nobody reads the slot, and the source gives it up."""
    world.source.psql(payments("halt", 3000))
    world.until("the rows arrive", lambda: world.target.psql("select count(*) from unified_profiles where email like 'halt%'") == "3000")
    world.source.psql("delete from xendit where customer_email like 'halt%'")
    world.fires("TributaryHalted", "critical")
    world.fires("TributarySlotInactive")
    # What is still safe is below 2 GiB at once, and at this rate lasts for minutes.
    world.source.psql("alter system set max_slot_wal_keep_size = '256MB'", "select pg_reload_conf()")
    log = lambda: world.source.psql("select pg_logical_emit_message(false, 'log', repeat('x', 2000000))")
    world.fires("TributarySlotSpaceLow", "warning", meanwhile=log)
    world.fires("TributarySlotSpaceLow", "critical", meanwhile=log)
    world.source.psql("alter system reset max_slot_wal_keep_size", "select pg_reload_conf()")
    world.clears("TributarySlotSpaceLow")
    world.source.psql("alter system set max_slot_wal_keep_size = '16MB'", "select pg_reload_conf()")
    for _ in range(6):
        world.source.psql("select pg_logical_emit_message(false, 'log', repeat('x', 8000000))", "select pg_switch_wal()", "checkpoint")
    world.fires("TributarySlotLost", "critical")
    world.source.psql("alter system reset max_slot_wal_keep_size", "select pg_reload_conf()")
    # The new slot is followed by a reconcile, which halts in front of the same rows once more.
    streams = lambda: world.query('tributary_phase{phase="streaming"} == 1 and on () tributary_slot_wal_status{status="reserved"} == 1')
    world.until("a daemon streams from a new slot", streams, meanwhile=world.accept)
    world.clears("TributaryHalted", "TributarySlotInactive", "TributarySlotLost", "TributarySlotSpaceLow")
    world.streams()


def rows_rejected(world):
    world.target.psql("alter table transactions add constraint refused check (amount <> 13) not valid")
    world.source.psql(payments("rejected", 3, amount="13"))
    world.fires("TributaryRowsRejected")
    world.tributary("conflicts", "list", "--kind", "rejected_row")
    world.target.psql("alter table transactions drop constraint refused")
    world.source.psql("update xendit set amount = '14' where amount = '13'")
    world.clears("TributaryRowsRejected")


def rows_incomplete(world):
    """The row store has lost a row whose large value the stream leaves out, and the source has deleted it meanwhile; the stream is far
    behind, as a trigger of the application is slow."""
    world.source.psql(
        "insert into systemeio (id, contact_id, email, first_name, custom_fields) select gen_random_uuid(), 'large', 'large@example.com', "
        "'Ana', jsonb_build_object('large', string_agg(md5(n::text), '')) from generate_series(1, 2000) as n"
    )
    stored = "tributary.source_row where owner = 'large@example.com'"
    world.until("it is stored", lambda: world.target.psql(f"select count(*) from {stored}") == "1")
    for number in (0, 1):
        world.stop_daemon(number)
    slow(world, 1)
    world.target.psql(f"delete from {stored}")
    world.source.psql("update systemeio set first_name = 'Bea' where contact_id = 'large'")
    for number in range(100):
        world.source.psql(payments(f"behind{number}x", 100))
    world.source.psql("delete from systemeio where contact_id = 'large'")
    for number in (0, 1):
        world.start_daemon(number)
    world.fires("TributaryRowsIncomplete")
    world.tributary("conflicts", "list", "--kind", "incomplete_row")
    world.target.psql("drop trigger slow on transactions")
    world.clears("TributaryRowsIncomplete")


def slow(world, seconds):
    """A trigger of the application that takes so long for each statement."""
    world.target.psql(
        f"create or replace function slow() returns trigger language plpgsql as 'begin perform pg_sleep({seconds}); return null; end'",
        "create trigger slow after insert or update on transactions for each statement execute function slow()",
    )


def conflicts(world):
    world.source.psql(payments("burst", 150, description="'nothing that is known'"))
    world.fires("TributaryConflictBurst")
    world.fires("TributaryConflictsUnresolved")
    world.tributary("conflicts", "dismiss", "--kind", "unmapped_product", "--note", "checked", "--yes")
    world.clears("TributaryConflictBurst", "TributaryConflictsUnresolved")


def verify_differences(world):
    world.target.psql("update transactions set amount = amount + 1 where id in (select id from transactions order by id limit 3)")
    world.fires("TributaryVerifyDifferences")
    world.tributary("verify", "--repair")
    world.clears("TributaryVerifyDifferences")


def blocked(world):
    """A transaction of the application holds a lock on target rows, while the source goes on."""
    writes = lambda: world.source.psql(payments("blocked", 100))
    with Locked(world.target, "unified_profiles"):
        writes()
        world.fires("TributaryCheckpointStalled", "critical", meanwhile=writes)
        world.fires("TributaryLagGrowing", meanwhile=writes)
        world.fires("TributarySourceLogRetained", "warning", meanwhile=writes)
        world.fires("TributarySourceLogRetained", "critical", meanwhile=writes)
    world.clears("TributaryCheckpointStalled", "TributaryLagGrowing", "TributarySourceLogRetained")
    world.streams()


def slow_target(world):
    """A slow trigger of the application."""
    # Shorter than the window of the rule, so that each window has a commit.
    slow(world, 2)
    # Few rows, so that one batch has them all.
    writes = lambda: world.source.psql(payments("slow", 2))
    world.fires("TributaryBatchesSlow", "info", meanwhile=writes)
    world.fires("TributaryLag", "warning", meanwhile=writes)
    world.fires("TributaryLag", "critical", meanwhile=writes)
    world.target.psql("drop trigger slow on transactions")
    world.clears("TributaryBatchesSlow", "TributaryLag", meanwhile=lambda: world.source.psql(payments("fast", 1)))


def reconnecting(world):
    """A server that ends sessions again and again, such as one that fails over."""
    end = lambda: world.target.psql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tributary'")
    world.fires("TributaryReconnecting", meanwhile=end)
    world.clears("TributaryReconnecting")
    world.streams()


def errors(world):
    """Somebody else takes the leadership again and again, as a second daemon that does not know the lock would."""

    def take():
        world.target.psql("update tributary.installation set epoch = epoch + 1")
        world.source.psql(payments("taken", 1))

    world.fires("TributaryErrorRate", meanwhile=take)
    world.clears("TributaryErrorRate")
    world.streams()


def reconciling_and_stalled(world):
    """The slot is gone, and a lock of the application holds up the reading that follows."""
    for number in (0, 1):
        world.stop_daemon(number)
    world.source.psql(payments("again", 20000))
    world.until("the slot is free", lambda: world.source.psql("select count(*) from pg_replication_slots where active") == "0")
    world.source.psql("select pg_drop_replication_slot('tributary')")
    for number in (0, 1):
        world.start_daemon(number)
    world.until("it reads", lambda: world.query('tributary_phase{phase="backfilling"} == 1'))
    with Locked(world.source, "xendit"):
        world.fires("TributaryReconciling", "info")
        world.fires("TributaryBackfillStalled")
    world.clears("TributaryBackfillStalled", "TributaryReconciling")
    world.streams()


def restarting(world):
    """Without the standby, and each process until it was scraped: one that nobody saw shows no restart."""
    other = 1 - world.leader()
    world.stop_daemon(other)
    started = f'process_start_time_seconds{{instance="127.0.0.1:{world.ports[1 - other]}"}}'
    for _ in range(4):
        # The metric is in whole seconds.
        world.until("the next one starts later", lambda: world.query(f"time() - {started} > 2"))
        before = world.query(started)[0]["value"][1]
        world.stop_daemon(1 - other)
        world.start_daemon(1 - other)
        world.until("the new process is scraped", lambda: world.query(f"{started} != {before}"))
    world.fires("TributaryRestarting")
    world.start_daemon(other)
    world.clears("TributaryRestarting")


def credential_expiring(world):
    world.target.psql("alter role postgres valid until 'tomorrow'")
    leader = world.leader()
    world.stop_daemon(leader)
    world.start_daemon(leader)
    world.fires("TributaryCredentialExpiring", "warning")
    world.fires("TributaryCredentialExpiring", "critical")
    world.target.psql("alter role postgres valid until 'infinity'")
    world.restart()
    world.clears("TributaryCredentialExpiring")
    world.streams()


def versions_differ(world):
    """The standby is of another version: the same program, but for its number."""
    version = world.tributary("--version").split()[1]
    major, rest = version.split(".", 1)
    other_version = f"{(int(major) + 1) % 10}.{rest}"
    binary = world.folder / "tributary-of-another-version"
    binary.write_bytes(pathlib.Path(world.binary).read_bytes().replace(version.encode(), other_version.encode()))
    binary.chmod(0o755)
    other = 1 - world.leader()
    world.stop_daemon(other)
    world.start_daemon(other, binary)
    world.fires("TributaryVersionsDiffer", "info")
    world.stop_daemon(other)
    world.start_daemon(other)
    world.clears("TributaryVersionsDiffer")


SCENARIOS = [
    credential_expiring,
    instance_down,
    versions_differ,
    rows_rejected,
    rows_incomplete,
    conflicts,
    verify_differences,
    blocked,
    slow_target,
    reconnecting,
    errors,
    halted_and_slot_lost,
    no_leader,
    down,
    reconciling_and_stalled,
    restarting,
]
