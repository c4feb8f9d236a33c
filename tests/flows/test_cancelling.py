"""Cancelling: the copy is free, the rest of the money goes back, and nobody says so before it has."""

from __future__ import annotations

import asyncio
from uuid import UUID

from contracts.base import Caller
from contracts.payments import RefundPayment
from tests.flows.renting import Thing, cancel, free_copies, give_back, kept, pick_up, rental_of, rented, shown, told_of
from tests.support.system import STAFF, System, eventually


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
    entry = await shown(
        system, rental["rental_id"], status="CANCELLED", refund={"status": "REFUNDED"}, payment={"status": "REFUNDED"}
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
    assert await kept(system, rental) == 0


async def test_the_writer_hears_of_the_refund_too(system: System, kim: Caller) -> None:
    rental = await system.done(system.booking(await system.video(), kim))

    await system.done(cancel(rental, kim))

    async def refunded() -> bool:
        seen = await rental_of(system, rental["rental_id"])
        return bool(seen["refund"]["status"] == "REFUNDED" and seen["payment"]["status"] == "REFUNDED")

    await eventually(refunded)


async def test_a_refund_that_fails_at_the_provider_is_shown_as_failed_and_then_made_good(
    system: System, kim: Caller
) -> None:
    rental = await system.done(system.booking(await system.video(), kim, "tok_refund_error"))
    await system.done(cancel(rental, kim))

    failed = await shown(system, rental["rental_id"], status="CANCELLED", refund={"status": "REFUND_FAILED"})
    money_then = await kept(system, rental)
    await shown(system, rental["rental_id"], within=15, refund={"status": "REFUNDED"})

    assert failed["payment"]["status"] == "APPROVED"
    assert money_then == 1000
    assert await kept(system, rental) == 0
    assert (await rental_of(system, rental["rental_id"]))["status"] == "CANCELLED"


async def test_cancelling_twice_is_cancelling_once(system: System, kim: Caller) -> None:
    video_id = await system.video(copies=1)
    rental = await system.done(system.booking(video_id, kim))
    first = await system.done(cancel(rental, kim, "first"))

    again = await system.done(cancel(rental, kim, "second"))

    assert (again["reason"], again["version"]) == ("first", first["version"])
    assert await free_copies(system, video_id) == 1
    assert (await told_of(system, rental)).count("booking_cancelled") == 1


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
        *(asyncio.gather(system.request(cancel(rental, kim)), system.request(pick_up(rental, kim))) for rental in rentals)
    )
    await system.wait_until_idle()

    for rental, (cancelled, picked_up) in zip(rentals, outcomes, strict=True):
        assert sorted([cancelled.kind, picked_up.kind]) == ["done", "refused"]
        assert await kept(system, rental) == (0 if cancelled.kind == "done" else 1000)


async def test_a_refund_by_hand_of_a_part_and_then_a_cancellation_give_back_the_rest_and_no_more(
    system: System, kim: Caller
) -> None:
    rental = await system.done(system.booking(await system.video(daily_price=1000), kim))
    await refund_by_hand(system, rental, 300)
    await shown(system, rental["rental_id"], status="BOOKED", payment={"status": "PARTIALLY_REFUNDED"})

    cancelled = await system.done(cancel(rental, kim))
    await shown(
        system, rental["rental_id"], payment={"status": "REFUNDED"}, refund={"status": "REFUNDED", "amount": 700}
    )

    assert cancelled["refund"]["amount"] == 700
    rows = await system.rows(
        "provider", "select amount from provider.refunds where charge_key = $1", UUID(rental["payment_id"])
    )
    assert sorted(row["amount"] for row in rows) == [300, 700]


async def test_a_cancellation_right_behind_a_refund_by_hand_gives_back_no_more_than_was_paid(
    system: System, kim: Caller
) -> None:
    rental = await system.done(system.booking(await system.video(daily_price=1000), kim))

    await asyncio.gather(refund_by_hand(system, rental, 300), system.done(cancel(rental, kim)), return_exceptions=True)
    await system.wait_until_idle()

    assert await kept(system, rental) == 0
    await shown(system, rental["rental_id"], status="CANCELLED", payment={"status": "REFUNDED"})


async def refund_by_hand(system: System, rental: Thing, amount: int) -> Thing:
    command = RefundPayment(payment_id=rental["payment_id"], amount=amount, reason="scratched", caller=STAFF)
    return await system.done(command)


async def test_a_returned_video_cannot_be_cancelled(system: System, kim: Caller) -> None:
    rental = await rented(system, kim, await system.video())
    await system.done(give_back(rental, kim))

    refusal = await system.refused(cancel(rental, kim))

    assert (refusal["code"], refusal["current_status"]) == ("wrong_state", "RETURNED")


async def test_a_cancellation_without_a_reason_says_who_cancelled(system: System, kim: Caller) -> None:
    mine = await system.done(system.booking(await system.video(), kim))
    theirs = await system.done(system.booking(await system.video(), kim))

    by_member, by_staff = await system.done(cancel(mine, kim)), await system.done(cancel(theirs, STAFF))

    assert (by_member["reason"], by_staff["reason"]) == ("cancelled_by_member", "cancelled_by_staff")
