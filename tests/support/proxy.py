"""A proxy before a server, which a test can cut off and restore."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from urllib.parse import urlsplit


class Proxy:
    """Forwards connections to a server on this machine; when it is cut off, it closes them and refuses new ones.

    With `others`, connections go to each port in turn, and to the next one if it refuses.
    """

    def __init__(self, url: str, *others: int) -> None:
        parts = urlsplit(url)
        self._url = url
        self._from = parts.netloc.rpartition("@")[2]
        self._targets = deque((parts.port or 0, *others))
        self._server: asyncio.Server | None = None
        self._port = 0
        self._open: set[asyncio.StreamWriter] = set()
        self._is_silent = False
        self.kept_waiting: list[asyncio.StreamWriter] = []
        """Connections that were accepted while the proxy was silent; they get no answer."""
        self._passing: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The server's URL, through here."""
        return self._url.replace(self._from, f"127.0.0.1:{self._port}", 1)

    async def fall_silent(self) -> None:
        """Close all connections; accept new ones from now on, and never answer them."""
        await self.cut()
        await self.mend()
        self._is_silent = True

    async def mend(self) -> Proxy:
        """Forward new connections from now on."""
        self._is_silent = False
        if self._server is not None:
            return self
        self._server = await asyncio.start_server(self._come, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def cut(self) -> None:
        """Close all connections and the port."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._open:
            writer.transport.abort()
        self._open.clear()
        for writer in self.kept_waiting:
            writer.transport.abort()

    async def _come(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_silent:
            self.kept_waiting.append(writer)
            return
        inner = await self._reached()
        if inner is None:
            writer.transport.abort()
            return
        inner_reader, inner_writer = inner
        self._open |= {writer, inner_writer}
        for source, sink in ((reader, inner_writer), (inner_reader, writer)):
            task = asyncio.create_task(self._pass(source, sink))
            self._passing.add(task)
            task.add_done_callback(self._passing.discard)

    async def _reached(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        self._targets.rotate(-1)
        for port in tuple(self._targets):
            with contextlib.suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", port)
        return None

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65_536):
                sink.write(data)
                await sink.drain()
        sink.close()
        self._open.discard(sink)
