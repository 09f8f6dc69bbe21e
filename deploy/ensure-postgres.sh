#!/bin/sh
# Finds the PostgreSQL server binaries that tests and the demo start, or installs them where apt-get can.
# They are looked for where the tests look: TRIBUTARY_PG_BIN, pg_config, /usr/lib/postgresql.
set -eu

has_server() {
    [ -x "$1/initdb" ] && [ -x "$1/postgres" ] && [ -x "$1/pg_ctl" ]
}

find_server() {
    if [ -n "${TRIBUTARY_PG_BIN:-}" ]; then
        has_server "$TRIBUTARY_PG_BIN" && echo "$TRIBUTARY_PG_BIN"
        return
    fi
    if command -v pg_config >/dev/null 2>&1; then
        bin=$(pg_config --bindir)
        if has_server "$bin"; then
            echo "$bin"
            return
        fi
    fi
    for bin in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -rV); do
        if has_server "$bin"; then
            echo "$bin"
            return
        fi
    done
    return 1
}

explain() {
    echo "No PostgreSQL server binaries (initdb, postgres, pg_ctl) were found." >&2
    echo "  Debian, Ubuntu: apt-get install postgresql" >&2
    echo "  Fedora:         dnf install postgresql-server" >&2
    echo "  macOS:          brew install postgresql@17" >&2
    echo "  anywhere:       set TRIBUTARY_PG_BIN to the folder that holds them" >&2
    exit 1
}

if bin=$(find_server); then
    echo "PostgreSQL server binaries: $bin"
    exit 0
fi
if [ -n "${TRIBUTARY_PG_BIN:-}" ]; then
    echo "TRIBUTARY_PG_BIN is $TRIBUTARY_PG_BIN" >&2
    explain
fi
command -v apt-get >/dev/null 2>&1 || explain

as_root=
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null || explain
    as_root="sudo -n"
fi
# The package would start a server of its own, which nothing here needs.
$as_root apt-get update -qq
$as_root apt-get install -y -qq --no-install-recommends postgresql-common
$as_root sh -c 'mkdir -p /etc/postgresql-common/createcluster.d &&
    echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.d/tributary.conf'
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql
bin=$(find_server) || explain
echo "PostgreSQL server binaries: $bin"
