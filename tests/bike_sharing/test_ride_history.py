"""Ride history keeps the newest state in whatever order events come, and a rebuild gives the same rows."""

from __future__ import annotations

import random
from uuid import UUID

import pytest

from contracts.base import CATALOGUE, Caller, Message
from contracts.bike_sharing.ride_history import ListRideHistory
from contracts.bike_sharing.rides import RideStatus
from tests.bike_sharing.helpers import (
    HISTORY,
    bill_id_of,
    credit,
    known_bike,
    return_bike,
    returned_ride,
    set_duration,
    start_ride,
    started_ride,
    view_of,
    wait_for_view,
)
from tests.support.system import STAFF, Json, System
from tests.support.view_databases import rebuild_view, rows_of
from workers.registry import worker

TABLES = ("rides", "bikes", "bills", "timeline")


async def test_a_rebuild_gives_the_same_rows(system: System, kim: Caller) -> None:
    await wait_for_view(system, await returned_ride(system, kim, 2), status="RETURNED", bill={"status": "CLOSED"})
    await started_ride(system, kim)
    await system.wait_until_idle()
    before = await rows_of(system, HISTORY)
    await system.rows(HISTORY, "update bike_sharing_ride_history.rides set status = 'LOST'")

    applied = await rebuild_view(system, HISTORY)

    assert applied >= 10
    assert await rows_of(system, HISTORY) == before
    assert all(before[table] for table in TABLES)


@pytest.mark.parametrize("seed", range(3))
async def test_events_in_any_order_and_twice_give_the_same_history(system: System, kim: Caller, seed: int) -> None:
    ride = await returned_ride(system, kim, 2)
    before = await wait_for_view(system, ride, status="RETURNED", bill={"status": "CLOSED"})
    await system.wait_until_idle()
    events = events_about(system, ride) * 2
    random.Random(seed).shuffle(events)
    await system.rows(HISTORY, "delete from bike_sharing_ride_history.rides where ride_id = $1", ride_id_of(before))
    for subject in (ride_id_of(before), bill_id_of(ride)):
        await system.rows(HISTORY, "delete from bike_sharing_ride_history.timeline where subject = $1", subject)

    await system.publish(*events)

    await wait_for_view(system, ride, status="RETURNED", bill={"status": "CLOSED"})
    await system.wait_until_idle()
    assert await view_of(system, ride) | {"as_of": ""} == before | {"as_of": ""}


def ride_id_of(ride: Json) -> UUID:
    return UUID(ride["ride_id"])


def events_about(system: System, ride: Json) -> list[Message]:
    """The events about a ride and its bill that ride history handles."""
    topics = worker(HISTORY).handlers
    ride_id = ride["ride_id"]
    return [
        CATALOGUE[topic].model_validate(body)
        for topic, body in system.events
        if topic in topics and body.get("ride_id") == ride_id
    ]


async def test_a_query_right_after_a_change_waits_for_the_version_that_it_names(system: System, kim: Caller) -> None:
    await credit(system, kim)
    for _ in range(3):
        ride = await system.done(start_ride(await known_bike(system), kim))
        seen = await view_of(system, ride, min_version=ride["version"], caller=kim)
        await set_duration(system, ride, 30)
        returned = await system.done(return_bike(ride, kim))
        seen_returned = await view_of(system, ride, min_version=returned["version"], caller=kim)

        assert (seen["status"], seen_returned["status"]) == ("RIDING", "RETURNED")


async def test_lists_show_a_members_own_rides_page_by_page_and_by_status(system: System, kim: Caller) -> None:
    ids = [(await returned_ride(system, kim, 1))["ride_id"] for _ in range(3)]
    await system.wait_until_idle()

    rides = await system.items(ListRideHistory(member_id=kim.member_id, limit=2))

    assert [ride["ride_id"] for ride in rides] == ids[::-1]
    none = await system.done(ListRideHistory(member_id=kim.member_id, status=RideStatus.ENDED_AT_CAP))
    everybody = await system.done(ListRideHistory(limit=200))
    assert none["items"] == []
    assert set(ids) < {item["ride_id"] for item in everybody["items"]}
    assert (await view_of(system, {"ride_id": ids[0]}, caller=STAFF))["member_id"] == kim.member_id
