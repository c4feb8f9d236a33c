"""Read access to rendered manifests, for rules and tests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Manifest = dict[str, Any]
UNITS = {"m": 0.001, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "GB": 1e9}


def quantity(text: str) -> float:
    """Parse a quantity: `500m` is 0.5; `64Mi`, and `2GB` of RabbitMQ's settings, are in bytes."""
    for unit, size in UNITS.items():
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * size
    return float(text)


@dataclass(frozen=True)
class Pod:
    """The pod of a Deployment or a Job."""

    manifest: Manifest

    @property
    def name(self) -> str:
        return str(self.manifest["metadata"]["name"])

    @property
    def is_long_running(self) -> bool:
        return bool(self.manifest["kind"] == "Deployment")

    @property
    def spec(self) -> dict[str, Any]:
        spec: dict[str, Any] = self.manifest["spec"]["template"]["spec"]
        return spec

    @property
    def labels(self) -> dict[str, str]:
        labels: dict[str, str] = self.manifest["spec"]["template"]["metadata"]["labels"]
        return labels

    @property
    def selector(self) -> dict[str, str]:
        selector: dict[str, str] = self.manifest["spec"]["selector"]["matchLabels"]
        return selector

    @property
    def containers(self) -> list[dict[str, Any]]:
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    def references(self) -> set[tuple[str, str]]:
        """The objects that must exist for the pod to start, as (kind, name)."""
        found = {("ServiceAccount", self.spec["serviceAccountName"])} if "serviceAccountName" in self.spec else set()
        for container in self.containers:
            found |= {("ConfigMap", source["configMapRef"]["name"]) for source in container.get("envFrom", [])}
            for variable in container.get("env", []):
                if secret := variable.get("valueFrom", {}).get("secretKeyRef"):
                    found.add(("Secret", secret["name"]))
        for volume in self.spec.get("volumes", []):
            found |= set(_behind(volume))
        return found


def _behind(volume: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if secret := volume.get("secret"):
        yield "Secret", secret["secretName"]
    if claim := volume.get("persistentVolumeClaim"):
        yield "PersistentVolumeClaim", claim["claimName"]
    for source in volume.get("projected", {}).get("sources", []):
        if not source["secret"].get("optional"):
            yield "Secret", source["secret"]["name"]


@dataclass(frozen=True)
class Manifests:
    """All manifests of an overlay."""

    all: list[Manifest]

    def of(self, kind: str) -> list[Manifest]:
        return [manifest for manifest in self.all if manifest["kind"] == kind]

    def one(self, kind: str, name: str) -> Manifest | None:
        return next((manifest for manifest in self.of(kind) if manifest["metadata"]["name"] == name), None)

    def keys_of(self, kind: str, name: str) -> set[str]:
        """The keys of a Secret or a ConfigMap; empty when it does not exist."""
        found = self.one(kind, name)
        return set(found["data"]) if found else set()

    def pods(self) -> Iterator[Pod]:
        return (Pod(manifest) for manifest in self.all if manifest["kind"] in ("Deployment", "Job"))

    def pod(self, name: str) -> Pod | None:
        return next((pod for pod in self.pods() if pod.name == name), None)

    def environment(self, container: dict[str, Any]) -> dict[str, str]:
        """The plain environment values of a container, without those from fields and secrets."""
        values: dict[str, str] = {}
        for source in container.get("envFrom", []):
            config = self.one("ConfigMap", source["configMapRef"]["name"])
            values |= config["data"] if config else {}
        return values | {each["name"]: each["value"] for each in container.get("env", []) if "value" in each}
