"""`python -m bench`: an open yeyak and the bare floor on the same private servers, measured in turn.

Absolute figures belong to the machine and to whatever else it does (`others` in the table); ratios travel.
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

from bench import asks, booking, lag, table, views
from bench.stage import BenchFailed, Load, Stage
from bench.systems import Floor, Yeyak, wait_until_idle
from ops.stack.local import local
from ops.stack.servers import ServerFailed

PARTS = ("booking", "asks", "lag", "views")


@dataclass(frozen=True)
class Plan:
    """How long to measure."""

    bookings: list[tuple[int, int, float]]
    """Clients, rounds, seconds a round."""
    asks: tuple[int, float]
    lag: float
    view_rows: int
    view_seconds: float


FULL = Plan([(1, 3, 3.0), (16, 4, 3.0), (64, 6, 4.0)], asks=(3, 2.0), lag=5.0, view_rows=1_000_000, view_seconds=5.0)
QUICK = Plan([(1, 1, 2.0), (16, 1, 2.0), (64, 2, 3.0)], asks=(1, 1.5), lag=2.0, view_rows=100_000, view_seconds=2.0)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="a minute; 10^5 rows instead of 10^6")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part; may be given more than once")
    parser.add_argument("--out", type=Path, default=local().root / "bench.json", help="where the figures go, as JSON")
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


async def measure(root: Path, plan: Plan, parts: tuple[str, ...] | list[str]) -> dict[str, Any]:
    """Print each table as soon as it is known; returns all figures."""
    stage = Stage(root)
    figures: dict[str, Any] = {"at": datetime.now(UTC).isoformat(), "machine": _machine()}
    say("starting RabbitMQ, PostgreSQL, the floor and the yeyak")
    with stage.up():
        floor, yeyak = Floor(stage), Yeyak(stage)
        await floor.start()
        await yeyak.start()
        load = Load(stage, yeyak.env)
        figures["idle_cpu_percent"] = await booking.idle(stage, yeyak, 2.0)
        if "booking" in parts:
            say("booking: floor and yeyak in turn")
            figures["booking"] = await booking.compare(stage, load, [floor, yeyak], plan.bookings)
            table.booking(figures["booking"])
        if "asks" in parts:
            if not floor.booked:
                await booking.book(stage, load, floor, 1, 0.2, booking.Rounds())
            say("asks")
            figures["asks"] = await asks.compare(stage, load, floor, yeyak, *plan.asks)
            table.asks(figures["asks"])
        if "lag" in parts:
            say("event to view")
            figures["lag"] = await lag.measure(stage, load, yeyak, plan.lag)
            table.lag(figures["lag"])
        figures["problems"] = [problem for system in (floor, yeyak) for problem in await _problems(system)]
        table.verified(floor, yeyak, figures["problems"])
        if "views" in parts:
            say(f"view reads: filling My Page with {plan.view_rows:,} rows")
            figures["views"] = await views.measure(stage, load, yeyak, plan.view_rows, plan.view_seconds)
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


def say(what: str) -> None:
    print(f"... {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
