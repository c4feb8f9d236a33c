"""Made-up bodies from a schema: one with every field, one with the required fields only."""

from __future__ import annotations

from typing import Any
from uuid import NAMESPACE_OID, uuid5

from tests.contracts.catalogue import Json

KNOWN: dict[str, Any] = {
    "token": "tok_visa",
    "last4": "4242",
    "brand": "visa",
    "member_id": "kim",
    "payer": "kim",
    "title": "카사블랑카",
    "purpose": "video_rental.rentals",
    "body": '{"rental_id": "9f8b1c1e-0000-4000-8000-000000000001"}',
    "headers": "{}",
}
"""Realistic values by the name of a field."""


def full(schema: Json, name: str = "") -> Any:
    """Return a value with every field."""
    return _made(schema, name, everything=True)


def bare(schema: Json, name: str = "") -> Any:
    """Return a value with the required fields only, and null wherever it is allowed."""
    return _made(schema, name, everything=False)


def _made(schema: Json, name: str, *, everything: bool) -> Any:
    if "anyOf" in schema:
        alternatives = schema["anyOf"]
        null = [one for one in alternatives if one.get("type") == "null"]
        return _made((alternatives if everything else null or alternatives)[0], name, everything=everything)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][-1 if everything else 0]
    return MAKERS[schema["type"]](schema, name, everything)


def _object(schema: Json, name: str, everything: bool) -> Json:
    fields = schema.get("properties", {})
    wanted = fields if everything else {field: fields[field] for field in fields if field in schema.get("required", ())}
    return {field: _made(part, field, everything=everything) for field, part in wanted.items()}


def _array(schema: Json, name: str, everything: bool) -> list[Any]:
    if not everything and not schema.get("minItems"):
        return []
    return [_made(schema["items"], name, everything=everything)]


def _string(schema: Json, name: str, everything: bool) -> str:
    if schema.get("format") == "uuid":
        return str(uuid5(NAMESPACE_OID, name))
    if schema.get("format") == "date-time":
        return "2026-03-01T14:50:00Z"
    if schema.get("format") == "date":
        return "2026-03-22"
    return str(KNOWN.get(name, name or "text"))


def _integer(schema: Json, name: str, everything: bool) -> int:
    least = max(int(schema.get("minimum", 0)), int(schema.get("exclusiveMinimum", -1)) + 1)
    return min(least + 1000, int(schema.get("maximum", 3))) if everything else least


MAKERS: dict[str, Any] = {
    "object": _object,
    "array": _array,
    "string": _string,
    "integer": _integer,
    "number": lambda schema, name, everything: 12.5 if everything else 0.0,
    "boolean": lambda schema, name, everything: everything,
    "null": lambda schema, name, everything: None,
}
