"""Booking: a payment is approved, and a copy is held."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

from contracts.base import Caller
from contracts.payments import PaymentApproved
from contracts.video_rental.rentals import BookingStarted, VideoBooked
from contracts.video_rental.videos import ChangeVideo, RegisterVideo, VideoStatus
from tests.flows.helpers import (
    RENTALS,
    cancel,
    free_copies,
    net_booking_charge,
    page_of,
    pick_up,
    rental_events,
    rental_of,
    wait_for_view,
)
from tests.support.system import STAFF, System, customer


async def test_a_paid_booking_holds_a_copy_and_is_on_my_page(system: System, kim: Caller) -> None:
    video_id = await system.video(copies=2, daily_price=1500, title="Vertigo")

    rental = await system.done(system.booking(video_id, kim, days=3))

    assert (rental["status"], rental["price"], rental["member_id"]) == ("BOOKED", 4500, kim.member_id)
    assert rental["payment"] == {"payment_id": rental["payment_id"], "status": "APPROVED", "amount": 4500}
    assert rental["pickup_until"] is not None
    assert rental["due_at"] is None
    assert await free_copies(system, video_id) == 1
    assert await net_booking_charge(system, rental) == 4500
    entry = await wait_for_view(system, rental, status="BOOKED", title="Vertigo", payment={"status": "APPROVED"})
    assert [line["what"] for line in entry["timeline"]] == ["BookingStarted", "PaymentApproved", "VideoBooked"]


async def test_the_rental_has_the_id_of_the_request(system: System, kim: Caller) -> None:
    request_id = uuid4()

    rental = await system.done(system.booking(await system.video(), kim), id=request_id)

    assert rental["rental_id"] == str(request_id)


async def test_no_event_has_booked_before_the_payment_is_approved(system: System, kim: Caller) -> None:
    rental = await system.done(system.booking(await system.video(), kim))
    await system.wait_until_idle()

    (booked,) = {event["modified_at"] for event in system.events_of(VideoBooked.topic, rental_id=rental["rental_id"])}
    (approved,) = {
        event["modified_at"] for event in system.events_of(PaymentApproved.topic, payment_id=rental["payment_id"])
    }

    assert approved < booked
    assert await rental_events(system, rental) == ["booking_started", "video_booked"]


async def test_a_declined_payment_frees_the_copy_for_the_next_member(system: System, kim: Caller, lee: Caller) -> None:
    video_id = await system.video(copies=1)

    refusal = await system.refused(system.booking(video_id, kim, "tok_declined"))
    rental = await system.done(system.booking(video_id, lee))

    assert (refusal["code"], refusal["reason"]) == ("payment_declined", "insufficient_funds")
    assert rental["status"] == "BOOKED"
    await wait_for_view(system, refusal, status="REJECTED", reason="insufficient_funds", payment={"status": "DECLINED"})
    assert await rental_events(system, refusal) == ["booking_started", "booking_rejected"]


async def test_forty_members_want_three_copies_and_exactly_three_get_one(system: System) -> None:
    video_id = await system.video(copies=3)

    async def book() -> str:
        """Try again when a payment took too long on a busy machine."""
        while True:
            code, _ = await system.outcome(system.booking(video_id))
            if code != "payment_unavailable":
                return code

    codes = await asyncio.gather(*(book() for _ in range(40)))

    assert (codes.count("done"), codes.count("video_not_available")) == (3, 37)
    assert await free_copies(system, video_id) == 0


async def test_two_members_want_the_last_copy_at_the_same_instant_and_one_gets_it(system: System) -> None:
    for _ in range(5):
        video_id = await system.video(copies=1)

        outcomes = await system.outcomes(system.booking(video_id) for _ in range(2))

        assert sorted(code for code, _ in outcomes) == ["done", "video_not_available"]


async def test_a_second_active_booking_of_the_same_video_is_refused_without_holding_a_copy(
    system: System, kim: Caller
) -> None:
    video_id = await system.video(copies=3)
    await system.done(system.booking(video_id, kim))

    refusal = await system.refused(system.booking(video_id, kim))

    assert refusal["code"] == "already_booked"
    assert await free_copies(system, video_id) == 2


async def test_a_member_who_books_the_same_video_ten_times_at_once_has_one_booking(system: System, kim: Caller) -> None:
    video_id = await system.video(copies=10)

    outcomes = await system.outcomes(system.booking(video_id, kim) for _ in range(10))

    assert sorted(code for code, _ in outcomes) == ["already_booked"] * 9 + ["done"]
    assert await free_copies(system, video_id) == 9


async def test_a_retired_video_cannot_be_booked_and_can_be_picked_up_by_who_booked_it(
    system: System, kim: Caller, lee: Caller
) -> None:
    video_id = await system.video(copies=2)
    rental = await system.done(system.booking(video_id, kim))
    await system.done(ChangeVideo(video_id=video_id, status=VideoStatus.RETIRED))
    retired = "select 1 from video_rental_rentals.videos where video_id = $1 and status = 'RETIRED'"
    await system.wait_for_rows(RENTALS, retired, video_id)

    refusal = await system.refused(system.booking(video_id, lee))
    rented = await system.done(pick_up(rental, kim))

    assert refusal["code"] == "video_not_available"
    assert rented["status"] == "RENTED"


async def test_a_later_price_does_not_touch_a_booking(system: System, kim: Caller) -> None:
    video_id = await system.video(daily_price=1000)
    rental = await system.done(system.booking(video_id, kim, days=2))

    await system.done(ChangeVideo(video_id=video_id, daily_price=9000))
    await system.wait_until_idle()

    assert (await rental_of(system, rental))["price"] == 2000
    assert (await wait_for_view(system, rental, status="BOOKED"))["price"] == 2000


async def test_a_video_that_does_not_exist_is_not_found(system: System) -> None:
    refusal = await system.refused(system.booking(uuid4()))

    assert refusal["code"] == "not_found"


async def test_a_video_is_bookable_from_the_moment_it_is_registered(system: System, kim: Caller) -> None:
    for _ in range(5):
        video = await system.done(RegisterVideo(title="Rope", daily_price=1000, caller=STAFF))

        rental = await system.done(system.booking(UUID(video["video_id"]), kim))

        assert rental["status"] == "BOOKED"


async def test_events_of_one_rental_never_touch_another_rental_of_the_same_video(
    system: System, kim: Caller, lee: Caller
) -> None:
    video_id = await system.video(copies=2)
    mine = await system.done(system.booking(video_id, kim))
    theirs = await system.done(system.booking(video_id, lee))

    await system.done(cancel(theirs, lee))
    await wait_for_view(system, theirs, status="CANCELLED", refund={"status": "REFUNDED"})

    await wait_for_view(system, mine, status="BOOKED", version=2, refund=None, payment={"status": "APPROVED"})
    assert await net_booking_charge(system, mine) == mine["price"]


async def test_a_member_sees_all_of_their_bookings_newest_first(system: System, kim: Caller) -> None:
    titles = ["Psycho", "Marnie", "Topaz"]
    for title in titles:
        await system.done(system.booking(await system.video(title=title), kim))
    await system.done(system.booking(await system.video(title="Frenzy"), customer()))
    await system.wait_until_idle()

    page = await page_of(system, kim)

    assert [item["title"] for item in page] == titles[::-1]


async def test_the_first_event_of_a_booking_has_its_first_state(system: System, kim: Caller) -> None:
    rental = await system.done(system.booking(await system.video(), kim))
    await system.wait_until_idle()

    (started,) = system.events_of(BookingStarted.topic, rental_id=rental["rental_id"])

    assert (started["status"], started["version"]) == ("AWAITING_PAYMENT", 1)


# -- what staff change meanwhile


async def test_another_price_than_expected_books_nothing(system: System, kim: Caller) -> None:
    video_id = await system.video(daily_price=1000)
    booking = system.booking(video_id, kim, days=2)

    refusal = await system.refused(booking.model_copy(update={"expected_price": 1000}))
    rental = await system.done(booking.model_copy(update={"expected_price": 2000}))

    assert refusal == {"code": "price_changed", "price": 2000}
    assert (rental["status"], rental["price"]) == ("BOOKED", 2000)


async def test_a_price_that_staff_raise_between_look_and_booking_is_not_charged(system: System, kim: Caller) -> None:
    video_id = await system.video(daily_price=1500)
    await system.done(ChangeVideo(video_id=video_id, daily_price=999_999, expected_version=1))
    await system.wait_until_idle()

    refusal = await system.refused(system.booking(video_id, kim).model_copy(update={"expected_price": 1500}))

    assert refusal == {"code": "price_changed", "price": 999_999}


async def test_a_video_of_another_version_is_not_changed(system: System) -> None:
    video_id = await system.video()

    stale = await system.refused(ChangeVideo(video_id=video_id, title="a", expected_version=2))
    changed = await system.done(ChangeVideo(video_id=video_id, title="b", expected_version=1))

    assert stale == {"code": "stale_version", "version": 1}
    assert (changed["title"], changed["version"]) == ("b", 2)
