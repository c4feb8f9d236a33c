"""Queries: one row, read over HTTP through the gateway, and over the queue without it."""

from __future__ import annotations

from statistics import median
from typing import Any

from bench.booking import percentiles
from bench.environment import Environment, LoadGenerator
from bench.systems import Floor, Yeyak

CLIENTS = 64


async def compare(
    environment: Environment, load: LoadGenerator, floor: Floor, yeyak: Yeyak, rounds: int, seconds: float
) -> dict[str, Any]:
    """Measure floor and system in turn, over `http` and over `queue`."""
    runs: dict[str, dict[str, list[dict[str, Any]]]] = {way: {"floor": [], "yeyak": []} for way in ("http", "queue")}
    for warm in (True, *(False for _ in range(rounds))):
        for system in (floor, yeyak):
            for way, found in runs.items():
                result = await _run(environment, load, system, way, 1.0 if warm else seconds)
                if not warm:
                    found[system.name].append(result)
    results: dict[str, Any] = {}
    for way, found in runs.items():
        both = {name: _summary(each) for name, each in found.items()}
        results[way] = {**both, "ratio": round(both["yeyak"]["rate"] / both["floor"]["rate"], 3)}
    return results


async def _run(
    environment: Environment, load: LoadGenerator, system: Floor | Yeyak, way: str, seconds: float
) -> dict[str, Any]:
    id = await system.one_id()
    common = {"clients": CLIENTS, "seconds": seconds}
    if way == "http":
        read = {"port": system.port, "heads": [system.read(id)], "bodies": [""], "keys": False, "first": 0}
        return load.do("book", expect=200, **read, **common)
    return load.do("request", yeyak=system.name == "yeyak", amqp=environment.rabbit.amqp_url, id=id, **common)


def _summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    rates = [len(run["micros"]) / run["seconds"] for run in runs]
    micros = [took for run in runs for took in run["micros"]]
    return {
        "rate": round(median(rates), 1),
        "rates": [round(rate, 1) for rate in rates],
        **percentiles(micros),
        "failed": sum(run["sent"] for run in runs) - len(micros),
    }
