"""Phone pre-order: my reservations, a view that answers even when the writers and payments are down."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.payments import (
    PaymentApproved,
    PaymentDeclined,
    PaymentRefunded,
    PaymentVoided,
    PaymentVoiding,
    RefundFailed,
    RefundStarted,
    RefundSucceeded,
)
from contracts.preorder.my_reservations import (
    ListMyReservations,
    MyReservationEntry,
    MyReservations,
    ShowMyReservation,
)
from contracts.preorder.products import ProductChanged, ProductRegistered
from contracts.preorder.receipts import ReceiptIssued, ReceiptVoided
from contracts.preorder.reservations import (
    ReservationCancelled,
    ReservationCancelling,
    ReservationConfirmed,
    ReservationRejected,
    ReservationStarted,
)
from storage.preorder import my_reservations as store
from workers.runtime.processing.tx import RetryableNotFound, StaleRead
from workers.runtime.projections.view import Projection, View

RESERVATION_EVENTS = (
    ReservationStarted,
    ReservationConfirmed,
    ReservationRejected,
    ReservationCancelling,
    ReservationCancelled,
)
PAYMENT_EVENTS = (PaymentApproved, PaymentDeclined, PaymentVoiding, PaymentVoided, PaymentRefunded)
REFUND_EVENTS = (RefundStarted, RefundFailed, RefundSucceeded)

worker = my_reservations = View(
    "preorder.my_reservations",
    store.tables,
    [
        Projection(store.reservations, "reservation_id", RESERVATION_EVENTS),
        Projection(store.products, "product_id", (ProductRegistered, ProductChanged)),
        Projection(store.payments, "payment_id", PAYMENT_EVENTS, about="preorder.reservations"),
        Projection(store.refunds, "refund_id", REFUND_EVENTS, about="preorder.reservations"),
        Projection(store.receipts, "receipt_id", (ReceiptIssued, ReceiptVoided)),
    ],
)


@my_reservations.handles(ListMyReservations)
async def list_my_reservations(query: ListMyReservations, connection: AsyncConnection) -> MyReservations:
    return await store.newest(connection, query)


@my_reservations.handles(ShowMyReservation)
async def show_my_reservation(query: ShowMyReservation, connection: AsyncConnection) -> MyReservationEntry:
    entry = await store.find(connection, query.reservation_id)
    if entry is None or not query.caller.may_see(entry.member_id):
        raise RetryableNotFound
    if entry.version < query.min_version:
        raise StaleRead(entry)
    return entry
