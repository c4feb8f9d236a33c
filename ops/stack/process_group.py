"""The processes of a system: how many of each, and how they are started, watched, replaced and ended."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from ops.stack import control
from ops.stack.child_process import Child, Plan
from ops.stack.local import Local
from ops.stack.plans import BALANCER, GATEWAY, MOST_GATEWAYS, Plans
from ops.stack.probing import Watch, becomes_ready

MOST_REPLICAS, CONTEXTS_AT_ONCE = 10, 3
READY_WITHIN = 60.0
LEAVE_WITHIN = 15.0


class NotDone(Exception):
    """One sentence: what was asked for and cannot be."""


class ProcessGroup:
    """Children by their names; those of one context have their settings in common."""

    def __init__(self, here: Local, changed: Callable[[], None]) -> None:
        self.children: list[Child] = []
        self._here = here
        self._changed = changed
        self._plans: Plans | None = None
        self._env: dict[str, str] = {}
        self._overrides: dict[str, dict[str, str]] = {}
        self._watches: dict[str, Watch] = {}

    def open(self, plans: Plans, env: dict[str, str], replicas: int) -> None:
        """Start everything: the balancer last, where there is one."""
        self._plans, self._env = plans, env
        for of in plans.names():
            for number in range(1, min(replicas, self._most(of)) + 1):
                self._add(plans.replica(of, number))
        if exporter := plans.exporter():
            self._add(exporter)
        if plans.balanced:
            self._add(plans.balancer())

    def move(self, env: dict[str, str]) -> None:
        """From now on every process gets this environment."""
        self._env = env

    @property
    def gateway_url(self) -> str | None:
        return f"http://127.0.0.1:{self._plans.gateway_port}" if self._plans and self.named(GATEWAY) else None

    @property
    def is_ready(self) -> bool:
        return bool(self.children) and all(child.ready for child in self.children)

    def named(self, name: str) -> list[Child]:
        """All replicas of a context, or the one process of that name."""
        return [child for child in self.children if name in (child.plan.of, child.plan.name)]

    @property
    def all_but_the_balancer(self) -> list[Child]:
        return [child for child in self.children if child.plan.of != BALANCER]

    def described(self) -> list[dict[str, Any]]:
        return [child.described() for child in self.children]

    # watching

    async def look(self, every: bool) -> None:
        """Probe those that are not ready, or every one."""
        wanted = [child for child in self.children if every or not child.ready]
        await asyncio.gather(*(self._watches[child.plan.name].look() for child in wanted))

    def _may_go(self, child: Child) -> bool:
        """Not while another replica is away: one is always there, unless there is only one."""
        others = [other for other in self.named(child.plan.of) if other is not child and other.state != "stopped"]
        return all(other.ready and not other.is_ending for other in others)

    # starting and ending

    def start(self, children: Iterable[Child]) -> None:
        for child in children:
            child.start(self._env | self._overrides.get(child.plan.of, {}))

    async def stop(self, children: Iterable[Child]) -> None:
        await asyncio.gather(*(self._stop(child) for child in children))

    async def restart(self, children: list[Child]) -> None:
        """The replicas of a context one after another, so that one is always there; some contexts at a time."""
        groups: dict[str, list[Child]] = {}
        for child in children:
            groups.setdefault(child.plan.of, []).append(child)
        at_once = asyncio.Semaphore(CONTEXTS_AT_ONCE)
        await asyncio.gather(*(self._roll(group, at_once, waits=len(children) > 1) for group in groups.values()))

    async def _roll(self, group: list[Child], at_once: asyncio.Semaphore, waits: bool) -> None:
        async with at_once:
            for child in group:
                await self._stop(child)
                self.start([child])
                if waits:
                    await becomes_ready(child, READY_WITHIN)

    def override(self, of: str, env: dict[str, str]) -> None:
        """Settings that the processes of a context get beside the system's, from their next start on."""
        self._overrides[of] = env

    async def end(self) -> None:
        """The doors first."""
        doors = [child for child in self.children if child.plan.of in (GATEWAY, BALANCER)]
        await asyncio.gather(*(child.stop() for child in doors))
        await asyncio.gather(*(child.stop() for child in self.children))

    async def scale(self, of: str, count: int) -> None:
        """As many processes of a context; returns when the new ones are ready. Raises NotDone."""
        assert self._plans
        if of not in self._plans.names():
            raise NotDone(f"nothing is called {of}; there are: {', '.join(self._plans.names())}")
        if not 1 <= count <= self._most(of):
            raise NotDone(f"{of} can have 1 to {self._most(of)} processes" + self._why(of))
        there = self.named(of)
        for child in there[count:]:
            await self._stop(child)
            self.children.remove(child)
            del self._watches[child.plan.name]
        fresh = [self._add(self._plans.replica(of, number)) for number in range(len(there) + 1, count + 1)]
        await asyncio.gather(*(becomes_ready(child, READY_WITHIN) for child in fresh))

    def _most(self, of: str) -> int:
        if of != GATEWAY:
            return MOST_REPLICAS
        return MOST_GATEWAYS if self._plans and self._plans.balanced else 1

    def _why(self, of: str) -> str:
        return (
            ": start the system with `yeyak up --replicas 2` for more" if of == GATEWAY and self._most(of) == 1 else ""
        )

    def _add(self, plan: Plan) -> Child:
        child = Child(plan, self._here, self._changed)
        self._watches[plan.name] = Watch(child, self._may_go)
        place = max((at + 1 for at, other in enumerate(self.children) if other.plan.of == plan.of), default=None)
        self.children.insert(len(self.children) if place is None else place, child)
        self.start([child])
        return child

    async def _stop(self, child: Child) -> None:
        """A gateway leaves the balancer before it is told to end: nobody is sent to a door that closes."""
        if child.plan.of == GATEWAY and self.named(BALANCER):
            port = child.plan.env["YEYAK_GATEWAY_PORT"]
            await asyncio.to_thread(control.tell, self._here.root, "leave", port, LEAVE_WITHIN, of=control.BALANCER)
        await child.stop()
