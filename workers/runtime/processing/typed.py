"""The functions that FastStream registers: a handler's message as typed parameter, its answer as return type."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from faststream.rabbit import RabbitResponse

from workers.runtime.messaging.delivery import Delivery
from workers.runtime.processing.handlers import Handler

Respond = Callable[[Delivery], Awaitable[RabbitResponse | None]]


def typed_function(handler: Handler, respond: Respond) -> Callable[..., Awaitable[Any]]:
    """The function of one handler for FastStream's own path, with the handler's name, types and docstring.

    It is called with the delivery; the types are what FastStream writes into the AsyncAPI document.
    """

    async def call(message: Delivery) -> Any:
        return await respond(message)

    call.__name__ = call.__qualname__ = handler.name
    call.__doc__ = handler.first.__doc__
    call.__annotations__ = {"message": handler.message, "return": handler.message.answer}
    return call
