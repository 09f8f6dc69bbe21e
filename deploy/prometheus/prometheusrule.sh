#!/bin/sh
# Prints rules.yml as a PrometheusRule, for the Prometheus operator.
set -eu
cat <<'HEAD'
# Made from deploy/prometheus/rules.yml by `deploy/check.sh --write`; do not edit.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: tributary
spec:
HEAD
sed -n '/^groups:/,$p' "$(dirname "$0")/rules.yml" | sed 's/^\(.\)/  \1/'
