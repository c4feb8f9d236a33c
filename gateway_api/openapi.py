"""What FastAPI cannot know of the API's OpenAPI document: the problems of each operation, and short schema names."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

from contracts.base import Refused
from contracts.refusals import details_model, refusals_of
from gateway_api.gateway import Operation
from gateway_api.problem_kinds import kind_of

EVERY_REQUEST = (
    "not_signed_in",
    "wrong_role",
    "too_many_requests",
    "card_number_refused",
    "invalid",
    "unavailable",
    "internal_error",
)
EVERY_CHANGE = ("too_large", "bad_json", "still_running", "outcome_unknown")
"""Problems of a request that is not a GET."""

DESCRIPTION = """The API of small businesses; each has a tag.

A request that changes something may be repeated with the same `Idempotency-Key`; it is done once, and each repetition
gets the first outcome. Problems are RFC 9457, in Korean or English by `Accept-Language`; clients go by their `code`.

Amounts are whole won, written without a fraction. Texts are compared in Unicode's normal form C and hold no control
characters; card numbers are refused wherever a text is. A cursor is what `next_cursor` of the page before says.
"""
LOCATION = {"Location": {"description": "The path of what was created.", "schema": {"type": "string"}}}
RETRY = {"Retry-After": {"description": "Seconds after which to try again.", "schema": {"type": "integer"}}}


class FieldError(BaseModel):
    """What is wrong with one field; it never repeats the value."""

    field: str
    code: str
    detail: str


class ProblemDetails(BaseModel):
    """RFC 9457; further members depend on `code`."""

    model_config = ConfigDict(title="Problem", extra="allow")

    type: str = Field(description="The path of the problem's page.")
    title: str
    status: int
    detail: str
    code: str
    errors: list[FieldError] = []
    limit: int = Field(0, description="Of `too_large`: the most bytes that a body may have.")
    status_url: str = Field("", description="Of `outcome_unknown`: the path at which the outcome will be found.")
    trace_id: str = Field("", description="Of `internal_error`: the id by which operators find it.")


def problem_codes(operation: Operation) -> list[tuple[int, str]]:
    """Return every problem of an operation, as pairs of status and code; sorted."""
    codes = [*EVERY_REQUEST, *(EVERY_CHANGE if operation.method != "GET" else ())]
    if "{" in operation.path:
        codes.append("not_found")
    codes += [refusal.code for refusal in refusals_of(operation.message)]
    return sorted({(operation.statuses.get(code, kind_of(code).status), code) for code in codes})


def responses(operation: Operation) -> dict[int | str, dict[str, Any]]:
    """Return what FastAPI's `responses` says of a route: its problems by status, and the Location of a 201."""
    by_status: dict[int, list[str]] = defaultdict(list)
    for status, code in problem_codes(operation):
        by_status[status].append(code)
    found: dict[int | str, dict[str, Any]] = {status: _problems(status, codes) for status, codes in by_status.items()}
    if operation.success == 201:
        found[201] = {"headers": LOCATION}
    return found


def _problems(status: int, codes: list[str]) -> dict[str, Any]:
    examples = {
        code: {"$ref": f"#/components/examples/{code}"} if kind_of(code).status == status else _example(code, status)
        for code in codes
    }
    content = {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": examples}
    response: dict[str, Any] = {
        "description": "; ".join(f"`{code}`: {kind_of(code).en.title}" for code in codes),
        "content": {"application/problem+json": content},
    }
    if any(code == "too_many_requests" or kind_of(code).retry_after for code in codes):
        response["headers"] = RETRY
    return response


class DocumentedApi(FastAPI):
    """FastAPI with its own OpenAPI document, completed as its documentation describes under "Extending OpenAPI"."""

    def openapi(self) -> dict[str, Any]:
        """Return the document; it is made once."""
        if not self.openapi_schema:
            document = super().openapi()
            components = document["components"]
            components["schemas"] |= _problem_schemas()
            used = set(_refs(document["paths"], "#/components/examples/"))
            components["examples"] = {code: _example(code) for code in sorted(used)}
            names = _short_names(components["schemas"])
            components["schemas"] = {
                names[name]: {**schema, "title": names[name]} for name, schema in components["schemas"].items()
            }
            self.openapi_schema = _renamed(document, names)
        return self.openapi_schema


def _problem_schemas() -> dict[str, Any]:
    """Return the schema of a problem with the details of every declared refusal."""
    schema = ProblemDetails.model_json_schema(ref_template="#/components/schemas/{model}")
    defined: dict[str, Any] = schema.pop("$defs")
    for name, kinds in _details().items():
        schema["properties"].setdefault(name, kinds[0] if len(kinds) == 1 else {"anyOf": kinds})
    for part in schema["properties"].values():
        part.pop("default", None)
    return {**defined, "Problem": schema}


def _details() -> dict[str, list[dict[str, Any]]]:
    """Return the schemas of each detail by its name; two refusals may mean different things by one."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for refusal in _all_refusals(Refused):
        details = details_model(refusal)  # type: ignore[arg-type] # mypy takes the class for an instance
        for name, schema in details.model_json_schema()["properties"].items():
            if schema not in found[name]:
                found[name].append(schema)
    return dict(sorted(found.items()))


def _all_refusals(kind: type[Refused]) -> Iterator[type[Refused]]:
    for refusal in kind.__subclasses__():
        if refusal.required_details or refusal.optional_details:
            yield refusal
        yield from _all_refusals(refusal)


def _example(code: str, status: int = 0) -> dict[str, Any]:
    kind = kind_of(code)
    value = {
        "type": f"/problems/{code}",
        "title": kind.en.title,
        "status": status or kind.status,
        "detail": kind.en.detail,
        "code": code,
    }
    return {"summary": kind.en.title, "value": value}


# --- names of schemas ------------------------------------------------------------------------------------------------

_QUALIFIED = re.compile(r"(?:contracts|gateway_api)__(?:(\w+?)__)?(?:\w+__)?(\w+)")


def _short_names(schemas: dict[str, Any]) -> dict[str, str]:
    """Return the names for clients: `RentalPage` for `Page[Rental]`, `CafeOrder` where two systems have an `Order`."""
    return {name: _short_name(name, schema) for name, schema in schemas.items()}


def _short_name(name: str, schema: dict[str, Any]) -> str:
    if str(schema.get("title")).startswith("Page["):
        item = schema["properties"]["items"]["items"]["$ref"].rpartition("/")[2]
        return f"{_short_name(item, {})}Page"
    if qualified := _QUALIFIED.fullmatch(name):
        system = "".join(part.capitalize() for part in (qualified[1] or "").split("_"))
        return f"{system}{qualified[2]}"
    return name


def _refs(part: Any, prefix: str) -> Iterator[str]:
    if isinstance(part, list):
        for item in part:
            yield from _refs(item, prefix)
    elif isinstance(part, dict):
        if str(part.get("$ref", "")).startswith(prefix):
            yield str(part["$ref"]).removeprefix(prefix)
        for item in part.values():
            yield from _refs(item, prefix)


def _renamed(part: Any, names: dict[str, str]) -> Any:
    """Return a part of the document whose references have the new names of schemas."""
    if isinstance(part, list):
        return [_renamed(item, names) for item in part]
    if not isinstance(part, dict):
        return part
    renamed = {key: _renamed(value, names) for key, value in part.items()}
    head, _, name = str(part.get("$ref", "")).rpartition("/")
    if head == "#/components/schemas":
        renamed["$ref"] = f"{head}/{names[name]}"
    return renamed
