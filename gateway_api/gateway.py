"""What all requests to the API share: the limits, and the messages that requests send to the contexts.

Problems are raised in this order: 401 not_signed_in, 403 wrong_role, 429 too_many_requests, 413 too_large,
400 bad_json, 422 card_number_refused, 422 invalid, 404 not_found for what is no id; then the refusals of the context.
`routing.GatewayRoute` makes the checks up to the body, FastAPI those of the declared parameters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote
from uuid import UUID

from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import Response

from contracts.base import Caller, Message, Role
from gateway_api import bodies, metrics
from gateway_api.idempotency import UUID_TEXT
from gateway_api.limits import Bulkheads, CallerTurns, FailedAttempts, Seats, TokenBuckets
from gateway_api.problem_kinds import kind_of
from gateway_api.problems import Problem
from gateway_api.settings import GatewaySettings
from gateway_api.tokens import SignedIn, Verifier
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
"""How long a context may work on a message, where its route sets no `time_limit`."""
VERSION_SECONDS = 2.5
"""How long a view may work on an item: it waits for `min_version`."""

TimeLimit = Callable[[GatewaySettings], float]

_PARAMETER = re.compile(r"\{([a-z_0-9]+)\}")


class RequestClient(Protocol):
    """The part of `RpcClient` that the gateway uses; tests have a fake one."""

    async def call(self, request: RpcRequest, *, within: float) -> RpcReply: ...


class Gateway:
    """What all requests share: the request client, the verifier of tokens, the limits."""

    def __init__(self, rpc: RequestClient, settings: GatewaySettings, verifier: Verifier | None = None) -> None:
        self.rpc = rpc
        self.settings = settings
        self.verifier = verifier or Verifier(settings)
        self.buckets = TokenBuckets(settings.gateway_rate)
        self.bulkheads = Bulkheads(settings.gateway_in_flight)
        self.turns = CallerTurns(settings.gateway_in_flight_per_caller, settings.gateway_turn_seconds)
        self.failures = FailedAttempts(settings.gateway_failures)
        self.streams = Seats(settings.gateway_streams, settings.gateway_streams_per_person)

    async def authenticate(self, request: Request, authorization: bytes) -> SignedIn:
        """Return the caller as `Verifier.verify` does; raises `too_many_requests` after many failures of an address."""
        try:
            return await self.verifier.verify(authorization.decode("latin-1"))
        except Problem as problem:
            if problem.status == 401:
                self.failures.count(request.scope.get("client"))
            raise


@dataclass(frozen=True, slots=True)
class Operation:
    """A method and a path, the message that is sent, and how its outcome becomes HTTP."""

    method: str
    path: str
    """The whole path template: `/v1/video-rental/rentals/{rental_id}`."""
    message: type[Message]
    creates: str = ""
    """The path template of what is created; its last parameter names the field of the answer that holds the id."""
    status_path: str = ""
    """The path template at which the caller finds the outcome while it is unknown (`status_url`)."""
    time_limit: TimeLimit = lambda _: DEFAULT_LIMIT_SECONDS
    """How long the context may work on the message, in seconds."""
    statuses: Mapping[str, int] = field(default_factory=dict)
    """The statuses of refusals that have another one here than in general, by code."""

    @property
    def success(self) -> int:
        """The status of the answer `done`."""
        return 201 if self.creates else 204 if self.method == "DELETE" else 200


@dataclass(slots=True)
class Sender:
    """Sends the messages of one HTTP request and turns their outcomes into HTTP."""

    gateway: Gateway
    operation: Operation
    path_params: dict[str, str]
    actor: str
    message_id: UUID
    digest: str
    traceparent: str | None

    async def send(self, message: Message) -> Response:
        """Send a message as a request and return its outcome as HTTP; raises Problem as `to_response` does."""
        return self.to_response(await self.send_raw(message))

    async def send_raw(self, message: Message, *, time_limit: float | None = None) -> RpcReply:
        """Send a message as a request and return the reply, whatever its outcome.

        `time_limit` is the time in seconds that the context may work on it; None takes that of the route.
        Raises `unavailable` when the bulkhead of the context is full, `too_many_requests`
        when the caller's part of it was for too long.
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
            own = kind is self.operation.message
            time_limit = self.operation.time_limit(self.gateway.settings) if own else DEFAULT_LIMIT_SECONDS
        context = kind.owner()
        async with self.gateway.turns.turn(context, self.actor):
            with self.gateway.bulkheads.slot(context):
                reply = await self.gateway.rpc.call(request, within=START_SECONDS + time_limit + MARGIN_SECONDS)
        metrics.context_requests(kind.owner(), reply.kind).inc()
        return reply

    def _story_id(self) -> UUID:
        """Return the first id of the path; without one, the id of the message begins a story."""
        first = next(iter(self.path_params.values()), "")
        return UUID(first) if UUID_TEXT.fullmatch(first) else self.message_id

    def to_response(self, reply: RpcReply) -> Response:
        """Return a reply that is `done` as HTTP; raises Problem for every other outcome."""
        match reply.kind:
            case "done":
                return self._done(reply)
            case "refused":
                raise self._refused(reply)
            case "still_running":
                raise Problem("still_running")
            case "unknown" if self.operation.method != "GET":
                raise Problem("outcome_unknown", status_url=self._url(self.operation.status_path, str(self.message_id)))
            case _:
                after = {"retry-after": str(reply.retry_after)} if reply.retry_after else {}
                raise Problem("unavailable", headers=after)

    def _done(self, reply: RpcReply) -> Response:
        headers = {"cache-control": "no-store"}
        if reply.replayed:
            headers["idempotency-replayed"] = "true"
        if creates := self.operation.creates:
            new_id = from_json(reply.body)[_PARAMETER.findall(creates)[-1]]
            headers["location"] = self._url(creates, new_id)
        if self.operation.success == 204:
            return Response(status_code=204, headers=headers)
        return Response(reply.body, self.operation.success, headers, "application/json")

    def _refused(self, reply: RpcReply) -> Problem:
        details: dict[str, Any] = from_json(reply.body)
        code = str(details.pop("code"))
        if code == "invalid":  # only the names of fields: a text about a value could repeat the value
            return bodies.invalid((str(error.get("field")), "value") for error in details.get("errors", []))
        headers = {"idempotency-replayed": "true"} if reply.replayed else {}
        after = details.pop("retry_after", reply.retry_after)
        if after is not None and kind_of(code).status == 503:
            headers["retry-after"] = str(after)
        problem = Problem(code, headers=headers, **details)
        problem.kind = problem.kind._replace(status=self.operation.statuses.get(code, problem.status))
        return problem

    def _url(self, template: str, new_id: str) -> str:
        return _PARAMETER.sub(lambda name: quote(self.path_params.get(name[1], new_id), safe=""), template)


def owned(caller: Caller, filters: bodies.Filters, field: str = "member_id") -> dict[str, Any]:
    """Return the filters of a list with the member whose records it may contain in `field`; None means all.

    Staff may name any member or none; a customer only lists their own. Raises `wrong_role`.
    """
    wanted = vars(filters)
    if caller.is_staff:
        return wanted
    if wanted[field] not in (None, caller.member_id):
        raise Problem("wrong_role")
    return {**wanted, field: caller.member_id}
