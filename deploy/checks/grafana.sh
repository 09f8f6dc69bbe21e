# Part of deploy/check.sh: the dashboards.
#
# Each complaint of the filter is a line; none means that a dashboard is in order.
cat >"$scratch/lint.jq" <<'JQ'
def panels: .panels[] | select(.type != "row");
(if (.title and .uid and .description) then empty else "no title, uid or description" end),
(if ([.panels[].id] | length == (unique | length)) then empty else "two panels have one id" end),
(if ([.templating.list[].name] == ["datasource", "job"]) then empty else "variables other than datasource and job" end),
(panels | select((.description // "") == "") | "no description: \(.title)"),
(panels | select((.fieldConfig.defaults.unit // "") == "") | "no unit: \(.title)"),
(panels | select((.targets | length) == 0) | "no query: \(.title)"),
(panels | select(.gridPos.x + .gridPos.w > 24) | "too wide: \(.title)"),
(panels | .title as $title | .targets[] | select(.expr | contains("job=\"$job\"") | not) | "does not select the job: \($title)"),
(panels | .title as $title | .targets[] | select((.refId // "") == "") | "a query without refId: \($title)"),
([paths(objects) as $at | getpath($at) | .datasource? | objects | .uid] | unique[] | select(. != "${datasource}") | "a data source is hard-coded: \(.)"),
([.. | .datasource? | strings] | unique[] | "a data source is hard-coded: \(.)")
JQ
dashboards=0
{
    echo "groups: [{name: dashboards, rules: ["
    for file in deploy/grafana/*.json; do
        dashboards=$((dashboards + 1))
        jq -e . "$file" >/dev/null || die "$file is no JSON"
        complaints=$(jq -r -f "$scratch/lint.jq" "$file")
        [ -z "$complaints" ] || die "$file: $complaints"
        for link in $(jq -r '.. | .url? | strings' "$file" | grep -o 'docs/runbooks/.*'); do
            [ -f "$link" ] || die "$file: this link leads nowhere: $link"
        done
        # As rules, so that promtool parses every expression; the variables of Grafana get a value.
        jq -r '(.panels[].targets[]?.expr, .annotations.list[].expr) | gsub("\\$job"; "tributary") | gsub("\\$__rate_interval"; "5m")
            | "  {record: \"dashboard:expression\", expr: \(tojson)},"' "$file"
    done
    echo "]}]"
} >"$scratch/dashboards.yml"
promtool check rules --lint=none "$scratch/dashboards.yml" >"$scratch/out" 2>&1 || die "$(cat "$scratch/out")"
[ "$(jq -r .uid deploy/grafana/*.json | sort -u | wc -l)" = "$dashboards" ] || die "two dashboards have one uid"
count=$(grep -c 'record:' "$scratch/dashboards.yml")
[ "$count" -gt 30 ] || die "the expressions of the dashboards were not found"
"$python" -c 'import sys, yaml; [yaml.safe_load(open(f)) for f in sys.argv[1:]]' deploy/grafana/provisioning/*.yaml ||
    die "the provisioning files are no YAML"
# Held against the types that Grafana publishes. A text stands for a constant of an enumeration; what its types do not know, such as
# the expression of a query, is let through.
{
    cat <<'TS'
import type { Dashboard } from "@grafana/schema";
type Plain<T> = T extends string ? `${T}` : T extends number | boolean | null | undefined ? T
  : T extends readonly (infer E)[] ? readonly Plain<E>[] : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;
TS
    number=0
    for file in deploy/grafana/*.json; do
        number=$((number + 1))
        echo "const raw$number = $(cat "$file") as const;"
        echo "export const dashboard$number: Plain<Dashboard> = raw$number;"
    done
} >"$tools/npm/dashboards.ts"
(cd "$tools/npm" && npx --no-install tsc --noEmit --strict --skipLibCheck --moduleResolution bundler --module esnext --target es2022 dashboards.ts) \
    >"$scratch/out" 2>&1 || die "the dashboards are not of Grafana's types: $(head -5 "$scratch/out")"
echo "ok   grafana: $dashboards dashboards, $count expressions"
