"""The route class of the API: what is checked before FastAPI reads the parameters of a request.

`GatewayRoute` is a documented extension of FastAPI (`APIRouter(route_class=...)`). It authenticates, authorises, limits
the rate and reads the body; the endpoint then gets a request whose body is validated already.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from contracts.base import Message, Role
from gateway_api import bodies
from gateway_api.bodies import EmptyBody, Form
from gateway_api.dependencies import AdmittedRequest, Authenticated
from gateway_api.expected_version import IF_MATCH, Changes, expecting, version_of
from gateway_api.gateway import DEFAULT_LIMIT_SECONDS, Gateway, Operation, TimeLimit
from gateway_api.openapi import responses
from gateway_api.path_segments import path_parameters
from gateway_api.problems import Problem

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])

_OPERATION = "gateway_operation"


def sends(
    message: type[Message],
    *,
    creates: str = "",
    status_path: str = "",
    time_limit: TimeLimit | float | None = None,
    statuses: Mapping[str, int] | None = None,
) -> Callable[[Endpoint], Endpoint]:
    """Declare the message that an endpoint sends; everything that its OpenAPI operation says follows from it.

    `creates` is the path template of what is created: the answer is 201 with its Location. `status_path` is the path
    template of the outcome while it is unknown, if that is neither `creates` nor the resource of the route.
    `time_limit` is how long the context may work on the message, in seconds or as a function of the settings.
    `statuses` are those of refusals that have another status here than in general, by code.
    """
    seconds = DEFAULT_LIMIT_SECONDS if time_limit is None else time_limit
    limit = seconds if callable(seconds) else lambda _: seconds

    def declare(endpoint: Endpoint) -> Endpoint:
        endpoint.__dict__[_OPERATION] = partial(
            Operation,
            message=message,
            creates=creates,
            status_path=status_path,
            time_limit=limit,
            statuses=statuses or {},
        )
        return endpoint

    return declare


class GatewayRoute(APIRoute):
    """A route that sends a message; its endpoint is declared with `sends` and has a dependency for its caller."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        method: str = next(iter(options["methods"]))
        operation: Operation = endpoint.__dict__[_OPERATION](method, path)
        resource = path[: path.rindex("}") + 1] if "}" in path else path
        self.operation = replace(operation, status_path=operation.status_path or operation.creates or resource)
        options["status_code"] = operation.success
        options["response_model"] = None if operation.success == 204 else operation.message.answer
        options["response_description"] = "Done"
        options["responses"] = responses(operation)
        options["summary"] = endpoint.__name__.replace("_", " ").capitalize()
        super().__init__(path, endpoint, **options)
        self.openapi_extra = {"parameters": [IF_MATCH]} if issubclass(self.form, Changes) else {}
        if self.body_field is not None and bodies.accepts_empty(self.form):
            self.openapi_extra["requestBody"] = {"required": False}
        self.description = f"{self.description} For: {', '.join(sorted(self.roles))}.".strip()

    @property
    def roles(self) -> frozenset[Role]:
        """The roles that may use this route."""
        return next(part.call.roles for part in self.dependant.dependencies if isinstance(part.call, Authenticated))

    @property
    def form(self) -> type[Form]:
        """The shape of the body."""
        return EmptyBody if self.body_field is None else self.body_field.field_info.annotation  # type: ignore[return-value]

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler behind the checks that come before the parameters are read."""
        handle = super().get_route_handler()
        operation, roles, form, has_query = self.operation, self.roles, self.form, bool(self.dependant.query_params)

        async def admit(request: Request) -> Response:
            headers: dict[bytes, bytes] = dict(request.scope["headers"])
            gateway: Gateway = request.app.state.gateway.gateway
            signed_in = await gateway.authenticate(request, headers.get(b"authorization", b""))
            if signed_in.caller.role not in roles:
                raise Problem("wrong_role")
            gateway.buckets.take(signed_in.caller.member_id)

            admitted = AdmittedRequest(request, gateway, operation, signed_in)
            if operation.method != "GET":
                length = headers.get(b"content-length")
                admitted.raw = await bodies.receive_body(request.receive, length, gateway.settings.gateway_body_limit)
                admitted.parsed = bodies.parse(admitted.raw, form)
                if isinstance(admitted.parsed, Changes):
                    admitted.matched_version = version_of(headers.get(b"if-match"))
                    admitted.parsed = expecting(admitted.parsed, admitted.matched_version)
            scope = request.scope
            scope["query_string"] = bodies.check_query(scope["query_string"], empty=not has_query)
            scope["path_params"] = path_parameters(scope["path_params"])
            return await handle(admitted)

        return admit
