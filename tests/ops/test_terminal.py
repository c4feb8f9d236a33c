"""What commands print from data cannot change a terminal."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
import typer
from typer.testing import CliRunner

from contracts.base import Refused
from contracts.journal import DeadLetter, DeadLetters, Resolution, Story, StoryEntry
from ops.audit import Finding
from ops.commands import audit, dead_letters, story
from ops.requests import describe_refusal
from ops.tables import print_table
from ops.terminal import echo, escaped

HOSTILE = "\x1b[2J\x1b]0;owned\x07 \u202eevil\u2066 \x9b31m \x00 \u200b \U000e0041 \ufeff\r"
ID = "0afa707b-1493-4eed-a57b-9e56f3c744a5"
NOW = datetime(2026, 11, 30, tzinfo=UTC)


def is_safe(text: str) -> bool:
    return all(one.isprintable() or one in "\n\t" for one in text)


def test_control_and_direction_characters_are_shown_as_json_writes_them() -> None:
    assert escaped("a\x1b[31m\u202e\x9b\n") == "a\\u001b[31m\\u202e\\u009b\\u000a"
    assert json.loads(f'"{escaped(HOSTILE)}"') == HOSTILE


@pytest.mark.parametrize("text", ["라떼 4,500원", "커피 ☕ 👩‍👩‍👧 नमस्ते", "a\u00a0b\u3000c"])
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert escaped(text) == text


def test_line_breaks_are_kept_between_lines_and_escaped_within_a_cell(capsys: pytest.CaptureFixture[str]) -> None:
    echo("one\n\ttwo\x1b")
    print_table(["what"], [["three\nfour\x1b"]])

    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines == ["one", "\ttwo\\u001b", "what", "three\\u000afour\\u001b"]


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> None:
    letter = DeadLetter(
        dead_letter_id=uuid4(),
        context=HOSTILE,
        queue=HOSTILE,
        message_id=HOSTILE,
        topic=HOSTILE,
        body=HOSTILE,
        error=HOSTILE,
        attempts=1,
        died_at=NOW,
        status="DEAD",
        source="broker",
        story_id=None,
        closed_at=None,
        closed_by=HOSTILE,
        closed_reason=HOSTILE,
        headers=HOSTILE,
        resolutions=[Resolution(action="replay", by=HOSTILE, reason=HOSTILE, at=NOW)],
    )
    entry = StoryEntry(
        at=NOW,
        context=HOSTILE,
        kind="command",
        topic=HOSTILE,
        outcome=HOSTILE,
        actor=HOSTILE,
        attempt=1,
        took_ms=1.0,
        message_id=uuid4(),
        causation_id=None,
        body=HOSTILE,
    )

    async def answer(query: Any) -> Any:
        match type(query).__name__:
            case "ListDeadLetters":
                return DeadLetters(items=[letter], next_cursor=None)
            case "ShowDeadLetter":
                return letter
            case _:
                return Story(story_ids=[uuid4()], entries=[entry])

    monkeypatch.setattr(dead_letters, "request", answer)
    monkeypatch.setattr(story, "request", answer)


@pytest.mark.parametrize(
    "words",
    [
        ["dead-letters", "list"],
        ["dead-letters", "list", "--json"],
        ["dead-letters", "show", ID],
        ["dead-letters", "show", ID, "--json"],
        ["story", ID],
        ["story", ID, "--mermaid"],
        ["story", ID, "--json"],
    ],
    ids=" ".join,
)
def test_no_command_prints_a_control_character(answered: None, words: list[str]) -> None:
    app = typer.Typer()
    for module in (dead_letters, story):
        module.register(app)

    result = CliRunner().invoke(app, words)

    assert result.exit_code == 0
    assert "\\ufeff" in result.stdout
    assert is_safe(result.stdout)
    if "--json" in words:
        assert HOSTILE in strings(json.loads(result.stdout))


def strings(tree: Any) -> list[str]:
    if isinstance(tree, dict | list):
        return [text for one in (tree.values() if isinstance(tree, dict) else tree) for text in strings(one)]
    return [tree] if isinstance(tree, str) else []


def test_refusals_and_findings_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    echo(describe_refusal(Refused("already_booked", reason=HOSTILE)))
    for line in audit.printed([Finding("M1", HOSTILE, [HOSTILE], not_checkable=HOSTILE)]):
        echo(line)

    printed = capsys.readouterr().out
    assert "owned" in printed
    assert is_safe(printed)
