"""What endpoints declare that they need: the caller in a role, ids of the path, and a sender of messages."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import Depends, Header, Path
from fastapi.openapi.models import HTTPBearer as HTTPBearerModel
from fastapi.security.base import SecurityBase
from pydantic import AfterValidator, BeforeValidator
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError
from starlette.requests import Request

from contracts.base import LONGEST_MEMBER_ID, Caller, Role
from gateway_api import texts
from gateway_api.bodies import EmptyBody, Form
from gateway_api.gateway import ANY, CUSTOMER, OPERATOR, STAFF, Gateway, Operation, Sender
from gateway_api.idempotency import UUID_TEXT, digest, message_id
from gateway_api.tokens import SignedIn
from gateway_api.trace_context import traceparent


class AdmittedRequest(Request):
    """A request whose caller may use its route, and whose body is validated already.

    FastAPI's documented way to replace the reading of a body: `body` and `json` return the validated form, which the
    endpoint's parameter then is.
    """

    raw: bytes = b""
    parsed: Form = EmptyBody()
    matched_version: int | None = None
    """The version that the header `If-Match` names."""

    def __init__(self, request: Request, gateway: Gateway, operation: Operation, signed_in: SignedIn) -> None:
        super().__init__(request.scope, request.receive)
        self.gateway = gateway
        self.operation = operation
        self.signed_in = signed_in

    async def body(self) -> Any:
        return self.parsed

    async def json(self) -> Any:
        return self.parsed


class Authenticated(SecurityBase):
    """The caller of a request, who has one of `roles`; `GatewayRoute` checks it before it reads the body."""

    def __init__(self, roles: frozenset[Role]) -> None:
        self.roles = roles
        self.model = HTTPBearerModel(bearerFormat="JWT")
        self.scheme_name = "token"

    async def __call__(self, request: AdmittedRequest) -> Caller:
        return request.signed_in.caller


Anyone = Annotated[Caller, Depends(Authenticated(ANY))]
Customer = Annotated[Caller, Depends(Authenticated(CUSTOMER))]
Staff = Annotated[Caller, Depends(Authenticated(STAFF))]
Operator = Annotated[Caller, Depends(Authenticated(OPERATOR))]


def _id(value: object) -> object:
    if not isinstance(value, str) or not UUID_TEXT.fullmatch(value):
        raise PydanticCustomError("not_found", "not an id")
    return value


def _name(value: str) -> str:
    text = texts.normalized(value)
    if len(text) > LONGEST_MEMBER_ID or not texts.is_readable(text) or not texts.is_visible(text):
        raise PydanticCustomError("not_found", "nobody's name")
    return text


ResourceId = Annotated[UUID, BeforeValidator(_id), Path()]
"""An id in the path; anything else is `not_found`."""
MemberName = Annotated[
    str, AfterValidator(_name), Path(json_schema_extra={"minLength": 1, "maxLength": LONGEST_MEMBER_ID})
]
"""A member in the path; what nobody can be called is `not_found`."""
IdempotencyKey = Annotated[
    str | SkipJsonSchema[None],
    Header(
        alias="Idempotency-Key",
        description="Repeating with the same key is safe and returns the first outcome.",
        json_schema_extra={"minLength": 1, "maxLength": 255, "pattern": r"^[\x21-\x7e]+$"},
    ),
]


async def _queries(request: AdmittedRequest) -> Sender:
    return _sender(request, uuid4(), "")


async def _commands(request: AdmittedRequest, idempotency_key: IdempotencyKey = None) -> Sender:
    key = None if idempotency_key is None else idempotency_key.encode("latin-1")
    id_ = message_id(request.signed_in.caller, request.operation, key)
    content = dict(request.path_params)
    if request.matched_version is not None:  # another version is another request
        content["If-Match"] = str(request.matched_version)
    return _sender(request, id_, digest(content, request.raw))


def _sender(request: AdmittedRequest, id_: UUID, digest_: str) -> Sender:
    return Sender(
        request.gateway,
        request.operation,
        request.path_params,
        request.signed_in.actor,
        id_,
        digest_,
        traceparent(request.scope),
    )


Queries = Annotated[Sender, Depends(_queries)]
"""Sends the query of a GET request."""
Commands = Annotated[Sender, Depends(_commands)]
"""Sends the command of a request that changes something, under the id that its idempotency key gives it."""
