"""The load generator: a process of its own that takes jobs as JSON lines and answers each with one.

Closed loop: each client sends its next request when it has the answer to the last. Clients are bare protocols on
keep-alive connections, because they use the same cores as the system.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import uvloop

LOST = 599
"""The status of a request whose connection was lost."""
ROW_POLL_SECONDS = 0.001

Answered = Callable[[int, bytes], None]


class Connection(asyncio.Protocol):
    """One keep-alive connection with one request at a time."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._held = b""
        self._answered: Answered | None = None

    @classmethod
    async def open(cls, port: int) -> Connection:
        _, connection = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return connection

    def send(self, request: bytes, answered: Answered) -> None:
        self._answered = answered
        self._transport.write(request)

    async def fetch(self, request: bytes) -> tuple[int, bytes]:
        """Status and body."""
        future: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
        self.send(request, lambda status, body: future.set_result((status, body)))
        return await future

    def close(self) -> None:
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        held = self._held + data if self._held else data
        head = held.find(b"\r\n\r\n")
        if head < 0 or len(held) < (end := head + 4 + _length(held[:head])):
            self._held = held
            return
        self._held = b""
        self._finish(int(held[9:12]), held[head + 4 : end])

    def connection_lost(self, error: Exception | None) -> None:
        self._finish(LOST, b"")

    def _finish(self, status: int, body: bytes) -> None:
        answered, self._answered = self._answered, None
        if answered:
            answered(status, body)


def _length(head: bytes) -> int:
    found = head.lower().partition(b"content-length:")[2]
    return int(found.partition(b"\r\n")[0] or 0)


def requests(job: dict[str, Any]) -> Iterator[bytes]:
    """Yield requests: head n, a unique key, and a body; every (head, body) pair comes once before any is repeated.

    Consecutive requests take different bodies, so that they do not contend for one row.
    """
    heads = [head.encode() for head in job["heads"]]
    bodies = [body.encode() for body in job["bodies"]]
    run = uuid4()
    for n in count(job["first"]):
        lap, place = divmod(n, len(heads))
        key = f"Idempotency-Key: {run}-{n}\r\n" if job["keys"] else ""
        yield heads[place] + key.encode() + b"\r\n" + bodies[(place + lap) % len(bodies)]


async def book(job: dict[str, Any]) -> dict[str, Any]:
    """Send requests for `seconds` over `clients` connections."""
    stream = requests(job)
    statuses: Counter[int] = Counter()
    micros: list[int] = []
    samples: dict[int, str] = {}
    connections = [await Connection.open(job["port"]) for _ in range(job["clients"])]
    left = len(connections)
    done = asyncio.Event()
    started = time.perf_counter()
    deadline = started + job["seconds"]

    def drive(connection: Connection) -> None:
        nonlocal left
        sent = time.perf_counter()
        if sent >= deadline:
            left -= 1
            if not left:
                done.set()
            return

        def answered(status: int, body: bytes) -> None:
            nonlocal left
            statuses[status] += 1
            if status == job["expect"]:
                micros.append(round((time.perf_counter() - sent) * 1e6))
            else:
                samples.setdefault(status, body[:300].decode(errors="replace"))
            if status == LOST:
                left -= 1
                if not left:
                    done.set()
            else:
                drive(connection)

        connection.send(next(stream), answered)

    for connection in connections:
        drive(connection)
    await done.wait()
    took = time.perf_counter() - started
    for connection in connections:
        connection.close()
    sent = sum(statuses.values())
    return {"seconds": took, "sent": sent, "statuses": dict(statuses), "samples": samples, "micros": micros}


