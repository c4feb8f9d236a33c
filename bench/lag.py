"""How long after the 201 My Page has a booking: as the customer sees it, and as the row in its table."""

from __future__ import annotations

from typing import Any

from bench.booking import percentiles
from bench.stage import Load, Stage
from bench.systems import Town, wait_until_idle

ROW = "select 1 from video_rental_my_page.rentals where rental_id = $1 and version >= $2"
CLIENTS = 16


async def measure(stage: Stage, load: Load, town: Town, seconds: float) -> dict[str, Any]:
    """In a quiet town, and while 16 clients book."""
    busy = Load(stage, town.env, "load-beside")
    results = {"quiet": _sample(load, town, seconds)}
    town.sent += _MANY
    common = {"port": town.port, "heads": town.heads, "bodies": town.bodies, "keys": True}
    busy.begin("book", first=town.sent, clients=CLIENTS, seconds=seconds + 0.5, expect=201, **common)
    town.sent += _MANY
    results["busy"] = _sample(load, town, seconds)
    beside = busy.end()
    town.booked += len(beside["micros"])
    results["busy"]["bookings_per_second_beside"] = round(len(beside["micros"]) / beside["seconds"], 1)
    town.sent += _MANY
    await wait_until_idle(town)
    return results


_MANY = 20_000
"""More bookings than one run sends: two load generators must not send the same pairs."""


def _sample(load: Load, town: Town, seconds: float) -> dict[str, Any]:
    found = load.do(
        "lag",
        port=town.port,
        heads=town.heads,
        bodies=town.bodies,
        looks=town.looks,
        keys=True,
        first=town.sent,
        seconds=seconds,
        database=town.database_url,
        row=ROW,
    )
    town.booked += len(found["page"]) + len(found["row"])
    return {
        "page_ms": percentiles(found["page"]),
        "row_ms": percentiles(found["row"]),
        "samples": len(found["page"]) + len(found["row"]),
        "statuses": found["statuses"],
    }
