"""Video rental: My Page answers while videos, rentals and payments are all down."""

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
from workers.runtime.processing.tx import Behind, NotKnownYet
from workers.runtime.projections.view import Copy, View

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
        Copy(store.rentals, "rental_id", RENTAL_EVENTS),
        Copy(store.videos, "video_id", (VideoRegistered, VideoChanged)),
        Copy(store.payments, "payment_id", PAYMENT_EVENTS, about="video_rental.rentals"),
        Copy(store.refunds, "refund_id", REFUND_EVENTS, about="video_rental.rentals"),
    ],
)


@my_page.on(ListMyPage)
async def list_my_page(question: ListMyPage, connection: AsyncConnection) -> MyPage:
    return await store.newest(connection, question)


@my_page.on(ShowMyPage)
async def show_my_page(question: ShowMyPage, connection: AsyncConnection) -> MyPageEntry:
    entry = await store.find(connection, question.rental_id)
    if entry is None or not question.caller.may_see(entry.member_id):
        raise NotKnownYet
    if entry.version < question.min_version:
        raise Behind(entry)
    return entry
