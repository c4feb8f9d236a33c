"""Video rental: My Page, a view that answers even when videos, rentals and payments are down."""

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
from contracts.video_rental.my_page import ListMyPage, MyPage, MyPageEntry, ShowMyPage
from contracts.video_rental.rentals import (
    BookingCancelled,
    BookingRejected,
    BookingStarted,
    LateFeePaid,
    LateFeePaying,
    LateFeeWaived,
    VideoBooked,
    VideoRented,
    VideoReturned,
)
from contracts.video_rental.videos import VideoChanged, VideoRegistered
from storage.video_rental import my_page as store
from workers.runtime.processing.tx import RetryableNotFound, StaleRead
from workers.runtime.projections.view import Projection, View

RENTAL_EVENTS = (
    BookingStarted,
    VideoBooked,
    BookingRejected,
    BookingCancelled,
    VideoRented,
    VideoReturned,
    LateFeePaying,
    LateFeePaid,
    LateFeeWaived,
)
PAYMENT_EVENTS = (PaymentApproved, PaymentDeclined, PaymentVoiding, PaymentVoided, PaymentRefunded)
REFUND_EVENTS = (RefundStarted, RefundFailed, RefundSucceeded)

worker = my_page = View(
    "video_rental.my_page",
    store.tables,
    [
        Projection(store.rentals, "rental_id", RENTAL_EVENTS),
        Projection(store.videos, "video_id", (VideoRegistered, VideoChanged)),
        Projection(store.payments, "payment_id", PAYMENT_EVENTS, about="video_rental.rentals"),
        Projection(store.refunds, "refund_id", REFUND_EVENTS, about="video_rental.rentals"),
    ],
)


@my_page.handles(ListMyPage)
async def list_my_page(query: ListMyPage, connection: AsyncConnection) -> MyPage:
    return await store.newest(connection, query)


@my_page.handles(ShowMyPage)
async def show_my_page(query: ShowMyPage, connection: AsyncConnection) -> MyPageEntry:
    entry = await store.find(connection, query.rental_id)
    if entry is None or not query.caller.may_see(entry.member_id):
        raise RetryableNotFound
    if entry.version < query.min_version:
        raise StaleRead(entry)
    return entry
