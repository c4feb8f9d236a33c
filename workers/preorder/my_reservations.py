"""Phone pre-order: my reservations, a view that answers even when the writers and payments are down."""

from __future__ import annotations

from storage.preorder import my_reservations as store
from workers.runtime.projections.view import View

worker = my_reservations = View("preorder.my_reservations", store.tables)
my_reservations.answers(store.queries)
