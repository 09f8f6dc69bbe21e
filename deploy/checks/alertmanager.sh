# Part of deploy/check.sh: the example route.
route=deploy/alertmanager/alertmanager.yml
amtool check-config "$route" >"$scratch/out" 2>&1 || die "$(cat "$scratch/out")"
for expected in critical:tributary-page warning:tributary-tickets info:tributary-nobody; do
    got=$(amtool config routes test --config.file="$route" alertname=TributaryLag "severity=${expected%%:*}" 2>/dev/null)
    [ "$got" = "${expected#*:}" ] || die "$route sends level ${expected%%:*} to $got"
done
# An alert that is renamed must not be forgotten here.
grep -o 'Tributary[A-Z][A-Za-z]*' "$route" | sort -u | while read -r alert; do
    echo "$alerts" | grep -qx "$alert" || die "$route: there is no alert $alert"
done
echo "ok   alertmanager"
