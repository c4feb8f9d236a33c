"""Drills of serving: restarted, scaled, crowded."""

from __future__ import annotations

import asyncio
import time

from ops.drills.local_system import CARD, Place, Result
from ops.drills.siege import MEMBERS, siege

LOOKS = (
    "/v1/video-rental/my-page",
    "/v1/video-rental/videos",
    "/v1/cafe/menu",
    "/v1/bike-sharing/bikes",
    "/v1/ticketing/tickets",
    "/v1/shop/orders",
    "/v1/preorder/reservations",
)
"""And a paid top-up: an order at the café is worth 610 ms, which a busy machine does not always have."""
ROLLING_CLIENTS, CROWD, SCALED_CLIENTS, VIEWERS = 100, 255, 200, 1000
AS_LONG_AS_IT_TAKES = 600.0
"""A siege that is told when to finish."""


async def rolling_restart(place: Place) -> Result:
    """Every process is restarted under load, one replica at a time; nobody notices."""
    paid = place.post("/v1/bike-sharing/deposits/top-ups", {"amount": 1000, "payment": CARD})
    looks = [place.get(path) for path in LOOKS]
    before = {one["name"]: one["pid"] for one in place.processes()}
    async with siege([paid, *looks], place.members, ROLLING_CLIENTS, AS_LONG_AS_IT_TAKES, pause=2) as besieging:
        began = time.monotonic()
        await place.order("restart", "all")
        took, throughout = time.monotonic() - began, besieging.under_way
        besieging.finish()
        load = await besieging.end()
    renewed = sum(one["pid"] != before.get(one["name"]) for one in place.processes())
    everyone = renewed == len(before) - 1  # all but the balancer
    figures = f"{renewed} processes in {took:.0f} s, {ROLLING_CLIENTS} clients: {load}"
    return Result(everyone and throughout and load.availability == 100.0 and load.total > 100, figures)


async def rollout_without_readiness(place: Place) -> Result:
    """For contrast: all replicas at once, and nobody waits until they can work."""
    menu = place.get("/v1/cafe/menu")
    async with siege([menu], place.members, ROLLING_CLIENTS, 15, pause=1) as besieging:
        await place.order("stop", "cafe.menu")
        await place.order("start", "cafe.menu")
        load = await besieging.end()
    await place.comes(place.is_ready, 60)
    after = await place.load(menu, clients=MEMBERS, seconds=3, pause=1)
    return Result(load.availability < 100.0 and after.availability == 100.0, f"{load}; afterwards {after}")


async def scaling(place: Place) -> Result:
    """A context that is the bottleneck, with one process and with five."""
    menu = place.get("/v1/cafe/menu")
    slow = {"YEYAK_DELAY_MS": "cafe.menu=100", "YEYAK_PREFETCH": "2"}
    await place.order("scale", "cafe.menu=1")
    async with place.changed("cafe.menu", **slow):
        before = await place.load(menu, clients=SCALED_CLIENTS, seconds=8)
        await place.order("scale", "cafe.menu=5")
        after = await place.load(menu, clients=SCALED_CLIENTS, seconds=8)
        await place.order("scale", "cafe.menu=2")
    figures = f"{SCALED_CLIENTS} clients: 1 process {before.rate:.0f} x 2xx/s, 5 processes {after.rate:.0f} x 2xx/s"
    return Result(after.rate > 2.5 * before.rate, figures)


async def viewers(place: Place) -> Result:
    """A thousand clients, more than the two gateways hold requests at once, read a view; they come within seconds."""
    load = await place.load(place.get("/v1/video-rental/my-page"), clients=VIEWERS, seconds=20, pause=10, arrival=8)
    return Result(load.availability == 100.0 and load.total > VIEWERS, f"{VIEWERS} clients: {load}")


async def overload(place: Place) -> Result:
    """More than the gateway lets in: fast 503, and good answers again when the crowd is gone."""
    menu = place.get("/v1/cafe/menu")
    slow = {"YEYAK_DELAY_MS": "cafe.menu=150"}
    async with place.changed("gateway", YEYAK_GATEWAY_IN_FLIGHT="25"), place.changed("cafe.menu", **slow):
        crowd = await place.load(menu, clients=CROWD, seconds=10)
        await asyncio.to_thread(place.processes)
        after = await place.load(menu, clients=MEMBERS, seconds=4, pause=1)
    shed, quick = crowd.statuses[503], crowd.slowest(503)
    only = set(crowd.statuses) <= {200, 503} and not crowd.broken
    figures = f"{CROWD} clients: {crowd}, 503 within {quick:.2f} s (95 %); by itself afterwards {after}"
    return Result(shed > 0 and crowd.good > 0 and only and quick < 1.0 and after.availability == 100.0, figures)
