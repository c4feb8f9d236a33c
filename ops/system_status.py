"""How the system stands: processes, queues, outboxes, timers, breakers, dead letters."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import asyncpg
import httpx

from ops.stack.local import Local
from storage.database import Session
from storage.inbox import Inbox
from workers.registry import CONTEXTS, worker, workers
from workers.runtime.messaging import topology
from workers.runtime.messaging.management import ManagementClient, ManagementUnavailable
from workers.runtime.projections.view import View
from workers.runtime.settings import Settings

PROBE_SECONDS = 2.0
READ_SECONDS = 5.0
OPEN_LETTERS = (
    "select context, count(*) from journal.dead_letters where status = 'DEAD' group by context order by context"
)
READ_TO = "select coalesce(max(last_offset), -1) from journal.reader"
CONNECTION_ERRORS = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


class SystemDownError(Exception):
    """Neither a supervisor nor the broker's management API answers; its text says so."""


@dataclass
class SystemStatus:
    """What `yeyak status` shows; what could not be read is left out and named in `problems`."""

    processes: list[dict[str, Any]] = field(default_factory=list)
    servers: list[dict[str, Any]] = field(default_factory=list)
    queues: list[dict[str, Any]] = field(default_factory=list)
    outbox: dict[str, dict[str, Any]] = field(default_factory=dict)
    timers: dict[str, dict[str, int]] = field(default_factory=dict)
    breakers: dict[str, dict[str, str]] = field(default_factory=dict)
    dead_letters: dict[str, Any] | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def ready(self) -> bool:
        return not self.problems

    def servers_as_processes(self) -> list[dict[str, Any]]:
        """The private servers in the shape of processes."""
        unknown = dict.fromkeys(("uptime_seconds", "health_url"))
        return [{**unknown, **server, "ready": server["state"] == "running"} for server in self.servers]


async def standing(settings: Settings, here: Local) -> SystemStatus:
    """Ask everybody at once; raises SystemDownError."""
    stands = SystemStatus()
    state = here.read_state() if here.supervisor_pid() else {}
    if state.get("phase") not in (None, "up"):
        stands.problems.append(f"the system is {state['phase']}")
    stands.servers = state.get("servers", [])
    processes, read_to, _ = await asyncio.gather(
        _probed(state.get("processes", []), stands), _letters(settings, stands), _databases(settings, stands)
    )
    seen = await _broker(settings, stands, read_to)
    if not state and seen is None:
        why = here.read_state().get("problem") or stands.problems[-1]
        raise SystemDownError(f"the system is down: `yeyak up` starts it ({why})")
    stands.processes = processes if state else _connected(seen or [], stands.queues)
    stands.problems += [
        f"{server['name']} is {server['state']}" for server in stands.servers if server["state"] != "running"
    ]
    stands.problems += [f"{one['name']} is not ready" for one in stands.processes if not one["ready"]]
    if not state:
        there = {context for one in stands.processes for context in one["contexts"]}
        stands.problems += [f"{context} is not there" for context in CONTEXTS if context not in there]
        stands.problems += [f"nobody reads {queue['name']}" for queue in stands.queues if not queue["consumers"]]
    return stands


# -- processes


async def _probed(known: list[dict[str, Any]], stands: SystemStatus) -> list[dict[str, Any]]:
    async with httpx.AsyncClient(timeout=PROBE_SECONDS, trust_env=False) as client:
        answers = await asyncio.gather(*(_ask_ready(client, one) for one in known))
    for one, (_, body) in zip(known, answers, strict=True):
        told = body.get("breakers", {})
        stands.breakers |= told if one["contexts"] else {one["name"]: told}
    return [_described(one, ready) for one, (ready, _) in zip(known, answers, strict=True)]


async def _ask_ready(client: httpx.AsyncClient, process: Mapping[str, Any]) -> tuple[bool, dict[str, Any]]:
    if not process.get("pid"):
        return False, {}
    try:
        answer = await client.get(f"{process['health_url']}/ready")
        told = answer.json() if answer.headers.get("content-type", "").startswith("application/json") else {}
        return answer.status_code == 200, told
    except (httpx.HTTPError, ValueError):
        return False, {}


def _described(process: Mapping[str, Any], ready: bool) -> dict[str, Any]:
    return {
        "name": process["name"],
        "pid": process["pid"],
        "contexts": process["contexts"],
        "state": process["state"],
        "ready": ready,
        "restarts": process["restarts"],
        "uptime_seconds": uptime(process) if process["pid"] else None,
        "health_url": process["health_url"],
    }


