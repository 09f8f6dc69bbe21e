"""Alerts and dashboards against the real daemon: `deploy/check.sh --live TRIBUTARY [SCENARIO…]`.

Starts two throwaway PostgreSQL servers, an active daemon, a standby, an Alertmanager with the shipped routes and a Prometheus that scrapes
both daemons every second, with the rules of deploy/prometheus/rules.yml shortened from minutes to seconds. Causes the fault of every alert
on every level, sees it fire and reach the receiver of its level, does what its runbook says, and sees it clear. At the end every expression
of the dashboards must have returned data. Everything listens on the loopback and is removed.

Needs prometheus and prometheus-alertmanager (deploy/check.sh unpacks them) and PostgreSQL's server programs (deploy/ensure-postgres.sh).
"""

import pathlib
import re
import shutil
import sys
import tempfile
import time

from live_faults import SCENARIOS, payments
from live_world import RECEIVERS, ROOT, World, expressions


def alerts():
    """Name and level of every alert of the rules."""
    rules = (ROOT / "deploy/prometheus/rules.yml").read_text()
    return set(re.findall(r"- alert: (\w+)\n.*?severity: (\w+)", rules, re.S))


def judge(world):
    """What must be true once every fault was caused."""
    missing = alerts() - world.fired
    if missing:
        raise SystemExit(f"no fault fires {sorted(missing)}")
    empty = [": ".join(entry) for entry in expressions() if entry not in world.seen]
    if empty:
        raise SystemExit("no data for:\n" + "\n".join(empty))
    heard = set(world.notified.heard)
    for path, _, severity, _ in heard:
        if {"/pager": "tributary-page", "/tickets": "tributary-tickets"}[path] != RECEIVERS[severity]:
            raise SystemExit(f"{path} was notified of level {severity}")
    # Of these nothing else takes precedence.
    for path, alert in (("/pager", "TributaryDown"), ("/pager", "TributaryHalted"), ("/tickets", "TributaryRowsRejected")):
        for status in ("firing", "resolved"):
            if not any(entry[:2] == (path, alert) and entry[3] == status for entry in heard):
                raise SystemExit(f"{path} was not notified that {alert} is {status}")


def main():
    binary = str(pathlib.Path(sys.argv[1]).resolve())
    chosen = [scenario for scenario in SCENARIOS if len(sys.argv) < 3 or scenario.__name__ in sys.argv[2:]]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tributary-live-", dir="/tmp"))
    folder.chmod(0o755)
    begun = time.monotonic()
    world = World(binary, folder)
    try:
        world.begin()
        world.source.psql(payments("first", 2000))
        for number in (0, 1):
            world.start_daemon(number)
        world.streams()
        # A time without a zone gives a note.
        world.source.psql(payments("stream", 50).replace("T04:00:00Z", " 04:00:00"))
        world.until("notes are counted", lambda: world.query("tributary_notes_total > 0"))
        for scenario in chosen:
            print(f"     {scenario.__name__} (after {time.monotonic() - begun:.0f} s)", flush=True)
            scenario(world)
            world.look_at_dashboards()
        if len(chosen) == len(SCENARIOS):
            judge(world)
        print(
            f"ok   live: {len(chosen)} faults, {len(world.fired)} alerts by name and level, {len(set(world.notified.heard))} kinds of "
            f"notifications, {len(world.seen)} expressions of the dashboards with data, {time.monotonic() - begun:.0f} s"
        )
    except BaseException:
        for log in sorted(folder.glob("*.log")):
            print(f"--- {log.name}", *log.read_text().splitlines()[-15:], sep="\n", file=sys.stderr)
        raise
    finally:
        world.end()
        shutil.rmtree(folder, ignore_errors=True)


main()
