"""A hold of a bike ends only when its ride releases it, itself or at a query of bikes: never by time alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from contracts.base import Caller, Message
from contracts.bike_sharing.bikes import ChangeBike, HoldReleased, ReleaseBike, TakeBike
from contracts.bike_sharing.rides import SettleHold
from tests.bike_sharing.conftest import system_with
from tests.bike_sharing.helpers import (
    BIKES,
    RIDES,
    bike_of,
    credit,
    end_ride,
    known_bike,
    register_bike,
    return_bike,
    ride_of,
    start_ride,
    started_ride,
    wait_for_bike,
    wait_for_bill,
    wait_for_ride,
    wait_for_view,
)
from tests.conftest import MakeSettings
from tests.support.failpoints import paused
from tests.support.system import Json, System, eventually


@pytest.fixture(scope="module")
async def system(make_settings: MakeSettings) -> AsyncIterator[System]:
    """A system in which bikes soon checks unconfirmed holds."""
    async with system_with(make_settings, bike_sharing_holder_check_seconds=0.1) as running:
        yield running


def take(bike_id: UUID, ride_id: UUID, member: Caller) -> TakeBike:
    return TakeBike(bike_id=bike_id, ride_id=ride_id, member_id=member.member_id)


async def test_a_bike_held_for_an_unknown_ride_is_freed_once_rides_answers_the_query(
    system: System, kim: Caller
) -> None:
    bike_id, ride_id = await known_bike(system), uuid4()
    await credit(system, kim)
    await system.stop(RIDES)
    await system.done(take(bike_id, ride_id, kim))

    async def three_queries_wait() -> bool:
        found = await system.broker.inspect_queue(f"{SettleHold.topic}@{RIDES}")
        return found is not None and found[0] >= 3

    await eventually(three_queries_wait)
    held = await bike_of(system, bike_id)
    await system.start(RIDES)

    assert held["status"] == "IN_USE"
    await wait_for_bike(system, bike_id, "AVAILABLE")
    assert (await wait_for_ride(system, ride_id, "NOT_STARTED"))["reason"] == "bike_unavailable"
    late, refusal = await system.outcome(start_ride(bike_id, kim), id=ride_id)
    assert (late, refusal["current_status"]) == ("bike_unavailable", "NOT_STARTED")
    assert (await bike_of(system, bike_id))["status"] == "AVAILABLE"


async def test_an_open_ride_confirms_its_hold_and_keeps_its_bike(system: System, kim: Caller) -> None:
    ride = await started_ride(system, kim)

    confirmed = "select 1 from bike_sharing_bikes.holds where ride_id = $1 and status = 'CONFIRMED'"
    await system.wait_for_rows(BIKES, confirmed, UUID(ride["ride_id"]))

    assert (await bike_of(system, ride["bike_id"]))["status"] == "IN_USE"
    await system.done(return_bike(ride, kim))
    await wait_for_bike(system, ride["bike_id"], "AVAILABLE")


async def test_a_release_that_overtakes_its_take_refuses_the_take(system: System, kim: Caller) -> None:
    bike_id, ride_id = await known_bike(system), uuid4()
    release = ReleaseBike(bike_id=bike_id, ride_id=ride_id)

    await system.publish(release, release)
    await eventually(lambda: _released(system, ride_id, times=2))

    assert (await system.refused(take(bike_id, ride_id, kim)))["code"] == "hold_released"
    assert (await bike_of(system, bike_id))["status"] == "AVAILABLE"
    assert (await bike_of(system, bike_id))["version"] == 1


async def _released(system: System, ride_id: UUID, times: int) -> bool:
    """Whether so many releases were answered by their event; one that released nothing is answered, too."""
    return len(system.events_of(HoldReleased.topic, ride_id=ride_id)) >= times


async def test_a_release_of_one_ride_leaves_the_bike_to_another(system: System, kim: Caller) -> None:
    bike_id, other = await known_bike(system), uuid4()
    ride = await started_ride(system, kim, bike_id)

    await system.publish(ReleaseBike(bike_id=bike_id, ride_id=other, location="Seoul Station"))
    await eventually(lambda: _released(system, other, times=1))

    left = await bike_of(system, bike_id)
    assert (left["status"], left["location"]) == ("IN_USE", "City Hall")
    await system.done(return_bike(ride, kim))


async def test_a_bike_that_was_taken_without_an_answer_is_free_again(system: System, kim: Caller) -> None:
    bike_id, request_id = await known_bike(system), uuid4()
    await credit(system, kim)
    await system.wait_until_idle()

    async with paused(BIKES, "committed"):
        refusal = await system.refused(start_ride(bike_id, kim), id=request_id)

    assert (refusal["code"], refusal["current_status"]) == ("bike_unavailable", "NOT_STARTED")
    assert refusal["ride_id"] == str(request_id)
    await wait_for_bike(system, bike_id, "AVAILABLE")
    ride = await system.done(start_ride(bike_id, kim))
    seen = await wait_for_view(system, {"ride_id": str(request_id)}, status="NOT_STARTED")
    assert (seen["reason"], seen["bill"], seen["balance_after"]) == ("bike_unavailable", None, None)
    await system.done(return_bike(ride, kim))


async def test_rides_killed_between_request_and_answer_ends_the_ride_by_itself(system: System, kim: Caller) -> None:
    bike_id, request_id = await known_bike(system), uuid4()
    await credit(system, kim)

    async with paused(RIDES, "outcome_known") as pause:
        request = asyncio.create_task(system.request(start_ride(bike_id, kim), id=request_id, within=1))
        await pause.reached.wait()
        await system.kill(RIDES)
        await request
    assert (await bike_of(system, bike_id))["status"] == "IN_USE"
    await system.start(RIDES)

    assert (await wait_for_ride(system, request_id, "NOT_STARTED"))["reason"] == "bike_unavailable"
    await wait_for_bike(system, bike_id, "AVAILABLE")


async def test_a_ride_that_is_open_for_too_long_ends_by_itself(make_settings: MakeSettings, kim: Caller) -> None:
    async with system_with(make_settings, bike_sharing_ride_hours=0.5 / 3600, bike_sharing_fee_at_most=70) as system:
        ride = await started_ride(system, kim)

        ended = await wait_for_ride(system, ride["ride_id"], "ENDED_AT_CAP")

        assert (ended["minutes"], ended["fee"], ended["reason"]) == (1, 70, "longest_time_over")
        assert (await wait_for_bike(system, ride["bike_id"], "AVAILABLE"))["location"] == "City Hall"
        assert (await wait_for_bill(system, ride, status="CLOSED"))["amount"] == 70
        late: Json = await system.refused(return_bike(ride, kim))
        assert (late["code"], late["current_status"]) == ("wrong_state", "ENDED_AT_CAP")
        assert (await ride_of(system, ride["ride_id"])) == ended


async def test_a_location_that_is_not_in_the_list_is_refused_before_anything_else(
    make_settings: MakeSettings, kim: Caller
) -> None:
    async with system_with(make_settings, bike_sharing_locations=["City Hall", "Han River"]) as system:
        ride = await started_ride(system, kim)
        unknown = {"ride_id": str(uuid4())}

        commands: list[Message] = [
            register_bike("Atlantis"),
            ChangeBike(bike_id=uuid4(), location="Atlantis"),
            return_bike(ride, kim, "Atlantis"),
            return_bike(unknown, kim, "Atlantis"),
            end_ride(ride, location="Atlantis"),
        ]
        refusals = [await system.refused(command) for command in commands]

        assert [refusal["code"] for refusal in refusals] == ["invalid"] * 5
        assert {refusal["errors"][0]["field"] for refusal in refusals} == {"location"}
        assert (await system.done(return_bike(ride, kim, "Han River")))["status"] == "RETURNED"


async def test_a_bike_of_another_version_is_not_changed(system: System) -> None:
    bike_id = await known_bike(system)

    stale = await system.refused(ChangeBike(bike_id=bike_id, location="Han River", expected_version=2))
    changed = await system.done(ChangeBike(bike_id=bike_id, location="Han River", expected_version=1))

    assert stale == {"code": "stale_version", "version": 1}
    assert (changed["location"], changed["version"]) == ("Han River", 2)
