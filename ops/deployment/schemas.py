"""Validates files against the schemas of the programs that read them; unknown fields are refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml

from ops.stack.local import REPOSITORY

SCHEMAS = REPOSITORY / "deploy" / "schemas"
BASE_URI = "system:///"


@cache
def _read(name: str) -> dict[str, Any]:
    text = (SCHEMAS / name).read_text()
    read: dict[str, Any] = json.loads(text) if name.endswith(".json") else yaml.safe_load(text)
    return read


@cache
def _registry() -> jsonschema_rs.Registry:
    return jsonschema_rs.Registry([(BASE_URI + name, _read(name)) for name in ("kubernetes.json", "operators.yaml")])


@cache
def _definition(file: str, name: str) -> Any:
    return jsonschema_rs.validator_for({"$ref": f"{BASE_URI}{file}#/$defs/{name}"}, registry=_registry())


def _validator(manifest: dict[str, Any]) -> Any:
    """The schema of a manifest's kind; raises KeyError when there is none."""
    version, kind = manifest["apiVersion"], manifest["kind"]
    full_kind = f"{version}/{kind}"
    if full_kind in _read("operators.yaml")["$defs"]:
        return _definition("operators.yaml", full_kind.replace("/", "~1"))
    group = "core" if "/" not in version else version.partition("/")[0].partition(".")[0]
    name = f"io.k8s.api.{group}.{version.rpartition('/')[2]}.{kind}"
    if name not in _read("kubernetes.json")["$defs"]:
        raise KeyError(f"no schema of {version} {kind}")
    return _definition("kubernetes.json", name)


def of_kubernetes(manifest: dict[str, Any]) -> Iterator[str]:
    """Yield what Kubernetes and its operators would refuse."""
    try:
        validator = _validator(manifest)
    except KeyError as unknown:
        yield str(unknown)
        return
    yield from _errors(validator, manifest)


def of_file(path: Path, schema: str) -> Iterator[str]:
    """Validate compose.yaml or a workflow against `compose-spec.json` or `github-workflows.json`."""
    text = path.read_text()
    parsed = yaml.load(text, _WorkflowLoader)
    yield from _errors(jsonschema_rs.validator_for(_read(schema)), parsed)


class _WorkflowLoader(yaml.SafeLoader):
    """A YAML loader that keeps the key `on` of a workflow, which YAML 1.1 reads as true."""


_WorkflowLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool" or first in "tTfF"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _errors(validator: Any, instance: Any) -> Iterator[str]:
    for error in validator.iter_errors(instance):
        path = ".".join(map(str, error.instance_path))
        yield f"{path or 'file'}: {error.message[:300]}"
