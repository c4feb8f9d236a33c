"""The request pipeline of every route: authenticate, authorise, rate-limit, parse, send the message, map the outcome.

Problems are raised in this order: 401 not_signed_in, 403 wrong_role, 429 too_many_requests, 413 too_large,
400 bad_json, 422 card_number_refused, 422 invalid; then the refusals of the context.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID, uuid4, uuid5

from pydantic_core import from_json
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from contracts.base import Caller, Message, Role
from gateway_api import bodies, metrics
from gateway_api.bodies import Filters, Form
from gateway_api.language import preferred
from gateway_api.limits import Bulkheads, FailedAttempts, Seats, TokenBuckets
from gateway_api.problem_kinds import kind_of
from gateway_api.problems import Problem
from gateway_api.settings import GatewaySettings
from gateway_api.tokens import SignedIn, Verifier
from gateway_api.trace_context import traceparent
from workers.runtime.messaging.card_numbers import holds_card_number
from workers.runtime.messaging.envelope import RpcReply, RpcRequest

CUSTOMER: frozenset[Role] = frozenset({"customer"})
STAFF: frozenset[Role] = frozenset({"staff", "operator"})
OPERATOR: frozenset[Role] = frozenset({"operator"})
ANY: frozenset[Role] = CUSTOMER | STAFF

START_SECONDS = 1.0
"""How long a message may wait in its queue."""
MARGIN_SECONDS = 0.5
"""For the transport of the message and of its reply."""
DEFAULT_LIMIT_SECONDS = 2.0
"""How long a context may work on a message, where its routes set no time_limit of their own."""

LONGEST_NAME = 128

REQUESTS = UUID("5b0c9a52-6d7e-4f0e-9a3b-0f5d6a0c7e11")
"""The UUID namespace of message ids that are derived from idempotency keys."""

TimeLimit = Callable[[GatewaySettings], float]
Handler = Callable[..., Awaitable[Response]]

_KEY = re.compile(rb"[\x21-\x7e]{1,255}")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_PARAMETER = re.compile(r"\{([a-z_0-9]+)\}")


class RequestClient(Protocol):
    """The part of `RpcClient` that the gateway uses; tests have a fake one."""

    async def call(self, request: RpcRequest, *, within: float) -> RpcReply: ...


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a path, the roles that may use it, and the message that it sends."""

    method: str
    path: str
    """The whole path template: `/v1/video-rental/rentals/{rental_id}`."""
    roles: frozenset[Role]
    message: type[Message]
    form: type[Form]
    filters: type[Filters]
    creates: str
    """The path template of what is created; its last parameter names the field of the answer that holds the id."""
    status_path: str
    """The path template at which the caller finds the outcome while it is unknown (`status_url`)."""
    tag: str
    handler: Handler
    time_limit: TimeLimit

    @property
    def status(self) -> int:
        if self.creates:
            return 201
        return 204 if self.method == "DELETE" else 200


@dataclass(slots=True)
class Routes:
    """The routes of one system, below its base path."""

    base: str
    tag: str
    time_limits: Mapping[type[Message], TimeLimit] = field(default_factory=dict)
    """How long the context may work on a message, in seconds, where that is not `DEFAULT_LIMIT_SECONDS`."""
    table: list[Route] = field(default_factory=list)

    def get(
        self, path: str, roles: frozenset[Role], message: type[Message], filters: type[Filters] | None = None
    ) -> Callable[[Handler], Handler]:
        return self._add("GET", path, roles, message, filters=filters or Filters)

    def post(
        self,
        path: str,
        roles: frozenset[Role],
        message: type[Message],
        form: type[Form] = bodies.EmptyBody,
        *,
        creates: str = "",
        status_path: str = "",
    ) -> Callable[[Handler], Handler]:
        return self._add("POST", path, roles, message, form, creates, status_path)

    def patch(
        self, path: str, roles: frozenset[Role], message: type[Message], form: type[Form]
    ) -> Callable[[Handler], Handler]:
        return self._add("PATCH", path, roles, message, form)

    def delete(self, path: str, roles: frozenset[Role], message: type[Message]) -> Callable[[Handler], Handler]:
        return self._add("DELETE", path, roles, message)

    def _add(
        self,
        method: str,
        path: str,
        roles: frozenset[Role],
        message: type[Message],
        form: type[Form] = bodies.EmptyBody,
        creates: str = "",
        status_path: str = "",
        filters: type[Filters] = Filters,
    ) -> Callable[[Handler], Handler]:
        resource = path[: path.rindex("}") + 1] if "}" in path else path

        def register(handler: Handler) -> Handler:
            route = Route(
                method,
                self.base + path,
                roles,
                message,
                form,
                filters,
                self.base + creates if creates else "",
                self.base + (status_path or creates or resource),
                self.tag,
                handler,
                self.time_limits.get(message, lambda _: DEFAULT_LIMIT_SECONDS),
            )
            self.table.append(route)
            return handler

        return register