async def lag(job: dict[str, Any]) -> dict[str, Any]:
    """Book one at a time and measure the time from the 201 until My Page has it, over HTTP and as a row in turn."""
    connection = await Connection.open(job["port"])
    database = await asyncpg.connect(job["database"])
    stream = requests(job)
    heads = job["reads"]
    page: list[int] = []
    row: list[int] = []
    failed: Counter[int] = Counter()
    sent = 0
    deadline = time.perf_counter() + job["seconds"]
    while time.perf_counter() < deadline:
        n = job["first"] + sent
        status, body = await connection.fetch(next(stream))
        booked_at = time.perf_counter()
        sent += 1
        if status != 201:
            failed[status] += 1
            continue
        rental = json.loads(body)
        if sent % 2:
            read = heads[n % len(heads)].replace("{rental_id}", rental["rental_id"])
            read = read.replace("{version}", str(rental["version"])) + "\r\n"
            await _until(lambda: _page_has(connection, read.encode(), rental["version"]), 0)  # noqa: B023
            page.append(round((time.perf_counter() - booked_at) * 1e6))
        else:
            id, version = UUID(rental["rental_id"]), rental["version"]
            await _until(lambda: database.fetchval(job["row"], id, version), ROW_POLL_SECONDS)  # noqa: B023
            row.append(round((time.perf_counter() - booked_at) * 1e6))
        await asyncio.sleep(random.uniform(0, 0.02))  # to not run in step with the system's timers
    connection.close()
    await database.close()
    return {"sent": sent, "statuses": dict(failed), "page": page, "row": row}


async def _page_has(connection: Connection, read: bytes, version: int) -> bool:
    status, body = await connection.fetch(read)
    return status == 200 and json.loads(body)["version"] >= version


async def _until(holds: Callable[[], Awaitable[Any]], pause: float) -> None:
    async with asyncio.timeout(10):
        while True:
            if await holds():
                return
            await asyncio.sleep(pause)


CLIENTS_OF: dict[bool, Callable[[], Awaitable[str]]] = {}
"""The connected clients: True for the system, False for the floor."""


async def request(job: dict[str, Any]) -> dict[str, Any]:
    """Send queries over the queue for `seconds`, `clients` at a time, without the gateway."""
    kind = _yeyak_client if job["yeyak"] else _floor_client
    send = CLIENTS_OF[job["yeyak"]] = CLIENTS_OF.get(job["yeyak"]) or await kind(job)
    micros: list[int] = []
    failed: Counter[str] = Counter()
    started = time.perf_counter()

    async def client() -> None:
        while (sent := time.perf_counter()) < started + job["seconds"]:
            outcome = await send()
            if outcome == "done":
                micros.append(round((time.perf_counter() - sent) * 1e6))
            else:
                failed[outcome] += 1

    await asyncio.gather(*(client() for _ in range(job["clients"])))
    took = time.perf_counter() - started
    return {"seconds": took, "sent": len(micros) + failed.total(), "statuses": dict(failed), "micros": micros}


async def _yeyak_client(job: dict[str, Any]) -> Callable[[], Awaitable[str]]:
    from contracts.video_rental.rentals import ShowShelf
    from workers.runtime.messaging import accelerator
    from workers.runtime.messaging.broker import Broker
    from workers.runtime.messaging.envelope import RpcRequest
    from workers.runtime.messaging.rpc import RpcClient
    from workers.settings import worker_settings

    accelerator.enable()
    broker = Broker(job["amqp"], "bench")
    await broker.connect()
    rpc = RpcClient(broker, worker_settings())
    body = ShowShelf(video_id=UUID(job["id"])).model_dump_json().encode()

    async def once() -> str:
        id = uuid4()
        request = RpcRequest(ShowShelf.topic, ShowShelf.exchange, body, id, "staff:bench", id)
        return (await rpc.call(request, within=5)).kind

    return once


async def _floor_client(job: dict[str, Any]) -> Callable[[], Awaitable[str]]:
    from bench.floor import READS, FloorConnection, ReplyToClient

    client = await ReplyToClient.open(await FloorConnection.open(job["amqp"]))

    async def once() -> str:
        return "done" if len(await client.request(READS, job["id"].encode())) > 2 else "nothing"

    return once


JOBS = {"book": book, "lag": lag, "request": request}


async def main() -> None:
    loop = asyncio.get_running_loop()
    print("ready", flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        job = json.loads(line)
        result = await JOBS[job.pop("job")](job)
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
