"""What the live test stands on: two PostgreSQL servers, an active daemon and a standby, Prometheus, Alertmanager, and who it notifies."""

import glob
import http.server
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATIENCE = 120
# Limits that a throwaway installation does not reach in seconds, and those in their place.
LIMITS = {
    "increase15m > 10": "increase15m > 2",
    "errors:increase30m > 5": "errors:increase30m > 2",
    "> 86400": "> 10",
    "seconds:leader > 60": "seconds:leader > 0.5",
    "seconds:leader > 900": "seconds:leader > 1.5",
    "bytes:leader > 67108864": "bytes:leader > 50000",
    "bytes:leader > 10737418240": "bytes:leader > 100000",
    "bytes:leader > 53687091200": "bytes:leader > 200000",
    "p99_5m > 30": "p99_5m > 1",
}
# By level, as deploy/alertmanager/alertmanager.yml routes.
RECEIVERS = {"critical": "tributary-page", "warning": "tributary-tickets", "info": "tributary-nobody"}


# Where Debian's Alertmanager looks for its templates.
TEMPLATES = "/usr/share/prometheus/alertmanager"


def alertmanager(folder):
    """The program. One that was unpacked and not installed is copied with another path of the same length for its templates."""
    program = shutil.which("prometheus-alertmanager")
    if os.path.isdir(TEMPLATES):
        return program
    unpacked = pathlib.Path(program).parents[1] / "share/prometheus/alertmanager"
    link = f"{folder}/".ljust(len(TEMPLATES), "t")
    if len(link) != len(TEMPLATES):
        raise SystemExit(f"{folder} is too long a name")
    os.symlink(unpacked, link)
    copy = folder / "program"
    copy.write_bytes(pathlib.Path(program).read_bytes().replace(TEMPLATES.encode(), link.encode()))
    copy.chmod(0o755)
    return str(copy)


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def shortened(rules):
    """Minutes become seconds, so that hours become minutes; the daily ones become seconds too; limits as LIMITS has them."""
    for limit, lower in LIMITS.items():
        if limit not in rules:
            raise SystemExit(f"rules.yml has no limit {limit}")
        rules = rules.replace(limit, lower)
    rules = re.sub(r"\b1d\]", "10m]", rules)
    # Three restarts must find room in it, also on a machine with other work.
    rules = rules.replace("[30m]", "[75s]")
    rules = re.sub(r"\b1h\b", "60s", rules)
    return re.sub(r"(for: |\[)(\d+)m\b", r"\1\2s", rules)


def expressions():
    for file in sorted(glob.glob(str(ROOT / "deploy/grafana/*.json"))):
        dashboard = json.loads(pathlib.Path(file).read_text())
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                expression = target["expr"].replace("$job", "tributary").replace("$__rate_interval", "1m")
                yield f"{dashboard['title']}: {panel['title']}", expression.replace("offset 1d", "offset 30s")


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
        settings = ["listen_addresses=127.0.0.1", f"unix_socket_directories={self.folder}", "wal_level=logical", "fsync=off", "min_wal_size=32MB"]
        options = " ".join([f"-p {self.port}", *(f"-c {setting}" for setting in settings)])
        self.run("pg_ctl", "-D", self.folder / "db", "-w", "-s", "-l", self.folder / "log", "-o", options, "start")

    def stop(self):
        self.run("pg_ctl", "-D", self.folder / "db", "-w", "-s", "-m", "immediate", "stop")

    def url(self, role="postgres"):
        return f"postgres://{role}@127.0.0.1:{self.port}/postgres"

    def command(self, *arguments):
        return [f"{self.bin}/psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", self.url(), *arguments]

    def psql(self, *statements):
        """The statements one after the other, each in a transaction of its own; gives the last one's answer."""
        for sql in statements:
            answer = subprocess.check_output(self.command("-c", sql), text=True).strip()
        return answer


