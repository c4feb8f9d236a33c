"""Shop: order status, a view that answers even when products, orders, deliveries and payments are down."""

from __future__ import annotations

from storage.shop import order_status as store
from workers.runtime.projections.view import View

worker = order_status = View("shop.order_status", store.tables)
order_status.answers(store.queries)
