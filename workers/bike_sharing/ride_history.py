"""Bike sharing: ride history answers while bikes, rides, billing and deposits are all down."""

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
from workers.runtime.processing.tx import Behind, NotKnownYet
from workers.runtime.projections.view import Copy, View

RIDE_EVENTS = (RideRequested, RideStarted, RideNotStarted, RideReturned, RideEndedByStaff, RideEndedAtCap)

worker = ride_history = View(
    "bike_sharing.ride_history",
    store.tables,
    [
        Copy(store.rides, "ride_id", RIDE_EVENTS),
        Copy(store.bikes, "bike_id", (BikeRegistered, BikeChanged, BikeTaken, BikeReleased)),
        Copy(store.bills, "bill_id", (BillOpened, BillSettling, BillOwed, BillClosed)),
    ],
)


@ride_history.on(ListRideHistory)
async def list_ride_history(question: ListRideHistory, connection: AsyncConnection) -> RideHistory:
    return await store.newest(connection, question)


@ride_history.on(ShowRideHistory)
async def show_ride_history(question: ShowRideHistory, connection: AsyncConnection) -> RideHistoryEntry:
    entry = await store.find(connection, question.ride_id)
    if entry is None or not question.caller.may_see(entry.member_id):
        raise NotKnownYet
    if entry.version < question.min_version:
        raise Behind(entry)
    return entry
