"""Cancelling: the copy is free at once, and what is left of the payment is refunded."""

from __future__ import annotations

import asyncio
from uuid import UUID

from contracts.base import Caller
from tests.flows.helpers import (
    cancel,
    free_copies,
    net_booking_charge,
    pay_late_fee,
    pick_up,
    rental_events,
    rental_of,
    rented,
    return_video,
    returned_late,
    wait_for_rental,
    wait_for_view,
)
from tests.support.payments import refund_by_hand, refund_of_a_part
from tests.support.system import STAFF, System


async def test_a_cancelled_booking_is_refunded_and_the_next_member_gets_the_copy(
    system: System, kim: Caller, lee: Caller
) -> None:
    video_id = await system.video(copies=1)
    rental = await system.done(system.booking(video_id, kim))

    cancelled = await system.done(cancel(rental, kim, "no time"))
    next_one = await system.done(system.booking(video_id, lee))

    assert (cancelled["status"], cancelled["reason"]) == ("CANCELLED", "no time")
    assert (cancelled["refund"]["status"], cancelled["refund"]["amount"]) == ("PENDING", 1000)
    assert next_one["status"] == "BOOKED"
    entry = await wait_for_view(
        system, rental, status="CANCELLED", refund={"status": "REFUNDED"}, payment={"status": "REFUNDED"}
    )
    assert [line["what"] for line in entry["timeline"]] == [
        "BookingStarted",
        "PaymentApproved",
        "VideoBooked",
        "BookingCancelled",
        "RefundStarted",
        "PaymentRefunded",
        "RefundSucceeded",
    ]
    assert await net_booking_charge(system, rental) == 0


async def test_rentals_has_the_state_of_the_refund(system: System, kim: Caller) -> None:
    rental = await system.done(system.booking(await system.video(), kim))

    await system.done(cancel(rental, kim))

    await wait_for_rental(system, rental, refund={"status": "REFUNDED"}, payment={"status": "REFUNDED"})


async def test_a_refund_that_fails_at_the_provider_is_shown_as_failed_and_tried_again(
    system: System, kim: Caller
) -> None:
    rental = await system.done(system.booking(await system.video(), kim, "tok_refund_error"))
    await system.done(cancel(rental, kim))

    failed = await wait_for_view(system, rental, status="CANCELLED", refund={"status": "REFUND_FAILED"})
    money_then = await net_booking_charge(system, rental)
    await wait_for_view(system, rental, within=15, refund={"status": "REFUNDED"})

    assert failed["payment"]["status"] == "APPROVED"
    assert money_then == 1000
    assert await net_booking_charge(system, rental) == 0
    assert (await rental_of(system, rental))["status"] == "CANCELLED"


async def test_cancelling_twice_is_cancelling_once(system: System, kim: Caller) -> None:
    video_id = await system.video(copies=1)
    rental = await system.done(system.booking(video_id, kim))
    first = await system.done(cancel(rental, kim, "first"))

    again = await system.done(cancel(rental, kim, "second"))

    assert (again["reason"], again["version"]) == ("first", first["version"])
    assert await free_copies(system, video_id) == 1
    assert (await rental_events(system, rental)).count("booking_cancelled") == 1


async def test_ten_cancellations_at_once_refund_once(system: System, kim: Caller) -> None:
    video_id = await system.video(copies=1)
    rental = await system.done(system.booking(video_id, kim))

    answers = await asyncio.gather(*(system.done(cancel(rental, kim)) for _ in range(10)))
    await system.wait_until_idle()

    assert {answer["status"] for answer in answers} == {"CANCELLED"}
    assert await free_copies(system, video_id) == 1
    rows = await system.rows(
        "provider", "select amount from provider.refunds where charge_key = $1", UUID(rental["payment_id"])
    )
    assert [row["amount"] for row in rows] == [1000]


async def test_after_pickup_a_booking_cannot_be_cancelled(system: System, kim: Caller) -> None:
    rental = await rented(system, kim, await system.video())

    refusal = await system.refused(cancel(rental, kim))

    assert refusal == {"code": "wrong_state", "current_status": "RENTED", "allowed_actions": ["return"]}


async def test_of_a_cancellation_and_a_pickup_at_once_one_happens_and_the_other_is_refused(
    system: System, kim: Caller
) -> None:
    rentals = [await system.done(system.booking(await system.video(), kim)) for _ in range(5)]

    outcomes = await asyncio.gather(
        *(
            asyncio.gather(system.request(cancel(rental, kim)), system.request(pick_up(rental, kim)))
            for rental in rentals
        )
    )
    await system.wait_until_idle()

    for rental, (cancelled, picked_up) in zip(rentals, outcomes, strict=True):
        assert sorted([cancelled.kind, picked_up.kind]) == ["done", "refused"]
        assert await net_booking_charge(system, rental) == (0 if cancelled.kind == "done" else 1000)


