"""My Page has the newest state, in whatever order events come and however often."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest

from contracts.base import Caller, Event
from contracts.payments import (
    PaymentApproved,
    PaymentRefunded,
    PaymentStatus,
    RefundStarted,
    RefundStatus,
    RefundSucceeded,
)
from contracts.video_rental.my_page import ListMyPage
from contracts.video_rental.rentals import (
    BookingCancelled,
    BookingStarted,
    RentalStatus,
    VideoBooked,
)
from contracts.video_rental.videos import VideoChanged, VideoRegistered, VideoStatus
from tests.flows.helpers import MY_PAGE, cancel, net_booking_charge, page_of, view_of, wait_for_view
from tests.support.states import payment_fields, rental_fields
from tests.support.system import STAFF, Json, System, customer, eventually

NOW = datetime.now(UTC)


class BookingEvents:
    """The events of a booking and its cancellation, which no other context knows."""

    def __init__(self) -> None:
        self.video_id, self.rental_id, self.payment_id, self.refund_id = (uuid4() for _ in range(4))
        self.member = customer()

    def _rental(self, kind: type[Event], status: RentalStatus, version: int, **more: Any) -> Event:
        fields = rental_fields(
            rental_id=self.rental_id,
            video_id=self.video_id,
            member_id=self.member.member_id,
            payment_id=self.payment_id,
            status=status,
            created_at=NOW,
            modified_at=NOW + timedelta(seconds=version),
            version=version,
        )
        return kind(**(fields | more))

    def _payment(self, kind: type[Event], status: PaymentStatus, version: int, refunded: int = 0) -> Event:
        fields = payment_fields(
            payment_id=self.payment_id,
            status=status,
            payer=self.member.member_id,
            refunded=refunded,
            created_at=NOW,
            modified_at=NOW + timedelta(seconds=1.5 if version == 1 else 9),
            version=version,
        )
        return kind(**fields)

    def _refund(self, kind: type[Event], status: RefundStatus, version: int) -> Event:
        return kind(
            refund_id=self.refund_id,
            payment_id=self.payment_id,
            payer=self.member.member_id,
            amount=1000,
            status=status,
            reason=None,
            requested_by="video_rental.rentals",
            created_at=NOW,
            modified_at=NOW + timedelta(seconds=3 + version),
            version=version,
        )

    def started(self) -> Event:
        return self._rental(BookingStarted, RentalStatus.AWAITING_PAYMENT, 1)

    def booked(self) -> Event:
        return self._rental(VideoBooked, RentalStatus.BOOKED, 2)

    def cancelled(self) -> Event:
        return self._rental(BookingCancelled, RentalStatus.CANCELLED, 3, reason="no time")

    def events(self) -> list[Event]:
        """All events, in the order in which they happened."""
        return [
            self.started(),
            self._payment(PaymentApproved, PaymentStatus.APPROVED, 1),
            self.booked(),
            self.cancelled(),
            self._refund(RefundStarted, RefundStatus.PENDING, 1),
            self._refund(RefundSucceeded, RefundStatus.REFUNDED, 2),
            self._payment(PaymentRefunded, PaymentStatus.REFUNDED, 2, refunded=1000),
        ]


ENDED: Json = {
    "status": "CANCELLED",
    "reason": "no time",
    "version": 3,
    "payment": {"status": "REFUNDED"},
    "refund": {"status": "REFUNDED", "amount": 1000},
}


async def applied(system: System, rental_id: UUID, lines: int) -> Json:
    """The rental on My Page, once its timeline has so many lines and no event is pending."""

    query = """select n from (select count(*) as n from video_rental_my_page.timeline where subject = $1 or subject in
          (select payment_id from video_rental_my_page.rentals where rental_id = $1 union select refund_id from
           video_rental_my_page.refunds f join video_rental_my_page.rentals r using (payment_id) where r.rental_id = $1)
        ) as counted where n >= $2"""
    await system.wait_for_rows(MY_PAGE, query, rental_id, lines)
    await system.wait_until_idle()
    return await view_of(system, rental_id)


async def test_a_booked_event_after_the_cancellation_does_not_undo_it(
    system: System,
) -> None:
    booking = BookingEvents()
    await system.publish(booking.cancelled())
    await wait_for_view(system, booking.rental_id, status="CANCELLED")

    await system.publish(booking.booked(), booking.started())

    seen = await applied(system, booking.rental_id, lines=3)
    assert (seen["status"], seen["version"]) == ("CANCELLED", 3)
    assert [line["what"] for line in seen["timeline"]] == ["BookingStarted", "VideoBooked", "BookingCancelled"]


@pytest.mark.parametrize("seed", range(8))
async def test_events_in_any_order_and_twice_give_the_same_page(system: System, seed: int) -> None:
    booking = BookingEvents()
    events = booking.events() * 2
    random.Random(seed).shuffle(events)

    await system.publish(*events)

    seen = await applied(system, booking.rental_id, lines=7)
    assert {name: seen[name] for name in ("status", "reason", "version")} == {
        name: ENDED[name] for name in ("status", "reason", "version")
    }
    assert (seen["payment"]["status"], seen["refund"]["status"]) == ("REFUNDED", "REFUNDED")
    assert [line["what"] for line in seen["timeline"]] == [type(event).__name__ for event in booking.events()]


async def test_every_order_of_three_events_ends_with_the_same_status(system: System) -> None:
    bookings = [BookingEvents() for _ in range(6)]
    orders = list(itertools.permutations(("started", "booked", "cancelled")))

    for booking, order in zip(bookings, orders, strict=True):
        await system.publish(*(getattr(booking, name)() for name in order))

    for booking in bookings:
        seen = await applied(system, booking.rental_id, lines=3)
        assert seen["status"] == "CANCELLED"


async def test_the_same_message_delivered_twice_is_one_line_of_the_timeline(system: System) -> None:
    booking = BookingEvents()

    await system.publish(booking.started(), booking.started(), id=uuid4())

    assert len((await applied(system, booking.rental_id, lines=1))["timeline"]) == 1


async def test_a_title_that_comes_late_or_changes_is_shown(system: System) -> None:
    booking = BookingEvents()
    video: Json = {
        "video_id": booking.video_id,
        "daily_price": 1000,
        "copies": 1,
        "status": VideoStatus.AVAILABLE,
        "registered_by": "staff",
        "created_at": NOW,
        "modified_at": NOW,
    }
    await system.publish(booking.started())
    untitled = await wait_for_view(system, booking.rental_id, status="AWAITING_PAYMENT")

    await system.publish(
        VideoChanged(title="Vertigo", version=2, **video), VideoRegistered(title="Vetrigo", version=1, **video)
    )

    assert untitled["title"] is None
    await wait_for_view(system, booking.rental_id, title="Vertigo")
    await system.wait_until_idle()
    assert (await view_of(system, booking.rental_id))["title"] == "Vertigo"


async def test_a_booking_is_on_my_page_while_it_awaits_its_payment(system: System, kim: Caller) -> None:
    booking = asyncio.create_task(system.refused(system.booking(await system.video(), kim, "tok_slow")))

    (item,) = await eventually(partial(page_of, system, kim))

    assert (item["status"], item["payment"]) == ("AWAITING_PAYMENT", None)
    refusal = await booking
    await wait_for_view(system, refusal, status="CANCELLED", reason="payment_unavailable")


async def test_a_query_right_after_a_change_is_answered_as_soon_as_its_version_is_applied(
    system: System, kim: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.runtime.projections.view.RECHECK_SECONDS", 60)
    for _ in range(5):
        rental = await system.done(system.booking(await system.video(), kim))
        seen_booked = await view_of(system, rental, min_version=rental["version"], caller=kim)
        cancelled = await system.done(cancel(rental, kim))
        seen_cancelled = await view_of(system, rental, min_version=cancelled["version"], caller=kim)

        assert (seen_booked["status"], seen_cancelled["status"]) == ("BOOKED", "CANCELLED")


async def test_a_query_for_a_version_that_never_comes_is_answered_after_a_second_with_the_current_one(
    system: System, kim: Caller
) -> None:
    rental = await system.done(system.booking(await system.video(), kim))
    started = time.monotonic()

    seen = await view_of(system, rental, min_version=99, caller=kim)

    assert seen["status"] == "BOOKED"
    assert 0.9 < time.monotonic() - started < 2.5


async def test_pages_neither_skip_nor_repeat(system: System, kim: Caller) -> None:
    ids = [(await system.done(system.booking(await system.video(), kim)))["rental_id"] for _ in range(5)]
    await system.wait_until_idle()

    items = await system.items(ListMyPage(member_id=kim.member_id, limit=2))

    assert [item["rental_id"] for item in items] == ids[::-1]


async def test_a_list_can_be_filtered_by_status(system: System, kim: Caller) -> None:
    rentals = [await system.done(system.booking(await system.video(), kim)) for _ in range(2)]
    await system.done(cancel(rentals[0], kim))
    await wait_for_view(system, rentals[0]["rental_id"], status="CANCELLED")

    page = await system.done(ListMyPage(member_id=kim.member_id, status=RentalStatus.CANCELLED))

    assert [item["rental_id"] for item in page["items"]] == [rentals[0]["rental_id"]]


async def test_an_invalid_cursor_is_refused(system: System) -> None:
    assert (await system.refused(ListMyPage(cursor="not-a-cursor")))["code"] == "invalid"


async def test_staff_see_the_rentals_of_all_members(system: System, kim: Caller, lee: Caller) -> None:
    mine, theirs = [await system.done(system.booking(await system.video(), member)) for member in (kim, lee)]
    await system.wait_until_idle()

    page = await system.done(ListMyPage(member_id=None, limit=200))

    assert {mine["rental_id"], theirs["rental_id"]} <= {item["rental_id"] for item in page["items"]}
    assert (await view_of(system, mine, caller=STAFF))["member_id"] == kim.member_id
    assert await net_booking_charge(system, mine) == 1000