class Locked:
    """The application holds a lock on a table until the end of the block."""

    def __init__(self, server, table):
        self.server, self.table = server, table

    def __enter__(self):
        self.session = subprocess.Popen(self.server.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.session.stdin.write(f"begin; lock table {self.table} in access exclusive mode; select 'locked';\n")
        self.session.stdin.flush()
        self.session.stdout.readline()

    def __exit__(self, *_):
        self.session.stdin.close()
        self.session.wait()


class Notified:
    """The receivers of the notifications: a web server that keeps them."""

    def __init__(self):
        heard = self.heard = []

        class Receiver(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                for alert in message["alerts"]:
                    heard.append((self.path, alert["labels"]["alertname"], alert["labels"]["severity"], alert["status"]))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class World:
    def __init__(self, binary, folder):
        self.binary, self.folder, self.children = binary, folder, []
        # Expressions of the dashboards that returned data; alerts that fired.
        self.seen, self.fired = set(), set()
        self.servers, self.notified, self.prometheus = [], Notified(), None
        self.ports, self.daemons = [free_port(), free_port()], [None, None]

    def begin(self):
        folder = self.folder
        for name in ("source", "target"):
            self.servers.append(Postgres(folder / name))
        self.source, self.target = self.servers
        self.source.psql((ROOT / "testkit/src/sql/canonical.sql").read_text())
        # A role as deploy/sql/roles.sql makes it, which policies can hide rows from.
        self.source.psql(
            "create role reader login replication; grant select on xendit, systemeio to reader;"
            "create publication tributary for table xendit, systemeio"
        )
        config = (ROOT / "config/tributary.toml").read_text()
        config = re.sub(r"(?m)^chunk_rows = \d+", "chunk_rows = 100", config)
        config = re.sub(r"(?m)^batch_rows = \d+", "batch_rows = 100", config)
        config = re.sub(r'(?m)^# every = "24h"', 'every = "10s"', config)
        (folder / "tributary.toml").write_text(config)
        self.start_alertmanager()
        self.start_prometheus()

    def environment(self, port):
        names = {"CONFIG": self.folder / "tributary.toml", "SOURCE_URL": self.source.url("reader"), "TARGET_URL": self.target.url()}
        variables = {f"TRIBUTARY_{name}": str(value) for name, value in names.items()}
        return {**os.environ, **variables, "TRIBUTARY_HTTP_LISTEN": f"127.0.0.1:{port}"}

    def spawn(self, name, command, **options):
        with open(self.folder / f"{name}.log", "a") as log:
            child = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT, **options)
        self.children.append(child)
        return child

    def start_daemon(self, number, binary=None):
        port = self.ports[number]
        self.daemons[number] = self.spawn(f"daemon{number}", [binary or self.binary, "run"], env=self.environment(port))

    def stop_daemon(self, number):
        self.daemons[number].kill()
        self.daemons[number].wait()

    def restart(self):
        for number in (0, 1):
            self.stop_daemon(number)
        for number in (0, 1):
            self.start_daemon(number)

    def tributary(self, *arguments):
        command = [self.binary, *arguments]
        return subprocess.check_output(command, text=True, cwd=ROOT, env=self.environment(self.ports[self.leader()]))

    def accept(self):
        """Accepts what the daemon is halted in front of, if it is."""
        if self.query("tributary_halted == 1"):
            command = [self.binary, "accept"]
            subprocess.run(command, cwd=ROOT, env=self.environment(self.ports[self.leader()]), capture_output=True, check=False)

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

    def start_alertmanager(self):
        """With the shipped routes and inhibitions, faster and to receivers of our own."""
        config = (ROOT / "deploy/alertmanager/alertmanager.yml").read_text()
        for name in ("pager", "tickets"):
            config = config.replace(f"http://{name}.example.com/tributary", f"{self.notified.address}/{name}")
        config = config.replace("group_wait: 30s", "group_wait: 1s").replace("group_interval: 5m", "group_interval: 1s")
        (self.folder / "alertmanager.yml").write_text(config)
        port = free_port()
        self.alertmanager = f"http://127.0.0.1:{port}"
        command = [alertmanager(self.folder), f"--config.file={self.folder}/alertmanager.yml", f"--storage.path={self.folder}/alertmanager"]
        command += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=", "--log.level=warn"]
        self.spawn("alertmanager", command)
        self.until("Alertmanager answers", lambda: self.get(f"{self.alertmanager}/api/v2/status"))

    def start_prometheus(self):
        (self.folder / "rules.yml").write_text(shortened((ROOT / "deploy/prometheus/rules.yml").read_text()))
        targets = [f"127.0.0.1:{port}" for port in self.ports]
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(self.folder / "rules.yml")],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [self.alertmanager.removeprefix("http://")]}]}]},
            "scrape_configs": [{"job_name": "tributary", "static_configs": [{"targets": targets}]}],
        }
        (self.folder / "prometheus.yml").write_text(json.dumps(config))
        port = free_port()
        self.prometheus = f"http://127.0.0.1:{port}"
        command = ["prometheus", f"--config.file={self.folder}/prometheus.yml", f"--storage.tsdb.path={self.folder}/tsdb"]
        self.spawn("prometheus", [*command, f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"])
        self.until("Prometheus answers", lambda: self.query("vector(1)"))

    @staticmethod
    def get(address):
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == 503:
                # It is starting.
                return None
            raise SystemExit(f"{address}: {error.read().decode()}") from error
        except OSError:
            return None

    def query(self, expression):
        if self.prometheus is None:
            return []
        answer = self.get(f"{self.prometheus}/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
        return answer["data"]["result"] if answer else []

    def firing(self):
        return {(alert["metric"]["alertname"], alert["metric"]["severity"]) for alert in self.query('ALERTS{alertstate="firing"}')}

    def until(self, what, condition, patience=PATIENCE, meanwhile=lambda: None):
        deadline = time.monotonic() + patience
        while not condition():
            if time.monotonic() > deadline:
                raise SystemExit(f"in vain for {patience} s: {what}; firing: {self.firing()}")
            meanwhile()
            time.sleep(0.5)

    def fires(self, alert, severity="warning", meanwhile=lambda: None):
        """It fires, and Alertmanager has it for the receiver of its level."""
        self.until(f"{alert} fires", lambda: (alert, severity) in self.firing(), meanwhile=meanwhile)
        self.until(f"{alert} is routed", lambda: self.receivers(alert, severity) == {RECEIVERS[severity]}, meanwhile=meanwhile)
        self.fired.add((alert, severity))
        self.look_at_dashboards()
        print(f"     {alert} ({severity}) fires", flush=True)

    def receivers(self, alert, severity):
        alerts = self.get(f"{self.alertmanager}/api/v2/alerts") or []
        found = (entry for entry in alerts if (entry["labels"]["alertname"], entry["labels"]["severity"]) == (alert, severity))
        return {receiver["name"] for entry in found for receiver in entry["receivers"]}

    def clears(self, *alerts, meanwhile=lambda: None):
        for alert in alerts:
            self.until(f"{alert} clears", lambda: alert not in dict(self.firing()), meanwhile=meanwhile)
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
        for server in self.servers:
            try:
                server.stop()
            except subprocess.CalledProcessError:
                pass
