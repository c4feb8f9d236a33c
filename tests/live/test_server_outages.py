"""The broker and the database restart, are killed or cut off under load: no message is lost or has its effect twice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4

import httpx
import pytest

from tests.support import checks
from tests.support.servers import Servers
from tests.support.system import System, customer
from workers.runtime.messaging.envelope import RpcReply

Fault = Callable[[Servers], Awaitable[None]]
MEMBERS, AT_ONCE = 60, 8


async def broker_restarted(servers: Servers) -> None:
    await asyncio.to_thread(servers.rabbit.stop)
    await asyncio.to_thread(servers.rabbit.start)


async def broker_killed(servers: Servers) -> None:
    await asyncio.to_thread(servers.rabbit.kill)
    await asyncio.to_thread(servers.rabbit.start)


async def connections_closed(servers: Servers) -> None:
    async with httpx.AsyncClient(base_url=servers.rabbit.api_url, trust_env=False) as api:
        for connection in (await api.get("/api/connections")).json():
            await api.delete(f"/api/connections/{connection['name']}")


async def database_restarted(servers: Servers) -> None:
    await asyncio.to_thread(servers.postgres.stop)
    await asyncio.to_thread(servers.postgres.start)


async def database_killed(servers: Servers) -> None:
    await asyncio.to_thread(servers.postgres.kill)
    await asyncio.to_thread(servers.postgres.start)


FAULTS = [broker_restarted, broker_killed, connections_closed, database_restarted, database_killed]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__.replace("_", " "))
async def test_every_answer_is_true_although_a_server_fails_under_load(
    system: System, servers: Servers, fault: Fault
) -> None:
    video_id = await system.video(copies=MEMBERS)
    slots = asyncio.Semaphore(AT_ONCE)
    booked = asyncio.Event()

    async def book() -> tuple[UUID, RpcReply]:
        id = uuid4()
        async with slots:
            reply = await system.until_done(system.booking(video_id, customer()), id=id, within=60)
        booked.set()
        return id, reply

    customers = [asyncio.create_task(book()) for _ in range(MEMBERS)]
    await booked.wait()
    await fault(servers)
    answers = await asyncio.gather(*customers)
    await system.wait_until_idle(within=40)

    rows = {row["rental_id"]: row for row in await checks.rentals_of(system, video_id)}
    assert [problem for id, reply in answers if (problem := checks.untrue(reply, rows.get(id)))] == []
    assert await checks.discrepancies(system, video_id) == []
