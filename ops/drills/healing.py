"""Drills of self-healing: frozen and leaking processes are replaced, slow contexts are cut off."""

from __future__ import annotations

import signal
import time
from typing import Any
from uuid import uuid4

import psutil

from ops.drills.local_system import CARD, LocalSystem, Result
from ops.drills.siege import MEMBERS, siege

NOTICED_WITHIN = 60.0
LEAK = "cafe.menu:committed=leak@4"


async def frozen(system: LocalSystem) -> Result:
    """One of two replicas is stopped with SIGSTOP and must be replaced."""
    menu, victim = system.get("/v1/cafe/menu"), _replica(system, "cafe.menu")
    async with siege([menu], system.members, 100, 240, pause=1) as running:
        began = time.monotonic()
        psutil.Process(victim["pid"]).send_signal(signal.SIGSTOP)
        replaced = await system.wait_for(lambda: _is_another(system, victim), NOTICED_WITHIN)
        took = time.monotonic() - began
        running.stop()
        load = await running.end()
    after = await system.load(menu, clients=100, seconds=5, pause=1)
    figures = f"replaced and ready after {took:.1f} s; meanwhile {load}; afterwards {after}"
    return Result(replaced and after.availability == 100.0, figures)


async def leaking(system: LocalSystem) -> Result:
    """A worker leaks 4 MiB with each message and must be replaced at its memory limit."""
    menu = system.get("/v1/cafe/menu")
    async with system.with_settings("cafe.menu", YEYAK_FAILPOINTS=LEAK):
        victim = _replica(system, "cafe.menu")
        async with siege([menu], system.members, MEMBERS, 240, pause=1) as running:
            replaced = await system.wait_for(lambda: _is_another(system, victim), NOTICED_WITHIN)
            running.stop()
            load = await running.end()
        why = _replica(system, "cafe.menu")["replaced"]
    return Result(replaced and "MiB" in str(why) and load.availability == 100.0, f"it {why}; {load}")


async def slow_menu(system: LocalSystem) -> Result:
    """The menu is slower than the 610 ms that an order waits: the breaker opens, and closes again by itself."""
    item = await system.menu_item()
    order = system.post("/v1/cafe/orders", {"menu_item_id": item, "quantity": 1})
    async with system.with_settings("cafe.menu", YEYAK_DELAY_MS="cafe.menu=800"):
        slow = await system.load(order, clients=100, seconds=8)
        opened = "open" in await system.breakers("cafe.orders")
    mended = await system.wait_for(lambda: _orders_again(system, item), 40)
    after = await system.load(order, clients=MEMBERS, seconds=4, pause=1)
    only = set(slow.statuses) == {503} and not slow.without_response
    figures = f"slow: {slow}, breaker {'opened' if opened else 'stayed closed'}; mended: {after}"
    return Result(only and opened and mended and after.availability == 100.0, figures)


async def slow_bikes(system: LocalSystem) -> Result:
    """Bikes is slower than the 1200 ms that a ride waits: no ride starts, and the bike is released."""
    rider = system.token(f"rider-{uuid4().hex[:8]}", "customer")
    bike = await system.create("/v1/bike-sharing/bikes", {"code": f"drill-{uuid4().hex[:8]}", "location": "City Hall"})
    await system.create("/v1/bike-sharing/deposits/top-ups", {"amount": 10_000, "payment": CARD}, token=rider)
    ride = {"bike_id": bike["bike_id"]}
    async with system.with_settings("bike_sharing.bikes", YEYAK_DELAY_MS="bike_sharing.bikes=1500"):
        began = time.monotonic()
        slow = (await system.request("POST", "/v1/bike-sharing/rides", ride, token=rider)).status_code
        took = time.monotonic() - began
    mended = await system.wait_for(lambda: _rides(system, ride, rider), 30)
    figures = f"slow: {slow} after {took:.2f} s; mended: {'201' if mended else 'no ride'}"
    return Result(slow in (503, 504) and mended, figures)


def _replica(system: LocalSystem, of: str) -> dict[str, Any]:
    return system.processes(of)[0]


async def _is_another(system: LocalSystem, victim: dict[str, Any]) -> bool:
    now = next(one for one in system.processes() if one["name"] == victim["name"])
    return now["ready"] and now["pid"] not in (None, victim["pid"])


async def _orders_again(system: LocalSystem, item: str) -> bool:
    """Place an order, which closes the breaker of the replica that processes it."""
    body = {"menu_item_id": item, "quantity": 1}
    answer = await system.request("POST", "/v1/cafe/orders", body, token=system.members[0])
    return answer.status_code == 201 and await system.breakers("cafe.orders") == {"closed"}


async def _rides(system: LocalSystem, ride: dict[str, Any], rider: str) -> bool:
    return (await system.request("POST", "/v1/bike-sharing/rides", ride, token=rider)).status_code == 201
