"""Alerts and dashboards against the real daemon: `deploy/check.sh --live TRIBUTARY [SCENARIO…]`.

Starts two throwaway PostgreSQL servers, an active daemon, a standby and a Prometheus that scrapes both every second, with the rules of
deploy/prometheus/rules.yml shortened from minutes to seconds. Causes faults, sees the alert of each fire, does what its runbook says, and sees it
clear. At the end every expression of the dashboards must have returned data. Everything listens on the loopback and is removed.

Needs prometheus (deploy/check.sh unpacks it) and PostgreSQL's server programs (deploy/ensure-postgres.sh).
"""

import glob
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATIENCE = 90


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def shortened(rules):
    """Minutes become seconds, so that hours become minutes; the daily ones become seconds too."""
    rules = rules.replace("> 86400", "> 10")
    rules = re.sub(r"\b1d\]", "10m]", rules)
    rules = re.sub(r"\b1h\b", "60s", rules)
    return re.sub(r"(for: |\[)(\d+)m\b", r"\1\2s", rules)


class Postgres:
    """A cluster on a port of the loopback, run by nobody where this is root."""

    def __init__(self, folder):
        self.bin = subprocess.check_output([ROOT / "deploy/ensure-postgres.sh"], text=True).strip()
        self.folder, self.port = folder, free_port()
        folder.mkdir()
        self.user = {}
        if os.getuid() == 0:
            shutil.chown(folder, "nobody")
            self.user = {"user": "nobody", "extra_groups": []}
        self.run("initdb", "-D", folder / "db", "-U", "postgres", "-A", "trust", "--no-sync")
        self.start()

    def run(self, program, *arguments):
        # A server that is started keeps its standard output open.
        with open(self.folder.parent / "postgres.out", "a") as out:
            subprocess.run([f"{self.bin}/{program}", *map(str, arguments)], check=True, stdout=out, stderr=out, cwd="/", **self.user)

    def start(self):
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder} -c wal_level=logical -c fsync=off"
        self.run("pg_ctl", "-D", self.folder / "db", "-w", "-s", "-l", self.folder / "log", "-o", options, "start")

    def stop(self):
        self.run("pg_ctl", "-D", self.folder / "db", "-w", "-s", "-m", "immediate", "stop")

    @property
    def url(self):
        return f"postgres://postgres@127.0.0.1:{self.port}/postgres"

    def psql(self, sql):
        command = [f"{self.bin}/psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", self.url, "-c", sql]
        return subprocess.check_output(command, text=True).strip()


