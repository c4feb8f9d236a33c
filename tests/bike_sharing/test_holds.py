"""A bike that was taken is freed by whoever took it, or by asking them: never by time alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from uuid import UUID, uuid4

import pytest

from contracts.base import Caller
from contracts.bike_sharing.bikes import ChangeBike, HoldReleased, ReleaseBike, TakeBike
from contracts.bike_sharing.rides import SettleHold
from tests.bike_sharing.conftest import bike_system
from tests.bike_sharing.riding import (
    BIKES,
    RIDES,
    Thing,
    attempt,
    bike,
    bike_is,
    bike_of,
    bill_is,
    end,
    funded,
    give_back,
    new_bike,
    order,
    ride_is,
    ride_of,
    riding,
    shown,
    start,
)
from tests.conftest import MakeSettings
from tests.support.system import System, eventually
from workers.runtime.processing import failpoints


@pytest.fixture(scope="module")
async def system(make_settings: MakeSettings) -> AsyncIterator[System]:
    """A system in which bikes soon asks who holds them."""
    async with bike_system(make_settings, bike_sharing_ask_holder_seconds=0.1) as running:
        yield running


def take(bike_id: UUID, ride_id: UUID, member: Caller) -> TakeBike:
    return TakeBike(bike_id=bike_id, ride_id=ride_id, member_id=member.member_id)


async def test_a_bike_whose_ride_never_came_to_be_is_freed_once_its_holder_has_been_asked(
    system: System, kim: Caller
) -> None:
    bike_id, ride_id = await bike(system), uuid4()
    await funded(system, kim)
    await system.stop(RIDES)
    await system.done(take(bike_id, ride_id, kim))

    async def asked_again_and_again() -> bool:
        waiting = await system.bus.inspect_queue(f"{SettleHold.topic}@{RIDES}")
        return waiting is not None and waiting[0] >= 3

    await eventually(asked_again_and_again)
    held = await bike_of(system, bike_id)
    await system.start(RIDES)

    assert held["status"] == "IN_USE"
    await bike_is(system, bike_id, "AVAILABLE")
    assert (await ride_is(system, ride_id, "NOT_STARTED"))["reason"] == "bike_unavailable"
    late, refusal = await attempt(system, start(bike_id, kim), id=ride_id)
    assert (late, refusal["current_status"]) == ("bike_unavailable", "NOT_STARTED")
    assert (await bike_of(system, bike_id))["status"] == "AVAILABLE"


async def test_a_ride_that_stands_is_confirmed_and_keeps_its_bike(system: System, kim: Caller) -> None:
    ride = await riding(system, kim)

    async def confirmed() -> bool:
        query = "select 1 from bike_sharing_bikes.holds where ride_id = $1 and confirmed"
        return bool(await system.rows(BIKES, query, UUID(ride["ride_id"])))

    await eventually(confirmed)

    assert (await bike_of(system, ride["bike_id"]))["status"] == "IN_USE"
    await system.done(give_back(ride, kim))
    await bike_is(system, ride["bike_id"], "AVAILABLE")


async def test_a_release_that_overtakes_its_take_refuses_it(system: System, kim: Caller) -> None:
    bike_id, ride_id = await bike(system), uuid4()
    release = ReleaseBike(bike_id=bike_id, ride_id=ride_id)

    await order(system, release, release)
    await eventually(lambda: _released(system, ride_id, times=2))

    assert (await system.refused(take(bike_id, ride_id, kim)))["code"] == "hold_released"
    assert (await bike_of(system, bike_id))["status"] == "AVAILABLE"
    assert (await bike_of(system, bike_id))["version"] == 1


async def _released(system: System, ride_id: UUID, times: int) -> bool:
    """Each release says so, also when there was nothing to release."""
    return sum(said["ride_id"] == str(ride_id) for said in system.events_of(HoldReleased.topic)) >= times


async def test_a_release_of_one_ride_leaves_the_bike_to_another(system: System, kim: Caller) -> None:
    bike_id, other = await bike(system), uuid4()
    ride = await riding(system, kim, bike_id)

    await order(system, ReleaseBike(bike_id=bike_id, ride_id=other, location="Seoul Station"))
    await eventually(lambda: _released(system, other, times=1))

    left = await bike_of(system, bike_id)
    assert (left["status"], left["location"]) == ("IN_USE", "City Hall")
    await system.done(give_back(ride, kim))


@contextmanager
def first_answer_of_bikes_is_held_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Bikes hands the bike out, and its answer comes when nobody waits any more."""
    released, held = asyncio.Event(), list[str]()

    async def hold(context: str, place: str) -> None:
        if (context, place) == (BIKES, "committed") and not held:
            held.append(place)
            await released.wait()

    monkeypatch.setattr(failpoints, "hook", hold)
    try:
        yield
    finally:
        released.set()
    assert held