def uptime(process: Mapping[str, Any], now: datetime | None = None) -> float | None:
    """Seconds since a process was started last."""
    if not process.get("started_at"):
        return None
    return round(((now or datetime.now(UTC)) - datetime.fromisoformat(process["started_at"])).total_seconds(), 1)


def _connected(connections: Iterable[Mapping[str, Any]], queues: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without a supervisor: who is connected to speak, and whether every queue of theirs is read."""
    unread = {queue["name"].rpartition("@")[2] for queue in queues if not queue["consumers"]}
    found = []
    for connection in connections:
        name, _, does = str(connection.get("user_provided_name", "")).partition(": ")
        if does != "says" or (name not in CONTEXTS and name != "gateway"):
            continue
        since = datetime.fromtimestamp(connection["connected_at"] / 1000, UTC).isoformat()
        found.append(
            {
                "name": name,
                "pid": None,
                "contexts": [name] if name in CONTEXTS else [],
                "state": "connected",
                "ready": name not in unread,
                "restarts": None,
                "uptime_seconds": uptime({"started_at": since}),
                "health_url": None,
            }
        )
    return sorted(found, key=lambda one: str(one["name"]))


# -- queues


async def _broker(settings: Settings, stands: SystemStatus, read_to: int | None) -> list[dict[str, Any]] | None:
    """Fill in the queues; the connections, or None when the management API does not answer."""
    try:
        async with ManagementClient(settings) as api:
            queues, connections = await asyncio.gather(api.queues(), api.connections())
    except ManagementUnavailable as error:
        stands.problems.append(f"the broker's management API does not answer: {_first_line(error)}")
        return None
    planned = [queue.name for queue in topology.plan(workers())]
    known = {queue["name"]: queue for queue in queues}
    stands.queues = [queue_of(name, known[name], read_to) for name in planned if name in known]
    stands.problems += [f"queue {name} is missing: run `yeyak topology apply`" for name in planned if name not in known]
    return connections


def queue_of(name: str, told: Mapping[str, Any], read_to: int | None) -> dict[str, Any]:
    """A queue with its backlog; the stream keeps what was read, its backlog is what the journal has not read yet."""
    ready, unacked = told.get("messages_ready", 0), told.get("messages_unacknowledged", 0)
    if name == topology.STREAM:
        ready = max(0, told.get("messages", 0) - read_to - 1) if read_to is not None else 0
        unacked = 0
    return {
        "name": name,
        "backlog": ready + unacked,
        "ready": ready,
        "unacked": unacked,
        "consumers": told.get("consumers", 0),
    }


# -- databases


async def _databases(settings: Settings, stands: SystemStatus) -> None:
    writers = [one for one in map(worker, CONTEXTS) if not isinstance(one, View)]
    found = await asyncio.gather(
        *(_inbox(settings.database_of(one.name), one.schema) for one in writers), return_exceptions=True
    )
    for one, row in zip(writers, found, strict=True):
        if isinstance(row, CONNECTION_ERRORS):
            stands.problems.append(f"the database of {one.name} cannot be read: {_first_line(row)}")
        elif isinstance(row, BaseException):
            raise row
        else:
            stands.outbox[one.name] = {"rows": row["outbox"], "age_seconds": round(row["outbox_age"], 1)}
            stands.timers[one.name] = {name: row[name] for name in ("waiting", "started", "due", "dead")}


async def _inbox(url: str, schema: str) -> Mapping[str, Any]:
    connection = await asyncpg.connect(url, timeout=READ_SECONDS, command_timeout=READ_SECONDS)
    try:
        return await Inbox(schema).status(Session(connection))
    finally:
        connection.terminate()


async def _letters(settings: Settings, stands: SystemStatus) -> int | None:
    """Count the dead letters that are open; up to where the journal has read the stream."""
    try:
        connection = await asyncpg.connect(
            settings.database_of("journal"), timeout=READ_SECONDS, command_timeout=READ_SECONDS
        )
        try:
            rows = await connection.fetch(OPEN_LETTERS)
            read_to: int = await connection.fetchval(READ_TO)
        finally:
            connection.terminate()
    except CONNECTION_ERRORS:  # named with the journal's inbox
        return None
    stands.dead_letters = {"open": sum(row["count"] for row in rows), "contexts": dict(map(tuple, rows))}
    return read_to


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0] or type(error).__name__
