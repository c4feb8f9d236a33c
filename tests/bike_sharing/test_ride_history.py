"""Ride history never goes back, whatever comes late, twice or in the wrong order; rebuilt, it is the same."""

from __future__ import annotations

import random
from uuid import UUID

import pytest

from contracts.base import CATALOGUE, Caller, Event
from contracts.bike_sharing.ride_history import ListRideHistory
from contracts.bike_sharing.rides import RideStatus
from storage.views import ViewDatabase
from tests.bike_sharing.riding import (
    HISTORY,
    Thing,
    bike,
    bill_id_of,
    entry,
    funded,
    give_back,
    riding,
    rode,
    rode_for,
    shown,
    start,
)
from tests.flows.renting import tell
from tests.support.system import STAFF, System
from tests.support.view_databases import rows_of
from workers.registry import worker
from workers.runtime.projections.rebuild import rebuild
from workers.runtime.projections.view import View

TABLES = ("rides", "bikes", "bills", "timeline")


async def test_rebuilt_from_the_journal_it_has_the_same_rows(system: System, kim: Caller) -> None:
    await shown(system, await rode(system, kim, 2), "RETURNED", "CLOSED")
    await riding(system, kim)
    await system.wait_until_idle()
    before = await rows_of(system, HISTORY)
    view = worker(HISTORY)
    assert isinstance(view, View)
    store = ViewDatabase(view.tables, system.settings.database_of(HISTORY))
    store.open()

    await system.rows(HISTORY, "update bike_sharing_ride_history.rides set status = 'LOST'")
    applied = await rebuild(view, store, system.bus, system.rpc)
    await store.close()

    assert applied >= 10
    assert await rows_of(system, HISTORY) == before
    assert all(before[table] for table in TABLES)


@pytest.mark.parametrize("seed", range(3))
async def test_in_whatever_order_and_however_often_events_come_it_is_the_same(
    system: System, kim: Caller, seed: int
) -> None:
    ride = await rode(system, kim, 2)
    before = await shown(system, ride, "RETURNED", "CLOSED")
    await system.wait_until_idle()
    told = events_of(system, ride) * 2
    random.Random(seed).shuffle(told)
    await system.rows(HISTORY, "delete from bike_sharing_ride_history.rides where ride_id = $1", ride_id_of(before))
    for subject in (ride_id_of(before), bill_id_of(ride)):
        await system.rows(HISTORY, "delete from bike_sharing_ride_history.timeline where subject = $1", subject)

    await tell(system, *told)

    await shown(system, ride, "RETURNED", "CLOSED")
    await system.wait_until_idle()
    assert await entry(system, ride) | {"as_of": ""} == before | {"as_of": ""}


def ride_id_of(ride: Thing) -> UUID:
    return UUID(ride["ride_id"])


def events_of(system: System, ride: Thing) -> list[Event]:
    """What was told of a ride and its bill."""
    heard = {kind for kind in worker(HISTORY).handlers if "ride_id" in CATALOGUE[kind].model_fields}
    kinds: list[Event] = []
    for topic, body in system.events:
        kind = CATALOGUE[topic]
        if topic in heard and body.get("ride_id") == ride["ride_id"] and issubclass(kind, Event):
            kinds.append(kind.model_validate(body))
    return kinds


async def test_a_look_right_after_a_change_waits_for_the_version_that_it_names(system: System, kim: Caller) -> None:
    await funded(system, kim)
    for _ in range(3):
        ride = await system.done(start(await bike(system), kim))
        seen = await entry(system, ride, min_version=ride["version"], caller=kim)
        await rode_for(system, ride, 30)
        returned = await system.done(give_back(ride, kim))
        seen_returned = await entry(system, ride, min_version=returned["version"], caller=kim)

        assert (seen["status"], seen_returned["status"]) == ("RIDING", "RETURNED")


async def test_lists_are_a_members_own_and_can_be_narrowed_and_turned(system: System, kim: Caller) -> None:
    ids = [(await rode(system, kim, 1))["ride_id"] for _ in range(3)]
    await system.wait_until_idle()
    seen, cursor = [], None

    while True:
        page = await system.done(ListRideHistory(member_id=kim.member_id, limit=2, cursor=cursor))
        seen += [item["ride_id"] for item in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break

    assert seen == ids[::-1]
    none = await system.done(ListRideHistory(member_id=kim.member_id, status=RideStatus.ENDED_AT_CAP))
    everybody = await system.done(ListRideHistory(limit=200))
    assert none["items"] == []
    assert set(ids) < {item["ride_id"] for item in everybody["items"]}
    assert (await entry(system, {"ride_id": ids[0]}, caller=STAFF))["member_id"] == kim.member_id
