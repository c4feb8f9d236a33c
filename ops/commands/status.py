"""`yeyak status`: how the system stands."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import Annotated

import typer

from ops.configured import configuration, fail
from ops.stack.local import local
from ops.system_status import SystemDownError, SystemStatus, standing
from ops.tables import show


def register(app: typer.Typer) -> None:
    app.command()(status)


def status(as_json: Annotated[bool, typer.Option("--json", help="as JSON")] = False) -> None:
    """Processes, queues, outboxes, timers, breakers, dead letters; ends with 1 when something is not ready."""
    try:
        stands = asyncio.run(standing(configuration(), local()))
    except SystemDownError as down:
        if as_json:
            typer.echo(json.dumps({"ready": False, "problems": [str(down)], "processes": []}, indent=1))
        fail(str(down))
    if as_json:
        typer.echo(json.dumps({"ready": stands.ready, **asdict(stands)}, indent=1))
    else:
        _print(stands)
    if not stands.ready:
        raise typer.Exit(1)


def _print(stands: SystemStatus) -> None:
    show(
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
            for one in [*stands.servers_as_processes(), *stands.processes]
        ],
    )
    typer.echo()
    show(
        ["context", "outbox", "age", "waiting", "started", "due", "dead", "breakers"],
        [
            [
                context,
                stands.outbox[context]["rows"],
                span(stands.outbox[context]["age_seconds"]),
                *(timers[name] for name in ("waiting", "started", "due", "dead")),
                breakers(stands.breakers.get(context, {})),
            ]
            for context, timers in stands.timers.items()
        ],
    )
    typer.echo()
    _print_queues(stands)
    if stands.dead_letters and stands.dead_letters["open"]:
        by_context = ", ".join(f"{context} {count}" for context, count in stands.dead_letters["contexts"].items())
        typer.echo(f"{stands.dead_letters['open']} dead letters ({by_context}): `yeyak dead-letters list`")
    gateway = breakers(stands.breakers.get("gateway", {}))
    if "open" in gateway:
        typer.echo(f"breakers of the gateway: {gateway}")
    typer.echo("everything is ready" if stands.ready else "\n".join(f"not ready: {one}" for one in stands.problems))


def _print_queues(stands: SystemStatus) -> None:
    worth_a_look = [queue for queue in stands.queues if queue["backlog"] or not queue["consumers"]]
    if worth_a_look:
        columns = ["name", "ready", "unacked", "consumers"]
        show(["queue", *columns[1:]], [[queue[column] for column in columns] for queue in worth_a_look])
    backlog = sum(queue["backlog"] for queue in stands.queues)
    typer.echo(f"{len(stands.queues)} queues, {backlog} messages in them")


def breakers(states: dict[str, str]) -> str:
    """Those that are not closed."""
    return ", ".join(f"{callee} {state.replace('_', ' ')}" for callee, state in states.items() if state != "closed")


def span(seconds: float | None) -> str:
    """`3 s`, `2 min`, `5 h`, `4 d`; nothing for none or 0."""
    if not seconds:
        return ""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"
