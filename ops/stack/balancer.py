"""The door in front of several gateways: each connection goes to one that can serve, and stays there.

`python -m ops.stack.balancer PORT GATEWAY_PORT...`; it looks at each gateway's `/ready`, and takes one out at once
when the supervisor says that it leaves.
"""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import uvloop

from ops.stack import control
from ops.stack.control import Answer
from ops.stack.local import local
from ops.stack.waiting import until

LOOK_SECONDS, CONNECT_SECONDS, TAKE_OVER_SECONDS = 0.2, 1.0, 5.0
BACKLOG = 2048

_PROBLEM = (
    '{"type":"/problems/unavailable","title":"잠시 이용할 수 없습니다","status":503,'
    '"detail":"이 요청으로 바뀐 것은 없습니다. 잠시 후 다시 시도해 주세요.","code":"unavailable"}'
).encode()
_HEAD = (
    "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Type: application/problem+json\r\n"
    f"Content-Language: ko\r\nContent-Length: {len(_PROBLEM)}\r\nConnection: close\r\n\r\n"
)
NOBODY = _HEAD.encode() + _PROBLEM
"""What a gateway says when it cannot serve."""


@dataclass(eq=False)
class Gateway:
    port: int
    ready: bool = False
    connections: set[asyncio.Transport] = field(default_factory=set)
    """Of clients that it serves."""
    empty: asyncio.Event = field(default_factory=asyncio.Event)
    away: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, client: asyncio.Transport) -> None:
        self.connections.add(client)

    def forget(self, client: asyncio.Transport) -> None:
        self.connections.discard(client)
        if not self.connections:
            self.empty.set()

    async def look(self) -> None:
        while True:
            self.ready = await _is_ready(self.port)
            if not self.ready:
                self.away.set()
            await asyncio.sleep(LOOK_SECONDS)


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
    """One direction of a connection; what one end says is written to the other."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: Pipe | None = None
        self.held: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by class

    def data_received(self, data: bytes) -> None:
        if self.other and self.other.transport:
            self.other.transport.write(data)
        else:
            self.held.append(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other and self.other.transport:
            self.other.transport.close()

    def pause_writing(self) -> None:
        if self.other and self.other.transport:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other and self.other.transport:
            self.other.transport.resume_reading()

    def join(self, other: "Pipe") -> None:
        self.other, other.other = other, self
        assert other.transport
        for data in self.held:
            other.transport.write(data)


class Client(Pipe):
    """The side of whoever knocks."""

    def __init__(self, balancer: "Balancer") -> None:
        super().__init__()
        self._balancer = balancer
        self.gateway: Gateway | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._balancer.admit(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.gateway and self.transport:
            self.gateway.forget(self.transport)


class Balancer:
    """Sends each connection to the ready gateway with the fewest."""

    def __init__(self, ports: list[int]) -> None:
        self._gateways = [Gateway(port) for port in ports]
        self._leaving: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def admit(self, client: Client) -> None:
        self.run(self._serve(client))

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def watch(self) -> None:
        for gateway in self._gateways:
            self.run(gateway.look())

    def end(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def obey(self, do: str, name: str, _env: control.Env | None) -> Answer:
        """`leave PORT`: once another is ready, nobody is sent there; returns when whoever was there has been served."""
        gateway = next((gateway for gateway in self._gateways if str(gateway.port) == name), None)
        if do != "leave" or gateway is None:
            return {"ok": False, "error": f"{do} {name}"}
        await until(partial(self._others_are_ready, gateway), TAKE_OVER_SECONDS)
        self._leaving.add(gateway.port)
        gateway.empty.clear()
        if gateway.connections:
            await gateway.empty.wait()
        self.run(self._readmit(gateway))
        return {"ok": True}

    async def _others_are_ready(self, gateway: Gateway) -> bool:
        return any(one is not gateway for one in self._choices())

    async def _readmit(self, gateway: Gateway) -> None:
        """It may come back once it has been away."""
        gateway.away.clear()
        await gateway.away.wait()
        self._leaving.discard(gateway.port)

    def _choices(self) -> list[Gateway]:
        open_ones = [one for one in self._gateways if one.ready and one.port not in self._leaving]
        return sorted(open_ones, key=lambda gateway: len(gateway.connections))

    async def _serve(self, client: Client) -> None:
        """A gateway that refuses the connection has heard nothing of it: another one may."""
        assert client.transport
        for gateway in self._choices():
            gateway.take(client.transport)
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    _, backend = await asyncio.get_running_loop().create_connection(Pipe, "127.0.0.1", gateway.port)
            except (OSError, TimeoutError):
                gateway.forget(client.transport)
                gateway.ready = False
                continue
            client.gateway = gateway
            client.join(backend)
            if client.transport.is_closing() and backend.transport:
                client.connection_lost(None)
            return
        client.transport.write(NOBODY)
        client.transport.close()


async def serve(port: int, gateways: list[int]) -> None:
    """Until SIGTERM."""
    loop, stop, balancer = asyncio.get_running_loop(), asyncio.Event(), Balancer(gateways)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    balancer.watch()
    server = await loop.create_server(lambda: Client(balancer), "127.0.0.1", port, backlog=BACKLOG)
    async with server, control.listening(local().root, balancer.obey, control.BALANCER):
        await stop.wait()
    balancer.end()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), [int(port) for port in sys.argv[2:]]))
