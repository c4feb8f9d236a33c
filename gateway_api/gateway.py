"""What every route goes through: who is it, may they, not too much, what do they say; then ask, and answer in HTTP.

401 not_signed_in, 403 wrong_role, 429 too_many_requests, 413 too_large, 400 bad_json, 422 card_number_refused,
422 invalid, and then what the context says.
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
from contracts.cards import holds_card_number
from gateway_api import bodies, metrics
from gateway_api.bodies import Filters, Form
from gateway_api.codes import CODES
from gateway_api.edge_middleware import traceparent
from gateway_api.language import preferred
from gateway_api.limits import Buckets, Bulkheads
from gateway_api.problems import Problem
from gateway_api.tokens import SignedIn, Verifier
from workers.runtime.messaging.rpc import RpcReply, RpcRequest
from workers.runtime.settings import Settings

CUSTOMER: frozenset[Role] = frozenset({"customer"})
STAFF: frozenset[Role] = frozenset({"staff", "operator"})
OPERATOR: frozenset[Role] = frozenset({"operator"})
ANY: frozenset[Role] = CUSTOMER | STAFF

START_SECONDS = 1.0
"""How long a message may wait to be started."""
MARGIN_SECONDS = 0.5
"""For the way there and back."""
BUDGET_SECONDS = 2.0
"""What a context may spend on an answer, where its routes do not say otherwise."""

LONGEST_NAME = 128

REQUESTS = UUID("5b0c9a52-6d7e-4f0e-9a3b-0f5d6a0c7e11")
"""The namespace of message ids that idempotency keys stand for."""

Budget = Callable[[Settings], float]
Handler = Callable[..., Awaitable[Response]]

_KEY = re.compile(rb"[\x21-\x7e]{1,255}")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_PARAMETER = re.compile(r"\{([a-z_0-9]+)\}")


class Asks(Protocol):
    """What the door needs of the asking client."""

    async def call(self, request: RpcRequest, *, within: float, budget: float) -> RpcReply: ...


@dataclass(frozen=True, slots=True)
class Route:
    """One line of a system's page."""

    method: str
    path: str
    """The whole template: `/v1/video-rental/rentals/{rental_id}`."""
    who: frozenset[Role]
    asks: type[Message]
    form: type[Form]
    filters: type[Filters]
    creates: str
    """Where the new thing is, with the name of its id in the answer."""
    look: str
    """Where to look when the outcome is unknown."""
    tag: str
    handler: Handler
    budget: Budget

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
    budgets: Mapping[type[Message], Budget] = field(default_factory=dict)
    """Seconds that the context may spend, for those messages that need more or less than usual."""
    table: list[Route] = field(default_factory=list)

    def get(
        self, path: str, who: frozenset[Role], asks: type[Message], filters: type[Filters] | None = None
    ) -> Callable[[Handler], Handler]:
        return self._add("GET", path, who, asks, filters=filters or Filters)

    def post(
        self,
        path: str,
        who: frozenset[Role],
        asks: type[Message],
        form: type[Form] = bodies.Nothing,
        *,
        creates: str = "",
        look: str = "",
    ) -> Callable[[Handler], Handler]:
        return self._add("POST", path, who, asks, form, creates, look)

    def patch(
        self, path: str, who: frozenset[Role], asks: type[Message], form: type[Form]
    ) -> Callable[[Handler], Handler]:
        return self._add("PATCH", path, who, asks, form)

    def delete(self, path: str, who: frozenset[Role], asks: type[Message]) -> Callable[[Handler], Handler]:
        return self._add("DELETE", path, who, asks)

    def _add(
        self,
        method: str,
        path: str,
        who: frozenset[Role],
        asks: type[Message],
        form: type[Form] = bodies.Nothing,
        creates: str = "",
        look: str = "",
        filters: type[Filters] = Filters,
    ) -> Callable[[Handler], Handler]:
        own = path[: path.rindex("}") + 1] if "}" in path else path

        def add(handler: Handler) -> Handler:
            route = Route(
                method,
                self.base + path,
                who,
                asks,
                form,
                filters,
                self.base + creates if creates else "",
                self.base + (look or creates or own),
                self.tag,
                handler,
                self.budgets.get(asks, lambda _: BUDGET_SECONDS),
            )
            self.table.append(route)
            return handler

        return add


