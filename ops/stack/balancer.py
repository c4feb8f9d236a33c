"""A TCP load balancer for several gateways: each connection is assigned to one ready gateway for its whole life.

Usage: `python -m ops.stack.balancer PORT GATEWAY_PORT...`. It polls `/ready` of every gateway, and takes a gateway out
of rotation at once when the supervisor sends `drain PORT` over the control socket.
"""

import asyncio
import contextlib
import resource
import signal
import sys
from collections.abc import Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import uvloop

from ops.stack import control
from ops.stack.control import Reply
from ops.stack.local import local
from ops.stack.waiting import until

PROBE_SECONDS, CONNECT_SECONDS, OTHERS_READY_SECONDS = 0.2, 1.0, 5.0
HALF_CLOSED_SECONDS = 10.0
BACKLOG = 2048

_PROBLEM = (
    '{"type":"/problems/unavailable","title":"잠시 이용할 수 없습니다","status":503,'
    '"detail":"이 요청으로 바뀐 것은 없습니다. 잠시 후 다시 시도해 주세요.","code":"unavailable"}'
).encode()
_HEAD = (
    "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Type: application/problem+json\r\n"
    f"Content-Language: ko\r\nContent-Length: {len(_PROBLEM)}\r\nConnection: close\r\n\r\n"
)
UNAVAILABLE = _HEAD.encode() + _PROBLEM
"""The response while no gateway is ready; the same bytes as a gateway's own `unavailable` problem."""


@dataclass(eq=False)
class Backend:
    """One gateway behind the balancer."""

    port: int
    ready: bool = False
    connections: set[asyncio.Transport] = field(default_factory=set)
    """The open connections of its clients."""
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    not_ready: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, client: asyncio.Transport) -> None:
        self.connections.add(client)

    def remove(self, client: asyncio.Transport) -> None:
        self.connections.discard(client)
        if not self.connections:
            self.idle.set()

    async def probe(self) -> None:
        while True:
            self.ready = await _is_ready(self.port)
            if not self.ready:
                self.not_ready.set()
            await asyncio.sleep(PROBE_SECONDS)


async def _is_ready(port: int) -> bool:
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with contextlib.closing(writer):
                writer.write(b"GET /ready HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n")
                return (await reader.readline()).split()[1:2] == [b"200"]
    except (OSError, TimeoutError):
        return False


class Pipe(asyncio.Protocol):
    """One end of a proxied connection; bytes received here are written to the other end."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: Pipe | None = None
        self.buffered: list[bytes] = []
        self.ended = False
        """Whether it sends no more."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's transport does not subclass asyncio.Transport

    def data_received(self, data: bytes) -> None:
        if self.other and self.other.transport:
            self.other.transport.write(data)
        else:
            self.buffered.append(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other and self.other.transport:
            self.other.transport.close()

    def eof_received(self) -> bool:
        """Pass on that this end sends no more; the other may send on for a while, so that it can read the answer."""
        self.ended = True
        if not (self.other and self.other.transport) or self.other.ended or self.other.transport.is_closing():
            return False
        self.other.transport.write_eof()
        assert self.transport
        asyncio.get_running_loop().call_later(HALF_CLOSED_SECONDS, self.transport.close)
        return True

    def pause_writing(self) -> None:
        if self.other and self.other.transport:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other and self.other.transport:
            self.other.transport.resume_reading()

    def connect_to(self, other: "Pipe") -> None:
        self.other, other.other = other, self
        assert other.transport
        for data in self.buffered:
            other.transport.write(data)


class Client(Pipe):
    """The client's end of a proxied connection."""

    def __init__(self, balancer: "Balancer") -> None:
        super().__init__()
        self._balancer = balancer
        self.gateway: Backend | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._balancer.accept(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.gateway and self.transport:
            self.gateway.remove(self.transport)


class Balancer:
    """Assigns each connection to the ready gateway with the fewest connections."""

    def __init__(self, ports: list[int]) -> None:
        self._gateways = [Backend(port) for port in ports]
        self._draining: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def accept(self, client: Client) -> None:
        self.run(self._serve(client))

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def start_probing(self) -> None:
        for gateway in self._gateways:
            self.run(gateway.probe())

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def handle_command(self, command: str, name: str, _env: control.Env | None) -> Reply:
        """`drain PORT`: stop sending new requests to this replica once another is ready.

        Returns when its open requests have finished.
        """
        gateway = next((gateway for gateway in self._gateways if str(gateway.port) == name), None)
        if command != "drain" or gateway is None:
            return {"ok": False, "error": f"unknown command: {command} {name}"}
        await until(partial(self._others_are_ready, gateway), OTHERS_READY_SECONDS)
        self._draining.add(gateway.port)
        gateway.idle.clear()
        if gateway.connections:
            await gateway.idle.wait()
        self.run(self._await_restart(gateway))
        return {"ok": True}

    async def _others_are_ready(self, gateway: Backend) -> bool:
        return any(one is not gateway for one in self._available())

    async def _await_restart(self, gateway: Backend) -> None:
        """Return it to the rotation after it has been seen not ready, that is, restarted."""
        gateway.not_ready.clear()
        await gateway.not_ready.wait()
        self._draining.discard(gateway.port)

    def _available(self) -> list[Backend]:
        available = [one for one in self._gateways if one.ready and one.port not in self._draining]
        return sorted(available, key=lambda gateway: len(gateway.connections))

    async def _serve(self, client: Client) -> None:
        """Connect a client to a gateway; one that refuses the connection has received nothing, so the next is tried."""
        assert client.transport
        for gateway in self._available():
            gateway.add(client.transport)
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    _, backend = await asyncio.get_running_loop().create_connection(Pipe, "127.0.0.1", gateway.port)
            except (OSError, TimeoutError):
                gateway.remove(client.transport)
                gateway.ready = False
                continue
            client.gateway = gateway
            client.connect_to(backend)
            if client.transport.is_closing() and backend.transport:
                client.connection_lost(None)
            return
        client.transport.write(UNAVAILABLE)
        client.transport.close()


async def serve(port: int, gateways: list[int]) -> None:
    """Serve until SIGTERM or SIGINT; each connection needs two files."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    loop, stop, balancer = asyncio.get_running_loop(), asyncio.Event(), Balancer(gateways)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    balancer.start_probing()
    server = await loop.create_server(lambda: Client(balancer), "127.0.0.1", port, backlog=BACKLOG)
    async with server, control.serve_commands(local().root, balancer.handle_command, control.BALANCER):
        await stop.wait()
    balancer.stop()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), [int(port) for port in sys.argv[2:]]))
