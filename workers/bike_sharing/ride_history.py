"""Bike sharing: the ride history, a view that answers even when bikes, rides, billing and deposits are down."""

from __future__ import annotations

from storage.bike_sharing import ride_history as store
from workers.runtime.projections.view import View

worker = ride_history = View("bike_sharing.ride_history", store.tables)
ride_history.answers(store.queries)
