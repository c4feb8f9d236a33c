"""Measure the system and its floor on the same private servers, in turn: `python -m bench`.

Absolute figures depend on the machine and its other load (`others` in the table); ratios can be compared.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from bench import booking, lag, queries, table, views
from bench.environment import BenchFailed, Environment, LoadGenerator
from bench.systems import Floor, Yeyak, wait_until_idle
from ops.stack.local import local
from ops.stack.servers import ServerFailed

PARTS = ("booking", "queries", "lag", "views")


@dataclass(frozen=True)
class BenchPlan:
    """How long to measure."""

    bookings: list[tuple[int, int, float]]
    """Clients, rounds, seconds a round."""
    queries: tuple[int, float]
    lag: float
    view_rows: int
    view_seconds: float


FULL = BenchPlan(
    [(1, 3, 3.0), (16, 4, 3.0), (64, 6, 4.0)], queries=(3, 2.0), lag=5.0, view_rows=1_000_000, view_seconds=5.0
)
QUICK = BenchPlan(
    [(1, 1, 2.0), (16, 1, 2.0), (64, 2, 3.0)], queries=(1, 1.5), lag=2.0, view_rows=100_000, view_seconds=2.0
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="takes a minute; 10^5 rows instead of 10^6")
    parser.add_argument("--only", choices=PARTS, action="append", help="measure this part only; can be repeated")
    parser.add_argument(
        "--out", type=Path, default=local().root / "bench.json", help="the file for the figures, as JSON"
    )
    chosen = parser.parse_args()
    started = time.monotonic()
    try:
        figures = asyncio.run(measure(local().root / "bench", QUICK if chosen.quick else FULL, chosen.only or PARTS))
    except (BenchFailed, ServerFailed) as failure:
        print(failure, file=sys.stderr)
        return 1
    figures["seconds"] = round(time.monotonic() - started, 1)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(figures, indent=1) + "\n")
    print(f"\n{figures['seconds']:.0f} s; all figures: {chosen.out}")
    return 1 if figures["problems"] else 0


async def measure(root: Path, plan: BenchPlan, parts: tuple[str, ...] | list[str]) -> dict[str, Any]:
    """Measure all parts and print a table after each; returns all figures."""
    environment = Environment(root)
    figures: dict[str, Any] = {"at": datetime.now(UTC).isoformat(), "machine": _machine()}
    print_progress("starting RabbitMQ, PostgreSQL, the floor and the system")
    with environment.up():
        floor, yeyak = Floor(environment), Yeyak(environment)
        await floor.start()
        await yeyak.start()
        load = LoadGenerator(environment, yeyak.env)
        figures["idle_cpu_percent"] = await booking.idle(environment, yeyak, 2.0)
        if "booking" in parts:
            print_progress("booking: floor and system in turn")
            figures["booking"] = await booking.compare(environment, load, [floor, yeyak], plan.bookings)
            table.booking(figures["booking"])
        if "queries" in parts:
            if not floor.booked:
                await booking.book(environment, load, floor, 1, 0.2, booking.Rounds())
            print_progress("queries")
            figures["queries"] = await queries.compare(environment, load, floor, yeyak, *plan.queries)
            table.queries(figures["queries"])
        if "lag" in parts:
            print_progress("event to view")
            figures["lag"] = await lag.measure(environment, load, yeyak, plan.lag)
            table.lag(figures["lag"])
        figures["problems"] = [problem for system in (floor, yeyak) for problem in await _problems(system)]
        table.verified(floor, yeyak, figures["problems"])
        if "views" in parts:
            print_progress(f"view reads: filling My Page with {plan.view_rows:,} rows")
            figures["views"] = await views.measure(environment, load, yeyak, plan.view_rows, plan.view_seconds)
            table.views(figures["views"])
        await floor.stop()
        await yeyak.stop()
    return figures


async def _problems(system: Floor | Yeyak) -> list[str]:
    await wait_until_idle(system)
    return await system.problems()


def _machine() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_average": os.getloadavg(),
    }


def print_progress(what: str) -> None:
    print(f"... {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
