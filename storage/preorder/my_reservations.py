"""Phone pre-order: my reservations, a view of the events of reservations, products, payments and receipts."""

from __future__ import annotations

from contracts.preorder.my_reservations import ListMyReservations, ShowMyReservation
from contracts.preorder.products import ProductState
from contracts.preorder.receipts import ReceiptState
from contracts.preorder.reservations import ReservationState
from storage.payment_projections import project_payments
from storage.view_queries import Joined, ViewQueries
from storage.views import ViewTables

tables = ViewTables("preorder_my_reservations")

reservations = tables.projection("reservations", ReservationState, listed=True)
products = tables.projection("products", ProductState, "name", "price", "status")
payments, refunds = project_payments(tables, about="preorder.reservations")
receipts = tables.projection(
    "receipts",
    ReceiptState,
    *("reservation_id", "status", "issued_at", "expected_delivery"),
    index=("reservation_id",),
)

queries = ViewQueries(
    tables,
    reservations,
    lists=ListMyReservations,
    shows=ShowMyReservation,
    joined=[
        Joined(products, "product_id", part="product"),
        Joined(payments, "payment_id", part="payment"),
        Joined(refunds, "payment_id", part="refund", latest=True),
        Joined(receipts, "reservation_id", part="receipt"),
    ],
    timeline=[reservations.c.payment_id, refunds.c.refund_id, receipts.c.receipt_id],
)
