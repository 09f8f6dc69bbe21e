#!/bin/sh
# Makes sure that the demonstration and the tests find PostgreSQL's server programs.
#
# Looks where they look: TRIBUTARY_PG_BIN, what pg_config says, the newest under /usr/lib/postgresql.
# Where there are none, root on Debian or Ubuntu gets the package postgresql, without a cluster or a
# running server of its own; anybody else sees what to install. Prints the folder; exits 1 without one.
set -eu

is_complete() {
    [ -n "$1" ] && [ -x "$1/initdb" ] && [ -x "$1/pg_ctl" ] && [ -x "$1/postgres" ]
}

find_server() {
    if [ -n "${TRIBUTARY_PG_BIN:-}" ]; then
        is_complete "$TRIBUTARY_PG_BIN" && printf '%s\n' "$TRIBUTARY_PG_BIN" && return 0
        echo "TRIBUTARY_PG_BIN=$TRIBUTARY_PG_BIN holds no initdb, pg_ctl and postgres" >&2
        exit 1
    fi
    folder=$(pg_config --bindir 2>/dev/null || true)
    is_complete "$folder" && printf '%s\n' "$folder" && return 0
    for folder in $(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort -t/ -k5,5rn); do
        is_complete "$folder" && printf '%s\n' "$folder" && return 0
    done
    return 1
}

explain() {
    cat >&2 <<'END'
PostgreSQL's server programs (initdb, pg_ctl, postgres) are not installed here. Do one of these:
  Debian, Ubuntu   sudo apt-get install postgresql
  Fedora           sudo dnf install postgresql-server
  Alpine           sudo apk add postgresql
  macOS            brew install postgresql@17
  elsewhere        set TRIBUTARY_PG_BIN to the bin folder of a PostgreSQL server, 14 or newer
END
    exit 1
}

install_on_debian() {
    export DEBIAN_FRONTEND=noninteractive
    echo "installing PostgreSQL with apt-get" >&2
    apt-get update -q >&2
    apt-get install -q -y --no-install-recommends postgresql-common >&2
    # The package would create a cluster and start it; only its programs are wanted here.
    settings=/etc/postgresql-common/createcluster.conf
    if ! grep -Eqs '^[[:space:]]*create_main_cluster[[:space:]]*=' "$settings"; then
        mkdir -p "${settings%/*}"
        echo 'create_main_cluster = false' >>"$settings"
    fi
    apt-get install -q -y --no-install-recommends postgresql >&2
}

find_server && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then explain; fi
install_on_debian
find_server || explain
