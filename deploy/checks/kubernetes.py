"""Part of deploy/check.sh: what the schemas of Kubernetes do not say.

Usage: kubernetes.py SCHEMAS MANIFESTS. Validates custom kinds against SCHEMAS/<kind>.json, and checks that the daemon's pods keep to
the restricted profile of the pod security standards and that the manifests fit each other.
"""

import json
import pathlib
import sys

import jsonschema
import yaml

BUILT_IN = {"v1", "apps/v1", "policy/v1", "networking.k8s.io/v1"}


def complaints(schemas, manifests):
    by_kind = {manifest["kind"]: manifest for manifest in manifests}
    for manifest in manifests:
        if manifest["apiVersion"] in BUILT_IN:
            continue
        schema = schemas / f"{manifest['kind'].lower()}.json"
        if not schema.exists():
            yield f"no schema for kind {manifest['kind']}"
            continue
        validator = jsonschema.Draft202012Validator(json.loads(schema.read_text()))
        for error in validator.iter_errors(manifest):
            yield f"{manifest['kind']} {error.json_path}: {error.message}"
    deployment = by_kind["Deployment"]["spec"]
    yield from restricted(deployment["template"]["spec"])
    yield from fitting(by_kind, deployment, [m["metadata"]["name"] for m in manifests])


def restricted(pod):
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted, and a read-only root."""
    security = pod["securityContext"]
    if not security.get("runAsNonRoot") or security.get("runAsUser", 0) == 0:
        yield "the pod may run as root"
    if security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "the pod has no seccomp profile"
    if pod.get("automountServiceAccountToken", True):
        yield "the pod has a token of its service account"
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(key):
            yield f"the pod has {key}"
    for volume in pod["volumes"]:
        if not volume.keys() & {"configMap", "secret", "emptyDir", "projected"}:
            yield f"volume {volume['name']} is of a kind that is not allowed"
    for container in pod["containers"]:
        own = container["securityContext"]
        if own.get("allowPrivilegeEscalation", True):
            yield "a container may escalate its privileges"
        if own.get("capabilities", {}).get("drop") != ["ALL"] or "add" in own["capabilities"]:
            yield "a container has capabilities"
        if not own.get("readOnlyRootFilesystem"):
            yield "a container may write its root file system"
        if "memory" not in container.get("resources", {}).get("limits", {}):
            yield "a container has no limit of memory"
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            if probe not in container:
                yield f"a container has no {probe}"


def fitting(by_kind, deployment, names):
    labels = deployment["template"]["metadata"]["labels"]
    selectors = {
        "Service": by_kind["Service"]["spec"]["selector"],
        "PodDisruptionBudget": by_kind["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        "NetworkPolicy": by_kind["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        "PodMonitor": by_kind["PodMonitor"]["spec"]["selector"]["matchLabels"],
    }
    for kind, selector in selectors.items():
        if not selector or not selector.items() <= labels.items():
            yield f"{kind} does not select the pods"
    if not labels.get(by_kind["PodMonitor"]["spec"]["jobLabel"], "").startswith("tributary"):
        yield "the job of the PodMonitor is not what the rules expect"
    if deployment["replicas"] != 2:
        yield "there is no standby"
    pod = deployment["template"]["spec"]
    container = pod["containers"][0]
    used = [volume["configMap"]["name"] for volume in pod["volumes"] if "configMap" in volume]
    used += [volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume]
    used += [source["configMapRef"]["name"] for source in container["envFrom"]]
    for name in used:
        if name not in names:
            yield f"{name} is mounted and not made"
    ports = {port["name"] for port in container["ports"]}
    asked = {container[probe]["httpGet"]["port"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    asked |= {endpoint["port"] for endpoint in by_kind["PodMonitor"]["spec"]["podMetricsEndpoints"]}
    asked |= {port["targetPort"] for port in by_kind["Service"]["spec"]["ports"]}
    if not asked <= ports:
        yield f"ports that no container has: {asked - ports}"
    if by_kind["PodDisruptionBudget"]["spec"].get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
        yield "pods that are not ready block the draining of a node"


def main():
    schemas, manifests = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    found = list(complaints(schemas, list(yaml.safe_load_all(manifests.read_text()))))
    for complaint in found:
        print(complaint, file=sys.stderr)
    sys.exit(bool(found))


main()
