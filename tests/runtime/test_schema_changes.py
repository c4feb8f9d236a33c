"""A statement that a migration has made invalid is no failure: steps and queries are repeated."""

from __future__ import annotations

from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy.exc import NotSupportedError

from storage.database import Session
from tests.runtime.harness import DoWork, RuntimeHarness, ShowWork, WorkResult, record_effect
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
async def test_a_step_is_repeated_and_takes_effect_once(
    harness: RuntimeHarness, worker: Worker, error: Exception
) -> None:
    failures = [error]

    async def do_work(command: DoWork, tx: Tx) -> WorkResult:
        await record_effect(tx, "done")
        if failures:
            raise failures.pop()
        return WorkResult(text="done")

    worker.handles(DoWork)(do_work)
    await harness.run(worker)
    id = uuid4()

    reply = await harness.request(DoWork(), id=id)

    assert (reply.kind, failures) == ("done", [])
    assert await harness.effects(id) == ["done"]


@pytest.mark.parametrize("error", [INVALID, OUTDATED, wrapped()], ids=["statement", "type", "wrapped"])
async def test_a_query_is_repeated(harness: RuntimeHarness, worker: Worker, error: Exception) -> None:
    failures = [error]

    async def show_work(query: ShowWork, session: Session) -> WorkResult:
        if failures:
            raise failures.pop()
        return WorkResult(text="seen")

    worker.handles(ShowWork)(show_work)
    await harness.run(worker)

    assert (await harness.request(ShowWork())).kind == "done"


async def test_a_query_that_never_succeeds_is_answered_unavailable(harness: RuntimeHarness, worker: Worker) -> None:
    tries: list[int] = []

    async def show_work(query: ShowWork, session: Session) -> WorkResult:
        tries.append(1)
        raise INVALID

    worker.handles(ShowWork)(show_work)
    await harness.run(worker)

    assert (await harness.request(ShowWork())).kind == "unavailable"
    assert len(tries) == 3