class RequestContext:
    """An authorised request; a route's handler reads its parameters here and sends its message."""

    __slots__ = ("_gateway", "_path", "actor", "caller", "digest", "message_id", "route", "traceparent")

    def __init__(self, gateway: Gateway, route: Route, signed_in: SignedIn, path: dict[str, str]) -> None:
        self._gateway = gateway
        self._path = path
        self.route = route
        self.caller: Caller = signed_in.caller
        self.actor = signed_in.actor
        self.message_id = UUID(int=0)
        self.digest = ""
        self.traceparent: str | None = None

    def id(self, name: str) -> UUID:
        """Return a path parameter that is a UUID; raises `not_found` for any other text."""
        text = self._path[name]
        if not _UUID.fullmatch(text):
            raise Problem("not_found")
        return UUID(text)

    def text(self, name: str) -> str:
        """Return a path parameter that is a name; raises `not_found` when it is too long or cannot be stored."""
        text = self._path[name]
        if holds_card_number(text):
            raise Problem("card_number_refused")
        if len(text) > LONGEST_NAME or not bodies.is_storable(text):
            raise Problem("not_found")
        return text

    def owner_filter(self, member_id: str | None) -> str | None:
        """Return the member whose records a list may contain; None means all.

        Staff may name any member or none; a customer only lists their own. Raises `wrong_role`.
        """
        if self.caller.is_staff:
            return member_id
        if member_id not in (None, self.caller.member_id):
            raise Problem("wrong_role")
        return self.caller.member_id

    async def send(self, message: Message) -> Response:
        """Send a message as a request and return its outcome as HTTP; raises Problem as `to_response` does."""
        return self.to_response(await self.send_raw(message))

    async def send_raw(self, message: Message, *, time_limit: float | None = None) -> RpcReply:
        """Send a message as a request and return the reply, whatever its outcome.

        `time_limit` is the time in seconds that the context may work on it; None takes that of the route.
        Raises `unavailable` when the bulkhead of the context is full, `too_many_requests` when the caller's part is.
        """
        kind = type(message)
        request = RpcRequest(
            topic=kind.topic,
            exchange=kind.exchange,
            body=kind.__pydantic_serializer__.to_json(message),
            message_id=self.message_id,
            actor=self.actor,
            story_id=self._story_id(),
            digest=self.digest,
            traceparent=self.traceparent,
        )
        if time_limit is None:
            time_limit = self._gateway.time_limit(self.route, kind)
        with self._gateway.bulkheads.slot(kind.owner(), self.caller.member_id):
            reply = await self._gateway.rpc.call(request, within=START_SECONDS + time_limit + MARGIN_SECONDS)
        metrics.context_requests(kind.owner(), reply.kind).inc()
        return reply

    def _story_id(self) -> UUID:
        """Return the first id of the path; without one, the id of the message begins a story."""
        first = next(iter(self._path.values()), "")
        return UUID(first) if _UUID.fullmatch(first) else self.message_id

    def to_response(self, reply: RpcReply) -> Response:
        """Return a reply that is `done` as HTTP; raises Problem for every other outcome."""
        match reply.kind:
            case "done":
                return self._done(reply)
            case "refused":
                raise self._refused(reply)
            case "still_running":
                raise Problem("still_running")
            case "unknown" if self.route.method != "GET":
                raise Problem("outcome_unknown", status_url=self._url(self.route.status_path, str(self.message_id)))
            case _:
                after = {"retry-after": str(reply.retry_after)} if reply.retry_after else {}
                raise Problem("unavailable", headers=after)

    def _done(self, reply: RpcReply) -> Response:
        headers = {"cache-control": "no-store"}
        if reply.replayed:
            headers["idempotency-replayed"] = "true"
        if self.route.creates:
            new_id = from_json(reply.body)[_last_parameter(self.route.creates)]
            headers["location"] = self._url(self.route.creates, new_id)
        if self.route.status == 204:
            return Response(status_code=204, headers=headers)
        return Response(reply.body, self.route.status, headers, "application/json")

    def _refused(self, reply: RpcReply) -> Problem:
        details: dict[str, Any] = from_json(reply.body)
        code = str(details.pop("code"))
        if code == "invalid":  # only the names of fields: a text about a value could repeat the value
            return bodies.invalid((str(error.get("field")), "value") for error in details.get("errors", []))
        headers = {"idempotency-replayed": "true"} if reply.replayed else {}
        after = details.pop("retry_after", reply.retry_after)
        if after is not None and kind_of(code).status == 503:
            headers["retry-after"] = str(after)
        return Problem(code, headers=headers, **details)

    def _url(self, template: str, new_id: str) -> str:
        return _PARAMETER.sub(lambda name: self._path.get(name[1], new_id), template)