async def test_a_cancellation_after_a_refund_of_a_part_refunds_the_rest(system: System, kim: Caller) -> None:
    rental = await system.done(system.booking(await system.video(daily_price=1000), kim))
    await system.publish(refund_of_a_part(rental, 300))
    await wait_for_view(system, rental, status="BOOKED", payment={"status": "PARTIALLY_REFUNDED"})

    cancelled = await system.done(cancel(rental, kim))
    await wait_for_view(system, rental, payment={"status": "REFUNDED"}, refund={"status": "REFUNDED", "amount": 700})

    assert cancelled["refund"]["amount"] == 700
    rows = await system.rows(
        "provider", "select amount from provider.refunds where charge_key = $1", UUID(rental["payment_id"])
    )
    assert sorted(row["amount"] for row in rows) == [300, 700]


async def test_a_cancellation_right_after_a_refund_of_a_part_refunds_no_more_than_was_paid(
    system: System, kim: Caller
) -> None:
    rental = await system.done(system.booking(await system.video(daily_price=1000), kim))

    await asyncio.gather(system.publish(refund_of_a_part(rental, 300)), system.done(cancel(rental, kim)))
    await system.wait_until_idle()

    assert await net_booking_charge(system, rental) == 0
    await wait_for_view(system, rental, status="CANCELLED", payment={"status": "REFUNDED"})


# -- staff refund by hand what no rental counts on


async def test_the_payment_of_a_booking_is_refunded_by_cancelling_it(system: System, kim: Caller) -> None:
    rental = await system.done(system.booking(await system.video(), kim))

    refusal = await system.refused(refund_by_hand(rental, 1000))

    href = f"/v1/video-rental/rentals/{rental['rental_id']}/cancellation"
    where = {"business": "video_rental.rentals", "object_id": rental["rental_id"], "href": href}
    assert refusal == {"code": "refund_through_business", **where}
    assert (await net_booking_charge(system, rental), (await rental_of(system, rental))["status"]) == (1000, "BOOKED")


async def test_the_payment_of_a_video_that_is_out_is_refunded_after_its_return(system: System, kim: Caller) -> None:
    rental = await rented(system, kim, await system.video())
    await system.wait_until_idle()

    refusal = await system.refused(refund_by_hand(rental, 1000))
    await system.done(return_video(rental, kim))
    await system.wait_until_idle()
    refund = await system.done(refund_by_hand(rental, 1000))

    assert refusal["href"] == f"/v1/video-rental/rentals/{rental['rental_id']}/return"
    assert refund["status"] == "PENDING"
    await wait_for_view(system, rental, status="RETURNED", payment={"status": "REFUNDED"})


async def test_a_late_fee_paid_by_mistake_is_refunded_by_hand(system: System, kim: Caller) -> None:
    late = await returned_late(system, kim, await system.video(), days_late=1)
    paid = await system.done(pay_late_fee(late, kim))

    refund = await system.done(refund_by_hand({"payment_id": paid["late_fee_payment_id"]}, 500))

    assert (refund["status"], refund["amount"]) == ("PENDING", 500)


async def test_of_a_refund_by_hand_and_a_cancellation_at_once_no_more_is_refunded_than_was_paid(
    system: System, kim: Caller
) -> None:
    rentals = [await system.done(system.booking(await system.video(), kim)) for _ in range(5)]

    await asyncio.gather(
        *(system.done(cancel(rental, kim)) for rental in rentals),
        *(system.request(refund_by_hand(rental, 1000)) for rental in rentals),
    )
    await system.wait_until_idle()

    assert [await net_booking_charge(system, rental) for rental in rentals] == [0] * 5


async def test_a_returned_video_cannot_be_cancelled(system: System, kim: Caller) -> None:
    rental = await rented(system, kim, await system.video())
    await system.done(return_video(rental, kim))

    refusal = await system.refused(cancel(rental, kim))

    assert (refusal["code"], refusal["current_status"]) == ("wrong_state", "RETURNED")


async def test_a_cancellation_without_a_reason_names_who_cancelled(system: System, kim: Caller) -> None:
    mine = await system.done(system.booking(await system.video(), kim))
    theirs = await system.done(system.booking(await system.video(), kim))

    by_member, by_staff = await system.done(cancel(mine, kim)), await system.done(cancel(theirs, STAFF))

    assert (by_member["reason"], by_staff["reason"]) == ("cancelled_by_member", "cancelled_by_staff")
