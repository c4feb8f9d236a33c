"""Two processes of each context on a cluster of three brokers: a leader is killed, and nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx
import psutil
import pytest
from pydantic import SecretStr

from ops.stack.servers import RabbitServer, start_all
from tests.conftest import MakeSettings
from tests.support import checks
from tests.support.proxy import Proxy
from tests.support.system import System, customer, eventually
from workers.runtime.messaging.rpc import RpcReply

CUSTOMERS, AT_ONCE = 150, 12
SECOND = " (second)"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RabbitServer]]:
    root = Path(tmp_path_factory.mktemp("cluster"))
    first = RabbitServer(root / "1", die_with_parent=True)
    start_all(first)
    others = [RabbitServer(root / name, joins=first, die_with_parent=True) for name in ("2", "3")]
    start_all(*others, patience=120)
    yield [first, *others]
    for node in (*others, first):
        node.destroy()


@pytest.fixture(scope="module")
async def front(cluster: list[RabbitServer]) -> AsyncIterator[Proxy]:
    """What clients of a cluster connect to: any node that listens."""
    first, *others = cluster
    proxy = await Proxy(first.amqp_url, *(node.ports["amqp"] for node in others)).mend()
    yield proxy
    await proxy.cut()


@pytest.fixture
async def doubled(make_settings: MakeSettings, front: Proxy, cluster: list[RabbitServer]) -> AsyncIterator[Any]:
    """Opens towns with two of each context."""
    opened: list[System] = []

    async def open_system(**more: Any) -> System:
        vhost = f"system-{uuid4().hex[:8]}"
        async with httpx.AsyncClient(base_url=cluster[0].api_url, trust_env=False, timeout=20) as api:
            (await api.put(f"/api/vhosts/{vhost}")).raise_for_status()
        patient = {"video_rental_payment_ms": 1200, "payments_provider_ms": 800}  # three nodes on this machine
        amqp = SecretStr(front.url + vhost)
        settings = await make_settings(**(patient | {"amqp_url": amqp, "request_queue_type": "quorum"} | more))
        system = await System(settings, "video_rental").open()
        opened.append(system)
        await system.start(*system.names)
        await system.start(*system.names, replica=SECOND)
        return system

    yield open_system
    for system in opened:
        await system.close()


async def leader_of_the_busiest(cluster: list[RabbitServer], system: System) -> tuple[str, RabbitServer]:
    """The queue with the most publications, and the node that leads it."""
    vhost = system.settings.amqp_url.get_secret_value().rpartition("/")[2]

    async def busiest() -> dict[str, Any] | None:
        """Queues have been counted."""
        async with httpx.AsyncClient(base_url=cluster[0].api_url, trust_env=False, timeout=20) as api:
            queues = (await api.get(f"/api/queues/{quote(vhost)}")).json()
        counted = [one for one in queues if one.get("message_stats", {}).get("publish") and one.get("leader")]
        quorum = [one for one in counted if one["type"] == "quorum"]
        return max(quorum, key=lambda one: one["message_stats"]["publish"], default=None)

    found = await eventually(busiest, within=20)
    return found["name"], next(node for node in cluster if node.nodename == found["leader"])


async def test_the_leader_of_the_busiest_queue_is_killed_under_load(doubled: Any, cluster: list[RabbitServer]) -> None:
    system: System = await doubled()
    video_id = await system.video(copies=CUSTOMERS)
    slots, booked, enough = asyncio.Semaphore(AT_ONCE), asyncio.Event(), asyncio.Event()

    async def book() -> tuple[UUID, RpcReply]:
        id = uuid4()
        async with slots:
            reply = await system.until_done(system.booking(video_id, customer()), id=id, within=90)
        booked.set()
        return id, reply

    async def keep_booking() -> list[tuple[UUID, RpcReply]]:
        """Until the leader is gone and the system works again."""
        answers: list[tuple[UUID, RpcReply]] = []
        while not enough.is_set() and len(answers) < CUSTOMERS - AT_ONCE:
            answers += await asyncio.gather(*(book() for _ in range(AT_ONCE)))
        return answers

    customers = asyncio.create_task(keep_booking())
    await booked.wait()
    _queue, leader = await leader_of_the_busiest(cluster, system)
    assert leader.pid
    psutil.Process(leader.pid).kill()
    after = await system.until_done(system.booking(video_id, customer()), id=uuid4(), within=90)
    enough.set()
    answers = await customers
    await system.wait_until_idle(within=90)

    rows = {row["rental_id"]: row for row in await checks.rentals_of(system, video_id)}
    assert after.kind == "done"
    assert [problem for id, reply in answers if (problem := checks.untrue(reply, rows.get(id)))] == []
    assert len(answers) >= AT_ONCE
    await eventually(lambda: _none(checks.discrepancies(system, video_id)), within=30)
    leader.start(patience=120)


async def test_of_two_processes_one_fires_each_timer(doubled: Any) -> None:
    patience = {"video_rental_payment_ms": 10_000, "payments_provider_ms": 5_000}
    system: System = await doubled(video_rental_pickup_hours=1 / 3600, **patience)
    video_id = await system.video(copies=20)

    replies = await asyncio.gather(*(system.until_done(system.booking(video_id), id=uuid4()) for _ in range(20)))
    booked = {str(json.loads(reply.body)["rental_id"]) for reply in replies if reply.kind == "done"}

    async def all_given_up() -> bool:
        rows = await checks.rentals_of(system, video_id)
        return all(row["status"] == "CANCELLED" for row in rows if str(row["rental_id"]) in booked)

    assert len(booked) > 10
    await eventually(all_given_up, within=40)
    await system.wait_until_idle(within=40)
    told = system.events_of("video_rental.rentals.booking_cancelled")  # perhaps twice: a slow confirm is not waited for
    ends = Counter(rental_id for rental_id, _ in {(event["rental_id"], event["version"]) for event in told})
    assert {ends[rental_id] for rental_id in booked} == {1}
    assert await checks.discrepancies(system, video_id) == []


async def _none(found: Any) -> bool:
    return not await found
