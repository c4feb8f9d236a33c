"""Drills of healing: what is frozen or leaks is replaced, what is slow is waited for no longer than it is worth."""

from __future__ import annotations

import signal
import time
from typing import Any
from uuid import uuid4

import psutil

from ops.drills.local_system import CARD, Place, Result
from ops.drills.siege import MEMBERS, siege

NOTICED_WITHIN = 60.0
LEAK = "cafe.menu:committed=leak@4"


async def frozen(place: Place) -> Result:
    """One of two workers is stopped in its tracks."""
    menu, victim = place.get("/v1/cafe/menu"), _replica(place, "cafe.menu")
    async with siege([menu], place.members, 100, 240, pause=1) as besieging:
        began = time.monotonic()
        psutil.Process(victim["pid"]).send_signal(signal.SIGSTOP)
        replaced = await place.comes(lambda: _is_another(place, victim), NOTICED_WITHIN)
        took = time.monotonic() - began
        besieging.finish()
        load = await besieging.end()
    after = await place.load(menu, clients=100, seconds=5, pause=1)
    figures = f"replaced and ready after {took:.1f} s; meanwhile {load}; afterwards {after}"
    return Result(replaced and after.availability == 100.0, figures)


async def leaking(place: Place) -> Result:
    """A worker that keeps 4 MiB of each message, until it holds more than it may."""
    menu = place.get("/v1/cafe/menu")
    async with place.changed("cafe.menu", YEYAK_FAILPOINTS=LEAK):
        victim = _replica(place, "cafe.menu")
        async with siege([menu], place.members, MEMBERS, 240, pause=1) as besieging:
            replaced = await place.comes(lambda: _is_another(place, victim), NOTICED_WITHIN)
            besieging.finish()
            load = await besieging.end()
        why = _replica(place, "cafe.menu")["replaced"]
    return Result(replaced and "MiB" in str(why) and load.availability == 100.0, f"it {why}; {load}")


async def slow_menu(place: Place) -> Result:
    """The menu takes longer than the 610 ms that an order waits: the breaker opens, and closes by itself."""
    item = await place.menu_item()
    order = place.post("/v1/cafe/orders", {"menu_item_id": item, "quantity": 1})
    async with place.changed("cafe.menu", YEYAK_DELAY_MS="cafe.menu=800"):
        slow = await place.load(order, clients=100, seconds=8)
        opened = "open" in await place.breakers("cafe.orders")
    mended = await place.comes(lambda: _orders_again(place, item), 40)
    after = await place.load(order, clients=MEMBERS, seconds=4, pause=1)
    only = set(slow.statuses) == {503} and not slow.broken
    figures = f"slow: {slow}, breaker {'opened' if opened else 'stayed closed'}; mended: {after}"
    return Result(only and opened and mended and after.availability == 100.0, figures)


async def slow_bikes(place: Place) -> Result:
    """Bikes take longer than the 1200 ms that a ride waits for one: no ride, and the bike is free again."""
    rider = place.token(f"rider-{uuid4().hex[:8]}", "customer")
    bike = await place.made("/v1/bike-sharing/bikes", {"code": f"drill-{uuid4().hex[:8]}", "location": "City Hall"})
    await place.made("/v1/bike-sharing/deposits/top-ups", {"amount": 10_000, "payment": CARD}, token=rider)
    ride = {"bike_id": bike["bike_id"]}
    async with place.changed("bike_sharing.bikes", YEYAK_DELAY_MS="bike_sharing.bikes=1500"):
        began = time.monotonic()
        slow = (await place.call("POST", "/v1/bike-sharing/rides", ride, token=rider)).status_code
        took = time.monotonic() - began
    mended = await place.comes(lambda: _rides(place, ride, rider), 30)
    figures = f"slow: {slow} after {took:.2f} s; mended: {'201' if mended else 'no ride'}"
    return Result(slow in (503, 504) and mended, figures)


def _replica(place: Place, of: str) -> dict[str, Any]:
    return place.processes(of)[0]


async def _is_another(place: Place, victim: dict[str, Any]) -> bool:
    now = next(one for one in place.processes() if one["name"] == victim["name"])
    return now["ready"] and now["pid"] not in (None, victim["pid"])


async def _orders_again(place: Place, item: str) -> bool:
    """An order is a probe: it closes the breaker of the replica that takes it."""
    body = {"menu_item_id": item, "quantity": 1}
    answer = await place.call("POST", "/v1/cafe/orders", body, token=place.members[0])
    return answer.status_code == 201 and await place.breakers("cafe.orders") == {"closed"}


async def _rides(place: Place, ride: dict[str, Any], rider: str) -> bool:
    return (await place.call("POST", "/v1/bike-sharing/rides", ride, token=rider)).status_code == 201
