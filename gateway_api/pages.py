"""Routes without authentication: probes, metrics, API documents, and the pages of problem codes."""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from html import escape
from pathlib import Path
from typing import Any, Protocol

from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from contracts.base import Message
from gateway_api import message_catalogue
from gateway_api.language import preferred
from gateway_api.problem_kinds import ProblemKind, is_known, kind_of
from gateway_api.problems import Problem

STATIC = Path(__file__).parent / "static"
ASYNCAPI = STATIC / "asyncapi.json"
"""Written by `make manifests` from the FastStream application of all contexts."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Inline styles are allowed because the vendored Swagger UI uses them."""


class GatewayHealth(Protocol):
    """What the probes and the metrics read."""

    def readiness(self) -> dict[str, bool]: ...

    def breakers(self) -> dict[str, str]: ...

    def update_gauges(self) -> None: ...


def add_to(app: FastAPI, state: GatewayHealth, private_port: int = 0) -> None:
    """Add every page, probe and file; with a private port, `/metrics` exists at that port only."""
    openapi_json = cache(lambda: to_json(app.openapi()))

    async def live(request: Request) -> Response:
        return _json(b'{"live":true}')

    async def ready(request: Request) -> Response:
        parts = state.readiness()
        content = {"ready": all(parts.values()), "parts": parts, "breakers": state.breakers()}
        return _json(to_json(content), 200 if content["ready"] else 503)

    async def prometheus(request: Request) -> Response:
        if private_port and request.scope["server"][1] != private_port:
            raise HTTPException(404)
        state.update_gauges()
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    async def docs(request: Request) -> Response:
        return _page("Yeyak · OpenAPI", '<div id="openapi"></div>', vendor="swagger-ui-dist")

    async def openapi_document(request: Request) -> Response:
        return _json(openapi_json())

    async def asyncapi_page(request: Request) -> Response:
        return _page("Yeyak · AsyncAPI", _catalogue())

    async def asyncapi_document(request: Request) -> Response:
        return _json(ASYNCAPI.read_bytes())

    async def problem(request: Request) -> Response:
        code = request.path_params["code"]
        if not is_known(code):
            return Problem("not_found").response(preferred(request.headers.get("accept-language", "")))
        if "text/html" in request.headers.get("accept", ""):
            return _page(code, _problem_text(kind_of(code)))
        kind = kind_of(code)
        return _json(
            to_json(
                {
                    "code": code,
                    "status": kind.status,
                    "ko": kind.ko._asdict(),
                    "en": kind.en._asdict(),
                }
            )
        )

    for path, endpoint in {
        "/live": live,
        "/ready": ready,
        "/metrics": prometheus,
        "/docs": docs,
        "/openapi.json": openapi_document,
        "/asyncapi": asyncapi_page,
        "/asyncapi.json": asyncapi_document,
        "/problems/{code}": problem,
    }.items():
        app.add_route(path, endpoint, methods=["GET"], include_in_schema=False)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")


def _json(content: bytes, status: int = 200) -> Response:
    return Response(content, status, {"cache-control": "no-store"}, "application/json")


def _page(title: str, body: str, vendor: str = "") -> Response:
    head = ""
    if vendor:
        head = (
            f'<link rel="stylesheet" href="/static/vendor/{vendor}/swagger-ui.css">'
            f'<script src="/static/vendor/{vendor}/swagger-ui-bundle.js" defer></script>'
            '<script src="/static/openapi.js" defer></script>'
        )
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f'<link rel="stylesheet" href="/static/page.css">{head}</head><body>{body}</body></html>'
    )
    return Response(text, headers={"content-security-policy": POLICY}, media_type="text/html")


def _problem_text(kind: ProblemKind) -> str:
    sections = "".join(
        f'<section lang="{language}"><h2>{escape(text.title)}</h2><p>{escape(text.detail)}</p></section>'
        for language, text in (("ko", kind.ko), ("en", kind.en))
    )
    return f"<main><h1>{kind.status} <code>{escape(kind.code)}</code></h1>{sections}</main>"


@cache
def _catalogue() -> str:
    """Return every context with its commands, queries and events as HTML."""
    contexts: dict[str, list[tuple[str, type[Message]]]] = defaultdict(list)
    for topic, message in message_catalogue.catalogue().items():
        contexts[message.owner()].append((topic, message))
    links = "".join(f'<li><a href="#{escape(name)}">{escape(name)}</a></li>' for name in contexts)
    sections = "".join(_context(name, messages) for name, messages in contexts.items())
    return (
        "<main><h1>Messages</h1><p>A command or a query is handled by one context, an event by any number of "
        f'contexts. <a href="/asyncapi.json">AsyncAPI document</a></p><nav><ul>{links}</ul></nav>{sections}</main>'
    )


def _context(name: str, messages: list[tuple[str, type[Message]]]) -> str:
    order = ["command", "query", "event"]
    items = "".join(
        _message(topic, message)
        for topic, message in sorted(messages, key=lambda pair: order.index(message_catalogue.kind(pair[1])))
    )
    return f'<section id="{escape(name)}"><h2>{escape(name)}</h2>{items}</section>'


def _message(topic: str, message: type[Message]) -> str:
    kind = message_catalogue.kind(message)
    answer = f"<h4>Answer: {escape(message.answer.__name__)}</h4>{_fields(message.answer)}" if message.answer else ""
    return (
        f'<details id="{escape(topic)}"><summary><span class="{kind}">{kind}</span> <b>{escape(message.__name__)}</b> '
        f"<code>{escape(topic)}</code> <i>{message.delivery()}, {escape(message.exchange)}</i></summary>"
        f"<p>{escape(message_catalogue.summary(message))}</p>{_fields(message)}{answer}</details>"
    )


def _fields(shape: Any) -> str:
    schema = shape.model_json_schema(mode="serialization")
    required = set(schema.get("required", []))
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(_type(field))}</td>"
        f"<td>{'' if name in required else 'optional'}</td></tr>"
        for name, field in schema.get("properties", {}).items()
    )
    return f"<table>{rows}</table>"


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " | ".join(_type(part) for part in schema["anyOf"])
    if "const" in schema or "enum" in schema:
        return " | ".join(map(repr, schema.get("enum", [schema.get("const")])))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return str(schema.get("format") or schema.get("type") or "any")
