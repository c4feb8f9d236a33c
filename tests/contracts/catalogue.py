"""Every message of the system, with the parts of it that must not change."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

from pydantic import BaseModel

import contracts
from contracts.base import CATALOGUE, Message
from contracts.journal import TakeUpDeadLetter, take_up_dead_letter
from contracts.refusals import details_model

SAMPLES, SCHEMAS = Path(__file__).parent / "samples", Path(__file__).parent / "schemas"

Json = dict[str, Any]

SAID_FOR_PEOPLE = {"title", "description", "default", "examples"}
"""Parts of a schema that are no part of the contract."""


@cache
def messages() -> dict[str, type[Message]]:
    """Return the messages by topic; the dead-letter command, which every context has, is listed once."""
    for module in walk_packages(contracts.__path__, "contracts."):
        import_module(module.name)
    take_up = take_up_dead_letter("payments")
    known = {
        topic: message
        for topic, message in CATALOGUE.items()
        if message.__module__.partition(".")[0] == "contracts" and not issubclass(message, TakeUpDeadLetter)
    }
    return dict(sorted((known | {take_up.topic: take_up}).items()))


def snapshot_of(message: type[Message]) -> Json:
    """Return the delivery of a message and the schemas of its body, its answer and its refusals by code."""
    refusals = {kind.code: schema_of(details_model(kind)) for kind in message.refusals}
    return {
        "topic": message.topic,
        "exchange": message.exchange,
        "delivery": message.delivery(),
        "body": schema_of(message),
        "answer": None if message.answer is None else schema_of(message.answer),
        **({"refusals": refusals} if refusals else {}),
    }


def schema_of(shape: type[BaseModel]) -> Json:
    """Return the JSON schema of a shape with its references resolved and without prose."""
    schema = shape.model_json_schema()
    plain: Json = _plain(schema, schema.get("$defs", {}))
    return plain


def _plain(part: Any, definitions: Json) -> Any:
    if isinstance(part, list):
        return [_plain(item, definitions) for item in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return _plain(definitions[part["$ref"].rpartition("/")[2]], definitions)
    kept = {
        key: value for key, value in part.items() if key not in SAID_FOR_PEOPLE and key not in ("$defs", "properties")
    }
    plain = {key: _plain(value, definitions) for key, value in kept.items()}
    if "properties" in part:
        plain["properties"] = {name: _plain(value, definitions) for name, value in part["properties"].items()}
    return plain
