"""Sends requests to the system's contexts from the command line, over the broker."""

from __future__ import annotations

import getpass
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from contracts.base import Caller, Command, Query, Refused
from ops.cli_support import configuration, fail
from ops.terminal import escaped
from workers.runtime.messaging.broker import Broker
from workers.runtime.messaging.envelope import RpcReply, RpcRequest
from workers.runtime.messaging.errors import BROKER_ERRORS
from workers.runtime.messaging.rpc import RpcClient
from workers.runtime.processing.tx import decode_answer, decode_refusal

CLIENT_NAME = "ops"


class RequestFailed(Exception):
    """A request has no reply; the text is one sentence that says why and whether it may have been processed."""


SendRequest = Callable[[Command[Any] | Query[Any]], Awaitable[Any]]
"""Sends a command or a query and returns its answer."""


def operator() -> Caller:
    """The user of this terminal as a caller; in a container the user may have a number only."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = f"uid-{os.getuid()}"
    return Caller(member_id=name, role="operator")


@asynccontextmanager
async def request_client(within: float = 5.0) -> AsyncIterator[SendRequest]:
    """Connect to the broker and yield a function that sends requests; it raises Refused and RequestFailed."""
    configured = configuration()
    broker = Broker(configured.amqp_url.get_secret_value(), CLIENT_NAME)
    problem = await _connect(broker)
    if problem:
        raise RequestFailed(f"the broker cannot be reached, is the system up? {problem}")
    rpc = RpcClient(broker, configured)

    async def request(message: Command[Any] | Query[Any]) -> Any:
        return _decode_reply(message, await rpc.call(_as_rpc_request(message), within=within), within)

    try:
        yield request
    finally:
        await broker.stop()


async def request(message: Command[Any] | Query[Any], within: float = 5.0) -> Any:
    """Send one request and return its answer; a refusal or a failure ends the command with a message."""
    try:
        async with request_client(within) as send:
            return await send(message)
    except Refused as refusal:
        fail(describe_refusal(refusal))
    except RequestFailed as failure:
        fail(str(failure))


async def _connect(broker: Broker) -> str | None:
    try:
        await broker.connect()
    except (*BROKER_ERRORS, OSError) as error:
        return str(error) or type(error).__name__
    return None


def _as_rpc_request(message: Command[Any] | Query[Any]) -> RpcRequest:
    message_id = uuid4()
    return RpcRequest(
        topic=message.topic,
        exchange=message.exchange,
        body=message.model_dump_json().encode(),
        message_id=message_id,
        actor=f"operator:{operator().member_id}",
        story_id=message_id,
    )


def _decode_reply(message: Any, reply: RpcReply, within: float) -> Any:
    if reply.kind == "done":
        return decode_answer(message, reply.body)
    if reply.kind == "refused":
        raise decode_refusal(reply.body)
    callee = message.owner()
    if reply.kind == "unavailable":
        raise RequestFailed(f"{callee} is unavailable, nothing was done: `yeyak status` shows whether it runs")
    raise RequestFailed(
        f"{callee} did not reply within {within:g} s: it may have been done, so check before you repeat it"
    )


def describe_refusal(refusal: Refused) -> str:
    """Format a refusal for a person."""
    details = ", ".join(f"{name} {escaped(str(value))}" for name, value in refusal.details.items())
    return f"refused: {refusal.code}" + (f" ({details})" if details else "")
