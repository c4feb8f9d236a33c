"""A story as a sequence diagram: who ordered, asked, answered and said what, ready to be drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from gateway_api.console.words import Tone

LANE, LEFT, TOP, STEP = 170, 90, 46, 34
"""Pixels: between lifelines, before the first, above the first arrow, between arrows."""
LONGEST_LABEL = 34
MOST_ARROWS = 200
SILENT = ("unknown", "unavailable", "silence")
HANDLED = ("command", "question", "timer", "retry")
EVERYONE = "…"


class Arrow(NamedTuple):
    """One line of the diagram; from a context to itself it is a note."""

    at: datetime
    source: str
    target: str
    label: str
    tone: Tone
    dashed: bool


@dataclass(frozen=True, slots=True)
class Drawn:
    """An arrow with its place, in pixels."""

    x1: int
    x2: int
    y: int
    label: str
    tone: Tone
    dashed: bool

    @property
    def middle(self) -> int:
        return (self.x1 + self.x2) // 2

    @property
    def points_right(self) -> bool:
        return self.x2 > self.x1


@dataclass(frozen=True, slots=True)
class Diagram:
    lanes: list[tuple[str, int]]
    arrows: list[Drawn]
    width: int
    height: int
    left_out: int


@dataclass(slots=True)
class _Reader:
    """Reads entries as the API tells them."""

    entries: list[dict[str, Any]]
    asked: set[str] = field(default_factory=set)
    said: set[str] = field(default_factory=set)
    handlers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for entry in self.entries:
            if entry["kind"] == "ask":
                self.asked.add(entry["message_id"])
            if entry["kind"] == "event" and entry["outcome"] == "said":
                self.said.add(entry["message_id"])
            if entry["kind"] in HANDLED:
                self.handlers[entry["message_id"]] = entry["context"]

    def arrows(self) -> Iterator[Arrow]:
        for entry in self.entries:
            yield from self._arrows(entry)

    def _arrows(self, entry: dict[str, Any]) -> Iterator[Arrow]:
        at, context, name = datetime.fromisoformat(entry["at"]), entry["context"], what(entry)
        match entry["kind"]:
            case "ask":
                callee = entry["topic"].rpartition(".")[0]
                yield Arrow(at, context, callee, name, "calm", False)
                yield _reply(entry, at, callee, context)
            case "command" | "question" if entry["message_id"] not in self.asked:
                sender = self.handlers.get(entry["causation_id"] or "")
                yield Arrow(at, sender or entry["actor"], context, name, tone(entry), False)
                if sender is None:
                    yield _reply(entry, at, context, entry["actor"])
            case "event" if entry["outcome"] == "said":
                for reader in self._readers(entry["message_id"]) or [EVERYONE]:
                    yield Arrow(at, context, reader, name, "calm", True)
            case "event" if entry["message_id"] not in self.said:
                yield Arrow(at, entry["topic"].rpartition(".")[0], context, name, tone(entry), True)
            case "retry" | "timer" | "dead_letter":
                yield Arrow(at, context, context, f"{entry['kind']}: {name}", tone(entry), False)
            case "operator":
                yield Arrow(at, entry["actor"], context, entry["topic"], "wait", False)

    def _readers(self, message_id: str) -> list[str]:
        heard = (one for one in self.entries if one["kind"] == "event" and one["message_id"] == message_id)
        return list(dict.fromkeys(one["context"] for one in heard if one["outcome"] != "said"))


def what(entry: dict[str, Any]) -> str:
    """The message without its context, and which attempt it was."""
    name = str(entry["topic"]).rpartition(".")[2]
    return name if entry["attempt"] == 1 else f"{name} #{entry['attempt']}"


def tone(entry: dict[str, Any]) -> Tone:
    """How a line of a story is to be taken."""
    outcome, kind = entry["outcome"], entry["kind"]
    if kind == "dead_letter" or outcome in ("dead", *SILENT):
        return "bad"
    if kind in ("retry", "timer", "operator") or outcome in ("retry", "still_running"):
        return "wait"
    return "calm" if outcome in ("done", "said", "duplicate") else "bad"


def _reply(entry: dict[str, Any], at: datetime, source: str, target: str) -> Arrow:
    took = entry["took_ms"] or 0.0
    label = f"{entry['outcome']} · {took:.0f} ms"
    return Arrow(at + timedelta(milliseconds=took), source, target, label, tone(entry), True)


def diagram(entries: list[dict[str, Any]]) -> Diagram:
    """Arrows in the order of time, lifelines in the order in which they appear."""
    arrows = sorted(_Reader(entries).arrows(), key=lambda arrow: arrow.at)
    left_out = max(0, len(arrows) - MOST_ARROWS)
    arrows = arrows[:MOST_ARROWS]
    lanes = {name: 0 for arrow in arrows for name in (arrow.source, arrow.target)}
    for number, name in enumerate(lanes):
        lanes[name] = LEFT + number * LANE
    drawn = [
        Drawn(lanes[one.source], lanes[one.target], TOP + STEP * number, _cut(one.label), one.tone, one.dashed)
        for number, one in enumerate(arrows, 1)
    ]
    width = LEFT * 2 + LANE * max(len(lanes) - 1, 0)
    return Diagram(list(lanes.items()), drawn, width, TOP + STEP * (len(drawn) + 1), left_out)


def _cut(label: str) -> str:
    return label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1] + "…"
