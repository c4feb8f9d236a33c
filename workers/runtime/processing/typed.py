"""The functions that FastStream registers: a handler's message as typed parameter, its answer as return type."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from faststream.rabbit import RabbitMessage, RabbitResponse

from workers.runtime.messaging.delivery import Delivery
from workers.runtime.messaging.subscriber import current_delivery
from workers.runtime.processing.handlers import Handler

Respond = Callable[[Delivery], Awaitable[RabbitResponse | None]]


def typed_function(handler: Handler, respond: Respond) -> Callable[..., Awaitable[Any]]:
    """The function of one handler for FastStream's own path, with the handler's name, types and docstring."""

    async def call(message: Any, received: Any) -> Any:
        delivery = current_delivery.get() or Delivery(received.raw_message, handler.message.topic)
        return await respond(delivery)

    call.__name__ = call.__qualname__ = handler.name
    call.__doc__ = handler.first.__doc__
    call.__annotations__ = {
        "message": handler.message,
        "received": RabbitMessage,
        "return": handler.message.answer,
    }
    return call
