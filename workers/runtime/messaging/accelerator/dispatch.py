"""Deliveries, taken where their last byte was read.

The client library carries a delivery through two tasks, FastStream through three stacks of contexts: three quarters of
what hearing a message cost (decision 0017). Both still subscribe, restore and cancel, but a consumer that was made by
`at_once` is called by the channel's reader.
`tests/runtime/messaging/accelerator/test_dispatch.py` holds the two ways to the same.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from aio_pika import DeliveryMode, IncomingMessage
from aio_pika.abc import AbstractIncomingMessage
from aiormq.channel import Channel
from pamqp.commands import Basic
from pamqp.header import ContentHeader

log = structlog.get_logger()

Taker = Callable[[AbstractIncomingMessage], None]

_by_the_library = Channel._on_deliver_frame


class Delivery(IncomingMessage):
    """The library's incoming message, made in a tenth of its time: it checks and converts each attribute."""

    __slots__ = ()
    __setattr__ = object.__setattr__  # type: ignore[assignment]  # the library's looks whether the message is locked

    def __init__(self, channel: Channel, deliver: Basic.Deliver, header: ContentHeader, body: bytes) -> None:
        properties: Any = header.properties
        expiration = properties.expiration
        self._Message__lock = self._IncomingMessage__no_ack = self._IncomingMessage__processed = False
        self._IncomingMessage__channel = channel
        self.body = body
        self.body_size = len(body)
        self.headers = properties.headers or {}
        self.content_type = properties.content_type
        self.content_encoding = properties.content_encoding
        self.delivery_mode = _MODES.get(properties.delivery_mode, DeliveryMode.NOT_PERSISTENT)
        self.priority = properties.priority or 0
        self.correlation_id = properties.correlation_id or None
        self.reply_to = properties.reply_to or None
        self.expiration = float(expiration) / 1000 if expiration is not None else None
        self.message_id = properties.message_id or None
        self.timestamp = properties.timestamp
        self.type = properties.message_type or None
        self.user_id = properties.user_id or None
        self.app_id = properties.app_id or None
        self.cluster_id = properties.cluster_id
        self.consumer_tag = deliver.consumer_tag
        self.delivery_tag = deliver.delivery_tag
        self.exchange = deliver.exchange
        self.routing_key = deliver.routing_key
        self.redelivered = deliver.redelivered
        self.message_count = None


_MODES = {mode.value: mode for mode in DeliveryMode}


def at_once(taker: Taker) -> Callable[[AbstractIncomingMessage], Awaitable[None]]:
    """A consumer's callback for aio-pika; `taker` is called with each delivery in the order of their coming."""

    async def callback(message: AbstractIncomingMessage) -> None:
        taker(message)

    callback.taker = taker  # type: ignore[attr-defined]
    return callback


def install() -> None:
    """Have it so on all channels."""
    Channel._on_deliver_frame = _on_deliver_frame  # type: ignore[method-assign, assignment]


def _taker_of(channel: Channel, consumer_tag: str | None) -> Taker | None:
    """aio-pika registers a partial of its own, whose first argument is the callback."""
    consumer: Any = channel.consumers.get(consumer_tag or "")
    arguments = getattr(consumer, "args", ())
    return getattr(arguments[0], "taker", None) if arguments else None


async def _on_deliver_frame(channel: Channel, deliver: Basic.Deliver) -> None:
    taker = _taker_of(channel, deliver.consumer_tag)
    if taker is None:
        await _by_the_library(channel, deliver)
        return
    header: Any = await channel._get_frame()
    body = b""
    while len(body) < header.body_size:
        content: Any = await channel._get_frame()
        body += content.value
    try:
        taker(Delivery(channel, deliver, header, body))
    except Exception:
        log.exception("a delivery was not taken", routing_key=deliver.routing_key)
