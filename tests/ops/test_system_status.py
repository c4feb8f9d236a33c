"""The system status with and without the supervisor's file, and of a system that is down."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from pydantic import SecretStr

from ops.commands.status import breakers, span
from ops.settings import SystemSettings
from ops.stack.local import Local
from ops.system_status import SystemDownError, SystemStatus, queue_status, read_status, uptime
from tests.support.system import System, eventually
from workers.registry import CONTEXTS, workers
from workers.runtime.messaging import topology
from workers.runtime.messaging.exchanges import SESSION_STREAM
from workers.runtime.projections.view import View


@pytest.fixture(scope="module")
async def system(make_settings: Callable[..., Awaitable[SystemSettings]]) -> AsyncIterator[System]:
    """A system in which every context runs."""
    running = await System(await make_settings()).open()
    await running.start(*CONTEXTS)
    yield running
    await running.close()


class Supervised:
    """The state that a supervisor writes into `.local`."""

    def __init__(self, state: dict[str, Any] | None) -> None:
        self._state = state

    def supervisor_pid(self) -> int | None:
        return 1 if self._state else None

    def read_state(self) -> dict[str, Any]:
        return self._state or {"phase": "up", "processes": [{"name": "of a supervisor that is gone"}]}


def here(state: dict[str, Any] | None) -> Local:
    return cast(Local, Supervised(state))


def process(name: str, url: str | None, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "pid": 4711,
        "contexts": [name],
        "state": "running",
        "restarts": 2,
        "started_at": datetime.now(UTC).isoformat(),
        "health_url": url,
        **more,
    }


async def answering(status: int, body: dict[str, Any]) -> tuple[asyncio.Server, str]:
    """An HTTP handler that answers as a health endpoint."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        content = json.dumps(body).encode()
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n"
        writer.write(f"{head}Connection: close\r\n\r\n".encode() + content)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_each_process_is_probed_for_readiness(system: System) -> None:
    well, well_url = await answering(200, {"ready": True, "breakers": {"payments": {}}})
    unwell, unwell_url = await answering(503, {"ready": False, "breakers": {"cafe.orders": {"cafe.menu": "open"}}})
    state = {
        "phase": "up",
        "servers": [{"name": "rabbitmq", "pid": 1, "state": "running", "restarts": 0}],
        "processes": [
            process("payments", well_url),
            process("cafe.orders", unwell_url),
            process("shop.orders", "http://127.0.0.1:1", pid=None, state="backoff"),
            process("gateway", well_url, contexts=[]),
        ],
    }
    async with well, unwell:
        stands = await read_status(system.settings, here(state))

    assert [(one["name"], one["ready"]) for one in stands.processes] == [
        ("payments", True),
        ("cafe.orders", False),
        ("shop.orders", False),
        ("gateway", True),
    ]
    first = stands.processes[0]
    assert (first["pid"], first["contexts"], first["restarts"], first["state"]) == (4711, ["payments"], 2, "running")
    assert 0 <= first["uptime_seconds"] < 60
    assert stands.processes[2]["uptime_seconds"] is None
    assert stands.breakers["cafe.orders"] == {"cafe.menu": "open"}
    assert stands.problems == ["cafe.orders is not ready", "shop.orders is not ready"]
    assert not stands.ready


async def test_the_status_of_a_ready_system(system: System) -> None:
    stands = await read_status(system.settings, here({"phase": "up", "servers": [], "processes": []}))

    writers = {worker.name for worker in workers() if not isinstance(worker, View)}
    assert stands.ready
    assert set(stands.outbox) == set(stands.timers) == writers
    assert stands.outbox["payments"] == {"rows": 0, "age_seconds": 0.0}
    assert set(stands.timers["payments"]) == {"waiting", "started", "due", "dead"}
    assert stands.dead_letters == {"open": 0, "contexts": {}}
    names = [queue["name"] for queue in stands.queues]
    assert "video_rental.rentals.book_video@video_rental.rentals" in names
    assert not [name for name in names if name.endswith("@replies")]


async def test_without_a_supervisor_the_consumers_of_the_broker_are_the_processes(system: System) -> None:
    async def ready() -> SystemStatus | None:
        status = await read_status(system.settings, here(None))
        return status if status.ready else None

    stands = await eventually(ready, within=15, every=0.25)  # the broker counts every 5 s

    assert stands.problems == []
    assert {context for one in stands.processes for context in one["contexts"]} == set(CONTEXTS)
    assert all(one["ready"] and one["pid"] is None for one in stands.processes)


async def test_a_system_that_is_down_is_reported(system: System) -> None:
    away = system.settings.model_copy(update={"rabbitmq_api": SecretStr("http://kim:pass@127.0.0.1:1")})

    with pytest.raises(SystemDownError, match="the system is down: `yeyak up` starts it") as down:
        await read_status(away, here(None))

    assert "pass" not in str(down.value)


async def test_a_missing_queue_and_an_unavailable_database_are_problems(
    make_settings: Callable[..., Awaitable[SystemSettings]],
) -> None:
    settings = await make_settings()  # the topology was never applied
    settings = settings.model_copy(
        update={"context_database_urls": {"payments": SecretStr("postgresql://nobody@127.0.0.1:1/x")}}
    )

    stands = await read_status(settings, here({"phase": "preparing", "servers": [], "processes": []}))

    assert stands.problems[0] == "the system is preparing"
    assert any(problem.startswith("the database of payments cannot be read") for problem in stands.problems)
    assert "queue yeyak.dead is missing: run `yeyak topology apply`" in stands.problems


def test_the_backlog_of_a_queue_includes_unacknowledged_messages() -> None:
    queue = {"messages": 5, "messages_ready": 3, "messages_unacknowledged": 2, "consumers": 1}

    assert queue_status("a@b", queue, None) == {"name": "a@b", "backlog": 5, "ready": 3, "unacked": 2, "consumers": 1}


@pytest.mark.parametrize(("read_to", "backlog"), [(9, 0), (4, 5), (-1, 10), (None, 0)])
def test_the_backlog_of_the_stream_is_what_the_journal_has_not_read(read_to: int | None, backlog: int) -> None:
    queue = {"messages": 10, "messages_ready": 10, "messages_unacknowledged": 0, "consumers": 1}

    assert queue_status(topology.STREAM, queue, read_to)["backlog"] == backlog


def test_the_stream_of_ended_sessions_has_no_backlog() -> None:
    queue = {"messages": 10, "messages_ready": 10, "messages_unacknowledged": 0, "consumers": 2}

    assert queue_status(SESSION_STREAM, queue, 4)["backlog"] == 0


def test_uptime_counts_from_the_last_start() -> None:
    now = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)

    assert uptime({"started_at": "2026-03-01T12:00:00+00:00"}, now) == 30.0
    assert uptime({"started_at": None}, now) is None


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, ""), (0, ""), (3.4, "3 s"), (119, "119 s"), (150, "2 min"), (7300, "2 h"), (200_000, "2 d")],
)
def test_durations_are_printed_short(seconds: float | None, shown: str) -> None:
    assert span(seconds) == shown


def test_only_breakers_that_are_not_closed_are_shown() -> None:
    assert breakers({"payments": "closed", "cafe.menu": "half_open", "shop.products": "open"}) == (
        "cafe.menu half open, shop.products open"
    )
