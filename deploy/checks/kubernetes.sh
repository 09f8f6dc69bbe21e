# Part of deploy/check.sh: the manifests, rendered and validated against the schemas of Kubernetes.
deploy/prometheus/prometheusrule.sh | cmp -s - "$rule_manifest" || die "$rule_manifest is not what rules.yml says: deploy/check.sh --write"
render() {
    if command -v kustomize >/dev/null; then kustomize build "$1"; else kubectl kustomize "$1"; fi
}
for folder in base monitoring example; do
    render "deploy/kubernetes/$folder" >"$scratch/$folder.yaml" 2>"$scratch/out" || die "deploy/kubernetes/$folder: $(cat "$scratch/out")"
    kubernetes-validate --strict --no-warn "$scratch/$folder.yaml" >"$scratch/out" 2>&1 || die "$(cat "$scratch/out")"
done
"$python" deploy/checks/kubernetes.py deploy/kubernetes/schemas "$scratch/example.yaml" || die "deploy/kubernetes is not in order"
# Rendered, the rules are still the rules that were tested.
"$python" -c 'import sys, yaml
for manifest in yaml.safe_load_all(open(sys.argv[1])):
    if manifest["kind"] == "PrometheusRule":
        yaml.safe_dump(manifest["spec"], sys.stdout)' "$scratch/example.yaml" >"$scratch/rendered-rules.yml"
promtool check rules "$scratch/rendered-rules.yml" >"$scratch/out" 2>&1 || die "$(cat "$scratch/out")"
# The readiness of a standby.
if grep -rq 'standby=1\|"standby"' src/http.rs src/http; then
    grep -q 'readyz?standby=1' deploy/kubernetes/base/deployment.yaml ||
        die "the daemon knows /readyz?standby=1: use it in deploy/kubernetes/base/deployment.yaml"
fi
echo "ok   kubernetes: $(grep -c '^kind:' "$scratch/example.yaml") manifests"
