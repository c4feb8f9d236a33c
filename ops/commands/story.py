"""`yeyak story ID`: the timeline of one thing, as a table or as a sequence diagram."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID
from zoneinfo import ZoneInfo

import typer

from contracts.journal import Story, StoryEntry, TellStory
from ops.cli_support import fail
from ops.requests import request
from ops.tables import print_table
from ops.terminal import echo

SEOUL = ZoneInfo("Asia/Seoul")
NO_CONSUMER = "everyone"
LABEL_LIMIT = 80


def register(app: typer.Typer) -> None:
    app.command()(story)


def story(
    id: Annotated[UUID, typer.Argument(help="the id of a rental, a payment, a message or any other thing")],
    mermaid: Annotated[bool, typer.Option("--mermaid", help="print a Mermaid sequence diagram")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print the entries with their bodies")] = False,
) -> None:
    """Show the timeline of one thing: commands, events, requests, retries, timers, compensations, oldest first."""
    if mermaid and as_json:
        fail("choose one of --mermaid and --json")
    found: Story = asyncio.run(request(TellStory(id=id)))
    if as_json:
        echo(found.model_dump_json(indent=1))
    elif mermaid:
        echo(diagram(found))
    else:
        print_table(["time (Seoul)", "context", "kind", "what", "outcome", "ms"], map(line, found.entries))


def line(entry: StoryEntry) -> list[str]:
    """One entry as a row of the table."""
    took = "" if entry.took_ms is None else f"{entry.took_ms:.1f}"
    return [clock(entry.at), entry.context, entry.kind, what(entry), entry.outcome, took]


def clock(at: datetime) -> str:
    return f"{at.astimezone(SEOUL):%m-%d %H:%M:%S.%f}"[:-3]


def what(entry: StoryEntry) -> str:
    """The message without its context, and the number of a repeated attempt."""
    name = entry.topic if entry.kind == "operator" else short(entry.topic)
    return name if entry.attempt == 1 else f"{name} (attempt {entry.attempt})"


def short(topic: str) -> str:
    return topic.rpartition(".")[2]


# -- the diagram


def diagram(found: Story) -> str:
    """A mermaid sequence diagram of commands, requests, replies and events."""
    return _Diagram(found.entries).text()


class _Diagram:
    def __init__(self, entries: list[StoryEntry]) -> None:
        self._entries = entries
        self._requested = {entry.message_id for entry in entries if entry.kind == "ask"}
        self._published = {entry.message_id for entry in entries if entry.kind == "event" and entry.outcome == "said"}
        processed = [entry for entry in entries if entry.kind in ("command", "question", "timer", "retry")]
        self._processed_by = {entry.message_id: entry.context for entry in processed}
        self._names: dict[str, str] = {}
        self._replies: list[tuple[datetime, str]] = []

    def text(self) -> str:
        lines: list[str] = []
        for entry in self._entries:
            lines += self._replies_until(entry.at)
            lines += self._lines(entry)
        lines += self._replies_until(None)
        people = [f"participant {alias} as {_label(name)}" for name, alias in self._names.items()]
        return "\n    ".join(["sequenceDiagram", *people, *lines])

    def _alias(self, name: str) -> str:
        return self._names.setdefault(name, f"p{len(self._names)}")

    def _arrow(self, source: str, arrow: str, target: str, label: str) -> str:
        return f"{self._alias(source)}{arrow}{self._alias(target)}: {_label(label)}"

    def _lines(self, entry: StoryEntry) -> Iterator[str]:
        name = what(entry)
        match entry.kind:
            case "ask":
                callee = entry.topic.rpartition(".")[0]
                yield self._arrow(entry.context, "->>", callee, name)
                self._reply(entry, callee, entry.context)
            case "command" | "question":
                if entry.message_id not in self._requested:
                    yield from self._command(entry, name)
            case "event":
                yield from self._event(entry, name)
            case "retry" | "timer":
                yield self._arrow(entry.context, "->>", entry.context, f"{entry.kind}: {name}: {entry.outcome}")
            case "dead_letter":
                yield f"Note over {self._alias(entry.context)}: {_label(f'dead letter: {name}: {entry.outcome}')}"
            case "operator":
                yield self._arrow(entry.actor, "->>", entry.context, f"{entry.topic}: {entry.outcome}")

    def _command(self, entry: StoryEntry, name: str) -> Iterator[str]:
        """Draw a command from another step, or from a client, which gets a reply."""
        sender = self._processed_by.get(entry.causation_id)
        yield self._arrow(sender or entry.actor, "->>", entry.context, name)
        if sender is None:
            self._reply(entry, entry.context, entry.actor)
        elif entry.outcome != "done":
            yield f"Note over {self._alias(entry.context)}: {_label(f'{name}: {entry.outcome}')}"

    def _event(self, entry: StoryEntry, name: str) -> Iterator[str]:
        if entry.outcome == "said":
            for consumer in self._consumers(entry) or [NO_CONSUMER]:
                yield self._arrow(entry.context, "--)", consumer, name)
        elif entry.message_id not in self._published:
            yield self._arrow(entry.topic.rpartition(".")[0], "--)", entry.context, name)
        if entry.outcome not in ("said", "done"):
            yield f"Note over {self._alias(entry.context)}: {_label(f'{name}: {entry.outcome}')}"

    def _consumers(self, event: StoryEntry) -> list[str]:
        consumers = (
            entry.context
            for entry in self._entries
            if entry.kind == "event" and entry.outcome != "said" and entry.message_id == event.message_id
        )
        return list(dict.fromkeys(consumers))

    def _reply(self, entry: StoryEntry, source: str, target: str) -> None:
        took = entry.took_ms or 0.0
        arrow = "--x" if entry.outcome in ("unknown", "unavailable", "silence") else "-->>"
        text = self._arrow(source, arrow, target, f"{entry.outcome} ({took:.0f} ms)")
        self._replies.append((entry.at + timedelta(milliseconds=took), text))
        self._replies.sort(key=lambda reply: reply[0])

    def _replies_until(self, at: datetime | None) -> Iterator[str]:
        while self._replies and (at is None or self._replies[0][0] < at):
            yield self._replies.pop(0)[1]


def _label(text: str) -> str:
    """Shorten a label and remove the characters that Mermaid would interpret."""
    plain = " ".join(text.replace(";", ",").replace("#", "").split())
    return plain if len(plain) <= LABEL_LIMIT else plain[: LABEL_LIMIT - 1] + "…"
