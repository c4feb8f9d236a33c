"""`yeyak story ID`: what happened to one thing, as a table or as a sequence diagram."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID
from zoneinfo import ZoneInfo

import typer

from contracts.journal import Story, StoryEntry, TellStory
from ops.configured import fail
from ops.requests import ask
from ops.tables import show

SEOUL = ZoneInfo("Asia/Seoul")
EVERYONE = "everyone"
LABEL_LIMIT = 80


def register(app: typer.Typer) -> None:
    app.command()(story)


def story(
    id: Annotated[UUID, typer.Argument(help="of anything that has one: a rental, a payment, a message")],
    mermaid: Annotated[bool, typer.Option("--mermaid", help="a sequence diagram")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="the entries with their bodies")] = False,
) -> None:
    """Tell what happened to one thing: commands, events, asks, retries, timers, compensations, oldest first."""
    if mermaid and as_json:
        fail("choose one of --mermaid and --json")
    told: Story = asyncio.run(ask(TellStory(id=id)))
    if as_json:
        typer.echo(told.model_dump_json(indent=1))
    elif mermaid:
        typer.echo(diagram(told))
    else:
        show(["time (Seoul)", "context", "kind", "what", "outcome", "ms"], map(line, told.entries))


def line(entry: StoryEntry) -> list[str]:
    """One entry as a row of the table."""
    took = "" if entry.took_ms is None else f"{entry.took_ms:.1f}"
    return [clock(entry.at), entry.context, entry.kind, what(entry), entry.outcome, took]


def clock(at: datetime) -> str:
    return f"{at.astimezone(SEOUL):%m-%d %H:%M:%S.%f}"[:-3]


def what(entry: StoryEntry) -> str:
    """The message without its context, and which attempt it was."""
    name = entry.topic if entry.kind == "operator" else short(entry.topic)
    return name if entry.attempt == 1 else f"{name} (attempt {entry.attempt})"


def short(topic: str) -> str:
    return topic.rpartition(".")[2]


# -- the diagram


def diagram(told: Story) -> str:
    """A mermaid sequence diagram: who ordered, asked, answered and said what."""
    return _Diagram(told.entries).text()


class _Diagram:
    def __init__(self, entries: list[StoryEntry]) -> None:
        self._entries = entries
        self._asked = {entry.message_id for entry in entries if entry.kind == "ask"}
        self._said = {entry.message_id for entry in entries if entry.kind == "event" and entry.outcome == "said"}
        handlings = [entry for entry in entries if entry.kind in ("command", "question", "timer", "retry")]
        self._handlers = {entry.message_id: entry.context for entry in handlings}
        self._names: dict[str, str] = {}
        self._replies: list[tuple[datetime, str]] = []

    def text(self) -> str:
        lines: list[str] = []
        for entry in self._entries:
            lines += self._replies_until(entry.at)
            lines += self._draw(entry)
        lines += self._replies_until(None)
        people = [f"participant {alias} as {_label(name)}" for name, alias in self._names.items()]
        return "\n    ".join(["sequenceDiagram", *people, *lines])

    def _of(self, name: str) -> str:
        return self._names.setdefault(name, f"p{len(self._names)}")

    def _arrow(self, source: str, arrow: str, target: str, label: str) -> str:
        return f"{self._of(source)}{arrow}{self._of(target)}: {_label(label)}"

    def _draw(self, entry: StoryEntry) -> Iterator[str]:
        name = what(entry)
        match entry.kind:
            case "ask":
                callee = entry.topic.rpartition(".")[0]
                yield self._arrow(entry.context, "->>", callee, name)
                self._reply(entry, callee, entry.context)
            case "command" | "question":
                if entry.message_id not in self._asked:
                    yield from self._order(entry, name)
            case "event":
                yield from self._event(entry, name)
            case "retry" | "timer":
                yield self._arrow(entry.context, "->>", entry.context, f"{entry.kind}: {name}: {entry.outcome}")
            case "dead_letter":
                yield f"Note over {self._of(entry.context)}: {_label(f'dead letter: {name}: {entry.outcome}')}"
            case "operator":
                yield self._arrow(entry.actor, "->>", entry.context, f"{entry.topic}: {entry.outcome}")

    def _order(self, entry: StoryEntry, name: str) -> Iterator[str]:
        """A command that came from another step, or from somebody at the door, who is answered."""
        sender = self._handlers.get(entry.causation_id)
        yield self._arrow(sender or entry.actor, "->>", entry.context, name)
        if sender is None:
            self._reply(entry, entry.context, entry.actor)
        elif entry.outcome != "done":
            yield f"Note over {self._of(entry.context)}: {_label(f'{name}: {entry.outcome}')}"

    def _event(self, entry: StoryEntry, name: str) -> Iterator[str]:
        if entry.outcome == "said":
            for reader in self._readers(entry) or [EVERYONE]:
                yield self._arrow(entry.context, "--)", reader, name)
        elif entry.message_id not in self._said:
            yield self._arrow(entry.topic.rpartition(".")[0], "--)", entry.context, name)
        if entry.outcome not in ("said", "done"):
            yield f"Note over {self._of(entry.context)}: {_label(f'{name}: {entry.outcome}')}"

    def _readers(self, said: StoryEntry) -> list[str]:
        readers = (
            entry.context
            for entry in self._entries
            if entry.kind == "event" and entry.outcome != "said" and entry.message_id == said.message_id
        )
        return list(dict.fromkeys(readers))

    def _reply(self, entry: StoryEntry, source: str, target: str) -> None:
        took = entry.took_ms or 0.0
        arrow = "--x" if entry.outcome in ("unknown", "unavailable", "silence") else "-->>"
        line = self._arrow(source, arrow, target, f"{entry.outcome} ({took:.0f} ms)")
        self._replies.append((entry.at + timedelta(milliseconds=took), line))
        self._replies.sort(key=lambda reply: reply[0])

    def _replies_until(self, at: datetime | None) -> Iterator[str]:
        while self._replies and (at is None or self._replies[0][0] < at):
            yield self._replies.pop(0)[1]


def _label(text: str) -> str:
    """What mermaid would read as its own is replaced."""
    plain = " ".join(text.replace(";", ",").replace("#", "").split())
    return plain if len(plain) <= LABEL_LIMIT else plain[: LABEL_LIMIT - 1] + "…"
