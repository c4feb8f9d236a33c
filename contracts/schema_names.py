"""Names of JSON schema definitions that are unique in the whole system: two contexts may each have an `Order`."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from enum import Enum
from typing import Any

from pydantic import BaseModel

REF = "#/$defs/"


def qualified(model: type[BaseModel], schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a model with its title and its definitions named by module and class: `cafe.orders.Order`."""
    names = {kind.__name__: _name(kind) for kind in _reachable(model, set())}
    renamed: dict[str, Any] = _rename(schema, names)
    renamed["title"] = _name(model)
    if definitions := renamed.get("$defs"):
        renamed["$defs"] = {
            names.get(name, name): {**definition, "title": names.get(name, name)}
            for name, definition in definitions.items()
        }
    return renamed


def _name(kind: type) -> str:
    return f"{kind.__module__.removeprefix('contracts.')}.{kind.__name__}"


def _reachable(kind: Any, seen: set[type]) -> Iterator[type]:
    """The models and enums that the annotations of a model name."""
    if isinstance(kind, type) and issubclass(kind, BaseModel | Enum) and kind not in seen:
        seen.add(kind)
        yield kind
        if issubclass(kind, BaseModel):
            for field in kind.model_fields.values():
                yield from _reachable(field.annotation, seen)
    for argument in typing.get_args(kind):
        yield from _reachable(argument, seen)


def _rename(part: Any, names: dict[str, str]) -> Any:
    if isinstance(part, list):
        return [_rename(item, names) for item in part]
    if not isinstance(part, dict):
        return part
    renamed = {key: _rename(value, names) for key, value in part.items()}
    reference = part.get("$ref")
    if isinstance(reference, str) and reference.startswith(REF):
        name = reference.removeprefix(REF)
        renamed["$ref"] = REF + names.get(name, name)
    return renamed
