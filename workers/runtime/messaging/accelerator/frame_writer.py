"""Frames that come within a moment are written together.

The client library writes and drains each publication by itself. Here frames are collected for a channel and handed to
the library's writer together; the broker, too, reads and confirms them together and needs half the time. This reaches
into aiormq, whose version is pinned;
`tests/runtime/messaging/accelerator/test_frame_writer.py` holds what is expected of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiormq.abc import ChannelFrame
from aiormq.exceptions import ChannelInvalidStateError
from pamqp.commands import Basic

from workers.runtime.messaging.accelerator.codec import Publishing, acknowledgement, publication


class FrameWriter:
    """Writes frames to the channels of one connection.

    Frames that come within `linger` seconds are written together; those that come while the socket is full, once it
    drains.
    """

    def __init__(self, linger: float = 0.0) -> None:
        self._linger = linger
        self._queue: asyncio.Queue[ChannelFrame] | None = None
        self._parts: list[tuple[Any, bytes]] = []
        self._due: asyncio.Handle | None = None
        self._drained: asyncio.Future[None] | None = None

    def write(self, channel: Any, frames: bytes) -> None:
        """`channel` is aiormq's; frames for one that closes before their turn are forgotten, as its socket would."""
        if channel.write_queue is not self._queue:
            self._switch_to(channel.write_queue)
        self._parts.append((channel, frames))
        if self._due is None and self._drained is None:
            self._schedule(self._linger)

    def _switch_to(self, queue: asyncio.Queue[ChannelFrame]) -> None:
        self._queue = queue
        self._parts.clear()
        self._drained = None
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _schedule(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._due = loop.call_later(seconds, self._flush) if seconds else loop.call_soon(self._flush)

    def _flush(self) -> None:
        assert self._queue is not None
        if self._queue.full():
            self._schedule(0.001)
            return
        self._due = None
        frames = b"".join(frames for channel, frames in self._parts if not channel.is_closed)
        self._parts.clear()
        if frames:
            self._drained = asyncio.get_running_loop().create_future()
            self._drained.add_done_callback(self._drained_again)
            self._queue.put_nowait(ChannelFrame(payload=frames, should_close=False, drain_future=self._drained))

    def _drained_again(self, drained: asyncio.Future[None]) -> None:
        if drained is self._drained:
            self._drained = None
            if self._parts:
                self._schedule(0)

    async def flush(self, within: float = 1.0) -> None:
        """Write what is left now, and wait until it is written, at most `within` seconds."""
        if self._due is not None:
            self._due.cancel()
            self._flush()
        if self._drained is not None:
            await asyncio.wait((self._drained,), timeout=within)


async def publish(writer: FrameWriter, exchange: Any, routing_key: str, message: Publishing) -> asyncio.Future[Any]:
    """Write to an exchange of aio-pika whose channel has confirms; returns the future of the broker's confirm.

    Raises ChannelInvalidStateError when the channel is closed.
    """
    channel = await _open_channel(exchange)
    frames = _frames(channel, exchange.name, routing_key, message, mandatory=True)
    confirm = _expect_confirm(channel, message.message_id)
    writer.write(channel, frames)
    return confirm


async def publish_returnable(
    writer: FrameWriter, exchange: Any, routing_key: str, message: Publishing, on_return: Callable[[], None]
) -> Callable[[], None]:
    """Write to an exchange of aio-pika whose channel has no confirms; the result stops waiting for a return.

    The library looks a returned message up among those that await a confirm: it is put there, and no confirm comes.
    Raises ChannelInvalidStateError when the channel is closed.
    """
    channel = await _open_channel(exchange)
    frames = _frames(channel, exchange.name, routing_key, message, mandatory=True)
    returned = asyncio.get_running_loop().create_future()
    returned.add_done_callback(lambda _: on_return())
    tag = _register(channel, message.message_id, returned)
    writer.write(channel, frames)

    def forget() -> None:
        channel.confirmations.pop(tag, None)
        _unregister(channel, message.message_id, tag)

    return forget


async def publish_unconfirmed(writer: FrameWriter, exchange: Any, routing_key: str, message: Publishing) -> None:
    """Write to an exchange of aio-pika without a confirm; raises ChannelInvalidStateError for a closed channel."""
    channel = await _open_channel(exchange)
    writer.write(channel, _frames(channel, exchange.name, routing_key, message, mandatory=False))


async def _open_channel(exchange: Any) -> Any:
    channel = await exchange.channel.get_underlay_channel()
    if channel.is_closed:
        raise ChannelInvalidStateError("the channel is closed")
    return channel


def _frames(channel: Any, exchange: str, routing_key: str, message: Publishing, *, mandatory: bool) -> bytes:
    return publication(
        channel.number, exchange, routing_key, message, mandatory=mandatory, body_limit=channel.max_content_size
    )


def _expect_confirm(channel: Any, message_id: str) -> asyncio.Future[Any]:
    """What the library does for a publication of its own, without its lock: nothing here gives way to another task."""
    confirm: asyncio.Future[Any] = channel.create_future()
    tag = _register(channel, message_id, confirm)
    confirm.add_done_callback(lambda _: _unregister(channel, message_id, tag))
    return confirm


def _register(channel: Any, message_id: str, future: asyncio.Future[Any]) -> int:
    tag: int = channel.delivery_tag + 1
    channel.delivery_tag = tag
    channel.confirmations[tag] = future
    channel.message_id_delivery_tag[message_id] = tag
    return tag


def _unregister(channel: Any, message_id: str, tag: int) -> None:
    if channel.message_id_delivery_tag.get(message_id) == tag:
        del channel.message_id_delivery_tag[message_id]


def is_returned(confirm: Any) -> bool:
    """Whether the broker returned the message as unroutable."""
    return isinstance(getattr(confirm, "delivery", confirm), Basic.Return)


def acknowledge(writer: FrameWriter, raw: Any) -> None:
    """Acknowledge a delivery of aio-pika; when its channel is gone the broker delivers it again."""
    try:
        channel = raw.channel
    except ChannelInvalidStateError:
        return
    writer.write(channel, acknowledgement(channel.number, raw.delivery_tag))
