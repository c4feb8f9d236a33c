"""From a deposit to a closed bill."""

from __future__ import annotations

import asyncio
import time
from uuid import uuid4

from contracts.base import Caller
from contracts.bike_sharing.bikes import BikeCondition, BikeStatus, ListBikes, ReleaseBike, ShowBike, TakeBike
from contracts.bike_sharing.billing import ShowBill
from contracts.bike_sharing.deposits import CreditDeposit, ListEntries
from contracts.bike_sharing.ride_history import ShowRideHistory
from contracts.bike_sharing.rides import ListRides, ShowRide
from tests.bike_sharing.riding import (
    Thing,
    attempt,
    bike,
    bike_is,
    bike_of,
    bill_id_of,
    bill_is,
    end,
    funded,
    give_back,
    has,
    ledger,
    new_bike,
    order,
    report,
    ride_of,
    riding,
    rode_for,
    shown,
    start,
)
from tests.support.town import STAFF, Town, customer, eventually


async def test_a_member_rides_returns_anywhere_and_pays_from_the_deposit(town: Town, kim: Caller) -> None:
    bike_id = await bike(town, "City Hall")
    await funded(town, kim, 10_000)

    ride = await town.done(start(bike_id, kim))
    taken = await bike_of(town, bike_id)
    await rode_for(town, ride, 90)
    await bill_is(town, ride, "OPEN")
    returned = await town.done(give_back(ride, kim, "Han River"))

    assert (ride["status"], ride["start_location"], taken["status"]) == ("RIDING", "City Hall", "IN_USE")
    assert ride["fee_plan"] == {"per_minute": 100, "at_most": 20_000}
    assert (returned["status"], returned["minutes"], returned["fee"]) == ("RETURNED", 2, 200)
    assert (await bike_is(town, bike_id, "AVAILABLE"))["location"] == "Han River"
    bill = await bill_is(town, ride, "CLOSED")
    assert (bill["amount"], bill["paid"], bill["owed"], bill["balance_after"]) == (200, 200, 0, 9_800)
    await has(town, kim, 9_800)
    assert await ledger(town, kim) == [("CREDIT", 10_000), ("FEE", -200)]
    seen = await shown(town, ride, "RETURNED", "CLOSED")
    assert (seen["balance_after"], seen["bike"]["location"], seen["minutes"]) == (9_800, "Han River", 2)
    assert [line["what"] for line in seen["timeline"]] == [
        "RideRequested", "RideStarted", "BillOpened", "RideReturned", "BillSettling", "BillClosed",
    ]  # fmt: skip


async def test_the_balance_is_too_low_or_a_ride_is_open_or_a_fee_is_owed(town: Town, kim: Caller) -> None:
    bike_id = await bike(town)

    nothing = await town.refused(start(bike_id, kim))
    await funded(town, kim, 1_999)
    short = await town.refused(start(bike_id, kim))
    await funded(town, kim, 1)
    ride = await town.done(start(bike_id, kim))
    second = await town.refused(start(await bike(town), kim))
    await rode_for(town, ride, 30 * 60 - 30)
    await town.done(give_back(ride, kim))
    await has(town, kim, 0, debt=1_000)
    await town.wait_until_idle()
    owing = await town.refused(start(bike_id, kim))

    assert (nothing["code"], nothing["balance"]) == ("deposit_too_low", 0)
    assert (short["code"], short["minimum"]) == ("deposit_too_low", 2_000)
    assert (second["code"], owing["code"]) == ("ride_open", "debt_owed")


async def test_an_unknown_bike_is_not_found_whatever_else_is_wrong(town: Town, kim: Caller) -> None:
    assert (await town.refused(start(uuid4(), kim)))["code"] == "not_found"


async def test_two_members_and_one_bike_one_rides(town: Town) -> None:
    bike_id, members = await bike(town), [customer() for _ in range(8)]
    await asyncio.gather(*(funded(town, member) for member in members))

    outcomes = await asyncio.gather(*(attempt(town, start(bike_id, member)) for member in members))

    assert sorted(code for code, _ in outcomes) == ["bike_not_available"] * 7 + ["done"]
    refused = [body for code, body in outcomes if code != "done"]
    assert {body["current_status"] for body in refused} == {"NOT_STARTED"}
    for body in refused:
        assert (await shown(town, body, "NOT_STARTED"))["reason"] == "bike_not_available"
    (ride,) = (body for code, body in outcomes if code == "done")
    assert (await bike_of(town, bike_id))["status"] == "IN_USE"
    await town.done(end(ride))
    await bike_is(town, bike_id, "AVAILABLE")


