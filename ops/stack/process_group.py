"""The processes of a system: how many of each there are, and how they are started, probed, replaced and stopped."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from ops.stack import control
from ops.stack.child_process import ChildProcess, ProcessSpec
from ops.stack.local import Local
from ops.stack.monitor import ChildMonitor, becomes_ready
from ops.stack.process_specs import BALANCER, GATEWAY, MAX_GATEWAYS, WORKERS, ProcessSpecs
from ops.stack.shared import SharedContexts

MAX_REPLICAS, CONTEXTS_AT_ONCE = 10, 3
DRAIN_WITHIN = 15.0
CALM_AFTER = 60.0
"""Seconds for which a replaced process that is not ready keeps others from being replaced."""


class CommandFailed(Exception):
    """A command cannot be carried out; the text is one sentence that says why."""


class ProcessGroup:
    """All child processes; the replicas of one context share their settings."""

    def __init__(self, here: Local, changed: Callable[[], None]) -> None:
        self.children: list[ChildProcess] = []
        self._here = here
        self._changed = changed
        self._specs: ProcessSpecs | None = None
        self._shared: SharedContexts | None = None
        self._env: dict[str, str] = {}
        self._settings: dict[str, dict[str, str]] = {}
        self._monitors: dict[str, ChildMonitor] = {}

    def start_all(self, specs: ProcessSpecs, env: dict[str, str], replicas: int) -> None:
        """Start every process; the balancer last, where there is one."""
        self._specs, self._env = specs, env
        if specs.shares:
            self._shared = SharedContexts(self._here, specs.contexts)
        for service in specs.first_services():
            for number in range(1, min(replicas, self._max_replicas(service)) + 1):
                self._start_new(specs.replica(service, number))
        if exporter := specs.exporter():
            self._start_new(exporter)
        if specs.balanced:
            self._start_new(specs.balancer())

    def set_env(self, env: dict[str, str]) -> None:
        """Set the environment that every process gets from its next start on."""
        self._env = env

    @property
    def gateway_url(self) -> str | None:
        return f"http://127.0.0.1:{self._specs.gateway_port}" if self._specs and self.named(GATEWAY) else None

    @property
    def is_ready(self) -> bool:
        return bool(self.children) and all(child.ready for child in self.children)

    def named(self, name: str) -> list[ChildProcess]:
        """All replicas of a context, or the one process of that name."""
        return [child for child in self.children if name in (child.spec.service, child.spec.name)]

    @property
    def all_but_the_balancer(self) -> list[ChildProcess]:
        return [child for child in self.children if child.spec.service != BALANCER]

    def describe(self) -> list[dict[str, Any]]:
        shared = {"contexts": list(self._shared.names)} if self._shared else {}
        return [child.describe() | (shared if child.spec.service == WORKERS else {}) for child in self.children]

    # probing

    async def probe(self, every: bool) -> None:
        """Probe the processes that are not ready, or all of them."""
        chosen = [child for child in self.children if every or not child.ready]
        await asyncio.gather(*(self._monitors[child.spec.name].probe() for child in chosen))

    def _may_replace(self, child: ChildProcess) -> bool:
        """Whether every other replica is ready, so that one stays available; always true for a single process."""
        others = [other for other in self.named(child.spec.service) if other is not child and other.state != "stopped"]
        return all(other.ready and not other.is_being_replaced for other in others)

    def _is_calm(self, child: ChildProcess) -> bool:
        """Whether no other process is being replaced, or starts after it was: one at a time in the whole system."""
        return not any(
            other.is_being_replaced or (other.replaced and other.state == "starting" and other.age < CALM_AFTER)
            for other in self.children
            if other is not child
        )

    # starting and ending

    def start(self, children: Iterable[ChildProcess]) -> None:
        for child in children:
            child.start(self._env | self._settings.get(child.spec.service, {}))

    async def stop(self, children: Iterable[ChildProcess]) -> None:
        await asyncio.gather(*(self._stop(child) for child in children))

    async def restart(self, children: list[ChildProcess]) -> None:
        """Restart the replicas of a context one after another; CONTEXTS_AT_ONCE contexts at the same time."""
        groups: dict[str, list[ChildProcess]] = {}
        for child in children:
            groups.setdefault(child.spec.service, []).append(child)
        slots = asyncio.Semaphore(CONTEXTS_AT_ONCE)
        await asyncio.gather(
            *(self._restart_one_by_one(group, slots, waits=len(children) > 1) for group in groups.values())
        )

    async def _restart_one_by_one(self, group: list[ChildProcess], slots: asyncio.Semaphore, waits: bool) -> None:
        async with slots:
            for child in group:
                await self._stop(child)
                self.start([child])
                if waits:
                    await becomes_ready(child)

    def set_settings(self, service: str, env: dict[str, str]) -> None:
        """Set what the replicas of a service get in addition to the system's environment from their next start on."""
        self._settings[service] = env

    async def end(self) -> None:
        """Stop everything: gateways and balancer first."""
        entry_points = [child for child in self.children if child.spec.service in (GATEWAY, BALANCER)]
        await asyncio.gather(*(child.stop() for child in entry_points))
        await asyncio.gather(*(child.stop() for child in self.children))

    async def scale(self, service: str, count: int) -> None:
        """Run `count` replicas of a service; returns when the new ones are ready. Raises CommandFailed, NotChanged."""
        assert self._specs
        if service not in self._specs.services():
            raise CommandFailed(f"there is no {service}; there are: {', '.join(self._specs.services())}")
        if not 1 <= count <= self._max_replicas(service):
            raise CommandFailed(
                f"{service} can have 1 to {self._max_replicas(service)} processes" + self._scaling_hint(service)
            )
        if self.is_sharing(service):
            if count == len(self.named(WORKERS)):
                return
            self.start(await self.separate(service))
        there = self.named(service)
        for child in there[count:]:
            await self._remove(child)
        added = [self._start_new(self._specs.replica(service, number)) for number in range(len(there) + 1, count + 1)]
        await asyncio.gather(*(becomes_ready(child) for child in added))
        if self.may_share(service):
            await self.rejoin(service)

    # sharing a process

    def is_sharing(self, name: str) -> bool:
        """Whether this is a context that runs in a shared process now."""
        return self._shared is not None and name in self._shared.names

    def may_share(self, name: str) -> bool:
        """Whether a context of its own processes can go back: it has no settings and no more replicas than they."""
        return (
            self._shared is not None
            and name in self._shared.all
            and not self._settings.get(name)
            and len(self.named(name)) == len(self.named(WORKERS))
        )

    async def separate(self, context: str) -> list[ChildProcess]:
        """End a context in its shared process; returns processes of its own, which are not started yet."""
        assert self._specs
        assert self._shared
        sharing = self.named(WORKERS)
        await self._shared.leave(context, sharing)
        return [self._add(self._specs.replica(context, number)) for number in range(1, len(sharing) + 1)]

    async def rejoin(self, context: str) -> None:
        """End a context's own processes and have the shared ones run it."""
        assert self._shared
        for child in self.named(context):
            await self._remove(child)
        await self._shared.join(context, self.named(WORKERS))

    async def ensure(self) -> None:
        """Start what is stopped; a context that can share a process again does."""
        for name in dict.fromkeys(child.spec.service for child in self.children if child.state == "stopped"):
            if self.may_share(name):
                await self.rejoin(name)
        self.start(self.children)

    def _max_replicas(self, service: str) -> int:
        if service != GATEWAY:
            return MAX_REPLICAS
        return MAX_GATEWAYS if self._specs and self._specs.balanced else 1

    def _scaling_hint(self, service: str) -> str:
        return (
            ": start the system with `yeyak up --replicas 2` for more"
            if service == GATEWAY and self._max_replicas(service) == 1
            else ""
        )

    def _start_new(self, spec: ProcessSpec) -> ChildProcess:
        child = self._add(spec)
        self.start([child])
        return child

    async def _remove(self, child: ChildProcess) -> None:
        await self._stop(child)
        self.children.remove(child)
        del self._monitors[child.spec.name]

    def _add(self, spec: ProcessSpec) -> ChildProcess:
        child = ChildProcess(spec, self._here, self._changed)
        self._monitors[spec.name] = ChildMonitor(child, self._may_replace, self._is_calm)
        position = max(
            (at + 1 for at, other in enumerate(self.children) if other.spec.service == spec.service), default=None
        )
        self.children.insert(len(self.children) if position is None else position, child)
        return child

    async def _stop(self, child: ChildProcess) -> None:
        """Stop a process; the balancer drains a gateway first, so that no request reaches it while it stops."""
        if child.spec.service == GATEWAY and self.named(BALANCER):
            port = child.spec.env["YEYAK_GATEWAY_PORT"]
            await asyncio.to_thread(
                control.send_command, self._here.root, "drain", port, DRAIN_WITHIN, socket_name=control.BALANCER
            )
        await child.stop()