def _last_parameter(template: str) -> str:
    return str(_PARAMETER.findall(template)[-1])


class Gateway:
    """What all requests share: the request client, the verifier of tokens, the limits."""

    def __init__(self, rpc: RequestClient, settings: GatewaySettings, verifier: Verifier | None = None) -> None:
        self.rpc = rpc
        self.settings = settings
        self.verifier = verifier or Verifier(settings)
        self.buckets = TokenBuckets(settings.gateway_rate)
        self.bulkheads = Bulkheads(settings.gateway_in_flight, settings.gateway_in_flight_per_caller)
        self.failures = FailedAttempts(settings.gateway_failures)
        self.streams = Seats(settings.gateway_streams, settings.gateway_streams_per_person)

    def time_limit(self, route: Route, kind: type[Message]) -> float:
        """Return how long a context may work on a message, in seconds."""
        return route.time_limit(self.settings) if kind is route.message else DEFAULT_LIMIT_SECONDS

    def endpoint(self, route: Route) -> Callable[[Request], Awaitable[Response]]:
        """Return the ASGI endpoint of a route; problems become responses in the caller's language."""

        async def handle(request: Request) -> Response:
            headers: dict[bytes, bytes] = dict(request.scope["headers"])
            try:
                return await self._handle(route, request, headers)
            except Problem as problem:
                metrics.REFUSALS.labels(route.path, problem.code).inc()
                return problem.response(preferred(headers.get(b"accept-language", b"").decode("latin-1")))
            except ClientDisconnect:
                return Response(status_code=400)

        return handle

    async def _handle(self, route: Route, request: Request, headers: dict[bytes, bytes]) -> Response:
        try:
            signed_in = await self.verifier.verify(headers.get(b"authorization", b"").decode("latin-1"))
        except Problem as problem:
            if problem.status == 401:
                self.failures.count(request.scope.get("client"))
            raise
        if signed_in.caller.role not in route.roles:
            raise Problem("wrong_role")
        self.buckets.take(signed_in.caller.member_id)

        context = RequestContext(self, route, signed_in, request.scope["path_params"])
        context.traceparent = traceparent(request.scope)
        parsed: Form | Filters
        if route.method == "GET":
            context.message_id = uuid4()
            parsed = bodies.parse_query(request.scope["query_string"], route.filters)
        else:
            length = headers.get(b"content-length")
            body = await bodies.receive_body(request.receive, length, self.settings.gateway_body_limit)
            key = headers.get(b"idempotency-key")
            parsed = bodies.parse(body, route.form, key.decode("latin-1") if key else "")
            bodies.parse_query(request.scope["query_string"], route.filters)
            context.message_id = message_id(context.caller, route, key)
            context.digest = digest(request.scope["path_params"], body)
        return await (route.handler(context, parsed) if type(parsed).model_fields else route.handler(context))


def message_id(caller: Caller, route: Route, key: bytes | None) -> UUID:
    """Derive a message id from caller, route and idempotency key; a random one without a key. Raises `invalid`."""
    if key is None:
        return uuid4()
    if not _KEY.fullmatch(key):
        raise bodies.invalid([("Idempotency-Key", "visible")])
    parts = (caller.role, caller.member_id, route.method, route.path, key.decode())
    return uuid5(REQUESTS, "".join(f"{len(part)}:{part}" for part in parts))


def digest(path: Mapping[str, str], body: bytes) -> str:
    """Return the SHA-256 of path parameters and raw body, by which a reused idempotency key is detected."""
    hashed = hashlib.sha256()
    for name, value in sorted(path.items()):
        normalized = value.lower() if _UUID.fullmatch(value) else value
        hashed.update(f"{name}={len(value)}:{normalized};".encode())
    hashed.update(body)
    return hashed.hexdigest()
