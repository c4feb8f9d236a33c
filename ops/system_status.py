"""Reads the status of the system: processes, queues, outboxes, timers, breakers, dead letters."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import asyncpg
import httpx

from ops.settings import SystemSettings
from ops.stack.local import Local
from storage.database import Session
from storage.inbox import Inbox
from workers.registry import CONTEXTS, worker, workers
from workers.runtime.messaging import topology
from workers.runtime.messaging.exchanges import SESSION_STREAM, STREAM, STREAMS
from workers.runtime.messaging.management import ManagementClient, ManagementUnavailable
from workers.runtime.projections.view import View

PROBE_SECONDS = 2.0
READ_SECONDS = 5.0
OPEN_DEAD_LETTERS = (
    "select context, count(*) from journal.dead_letters where status = 'DEAD' group by context order by context"
)
READ_OFFSET = "select coalesce(max(last_offset), -1) from journal.reader"
CONNECTION_ERRORS = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


class SystemDownError(Exception):
    """Neither a supervisor nor the management API of the broker answers."""


@dataclass
class SystemStatus:
    """What `yeyak status` shows; what could not be read is missing here and named in `problems`."""

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
        """The private servers as rows of the table of processes."""
        unknown = dict.fromkeys(("uptime_seconds", "health_url"))
        return [{**unknown, **server, "ready": server["state"] == "running"} for server in self.servers]


async def read_status(settings: SystemSettings, here: Local) -> SystemStatus:
    """Read all sources at the same time; raises SystemDownError."""
    status = SystemStatus()
    state = here.read_state() if here.supervisor_pid() else {}
    if state.get("phase") not in (None, "up"):
        status.problems.append(f"the system is {state['phase']}")
    status.servers = state.get("servers", [])
    processes, read_offset, _ = await asyncio.gather(
        _probe_processes(state.get("processes", []), status),
        _read_dead_letters(settings, status),
        _read_databases(settings, status),
    )
    seen = await _read_broker(settings, status, read_offset)
    if not state and seen is None:
        why = here.read_state().get("problem") or status.problems[-1]
        raise SystemDownError(f"the system is down: `yeyak up` starts it ({why})")
    status.processes = processes if state else _connected_processes(seen or [], status.queues)
    status.problems += [
        f"{server['name']} is {server['state']}" for server in status.servers if server["state"] != "running"
    ]
    status.problems += [f"{one['name']} is not ready" for one in status.processes if not one["ready"]]
    if not state:
        connected = {context for one in status.processes for context in one["contexts"]}
        status.problems += [f"{context} is not connected" for context in CONTEXTS if context not in connected]
        unread = [queue["name"] for queue in status.queues if not queue["consumers"]]
        status.problems += [f"no consumer of {name}" for name in unread if name != SESSION_STREAM]
    return status


# -- processes


async def _probe_processes(known: list[dict[str, Any]], status: SystemStatus) -> list[dict[str, Any]]:
    async with httpx.AsyncClient(timeout=PROBE_SECONDS, trust_env=False) as client:
        answers = await asyncio.gather(*(_probe_ready(client, one) for one in known))
    for one, (_, body) in zip(known, answers, strict=True):
        reported = body.get("breakers", {})
        status.breakers |= reported if one["contexts"] else {one["name"]: reported}
        status.problems += [
            f"{context}: {source}: {error}"
            for context, sources in body.get("problems", {}).items()
            for source, error in sources.items()
        ]
    return [_as_row(one, ready) for one, (ready, _) in zip(known, answers, strict=True)]


async def _probe_ready(client: httpx.AsyncClient, process: Mapping[str, Any]) -> tuple[bool, dict[str, Any]]:
    if not process.get("pid"):
        return False, {}
    try:
        answer = await client.get(f"{process['health_url']}/ready")
        reported = answer.json() if answer.headers.get("content-type", "").startswith("application/json") else {}
        return answer.status_code == 200, reported
    except (httpx.HTTPError, ValueError):
        return False, {}


def _as_row(process: Mapping[str, Any], ready: bool) -> dict[str, Any]:
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
    """Seconds since the last start of a process; None before the first."""
    if not process.get("started_at"):
        return None
    return round(((now or datetime.now(UTC)) - datetime.fromisoformat(process["started_at"])).total_seconds(), 1)


def _connected_processes(
    connections: Iterable[Mapping[str, Any]], queues: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Without a supervisor: the processes with a publishing connection; ready when all their queues have consumers."""
    unread = {queue["name"].rpartition("@")[2] for queue in queues if not queue["consumers"]}
    found = []
    for connection in connections:
        name, _, purpose = str(connection.get("user_provided_name", "")).partition(": ")
        if purpose != "publisher" or (name not in CONTEXTS and name != "gateway"):
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


