"""The paid booking: bookings/s, latencies, and CPU by process, floor and system in turn."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from bench.cpu import LOAD, MACHINE, OTHERS, Meter
from bench.environment import BenchFailed, Environment, LoadGenerator
from bench.systems import System, wait_until_idle


@dataclass
class Rounds:
    """What one system did at one number of clients."""

    rates: list[float] = field(default_factory=list)
    micros: list[int] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    answers: dict[str, str] = field(default_factory=dict)
    """One response body for each unexpected status."""
    cpu: Counter[str] = field(default_factory=Counter)
    """CPU seconds from the first request until the system was idle."""
    trailing: list[float] = field(default_factory=list)
    """Seconds from the last response until the system was idle."""

    @property
    def done(self) -> int:
        return len(self.micros)

    def add(self, result: dict[str, Any]) -> None:
        self.rates.append(len(result["micros"]) / result["seconds"])
        self.micros += result["micros"]
        self.statuses.update(result["statuses"])
        self.answers |= result.get("samples", {})

    def summary(self) -> dict[str, Any]:
        each = {name: round(seconds * 1000 / self.done, 3) for name, seconds in self.cpu.most_common()}
        ours = {name: ms for name, ms in each.items() if name not in (LOAD, OTHERS, MACHINE)}
        return {
            "rate": round(median(self.rates), 1),
            "rates": [round(rate, 1) for rate in self.rates],
            **percentiles(self.micros),
            "statuses": dict(self.statuses),
            "unexpected": self.answers,
            "cpu_ms": ours,
            "cpu_ms_all": round(sum(ours.values()), 3),
            "cpu_ms_load": each[LOAD],
            "others_percent": round(self.cpu[OTHERS] / self.cpu[MACHINE] * 100, 1),
            "trailing_seconds": [round(seconds, 2) for seconds in self.trailing],
        }


def percentiles(micros: list[int]) -> dict[str, float]:
    """The percentiles 50, 95 and 99, in milliseconds."""
    ordered = sorted(micros)
    if not ordered:
        return {}
    return {f"p{p}": round(ordered[min(len(ordered) - 1, len(ordered) * p // 100)] / 1000, 2) for p in (50, 95, 99)}


async def book(
    environment: Environment, load: LoadGenerator, system: System, clients: int, seconds: float, rounds: Rounds
) -> None:
    """Run one round of bookings and wait until the system is idle; raises BenchFailed."""
    meter = Meter({**system.pids, **environment.pids, LOAD: load.pid})
    result = load.do(
        "book",
        port=system.port,
        heads=system.heads,
        bodies=system.bodies,
        keys=True,
        first=system.sent,
        clients=clients,
        seconds=seconds,
        expect=201,
    )
    system.sent += result["sent"]
    system.booked += len(result["micros"])
    if not result["micros"]:
        raise BenchFailed(f"the {system.name} took no booking: {result['statuses']} {result['samples']}")
    rounds.trailing.append(await wait_until_idle(system))
    rounds.cpu.update(meter.read())
    rounds.add(result)


async def compare(
    environment: Environment, load: LoadGenerator, systems: list[System], plan: list[tuple[int, int, float]]
) -> dict[str, Any]:
    """Measure the systems in turn for each (clients, rounds, seconds)."""
    for system in systems:
        await book(environment, load, system, 32, 1.5, Rounds())  # connections, plans and caches; not counted
    results = {}
    for clients, n_rounds, seconds in plan:
        rounds = {system.name: Rounds() for system in systems}
        for _ in range(n_rounds):
            for system in systems:
                await book(environment, load, system, clients, seconds, rounds[system.name])
        found: dict[str, Any] = {name: each.summary() for name, each in rounds.items()}
        if len(systems) == 2:
            pairs = zip(rounds["yeyak"].rates, rounds["floor"].rates, strict=True)
            found["ratio"] = round(median(yeyak / floor for yeyak, floor in pairs), 3)
            found["ratio_cpu"] = round(found["floor"]["cpu_ms_all"] / found["yeyak"]["cpu_ms_all"], 3)
        results[str(clients)] = found
    return results


async def idle(environment: Environment, system: System, seconds: float) -> dict[str, float]:
    """CPU by process while there are no requests, in percent of one core."""
    meter = Meter({**system.pids, **environment.pids})
    await asyncio.sleep(seconds)
    spent = {name: cpu for name, cpu in meter.read().items() if name not in (OTHERS, MACHINE)}
    return {name: round(cpu / seconds * 100, 2) for name, cpu in spent.items()}
