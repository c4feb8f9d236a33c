"""What bike sharing does while some of its contexts are stopped, and with two replicas of each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aio_pika
import pytest

from contracts.base import Caller
from contracts.bike_sharing.billing import BillOpened, BillSettling
from contracts.bike_sharing.deposits import ListDeposits
from contracts.bike_sharing.ride_history import ListRideHistory
from tests.bike_sharing.helpers import (
    BIKES,
    BILLING,
    CONTEXTS,
    DEPOSITS,
    HISTORY,
    RIDES,
    bill_id_of,
    credit,
    done_in_the_end,
    end_ride,
    known_bike,
    ledger_of,
    return_bike,
    returned_ride,
    ride_of,
    set_duration,
    start_ride,
    started_ride,
    top_up,
    view_of,
    wait_for_bike,
    wait_for_bill,
    wait_for_view,
)
from tests.support.duplication import everything_twice
from tests.support.system import Json, System, customer


@pytest.fixture(autouse=True)
async def _all_started(system: System) -> AsyncIterator[None]:
    yield
    await system.stop(*(name for name in system.contexts if name not in CONTEXTS))
    await system.start_stopped(*CONTEXTS)


async def test_a_ride_is_returned_while_billing_and_deposits_are_stopped_and_settled_once_later(
    system: System, kim: Caller
) -> None:
    ride = await started_ride(system, kim)
    await wait_for_bill(system, ride, status="OPEN")
    await set_duration(system, ride, 90)
    await system.stop(BILLING, DEPOSITS)

    returned = await system.done(return_bike(ride, kim))
    again = await system.done(return_bike(ride, kim))
    await wait_for_bike(system, ride["bike_id"], "AVAILABLE")
    await system.start(BILLING)
    settling = await wait_for_bill(system, ride, status="SETTLING")
    await system.start(DEPOSITS)

    assert again == returned
    assert (returned["status"], returned["fee"], settling["amount"]) == ("RETURNED", 200, 200)
    assert (await wait_for_bill(system, ride, status="CLOSED"))["balance_after"] == 9_800
    await system.wait_until_idle()
    assert await ledger_of(system, kim) == [("CREDIT", 10_000), ("FEE", -200)]


async def test_a_ride_starts_while_billing_is_stopped_and_its_bill_has_the_rides_start(
    system: System, kim: Caller
) -> None:
    await system.stop(BILLING)

    ride = await started_ride(system, kim)
    await system.start(BILLING)

    bill = await wait_for_bill(system, ride, status="OPEN")
    assert bill["started_at"] == ride["started_at"]
    assert bill["fee_plan"] == ride["fee_plan"]
    await system.done(return_bike(ride, kim))


async def test_a_return_that_reaches_billing_before_the_start_is_settled(system: System, kim: Caller) -> None:
    await system.stop(BILLING)
    ride = await started_ride(system, kim)
    await set_duration(system, ride, 90)
    returned = await system.done(return_bike(ride, kim))
    await system.wait_until_published(RIDES)
    connection = await aio_pika.connect(system.settings.amqp_url.get_secret_value())
    async with connection:
        channel = await connection.channel()
        queue = await channel.get_queue(f"bike_sharing.rides.ride_started@{BILLING}")
        held_back = await queue.get(timeout=10)
        assert held_back is not None

        await system.start(BILLING)
        bill = await wait_for_bill(system, ride, status="CLOSED")
        await held_back.nack(requeue=True)
        await system.wait_until_idle()

    assert (bill["started_at"], bill["amount"], bill["minutes"]) == (returned["started_at"], 200, 2)
    assert await wait_for_bill(system, ride, status="CLOSED") == bill
    assert system.events_of(BillSettling.topic, bill_id=bill_id_of(ride))
    assert not system.events_of(BillOpened.topic, bill_id=bill_id_of(ride))
    assert await ledger_of(system, kim) == [("CREDIT", 10_000), ("FEE", -200)]


async def test_no_ride_starts_while_bikes_is_stopped(system: System, kim: Caller) -> None:
    bike_id = await known_bike(system)
    await credit(system, kim)
    await system.stop(BIKES)

    await system.wait_for_reply(start_ride(bike_id, kim), "unavailable")
    await system.start(BIKES)

    code, ride = await system.outcome(start_ride(bike_id, kim))
    if code == "ride_open":  # one of the first requests was sent before bikes was seen to be stopped
        code, ride = "done", (await _open_ride(system, kim))
    assert code == "done"
    await system.done(end_ride(ride))


async def _open_ride(system: System, member: Caller) -> Json:
    page = await system.done(ListRideHistory(member_id=member.member_id))
    return next(ride for ride in page["items"] if ride["status"] == "RIDING")


async def test_no_top_up_starts_while_payments_is_stopped(system: System, kim: Caller) -> None:
    await system.stop("payments")

    await system.wait_for_reply(top_up(kim), "unavailable")
    await system.start("payments")
    assert await ledger_of(system, kim) == []


async def test_ride_history_answers_while_all_its_writers_are_stopped(system: System, kim: Caller) -> None:
    ride = await returned_ride(system, kim, 2)
    before = await wait_for_view(system, ride, status="RETURNED", bill={"status": "CLOSED"})
    await system.stop("payments", BIKES, RIDES, BILLING, DEPOSITS)

    page = await system.done(ListRideHistory(member_id=kim.member_id))
    seen = await view_of(system, ride, min_version=3, caller=kim)

    assert [(item["status"], item["bill"]["status"], item["balance_after"]) for item in page["items"]] == [
        ("RETURNED", "CLOSED", 9_800)
    ]
    assert seen | {"as_of": ""} == before | {"as_of": ""}


async def test_ride_history_catches_up_after_it_was_stopped(system: System, kim: Caller) -> None:
    await system.stop(HISTORY)
    ride = await returned_ride(system, kim, 2)

    await system.start(HISTORY)

    await wait_for_view(system, ride, status="RETURNED", bill={"status": "CLOSED"})


async def test_messages_delivered_twice_and_to_two_replicas_take_effect_once(system: System) -> None:
    members = [customer() for _ in range(6)]
    await system.start(*CONTEXTS, replica=" 2")

    async with everything_twice(system) as copied:
        await asyncio.gather(*(done_in_the_end(system, top_up(member, 5_000)) for member in members))
        bikes = [await known_bike(system) for _ in members]
        rides = await asyncio.gather(
            *(
                done_in_the_end(system, start_ride(bike_id, member))
                for bike_id, member in zip(bikes, members, strict=True)
            )
        )
        for ride in rides:
            await set_duration(system, ride, 90)
        await asyncio.gather(
            *(done_in_the_end(system, return_bike(ride, member)) for ride, member in zip(rides, members, strict=True))
        )
        for ride in rides:
            await wait_for_bill(system, ride, status="CLOSED")
        await system.wait_until_idle()

    assert {"bike_sharing.deposits.take_fee", "bike_sharing.bikes.release_bike"} <= set(copied)
    for member, ride in zip(members, rides, strict=True):
        assert await ledger_of(system, member) == [("TOP_UP", 5_000), ("FEE", -200)]
        assert (await ride_of(system, ride["ride_id"]))["version"] == 3


async def test_a_stopped_context_is_unavailable(system: System) -> None:
    await system.stop(DEPOSITS)

    await system.wait_for_reply(ListDeposits(), "unavailable")
