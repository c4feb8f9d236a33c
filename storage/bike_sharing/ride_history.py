"""Bike sharing: the ride history, a view of the events of rides, bikes and billing."""

from __future__ import annotations

from contracts.bike_sharing.bikes import BikeState
from contracts.bike_sharing.billing import BillState
from contracts.bike_sharing.ride_history import ListRideHistory, ShowRideHistory
from contracts.bike_sharing.rides import RideState
from storage.view_queries import Joined, ViewQueries
from storage.views import ViewTables

tables = ViewTables("bike_sharing_ride_history")

rides = tables.projection("rides", RideState, listed=True)
bikes = tables.projection("bikes", BikeState, "code", "status", "location")
bills = tables.projection(
    "bills",
    BillState,
    *("ride_id", "status", "amount", "paid", "owed", "balance_after"),
    index=("ride_id",),
)

queries = ViewQueries(
    tables,
    rides,
    lists=ListRideHistory,
    shows=ShowRideHistory,
    joined=[
        Joined(bikes, "bike_id", part="bike"),
        Joined(bills, "ride_id", part="bill", columns=[bills.c.balance_after]),
    ],
    timeline=[bills.c.bill_id],
)
