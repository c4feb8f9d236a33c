"""Asking the system from the command line, over the broker, as one more rpc."""

from __future__ import annotations

import getpass
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from contracts.base import Caller, Command, Query, Refused
from ops.configured import configuration, fail
from workers.runtime.messaging.bus import BROKER_ERRORS, Bus
from workers.runtime.messaging.rpc import RpcClient, RpcReply, RpcRequest
from workers.runtime.processing.processor import budget_of
from workers.runtime.processing.tx import decode_answer, decode_refusal

NAME = "ops"


class NoAnswerError(Exception):
    """One sentence: why there is no answer, and what that means."""


Ask = Callable[[Command[Any] | Query[Any]], Awaitable[Any]]


def operator() -> Caller:
    """Whoever sits at this terminal; in a container the user is a number without a name."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = f"uid-{os.getuid()}"
    return Caller(member_id=name, role="operator")


@asynccontextmanager
async def asking(within: float = 5.0) -> AsyncIterator[Ask]:
    """Ask as often as you like over one connection; raises Refused, and NoAnswerError."""
    configured = configuration()
    bus = Bus(configured.amqp_url.get_secret_value(), NAME)
    problem = await _start(bus)
    if problem:
        await bus.stop()
        raise NoAnswerError(f"the broker cannot be reached, is the system up? {problem}")
    rpc = RpcClient(bus, NAME, configured)
    await rpc.start()

    async def ask(message: Command[Any] | Query[Any]) -> Any:
        return _heard(message, await rpc.call(_request(message), within=within, budget=budget_of(within)), within)

    try:
        yield ask
    finally:
        await rpc.stop()
        await bus.stop()


async def ask(message: Command[Any] | Query[Any], within: float = 5.0) -> Any:
    """Ask once; a refusal and no answer end the command with a sentence."""
    try:
        async with asking(within) as once:
            return await once(message)
    except Refused as refusal:
        fail(why(refusal))
    except NoAnswerError as silence:
        fail(str(silence))


async def _start(bus: Bus) -> str | None:
    try:
        await bus.start()
    except (*BROKER_ERRORS, OSError) as error:
        return str(error) or type(error).__name__
    return None


def _request(message: Command[Any] | Query[Any]) -> RpcRequest:
    message_id = uuid4()
    return RpcRequest(
        topic=message.topic,
        exchange=message.exchange,
        body=message.model_dump_json().encode(),
        message_id=message_id,
        actor=f"operator:{operator().member_id}",
        story_id=message_id,
    )


def _heard(message: Any, reply: RpcReply, within: float) -> Any:
    if reply.kind == "done":
        return decode_answer(message, reply.body)
    if reply.kind == "refused":
        raise decode_refusal(reply.body)
    callee = message.owner()
    if reply.kind == "unavailable":
        raise NoAnswerError(f"{callee} cannot be asked now, and nothing was done: `yeyak status` tells whether it runs")
    raise NoAnswerError(
        f"{callee} did not answer within {within:g} s: it may have been done, so look before you repeat it"
    )


def why(refusal: Refused) -> str:
    """A refusal as a sentence."""
    details = ", ".join(f"{name} {value}" for name, value in refusal.details.items())
    return f"refused: {refusal.code}" + (f" ({details})" if details else "")
