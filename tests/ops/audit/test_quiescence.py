"""A system is idle without pending work, and pending work is named."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from pydantic import SecretStr

from contracts.payments import VoidPayment
from ops.audit import pending_work, wait_until_idle
from ops.settings import SystemSettings
from tests.support.system import System, eventually
from workers.registry import CONTEXTS, workers
from workers.runtime.messaging import topology

AsSql = Callable[[str], Awaitable[None]]


@pytest.fixture(scope="module")
async def empty(make_settings: Callable[..., Awaitable[SystemSettings]]) -> SystemSettings:
    """Servers with every queue and table, and no running context."""
    settings = await make_settings()
    await topology.apply(settings.amqp_url.get_secret_value(), topology.plan(workers()))
    return settings


@pytest.fixture
async def sql(empty: SystemSettings) -> AsyncIterator[AsSql]:
    connection = await asyncpg.connect(empty.database_url.get_secret_value())

    async def run(statement: str) -> None:
        await connection.execute(statement)

    yield run
    await connection.execute("delete from payments.inbox; delete from payments.outbox")
    await connection.close()


def step(state: str, due: str, attempts: int = 0) -> str:
    return f"""
        insert into payments.inbox (id, topic, digest, owner, state, body, due_at, attempts, story_id, actor)
        values (gen_random_uuid(), 'payments.drive_void', '', gen_random_uuid(), '{state}', '{{}}', {due}, {attempts},
          gen_random_uuid(), 'kim')"""


async def test_a_system_without_pending_work_is_idle(empty: SystemSettings) -> None:
    assert await wait_until_idle(empty, within=5)


async def test_an_outbox_row_is_pending_work(empty: SystemSettings, sql: AsSql) -> None:
    await sql("""
        insert into payments.outbox (id, topic, body, story_id, actor)
        values (gen_random_uuid(), 'payments.payment_voided', '{}', gen_random_uuid(), 'kim')""")

    assert not await wait_until_idle(empty, within=0.5)
    assert await pending_work(empty, within=0) == ["payments has 1 messages to publish"]


@pytest.mark.parametrize(
    "row",
    [
        step("started", "now() + interval '1 minute'"),
        step("waiting", "now() - interval '1 second'"),
        step("waiting", "now() + interval '5 minutes'", attempts=1),
    ],
    ids=["started", "due", "to be tried again"],
)
async def test_a_started_step_is_pending_work(empty: SystemSettings, sql: AsSql, row: str) -> None:
    await sql(row)

    assert await pending_work(empty, within=0) == ["payments is processing payments.drive_void"]


async def test_a_timer_that_is_due_in_hours_is_not_pending_work(empty: SystemSettings, sql: AsSql) -> None:
    await sql(step("waiting", "now() + interval '1 hour'"))

    assert await wait_until_idle(empty, within=5)


async def test_a_dead_letter_is_not_pending_work(empty: SystemSettings, sql: AsSql) -> None:
    await sql(step("dead", "now()"))

    assert await wait_until_idle(empty, within=5)


async def test_a_queued_message_is_pending_work_until_it_is_handled(
    make_settings: Callable[..., Awaitable[SystemSettings]],
) -> None:
    system = await System(await make_settings()).open()
    try:
        command = VoidPayment(payment_id=uuid4())
        await system.publish(command)
        assert await pending_work(system.settings, within=0) == ["1 messages wait in payments.void_payment@payments"]

        await system.start("payments")
        await eventually(lambda: has_voided(system))
        assert "the journal has 2 events to read" in await pending_work(system.settings, within=0.5)

        await system.start(*(name for name in CONTEXTS if name != "payments"))
        assert await pending_work(system.settings, within=20) == []
    finally:
        await system.close()


async def has_voided(system: System) -> bool:
    return bool(system.events_of("payments.payment_voided"))


async def test_contexts_that_do_not_run_are_ignored(empty: SystemSettings, sql: AsSql) -> None:
    await sql(step("started", "now()"))

    assert await wait_until_idle(empty, within=5, without={"payments"})


@pytest.mark.parametrize(
    ("away", "reported"),
    [
        ({"database_url": SecretStr("postgresql://nobody@127.0.0.1:1/x")}, "the database of payments cannot be read"),
        ({"amqp_url": SecretStr("amqp://nobody@127.0.0.1:1/")}, "the broker cannot be reached"),
    ],
)
async def test_an_unavailable_server_counts_as_pending_work(
    empty: SystemSettings, away: dict[str, Any], reported: str
) -> None:
    started = time.monotonic()

    left = await pending_work(empty.model_copy(update=away), within=0.5)

    assert reported in " ".join(left)
    assert time.monotonic() - started < 10
