"""Messages that nobody can read, published as the library does or as it would not."""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from uuid import uuid4

import aio_pika

from workers.runtime.messaging import accelerator
from workers.runtime.messaging.accelerator.codec import Publishing, publication
from workers.runtime.messaging.accelerator.frame_writer import FrameWriter


async def publish(channel: Any, queue: str, **properties: Any) -> None:
    """Publish with the library, to a queue."""
    given = {"message_id": str(uuid4()), "body": b"{}", "reply_to": "nobody|yeyak.replies", "correlation_id": "c"}
    await channel.default_exchange.publish(aio_pika.Message(**{**given, **properties}), queue)


async def write(
    alter: Callable[[bytes], bytes], channel: Any, queue: str, message_id: str | None = None, **more: Any
) -> None:
    """Publish to a queue what the library would not: frames whose bytes were altered."""
    id = str(uuid4()) if message_id is None else message_id
    publishing = Publishing(b"{}", "", "sender", message_id=id, **more)
    underlay = await channel.get_underlay_channel()
    frames = publication(underlay.number, "", queue, publishing, mandatory=False, body_limit=100_000)
    FrameWriter().write(underlay, alter(frames))


def unaltered(frames: bytes) -> bytes:
    return frames


def not_utf8(frames: bytes) -> bytes:
    assert frames.count(b"\x04cccc") == 1
    return frames.replace(b"\x04cccc", b"\x04\xff\xfe\xfd\xfc")


def in_microseconds(frames: bytes) -> bytes:
    """Multiply the timestamp, which lies before an empty type and the sender."""
    at = frames.index(b"\x00\x06sender") - 8
    (seconds,) = struct.unpack_from(">Q", frames, at)
    return frames[:at] + struct.pack(">Q", seconds * 10**6) + frames[at + 8 :]


_POISON: dict[str, tuple[Callable[[Any, str], Awaitable[None]], str]] = {
    "an actor with NUL": (partial(publish, headers={"actor": "k\x00m"}), "actor has control characters"),
    "5000 nested arrays": (partial(publish, body=b"[" * 5000), "not a sample"),
    "no message_id": (partial(write, unaltered, message_id=""), "the message has no message_id"),
    "a timestamp in microseconds": (partial(write, in_microseconds), "timestamp: "),
    "a correlation id that is not UTF-8": (
        partial(write, not_utf8, correlation_id="cccc"),
        "correlation_id: not UTF-8",
    ),
}
BELOW_THE_LIBRARY = {"a timestamp in microseconds", "a correlation id that is not UTF-8"}
"""aio-pika's own reader ends the connection for these; the accelerator's does not."""


def poison() -> dict[str, tuple[Callable[[Any, str], Awaitable[None]], str]]:
    """By name: how to publish it to a queue of the sample context, and how the reason of its dead letter begins."""
    return {name: found for name, found in _POISON.items() if accelerator.is_enabled() or name not in BELOW_THE_LIBRARY}
