"""Payments as they run: two replicas, a real broker, timers on their own."""

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
from workers.runtime.messaging import envelope


@pytest.fixture
async def two(make_settings: Callable[..., Any]) -> AsyncIterator[System]:
    """A system of nothing but payments, twice."""
    system = await System(await make_settings(), "video_rental").open()
    await system.start("payments")
    await system.start("payments", replica=" again")
    yield system
    await system.close()


async def tell(system: System, *messages: Command[None]) -> None:
    """Each of them twice, as a broker may."""
    for message in messages:
        id = uuid4()
        body = message.model_dump_json().encode()
        for _ in range(2):
            told = envelope.told(id, body, message.topic, "test", id, None, "test")
            await system.bus.publish(message.exchange, message.topic, told)


async def test_a_busy_day_ends_with_the_books_in_order(two: System) -> None:
    tokens = ("tok_visa", "tok_visa", "tok_declined", "tok_error", "tok_slow", "tok_refund_error")
    wishes = [request(token) for token in tokens for _ in range(6)]

    replies = await asyncio.gather(*(two.until_done(wish, id=uuid4()) for wish in wishes))
    approved = [wish for wish, reply in zip(wishes, replies, strict=True) if reply.kind == "done"]
    await asyncio.gather(*(two.request(part_of(wish, 4000)) for wish in approved[:8]))
    await tell(two, *(rest_of(wish) for wish in approved[4:]))
    await tell(two, *(void(wish) for wish in wishes[1::2]))
    await two.wait_until_idle(within=40)

    rows = await two.rows("payments", "select * from payments.payments")
    charges = await two.rows("provider", "select captured - voided - refunded as kept, calls from provider.charges")
    assert sum(row["captured"] - row["refunded"] for row in rows) == sum(row["kept"] for row in charges)
    assert {row["calls"] for row in charges} == {1}
    assert not {row["status"] for row in rows} & {"REQUESTED", "VOIDING"}

    through = await two.rows("payments", "select * from payments.refunds where status = 'REFUNDED' and amount > 0")

    assert through

    async def logged() -> list[str]:
        path = two.settings.payments_refund_log
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line)["refund_id"] for line in lines] if len(lines) >= len(through) else []

    assert Counter(await eventually(logged)) == Counter(str(row["refund_id"]) for row in through)
