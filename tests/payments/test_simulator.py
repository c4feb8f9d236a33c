"""The simulated provider: each key is charged or refunded once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from storage.database import Database
from workers.payments.provider import (
    Approved,
    Declined,
    NoCharge,
    NotRefunded,
    ProviderClient,
    ProviderFailed,
    Refunded,
    Voided,
)
from workers.payments.simulator import Simulator


@pytest.fixture
async def simulator(database_url: str) -> AsyncIterator[Simulator]:
    database = Database(f"{database_url}_provider", size=8)
    await database.start()
    one = Simulator(database, slow_seconds=0.2)
    yield one
    await one.close()


async def test_a_key_is_charged_once_however_often_it_is_requested(simulator: Simulator) -> None:
    key = uuid4()

    answers = await asyncio.gather(*(simulator.charge(key, 9000, "tok_visa") for _ in range(30)))

    assert set(answers) == {Approved(9000)}
    assert await simulator.void(key) == Voided(9000)


async def test_a_key_has_the_same_answer_every_time(simulator: Simulator) -> None:
    key = uuid4()
    assert await simulator.charge(key, 9000, "tok_declined") == Declined("insufficient_funds")

    assert await simulator.charge(key, 9000, "tok_visa") == Declined("insufficient_funds")
    with pytest.raises(ProviderFailed):
        await simulator.charge(key, 9001, "tok_visa")


async def test_an_outage_charges_nothing(simulator: Simulator) -> None:
    key = uuid4()
    with pytest.raises(ProviderFailed):
        await simulator.charge(key, 9000, "tok_error")

    assert await simulator.void(key) == NoCharge()
    assert await simulator.find_charge(key) is None


async def test_a_slow_charge_is_captured_though_its_client_has_gone(simulator: Simulator) -> None:
    key = uuid4()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await simulator.charge(key, 9000, "tok_slow")
    assert await simulator.void(key) == NoCharge()

    async with asyncio.timeout(10):
        while (charge := await simulator.find_charge(key)) is None:
            await asyncio.sleep(0.05)

    assert charge.captured == 9000
    assert await simulator.void(key) == Voided(9000)


async def test_a_declined_charge_is_void_for_good(simulator: Simulator) -> None:
    key = uuid4()
    await simulator.charge(key, 9000, "tok_declined")

    assert await simulator.void(key) == Voided(0)


async def test_a_key_is_refunded_once_however_often_it_is_requested(simulator: Simulator) -> None:
    charge, refund = uuid4(), uuid4()
    await simulator.charge(charge, 9000, "tok_visa")

    answers = await asyncio.gather(*(simulator.refund(refund, charge, 4000) for _ in range(20)))

    assert set(answers) == {Refunded(4000)}
    assert await simulator.find_refund(refund, charge) == Refunded(4000)
    assert await simulator.void(charge) == Voided(5000)


async def test_refunds_at_once_never_exceed_the_charge(simulator: Simulator) -> None:
    charge = uuid4()
    await simulator.charge(charge, 9000, "tok_visa")

    answers = await asyncio.gather(*(simulator.refund(uuid4(), charge, 2000) for _ in range(10)))

    assert sorted(map(str, answers)) == sorted(map(str, [Refunded(2000)] * 4 + [NotRefunded("nothing_left")] * 6))


async def test_the_first_two_refunds_of_a_bad_token_fail(simulator: Simulator) -> None:
    charge, refund = uuid4(), uuid4()
    await simulator.charge(charge, 9000, "tok_refund_error")

    answers = [await simulator.refund(refund, charge, 9000) for _ in range(3)]

    assert answers == [NotRefunded("provider_failed"), NotRefunded("provider_failed"), Refunded(9000)]


async def test_calls_in_flight_are_capped_and_waiting_counts(simulator: Simulator) -> None:
    client = ProviderClient(simulator, calls=1, limit=5)
    by = {"payer": "kim", "purpose": "video_rental.rentals"}
    first = asyncio.create_task(client.charge(uuid4(), 1000, "tok_slow", **by, deadline=time.monotonic() + 9))
    await asyncio.sleep(0.02)
    key = uuid4()

    with pytest.raises(TimeoutError):
        await client.charge(key, 1000, "tok_visa", **by, deadline=time.monotonic() + 0.05)

    assert await first == Approved(1000)
    assert await client.void(key) == NoCharge()
