"""Reads the frames that come most, deliveries and confirms, from their bytes at once.

The client library decodes a frame attribute by attribute, by the name of each type; that was a fifth to a third of a
worker's CPU. This reader makes the same objects and leaves every other frame to the library. What a peer put into the
properties of a message never breaks the connection: a property that cannot be read is left out, and named in
`UnreadableHeader.reason`, so that the message ends as a dead letter.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import aiormq.connection
from aiormq.exceptions import AMQPConnectionError, InvalidFrameError
from pamqp import decode, frame
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.exceptions import PAMQPException
from pamqp.header import ContentHeader

_METHOD, _HEADER, _BODY, _END = 1, 2, 3, 0xCE
_DELIVER, _ACK = b"\x00\x3c\x00\x3c", b"\x00\x3c\x00\x50"

_FRAME = struct.Struct(">BHI").unpack
_LONG = struct.Struct(">I").unpack_from
_LONG_LONG = struct.Struct(">q").unpack_from
_UNSIGNED = struct.Struct(">Q").unpack_from
_TAG_AND_BIT = struct.Struct(">QB").unpack_from
_CONTENT = struct.Struct(">HHQH").unpack_from
_CONTENT_SIZE = 14
_MORE_FLAGS = 0x0001
_MILLISECONDS_FROM = 0xFFFFFFFF

Read = Callable[[bytes, int], tuple[Any, int]]
"""Reads a value at an offset; returns it and the offset behind it. Raises _UnreadableValue."""

_by_the_library = aiormq.connection.FrameReceiver


class _UnreadableValue(ValueError):
    """A value that cannot be read, and the offset behind it."""

    def __init__(self, end: int, reason: str) -> None:
        super().__init__(reason)
        self.end = end


class UnreadableHeader(ContentHeader):
    """A content header without the properties that could not be read."""

    reason = ""


class FrameReader(aiormq.connection.FrameReceiver):
    """Reads the frames of one connection; what the library says of a broken one, in the same exceptions."""

    async def get_frame(self) -> Any:
        """The bytes that were read, the channel, and the frame; ends the iteration when the broker hung up."""
        if not self.started:
            return await super().get_frame()
        if self.reader.at_eof():
            raise StopAsyncIteration
        try:
            start = await self.reader.readexactly(7)
            kind, channel, size = _FRAME(start)
            payload = await self.reader.readexactly(size + 1)
        except (asyncio.IncompleteReadError, OSError) as error:
            raise AMQPConnectionError(f"the broker hung up: {error!r}") from error
        if payload[-1] != _END:
            raise InvalidFrameError("a frame has no end")
        try:
            return size + 8, channel, _known_frame(kind, payload) or frame.unmarshal(start + payload)[2]
        except (PAMQPException, struct.error, IndexError, ValueError) as error:
            raise InvalidFrameError(str(error)) from error


def install() -> None:
    """Read the frames of connections that are opened from now on."""
    aiormq.connection.FrameReceiver = FrameReader  # type: ignore[misc]


def uninstall() -> None:
    """Have the library read the frames of connections that are opened from now on."""
    aiormq.connection.FrameReceiver = _by_the_library  # type: ignore[misc]


def _known_frame(kind: int, payload: bytes) -> Any:
    """The frame, if it is one of those that are read here; `payload` ends with the frame's last byte."""
    if kind == _BODY:
        return ContentBody(payload[:-1])
    if kind == _HEADER:
        return _header(payload)
    if kind == _METHOD:
        if payload.startswith(_DELIVER):
            return _deliver(payload)
        if payload.startswith(_ACK):
            return _ack(payload)
    return None


def _deliver(payload: bytes) -> Basic.Deliver:
    deliver: Basic.Deliver = Basic.Deliver.__new__(Basic.Deliver)
    deliver.consumer_tag, at = _known(payload, 4)
    deliver.delivery_tag, redelivered = _TAG_AND_BIT(payload, at)
    deliver.redelivered = bool(redelivered & 1)
    deliver.exchange, at = _known(payload, at + 9)
    deliver.routing_key = _lenient(payload, at)
    return deliver


