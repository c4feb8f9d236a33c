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
from tests.bike_sharing.helpers import (
    bike_of,
    bill_id_of,
    credit,
    end_ride,
    known_bike,
    ledger_of,
    register_bike,
    report_condition,
    return_bike,
    ride_of,
    set_duration,
    start_ride,
    started_ride,
    wait_for_bike,
    wait_for_bill,
    wait_for_deposit,
    wait_for_view,
)
from tests.support.system import STAFF, Json, System, customer, eventually


async def test_a_member_rides_returns_anywhere_and_pays_from_the_deposit(system: System, kim: Caller) -> None:
    bike_id = await known_bike(system, "City Hall")
    await credit(system, kim, 10_000)

    ride = await system.done(start_ride(bike_id, kim))
    taken = await bike_of(system, bike_id)
    await set_duration(system, ride, 90)
    await wait_for_bill(system, ride, status="OPEN")
    returned = await system.done(return_bike(ride, kim, "Han River"))

    assert (ride["status"], ride["start_location"], taken["status"]) == ("RIDING", "City Hall", "IN_USE")
    assert ride["fee_plan"] == {"per_minute": 100, "at_most": 20_000}
    assert (returned["status"], returned["minutes"], returned["fee"]) == ("RETURNED", 2, 200)
    assert (await wait_for_bike(system, bike_id, "AVAILABLE"))["location"] == "Han River"
    bill = await wait_for_bill(system, ride, status="CLOSED")
    assert (bill["amount"], bill["paid"], bill["owed"], bill["balance_after"]) == (200, 200, 0, 9_800)
    await wait_for_deposit(system, kim, 9_800)
    assert await ledger_of(system, kim) == [("CREDIT", 10_000), ("FEE", -200)]
    seen = await wait_for_view(system, ride, status="RETURNED", bill={"status": "CLOSED"})
    assert (seen["balance_after"], seen["bike"]["location"], seen["minutes"]) == (9_800, "Han River", 2)
    assert [line["what"] for line in seen["timeline"]] == [
        "RideRequested", "RideStarted", "BillOpened", "RideReturned", "BillSettling", "BillClosed",
    ]  # fmt: skip


async def test_the_balance_is_too_low_or_a_ride_is_open_or_a_fee_is_owed(system: System, kim: Caller) -> None:
    bike_id = await known_bike(system)

    nothing = await system.refused(start_ride(bike_id, kim))
    await credit(system, kim, 1_999)
    short = await system.refused(start_ride(bike_id, kim))
    await credit(system, kim, 1)
    ride = await system.done(start_ride(bike_id, kim))
    second = await system.refused(start_ride(await known_bike(system), kim))
    await set_duration(system, ride, 30 * 60 - 30)
    await system.done(return_bike(ride, kim))
    await wait_for_deposit(system, kim, 0, debt=1_000)
    await system.wait_until_idle()
    owing = await system.refused(start_ride(bike_id, kim))

    assert (nothing["code"], nothing["balance"]) == ("deposit_too_low", 0)
    assert (short["code"], short["minimum"]) == ("deposit_too_low", 2_000)
    assert (second["code"], owing["code"]) == ("ride_open", "debt_owed")


async def test_an_unknown_bike_is_not_found_whatever_else_is_wrong(system: System, kim: Caller) -> None:
    assert (await system.refused(start_ride(uuid4(), kim)))["code"] == "not_found"


async def test_of_eight_members_who_want_one_bike_one_rides(system: System) -> None:
    bike_id, members = await known_bike(system), [customer() for _ in range(8)]
    await asyncio.gather(*(credit(system, member) for member in members))

    outcomes = await system.outcomes(start_ride(bike_id, member) for member in members)

    assert sorted(code for code, _ in outcomes) == ["bike_not_available"] * 7 + ["done"]
    refused = [body for code, body in outcomes if code != "done"]
    assert {body["current_status"] for body in refused} == {"NOT_STARTED"}
    for body in refused:
        assert (await wait_for_view(system, body, status="NOT_STARTED"))["reason"] == "bike_not_available"
    (ride,) = (body for code, body in outcomes if code == "done")
    assert (await bike_of(system, bike_id))["status"] == "IN_USE"
    await system.done(end_ride(ride))
    await wait_for_bike(system, bike_id, "AVAILABLE")


