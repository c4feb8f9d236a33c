"""`yeyak status`: show the status of the system."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import Annotated

import typer

from ops.cli_support import configuration, fail
from ops.stack.local import local
from ops.system_status import SystemDownError, SystemStatus, read_status
from ops.tables import print_table
from ops.terminal import echo


def register(app: typer.Typer) -> None:
    app.command()(status)


def status(as_json: Annotated[bool, typer.Option("--json", help="as JSON")] = False) -> None:
    """Show processes, queues, outboxes, timers, breakers and dead letters; exits with 1 when anything is not ready."""
    try:
        found = asyncio.run(read_status(configuration(), local()))
    except SystemDownError as down:
        if as_json:
            echo(json.dumps({"ready": False, "problems": [str(down)], "processes": []}, indent=1))
        fail(str(down))
    if as_json:
        echo(json.dumps({"ready": found.ready, **asdict(found)}, indent=1))
    else:
        _print(found)
    if not found.ready:
        raise typer.Exit(1)


def _print(found: SystemStatus) -> None:
    print_table(
        ["process", "pid", "state", "ready", "restarts", "up", "health"],
        [
            [
                one["name"],
                one["pid"],
                one["state"],
                "yes" if one["ready"] else "NO",
                one["restarts"],
                span(one["uptime_seconds"]),
                one["health_url"],
            ]
            for one in [*found.servers_as_processes(), *found.processes]
        ],
    )
    echo()
    print_table(
        ["context", "outbox", "age", "waiting", "started", "due", "dead", "breakers"],
        [
            [
                context,
                found.outbox[context]["rows"],
                span(found.outbox[context]["age_seconds"]),
                *(timers[name] for name in ("waiting", "started", "due", "dead")),
                breakers(found.breakers.get(context, {})),
            ]
            for context, timers in found.timers.items()
        ],
    )
    echo()
    _print_queues(found)
    if found.dead_letters and found.dead_letters["open"]:
        by_context = ", ".join(f"{context} {count}" for context, count in found.dead_letters["contexts"].items())
        echo(f"{found.dead_letters['open']} dead letters ({by_context}): `yeyak dead-letters list`")
    gateway = breakers(found.breakers.get("gateway", {}))
    if "open" in gateway:
        echo(f"breakers of the gateway: {gateway}")
    echo("everything is ready" if found.ready else "\n".join(f"not ready: {one}" for one in found.problems))


def _print_queues(found: SystemStatus) -> None:
    remarkable = [queue for queue in found.queues if queue["backlog"] or not queue["consumers"]]
    if remarkable:
        columns = ["name", "ready", "unacked", "consumers"]
        print_table(["queue", *columns[1:]], [[queue[column] for column in columns] for queue in remarkable])
    backlog = sum(queue["backlog"] for queue in found.queues)
    echo(f"{len(found.queues)} queues, {backlog} messages in them")


def breakers(states: dict[str, str]) -> str:
    """Format the breakers that are not closed."""
    return ", ".join(f"{callee} {state.replace('_', ' ')}" for callee, state in states.items() if state != "closed")


def span(seconds: float | None) -> str:
    """Format a duration as `3 s`, `2 min`, `5 h` or `4 d`; empty for None and 0."""
    if not seconds:
        return ""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"
