"""Drills of load: rolling restart, scaling, overload."""

from __future__ import annotations

import asyncio
import time

from ops.drills.local_system import CARD, LocalSystem, Result
from ops.drills.siege import MEMBERS, siege

READS = (
    "/v1/video-rental/my-page",
    "/v1/video-rental/videos",
    "/v1/cafe/menu",
    "/v1/bike-sharing/bikes",
    "/v1/ticketing/tickets",
    "/v1/shop/orders",
    "/v1/preorder/reservations",
)
"""The reads of the rolling restart; the write is a paid top-up, because an order at the café has only 610 ms."""
ROLLING_CLIENTS, CROWD, SCALED_CLIENTS, VIEWERS = 100, 255, 200, 1000
AS_LONG_AS_IT_TAKES = 600.0
"""Seconds; the load is stopped before."""


async def rolling_restart(system: LocalSystem) -> Result:
    """Every process is restarted under load, one replica at a time, without a failed request."""
    paid = system.post("/v1/bike-sharing/deposits/top-ups", {"amount": 1000, "payment": CARD})
    reads = [system.get(path) for path in READS]
    before = {one["name"]: one["pid"] for one in system.processes()}
    async with siege([paid, *reads], system.members, ROLLING_CLIENTS, AS_LONG_AS_IT_TAKES, pause=2) as running:
        began = time.monotonic()
        await system.run_command("restart", "all")
        took, throughout = time.monotonic() - began, running.is_running
        running.stop()
        load = await running.end()
    renewed = sum(one["pid"] != before.get(one["name"]) for one in system.processes())
    everyone = renewed == len(before) - 1  # all but the balancer
    figures = f"{renewed} processes in {took:.0f} s, {ROLLING_CLIENTS} clients: {load}"
    return Result(everyone and throughout and load.availability == 100.0 and load.total > 100, figures)


async def rollout_without_readiness(system: LocalSystem) -> Result:
    """For contrast: all replicas are restarted at once, without waiting until they are ready."""
    menu = system.get("/v1/cafe/menu")
    async with siege([menu], system.members, ROLLING_CLIENTS, 15, pause=1) as running:
        await system.run_command("stop", "cafe.menu")
        await system.run_command("start", "cafe.menu")
        load = await running.end()
    await system.wait_for(system.is_ready, 60)
    after = await system.load(menu, clients=MEMBERS, seconds=3, pause=1)
    return Result(load.availability < 100.0 and after.availability == 100.0, f"{load}; afterwards {after}")


async def scaling(system: LocalSystem) -> Result:
    """The throughput of a context that is the bottleneck, with one process and with five."""
    menu = system.get("/v1/cafe/menu")
    slow = {"YEYAK_DELAY_MS": "cafe.menu=100", "YEYAK_PREFETCH": "2"}
    await system.run_command("scale", "cafe.menu=1")
    async with system.with_settings("cafe.menu", **slow):
        before = await system.load(menu, clients=SCALED_CLIENTS, seconds=8)
        await system.run_command("scale", "cafe.menu=5")
        after = await system.load(menu, clients=SCALED_CLIENTS, seconds=8)
        await system.run_command("scale", "cafe.menu=2")
    figures = f"{SCALED_CLIENTS} clients: 1 process {before.rate:.0f} x 2xx/s, 5 processes {after.rate:.0f} x 2xx/s"
    return Result(after.rate > 2.5 * before.rate, figures)


async def viewers(system: LocalSystem) -> Result:
    """A thousand clients read a view, more than the two gateways process at once; they arrive within seconds."""
    load = await system.load(system.get("/v1/video-rental/my-page"), clients=VIEWERS, seconds=20, pause=10, arrival=8)
    return Result(load.availability == 100.0 and load.total > VIEWERS, f"{VIEWERS} clients: {load}")


async def overload(system: LocalSystem) -> Result:
    """More requests than the gateway admits: fast 503, and only 200 again once the load is gone."""
    menu = system.get("/v1/cafe/menu")
    slow = {"YEYAK_DELAY_MS": "cafe.menu=150"}
    async with system.with_settings("gateway", YEYAK_GATEWAY_IN_FLIGHT="25"), system.with_settings("cafe.menu", **slow):
        crowd = await system.load(menu, clients=CROWD, seconds=10)
        await asyncio.to_thread(system.processes)
        after = await system.load(menu, clients=MEMBERS, seconds=4, pause=1)
    shed, quick = crowd.statuses[503], crowd.slowest(503)
    only = set(crowd.statuses) <= {200, 503} and not crowd.without_response
    figures = f"{CROWD} clients: {crowd}, 503 within {quick:.2f} s (95 %); by itself afterwards {after}"
    return Result(shed > 0 and crowd.good > 0 and only and quick < 1.0 and after.availability == 100.0, figures)
