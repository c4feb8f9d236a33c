"""How long after the 201 My Page has a booking: as the customer sees it, and as the row in its table."""

from __future__ import annotations

from typing import Any

from bench.booking import percentiles
from bench.stage import Load, Stage
from bench.systems import Yeyak, wait_until_idle

ROW = "select 1 from video_rental_my_page.rentals where rental_id = $1 and version >= $2"
CLIENTS = 16


async def measure(stage: Stage, load: Load, yeyak: Yeyak, seconds: float) -> dict[str, Any]:
    """In a quiet yeyak, and while 16 clients book."""
    busy = Load(stage, yeyak.env, "load-beside")
    results = {"quiet": _sample(load, yeyak, seconds)}
    yeyak.sent += _MANY
    common = {"port": yeyak.port, "heads": yeyak.heads, "bodies": yeyak.bodies, "keys": True}
    busy.begin("book", first=yeyak.sent, clients=CLIENTS, seconds=seconds + 0.5, expect=201, **common)
    yeyak.sent += _MANY
    results["busy"] = _sample(load, yeyak, seconds)
    beside = busy.end()
    yeyak.booked += len(beside["micros"])
    results["busy"]["bookings_per_second_beside"] = round(len(beside["micros"]) / beside["seconds"], 1)
    yeyak.sent += _MANY
    await wait_until_idle(yeyak)
    return results


_MANY = 20_000
"""More bookings than one run sends: two load generators must not send the same pairs."""


def _sample(load: Load, yeyak: Yeyak, seconds: float) -> dict[str, Any]:
    found = load.do(
        "lag",
        port=yeyak.port,
        heads=yeyak.heads,
        bodies=yeyak.bodies,
        looks=yeyak.looks,
        keys=True,
        first=yeyak.sent,
        seconds=seconds,
        database=yeyak.database_url,
        row=ROW,
    )
    yeyak.booked += len(found["page"]) + len(found["row"])
    return {
        "page_ms": percentiles(found["page"]),
        "row_ms": percentiles(found["row"]),
        "samples": len(found["page"]) + len(found["row"]),
        "statuses": found["statuses"],
    }
