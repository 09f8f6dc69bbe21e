#!/bin/sh
# Builds a release archive: a static binary with its configurations, deployment files and documents.
#
#   deploy/release.sh TARGET FOLDER      TARGET: x86_64-unknown-linux-musl or aarch64-unknown-linux-musl, on a machine of that kind
#
# Writes FOLDER/tributary-VERSION-TARGET.tar.gz and its checksum. Needs the target (`rustup target add TARGET`) and musl-gcc (Debian:
# musl-tools). A binary that is not static, or that does not start, is an error.
set -eu
[ $# = 2 ] || {
    sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
    exit 2
}
cd "$(dirname "$0")/.."
target=$1
mkdir -p "$2"
folder=$(cd "$2" && pwd)

version=$(cargo metadata --locked --no-deps --format-version 1 | sed 's/.*"name":"tributary","version":"\([^"]*\)".*/\1/')
# The allocator takes the page size of the machine that builds it, unless one is given: 64 KiB suits every aarch64 kernel.
case $target in aarch64-*) export JEMALLOC_SYS_WITH_LG_PAGE=16 ;; esac
cargo build --release --locked --target "$target" --bin tributary
binary=${CARGO_TARGET_DIR:-target}/$target/release/tributary

# The program headers of a static binary name no interpreter.
if readelf --program-headers "$binary" | grep -q INTERP; then
    echo "deploy/release.sh: $binary is not static" >&2
    exit 1
fi
[ "$("$binary" --version)" = "tributary $version" ] || {
    echo "deploy/release.sh: $binary is not version $version" >&2
    exit 1
}

name=tributary-$version-$target
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/$name"
cp "$binary" "$scratch/$name/"
strip "$scratch/$name/tributary"
cp -R LICENSE README.md config deploy docs "$scratch/$name/"
# The same files give the same archive.
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}" \
    -C "$scratch" -cf - "$name" | gzip -9 -n >"$folder/$name.tar.gz"
cd "$folder"
sha256sum "$name.tar.gz" >"$name.tar.gz.sha256"
echo "$folder/$name.tar.gz"