async def test_a_bike_is_taken_by_one_of_many_rides_at_once(system: System, kim: Caller) -> None:
    bike_id, ride_ids = await known_bike(system), [uuid4() for _ in range(30)]
    takes = [TakeBike(bike_id=bike_id, ride_id=ride_id, member_id=kim.member_id) for ride_id in ride_ids]

    outcomes = await system.outcomes(take for take in takes)

    assert sorted(code for code, _ in outcomes) == ["bike_not_available"] * 29 + ["done"]
    await system.publish(*(ReleaseBike(bike_id=bike_id, ride_id=ride_id) for ride_id in ride_ids))
    assert (await wait_for_bike(system, bike_id, "AVAILABLE"))["version"] == 3


async def test_one_member_who_starts_many_rides_at_once_has_one(system: System, kim: Caller) -> None:
    bikes = [await known_bike(system) for _ in range(5)]
    await credit(system, kim)

    outcomes = await system.outcomes(start_ride(bike_id, kim) for bike_id in bikes)

    assert sorted(code for code, _ in outcomes) == ["done"] + ["ride_open"] * 4
    states = [(await bike_of(system, bike_id))["status"] for bike_id in bikes]
    assert sorted(states) == ["AVAILABLE"] * 4 + ["IN_USE"]


async def test_a_start_that_is_repeated_is_one_ride(system: System, kim: Caller) -> None:
    bike_id, request_id = await known_bike(system), uuid4()
    await credit(system, kim)

    answers = await asyncio.gather(*(system.outcome(start_ride(bike_id, kim), id=request_id) for _ in range(20)))

    assert all(answer == answers[0] for answer in answers)
    assert answers[0][1]["ride_id"] == str(request_id)
    mine = await system.done(ListRides(member_id=kim.member_id))
    assert [ride["ride_id"] for ride in mine["items"]] == [str(request_id)]


async def test_a_broken_bike_is_not_ridden(system: System, kim: Caller) -> None:
    bike_id = await known_bike(system, condition=BikeCondition.BROKEN)
    await credit(system, kim)

    refusal = await system.refused(start_ride(bike_id, kim))

    assert (refusal["code"], refusal["current_status"]) == ("bike_broken", "NOT_STARTED")
    assert (await ride_of(system, refusal["ride_id"]))["reason"] == "bike_broken"


async def test_a_bike_that_is_reported_broken_during_a_ride_is_broken_after_it(system: System, kim: Caller) -> None:
    ride = await started_ride(system, kim)

    reported = await system.done(report_condition(ride["bike_id"]))
    others = [
        await system.refused(report_condition(ride["bike_id"], BikeCondition.GOOD)),
        await system.refused(report_condition(ride["bike_id"]).model_copy(update={"location": "Seoul Station"})),
    ]
    await system.done(return_bike(ride, kim, "Han River"))

    assert (reported["status"], reported["condition"]) == ("IN_USE", "BROKEN")
    assert [(other["code"], other["current_status"]) for other in others] == [("wrong_state", "IN_USE")] * 2
    assert (await wait_for_bike(system, ride["bike_id"], "BROKEN"))["location"] == "Han River"
    repaired = await system.done(report_condition(ride["bike_id"], BikeCondition.GOOD))
    assert repaired["status"] == "AVAILABLE"


async def test_a_ride_that_is_returned_again_is_as_it_was_and_charged_once(system: System, kim: Caller) -> None:
    ride = await started_ride(system, kim)
    await set_duration(system, ride, 90)

    answers = await system.outcomes(return_bike(ride, kim) for _ in range(10))
    later = await system.done(return_bike(ride, kim, "Seoul Station"))
    await wait_for_deposit(system, kim, 9_800)
    await system.wait_until_idle()

    assert all(answer == ("done", later) for answer in answers)
    assert later["location"] == "Han River"
    assert await ledger_of(system, kim) == [("CREDIT", 10_000), ("FEE", -200)]


