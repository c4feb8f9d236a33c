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
from tests.support.town import Town, customer, eventually


@pytest.fixture(autouse=True)
async def _all_at_work(town: Town) -> AsyncIterator[None]:
    yield
    await town.stop(*(name for name in town.contexts if name not in SYSTEM))
    await town.start(*(name for name in SYSTEM if name not in town.contexts))


async def test_a_ride_is_returned_with_billing_and_deposits_down_and_settled_once_later(
    town: Town, kim: Caller
) -> None:
    ride = await riding(town, kim)
    await bill_is(town, ride, "OPEN")
    await rode_for(town, ride, 90)
    await town.stop(BILLING, DEPOSITS)

    returned = await town.done(give_back(ride, kim))
    again = await town.done(give_back(ride, kim))
    await bike_is(town, ride["bike_id"], "AVAILABLE")
    await town.start(BILLING)
    settling = await bill_is(town, ride, "SETTLING")
    await town.start(DEPOSITS)

    assert again == returned
    assert (returned["status"], returned["fee"], settling["amount"]) == ("RETURNED", 200, 200)
    assert (await bill_is(town, ride, "CLOSED"))["balance_after"] == 9_800
    await town.wait_until_idle()
    assert await ledger(town, kim) == [("CREDIT", 10_000), ("FEE", -200)]


async def test_a_ride_starts_with_billing_down_and_its_bill_has_the_rides_own_start(town: Town, kim: Caller) -> None:
    await town.stop(BILLING)

    ride = await riding(town, kim)
    await town.start(BILLING)

    bill = await bill_is(town, ride, "OPEN")
    assert bill["started_at"] == ride["started_at"]
    assert bill["fee_plan"] == ride["fee_plan"]
    await town.done(give_back(ride, kim))


async def test_a_return_that_billing_knows_before_the_start_is_settled(town: Town, kim: Caller) -> None:
    await town.stop(BILLING)
    ride = await riding(town, kim)
    await rode_for(town, ride, 90)
    returned = await town.done(give_back(ride, kim))
    await town.all_told("bike_sharing.rides")
    connection = await aio_pika.connect(town.settings.amqp_url.get_secret_value())
    async with connection:
        channel = await connection.channel()
        queue = await channel.get_queue(f"bike_sharing.rides.ride_started@{BILLING}")
        held_back = await queue.get(timeout=10)
        assert held_back is not None

        await town.start(BILLING)
        bill = await bill_is(town, ride, "CLOSED")
        await held_back.nack(requeue=True)
        await town.wait_until_idle()

    assert (bill["started_at"], bill["amount"], bill["minutes"]) == (returned["started_at"], 200, 2)
    assert await bill_is(town, ride, "CLOSED") == bill
    told = [topic for topic, body in town.news if body.get("bill_id") == str(bill_id_of(ride)) and "status" in body]
    assert BillSettling.topic in told
    assert BillOpened.topic not in told
    assert await ledger(town, kim) == [("CREDIT", 10_000), ("FEE", -200)]


async def test_while_bikes_is_down_no_ride_is_begun(town: Town, kim: Caller) -> None:
    bike_id = await bike(town)
    await funded(town, kim)
    await town.stop(BIKES)

    async def said_at_once() -> bool:
        return (await town.ask(start(bike_id, kim), within=3)).kind == "unavailable"

    await eventually(said_at_once)
    await town.start(BIKES)

    code, ride = await attempt(town, start(bike_id, kim))
    if code == "ride_open":  # one of the first queries was on its way when the door was shut
        code, ride = "done", (await _open_ride(town, kim))
    assert code == "done"
    await town.done(end(ride))


async def _open_ride(town: Town, member: Caller) -> Thing:
    page = await town.done(ListRideHistory(member_id=member.member_id))
    return next(ride for ride in page["items"] if ride["status"] == "RIDING")


async def test_while_payments_is_down_no_top_up_is_begun(town: Town, kim: Caller) -> None:
    await town.stop("payments")

    async def said_at_once() -> bool:
        return (await town.ask(top_up(kim), within=3)).kind == "unavailable"

    await eventually(said_at_once)
    await town.start("payments")
    assert await ledger(town, kim) == []


async def test_ride_history_answers_while_all_its_writers_are_down(town: Town, kim: Caller) -> None:
    ride = await rode(town, kim, 2)
    before = await shown(town, ride, "RETURNED", "CLOSED")
    await town.stop("payments", BIKES, RIDES, BILLING, DEPOSITS)

    page = await town.done(ListRideHistory(member_id=kim.member_id))
    seen = await entry(town, ride, min_version=3, caller=kim)

    assert [(item["status"], item["bill"]["status"], item["balance_after"]) for item in page["items"]] == [
        ("RETURNED", "CLOSED", 9_800)
    ]
    assert seen | {"as_of": ""} == before | {"as_of": ""}


async def test_ride_history_catches_up_when_it_was_away(town: Town, kim: Caller) -> None:
    await town.stop(HISTORY)
    ride = await rode(town, kim, 2)

    await town.start(HISTORY)

    await shown(town, ride, "RETURNED", "CLOSED")


async def test_everything_twice_and_to_two_of_each_takes_effect_once(town: Town) -> None:
    members = [customer() for _ in range(6)]
    await town.start(*SYSTEM, replica=" 2")

    async with everything_twice(town) as doubled:
        await asyncio.gather(*(_done(town, top_up(member, 5_000)) for member in members))
        bikes = [await bike(town) for _ in members]
        rides = await asyncio.gather(
            *(_done(town, start(bike_id, member)) for bike_id, member in zip(bikes, members, strict=True))
        )
        for ride in rides:
            await rode_for(town, ride, 90)
        await asyncio.gather(
            *(_done(town, give_back(ride, member)) for ride, member in zip(rides, members, strict=True))
        )
        for ride in rides:
            await bill_is(town, ride, "CLOSED")
        await town.wait_until_idle()

    assert {"bike_sharing.deposits.take_fee", "bike_sharing.bikes.release_bike"} <= set(doubled)
    for member, ride in zip(members, rides, strict=True):
        assert await ledger(town, member) == [("TOP_UP", 5_000), ("FEE", -200)]
        assert (await ride_of(town, ride["ride_id"]))["version"] == 3


async def _done(town: Town, wish: Message) -> Thing:
    """What came of a wish in the end: a busy machine may be silent, and money may still be on its way."""
    while True:
        code, body = await attempt(town, wish)
        if code == "done":
            return body
        assert code in ("payment_unavailable", "bike_unavailable", "deposit_too_low", "unavailable", "unknown"), body


async def test_a_context_that_is_down_is_said_to_be_at_once(town: Town) -> None:
    await town.stop(DEPOSITS)

    async def said_at_once() -> bool:
        return (await town.ask(ListDeposits(), within=3)).kind == "unavailable"

    await eventually(said_at_once)
