"""What every rendered system must fulfil; each rule gives what is against it, in words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ops.deployment import settings
from ops.deployment.contexts import MOST_REPLICAS, REFUND_LOG, REPLICAS, name_of
from ops.deployment.manifests import Manifests, quantity
from workers.registry import CONTEXTS, worker

Rule = Callable[[Manifests], Iterator[str]]
RULES: dict[str, Rule] = {}
FINISHING_SECONDS = 5
"""What a process needs beside its drain: connections to close, the interpreter to end."""
PROBES = {
    "readinessProbe": {"periodSeconds": 5, "timeoutSeconds": 2, "failureThreshold": 10},
    "livenessProbe": {"periodSeconds": 5, "timeoutSeconds": 2, "failureThreshold": 5},
}
LIMITS = {"cpu": "500m", "memory": "500Mi"}
OF_OPERATORS = {("Secret", "rabbitmq-default-user"), ("Secret", "postgres-app")}
"""Made by the operators with their clusters."""
SERVERS = {"app.kubernetes.io/name": "rabbitmq"}, {"cnpg.io/cluster": "postgres"}


def rule(sentence: str) -> Callable[[Rule], Rule]:
    def register(function: Rule) -> Rule:
        RULES[sentence] = function
        return function

    return register


@rule("every pod is confined")
def confined(manifests: Manifests) -> Iterator[str]:
    for pod in manifests.pods():
        of_all = pod.spec.get("securityContext", {})
        if not of_all.get("runAsNonRoot") or of_all.get("runAsUser", 0) < 10_000:
            yield f"{pod.name} may run as root, or as somebody of the node"
        if of_all.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{pod.name} may use every system call"
        if pod.spec.get("automountServiceAccountToken") is not False or pod.spec.get("enableServiceLinks") is not False:
            yield f"{pod.name} is told of the cluster what it does not need"
        if any(pod.spec.get(shared) for shared in ("hostNetwork", "hostPID", "hostIPC")):
            yield f"{pod.name} shares the node's namespaces"
        if any("hostPath" in volume for volume in pod.spec.get("volumes", [])):
            yield f"{pod.name} sees the node's files"
        for container in pod.containers:
            own = container.get("securityContext", {})
            closed = own.get("readOnlyRootFilesystem") and own.get("allowPrivilegeEscalation") is False
            if not closed or own.get("privileged") or own.get("capabilities") != {"drop": ["ALL"]}:
                yield f"{pod.name} may write where it should not, or become more than it is"


@rule("an image has a tag that tells its version")
def tagged(manifests: Manifests) -> Iterator[str]:
    for pod in manifests.pods():
        for container in pod.containers:
            tag = container["image"].rpartition("/")[2].partition(":")[2]
            if tag in ("", "latest"):
                yield f"{pod.name} runs {container['image']}"


@rule("resources are asked for and limited")
def limited(manifests: Manifests) -> Iterator[str]:
    for pod in manifests.pods():
        for container in pod.containers:
            asked, most = (container.get("resources", {}).get(part, {}) for part in ("requests", "limits"))
            if {"cpu", "memory"} - asked.keys() or {"cpu", "memory"} - most.keys():
                yield f"{pod.name} has resources without bounds"
            elif any(quantity(asked[name]) > quantity(most[name]) for name in ("cpu", "memory")):
                yield f"{pod.name} asks for more than it may have"
            elif pod.stays and most != LIMITS:
                yield f"{pod.name} may have {most}, not {LIMITS}"


@rule("who stays is probed, in the system's rhythm and behind a startup probe")
def probed(manifests: Manifests) -> Iterator[str]:
    for pod in manifests.pods():
        for container in pod.containers if pod.stays else []:
            ports = {port["name"] for port in container.get("ports", [])}
            for name in ("startupProbe", *PROBES):
                probe = container.get(name, {})
                if any(probe.get(figure) != value for figure, value in PROBES.get(name, {}).items()):
                    yield f"the {name} of {pod.name} does not keep {PROBES[name]}"
                if probe.get("httpGet", {}).get("port") not in ports:
                    yield f"the {name} of {pod.name} asks at a port that is not there"


@rule("who is told to end has the time to finish")
def graceful(manifests: Manifests) -> Iterator[str]:
    for pod in manifests.pods():
        for container in pod.containers if pod.stays else []:
            waits = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
            drain = float(manifests.environment(container).get("YEYAK_DRAIN_SECONDS", 15))
            if not waits:
                yield f"{pod.name} ends while others still turn to it"
            if waits + drain + FINISHING_SECONDS > pod.spec.get("terminationGracePeriodSeconds", 30):
                yield f"{pod.name} is killed before its {drain:.0f} s of drain are over"


@rule("what is set are settings")
def settings_exist(manifests: Manifests) -> Iterator[str]:
    for pod in manifests.pods():
        for container in pod.containers:
            yield from (f"{pod.name}: {problem}" for problem in settings.wrong(manifests.environment(container)))


@rule("what is referred to is there")
def complete(manifests: Manifests) -> Iterator[str]:
    there = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests.all} | OF_OPERATORS
    for pod in manifests.pods():
        yield from (f"{pod.name} misses the {kind} {name}" for kind, name in sorted(pod.references() - there))
    for authentication in manifests.of("TriggerAuthentication"):
        for secret in authentication["spec"]["secretTargetRef"]:
            if secret["key"] not in manifests.keys_of("Secret", secret["name"]):
                yield f"{authentication['metadata']['name']} misses {secret['key']} of {secret['name']}"
    for target in manifests.of("ScaledObject"):
        name = target["spec"]["scaleTargetRef"]["name"]
        if ("Deployment", name) not in there:
            yield f"{target['metadata']['name']} scales {name}, which is not there"
    for manifest in manifests.of("ScaledObject"):
        for trigger in manifest["spec"]["triggers"]:
            if ("TriggerAuthentication", trigger["authenticationRef"]["name"]) not in there:
                yield f"{manifest['metadata']['name']} has nobody to ask as"


@rule("each context has a deployment, and as many replicas as its queues ask for")
def contexts(manifests: Manifests) -> Iterator[str]:
    running = [pod.containers[0]["args"] for pod in manifests.pods() if pod.name.startswith("worker-")]
    if sorted(running) != sorted([context] for context in CONTEXTS):
        yield "the deployments are not those of the system"
    for context in CONTEXTS:
        scaled = manifests.one("ScaledObject", f"worker-{name_of(context)}")
        if scaled is None or manifests.one("PodDisruptionBudget", f"worker-{name_of(context)}") is None:
            yield f"{context} is not scaled, or not protected from evictions"
        elif scaled["spec"]["maxReplicaCount"] != REPLICAS.get(context, MOST_REPLICAS):
            yield f"{context} has another number of replicas"


@rule("what scales a context are its own queues, messages in work included")
def scaled_by_its_queues(manifests: Manifests) -> Iterator[str]:
    queues = {name for context in CONTEXTS for name in worker(context).queues()}
    for context in CONTEXTS:
        scaled = manifests.one("ScaledObject", f"worker-{name_of(context)}") or {"spec": {"triggers": []}}
        for figures in (trigger["metadata"] for trigger in scaled["spec"]["triggers"]):
            seen = {name for name in queues if re.search(figures["queueName"], name)}
            if seen != set(worker(context).queues()):
                yield f"{context} is scaled by other queues than its own"
            if (figures["protocol"], figures["excludeUnacknowledged"]) != ("http", "false"):
                yield f"{context} looks idle while it works"


@rule("a selector finds the pods that it means")
def selectors(manifests: Manifests) -> Iterator[str]:
    pods = list(manifests.pods())
    for pod in (pod for pod in pods if pod.stays):
        found = [other.name for other in pods if pod.selector.items() <= other.labels.items()]
        if found != [pod.name]:
            yield f"{pod.name} takes {found} for its own"
    for manifest in [*manifests.of("PodDisruptionBudget"), *manifests.of("Service")]:
        selector = manifest["spec"]["selector"]
        wanted = selector.get("matchLabels", selector)
        if [pod.name for pod in pods if wanted.items() <= pod.labels.items()] != [manifest["metadata"]["name"]]:
            yield f"the {manifest['kind']} {manifest['metadata']['name']} is not for its pods alone"


@rule("nobody speaks with anybody unless it is said")
def quiet(manifests: Manifests) -> Iterator[str]:
    policies = manifests.of("NetworkPolicy")
    if not any(
        policy["spec"]["podSelector"] == {}
        and set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"}
        and not policy["spec"].get("ingress")
        and not policy["spec"].get("egress")
        for policy in policies
    ):
        yield "whoever is not named may speak with everybody"
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
                yield f"{policy['metadata']['name']} speaks of {dict(wanted)}, whom nobody is"


@rule("the gateway is reached through a load balancer, and grows with its load")
def reachable(manifests: Manifests) -> Iterator[str]:
    service, scaler = manifests.one("Service", "gateway"), manifests.one("HorizontalPodAutoscaler", "gateway")
    if service is None or service["spec"]["type"] != "LoadBalancer":
        yield "nobody reaches the gateway"
    if scaler is None or scaler["spec"]["scaleTargetRef"]["name"] != "gateway":
        yield "the gateway does not grow"


@rule("the refund log outlives its pods")
def kept(manifests: Manifests) -> Iterator[str]:
    claim = manifests.one("PersistentVolumeClaim", "refund-log")
    if claim is None or claim["spec"]["resources"]["requests"]["storage"] != "1Gi":
        yield "the refund log has no volume of 1Gi"
    for pod in manifests.pods():
        path = manifests.environment(pod.containers[0]).get("YEYAK_PAYMENTS_REFUND_LOG", "")
        claims = {claim["claimName"]: volume["name"] for volume in pod.spec["volumes"] for claim in _claims(volume)}
        there = {
            mount["mountPath"]
            for mount in pod.containers[0]["volumeMounts"]
            if mount["name"] == claims.get("refund-log", "")
        }
        if pod.name in (f"worker-{REFUND_LOG}", "exporter") and path.rpartition("/")[0] not in there:
            yield f"{pod.name} looks for the refund log at {path}, where it is not"


def _claims(volume: dict[str, Any]) -> list[dict[str, Any]]:
    return [volume["persistentVolumeClaim"]] if "persistentVolumeClaim" in volume else []


@rule("figures are told inside alone")
def told_inside(manifests: Manifests) -> Iterator[str]:
    service, gateway = manifests.one("Service", "gateway"), manifests.pod("gateway")
    if service is None or gateway is None:
        return
    (container,) = gateway.containers
    ports = {port["containerPort"]: port["name"] for port in container["ports"]}
    inside = ports.get(int(manifests.environment(container).get("YEYAK_HEALTH_PORT", 0)))
    if inside is None or inside in {port["targetPort"] for port in service["spec"]["ports"]}:
        yield "/metrics of the gateway is open to everybody"


@rule("the database has a connection for whoever may ask for one")
def connected(manifests: Manifests) -> Iterator[str]:
    """Beside its most replicas, a context has one more process while it is rolled out."""
    most = {
        one["spec"]["scaleTargetRef"]["name"]: one["spec"]["maxReplicaCount"] for one in manifests.of("ScaledObject")
    }
    asked = 0
    for pod in manifests.pods():
        if pod.name in most:
            size = int(manifests.environment(pod.containers[0])["YEYAK_POOL_SIZE"])
            asked += (most[pod.name] + 1) * size
    for cluster in manifests.of("Cluster"):
        allowed = int(cluster["spec"]["postgresql"]["parameters"]["max_connections"])
        if asked > allowed:
            yield f"{cluster['metadata']['name']} allows {allowed} connections, {asked} may be asked for"


@rule("the broker has more disk than it keeps free")
def roomy(manifests: Manifests) -> Iterator[str]:
    for cluster in manifests.of("RabbitmqCluster"):
        settings = dict(line.split(" = ") for line in cluster["spec"]["rabbitmq"]["additionalConfig"].splitlines())
        disk, free = cluster["spec"]["persistence"]["storage"], settings["disk_free_limit.absolute"]
        if quantity(disk) < 2 * quantity(free):
            yield f"of {disk} {free} stay free: the alarm is never far"


@dataclass(frozen=True)
class Broken:
    """A rule that a system does not fulfil."""

    rule: str
    what: str


def broken(manifests: Manifests) -> Iterator[Broken]:
    """Everything that is against a rule."""
    for sentence, function in RULES.items():
        yield from (Broken(sentence, what) for what in function(manifests))
