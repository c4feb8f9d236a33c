"""The processes of a system: how many of each there are, and how they are started, probed, replaced and stopped."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from ops.stack import control
from ops.stack.child_process import ChildProcess, ProcessSpec
from ops.stack.local import Local
from ops.stack.monitor import ChildMonitor, becomes_ready
from ops.stack.process_specs import BALANCER, GATEWAY, MAX_GATEWAYS, ProcessSpecs

MAX_REPLICAS, CONTEXTS_AT_ONCE = 10, 3
READY_WITHIN = 60.0
DRAIN_WITHIN = 15.0


class CommandFailed(Exception):
    """A command cannot be carried out; the text is one sentence that says why."""


class ProcessGroup:
    """All child processes; the replicas of one context share their settings."""

    def __init__(self, here: Local, changed: Callable[[], None]) -> None:
        self.children: list[ChildProcess] = []
        self._here = here
        self._changed = changed
        self._specs: ProcessSpecs | None = None
        self._env: dict[str, str] = {}
        self._settings: dict[str, dict[str, str]] = {}
        self._monitors: dict[str, ChildMonitor] = {}

    def start_all(self, specs: ProcessSpecs, env: dict[str, str], replicas: int) -> None:
        """Start every process; the balancer last, where there is one."""
        self._specs, self._env = specs, env
        for service in specs.services():
            for number in range(1, min(replicas, self._max_replicas(service)) + 1):
                self._add(specs.replica(service, number))
        if exporter := specs.exporter():
            self._add(exporter)
        if specs.balanced:
            self._add(specs.balancer())

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
        return [child.describe() for child in self.children]

    # probing

    async def probe(self, every: bool) -> None:
        """Probe the processes that are not ready, or all of them."""
        chosen = [child for child in self.children if every or not child.ready]
        await asyncio.gather(*(self._monitors[child.spec.name].probe() for child in chosen))

    def _may_replace(self, child: ChildProcess) -> bool:
        """Whether every other replica is ready, so that one stays available; always true for a single process."""
        others = [other for other in self.named(child.spec.service) if other is not child and other.state != "stopped"]
        return all(other.ready and not other.is_being_replaced for other in others)

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
                    await becomes_ready(child, READY_WITHIN)

    def set_settings(self, service: str, env: dict[str, str]) -> None:
        """Set what the replicas of a service get in addition to the system's environment from their next start on."""
        self._settings[service] = env

    async def end(self) -> None:
        """Stop everything: gateways and balancer first."""
        entry_points = [child for child in self.children if child.spec.service in (GATEWAY, BALANCER)]
        await asyncio.gather(*(child.stop() for child in entry_points))
        await asyncio.gather(*(child.stop() for child in self.children))

    async def scale(self, service: str, count: int) -> None:
        """Run `count` replicas of a service; returns when the new ones are ready. Raises CommandFailed."""
        assert self._specs
        if service not in self._specs.services():
            raise CommandFailed(f"there is no {service}; there are: {', '.join(self._specs.services())}")
        if not 1 <= count <= self._max_replicas(service):
            raise CommandFailed(
                f"{service} can have 1 to {self._max_replicas(service)} processes" + self._scaling_hint(service)
            )
        there = self.named(service)
        for child in there[count:]:
            await self._stop(child)
            self.children.remove(child)
            del self._monitors[child.spec.name]
        added = [self._add(self._specs.replica(service, number)) for number in range(len(there) + 1, count + 1)]
        await asyncio.gather(*(becomes_ready(child, READY_WITHIN) for child in added))

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

    def _add(self, spec: ProcessSpec) -> ChildProcess:
        child = ChildProcess(spec, self._here, self._changed)
        self._monitors[spec.name] = ChildMonitor(child, self._may_replace)
        position = max(
            (at + 1 for at, other in enumerate(self.children) if other.spec.service == spec.service), default=None
        )
        self.children.insert(len(self.children) if position is None else position, child)
        self.start([child])
        return child

    async def _stop(self, child: ChildProcess) -> None:
        """Stop a process; the balancer drains a gateway first, so that no request reaches it while it stops."""
        if child.spec.service == GATEWAY and self.named(BALANCER):
            port = child.spec.env["YEYAK_GATEWAY_PORT"]
            await asyncio.to_thread(
                control.send_command, self._here.root, "drain", port, DRAIN_WITHIN, socket_name=control.BALANCER
            )
        await child.stop()
