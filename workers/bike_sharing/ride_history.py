"""Bike sharing: the ride history, a view that answers even when bikes, rides, billing and deposits are down."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.bike_sharing.bikes import BikeChanged, BikeRegistered, BikeReleased, BikeTaken
from contracts.bike_sharing.billing import BillClosed, BillOpened, BillOwed, BillSettling
from contracts.bike_sharing.ride_history import ListRideHistory, RideHistory, RideHistoryEntry, ShowRideHistory
from contracts.bike_sharing.rides import (
    RideEndedAtCap,
    RideEndedByStaff,
    RideNotStarted,
    RideRequested,
    RideReturned,
    RideStarted,
)
from storage.bike_sharing import ride_history as store
from workers.runtime.processing.tx import RetryableNotFound, StaleRead
from workers.runtime.projections.view import Projection, View

RIDE_EVENTS = (RideRequested, RideStarted, RideNotStarted, RideReturned, RideEndedByStaff, RideEndedAtCap)

worker = ride_history = View(
    "bike_sharing.ride_history",
    store.tables,
    [
        Projection(store.rides, "ride_id", RIDE_EVENTS),
        Projection(store.bikes, "bike_id", (BikeRegistered, BikeChanged, BikeTaken, BikeReleased)),
        Projection(store.bills, "bill_id", (BillOpened, BillSettling, BillOwed, BillClosed)),
    ],
)


@ride_history.handles(ListRideHistory)
async def list_ride_history(query: ListRideHistory, connection: AsyncConnection) -> RideHistory:
    return await store.newest(connection, query)


@ride_history.handles(ShowRideHistory)
async def show_ride_history(query: ShowRideHistory, connection: AsyncConnection) -> RideHistoryEntry:
    entry = await store.find(connection, query.ride_id)
    if entry is None or not query.caller.may_see(entry.member_id):
        raise RetryableNotFound
    if entry.version < query.min_version:
        raise StaleRead(entry)
    return entry
