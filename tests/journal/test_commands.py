"""The commands `yeyak story` and `yeyak dead-letters`: what they print and their exit codes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest
import typer
from typer.testing import CliRunner, Result

from ops.commands import dead_letters, story
from ops.settings import system_settings
from tests.journal.test_dead_letters import file_dead_letter, put_into_queue, wait_until_filed
from tests.support.system import System

Yeyak = Callable[..., Awaitable[Result]]


@pytest.fixture
def yeyak(journal_system: System, monkeypatch: pytest.MonkeyPatch) -> Yeyak:
    """Run a command against the journal's system, in a thread because it needs its own event loop."""
    monkeypatch.setenv("YEYAK_AMQP_URL", journal_system.settings.amqp_url.get_secret_value())
    system_settings.cache_clear()
    app = typer.Typer()
    story.register(app)
    dead_letters.register(app)

    async def run(*arguments: str, answer: str | None = None) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, app, list(arguments), answer)

    yield run
    system_settings.cache_clear()


async def test_dead_letters_are_listed_shown_and_discarded(journal, yeyak):
    await file_dead_letter(journal, uuid4(), body='{"a": 1}')
    (letter,) = await wait_until_filed(journal)
    id = letter["dead_letter_id"]

    listed = await yeyak("dead-letters", "list")
    shown = await yeyak("dead-letters", "show", id)
    first = await yeyak("dead-letters", "discard", id, "--reason", "too old")
    second = await yeyak("dead-letters", "discard", id, "--reason", "once more")
    left = await yeyak("dead-letters", "list", "--json")
    discarded = await yeyak("dead-letters", "list", "--status", "DISCARDED", "--json")

    assert "1 dead letters" in listed.output
    assert '{"a": 1}' in shown.output
    assert (first.exit_code, "DISCARDED" in first.output) == (0, True)
    assert (second.exit_code, "wrong_state" in second.output) == (1, True)
    assert json.loads(left.output)["items"] == []
    assert json.loads(discarded.output)["items"][0]["closed_reason"] == "too old"


async def test_many_dead_letters_are_replayed_by_a_filter_after_a_confirmation(journal, yeyak):
    for _ in range(3):
        await file_dead_letter(journal, uuid4())
    await put_into_queue(journal, "journal.file_dead_letter@journal", b"hello")
    await wait_until_filed(journal, 4)

    without = await yeyak("dead-letters", "replay", "--reason", "repaired")
    declined = await yeyak("dead-letters", "replay", "--context", "payments", "--reason", "repaired", answer="n\n")
    await wait_until_filed(journal, 4)
    agreed = await yeyak("dead-letters", "replay", "--context", "payments", "--reason", "repaired", "--yes")
    refused = await yeyak("dead-letters", "replay", "--error", "no message_id", "--reason", "try")

    assert (without.exit_code, "a filter" in without.output) == (1, True)
    assert (declined.exit_code, "nothing was done" in declined.output) == (1, True)
    assert (agreed.exit_code, agreed.output.count("REPLAYED")) == (0, 3)
    assert (refused.exit_code, "not_replayable" in refused.output) == (1, True)


async def test_a_story_is_a_table_a_diagram_or_json(journal, yeyak):
    id = uuid4()
    await file_dead_letter(journal, id)
    await wait_until_filed(journal)

    table = await yeyak("story", str(id))
    diagram = await yeyak("story", str(id), "--mermaid")
    entries = await yeyak("story", str(id), "--json")
    unknown = await yeyak("story", str(uuid4()))

    assert "void_payment" in table.output
    assert diagram.output.startswith("sequenceDiagram\n    participant p0 as ")
    assert " as payments\n" in diagram.output
    assert json.loads(entries.output)["story_ids"] == [str(id)]
    assert (unknown.exit_code, "not_found" in unknown.output) == (1, True)


async def test_without_a_journal_the_command_fails_with_one_sentence(journal_system, yeyak, monkeypatch):
    stopped = await yeyak("story", str(uuid4()))
    monkeypatch.setenv("YEYAK_AMQP_URL", "amqp://guest:guest@127.0.0.1:1/")
    system_settings.cache_clear()
    gone = await yeyak("story", str(uuid4()))

    assert (stopped.exit_code, "journal is unavailable" in stopped.output) == (1, True)
    assert (gone.exit_code, "the broker cannot be reached" in gone.output) == (1, True)
