"""A frame writer combines frames, and waits for the socket."""

from __future__ import annotations

import asyncio
from typing import Any

from workers.runtime.messaging.accelerator.frame_writer import FrameWriter


class Channel:
    """The part of a channel that a frame writer uses."""

    def __init__(self, room: int = 0) -> None:
        self.write_queue: asyncio.Queue[Any] = asyncio.Queue(room)
        self.is_closed = False


async def test_a_writer_combines_frames_and_waits_for_the_socket() -> None:
    channel, writer = Channel(), FrameWriter()
    for frame in b"a", b"b":
        writer.write(channel, frame)
    first = await channel.write_queue.get()
    writer.write(channel, b"c")
    await asyncio.sleep(0)
    assert (first.payload, channel.write_queue.empty()) == (b"ab", True)

    first.drain()

    assert (await channel.write_queue.get()).payload == b"c"


async def test_a_writer_waits_while_the_queue_of_the_connection_is_full() -> None:
    channel, writer = Channel(room=1), FrameWriter()
    channel.write_queue.put_nowait(None)
    writer.write(channel, b"a")
    await asyncio.sleep(0)

    assert await channel.write_queue.get() is None
    assert (await channel.write_queue.get()).payload == b"a"


async def test_a_writer_drops_frames_of_another_connection() -> None:
    old, new, writer = Channel(), Channel(), FrameWriter(linger=60)
    writer.write(old, b"old")
    writer.write(new, b"new")

    await writer.flush(within=0)

    assert old.write_queue.empty()
    assert (await new.write_queue.get()).payload == b"new"


async def test_a_writer_drops_frames_of_a_channel_that_was_closed() -> None:
    """A frame for a closed channel must not be sent on the next channel with the same number."""
    closed, writer = Channel(), FrameWriter()
    other = Channel()
    other.write_queue = closed.write_queue
    writer.write(closed, b"lost")
    writer.write(other, b"sent")
    closed.is_closed = True

    await writer.flush(within=0)

    assert (await other.write_queue.get()).payload == b"sent"