async def test_a_bike_is_taken_by_one_of_many_rides_at_once(town: Town, kim: Caller) -> None:
    bike_id, ride_ids = await bike(town), [uuid4() for _ in range(30)]
    takes = [TakeBike(bike_id=bike_id, ride_id=ride_id, member_id=kim.member_id) for ride_id in ride_ids]

    outcomes = await asyncio.gather(*(attempt(town, take) for take in takes))

    assert sorted(code for code, _ in outcomes) == ["bike_not_available"] * 29 + ["done"]
    await order(town, *(ReleaseBike(bike_id=bike_id, ride_id=ride_id) for ride_id in ride_ids))
    assert (await bike_is(town, bike_id, "AVAILABLE"))["version"] == 3


async def test_one_member_who_starts_many_rides_at_once_has_one(town: Town, kim: Caller) -> None:
    bikes = [await bike(town) for _ in range(5)]
    await funded(town, kim)

    outcomes = await asyncio.gather(*(attempt(town, start(bike_id, kim)) for bike_id in bikes))

    assert sorted(code for code, _ in outcomes) == ["done"] + ["ride_open"] * 4
    states = [(await bike_of(town, bike_id))["status"] for bike_id in bikes]
    assert sorted(states) == ["AVAILABLE"] * 4 + ["IN_USE"]


async def test_a_start_that_is_repeated_is_one_ride(town: Town, kim: Caller) -> None:
    bike_id, request_id = await bike(town), uuid4()
    await funded(town, kim)

    answers = await asyncio.gather(*(attempt(town, start(bike_id, kim), id=request_id) for _ in range(20)))

    assert all(answer == answers[0] for answer in answers)
    assert answers[0][1]["ride_id"] == str(request_id)
    mine = await town.done(ListRides(member_id=kim.member_id))
    assert [ride["ride_id"] for ride in mine["items"]] == [str(request_id)]


async def test_a_broken_bike_is_not_ridden(town: Town, kim: Caller) -> None:
    bike_id = await bike(town, condition=BikeCondition.BROKEN)
    await funded(town, kim)

    refusal = await town.refused(start(bike_id, kim))

    assert (refusal["code"], refusal["current_status"]) == ("bike_broken", "NOT_STARTED")
    assert (await ride_of(town, refusal["ride_id"]))["reason"] == "bike_broken"


async def test_a_bike_that_is_reported_broken_during_a_ride_is_broken_after_it(town: Town, kim: Caller) -> None:
    ride = await riding(town, kim)

    reported = await town.done(report(ride["bike_id"]))
    others = [
        await town.refused(report(ride["bike_id"], BikeCondition.GOOD)),
        await town.refused(report(ride["bike_id"]).model_copy(update={"location": "Seoul Station"})),
    ]
    await town.done(give_back(ride, kim, "Han River"))

    assert (reported["status"], reported["condition"]) == ("IN_USE", "BROKEN")
    assert [(other["code"], other["current_status"]) for other in others] == [("wrong_state", "IN_USE")] * 2
    assert (await bike_is(town, ride["bike_id"], "BROKEN"))["location"] == "Han River"
    repaired = await town.done(report(ride["bike_id"], BikeCondition.GOOD))
    assert repaired["status"] == "AVAILABLE"


async def test_a_ride_that_is_returned_again_is_as_it_was_and_charged_once(town: Town, kim: Caller) -> None:
    ride = await riding(town, kim)
    await rode_for(town, ride, 90)

    answers = await asyncio.gather(*(attempt(town, give_back(ride, kim)) for _ in range(10)))
    later = await town.done(give_back(ride, kim, "Seoul Station"))
    await has(town, kim, 9_800)
    await town.wait_until_idle()

    assert all(answer == ("done", later) for answer in answers)
    assert later["location"] == "Han River"
    assert await ledger(town, kim) == [("CREDIT", 10_000), ("FEE", -200)]