class RequestContext:
    """A request that was let in, and the way to ask on its behalf."""

    __slots__ = ("_door", "_path", "actor", "caller", "digest", "message_id", "route", "traceparent")

    def __init__(self, door: Gateway, route: Route, signed_in: SignedIn, path: dict[str, str]) -> None:
        self._door = door
        self._path = path
        self.route = route
        self.caller: Caller = signed_in.caller
        self.actor = signed_in.actor
        self.message_id = UUID(int=0)
        self.digest = ""
        self.traceparent: str | None = None

    def id(self, name: str) -> UUID:
        """A path parameter; what is no UUID names nothing."""
        text = self._path[name]
        if not _UUID.fullmatch(text):
            raise Problem("not_found")
        return UUID(text)

    def text(self, name: str) -> str:
        """A path parameter that is a name; what is too long or cannot be stored names nothing."""
        text = self._path[name]
        if holds_card_number(text):
            raise Problem("card_number_refused")
        if len(text) > LONGEST_NAME or not bodies.is_storable(text):
            raise Problem("not_found")
        return text

    def owner(self, wanted: str | None) -> str | None:
        """Whose things a list shows: a customer's own, anybody's for staff."""
        if self.caller.is_staff:
            return wanted
        if wanted not in (None, self.caller.member_id):
            raise Problem("wrong_role")
        return self.caller.member_id

    async def send(self, message: Message) -> Response:
        """Ask, and answer with the outcome."""
        return self.answer(await self.send_raw(message))

    async def send_raw(self, message: Message, *, budget: float | None = None) -> RpcReply:
        """Ask a message's context; raises `unavailable` when too many already do.

        `budget`: seconds that the context may spend, where these are not the route's.
        """
        kind = type(message)
        request = RpcRequest(
            topic=kind.topic,
            exchange=kind.exchange,
            body=kind.__pydantic_serializer__.to_json(message),
            message_id=self.message_id,
            actor=self.actor,
            story_id=self._story(),
            digest=self.digest,
            traceparent=self.traceparent,
        )
        if budget is None:
            budget = self._door.budget(self.route, kind)
        with self._door.bulkheads.room(kind.owner()):
            reply = await self._door.rpc.call(request, within=START_SECONDS + budget + MARGIN_SECONDS, budget=budget)
        metrics.messages(kind.owner(), reply.kind).inc()
        return reply

    def _story(self) -> UUID:
        """The id of what the path names; a new thing, and what has a name only, takes the message's id."""
        named = next(iter(self._path.values()), "")
        return UUID(named) if _UUID.fullmatch(named) else self.message_id

    def answer(self, reply: RpcReply) -> Response:
        """An outcome as HTTP; raises Problem for each that is not `done`."""
        match reply.kind:
            case "done":
                return self._done(reply)
            case "refused":
                raise self._refused(reply)
            case "still_running":
                raise Problem("still_running")
            case "unknown" if self.route.method != "GET":
                raise Problem("outcome_unknown", status_url=self._place(self.route.look, str(self.message_id)))
            case _:
                after = {"retry-after": str(reply.retry_after)} if reply.retry_after else {}
                raise Problem("unavailable", headers=after)

    def _done(self, reply: RpcReply) -> Response:
        headers = {"cache-control": "no-store"}
        if reply.replayed:
            headers["idempotency-replayed"] = "true"
        if self.route.creates:
            headers["location"] = self._place(self.route.creates, from_json(reply.body)[_last(self.route.creates)])
        if self.route.status == 204:
            return Response(status_code=204, headers=headers)
        return Response(reply.body, self.route.status, headers, "application/json")

    def _refused(self, reply: RpcReply) -> Problem:
        details: dict[str, Any] = from_json(reply.body)
        code = str(details.pop("code"))
        if code == "invalid":  # only the fields: a context's words about a shape may repeat what was sent
            return bodies.invalid((str(error.get("field")), "value") for error in details.get("errors", []))
        headers = {"idempotency-replayed": "true"} if reply.replayed else {}
        after = details.pop("retry_after", reply.retry_after)
        if after is not None and code in CODES and CODES[code].status == 503:
            headers["retry-after"] = str(after)
        return Problem(code, headers=headers, **details)

    def _place(self, template: str, new_id: str) -> str:
        return _PARAMETER.sub(lambda name: self._path.get(name[1], new_id), template)


