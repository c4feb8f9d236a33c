"""The frame reader returns the same frames as the AMQP library."""

from __future__ import annotations

import asyncio
import struct
from datetime import UTC, datetime
from typing import Any

import pytest
from aiormq.exceptions import AMQPConnectionError, InvalidFrameError
from hypothesis import given
from hypothesis import strategies as st
from pamqp import frame
from pamqp.body import ContentBody
from pamqp.commands import Basic, Channel
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from workers.runtime.messaging.accelerator.frame_reader import FrameReader, UnreadableHeader

short = st.text(max_size=60)
names = st.from_regex(r"[a-zA-Z0-9_.:-]{0,60}", fullmatch=True)
values = st.one_of(
    st.text(max_size=200), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.none(), st.lists(st.text(max_size=9))
)
properties = st.builds(
    Basic.Properties,
    content_type=st.none() | short,
    headers=st.none() | st.dictionaries(short, values | st.dictionaries(short, values, max_size=2), max_size=6),
    delivery_mode=st.sampled_from([None, 1, 2]),
    priority=st.none() | st.integers(0, 9),
    correlation_id=st.none() | short,
    reply_to=st.none() | short,
    expiration=st.none() | st.integers(0, 10**9).map(str),
    message_id=st.none() | short,
    timestamp=st.none() | st.integers(0, 2**32 - 1).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
    message_type=st.none() | short,
    user_id=st.none() | short,
    app_id=st.none() | short,
)
frames = st.one_of(
    st.builds(Basic.Deliver, short, st.integers(1, 2**63 - 1), st.booleans(), names, short),
    st.builds(Basic.Ack, st.integers(1, 2**63 - 1), st.booleans()),
    st.builds(Basic.Nack, st.integers(1, 2**63 - 1), st.booleans(), st.just(False)),
    st.builds(ContentHeader, st.just(0), st.integers(0, 2**40), properties),
    st.binary(min_size=1, max_size=300).map(ContentBody),
    st.builds(Channel.Close, st.integers(200, 540), short, st.just(0), st.just(0)),
    st.just(Heartbeat()),
)


def reader_of(data: bytes) -> FrameReader:
    """Return a reader of these bytes, for a connection that has been opened."""
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    found = FrameReader(reader)
    found.started = True
    return found


async def all_of(data: bytes) -> list[Any]:
    return [one async for one in reader_of(data)]


def shown(one: Any) -> Any:
    """Return the content of a frame in a form that can be compared."""
    if isinstance(one, ContentHeader):
        return "header", one.class_id, one.weight, one.body_size, dict(one.properties)
    if isinstance(one, ContentBody):
        return "body", one.value
    return type(one).__name__, [] if isinstance(one, Heartbeat) else dict(one)


@given(st.lists(st.tuples(st.integers(1, 2047), frames), min_size=1, max_size=4))
def test_every_frame_is_read_as_the_library_reads_it(sent: list[tuple[int, Any]]) -> None:
    pieces = [frame.marshal(one, channel) for channel, one in sent]

    read = asyncio.run(all_of(b"".join(pieces)))

    expected = [frame.unmarshal(piece) for piece in pieces]
    assert [(used, channel, shown(one)) for used, channel, one in read] == [
        (used, channel, shown(one)) for used, channel, one in expected
    ]


@given(frames, st.data())
def test_a_broken_frame_raises_the_librarys_error(one: Any, data: st.DataObject) -> None:
    whole = frame.marshal(one, 1)
    cut = data.draw(st.integers(1, len(whole) - 1))

    with pytest.raises(AMQPConnectionError):
        asyncio.run(all_of(whole[:cut]))
    with pytest.raises(InvalidFrameError):
        asyncio.run(all_of(whole[:-1] + b"\x00"))


def test_a_frame_with_wrong_lengths_raises_the_librarys_error() -> None:
    lying = b"\x01\x00\x01\x00\x00\x00\x06\x00\x3c\x00\x3c\xff\x00\xce"

    with pytest.raises(InvalidFrameError):
        asyncio.run(all_of(lying))


# -- properties that cannot be read


def header_frame(**given: Any) -> bytes:
    return frame.marshal(ContentHeader(0, 2, Basic.Properties(message_id="m1", app_id="test", **given)), 1)


def deep_headers(depth: int) -> bytes:
    """A header frame whose headers are a table in a table in a table."""
    table = b""
    for _ in range(depth):
        table = b"\x01tF" + struct.pack(">I", len(table)) + table
    flags = Basic.Properties.flags["headers"] | Basic.Properties.flags["message_id"] | Basic.Properties.flags["app_id"]
    payload = struct.pack(">HHQH", 60, 0, 2, flags) + struct.pack(">I", len(table)) + table + b"\x02m1\x04test"
    return struct.pack(">BHI", 2, 1, len(payload)) + payload + b"\xce"


NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECONDS = int(NOON.timestamp())
NOT_UTF8 = b"\x04\xff\xfe\xfd\xfc"
UNREADABLE = {
    "microseconds": (
        header_frame(timestamp=NOON).replace(struct.pack(">Q", SECONDS), struct.pack(">Q", SECONDS * 10**6)),
        "timestamp",
    ),
    "correlation id": (header_frame(correlation_id="cccc").replace(b"\x04cccc", NOT_UTF8), "correlation_id"),
    "content type": (header_frame(content_type="cccc").replace(b"\x04cccc", NOT_UTF8), "content_type"),
    "name of a header": (header_frame(headers={"cccc": True}).replace(b"\x04cccc", NOT_UTF8), "headers"),
    "text of a header": (header_frame(headers={"a": "cccc"}).replace(b"cccc", NOT_UTF8[1:]), "headers"),
    "type of a header": (header_frame(headers={"a": True}).replace(b"\x01at\x01", b"\x01a\x01\x01"), "headers"),
    "deep headers": (deep_headers(3000), "headers"),
}


@pytest.mark.parametrize(("data", "name"), UNREADABLE.values(), ids=UNREADABLE)
async def test_a_property_that_cannot_be_read_is_left_out_and_named(data: bytes, name: str) -> None:
    ((_, _, header), (_, _, next_one)) = await all_of(data + header_frame())

    assert isinstance(header, UnreadableHeader)
    assert header.reason.startswith(f"{name}: ")
    assert (header.body_size, header.properties.message_id, header.properties.app_id) == (2, "m1", "test")
    assert getattr(header.properties, name) is None
    assert type(next_one) is ContentHeader


async def test_a_routing_key_that_is_not_utf8_is_read_with_replacements() -> None:
    deliver = frame.marshal(Basic.Deliver("c", 1, False, "x", "cccc"), 1).replace(b"\x04cccc", NOT_UTF8)

    ((_, _, read),) = await all_of(deliver)

    assert read.routing_key == "\ufffd" * 4