async def test_another_member_neither_returns_nor_sees_a_ride(town: Town, kim: Caller, lee: Caller) -> None:
    ride = await riding(town, kim)
    await bill_is(town, ride, "OPEN")

    refusals = [
        await town.refused(wish)
        for wish in (
            give_back(ride, lee),
            ShowRide(ride_id=ride["ride_id"], caller=lee),
            ShowRideHistory(ride_id=ride["ride_id"], caller=lee),
            ShowBill(bill_id=bill_id_of(ride), caller=lee),
            ListEntries(member_id=kim.member_id, caller=lee),
        )
    ]

    assert {refusal["code"] for refusal in refusals} == {"not_found"}
    assert (await ride_of(town, ride["ride_id"]))["status"] == "RIDING"
    await town.done(give_back(ride, kim))


async def test_staff_end_a_ride_with_a_reason_and_it_costs_what_it_took(town: Town, kim: Caller) -> None:
    ride = await riding(town, kim)
    await rode_for(town, ride, 90)

    ended = await town.done(end(ride, "found in the river", "Han River"))
    again = await town.done(end(ride, "once more"))
    too_late = await town.refused(give_back(ride, kim))

    assert (ended["status"], ended["reason"], ended["fee"]) == ("ENDED_BY_STAFF", "found in the river", 200)
    assert again == ended
    assert (too_late["code"], too_late["current_status"]) == ("wrong_state", "ENDED_BY_STAFF")
    await bill_is(town, ride, "CLOSED")
    assert (await bike_is(town, ride["bike_id"], "AVAILABLE"))["location"] == "Han River"


async def test_an_end_before_the_start_costs_nothing_and_is_flagged(town: Town, kim: Caller) -> None:
    ride = await riding(town, kim)
    await rode_for(town, ride, -3600)

    returned = await town.done(give_back(ride, kim))

    assert (returned["minutes"], returned["fee"], returned["flagged"]) == (0, 0, True)
    bill = await bill_is(town, ride, "CLOSED")
    assert (bill["amount"], bill["flagged"], bill["balance_after"]) == (0, True, 10_000)
    assert await ledger(town, kim) == [("CREDIT", 10_000)]


async def test_a_long_ride_costs_no_more_than_the_plan_of_its_start(town: Town, kim: Caller) -> None:
    await funded(town, kim, 30_000)
    ride = await riding(town, kim)
    await rode_for(town, ride, 10 * 3600 - 30)

    returned = await town.done(give_back(ride, kim))

    assert (returned["minutes"], returned["fee"]) == (600, 20_000)
    await has(town, kim, 10_000)


async def test_a_code_belongs_to_one_bike(town: Town) -> None:
    wish = new_bike()

    outcomes = await asyncio.gather(*(attempt(town, wish) for _ in range(5)))

    assert sorted(code for code, _ in outcomes) == ["code_taken"] * 4 + ["done"]


async def test_broken_bikes_are_for_staff_to_see(town: Town, kim: Caller) -> None:
    place = f"place-{uuid4().hex[:8]}"
    good, broken = await bike(town, place), await bike(town, place, BikeCondition.BROKEN)

    everybody = await town.done(ListBikes(location=place))
    staff = await town.done(ListBikes(location=place, broken_too=True))
    only_broken = await town.done(ListBikes(location=place, status=BikeStatus.BROKEN))

    assert [item["bike_id"] for item in everybody["items"]] == [str(good)]
    assert [item["bike_id"] for item in staff["items"]] == [str(broken), str(good)]
    assert only_broken["items"] == []
    assert (await town.refused(ShowBike(bike_id=broken, caller=kim)))["code"] == "not_found"
    assert (await town.done(ShowBike(bike_id=good, caller=kim)))["status"] == "AVAILABLE"
    assert "held_by" not in (await bike_of(town, good))


async def test_money_that_is_still_on_its_way_is_waited_for(town: Town, kim: Caller) -> None:
    bike_id = await bike(town)
    started = time.monotonic()

    refusal = await town.refused(start(bike_id, kim))

    assert refusal["code"] == "deposit_too_low"
    assert time.monotonic() - started > 0.4

    async def paid_while_asking() -> Thing:
        member = customer()
        ride = asyncio.create_task(attempt(town, start(bike_id, member)))
        await town.done(CreditDeposit(member_id=member.member_id, amount=2_000, reason="a present", caller=STAFF))
        code, body = await ride
        return body if code == "done" else {}

    await town.done(end(await eventually(paid_while_asking, within=20)))