async def _read_broker(
    settings: SystemSettings, status: SystemStatus, read_offset: int | None
) -> list[dict[str, Any]] | None:
    """Set the queues; returns the connections, or None when the management API does not answer."""
    try:
        async with ManagementClient(settings) as api:
            queues, connections = await asyncio.gather(api.queues(), api.connections())
    except ManagementUnavailable as error:
        status.problems.append(f"the broker's management API does not answer: {_first_line(error)}")
        return None
    planned = [queue.name for queue in topology.plan(workers())]
    known = {queue["name"]: queue for queue in queues}
    status.queues = [queue_status(name, known[name], read_offset) for name in planned if name in known]
    status.problems += [f"queue {name} is missing: run `yeyak topology apply`" for name in planned if name not in known]
    return connections


def queue_status(name: str, reported: Mapping[str, Any], read_offset: int | None) -> dict[str, Any]:
    """Describe a queue; the backlog of the stream, which keeps all events, is what the journal has not read."""
    ready, unacked = reported.get("messages_ready", 0), reported.get("messages_unacknowledged", 0)
    if name in STREAMS:
        end = read_offset if name == STREAM else None
        ready = max(0, reported.get("messages", 0) - end - 1) if end is not None else 0
        unacked = 0
    return {
        "name": name,
        "backlog": ready + unacked,
        "ready": ready,
        "unacked": unacked,
        "consumers": reported.get("consumers", 0),
    }


# -- databases


async def _read_databases(settings: SystemSettings, status: SystemStatus) -> None:
    writers = [one for one in map(worker, CONTEXTS) if not isinstance(one, View)]
    found = await asyncio.gather(
        *(_read_inbox(settings.database_of(one.name), one.schema) for one in writers), return_exceptions=True
    )
    for one, row in zip(writers, found, strict=True):
        if isinstance(row, CONNECTION_ERRORS):
            status.problems.append(f"the database of {one.name} cannot be read: {_first_line(row)}")
        elif isinstance(row, BaseException):
            raise row
        else:
            status.outbox[one.name] = {"rows": row["outbox"], "age_seconds": round(row["outbox_age"], 1)}
            status.timers[one.name] = {name: row[name] for name in ("waiting", "started", "due", "dead")}


async def _read_inbox(url: str, schema: str) -> Mapping[str, Any]:
    connection = await asyncpg.connect(url, timeout=READ_SECONDS, command_timeout=READ_SECONDS)
    try:
        return await Inbox(schema).status(Session(connection))
    finally:
        connection.terminate()


async def _read_dead_letters(settings: SystemSettings, status: SystemStatus) -> int | None:
    """Set the open dead letters; returns the stream offset up to which the journal has read, None if unknown."""
    try:
        connection = await asyncpg.connect(
            settings.database_of("journal"), timeout=READ_SECONDS, command_timeout=READ_SECONDS
        )
        try:
            rows = await connection.fetch(OPEN_DEAD_LETTERS)
            read_offset: int = await connection.fetchval(READ_OFFSET)
        finally:
            connection.terminate()
    except CONNECTION_ERRORS:  # reported with the journal's inbox
        return None
    status.dead_letters = {"open": sum(row["count"] for row in rows), "contexts": dict(map(tuple, rows))}
    return read_offset


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0] or type(error).__name__
