"""What goes on while a context is down, and what is said at once instead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aio_pika
import pytest

from contracts.base import Caller, Message
from contracts.bike_sharing.billing import BillOpened, BillSettling
from contracts.bike_sharing.deposits import ListDeposits
from contracts.bike_sharing.ride_history import ListRideHistory
from tests.bike_sharing.riding import (
    BIKES,
    BILLING,
    DEPOSITS,
    HISTORY,
    RIDES,
    SYSTEM,
    Thing,
    attempt,
    bike,
    bike_is,
    bill_id_of,
    bill_is,
    end,
    entry,
    funded,
    give_back,
    ledger,
    ride_of,
    riding,
    rode,
    rode_for,
    shown,
    start,
    top_up,
)
from tests.live.test_delivery import everything_twice
from tests.support.system import System, customer, eventually


@pytest.fixture(autouse=True)
async def _all_at_work(system: System) -> AsyncIterator[None]:
    yield
    await system.stop(*(name for name in system.contexts if name not in SYSTEM))
    await system.start(*(name for name in SYSTEM if name not in system.contexts))


async def test_a_ride_is_returned_with_billing_and_deposits_down_and_settled_once_later(
    system: System, kim: Caller
) -> None:
    ride = await riding(system, kim)
    await bill_is(system, ride, "OPEN")
    await rode_for(system, ride, 90)
    await system.stop(BILLING, DEPOSITS)

    returned = await system.done(give_back(ride, kim))
    again = await system.done(give_back(ride, kim))
    await bike_is(system, ride["bike_id"], "AVAILABLE")
    await system.start(BILLING)
    settling = await bill_is(system, ride, "SETTLING")
    await system.start(DEPOSITS)

    assert again == returned
    assert (returned["status"], returned["fee"], settling["amount"]) == ("RETURNED", 200, 200)
    assert (await bill_is(system, ride, "CLOSED"))["balance_after"] == 9_800
    await system.wait_until_idle()
    assert await ledger(system, kim) == [("CREDIT", 10_000), ("FEE", -200)]


async def test_a_ride_starts_with_billing_down_and_its_bill_has_the_rides_own_start(
    system: System, kim: Caller
) -> None:
    await system.stop(BILLING)

    ride = await riding(system, kim)
    await system.start(BILLING)

    bill = await bill_is(system, ride, "OPEN")
    assert bill["started_at"] == ride["started_at"]
    assert bill["fee_plan"] == ride["fee_plan"]
    await system.done(give_back(ride, kim))


async def test_a_return_that_billing_knows_before_the_start_is_settled(system: System, kim: Caller) -> None:
    await system.stop(BILLING)
    ride = await riding(system, kim)
    await rode_for(system, ride, 90)
    returned = await system.done(give_back(ride, kim))
    await system.all_told("bike_sharing.rides")
    connection = await aio_pika.connect(system.settings.amqp_url.get_secret_value())
    async with connection:
        channel = await connection.channel()
        queue = await channel.get_queue(f"bike_sharing.rides.ride_started@{BILLING}")
        held_back = await queue.get(timeout=10)
        assert held_back is not None

        await system.start(BILLING)
        bill = await bill_is(system, ride, "CLOSED")
        await held_back.nack(requeue=True)
        await system.wait_until_idle()

    assert (bill["started_at"], bill["amount"], bill["minutes"]) == (returned["started_at"], 200, 2)
    assert await bill_is(system, ride, "CLOSED") == bill
    told = [topic for topic, body in system.events if body.get("bill_id") == str(bill_id_of(ride)) and "status" in body]
    assert BillSettling.topic in told
    assert BillOpened.topic not in told
    assert await ledger(system, kim) == [("CREDIT", 10_000), ("FEE", -200)]


async def test_while_bikes_is_down_no_ride_is_begun(system: System, kim: Caller) -> None:
    bike_id = await bike(system)
    await funded(system, kim)
    await system.stop(BIKES)

    async def said_at_once() -> bool:
        return (await system.request(start(bike_id, kim), within=3)).kind == "unavailable"

    await eventually(said_at_once)
    await system.start(BIKES)

    code, ride = await attempt(system, start(bike_id, kim))
    if code == "ride_open":  # one of the first queries was on its way when the door was shut
        code, ride = "done", (await _open_ride(system, kim))
    assert code == "done"
    await system.done(end(ride))


async def _open_ride(system: System, member: Caller) -> Thing:
    page = await system.done(ListRideHistory(member_id=member.member_id))
    return next(ride for ride in page["items"] if ride["status"] == "RIDING")


async def test_while_payments_is_down_no_top_up_is_begun(system: System, kim: Caller) -> None:
    await system.stop("payments")

    async def said_at_once() -> bool:
        return (await system.request(top_up(kim), within=3)).kind == "unavailable"

    await eventually(said_at_once)
    await system.start("payments")
    assert await ledger(system, kim) == []


async def test_ride_history_answers_while_all_its_writers_are_down(system: System, kim: Caller) -> None:
    ride = await rode(system, kim, 2)
    before = await shown(system, ride, "RETURNED", "CLOSED")
    await system.stop("payments", BIKES, RIDES, BILLING, DEPOSITS)

    page = await system.done(ListRideHistory(member_id=kim.member_id))
    seen = await entry(system, ride, min_version=3, caller=kim)

    assert [(item["status"], item["bill"]["status"], item["balance_after"]) for item in page["items"]] == [
        ("RETURNED", "CLOSED", 9_800)
    ]
    assert seen | {"as_of": ""} == before | {"as_of": ""}


async def test_ride_history_catches_up_when_it_was_away(system: System, kim: Caller) -> None:
    await system.stop(HISTORY)
    ride = await rode(system, kim, 2)

    await system.start(HISTORY)

    await shown(system, ride, "RETURNED", "CLOSED")


async def test_everything_twice_and_to_two_of_each_takes_effect_once(system: System) -> None:
    members = [customer() for _ in range(6)]
    await system.start(*SYSTEM, replica=" 2")

    async with everything_twice(system) as doubled:
        await asyncio.gather(*(_done(system, top_up(member, 5_000)) for member in members))
        bikes = [await bike(system) for _ in members]
        rides = await asyncio.gather(
            *(_done(system, start(bike_id, member)) for bike_id, member in zip(bikes, members, strict=True))
        )
        for ride in rides:
            await rode_for(system, ride, 90)
        await asyncio.gather(
            *(_done(system, give_back(ride, member)) for ride, member in zip(rides, members, strict=True))
        )
        for ride in rides:
            await bill_is(system, ride, "CLOSED")
        await system.wait_until_idle()

    assert {"bike_sharing.deposits.take_fee", "bike_sharing.bikes.release_bike"} <= set(doubled)
    for member, ride in zip(members, rides, strict=True):
        assert await ledger(system, member) == [("TOP_UP", 5_000), ("FEE", -200)]
        assert (await ride_of(system, ride["ride_id"]))["version"] == 3


async def _done(system: System, wish: Message) -> Thing:
    """What came of a wish in the end: a busy machine may be silent, and money may still be on its way."""
    while True:
        code, body = await attempt(system, wish)
        if code == "done":
            return body
        assert code in ("payment_unavailable", "bike_unavailable", "deposit_too_low", "unavailable", "unknown"), body


async def test_a_context_that_is_down_is_said_to_be_at_once(system: System) -> None:
    await system.stop(DEPOSITS)

    async def said_at_once() -> bool:
        return (await system.request(ListDeposits(), within=3)).kind == "unavailable"

    await eventually(said_at_once)
