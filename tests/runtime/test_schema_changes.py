"""A statement that a migration has made invalid is no failure: steps and queries are repeated."""

from __future__ import annotations

from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy.exc import NotSupportedError

from storage.database import Session
from tests.runtime.lab import Do, Done, Lab, Look, effect
from workers.runtime.processing.tx import Tx
from workers.runtime.worker import Worker

INVALID = asyncpg.InvalidCachedStatementError("cached statement plan is invalid")
OUTDATED = asyncpg.OutdatedSchemaCacheError("a type has changed")


def wrapped() -> NotSupportedError:
    """As SQLAlchemy raises it."""
    translated = Exception()
    translated.__cause__ = INVALID
    return NotSupportedError("select", {}, translated)


@pytest.mark.parametrize("error", [INVALID, OUTDATED], ids=["statement", "type"])
async def test_a_step_is_repeated_and_takes_effect_once(lab: Lab, worker: Worker, error: Exception) -> None:
    failures = [error]

    async def do(command: Do, tx: Tx) -> Done:
        await effect(tx, "done")
        if failures:
            raise failures.pop()
        return Done(text="done")

    worker.handles(Do)(do)
    await lab.run(worker)
    id = uuid4()

    reply = await lab.ask(Do(), id=id)

    assert (reply.kind, failures) == ("done", [])
    assert await lab.effects(id) == ["done"]


@pytest.mark.parametrize("error", [INVALID, OUTDATED, wrapped()], ids=["statement", "type", "wrapped"])
async def test_a_query_is_repeated(lab: Lab, worker: Worker, error: Exception) -> None:
    failures = [error]

    async def look(query: Look, session: Session) -> Done:
        if failures:
            raise failures.pop()
        return Done(text="seen")

    worker.handles(Look)(look)
    await lab.run(worker)

    assert (await lab.ask(Look())).kind == "done"


async def test_a_query_that_never_succeeds_is_answered_unavailable(lab: Lab, worker: Worker) -> None:
    tries: list[int] = []

    async def look(query: Look, session: Session) -> Done:
        tries.append(1)
        raise INVALID

    worker.handles(Look)(look)
    await lab.run(worker)

    assert (await lab.ask(Look())).kind == "unavailable"
    assert len(tries) == 3
