# Part of deploy/check.sh: every query of the runbooks runs, on a throwaway PostgreSQL with the schema of the migrations.
bin=$(deploy/ensure-postgres.sh)
data=$scratch/pg
mkdir "$data"
# PostgreSQL refuses to run as root.
as_user=
if [ "$(id -u)" = 0 ]; then
    chmod 755 "$scratch"
    chown nobody "$data"
    as_user="setpriv --reuid=nobody --clear-groups --"
fi
$as_user "$bin/initdb" -D "$data/db" -U postgres -A trust --no-sync >"$scratch/out" 2>&1 || die "$(cat "$scratch/out")"
$as_user "$bin/pg_ctl" -D "$data/db" -w -s -l "$data/log" start \
    -o "-c listen_addresses= -c unix_socket_directories=$data -c wal_level=logical -c fsync=off" || die "$(cat "$data/log")"
trap '$as_user "$bin/pg_ctl" -D "$data/db" -s -m immediate stop; rm -rf "$scratch"' EXIT
run_sql() {
    "$bin/psql" -h "$data" -U postgres -X -q -v ON_ERROR_STOP=1 "$@" >/dev/null
}
run_sql -c "create schema tributary"
for migration in migrations/*.sql; do
    run_sql -f "$migration" || die "$migration does not apply"
done
count=0
for file in docs/runbooks/*.md; do
    awk -v to="$scratch/query-$(basename "$file" .md)-" '
        /^```sql$/ { n++; inside = 1; next }
        /^```/ { inside = 0 }
        inside { print >(to n ".sql") }
    ' "$file"
done
for query in "$scratch"/query-*.sql; do
    PGOPTIONS="-c default_transaction_read_only=on" run_sql -f "$query" || die "$(basename "$query") does not run"
    count=$((count + 1))
done
[ "$count" -gt 10 ] || die "the queries of the runbooks were not found"
$as_user "$bin/pg_ctl" -D "$data/db" -s -m immediate stop
trap 'rm -rf "$scratch"' EXIT
echo "ok   queries of the runbooks: $count"
