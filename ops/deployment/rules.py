"""Rules for the rendered manifests; each yields its violations, a sentence each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ops.deployment import settings
from ops.deployment.contexts import REFUND_LOG, name_of
from ops.deployment.manifests import Manifests, quantity
from workers.registry import CONTEXTS, REGISTRY, worker

Rule = Callable[[Manifests], Iterator[str]]
RULES: dict[str, Rule] = {}
FINISHING_SECONDS = 5
"""Seconds that a process needs after its drain, to close connections and exit."""
PROBES = {
    "readinessProbe": {"periodSeconds": 5, "timeoutSeconds": 2, "failureThreshold": 10},
    "livenessProbe": {"periodSeconds": 5, "timeoutSeconds": 2, "failureThreshold": 5},
}
LIMITS = {"cpu": "500m", "memory": "500Mi"}
CREATED_BY_OPERATORS = {("Secret", "rabbitmq-default-user"), ("Secret", "postgres-app")}
"""Created by the operators with their clusters."""
SERVERS = {"app.kubernetes.io/name": "rabbitmq"}, {"cnpg.io/cluster": "postgres"}


def rule(title: str) -> Callable[[Rule], Rule]:
    def register(function: Rule) -> Rule:
        RULES[title] = function
        return function

    return register


@rule("every pod is confined")
def confined(manifests: Manifests) -> Iterator[str]:
    for pod in manifests.pods():
        pod_context = pod.spec.get("securityContext", {})
        if not pod_context.get("runAsNonRoot") or pod_context.get("runAsUser", 0) < 10_000:
            yield f"{pod.name} may run as root or as a user of the node"
        if pod_context.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{pod.name} may use every system call"
        if pod.spec.get("automountServiceAccountToken") is not False or pod.spec.get("enableServiceLinks") is not False:
            yield f"{pod.name} gets information about the cluster that it does not need"
        if any(pod.spec.get(shared) for shared in ("hostNetwork", "hostPID", "hostIPC")):
            yield f"{pod.name} shares the node's namespaces"
        if any("hostPath" in volume for volume in pod.spec.get("volumes", [])):
            yield f"{pod.name} sees the node's files"
        for container in pod.containers:
            own = container.get("securityContext", {})
            closed = own.get("readOnlyRootFilesystem") and own.get("allowPrivilegeEscalation") is False
            if not closed or own.get("privileged") or own.get("capabilities") != {"drop": ["ALL"]}:
                yield f"{pod.name} may write where it should not, or become more than it is"


@rule("each image has a version tag")
def tagged(manifests: Manifests) -> Iterator[str]:
    for pod in manifests.pods():
        for container in pod.containers:
            tag = container["image"].rpartition("/")[2].partition(":")[2]
            if tag in ("", "latest"):
                yield f"{pod.name} runs {container['image']}"


@rule("resources are requested and limited")
def limited(manifests: Manifests) -> Iterator[str]:
    memory = {f"worker-{name_of(context.name)}": {"memory": f"{context.memory}Mi"} for context in REGISTRY}
    for pod in manifests.pods():
        for container in pod.containers:
            requested, limits = (container.get("resources", {}).get(part, {}) for part in ("requests", "limits"))
            if {"cpu", "memory"} - requested.keys() or {"cpu", "memory"} - limits.keys():
                yield f"{pod.name} has resources without limits"
            elif any(quantity(requested[name]) > quantity(limits[name]) for name in ("cpu", "memory")):
                yield f"{pod.name} requests more than its limits"
            elif pod.is_long_running and limits != (wanted := LIMITS | memory.get(pod.name, {})):
                yield f"{pod.name} has the limits {limits}, not {wanted}"


@rule("every long-running pod has a startup, a readiness and a liveness probe")
def probed(manifests: Manifests) -> Iterator[str]:
    for pod in manifests.pods():
        for container in pod.containers if pod.is_long_running else []:
            ports = {port["name"] for port in container.get("ports", [])}
            for name in ("startupProbe", *PROBES):
                probe = container.get(name, {})
                if any(probe.get(figure) != value for figure, value in PROBES.get(name, {}).items()):
                    yield f"the {name} of {pod.name} does not keep {PROBES[name]}"
                if probe.get("httpGet", {}).get("port") not in ports:
                    yield f"the {name} of {pod.name} uses an unknown port"


@rule("a stopped pod has time to finish")
def graceful(manifests: Manifests) -> Iterator[str]:
    for pod in manifests.pods():
        for container in pod.containers if pod.is_long_running else []:
            waits = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
            drain = float(manifests.environment(container).get("YEYAK_DRAIN_SECONDS", 15))
            if not waits:
                yield f"{pod.name} stops while it still gets requests"
            if waits + drain + FINISHING_SECONDS > pod.spec.get("terminationGracePeriodSeconds", 30):
                yield f"{pod.name} is killed before its {drain:.0f} s of drain are over"


@rule("every YEYAK_ variable is a valid setting")
def settings_exist(manifests: Manifests) -> Iterator[str]:
    for pod in manifests.pods():
        for container in pod.containers:
            yield from (f"{pod.name}: {problem}" for problem in settings.invalid(manifests.environment(container)))


@rule("every referenced object exists")
def complete(manifests: Manifests) -> Iterator[str]:
    existing = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests.all} | CREATED_BY_OPERATORS
    for pod in manifests.pods():
        yield from (f"{pod.name} misses the {kind} {name}" for kind, name in sorted(pod.references() - existing))
    for authentication in manifests.of("TriggerAuthentication"):
        for secret in authentication["spec"]["secretTargetRef"]:
            if secret["key"] not in manifests.keys_of("Secret", secret["name"]):
                yield f"{authentication['metadata']['name']} misses {secret['key']} of {secret['name']}"
    for target in manifests.of("ScaledObject"):
        name = target["spec"]["scaleTargetRef"]["name"]
        if ("Deployment", name) not in existing:
            yield f"{target['metadata']['name']} scales {name}, which does not exist"
    for manifest in manifests.of("ScaledObject"):
        for trigger in manifest["spec"]["triggers"]:
            if ("TriggerAuthentication", trigger["authenticationRef"]["name"]) not in existing:
                yield f"{manifest['metadata']['name']} has no credentials"


@rule("each context has a deployment that is scaled within its limits")
def contexts(manifests: Manifests) -> Iterator[str]:
    running = [pod.containers[0]["args"] for pod in manifests.pods() if pod.name.startswith("worker-")]
    if sorted(running) != sorted([context] for context in CONTEXTS):
        yield "the deployments are not those of the system"
    for context in REGISTRY:
        name, replicas = f"worker-{name_of(context.name)}", context.replicas
        scaled = manifests.one("ScaledObject", name)
        if scaled is None or manifests.one("PodDisruptionBudget", name) is None:
            yield f"{context.name} has no ScaledObject or no PodDisruptionBudget"
        elif scaled["spec"]["minReplicaCount"] < replicas.least or scaled["spec"]["maxReplicaCount"] != replicas.most:
            yield f"{context.name} has another number of replicas"


@rule("each context is scaled by its own queues, unacknowledged messages included")
def scaled_by_its_queues(manifests: Manifests) -> Iterator[str]:
    queues = {name for context in CONTEXTS for name in worker(context).queues()}
    for context in CONTEXTS:
        scaled = manifests.one("ScaledObject", f"worker-{name_of(context)}") or {"spec": {"triggers": []}}
        for figures in (trigger["metadata"] for trigger in scaled["spec"]["triggers"]):
            matched = {name for name in queues if re.search(figures["queueName"], name)}
            if matched != set(worker(context).queues()):
                yield f"{context} is scaled by other queues"
            if (figures["protocol"], figures["excludeUnacknowledged"]) != ("http", "false"):
                yield f"{context} does not count unacknowledged messages"


@rule("each selector matches its pods only")
def selectors(manifests: Manifests) -> Iterator[str]:
    pods = list(manifests.pods())
    for pod in (pod for pod in pods if pod.is_long_running):
        found = [other.name for other in pods if pod.selector.items() <= other.labels.items()]
        if found != [pod.name]:
            yield f"{pod.name} selects {found}"
    for manifest in [*manifests.of("PodDisruptionBudget"), *manifests.of("Service")]:
        selector = manifest["spec"]["selector"]
        wanted = selector.get("matchLabels", selector)
        if [pod.name for pod in pods if wanted.items() <= pod.labels.items()] != [manifest["metadata"]["name"]]:
            yield f"the {manifest['kind']} {manifest['metadata']['name']} does not select exactly its pods"


@rule("all network traffic is denied unless it is allowed")
def isolated(manifests: Manifests) -> Iterator[str]:
    policies = manifests.of("NetworkPolicy")
    if not any(
        policy["spec"]["podSelector"] == {}
        and set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"}
        and not policy["spec"].get("ingress")
        and not policy["spec"].get("egress")
        for policy in policies
    ):
        yield "traffic is not denied by default"
    labels = [pod.labels for pod in manifests.pods()] + [*SERVERS]
    for policy in policies:
        peers = [
            peer
            for side, end in (("ingress", "from"), ("egress", "to"))
            for way in policy["spec"].get(side, [])
            for peer in way.get(end, [])
        ]
        for selector in (policy["spec"]["podSelector"], *(peer.get("podSelector", {}) for peer in peers)):
            wanted = selector.get("matchLabels", {}).items()
            if not any(wanted <= known.items() for known in labels):
                yield f"{policy['metadata']['name']} selects {dict(wanted)}, which no pod has"


@rule("the gateway has a load balancer and is scaled with its load")
def reachable(manifests: Manifests) -> Iterator[str]:
    service, scaler = manifests.one("Service", "gateway"), manifests.one("HorizontalPodAutoscaler", "gateway")
    if service is None or service["spec"]["type"] != "LoadBalancer":
        yield "the gateway has no load balancer"
    if scaler is None or scaler["spec"]["scaleTargetRef"]["name"] != "gateway":
        yield "the gateway is not scaled"


@rule("the refund log outlives its pods")
def refund_log_is_kept(manifests: Manifests) -> Iterator[str]:
    claim = manifests.one("PersistentVolumeClaim", "refund-log")
    if claim is None or claim["spec"]["resources"]["requests"]["storage"] != "1Gi":
        yield "the refund log has no volume of 1Gi"
    for pod in manifests.pods():
        path = manifests.environment(pod.containers[0]).get("YEYAK_PAYMENTS_REFUND_LOG", "")
        claims = {claim["claimName"]: volume["name"] for volume in pod.spec["volumes"] for claim in _claims(volume)}
        existing = {
            mount["mountPath"]
            for mount in pod.containers[0]["volumeMounts"]
            if mount["name"] == claims.get("refund-log", "")
        }
        if pod.name in (f"worker-{REFUND_LOG}", "exporter") and path.rpartition("/")[0] not in existing:
            yield f"{pod.name} does not mount the refund log at {path}"


def _claims(volume: dict[str, Any]) -> list[dict[str, Any]]:
    return [volume["persistentVolumeClaim"]] if "persistentVolumeClaim" in volume else []


@rule("metrics are not reachable from outside")
def metrics_are_internal(manifests: Manifests) -> Iterator[str]:
    service, gateway = manifests.one("Service", "gateway"), manifests.pod("gateway")
    if service is None or gateway is None:
        return
    (container,) = gateway.containers
    ports = {port["containerPort"]: port["name"] for port in container["ports"]}
    inside = ports.get(int(manifests.environment(container).get("YEYAK_HEALTH_PORT", 0)))
    if inside is None or inside in {port["targetPort"] for port in service["spec"]["ports"]}:
        yield "/metrics of the gateway is reachable from outside"


@rule("the database allows as many connections as all replicas may open")
def connections_suffice(manifests: Manifests) -> Iterator[str]:
    """During a rollout, a context has one process more than its maximum of replicas."""
    limits = {
        one["spec"]["scaleTargetRef"]["name"]: one["spec"]["maxReplicaCount"] for one in manifests.of("ScaledObject")
    }
    requested = 0
    for pod in manifests.pods():
        if pod.name in limits:
            size = int(manifests.environment(pod.containers[0])["YEYAK_POOL_SIZE"])
            requested += (limits[pod.name] + 1) * size
    for cluster in manifests.of("Cluster"):
        allowed = int(cluster["spec"]["postgresql"]["parameters"]["max_connections"])
        if requested > allowed:
            yield f"{cluster['metadata']['name']} allows {allowed} connections, {requested} may be opened"


@rule("the disk of the broker is larger than its disk limit")
def disk_is_large_enough(manifests: Manifests) -> Iterator[str]:
    for cluster in manifests.of("RabbitmqCluster"):
        settings = dict(line.split(" = ") for line in cluster["spec"]["rabbitmq"]["additionalConfig"].splitlines())
        disk, free = cluster["spec"]["persistence"]["storage"], settings["disk_free_limit.absolute"]
        if quantity(disk) < 2 * quantity(free):
            yield f"of {disk} {free} must stay free: that is too little"


@dataclass(frozen=True)
class Violation:
    """A violation of a rule."""

    rule: str
    problem: str


def violations(manifests: Manifests) -> Iterator[Violation]:
    """Yield every violation of a rule."""
    for title, function in RULES.items():
        yield from (Violation(title, problem) for problem in function(manifests))
