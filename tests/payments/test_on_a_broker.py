"""Payments with a broker: system replicas, and timers that run by themselves."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import pytest

from contracts.base import Command
from tests.payments.conftest import part_of, request, rest_of, void
from tests.support.system import System, eventually


@pytest.fixture
async def system(make_settings: Callable[..., Any]) -> AsyncIterator[System]:
    """Two replicas of payments, and no other context."""
    running = await System(await make_settings(), "video_rental").open()
    await running.start("payments")
    await running.start("payments", replica=" 2")
    yield running
    await running.close()


async def publish_twice(system: System, *messages: Command[None]) -> None:
    """Publish each command twice under one id, as a broker may deliver it."""
    for message in messages:
        await system.publish(message, message, id=uuid4())


async def test_many_charges_refunds_and_voids_leave_no_discrepancies(system: System) -> None:
    tokens = ("tok_visa", "tok_visa", "tok_declined", "tok_error", "tok_slow", "tok_refund_error")
    commands = [request(token) for token in tokens for _ in range(6)]

    replies = await asyncio.gather(*(system.until_done(command, id=uuid4()) for command in commands))
    approved = [command for command, reply in zip(commands, replies, strict=True) if reply.kind == "done"]
    await asyncio.gather(*(system.request(part_of(command, 4000)) for command in approved[:8]))
    await publish_twice(system, *(rest_of(command) for command in approved[4:]))
    await publish_twice(system, *(void(command) for command in commands[1::2]))
    await system.wait_until_idle(within=40)

    rows = await system.rows("payments", "select * from payments.payments")
    charges = await system.rows("provider", "select captured - voided - refunded as kept, calls from provider.charges")
    assert sum(row["captured"] - row["refunded"] for row in rows) == sum(row["kept"] for row in charges)
    assert {row["calls"] for row in charges} == {1}
    assert not {row["status"] for row in rows} & {"REQUESTED", "VOIDING"}

    through = await system.rows("payments", "select * from payments.refunds where status = 'REFUNDED' and amount > 0")

    assert through

    async def logged() -> list[str]:
        path = system.settings.payments_refund_log
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line)["refund_id"] for line in lines] if len(lines) >= len(through) else []

    assert Counter(await eventually(logged)) == Counter(str(row["refund_id"]) for row in through)
