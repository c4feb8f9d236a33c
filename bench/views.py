"""My Page with few rows and with very many: a member's first page, read over HTTP.

Each member has 50 rentals at either size, so that a page differs only in the size of the tables. The small size is
measured before and after the large one.
"""

from __future__ import annotations

import random
from statistics import mean, median
from typing import Any

from bench.booking import percentiles
from bench.cpu import LOAD, Meter
from bench.environment import BenchFailed, Environment, LoadGenerator
from bench.systems import Yeyak, wait_until_idle

RENTALS_EACH = 50
SMALL = 1_000
READERS_AT_MOST = 1_000
CLIENTS = 16

# In order of time, so that the rentals of a member are scattered over the table.
FILL = [
    "truncate {s}.rentals, {s}.videos, {s}.payments, {s}.refunds, {s}.timeline",
    """insert into {s}.videos (generation, video_id, version, title)
       select current, md5('v' || n)::uuid, 1, 'Film ' || n from {s}.generations, generate_series(0, 199) n""",
    """insert into {s}.rentals (generation, rental_id, version, video_id, member_id, days, daily_price, price, status,
         payment_id, pickup_until, late_fee, late_fee_status, created_at, modified_at)
       select current, md5('r' || n)::uuid, 2, md5('v' || n % 200)::uuid, 'viewer-' || n % {members}, 1, 5000, 5000,
         (array['BOOKED', 'RENTED', 'RETURNED', 'CANCELLED'])[1 + n % 4], md5('p' || n)::uuid, now(), 0, 'NONE',
         now() - ({rows} - n) * interval '1 second', now()
       from {s}.generations, generate_series(0, {rows} - 1) n""",
    """insert into {s}.payments (generation, payment_id, version, status, amount)
       select current, md5('p' || n)::uuid, 1, 'APPROVED', 5000
       from {s}.generations, generate_series(0, {rows} - 1) n""",
    """insert into {s}.refunds (generation, refund_id, version, payment_id, status, amount, created_at)
       select current, md5('f' || n)::uuid, 2, md5('p' || n)::uuid, 'REFUNDED', 5000, now()
       from {s}.generations, generate_series(3, {rows} - 1, 4) n""",
    """insert into {s}.timeline (generation, subject, version, what, at, status)
       select current, md5('r' || n)::uuid, v, (array['BookingStarted', 'VideoBooked'])[v], now(), 'BOOKED'
       from {s}.generations, generate_series(0, {rows} - 1) n, generate_series(1, 2) v""",
    "vacuum (analyze) {s}.rentals, {s}.videos, {s}.payments, {s}.refunds, {s}.timeline",
]
SCHEMA = "video_rental_my_page"


async def measure(
    environment: Environment, load: LoadGenerator, yeyak: Yeyak, large: int, seconds: float
) -> dict[str, Any]:
    """Measure both sizes; replaces all rows of My Page."""
    await wait_until_idle(yeyak)
    runs: dict[int, list[dict[str, Any]]] = {SMALL: [], large: []}
    for rows in (SMALL, large, SMALL):
        await _fill(yeyak, rows)
        runs[rows].append(_read(environment, load, yeyak, rows, seconds))
    small, big = _summary(runs[SMALL]), _summary(runs[large])
    return {
        str(SMALL): small,
        str(large): big,
        "ratio": round(small["rate"] / big["rate"], 3),
        "ratio_cpu": round(big["cpu_ms"] / small["cpu_ms"], 3),
    }


async def _fill(yeyak: Yeyak, rows: int) -> None:
    for statement in FILL:
        await yeyak.database.execute(statement.format(s=SCHEMA, rows=rows, members=rows // RENTALS_EACH), timeout=300)


def _read(environment: Environment, load: LoadGenerator, yeyak: Yeyak, rows: int, seconds: float) -> dict[str, Any]:
    members = rows // RENTALS_EACH
    readers = random.sample(range(members), min(members, READERS_AT_MOST))
    common = {
        "port": yeyak.port,
        "heads": [yeyak.head("GET", "/my-page", f"viewer-{n}") for n in readers],
        "bodies": [""],
        "keys": False,
        "first": 0,
        "clients": CLIENTS,
        "expect": 200,
    }
    load.do("book", seconds=1.5, **common)
    meter = Meter({**yeyak.pids, **environment.pids, LOAD: load.pid})
    result = load.do("book", seconds=seconds, **common)
    if len(result["micros"]) != result["sent"]:
        raise BenchFailed(f"My Page was not read: {result['statuses']} {result['samples']}")
    return result | {"cpu": meter.read()}


def _summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    counted = [name for name in runs[0]["cpu"] if not name.startswith("(")]
    rates = [len(run["micros"]) / run["seconds"] for run in runs]
    return {
        "rate": round(mean(rates), 1),
        "rates": [round(rate, 1) for rate in rates],
        "p50": median(percentiles(run["micros"])["p50"] for run in runs),
        "p99": median(percentiles(run["micros"])["p99"] for run in runs),
        "cpu_ms": round(mean(sum(run["cpu"][name] for name in counted) * 1000 / len(run["micros"]) for run in runs), 3),
    }
