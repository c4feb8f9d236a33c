"""The time from the 201 of a booking until My Page shows it, over HTTP and as a row of its table."""

from __future__ import annotations

from typing import Any

from bench.booking import percentiles
from bench.environment import Environment, LoadGenerator
from bench.systems import Yeyak, wait_until_idle

ROW = "select 1 from video_rental_my_page.rentals where rental_id = $1 and version >= $2"
CLIENTS = 16


async def measure(environment: Environment, load: LoadGenerator, yeyak: Yeyak, seconds: float) -> dict[str, Any]:
    """Measure in an idle system, and while 16 clients book."""
    busy = LoadGenerator(environment, yeyak.env, "load-beside")
    results = {"idle": _sample(load, yeyak, seconds)}
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
"""More bookings than one run sends, so that two load generators never send the same (head, body) pairs."""


def _sample(load: LoadGenerator, yeyak: Yeyak, seconds: float) -> dict[str, Any]:
    found = load.do(
        "lag",
        port=yeyak.port,
        heads=yeyak.heads,
        bodies=yeyak.bodies,
        reads=yeyak.reads,
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
