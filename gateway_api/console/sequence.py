"""The sequence diagram of a story: commands, requests, replies and events as arrows between contexts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from gateway_api.console.words import Tone

LANE, LEFT, TOP, STEP = 170, 90, 46, 34
"""In pixels: between two lifelines, left of the first one, above the first arrow, between two arrows."""
LONGEST_LABEL = 34
MAX_ARROWS = 200
NO_REPLY = ("unknown", "unavailable", "silence")
HANDLED = ("command", "question", "timer", "retry")
EVERYONE = "…"


class Arrow(NamedTuple):
    """One line of the diagram; an arrow from a context to itself is a note at its lifeline."""

    at: datetime
    source: str
    target: str
    label: str
    tone: Tone
    dashed: bool


@dataclass(frozen=True, slots=True)
class DrawnArrow:
    """An arrow with its coordinates in pixels."""

    x1: int
    x2: int
    y: int
    label: str
    tone: Tone
    dashed: bool

    @property
    def middle(self) -> int:
        return (self.x1 + self.x2) // 2


@dataclass(frozen=True, slots=True)
class Diagram:
    lanes: list[tuple[str, int]]
    arrows: list[DrawnArrow]
    width: int
    height: int
    left_out: int


@dataclass(slots=True)
class _Story:
    """The entries of a story, as the API returns them, and what they tell about each message."""

    entries: list[dict[str, Any]]
    requested: set[str] = field(default_factory=set)
    """Ids of messages whose sender reported a request."""
    published: set[str] = field(default_factory=set)
    """Ids of events whose publication was reported."""
    handlers: dict[str, str] = field(default_factory=dict)
    """The context that handled a message, by message id."""

    def __post_init__(self) -> None:
        for entry in self.entries:
            if entry["kind"] == "ask":
                self.requested.add(entry["message_id"])
            if entry["kind"] == "event" and entry["outcome"] == "said":
                self.published.add(entry["message_id"])
            if entry["kind"] in HANDLED:
                self.handlers[entry["message_id"]] = entry["context"]

    def arrows(self) -> Iterator[Arrow]:
        for entry in self.entries:
            yield from self._arrows(entry)

    def _arrows(self, entry: dict[str, Any]) -> Iterator[Arrow]:
        at, context, name = datetime.fromisoformat(entry["at"]), entry["context"], message_label(entry)
        match entry["kind"]:
            case "ask":
                callee = entry["topic"].rpartition(".")[0]
                yield Arrow(at, context, callee, name, "neutral", False)
                yield _reply(entry, at, callee, context)
            case "command" | "question" if entry["message_id"] not in self.requested:
                sender = self.handlers.get(entry["causation_id"] or "")
                yield Arrow(at, sender or entry["actor"], context, name, tone(entry), False)
                if sender is None:
                    yield _reply(entry, at, context, entry["actor"])
            case "event" if entry["outcome"] == "said":
                for reader in self._readers(entry["message_id"]) or [EVERYONE]:
                    yield Arrow(at, context, reader, name, "neutral", True)
            case "event" if entry["message_id"] not in self.published:
                yield Arrow(at, entry["topic"].rpartition(".")[0], context, name, tone(entry), True)
            case "retry" | "timer" | "dead_letter":
                yield Arrow(at, context, context, f"{entry['kind']}: {name}", tone(entry), False)
            case "operator":
                yield Arrow(at, entry["actor"], context, entry["topic"], "wait", False)

    def _readers(self, message_id: str) -> list[str]:
        handled = (one for one in self.entries if one["kind"] == "event" and one["message_id"] == message_id)
        return list(dict.fromkeys(one["context"] for one in handled if one["outcome"] != "said"))


def message_label(entry: dict[str, Any]) -> str:
    """Return the name of a message without its context, and the number of a repeated attempt."""
    name = str(entry["topic"]).rpartition(".")[2]
    return name if entry["attempt"] == 1 else f"{name} #{entry['attempt']}"


def tone(entry: dict[str, Any]) -> Tone:
    """Return the tone of an entry by its kind and outcome."""
    outcome, kind = entry["outcome"], entry["kind"]
    if kind == "dead_letter" or outcome in ("dead", *NO_REPLY):
        return "bad"
    if kind in ("retry", "timer", "operator") or outcome in ("retry", "still_running"):
        return "wait"
    return "neutral" if outcome in ("done", "said", "duplicate") else "bad"


def _reply(entry: dict[str, Any], at: datetime, source: str, target: str) -> Arrow:
    took = entry["took_ms"] or 0.0
    label = f"{entry['outcome']} · {took:.0f} ms"
    return Arrow(at + timedelta(milliseconds=took), source, target, label, tone(entry), True)


def diagram(entries: list[dict[str, Any]]) -> Diagram:
    """Return the diagram of a story: arrows in the order of time, lifelines in the order of first use."""
    arrows = sorted(_Story(entries).arrows(), key=lambda arrow: arrow.at)
    left_out = max(0, len(arrows) - MAX_ARROWS)
    arrows = arrows[:MAX_ARROWS]
    lanes = {name: 0 for arrow in arrows for name in (arrow.source, arrow.target)}
    for number, name in enumerate(lanes):
        lanes[name] = LEFT + number * LANE
    drawn = [
        DrawnArrow(lanes[one.source], lanes[one.target], TOP + STEP * number, _cut(one.label), one.tone, one.dashed)
        for number, one in enumerate(arrows, 1)
    ]
    width = LEFT * 2 + LANE * max(len(lanes) - 1, 0)
    return Diagram(list(lanes.items()), drawn, width, TOP + STEP * (len(drawn) + 1), left_out)


def _cut(label: str) -> str:
    return label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1] + "…"
