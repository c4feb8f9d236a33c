"""The rendered manifests follow the rules, each rule reports its violation, and the committed files are up to date."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.deployment import contexts, rendering, rules, schemas
from ops.deployment.manifests import Manifests, quantity
from workers.registry import CONTEXTS

Spoil = Callable[[Manifests], Any]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Manifests]:
    kubernetes = rendering.copy(tmp_path_factory.mktemp("rendered"), rendering.placeholder_accounts())

    @cache
    def overlay(name: str) -> Manifests:
        return Manifests([one for part in rendering.PARTS for one in rendering.render(kubernetes, name, part)])

    return overlay


@pytest.mark.parametrize("overlay", rendering.OVERLAYS)
def test_a_rendered_system_follows_the_rules_and_is_valid(rendered, overlay: str) -> None:
    system = rendered(overlay)

    assert list(rules.violations(system)) == []
    assert [wrong for manifest in system.all for wrong in schemas.of_kubernetes(manifest)] == []


def test_a_prometheus_operator_scrapes_every_pod_and_has_every_alert(rendered, tmp_path: Path) -> None:
    monitoring = Manifests(
        rendering.build(rendering.copy(tmp_path, rendering.placeholder_accounts()) / rendering.MONITORING)
    )

    assert [wrong for manifest in monitoring.all for wrong in schemas.of_kubernetes(manifest)] == []
    monitor = spec(monitoring, "PodMonitor", "system")
    ports = {endpoint["port"] for endpoint in monitor["podMetricsEndpoints"]}
    (wanted,) = monitor["selector"]["matchExpressions"]
    for pod in (pod for pod in rendered("production").pods() if pod.is_long_running):
        assert pod.labels[wanted["key"]] in wanted["values"]
        assert len(ports & {port["name"] for port in pod.containers[0]["ports"]}) == 1
    groups = yaml.safe_load(contexts.ALERTS.read_text())["groups"]
    assert spec(monitoring, "PrometheusRule", "alerts")["groups"] == groups


def deployment(system: Manifests, name: str = "worker-payments") -> dict[str, Any]:
    found = system.one("Deployment", name)
    assert found is not None
    return found["spec"]["template"]


def container(system: Manifests, name: str = "worker-payments") -> dict[str, Any]:
    return deployment(system, name)["spec"]["containers"][0]


def spec(system: Manifests, kind: str, name: str) -> dict[str, Any]:
    found = system.one(kind, name)
    assert found is not None
    return found["spec"]


def without(system: Manifests, kind: str, name: str) -> None:
    system.all.remove(system.one(kind, name))


def trigger(system: Manifests) -> dict[str, Any]:
    return spec(system, "ScaledObject", "worker-cafe-menu")["triggers"][0]["metadata"]


SPOILT: dict[str, list[Spoil]] = {
    "every pod is confined": [
        lambda system: deployment(system)["spec"]["securityContext"].update(runAsUser=0),
        lambda system: deployment(system)["spec"]["securityContext"].pop("seccompProfile"),
        lambda system: deployment(system)["spec"].update(enableServiceLinks=True),
        lambda system: deployment(system)["spec"].update(hostNetwork=True),
        lambda system: deployment(system)["spec"]["volumes"].append({"name": "node", "hostPath": {"path": "/"}}),
        lambda system: container(system)["securityContext"].update(readOnlyRootFilesystem=False),
        lambda system: container(system)["securityContext"].update(capabilities={"add": ["SYS_ADMIN"]}),
    ],
    "each image has a version tag": [
        lambda system: container(system).update(image="yeyak"),
        lambda system: container(system).update(image="yeyak:latest"),
    ],
    "resources are requested and limited": [
        lambda system: container(system)["resources"]["limits"].pop("memory"),
        lambda system: container(system)["resources"]["limits"].update(memory="2Gi"),
        lambda system: container(system)["resources"]["requests"].update(cpu="1"),
    ],
    "every long-running pod has a startup, a readiness and a liveness probe": [
        lambda system: container(system).pop("startupProbe"),
        lambda system: container(system)["livenessProbe"].update(failureThreshold=1),
        lambda system: container(system, "gateway")["readinessProbe"]["httpGet"].update(port="metrics"),
    ],
    "a stopped pod has time to finish": [
        lambda system: deployment(system)["spec"].update(terminationGracePeriodSeconds=20),
        lambda system: container(system, "gateway").pop("lifecycle"),
    ],
    "every YEYAK_ variable is a valid setting": [
        lambda system: container(system)["env"].append({"name": "YEYAK_PREFETCHED", "value": "1"}),
        lambda system: container(system)["env"].append({"name": "YEYAK_PREFETCH", "value": "many"}),
    ],
    "every referenced object exists": [
        lambda system: without(system, "PersistentVolumeClaim", "refund-log"),
        lambda system: container(system)["envFrom"][0]["configMapRef"].update(name="runtime"),
        lambda system: deployment(system)["spec"]["volumes"][0]["secret"].update(secretName="account-payments"),
        lambda system: spec(system, "ScaledObject", "worker-cafe-menu")["scaleTargetRef"].update(name="worker"),
        lambda system: without(system, "TriggerAuthentication", "rabbitmq-management"),
        lambda system: spec(system, "TriggerAuthentication", "rabbitmq-management")["secretTargetRef"][0].update(
            key="x"
        ),
    ],
    "each context has a deployment that is scaled within its limits": [
        lambda system: without(system, "Deployment", "worker-journal"),
        lambda system: container(system).update(args=["journal"]),
        lambda system: without(system, "PodDisruptionBudget", "worker-journal"),
        lambda system: spec(system, "ScaledObject", "worker-bike-sharing-bikes").update(maxReplicaCount=5),
    ],
    "each context is scaled by its own queues, unacknowledged messages included": [
        lambda system: trigger(system).update(queueName="@cafe[.]"),
        lambda system: trigger(system).update(excludeUnacknowledged="true"),
        lambda system: trigger(system).update(protocol="amqp"),
    ],
    "each selector matches its pods only": [
        lambda system: deployment(system)["metadata"]["labels"].update({"app.kubernetes.io/name": "journal"}),
        lambda system: spec(system, "Service", "gateway").update(selector={"app.kubernetes.io/component": "worker"}),
    ],
    "all network traffic is denied unless it is allowed": [
        lambda system: without(system, "NetworkPolicy", "nobody"),
        lambda system: spec(system, "NetworkPolicy", "nobody").update(egress=[{}]),
        lambda system: spec(system, "NetworkPolicy", "workers")["podSelector"]["matchLabels"].update(app="worker"),
    ],
    "the gateway has a load balancer and is scaled with its load": [
        lambda system: spec(system, "Service", "gateway").update(type="ClusterIP"),
        lambda system: without(system, "HorizontalPodAutoscaler", "gateway"),
    ],
    "the refund log outlives its pods": [
        lambda system: spec(system, "PersistentVolumeClaim", "refund-log")["resources"]["requests"].update(
            storage="1Mi"
        ),
        lambda system: container(system)["volumeMounts"].pop(),
        lambda system: container(system, "exporter")["volumeMounts"].pop(),
        lambda system: container(system, "exporter")["envFrom"].pop(),
    ],
    "metrics are not reachable from outside": [
        lambda system: spec(system, "Service", "gateway")["ports"][0].update(targetPort="health"),
        lambda system: container(system, "gateway")["env"].append({"name": "YEYAK_HEALTH_PORT", "value": "0"}),
    ],
    "the database allows as many connections as all replicas may open": [
        lambda system: spec(system, "Cluster", "postgres")["postgresql"]["parameters"].update(max_connections="600"),
        lambda system: spec(system, "ScaledObject", "worker-journal").update(maxReplicaCount=50),
    ],
    "the disk of the broker is larger than its disk limit": [
        lambda system: spec(system, "RabbitmqCluster", "rabbitmq")["persistence"].update(storage="2Gi"),
    ],
}


@pytest.mark.parametrize("sentence", rules.RULES)
def test_a_rule_reports_its_violation(rendered, sentence: str) -> None:
    assert SPOILT[sentence]

    for number, spoil in enumerate(SPOILT[sentence]):
        system = Manifests(copy.deepcopy(rendered("production").all))
        spoil(system)
        assert list(rules.RULES[sentence](system)), f"the spoilt system {number} obeys"


@pytest.mark.parametrize(
    ("kind", "name", "change"),
    [
        ("Deployment", "gateway", {"replica": 2}),
        ("Deployment", "gateway", {"minReadySeconds": "soon"}),
        ("NetworkPolicy", "gateway", {"ingres": []}),
        ("HorizontalPodAutoscaler", "gateway", {"maxReplicas": "ten"}),
        ("ScaledObject", "worker-journal", {"maxReplicas": 3}),
        ("ScaledObject", "worker-journal", {"maxReplicaCount": "3"}),
        ("ScaledObject", "worker-journal", {"triggers": [{"type": "rabbitmq", "metadata": {"timeout": "3000"}}]}),
        ("TriggerAuthentication", "rabbitmq-management", {"secretRef": []}),
        ("RabbitmqCluster", "rabbitmq", {"replica": 3}),
        ("Cluster", "postgres", {"instances": "3"}),
    ],
)
def test_an_unknown_field_or_one_of_another_type_is_refused(rendered, kind: str, name: str, change) -> None:
    manifest = copy.deepcopy(rendered("production").one(kind, name))
    manifest["spec"].update(change)

    assert list(schemas.of_kubernetes(manifest))


def test_an_alert_with_unknown_fields_is_refused(tmp_path: Path) -> None:
    monitoring = Manifests(
        rendering.build(rendering.copy(tmp_path, rendering.placeholder_accounts()) / rendering.MONITORING)
    )
    alerts = spec(monitoring, "PrometheusRule", "alerts")["groups"][0]["rules"][0]
    monitor = spec(monitoring, "PodMonitor", "system")["podMetricsEndpoints"][0]

    alerts.update(fore="2m")
    monitor.update(interval="soon")

    assert [len(list(schemas.of_kubernetes(each))) for each in monitoring.all].count(0) == len(monitoring.all) - 2


def test_a_kind_without_a_schema_is_refused() -> None:
    assert list(schemas.of_kubernetes({"apiVersion": "apps/v1", "kind": "Deploiment", "metadata": {"name": "x"}}))


def test_the_committed_files_are_up_to_date() -> None:
    written = contexts.generated_files()

    assert {path: path.read_text() for path in written} == written
    folders = {path.name for path in (contexts.KUBERNETES / "base" / "contexts").iterdir() if path.is_dir()}
    assert folders == {contexts.name_of(context) for context in CONTEXTS}


def test_a_changed_setting_reaches_the_pods_that_read_it_and_no_others(tmp_path: Path) -> None:
    before = pods_of(rendering.copy(tmp_path / "before", rendering.placeholder_accounts()))
    changed = rendering.copy(tmp_path / "after", rendering.placeholder_accounts())
    (changed / "config" / "cafe.env").write_text("YEYAK_CAFE_PRICE_MS=700\n")
    (changed / "accounts" / "journal" / "yeyak_amqp_url").write_text("another-password")

    after = pods_of(changed)

    assert {name for name in after if after[name] != before[name]} == {
        "worker-cafe-menu",
        "worker-cafe-orders",
        "worker-cafe-report",
        "worker-journal",
    }


def pods_of(kubernetes: Path) -> dict[str, Any]:
    return {pod.name: pod.manifest for pod in Manifests(rendering.render(kubernetes, "production", "system")).pods()}


def test_the_overlays_run_the_same_pods(rendered) -> None:
    """A test of one overlay holds for the other: they differ in version, spread and settings only."""
    local, production = ({pod.name: pod for pod in rendered(name).pods()} for name in ("local", "production"))

    assert local.keys() == production.keys()
    for name, pod in local.items():
        for ours, theirs in zip(pod.containers, production[name].containers, strict=True):
            differ = {key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)}
            assert differ <= {"image", "envFrom"}


def test_quantities_are_parsed_as_kubernetes_parses_them() -> None:
    assert [quantity(text) for text in ("500m", "2", "64Mi", "1Gi", "2GB")] == [0.5, 2, 64 * 2**20, 2**30, 2e9]
