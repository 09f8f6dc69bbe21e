# Part of deploy/check.sh: recording and alerting rules, their unit tests, and the names of metrics wherever they are used.
promtool check rules deploy/prometheus/rules.yml >"$scratch/out" 2>&1 || die "$(cat "$scratch/out")"
promtool test rules deploy/prometheus/rules_test.yml >"$scratch/out" 2>&1 || die "$(cat "$scratch/out")"

alerts=$(sed -n 's/^ *- alert: //p' deploy/prometheus/rules.yml | sort -u)
[ "$(echo "$alerts" | wc -l)" -ge 15 ] || die "the alerts were not found"
for alert in $alerts; do
    grep -q "labels: '{alertname=\"$alert\"" deploy/prometheus/rules_test.yml || die "no test fires $alert"
done

# Every alert has all of its parts.
awk '
    function finish(  part) {
        if (alert == "") return
        for (part in parts) if (!(part in seen)) { print alert " has no " part; bad = 1 }
    }
    BEGIN { parts["expr"]; parts["severity"]; parts["summary"]; parts["description"]; parts["runbook_url"] }
    /^ *- (alert|record|name):/ { finish(); split("", seen); alert = ($2 == "alert:") ? $3 : "" }
    { key = $1; sub(/:$/, "", key); seen[key] }
    $1 == "severity:" && $2 !~ /^(critical|warning|info)$/ { print alert ": no such level: " $2; bad = 1 }
    $1 == "runbook_url:" && $2 !~ ("/docs/runbooks/" alert "\\.md$") { print alert ": another runbook: " $2; bad = 1 }
    END { finish(); exit bad }
' deploy/prometheus/rules.yml >"$scratch/out" || die "$(cat "$scratch/out")"

# used_metrics FILE…: names of metrics, without those that the rules record and without the endings of histograms.
used_metrics() {
    cat "$@" | sed 's/[a-z]*:tributary_[a-z_]*:[a-z0-9_]*//g; s/tributary_(password|certificate)_expiry/tributary_password_expiry/' | grep -o 'tributary_[a-z0-9_]*' |
        sed 's/_\(bucket\|sum\|count\)$//' | sort -u
}
grep -o '"tributary_[a-z0-9_]*"' src/metrics/names.rs | tr -d '"' | sort -u >"$scratch/metrics"
[ "$(wc -l <"$scratch/metrics")" -gt 15 ] || die "the metrics of src/metrics/names.rs were not found"
used_metrics deploy/prometheus/*.yml deploy/grafana/*.json docs/runbooks/*.md >"$scratch/used"
unknown=$(comm -23 "$scratch/used" "$scratch/metrics")
[ -z "$unknown" ] || die "src/metrics/names.rs has no metric of these names: $unknown"
# What the rules record is named as it is recorded.
cat deploy/prometheus/*.yml deploy/grafana/*.json | grep -o '[a-z]*:tributary_[a-z_]*:[a-z0-9_]*' | sort -u |
    while read -r name; do
        grep -q "record: $name\$" deploy/prometheus/rules.yml || die "no rule records $name"
    done
echo "ok   prometheus: $(grep -c -- '- record:' deploy/prometheus/rules.yml) recording and $(grep -c -- '- alert:' deploy/prometheus/rules.yml)" \
    "alerting rules, $(grep -c '^  - name:' deploy/prometheus/rules_test.yml) scenarios, $(wc -l <"$scratch/used") metrics used of $(wc -l <"$scratch/metrics")"
