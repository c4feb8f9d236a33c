"""The OpenAPI 3.1 document, generated from the routes and the messages that they send."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from contracts.base import REFUSALS
from gateway_api.bodies import EmptyBody
from gateway_api.gateway import Route
from gateway_api.problem_kinds import GATEWAY_KINDS

REF = "#/components/schemas/{model}"
_PARAMETER = re.compile(r"\{([a-z_0-9]+)\}")
_COMMON = {"400", "401", "403", "404", "409", "413", "422", "429", "503"}

PROBLEM: dict[str, Any] = {
    "title": "Problem",
    "description": "RFC 9457, in Korean or English by Accept-Language; clients go by `code`.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "current_status": {"type": "string"},
        "allowed_actions": {"type": "array", "items": {"type": "string"}},
        "status_url": {"type": "string"},
        "trace_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {name: {"type": "string"} for name in ("field", "code", "detail")},
            },
        },
    },
}
KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Repeating with the same key is safe and returns the first outcome.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[\x21-\x7e]+$"},
}


@cache
def openapi_document(routes: tuple[Route, ...]) -> dict[str, Any]:
    """Return the document of these routes."""
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = []
    for route in routes:
        models.append((route.message.answer, "serialization"))
        if route.form is not EmptyBody:
            models.append((route.form, "validation"))
    refs, defined = models_json_schema(list(dict.fromkeys(models)), ref_template=REF)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, refs)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Yeyak", "version": "1", "description": "The API of six small businesses."},
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in routes)],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
            "schemas": {**defined.get("$defs", {}), "Problem": _problem()},
            "responses": {
                "Problem": _content("A problem", {"$ref": REF.format(model="Problem")}, "application/problem+json")
            },
        },
    }


def _problem() -> dict[str, Any]:
    code = {"type": "string", "examples": [*GATEWAY_KINDS, *REFUSALS]}
    return PROBLEM | {"properties": PROBLEM["properties"] | {"code": code}}


def _operation(route: Route, refs: Any) -> dict[str, Any]:
    success: dict[str, Any] = {"description": "Done"}
    if route.status != 204:
        success = _content("Done", refs[route.message.answer, "serialization"])
    if route.creates:
        success["headers"] = {"Location": {"schema": {"type": "string"}}}
    problems = _COMMON | ({"504"} if route.method != "GET" else set())
    if route.message.topic.endswith((".book_video", ".pay_late_fee")):
        problems = problems | {"402"}
    operation: dict[str, Any] = {
        "operationId": route.handler.__name__,
        "tags": [route.tag],
        "summary": route.handler.__name__.replace("_", " ").capitalize(),
        "description": " ".join([route.handler.__doc__ or "", f"For: {', '.join(sorted(route.roles))}."]).strip(),
        "parameters": _parameters(route),
        "responses": {
            str(route.status): success,
            **{status: {"$ref": "#/components/responses/Problem"} for status in sorted(problems)},
        },
    }
    if route.form is not EmptyBody:
        required = any(field.is_required() for field in route.form.model_fields.values())
        operation["requestBody"] = _content("", refs[route.form, "validation"]) | {"required": required}
    return operation


def _parameters(route: Route) -> list[dict[str, Any]]:
    uuid = {"type": "string", "format": "uuid"}
    path = [{"name": name, "in": "path", "required": True, "schema": uuid} for name in _PARAMETER.findall(route.path)]
    schema = route.filters.model_json_schema()
    query = [
        {"name": name, "in": "query", "required": False, "schema": _inlined(field, schema.get("$defs", {}))}
        for name, field in schema.get("properties", {}).items()
    ]
    return [*path, *query, *([KEY] if route.method == "POST" else [])]


def _inlined(schema: Any, defined: dict[str, Any]) -> Any:
    """Return a query parameter's schema without references and without null, which a query cannot express."""
    if isinstance(schema, list):
        return [_inlined(part, defined) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(defined[schema["$ref"].rpartition("/")[2]], defined)
    if "anyOf" in schema:
        types = [part for part in schema["anyOf"] if part.get("type") != "null"]
        if len(types) == 1:
            return _inlined(types[0], defined)
    return {key: _inlined(value, defined) for key, value in schema.items() if value is not None}


def _content(description: str, schema: dict[str, Any], media_type: str = "application/json") -> dict[str, Any]:
    return {"description": description, "content": {media_type: {"schema": schema}}}