async def test_a_bike_that_was_taken_without_an_answer_is_free_again(
    system: System, kim: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    bike_id, request_id = await bike(system), uuid4()
    await funded(system, kim)
    await system.wait_until_idle()

    with first_answer_of_bikes_is_held_back(monkeypatch):
        refusal = await system.refused(start(bike_id, kim), id=request_id)

    assert (refusal["code"], refusal["current_status"]) == ("bike_unavailable", "NOT_STARTED")
    assert refusal["ride_id"] == str(request_id)
    await bike_is(system, bike_id, "AVAILABLE")
    ride = await system.done(start(bike_id, kim))
    seen = await shown(system, {"ride_id": str(request_id)}, "NOT_STARTED")
    assert (seen["reason"], seen["bill"], seen["balance_after"]) == ("bike_unavailable", None, None)
    await system.done(give_back(ride, kim))


async def test_rides_that_dies_between_request_and_answer_ends_the_ride_by_itself(system: System, kim: Caller) -> None:
    bike_id, request_id = await bike(system), uuid4()
    await funded(system, kim)
    killed: list[asyncio.Task[None]] = []

    async def crash(context: str, place: str) -> None:
        if (context, place) == (RIDES, "heard") and not killed:
            killed.append(asyncio.create_task(system.kill(RIDES)))
            await asyncio.Event().wait()

    failpoints.hook = crash
    try:
        await system.request(start(bike_id, kim), id=request_id, within=1)
    finally:
        failpoints.hook = None
    await asyncio.gather(*killed)
    assert (await bike_of(system, bike_id))["status"] == "IN_USE"
    await system.start(RIDES)

    assert (await ride_is(system, request_id, "NOT_STARTED"))["reason"] == "bike_unavailable"
    await bike_is(system, bike_id, "AVAILABLE")


async def test_a_ride_that_is_open_for_too_long_ends_by_itself(make_settings: MakeSettings, kim: Caller) -> None:
    async with bike_system(make_settings, bike_sharing_ride_hours=0.5 / 3600, bike_sharing_fee_at_most=70) as system:
        ride = await riding(system, kim)

        ended = await ride_is(system, ride["ride_id"], "ENDED_AT_CAP")

        assert (ended["minutes"], ended["fee"], ended["reason"]) == (1, 70, "longest_time_over")
        assert (await bike_is(system, ride["bike_id"], "AVAILABLE"))["location"] == "City Hall"
        assert (await bill_is(system, ride, "CLOSED"))["amount"] == 70
        late: Thing = await system.refused(give_back(ride, kim))
        assert (late["code"], late["current_status"]) == ("wrong_state", "ENDED_AT_CAP")
        assert (await ride_of(system, ride["ride_id"])) == ended


async def test_a_place_that_is_not_in_the_list_is_refused_before_anything_else(
    make_settings: MakeSettings, kim: Caller
) -> None:
    async with bike_system(make_settings, bike_sharing_locations=["City Hall", "Han River"]) as system:
        ride = await riding(system, kim)
        nobodys = {"ride_id": str(uuid4())}

        wishes = [
            new_bike("Atlantis"),
            ChangeBike(bike_id=uuid4(), location="Atlantis"),
            give_back(ride, kim, "Atlantis"),
            give_back(nobodys, kim, "Atlantis"),
            end(ride, location="Atlantis"),
        ]
        refusals = [await system.refused(wish) for wish in wishes]

        assert [refusal["code"] for refusal in refusals] == ["invalid"] * 5
        assert {refusal["errors"][0]["field"] for refusal in refusals} == {"location"}
        assert (await system.done(give_back(ride, kim, "Han River")))["status"] == "RETURNED"