class World:
    def __init__(self, binary, folder):
        self.binary, self.folder, self.children = binary, folder, []
        # Expressions of the dashboards that returned data.
        self.seen = set()
        self.source, self.target = Postgres(folder / "source"), Postgres(folder / "target")
        self.source.psql((ROOT / "testkit/src/sql/canonical.sql").read_text())
        self.ports, self.daemons = [free_port(), free_port()], [None, None]
        self.start_prometheus()

    def environment(self, port):
        urls = {"TRIBUTARY_SOURCE_URL": self.source.url, "TRIBUTARY_TARGET_URL": self.target.url}
        return {**os.environ, **urls, "TRIBUTARY_HTTP_LISTEN": f"127.0.0.1:{port}"}

    def spawn(self, name, command, **options):
        with open(self.folder / f"{name}.log", "a") as log:
            child = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT, **options)
        self.children.append(child)
        return child

    def start_daemon(self, number):
        port = self.ports[number]
        self.daemons[number] = self.spawn(f"daemon{number}", [self.binary, "run"], env=self.environment(port))

    def stop_daemon(self, number):
        self.daemons[number].kill()
        self.daemons[number].wait()

    def tributary(self, *arguments):
        command = [self.binary, *arguments]
        return subprocess.check_output(command, text=True, cwd=ROOT, env=self.environment(self.ports[self.leader()]))

    def leader(self):
        for number, port in enumerate(self.ports):
            if self.daemons[number].poll() is None:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=5) as answer:
                        if json.load(answer)["phase"] in ("streaming", "backfilling", "halted"):
                            return number
                except OSError:
                    continue
        return 0

    def start_prometheus(self):
        (self.folder / "rules.yml").write_text(shortened((ROOT / "deploy/prometheus/rules.yml").read_text()))
        targets = [f"127.0.0.1:{port}" for port in self.ports]
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(self.folder / "rules.yml")],
            "scrape_configs": [{"job_name": "tributary", "static_configs": [{"targets": targets}]}],
        }
        (self.folder / "prometheus.yml").write_text(json.dumps(config))
        port = free_port()
        self.prometheus = f"http://127.0.0.1:{port}"
        command = ["prometheus", f"--config.file={self.folder}/prometheus.yml", f"--storage.tsdb.path={self.folder}/tsdb"]
        self.spawn("prometheus", [*command, f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"])
        self.until("Prometheus answers", lambda: self.query("vector(1)"))

    def query(self, expression):
        address = f"{self.prometheus}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                return json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{expression}: {error.read().decode()}") from error
        except OSError:
            return []

    def firing(self):
        return {alert["metric"]["alertname"] for alert in self.query('ALERTS{alertstate="firing"}')}

    def until(self, what, condition, patience=PATIENCE):
        deadline = time.monotonic() + patience
        while not condition():
            if time.monotonic() > deadline:
                raise SystemExit(f"in vain for {patience} s: {what}; firing: {self.firing()}")
            time.sleep(0.5)

    def fires(self, alert):
        self.until(f"{alert} fires", lambda: alert in self.firing())
        self.look_at_dashboards()
        print(f"     {alert} fires", flush=True)

    def clears(self, alert):
        self.until(f"{alert} clears", lambda: alert not in self.firing())
        print(f"     {alert} clears", flush=True)

    def look_at_dashboards(self):
        self.seen |= {entry for entry in expressions() if entry not in self.seen and self.query(entry[1])}

    def streams(self):
        self.until("a daemon streams", lambda: self.query('tributary_phase{phase="streaming"} == 1'))

    def end(self):
        for child in reversed(self.children):
            if child.poll() is None:
                child.kill()
                child.wait()
        for server in (self.source, self.target):
            try:
                server.stop()
            except subprocess.CalledProcessError:
                pass


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
    world.fires("TributaryDown")
    for number in (0, 1):
        world.start_daemon(number)
    world.clears("TributaryDown")
    world.streams()


def no_leader(world):
    world.source.stop()
    world.fires("TributaryNoLeader")
    world.source.start()
    world.clears("TributaryNoLeader")
    world.streams()


def halted(world):
    world.source.psql(payments("halt", 3000))
    world.until("the rows arrive", lambda: world.target.psql("select count(*) from unified_profiles where email like 'halt%'") == "3000")
    world.source.psql("delete from xendit where customer_email like 'halt%'")
    world.fires("TributaryHalted")
    world.fires("TributarySlotInactive")
    world.tributary("accept")
    world.clears("TributaryHalted")
    world.clears("TributarySlotInactive")
    world.streams()


def rows_rejected(world):
    world.target.psql("alter table transactions add constraint refused check (amount <> 13) not valid")
    world.source.psql(payments("rejected", 3, amount="13"))
    world.fires("TributaryRowsRejected")
    world.tributary("conflicts", "list", "--kind", "rejected_row")
    world.target.psql("alter table transactions drop constraint refused")
    world.source.psql("update xendit set amount = '14' where amount = '13'")
    world.clears("TributaryRowsRejected")


def conflicts(world):
    world.source.psql(payments("burst", 150, description="'nothing that is known'"))
    world.fires("TributaryConflictBurst")
    world.fires("TributaryConflictsUnresolved")
    world.tributary("conflicts", "dismiss", "--kind", "unmapped_product", "--note", "checked", "--yes")
    world.clears("TributaryConflictBurst")
    world.clears("TributaryConflictsUnresolved")


def reconciling(world):
    """The slot is lost."""
    for number in (0, 1):
        world.stop_daemon(number)
    world.source.psql(payments("again", 20000))
    world.until("the slot is free", lambda: world.source.psql("select count(*) from pg_replication_slots where active") == "0")
    world.source.psql("select pg_drop_replication_slot('tributary')")
    for number in (0, 1):
        world.start_daemon(number)
    world.fires("TributaryReconciling")
    world.clears("TributaryReconciling")
    world.streams()


def restarting(world):
    """Without the standby, so that each process leads and counts something: a process that counts nothing shows no restart."""
    other = 1 - world.leader()
    world.stop_daemon(other)
    for round in range(4):
        world.source.psql(payments(f"round{round}", 5))
        world.until("it is counted", lambda: world.query("tributary_transactions_total > 0"))
        world.stop_daemon(1 - other)
        world.start_daemon(1 - other)
        world.until("it starts over", lambda: world.query("tributary_transactions_total == 0"))
    world.fires("TributaryRestarting")
    world.start_daemon(other)
    world.clears("TributaryRestarting")


def credential_expiring(world):
    world.target.psql("alter role postgres valid until 'tomorrow'")
    leader = world.leader()
    world.stop_daemon(leader)
    world.start_daemon(leader)
    world.fires("TributaryCredentialExpiring")
    world.target.psql("alter role postgres valid until 'infinity'")
    for number in (0, 1):
        world.stop_daemon(number)
        world.start_daemon(number)
    world.clears("TributaryCredentialExpiring")
    world.streams()


SCENARIOS = [credential_expiring, instance_down, halted, rows_rejected, conflicts, no_leader, down, reconciling, restarting]


def expressions():
    for file in sorted(glob.glob(str(ROOT / "deploy/grafana/*.json"))):
        dashboard = json.loads(pathlib.Path(file).read_text())
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                expression = target["expr"].replace("$job", "tributary").replace("$__rate_interval", "1m")
                yield f"{dashboard['title']}: {panel['title']}", expression.replace("offset 1d", "offset 30s")


def main():
    binary = str(pathlib.Path(sys.argv[1]).resolve())
    chosen = [scenario for scenario in SCENARIOS if len(sys.argv) < 3 or scenario.__name__ in sys.argv[2:]]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tributary-live-"))
    folder.chmod(0o755)
    world = None
    try:
        world = World(binary, folder)
        world.source.psql(payments("first", 2000))
        for number in (0, 1):
            world.start_daemon(number)
        world.streams()
        # A time without a zone gives a note.
        world.source.psql(payments("stream", 50).replace("T04:00:00Z", " 04:00:00"))
        world.until("notes are counted", lambda: world.query("tributary_notes_total > 0"))
        for scenario in chosen:
            print(f"     {scenario.__name__}", flush=True)
            scenario(world)
            world.look_at_dashboards()
        empty = [": ".join(entry) for entry in expressions() if entry not in world.seen]
        if empty and len(chosen) == len(SCENARIOS):
            raise SystemExit("no data for:\n" + "\n".join(empty))
        print(f"ok   live: {len(chosen)} faults, {len(world.seen)} expressions of the dashboards with data")
    except BaseException:
        for log in sorted(folder.glob("daemon*.log")):
            print(f"--- {log.name}", *log.read_text().splitlines()[-15:], sep="\n", file=sys.stderr)
        raise
    finally:
        if world:
            world.end()
        shutil.rmtree(folder, ignore_errors=True)


main()