def _last(template: str) -> str:
    return str(_PARAMETER.findall(template)[-1])


class Gateway:
    """What all requests share: the asking client, the tokens, the limits."""

    def __init__(self, rpc: Asks, settings: Settings, verifier: Verifier | None = None) -> None:
        self.rpc = rpc
        self.settings = settings
        self.verifier = verifier or Verifier(settings)
        self.buckets = Buckets(settings.gateway_rate)
        self.bulkheads = Bulkheads(settings.gateway_in_flight)

    def budget(self, route: Route, kind: type[Message]) -> float:
        """What a context may spend on a message, in seconds."""
        return route.budget(self.settings) if kind is route.asks else BUDGET_SECONDS

    def endpoint(self, route: Route) -> Callable[[Request], Awaitable[Response]]:
        """A route as Starlette calls it."""

        async def enter(request: Request) -> Response:
            headers: dict[bytes, bytes] = dict(request.scope["headers"])
            try:
                return await self._enter(route, request, headers)
            except Problem as problem:
                metrics.REFUSALS.labels(route.path, problem.code).inc()
                return problem.response(preferred(headers.get(b"accept-language", b"").decode("latin-1")))
            except ClientDisconnect:
                return Response(status_code=400)

        return enter

    async def _enter(self, route: Route, request: Request, headers: dict[bytes, bytes]) -> Response:
        signed_in = await self.verifier.verify(headers.get(b"authorization", b"").decode("latin-1"))
        if signed_in.caller.role not in route.who:
            raise Problem("wrong_role")
        self.buckets.take(signed_in.caller.member_id)

        context = RequestContext(self, route, signed_in, request.scope["path_params"])
        context.traceparent = traceparent(request.scope)
        given: Form | Filters
        if route.method == "GET":
            context.message_id = uuid4()
            given = bodies.parse_query(request.scope["query_string"], route.filters)
        else:
            length = headers.get(b"content-length")
            body = await bodies.receive_body(request.receive, length, self.settings.gateway_body_limit)
            key = headers.get(b"idempotency-key")
            given = bodies.parse(body, route.form, key.decode("latin-1") if key else "")
            bodies.parse_query(request.scope["query_string"], route.filters)
            context.message_id = message_id(context.caller, route, key)
            context.digest = digest(request.scope["path_params"], body)
        return await (route.handler(context, given) if type(given).model_fields else route.handler(context))


def message_id(caller: Caller, route: Route, key: bytes | None) -> UUID:
    """The id that a key stands for, of this caller on this route; a fresh one without a key. Raises `invalid`."""
    if key is None:
        return uuid4()
    if not _KEY.fullmatch(key):
        raise bodies.invalid([("Idempotency-Key", "visible")])
    parts = (caller.role, caller.member_id, route.method, route.path, key.decode())
    return uuid5(REQUESTS, "".join(f"{len(part)}:{part}" for part in parts))


def digest(path: Mapping[str, str], body: bytes) -> str:
    """What a request asks for, in a hash: path parameters and raw body."""
    found = hashlib.sha256()
    for name, value in sorted(path.items()):
        same = value.lower() if _UUID.fullmatch(value) else value
        found.update(f"{name}={len(value)}:{same};".encode())
    found.update(body)
    return found.hexdigest()
