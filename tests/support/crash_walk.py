"""Walk a business through crashes: kill a context, or lose the answer to a COMMIT, at every place of a scenario.

Several systems share the work. Each scenario is first played without a crash; the places that it reaches become plans,
and each plan is played once.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from ops.settings import SystemSettings
from tests.conftest import MakeSettings
from tests.support.crash import COMMIT, Plan, follow
from tests.support.system import System, eventually
from workers.runtime.processing import failpoints

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "1"))
"""How often the same place of the same context is crashed in one scenario."""

Place = tuple[str, str]
Play = Callable[[System, "Crashes", str, Plan], Awaitable[list[str]]]
"""Plays a scenario by name and returns what is wrong afterwards; it calls `Crashes.begin` where crashes may begin."""


class Crashes:
    """The plan that one system follows."""

    def __init__(self, system: System) -> None:
        self._plans = follow(system)

    def begin(self, plan: Plan) -> None:
        """Crash by this plan from here on."""
        self._plans.append(plan)

    async def end(self, plan: Plan) -> None:
        """Wait until a crashed context is started again, and crash no more."""
        await asyncio.gather(*plan.crashes)
        self._plans.append(Plan())


class CrashWalk:
    """Plays scenarios with a crash at each of their places; `problems` has what was wrong."""

    def __init__(
        self,
        play: Play,
        scenarios: Mapping[str, frozenset[str]],
        *,
        visits: Callable[[str, Place], int] = lambda scenario, place: ROUNDS,
        ready: Callable[[System], Awaitable[Any]] | None = None,
        check: Callable[[System], Awaitable[list[str]]] | None = None,
    ) -> None:
        """`scenarios` has the contexts whose places are crashed, by the name of the scenario.

        `visits` returns how many visits of a place in one scenario get a crash. A system begins once `ready` is true;
        `check` returns what is wrong with it at the end.
        """
        self._play = play
        self._scenarios = scenarios
        self._visits = visits
        self._ready = ready
        self._check = check
        self._work = [(name, Plan(only=only)) for name, only in scenarios.items()]
        self.problems: list[str] = []
        self.played: Counter[str] = Counter()
        """How often each scenario was played."""
        self.places: dict[str, set[Place]] = {}
        """The contexts and places that each scenario reached without a crash."""

    async def run(
        self, make_settings: MakeSettings, system: str, contexts: Iterable[str], *, systems: int, **settings: Any
    ) -> None:
        """Work through all plans with several systems at once."""
        runs = [self._run(await make_settings(**settings), system, contexts) for _ in range(systems)]
        try:
            await asyncio.gather(*map(asyncio.create_task, runs))
        finally:
            failpoints.hook = None

    async def _run(self, settings: SystemSettings, name: str, contexts: Iterable[str]) -> None:
        system = await System(settings, name).open()
        crashes = Crashes(system)
        await system.start(*contexts)
        try:
            if self._ready is not None:
                await eventually(partial(self._ready, system), within=60)
            while self._work or len(self.places) < len(self._scenarios):
                if self._work:
                    await self._play_one(system, crashes, *self._work.pop(0))
                else:  # another system still plays a scenario for the first time
                    await asyncio.sleep(0.05)
            if self._check is not None:
                self.problems += await self._check(system)
        finally:
            crashes.begin(Plan())
            await system.close()

    async def _play_one(self, system: System, crashes: Crashes, name: str, plan: Plan) -> None:
        try:
            problems = await self._play(system, crashes, name, plan)
        finally:
            if not plan.at:
                self.places[name] = set(plan.trace)
        self.played[name] += 1
        if problems:
            crash = "lost commit" if plan.lost else "kill" if plan.at else "no crash"
            self.problems.append(f"{name}, {crash} at {plan.at} {plan.where}: {problems}")
        if not plan.at:
            self._work += [(name, crash) for crash in self._plans_for(name, plan.trace)]

    def _plans_for(self, name: str, trace: list[Place]) -> Iterator[Plan]:
        visited: Counter[Place] = Counter()
        for at, place in enumerate(trace, start=1):
            visited[place] += 1
            if visited[place] <= self._visits(name, place):
                yield Plan(at, only=self._scenarios[name])
                if place[1] == COMMIT:
                    yield Plan(at, lost=True, only=self._scenarios[name])

    def place_names(self, *contexts: str) -> set[str]:
        """The names of the places that were reached, in these contexts or in all."""
        reached = set[Place]().union(*self.places.values())
        return {place for context, place in reached if not contexts or context in contexts}