async def test_another_member_neither_returns_nor_sees_a_ride(system: System, kim: Caller, lee: Caller) -> None:
    ride = await started_ride(system, kim)
    await wait_for_bill(system, ride, status="OPEN")

    refusals = [
        await system.refused(message)
        for message in (
            return_bike(ride, lee),
            ShowRide(ride_id=ride["ride_id"], caller=lee),
            ShowRideHistory(ride_id=ride["ride_id"], caller=lee),
            ShowBill(bill_id=bill_id_of(ride), caller=lee),
            ListEntries(member_id=kim.member_id, caller=lee),
        )
    ]

    assert {refusal["code"] for refusal in refusals} == {"not_found"}
    assert (await ride_of(system, ride["ride_id"]))["status"] == "RIDING"
    await system.done(return_bike(ride, kim))


async def test_staff_end_a_ride_with_a_reason_and_it_costs_what_it_took(system: System, kim: Caller) -> None:
    ride = await started_ride(system, kim)
    await set_duration(system, ride, 90)

    ended = await system.done(end_ride(ride, "found in the river", "Han River"))
    again = await system.done(end_ride(ride, "once more"))
    too_late = await system.refused(return_bike(ride, kim))

    assert (ended["status"], ended["reason"], ended["fee"]) == ("ENDED_BY_STAFF", "found in the river", 200)
    assert again == ended
    assert (too_late["code"], too_late["current_status"]) == ("wrong_state", "ENDED_BY_STAFF")
    await wait_for_bill(system, ride, status="CLOSED")
    assert (await wait_for_bike(system, ride["bike_id"], "AVAILABLE"))["location"] == "Han River"


async def test_an_end_before_the_start_costs_nothing_and_is_flagged(system: System, kim: Caller) -> None:
    ride = await started_ride(system, kim)
    await set_duration(system, ride, -3600)

    returned = await system.done(return_bike(ride, kim))

    assert (returned["minutes"], returned["fee"], returned["flagged"]) == (0, 0, True)
    bill = await wait_for_bill(system, ride, status="CLOSED")
    assert (bill["amount"], bill["flagged"], bill["balance_after"]) == (0, True, 10_000)
    assert await ledger_of(system, kim) == [("CREDIT", 10_000)]


async def test_a_long_ride_costs_no_more_than_the_plan_of_its_start(system: System, kim: Caller) -> None:
    await credit(system, kim, 30_000)
    ride = await started_ride(system, kim)
    await set_duration(system, ride, 10 * 3600 - 30)

    returned = await system.done(return_bike(ride, kim))

    assert (returned["minutes"], returned["fee"]) == (600, 20_000)
    await wait_for_deposit(system, kim, 10_000)


async def test_a_code_belongs_to_one_bike(system: System) -> None:
    outcomes = await system.outcomes([register_bike()] * 5)

    assert sorted(code for code, _ in outcomes) == ["code_taken"] * 4 + ["done"]


async def test_broken_bikes_are_for_staff_to_see(system: System, kim: Caller) -> None:
    place = f"place-{uuid4().hex[:8]}"
    good, broken = await known_bike(system, place), await known_bike(system, place, BikeCondition.BROKEN)

    everybody = await system.done(ListBikes(location=place))
    staff = await system.done(ListBikes(location=place, broken_too=True))
    only_broken = await system.done(ListBikes(location=place, status=BikeStatus.BROKEN))

    assert [item["bike_id"] for item in everybody["items"]] == [str(good)]
    assert [item["bike_id"] for item in staff["items"]] == [str(broken), str(good)]
    assert only_broken["items"] == []
    assert (await system.refused(ShowBike(bike_id=broken, caller=kim)))["code"] == "not_found"
    assert (await system.done(ShowBike(bike_id=good, caller=kim)))["status"] == "AVAILABLE"
    assert "held_by" not in (await bike_of(system, good))


async def test_a_start_waits_half_a_second_for_a_balance_that_rides_does_not_know_yet(
    system: System, kim: Caller
) -> None:
    bike_id = await known_bike(system)
    started = time.monotonic()

    refusal = await system.refused(start_ride(bike_id, kim))

    assert refusal["code"] == "deposit_too_low"
    assert time.monotonic() - started > 0.4

    async def credited_while_the_ride_starts() -> Json:
        member = customer()
        ride = asyncio.create_task(system.outcome(start_ride(bike_id, member)))
        await system.done(CreditDeposit(member_id=member.member_id, amount=2_000, reason="a present", caller=STAFF))
        code, body = await ride
        return body if code == "done" else {}

    await system.done(end_ride(await eventually(credited_while_the_ride_starts, within=20)))
