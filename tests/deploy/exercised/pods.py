"""Run the pods of rendered manifests as local processes."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ops.deployment.manifests import Manifests, Pod
from tests.deploy.exercised.container import Container, Probe

SecretFiles = Mapping[str, Mapping[str, str]]


class Node:
    """Runs the containers of a rendered overlay; `made` are the secrets that operators create in a cluster."""

    def __init__(self, manifests: Manifests, root: Path, names: Mapping[str, str], made: SecretFiles) -> None:
        self.manifests = manifests
        self._root = root
        self._names = names
        self._made = made
        self._pods = 0

    def container(self, pod: Pod, spec: Mapping[str, Any]) -> Container:
        """Return a container with its volumes."""
        self._pods += 1
        address = f"127.1.{self._pods // 250}.{self._pods % 250 + 1}"
        container = Container(f"{pod.name}-{spec['name']}", self._root, address, self._names)
        volumes = {volume["name"]: volume for volume in pod.spec["volumes"]}
        for mount in spec["volumeMounts"]:
            container.mount(mount["mountPath"], self._folder(container, volumes[mount["name"]]))
        return container

    def _folder(self, container: Container, volume: Mapping[str, Any]) -> Path:
        if claim := volume.get("persistentVolumeClaim"):
            return self._root / "claims" / str(claim["claimName"])
        folder = container.root / str(volume["name"])
        folder.mkdir()
        if secret := volume.get("secret"):
            for name, text in self.secret(secret["secretName"]).items():
                (folder / name).write_text(container.local_path(text))
        for source in volume.get("projected", {}).get("sources", []):
            files = self.secret(source["secret"]["name"])
            items = source["secret"].get("items") or [{"key": key, "path": key} for key in files]
            for item in items:
                (folder / item["path"]).parent.mkdir(exist_ok=True)
                (folder / item["path"]).write_text(container.local_path(files[item["key"]]))
        return folder

    def secret(self, name: str) -> Mapping[str, str]:
        if name in self._made:
            return self._made[name]
        found = self.manifests.one("Secret", name)
        assert found is not None, name
        return {key: b64decode(text).decode() for key, text in found["data"].items()}

    def environment(self, pod: Pod, spec: Mapping[str, Any]) -> dict[str, str]:
        """Return the environment of a container, with references to other variables resolved."""
        values = self.manifests.environment({"envFrom": spec.get("envFrom", [])})
        for variable in spec.get("env", []):
            source = variable.get("valueFrom", {})
            if "secretKeyRef" in source:
                text = self.secret(source["secretKeyRef"]["name"])[source["secretKeyRef"]["key"]]
            elif "fieldRef" in source:
                text = {"metadata.name": f"{pod.name}-5d4f8c7b9-x2x7q"}[source["fieldRef"]["fieldPath"]]
            else:
                text = variable["value"]
            for name, value in values.items():
                text = text.replace(f"$({name})", value)
            values[variable["name"]] = text
        return values


def probe(container: Container, spec: Mapping[str, Any], name: str) -> Probe:
    """Return a probe of a container by its name in the manifest."""
    ports = {port["name"]: port["containerPort"] for port in spec["ports"]}
    where = spec[name]["httpGet"]
    return Probe(spec[name], f"http://{container.address}:{ports[where['port']]}{where['path']}")


def command(spec: Mapping[str, Any]) -> list[str]:
    return [*spec["command"], *spec.get("args", [])]
