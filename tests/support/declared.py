"""Whether an answer of the gateway is one that its OpenAPI document declares."""

from __future__ import annotations

from functools import cache
from typing import Any

import httpx
from pydantic import TypeAdapter

from gateway_api.app import all_routes
from gateway_api.openapi import problem_codes
from gateway_api.routing import GatewayRoute


async def check(response: httpx.Response) -> None:
    """Raise AssertionError for a status, a code or a shape that the operation does not declare."""
    await response.aread()
    request = response.request
    route = _route(request.method, request.url.path)
    if route is None:
        return
    answer = f"{request.method} {route.path} answered {response.status_code} {response.text[:300]}"
    if response.is_success:
        assert response.status_code == route.operation.success, answer
        if response.content:
            _shape(route.response_model).validate_json(response.content)
    else:
        assert (response.status_code, response.json()["code"]) in problem_codes(route.operation), answer


def _route(method: str, path: str) -> GatewayRoute | None:
    routes = (route for route in all_routes() if route.operation.method == method and route.path_regex.match(path))
    return next(routes, None)


@cache
def _shape(model: Any) -> TypeAdapter[Any]:
    return TypeAdapter(model)