def _ack(payload: bytes) -> Basic.Ack:
    ack: Basic.Ack = Basic.Ack.__new__(Basic.Ack)
    ack.delivery_tag, multiple = _TAG_AND_BIT(payload, 4)
    ack.multiple = bool(multiple & 1)
    return ack


def _header(payload: bytes) -> ContentHeader | None:
    class_id, weight, size, flags = _CONTENT(payload, 0)
    if flags & _MORE_FLAGS:
        return None
    properties = Basic.Properties()
    at, reasons = _CONTENT_SIZE, []
    for flag, name, read in _PROPERTIES:
        if flags & flag:
            try:
                value, at = read(payload, at)
            except _UnreadableValue as unreadable:
                at = unreadable.end
                reasons.append(f"{name}: {unreadable}")
            else:
                setattr(properties, name, value)
    header = (UnreadableHeader if reasons else ContentHeader)(weight, size, properties)
    header.class_id = class_id
    if isinstance(header, UnreadableHeader):
        header.reason = "; ".join(reasons)
    return header


def _short(payload: bytes, at: int) -> tuple[str, int]:
    end = at + 1 + payload[at]
    try:
        return payload[at + 1 : end].decode(), end
    except UnicodeDecodeError as error:
        raise _UnreadableValue(end, "not UTF-8") from error


@lru_cache(4096)
def _decoded(raw: bytes) -> str:
    return raw.decode()


def _known(payload: bytes, at: int) -> tuple[str, int]:
    """A short string of which there are few: a name, a topic, a queue."""
    end = at + 1 + payload[at]
    try:
        return _decoded(payload[at + 1 : end]), end
    except UnicodeDecodeError as error:
        raise _UnreadableValue(end, "not UTF-8") from error


def _lenient(payload: bytes, at: int) -> str:
    """A short string that a peer chose; what is not UTF-8 is replaced."""
    return payload[at + 1 : at + 1 + payload[at]].decode(errors="replace")


def _octet(payload: bytes, at: int) -> tuple[int, int]:
    return payload[at], at + 1


def _timestamp(payload: bytes, at: int) -> tuple[datetime, int]:
    (seconds,) = _UNSIGNED(payload, at)
    try:
        return datetime.fromtimestamp(seconds / 1000 if seconds > _MILLISECONDS_FROM else seconds, UTC), at + 8
    except (ValueError, OverflowError, OSError) as error:
        raise _UnreadableValue(at + 8, f"{seconds} is no time: {error}") from error


def _table(payload: bytes, at: int) -> tuple[dict[str, Any], int]:
    (size,) = _LONG(payload, at)
    end = at + 4 + size
    try:
        return _fields(payload, at + 4, end), end
    except Exception as error:  # a nested table may even exhaust the stack
        raise _UnreadableValue(end, f"{type(error).__name__}: {error}"[:200]) from error


def _fields(payload: bytes, at: int, end: int) -> dict[str, Any]:
    table: dict[str, Any] = {}
    while at < end:
        name, at = _known(payload, at)
        tag = payload[at : at + 1]
        if tag == b"S":
            (length,) = _LONG(payload, at + 1)
            table[name], at = payload[at + 5 : at + 5 + length].decode(), at + 5 + length
        elif tag == b"l":
            (table[name],), at = _LONG_LONG(payload, at + 1), at + 9
        elif tag == b"t":
            table[name], at = payload[at + 1] != 0, at + 2
        else:
            used, table[name] = decode.embedded_value(payload[at:end])
            at += used
    return table


_READERS: dict[str, Read] = {"headers": _table, "delivery_mode": _octet, "priority": _octet, "timestamp": _timestamp}
_SELDOM_TWICE = {"correlation_id", "message_id", "expiration"}
_PROPERTIES: list[tuple[int, str, Read]] = [
    (Basic.Properties.flags[name], name, _READERS.get(name) or (_short if name in _SELDOM_TWICE else _known))
    for name in Basic.Properties.__slots__
]
